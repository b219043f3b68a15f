namespace Ringdown.Machine;

/// <summary>Where a function is: which of 32 devices of a bus, and which of its 8 functions.</summary>
public readonly record struct PciSlot(int Device, int Function)
{
    /// <summary>As configuration addresses have it.</summary>
    public int Number => Device << 3 | Function;

    public static PciSlot Of(int number) => new(number >> 3 & 31, number & 7);

    public override string ToString() => $"{Device:x2}.{Function}";
}

/// <summary>PCI of a computer: bus 0, what is plugged in there and behind bridges, and how configuration spaces are
/// reached.</summary>
/// <remarks>As in a PC: the ports CF8 (address, 32 bits only) and CFC (data), and all spaces in memory, 4 KiB a
/// function, from <see cref="EcamBase"/> on. Both are there once there is a function. A cycle for another bus than 0
/// goes where the bridges say.</remarks>
public sealed class PciBus : IChipState
{
    /// <summary>Where configuration spaces lie in memory: bus × 0x100000 + device × 0x8000 + function ×
    /// 0x1000.</summary>
    public const ulong EcamBase = 0xE000_0000;

    /// <summary>How many bytes they take there.</summary>
    public const ulong EcamBytes = 0x1000_0000;

    /// <summary>Interrupt pins of slots without a line of their own go to one of four lines, from this on.</summary>
    public const int FirstLine = 16;

    const ushort AddressPort = 0xCF8;
    const uint AddressEnable = 0x8000_0000;

    readonly SortedDictionary<int, PciFunction> _functions = [];
    readonly List<PciFunction> _known = [];
    readonly Computer _computer;
    readonly PciFirmware _firmware;
    uint _address;
    bool _isReachable;

    internal PciBus(Computer computer) => (_computer, _firmware) = (computer, new PciFirmware(this, computer));

    /// <summary>Memory that the bus passes on to its devices; of 32 bits.</summary>
    public static AddressRange MemoryWindow { get; } = new(0xC000_0000, 0x2000_0000);

    /// <summary>Memory above 4 GiB that the bus passes on.</summary>
    public static AddressRange HighMemoryWindow { get; } = new(0x40_0000_0000, 0x40_0000_0000);

    /// <summary>Ports that the bus passes on.</summary>
    public static AddressRange PortWindow { get; } = new(0xC000, 0x4000);

    /// <summary>Told when somebody touches registers of a function that has no power: which, the offset, whether it is
    /// a write.</summary>
    public Action<PciBar, ulong, bool>? TouchedAsleep { get; set; }

    /// <summary>The functions that are plugged in on bus 0, by their slots.</summary>
    public IReadOnlyCollection<PciFunction> Functions => _functions.Values;

    /// <summary>All functions that are plugged in, each bridge before what is behind it.</summary>
    public IEnumerable<PciFunction> All => _functions.Values.SelectMany(Tree);

    static IEnumerable<PciFunction> Tree(PciFunction function) =>
        (function as PciBridge)?.Functions.SelectMany(Tree).Prepend(function) ?? [function];

    /// <summary>All functions that are, or were, or may be plugged in.</summary>
    public IReadOnlyList<PciFunction> Known => _known;

    /// <summary>A function was plugged in, or is gone.</summary>
    public event Action? Changed;

    /// <summary>A function that may do so wakes the system.</summary>
    public event Action<PciFunction>? Woken;

    /// <summary>Somebody wants a function ejected: a button at the slot.</summary>
    public event Action<PciFunction>? EjectRequested;

    /// <summary>The function in a slot of bus 0.</summary>
    public PciFunction? Find(PciSlot slot) => _functions.GetValueOrDefault(slot.Number);

    /// <summary>The function that answers a configuration cycle.</summary>
    public PciFunction? Find(int bus, PciSlot slot) => SeatsOn(bus)?.GetValueOrDefault(slot.Number);

    /// <summary>Configuration cycles get to a function: it is plugged in, and all bridges before it pass them
    /// on.</summary>
    public bool Reaches(PciFunction function) => Find(function.BusNumber, function.Slot) == function;

    /// <summary>A bridge has the number, and cycles for it get there.</summary>
    public bool HasBus(int number) => SeatsOn(number) is not null;

    SortedDictionary<int, PciFunction>? SeatsOn(int number)
    {
        SortedDictionary<int, PciFunction> seats = _functions;
        if (number == 0) return seats;
        while (true)
        {
            // Of two that were given one number the first answers.
            if (seats.Values.OfType<PciBridge>().FirstOrDefault(b => b.Forwards(number)) is not { } bridge) return null;
            if (bridge.Secondary == number) return bridge.Seats;
            seats = bridge.Seats;
        }
    }

    SortedDictionary<int, PciFunction> SeatsOf(PciFunction function) => function.Behind?.Seats ?? _functions;

    bool IsSeated(PciFunction function) => SeatsOf(function).GetValueOrDefault(function.Slot.Number) == function;

    /// <summary>Plugs a function in, and with a bridge what is plugged in behind it. Its address registers are empty,
    /// and it decodes nothing, until somebody sets it up: <see cref="Configure()"/>, or the system.</summary>
    /// <exception cref="ArgumentException">The slot is taken, or the function is plugged in already.</exception>
    public void Plug(PciFunction function)
    {
        if (IsSeated(function)) throw new ArgumentException($"{function.Slot} is plugged in already.");
        if (SeatsOf(function).ContainsKey(function.Slot.Number))
            throw new ArgumentException($"{function.Slot} is taken.");
        if (!_isReachable)
        {
            _computer.Registers.Devices.Add(EcamBase, EcamBytes, new Ecam(this));
            _computer.Ports.Devices.Add(AddressPort, 8, new Ports(this));
            _isReachable = true;
        }
        Keep(function);
        SeatsOf(function).Add(function.Slot.Number, function);
        MarkMultifunction(function);
        if (function.Behind is null or { Bus: not null }) Enter(function);
        Changed?.Invoke();
    }

