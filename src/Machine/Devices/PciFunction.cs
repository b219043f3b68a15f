namespace Ringdown.Machine;

/// <summary>What a function says that it is.</summary>
/// <param name="Class">Class, subclass and programming interface, a byte each.</param>
public readonly record struct PciIdentity(
    ushort Vendor, ushort Device, uint Class = 0xFF0000, byte Revision = 0, ushort SubsystemVendor = 0,
    ushort Subsystem = 0);

/// <summary>A base address register: how large its registers are, and where they are now.</summary>
public sealed class PciBar
{
    internal PciBar(
        PciFunction function, int index, ulong bytes, IMmioDevice registers, bool isPort, bool is64,
        bool isPrefetchable)
    {
        (Function, Index, Bytes, Registers, IsPort, Is64) = (function, index, bytes, registers, isPort, is64);
        IsPrefetchable = isPrefetchable;
    }

    public PciFunction Function { get; }

    /// <summary>Its number, 0 to 5. One of 64 bits takes two.</summary>
    public int Index { get; }

    /// <summary>A power of two.</summary>
    public ulong Bytes { get; }

    public IMmioDevice Registers { get; }
    public bool IsPort { get; }
    public bool Is64 { get; }
    public bool IsPrefetchable { get; }

    /// <summary>Its offset in configuration space.</summary>
    public int Offset => 0x10 + 4 * Index;

    /// <summary>What it is programmed to; 0: nothing.</summary>
    public ulong Address => Function.Read(Offset, Is64 ? 8 : 4) & (IsPort ? ~3UL : ~0xFUL);

    /// <summary>Where the registers are decoded now; bridges may pass on only parts of them.</summary>
    internal IReadOnlyList<AddressRange> Decoded { get; set; } = [];

    /// <summary>Where they would be if the function had power; null while it has.</summary>
    internal AddressRange? Asleep { get; set; }

    internal IMmioDevice Silence => _silence ??= new SilentRegisters(this);
    SilentRegisters? _silence;

    /// <summary>The registers of a function without power: reads are ones, writes are lost.</summary>
    sealed class SilentRegisters(PciBar bar) : IMmioDevice
    {
        public ulong Read(ulong offset, int size)
        {
            bar.Function.Bus?.TouchedAsleep?.Invoke(bar, offset, false);
            return ulong.MaxValue;
        }

        public void Write(ulong offset, int size, ulong value) =>
            bar.Function.Bus?.TouchedAsleep?.Invoke(bar, offset, true);
    }
}

/// <summary>A function of a PCI Express device: configuration space of 4 KiB, registers that it decodes where it is
/// told to, capabilities, interrupts, and a way to memory.</summary>
/// <remarks>Its chip sees a wire (<see cref="Wire"/>) or messages (<see cref="Signal"/>), and memory
/// (<see cref="IDeviceMemory"/>); what becomes of them, configuration space decides.</remarks>
public partial class PciFunction : IDeviceMemory
{
    public const int ConfigurationBytes = 0x1000;

    /// <summary>Where the command register is.</summary>
    public const int CommandOffset = 4;

    /// <summary>Bits of the command register.</summary>
    public const uint PortsEnable = 1, MemoryEnable = 2, MasterEnable = 4, WireDisable = 0x400;

    const int StatusOffset = 6, CapabilityPointer = 0x34, HeaderOffset = 0x0E;
    const ulong StatusWire = 8, StatusCapabilities = 0x10, StatusMasterAbort = 0x2000;

    private protected readonly ConfigurationSpace _space = new(ConfigurationBytes);
    readonly List<PciBar> _bars = [];
    Computer? _computer;
    int _nextBar;

    /// <param name="pin">The interrupt pin, 1 to 4; 0: it has none.</param>
    public PciFunction(PciSlot slot, PciIdentity identity, int pin = 1)
    {
        (Slot, Identity, Pin) = (slot, identity, pin);
        Wire = new InterruptLine(UpdateWire, -1);
        _space[0x00, 2] = identity.Vendor;
        _space[0x02, 2] = identity.Device;
        _space[0x08, 1] = identity.Revision;
        _space[0x09, 3] = identity.Class;
        _space[0x3D, 1] = (ulong)pin;
        _space.Allow(CommandOffset, 2, 0x547);
        _space.AllowClearing(StatusOffset, 2, 0xF900);
        _space.Allow(0x0C, 1, 0xFF);
        _space.Allow(0x3C, 1, 0xFF);
        if (this is PciBridge) return;
        _space[0x2C, 2] = identity.SubsystemVendor;
        _space[0x2E, 2] = identity.Subsystem;
    }

