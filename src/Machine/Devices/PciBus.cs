namespace Ringdown.Machine;

/// <summary>Where a function is: which of 32 devices of a bus, and which of its 8 functions.</summary>
public readonly record struct PciSlot(int Device, int Function)
{
    /// <summary>As configuration addresses have it.</summary>
    public int Number => Device << 3 | Function;

    public static PciSlot Of(int number) => new(number >> 3 & 31, number & 7);

    public override string ToString() => $"{Device:x2}.{Function}";
}

/// <summary>The PCI bus of a computer, number 0: who is where, and how configuration spaces are reached.</summary>
/// <remarks>As in a PC: the ports CF8 (address, 32 bits only) and CFC (data), and all spaces in memory, 4 KiB a
/// function, from <see cref="EcamBase"/> on. Both are there once there is a function.</remarks>
public sealed class PciBus : IChipState
{
    /// <summary>Where configuration spaces lie in memory: device × 0x8000 + function × 0x1000.</summary>
    public const ulong EcamBase = 0xE000_0000;

    /// <summary>How many bytes they take there.</summary>
    public const ulong EcamBytes = 0x10_0000;

    /// <summary>Interrupt pins of slots without a line of their own go to one of four lines, from this on.</summary>
    public const int FirstLine = 16;

    const ushort AddressPort = 0xCF8;
    const uint AddressEnable = 0x8000_0000;

    readonly SortedDictionary<int, PciFunction> _functions = [];
    readonly List<PciFunction> _known = [];
    readonly Computer _computer;
    uint _address;
    bool _isReachable;

    internal PciBus(Computer computer) => _computer = computer;

    /// <summary>Memory that the bus passes on to its devices; of 32 bits.</summary>
    public static AddressRange MemoryWindow { get; } = new(0xC000_0000, 0x2000_0000);

    /// <summary>Memory above 4 GiB that the bus passes on.</summary>
    public static AddressRange HighMemoryWindow { get; } = new(0x40_0000_0000, 0x40_0000_0000);

    /// <summary>Ports that the bus passes on.</summary>
    public static AddressRange PortWindow { get; } = new(0xC000, 0x4000);

    /// <summary>The functions that are plugged in, by their slots.</summary>
    public IReadOnlyCollection<PciFunction> Functions => _functions.Values;

    /// <summary>All functions that are, or were, or may be plugged in.</summary>
    public IReadOnlyList<PciFunction> Known => _known;

    /// <summary>A function was plugged in, or is gone.</summary>
    public event Action? Changed;

    /// <summary>A function that may do so wakes the system.</summary>
    public event Action<PciFunction>? Woken;

    /// <summary>Somebody wants a function ejected: a button at the slot.</summary>
    public event Action<PciFunction>? EjectRequested;

    public PciFunction? Find(PciSlot slot) => _functions.GetValueOrDefault(slot.Number);

    /// <summary>Plugs a function in. Its address registers are empty, and it decodes nothing, until somebody sets it
    /// up: <see cref="Configure()"/>, or the system.</summary>
    /// <exception cref="ArgumentException">The slot is taken, or the function is plugged in already.</exception>
    public void Plug(PciFunction function)
    {
        if (function.Bus is not null) throw new ArgumentException($"{function.Slot} is plugged in already.");
        if (_functions.ContainsKey(function.Slot.Number)) throw new ArgumentException($"{function.Slot} is taken.");
        if (!_isReachable)
        {
            _computer.Registers.Devices.Add(EcamBase, EcamBytes, new Ecam(this));
            _computer.Ports.Devices.Add(AddressPort, 8, new Ports(this));
            _isReachable = true;
        }
        Keep(function);
        _functions.Add(function.Slot.Number, function);
        MarkMultifunction(function.Slot.Device);
        function.Enter(this, _computer, function.Line ?? LineOf(function.Slot, function.Pin));
        Changed?.Invoke();
    }

    /// <summary>Has a function at hand that somebody may plug in later.</summary>
    public void Keep(PciFunction function)
    {
        if (!_known.Contains(function)) _known.Add(function);
    }

    // Each slot begins with another of the four, as boards are wired.
    static int LineOf(PciSlot slot, int pin) => FirstLine + (slot.Device + pin - 1 & 3);

    /// <summary>A function is gone, without a word before: what reads it reads ones, what is written is
    /// lost.</summary>
    public void Remove(PciFunction function)
    {
        if (function.Bus != this) return;
        function.Leave();
        _functions.Remove(function.Slot.Number);
        MarkMultifunction(function.Slot.Device);
        Changed?.Invoke();
    }

    // Who looks for functions looks at more than the first only if that says that there are others.
    void MarkMultifunction(int device)
    {
        PciFunction[] all = [.. _functions.Values.Where(f => f.Slot.Device == device)];
        foreach (PciFunction function in all) function.IsMultifunction = all.Length > 1;
    }

    /// <summary>Asks the system to let a function go.</summary>
    public void RequestEject(PciFunction function)
    {
        if (function.Bus == this) EjectRequested?.Invoke(function);
    }