    void Enter(PciFunction function)
    {
        foreach (PciFunction each in Tree(function)) each.Enter(this, _computer, each.Line ?? LineOf(each));
    }

    /// <summary>Has a function at hand that somebody may plug in later.</summary>
    public void Keep(PciFunction function)
    {
        if (!_known.Contains(function)) _known.Add(function);
        (function as PciBridge)?.NoteBus(this);
    }

    // Each slot begins with another of the four, as boards are wired, and so do the slots behind bridges.
    static int LineOf(PciFunction function)
    {
        int pin = function.Pin - 1;
        PciFunction at = function;
        for (; at.Behind is { } bridge; at = bridge) pin += at.Slot.Device;
        return FirstLine + (at.Slot.Device + pin & 3);
    }

    /// <summary>A function is gone, and with a bridge what is behind it, without a word before: what reads it reads
    /// ones, what is written is lost.</summary>
    public void Remove(PciFunction function)
    {
        if (!IsSeated(function)) return;
        foreach (PciFunction each in Tree(function)) each.Leave();
        SeatsOf(function).Remove(function.Slot.Number);
        MarkMultifunction(function);
        Changed?.Invoke();
    }

    // Who looks for functions looks at more than the first only if that says that there are others.
    void MarkMultifunction(PciFunction one)
    {
        PciFunction[] all = [.. SeatsOf(one).Values.Where(f => f.Slot.Device == one.Slot.Device)];
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
        bool[] seated = [.. _known.Select(IsSeated)];
        state.Bytes(System.Runtime.InteropServices.MemoryMarshal.AsBytes(seated.AsSpan(0, count)));
        if (state.IsRestoring) _known[count..].ForEach(f => f.Leave());
        for (int i = 0; i < count; i++) _known[i].Exchange(state, this, _computer);
        if (!state.IsRestoring) return;
        _functions.Clear();
        foreach (PciBridge bridge in _known.OfType<PciBridge>()) bridge.Seats.Clear();
        for (int i = 0; i < count; i++)
            if (seated[i]) SeatsOf(_known[i]).Add(_known[i].Slot.Number, _known[i]);
        foreach (PciFunction function in _known) function.Update();
    }

    internal void Wake(PciFunction function) => Woken?.Invoke(function);

    /// <summary>The system loses its power: functions keep only who may wake it. Then firmware sets them up as at the
    /// start.</summary>
    internal void LosePower()
    {
        foreach (PciFunction function in All) function.LosePower();
        Configure();
    }

    /// <summary>Reads configuration space. Of who is not there all bits are ones.</summary>
    public uint Read(PciSlot slot, int offset, int size) => Read(0, slot, offset, size);

    public uint Read(int bus, PciSlot slot, int offset, int size)
    {
        ulong value = Find(bus, slot)?.Read(offset, size) ?? ulong.MaxValue;
        return (uint)(value & (1UL << (8 * size)) - 1);
    }

    public void Write(PciSlot slot, int offset, int size, uint value) => Write(0, slot, offset, size, value);

    public void Write(int bus, PciSlot slot, int offset, int size, uint value) =>
        Find(bus, slot)?.Write(offset, size, value);

    /// <summary>What firmware does before the system starts: numbers the buses, gives every function addresses and its
    /// line's number, and lets it decode.</summary>
    public void Configure() => _firmware.Configure();

    /// <summary>Gives one function addresses and lets it decode; registers that have an address keep it.</summary>
    /// <returns>Whether all have one.</returns>
    public bool Configure(PciFunction function) => _firmware.Configure(function);

    sealed class Ecam(PciBus bus) : IMmioDevice
    {
        PciFunction? At(ulong offset) => bus.Find((int)(offset >> 20), PciSlot.Of((int)(offset >> 12) & 0xFF));

        public ulong Read(ulong offset, int size) => At(offset)?.Read((int)offset & 0xFFF, size) ?? ulong.MaxValue;

        public void Write(ulong offset, int size, ulong value) => At(offset)?.Write((int)offset & 0xFFF, size, value);
    }

    sealed class Ports(PciBus bus) : IMmioDevice
    {
        bool IsEnabled => (bus._address & AddressEnable) != 0;
        int Number => (int)(bus._address >> 16) & 0xFF;
        PciSlot Slot => PciSlot.Of((int)(bus._address >> 8) & 0xFF);

        public ulong Read(ulong offset, int size)
        {
            if (offset < 4) return bus._address >> (8 * (int)offset);
            return IsEnabled ? bus.Read(Number, Slot, Register(offset), size) : uint.MaxValue;
        }

        public void Write(ulong offset, int size, ulong value)
        {
            if (offset == 0 && size == 4) bus._address = (uint)value & 0x80FF_FFFC;
            else if (offset >= 4 && IsEnabled) bus.Write(Number, Slot, Register(offset), size, (uint)value);
        }

        int Register(ulong offset) => (int)(bus._address & 0xFC) + (int)(offset & 3);
    }
}