    private protected virtual int BarCount => 6;

    /// <summary>By what a test finds it.</summary>
    public string? Name { get; init; }

    public PciSlot Slot { get; }

    /// <summary>The bridge that it is behind; null: it is on bus 0.</summary>
    public PciBridge? Behind { get; init; }

    /// <summary>The number of its bus, as the bridge before it is programmed.</summary>
    public int BusNumber => Behind?.Secondary ?? 0;

    public PciIdentity Identity { get; }
    public int Pin { get; }

    /// <summary>Somebody may take it out while the system runs.</summary>
    public bool IsRemovable { get; init; }

    /// <summary>The line that its pin is wired to; null: the one of its slot.</summary>
    public int? Line { get; init; }

    /// <summary>The highest address that it can put out.</summary>
    public ulong HighestAddress { get; init; } = ulong.MaxValue;

    /// <summary>Its device has other functions.</summary>
    internal bool IsMultifunction
    {
        set => _space.Set(HeaderOffset, 1, 0x80, value);
    }

    public IReadOnlyList<PciBar> Bars => _bars;

    /// <summary>The bus in which it is; null: it is not plugged in.</summary>
    public PciBus? Bus { get; private set; }

    private protected uint Command => (uint)_space[CommandOffset, 2];

    /// <summary>It answers, and may act: plugged in and in D0.</summary>
    private protected bool IsAwake => Bus is not null && PowerState == 0;

    /// <summary>All bridges before it have power, and none is resetting it.</summary>
    bool IsConnected => Behind is not { } bridge || bridge.IsAwake && !bridge.IsResetting && bridge.IsConnected;

    /// <summary>It may write to memory, and so may all bridges before it.</summary>
    bool IsMaster => IsAwake && (Command & MasterEnable) != 0 && (Behind is not { } bridge
        || !bridge.IsResetting && bridge.IsMaster);

    /// <summary>Gives it registers in memory or at ports, by the next base address register.</summary>
    /// <param name="bytes">A power of two; 16 to 2 GiB in memory, 4 to 256 at ports.</param>
    /// <exception cref="ArgumentException">There is no such size, or no register left.</exception>
    public PciBar AddBar(
        ulong bytes, IMmioDevice registers, bool isPort = false, bool is64 = false, bool isPrefetchable = false)
    {
        if (!ulong.IsPow2(bytes) || bytes < (isPort ? 4u : 16) || isPort && bytes > 256 || bytes > 0x8000_0000)
            throw new ArgumentException($"no base address register has {bytes} bytes.", nameof(bytes));
        if (isPort && is64) throw new ArgumentException("ports have no 64 bits.", nameof(is64));
        if (_nextBar + (is64 ? 2 : 1) > BarCount)
            throw new ArgumentException(
                $"a function has {(BarCount == 6 ? "six" : "two")} base address registers; one of 64 bits takes two.");
        var bar = new PciBar(this, _nextBar, bytes, registers, isPort, is64, isPrefetchable);
        ulong kind = isPort ? 1u : (is64 ? 4u : 0) | (isPrefetchable ? 8u : 0);
        _space[bar.Offset, 4] = kind;
        _space.Allow(bar.Offset, is64 ? 8 : 4, ~(bytes - 1));
        _nextBar += is64 ? 2 : 1;
        _bars.Add(bar);
        return bar;
    }

    /// <summary>Reads configuration space: of any width at any offset.</summary>
    public ulong Read(int offset, int size) => _space[offset, size];

    public virtual void Write(int offset, int size, ulong value)
    {
        int state = PowerState;
        _space.Write(offset, size, value);
        if (PowerState != state) ChangePower(state);
        Update();
        if (offset < _power + 6 && offset + size > _power + 4) TellWake();
    }

    internal void Enter(PciBus bus, Computer computer, int line)
    {
        (Bus, _computer) = (bus, computer);
        _line ??= Pin == 0 ? null : computer.Interrupts.Line(line);
        if (_line is { } wired) wired.Trigger = InterruptTrigger.Level;
        Forget();
        ResetPower();
        Update();
    }

    /// <summary>Told when the bus resets it: the chip is as it was at first.</summary>
    public Action? WasReset { get; set; }