    /// <summary>A snapshot comes back: nobody sends anything meanwhile.</summary>
    internal bool IsRestoring { get; set; }

    /// <summary>Functions that became known since the state was kept are out of their slots afterwards.</summary>
    public void Exchange(ChipState state)
    {
        int count = _known.Count;
        state.Value(ref count);
        state.Value(ref _address);
        if (state.IsRestoring) _known[count..].ForEach(f => f.Leave());
        for (int i = 0; i < count; i++) _known[i].Exchange(state, this, _computer);
        if (!state.IsRestoring) return;
        _functions.Clear();
        foreach (PciFunction function in _known.Where(f => f.Bus is not null))
            _functions.Add(function.Slot.Number, function);
    }

    internal void Wake(PciFunction function) => Woken?.Invoke(function);

    /// <summary>Reads configuration space. Of who is not there all bits are ones.</summary>
    public uint Read(PciSlot slot, int offset, int size)
    {
        ulong value = Find(slot)?.Read(offset, size) ?? ulong.MaxValue;
        return (uint)(value & (1UL << (8 * size)) - 1);
    }

    public void Write(PciSlot slot, int offset, int size, uint value) => Find(slot)?.Write(offset, size, value);

    /// <summary>What firmware does before the system starts: gives every function addresses and its line's number, and
    /// lets it decode.</summary>
    public void Configure()
    {
        foreach (PciFunction function in _functions.Values) Configure(function);
    }

    /// <summary>The same for one function; registers that have an address keep it.</summary>
    /// <returns>Whether all have one.</returns>
    public bool Configure(PciFunction function)
    {
        foreach (PciBar bar in function.Bars.Where(b => b.Address == 0))
        {
            if (bar.IsPort) Give(bar, PortWindow, _computer.Ports.Devices);
            // What is larger than a quarter of the lower window goes above, if it can.
            else Give(bar, bar.Is64 && bar.Bytes > MemoryWindow.Bytes / 4 ? HighMemoryWindow : MemoryWindow,
                _computer.Registers.Devices);
        }
        uint decodes = (function.Bars.Any(b => b.IsPort && b.Address != 0) ? PciFunction.PortsEnable : 0u)
            | (function.Bars.Any(b => !b.IsPort && b.Address != 0) ? PciFunction.MemoryEnable : 0u);
        uint command = (uint)function.Read(PciFunction.CommandOffset, 2);
        function.Write(PciFunction.CommandOffset, 2, command | decodes);
        return function.Bars.All(b => b.Address != 0);
    }

    void Give(PciBar bar, AddressRange window, DeviceSpace space)
    {
        ulong first = window.First + bar.Bytes - 1 & ~(bar.Bytes - 1), end = window.First + window.Bytes;
        // A fixed device may be in the way, or what was given before.
        while (first < end && bar.Bytes <= end - first && !IsFree(bar, first, space)) first += bar.Bytes;
        if (first >= end || bar.Bytes > end - first) return;
        bar.Function.Write(bar.Offset, 4, (uint)first);
        if (bar.Is64) bar.Function.Write(bar.Offset + 4, 4, (uint)(first >> 32));
    }

    bool IsFree(PciBar wanted, ulong first, DeviceSpace space)
    {
        if (!space.IsFree(first, wanted.Bytes)) return false;
        foreach (PciFunction function in _functions.Values)
            foreach (PciBar bar in function.Bars)
                if (bar.IsPort == wanted.IsPort && bar.Address != 0
                    && (first - bar.Address < bar.Bytes || bar.Address - first < wanted.Bytes)) return false;
        return true;
    }

    sealed class Ecam(PciBus bus) : IMmioDevice
    {
        public ulong Read(ulong offset, int size) =>
            bus.Find(PciSlot.Of((int)(offset >> 12)))?.Read((int)offset & 0xFFF, size) ?? ulong.MaxValue;

        public void Write(ulong offset, int size, ulong value) =>
            bus.Find(PciSlot.Of((int)(offset >> 12)))?.Write((int)offset & 0xFFF, size, value);
    }

    sealed class Ports(PciBus bus) : IMmioDevice
    {
        public ulong Read(ulong offset, int size)
        {
            if (offset < 4) return bus._address >> (8 * (int)offset);
            return Slot is { } slot ? bus.Read(slot, Register(offset), size) : uint.MaxValue;
        }

        public void Write(ulong offset, int size, ulong value)
        {
            if (offset == 0 && size == 4) bus._address = (uint)value & 0x80FF_FFFC;
            else if (offset >= 4 && Slot is { } slot) bus.Write(slot, Register(offset), size, (uint)value);
        }

        // Other buses than 0 have nobody.
        PciSlot? Slot => (bus._address & AddressEnable) != 0 && (bus._address >> 16 & 0xFF) == 0
            ? PciSlot.Of((int)(bus._address >> 8) & 0xFF) : null;

        int Register(ulong offset) => (int)(bus._address & 0xFC) + (int)(offset & 3);
    }
}
