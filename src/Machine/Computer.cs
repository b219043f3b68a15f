namespace Ringdown.Machine;

/// <summary>A computer: processors, memory and chance. Knows nothing of the system that runs on it.</summary>
/// <remarks>The processors share the memory and take turns: <see cref="Cpu"/> is the one whose turn it is.</remarks>
public sealed class Computer : IDisposable
{
    public const int MaximumProcessors = 64;

    readonly Processor[] _processors;
    readonly Dictionary<IChipState, byte[]> _powerOn = [];
    bool _disposed;

    /// <param name="processors">How many: 1 to <see cref="MaximumProcessors"/>.</param>
    public Computer(ulong seed, CodeCache code, int processors = 1)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(processors, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(processors, MaximumProcessors);
        Chance = new Chance(seed);
        _processors = new Processor[processors];
        for (int i = 0; i < processors; i++) _processors[i] = new Processor(Memory, code, Ports, i);
        Cpu = _processors[0];
        Pci = new PciBus(this);
    }

    public Memory Memory { get; } = new();

    /// <summary>I/O ports, and the devices at them.</summary>
    public PortSpace Ports { get; } = new();

    /// <summary>Devices in physical memory.</summary>
    public PhysicalDevices Registers { get; } = new();
    public InterruptController Interrupts { get; } = new();

    /// <summary>What is told of the devices that are soldered in.</summary>
    public Firmware Firmware { get; } = new();

    /// <summary>The PCI bus, and what is plugged in.</summary>
    public PciBus Pci { get; }

    /// <summary>What devices may reach of memory.</summary>
    public Iommu Iommu { get; } = new();

    /// <summary>The channels of the DMA controller, and whether there is one.</summary>
    public DmaChannels Dma { get; } = new();

    /// <summary>The devices' time; it is the system's that runs on the computer.</summary>
    public IDeviceClock Clock { get; set; } = null!;
    public IReadOnlyList<Processor> Processors => _processors;

    /// <summary>The processor that runs now.</summary>
    public Processor Cpu { get; private set; }
    public Chance Chance { get; }

    /// <summary>The chips that are built in, and keep a state.</summary>
    public IList<IChipState> Chips { get; } = [];

    /// <summary>Connects chips to something of the host's. Null: what chips have of the host is a copy, and nothing is
    /// at the other end of their wires.</summary>
    public IBoardHost? Host { get; set; }

    /// <summary>What comes from outside of the process; null: nothing does.</summary>
    public IHostInput? HostInput { get; set; }

    /// <summary>Remembers the present state, as <see cref="Memory.Snapshot"/> does for memory alone.</summary>
    public ComputerSnapshot Snapshot() => new(Memory.Snapshot(), ChipState.Save([.. Chips, Iommu, Pci, Interrupts]),
        [.. _processors.Select(p =>
        {
            var context = new CpuContext();
            p.CopyTo(context);
            return context;
        })]);

    /// <summary>Goes back to a snapshot, which stays usable. The clock goes on: what chips had planned is as far away
    /// as it was then.</summary>
    public void Restore(ComputerSnapshot snapshot)
    {
        Memory.Restore(snapshot.Memory);
        // The lines last: what chips do to them on the way is no interrupt, and no message.
        Pci.IsRestoring = true;
        ChipState.Restore(snapshot.Chips, [.. Chips, Iommu, Pci, Interrupts]);
        Pci.IsRestoring = false;
        for (int i = 0; i < _processors.Length; i++) _processors[i].CopyFrom(snapshot.Processors[i]);
    }

    /// <summary>A chip is as it is when it gets power.</summary>
    internal void NotePowerOn(IChipState chip)
    {
        if (chip is ILosesState) _powerOn[chip] = ChipState.Save([chip]);
    }

    /// <summary>Everything but the memory loses its power: chips are as they were at first, but for what a battery or a
    /// disk keeps.</summary>
    public void LosePower()
    {
        foreach ((IChipState chip, byte[] state) in _powerOn) ChipState.Restore(state, [chip]);
        Pci.LosePower();
    }

    /// <summary>One chip is as it is when it gets power.</summary>
    internal void Reset(IChipState chip)
    {
        if (_powerOn.TryGetValue(chip, out byte[]? state)) ChipState.Restore(state, [chip]);
    }

    /// <summary>From now on it is another processor's turn.</summary>
    public void Select(int number) => Cpu = _processors[number];

    public void Dispose()
    {
        // What is freed here is native memory: a second time would be our own corruption.
        if (_disposed) return;
        _disposed = true;
        foreach (IDisposable chip in Chips.OfType<IDisposable>()) chip.Dispose();
        foreach (Processor processor in _processors) processor.Dispose();
        Memory.Dispose();
    }
}