    /// <summary>What a device was told is gone with its power, but for that it may wake the system.</summary>
    private protected virtual void Forget()
    {
        foreach (PciBar bar in _bars) _space.Write(bar.Offset, bar.Is64 ? 8 : 4, 0);
        _space[CommandOffset, 2] = 0;
        _space[0x3C, 1] = _line is null ? 0xFFu : (byte)_line.Number;
        ResetMessages();
    }

    /// <summary>The system loses its power.</summary>
    internal void LosePower()
    {
        Forget();
        Update();
    }

    /// <summary>The bridge before it resets it.</summary>
    internal virtual void Reset()
    {
        Forget();
        ResetPower();
        WasReset?.Invoke();
        Update();
    }

    /// <summary>What it is set to, and whether it is plugged in.</summary>
    internal void Exchange(ChipState state, PciBus bus, Computer computer)
    {
        (bool isIn, int aborts) = (Bus is not null, MasterAborts);
        state.Value(ref isIn);
        state.Value(ref aborts);
        state.Value(ref _wasAsserted);
        state.Bytes(System.Runtime.InteropServices.MemoryMarshal.AsBytes(_pending.AsSpan()));
        _space.Exchange(state);
        _table?.Exchange(state);
        (Bus, _computer, MasterAborts) = (isIn ? bus : null, computer, aborts);
    }

    internal void Leave()
    {
        Bus = null;
        Update();
    }

    // Brings what is outside in line with configuration space.
    internal virtual void Update()
    {
        foreach (PciBar bar in _bars) Decode(bar);
        UpdateWire();
        SendPending();
    }

    void Decode(PciBar bar)
    {
        DecodeAsleep(bar);
        bool isEnabled = IsAwake && (Command & (bar.IsPort ? PortsEnable : MemoryEnable)) != 0 && bar.Address != 0;
        IReadOnlyList<AddressRange> wanted = !isEnabled ? []
            : Behind is null ? [new AddressRange(bar.Address, bar.Bytes)]
            : Behind.Passes(new AddressRange(bar.Address, bar.Bytes), bar.IsPort);
        if (_computer is null || wanted.SequenceEqual(bar.Decoded)) return;
        DeviceSpace space = bar.IsPort ? _computer.Ports.Devices : _computer.Registers.Devices;
        foreach (AddressRange old in bar.Decoded) space.Remove(old.First, bar.Registers);
        foreach (AddressRange part in wanted)
            space.Overlay(part.First, part.Bytes, bar.Registers, part.First - bar.Address);
        bar.Decoded = wanted;
    }

    // Without power nobody answers; that somebody asked is told.
    void DecodeAsleep(PciBar bar)
    {
        bool isAsleep = Bus is not null && PowerState != 0 && bar.Address != 0
            && (Command & (bar.IsPort ? PortsEnable : MemoryEnable)) != 0;
        AddressRange? wanted = isAsleep ? new AddressRange(bar.Address, bar.Bytes) : null;
        if (_computer is null || wanted == bar.Asleep) return;
        DeviceSpace space = bar.IsPort ? _computer.Ports.Asleep : _computer.Registers.Asleep;
        if (bar.Asleep is { } old) space.Remove(old.First, bar.Silence);
        if (wanted is { } now) space.Overlay(now.First, now.Bytes, bar.Silence);
        bar.Asleep = wanted;
    }

    /// <summary>How often it was kept from memory.</summary>
    public int MasterAborts { get; private set; }

    /// <summary>The function reads memory, past all mappings.</summary>
    /// <returns>False if it may not, cannot put out the address, or nothing is there.</returns>
    public bool TryReadPhysical(ulong address, Span<byte> bytes) =>
        MayReach(address, bytes.Length, isWrite: false) && _computer!.Memory.TryReadPhysical(address, bytes) || Abort();

    /// <summary>The function writes memory.</summary>
    /// <returns>False if it may not, cannot put out the address, or nothing is there.</returns>
    public bool TryWritePhysical(ulong address, ReadOnlySpan<byte> bytes) =>
        MayReach(address, bytes.Length, isWrite: true) && _computer!.Memory.TryWritePhysical(address, bytes) || Abort();

    bool MayReach(ulong address, int bytes, bool isWrite) => IsMaster
        && (bytes == 0 || address + (ulong)(bytes - 1) is var last && last >= address && last <= HighestAddress)
        && _computer!.Iommu.Allows(this, address, bytes, isWrite);

    bool Abort()
    {
        MasterAborts++;
        _space.Set(StatusOffset, 2, StatusMasterAbort, true);
        return false;
    }
}
