namespace Ringdown.Machine;

/// <summary>A computer: processors, memory and chance. Knows nothing of the system that runs on it.</summary>
/// <remarks>The processors share the memory and take turns: <see cref="Cpu"/> is the one whose turn it is.</remarks>
public sealed class Computer : IDisposable
{
    public const int MaximumProcessors = 64;

    readonly Processor[] _processors;
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
    }

    public Memory Memory { get; } = new();

    /// <summary>I/O ports, and the devices at them.</summary>
    public PortSpace Ports { get; } = new();

    /// <summary>Devices in physical memory.</summary>
    public PhysicalDevices Registers { get; } = new();
    public InterruptController Interrupts { get; } = new();

    /// <summary>What is told of the devices that are soldered in.</summary>
    public Firmware Firmware { get; } = new();

    /// <summary>The devices' time; it is the system's that runs on the computer.</summary>
    public IDeviceClock Clock { get; set; } = null!;
    public IReadOnlyList<Processor> Processors => _processors;

    /// <summary>The processor that runs now.</summary>
    public Processor Cpu { get; private set; }
    public Chance Chance { get; }

    /// <summary>Told when the computer loses its power but for its memory's: chips forget then what no battery
    /// keeps.</summary>
    public event Action? PowerLost;

    /// <summary>Takes the power of everything but the memory.</summary>
    public void LosePower() => PowerLost?.Invoke();

    /// <summary>From now on it is another processor's turn.</summary>
    public void Select(int number) => Cpu = _processors[number];

    public void Dispose()
    {
        // What is freed here is native memory: a second time would be our own corruption.
        if (_disposed) return;
        _disposed = true;
        foreach (Processor processor in _processors) processor.Dispose();
        Memory.Dispose();
    }
}
