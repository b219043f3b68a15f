namespace Ringdown.Machine;

/// <summary>What a bridge passes on to the bus behind it: three ranges of addresses.</summary>
public enum PciWindow
{
    /// <summary>Memory below 4 GiB, in units of 1 MiB.</summary>
    Memory,

    /// <summary>Memory that may be read ahead, of 64 bits, in units of 1 MiB.</summary>
    Prefetchable,

    /// <summary>Ports, in units of 4 KiB.</summary>
    Ports,
}

/// <summary>A bridge to another PCI bus, with a header of type 1.</summary>
/// <remarks>It passes on what lies within its windows as its command register allows, writes to memory from behind it
/// as a bus master, configuration cycles by the numbers of its buses, and interrupt pins always. Without power, or
/// while it resets the bus behind it, it passes on nothing.</remarks>
public sealed class PciBridge : PciFunction
{
    const int PrimaryOffset = 0x18, SecondaryOffset = 0x19, SubordinateOffset = 0x1A, PortsOffset = 0x1C,
        SecondaryStatusOffset = 0x1E, MemoryOffset = 0x20, PrefetchableOffset = 0x24, UpperBaseOffset = 0x28,
        UpperLimitOffset = 0x2C;

    /// <summary>Where the bridge control register is.</summary>
    public const int ControlOffset = 0x3E;

    /// <summary>Of the bridge control register: the bus behind it is reset as long as it is set.</summary>
    public const uint SecondaryReset = 0x40;

    const uint ForwardErrors = 3;

    public PciBridge(PciSlot slot, PciIdentity identity, int pin = 0)
        : base(slot, identity, pin)
    {
        _space[0x0E, 1] = 1;
        _space.Allow(PrimaryOffset, 4, uint.MaxValue);
        _space.Allow(PortsOffset, 2, 0xF0F0);
        _space.AllowClearing(SecondaryStatusOffset, 2, 0xF900);
        _space.Allow(MemoryOffset, 4, 0xFFF0_FFF0);
        _space[PrefetchableOffset, 4] = 0x0001_0001;
        _space.Allow(PrefetchableOffset, 4, 0xFFF0_FFF0);
        _space.Allow(UpperBaseOffset, 8, ulong.MaxValue);
        _space.Allow(ControlOffset, 2, SecondaryReset | ForwardErrors);
    }

    internal SortedDictionary<int, PciFunction> Seats { get; } = [];

    /// <summary>The functions that are plugged in behind it, by their slots.</summary>
    public IReadOnlyCollection<PciFunction> Functions => Seats.Values;

    /// <summary>The number of the bus that it is on, as it was told.</summary>
    public int Primary => (int)_space[PrimaryOffset, 1];

    /// <summary>The number of the bus behind it; 0: it has none yet.</summary>
    public int Secondary => (int)_space[SecondaryOffset, 1];

    /// <summary>The highest number of a bus behind it.</summary>
    public int Subordinate => (int)_space[SubordinateOffset, 1];

    /// <summary>It holds all that is behind it in reset.</summary>
    public bool IsResetting => (_space[ControlOffset, 2] & SecondaryReset) != 0;

    private protected override int BarCount => 2;

    // A root port, or by turns the upper and the lower ports of a switch.
    private protected override ulong PortType => Behind is null ? 4u : Behind.PortType == 5 ? 6u : 5u;

    /// <summary>Configuration cycles for a bus go on behind it.</summary>
    internal bool Forwards(int bus) =>
        IsAwake && !IsResetting && Secondary != 0 && bus >= Secondary && bus <= Subordinate;

    public void SetBuses(int primary, int secondary, int subordinate) =>
        Write(PrimaryOffset, 3, (ulong)(primary | secondary << 8 | subordinate << 16));

    /// <summary>The unit in which a window is given.</summary>
    public static ulong Granule(PciWindow kind) => kind == PciWindow.Ports ? 0x1000u : 0x10_0000;

    /// <summary>A window; null: it is closed.</summary>
    public AddressRange? Window(PciWindow kind)
    {
        (ulong first, ulong limit) = kind switch
        {
            PciWindow.Ports => ((_space[PortsOffset, 1] & 0xF0) << 8, (_space[PortsOffset + 1, 1] & 0xF0) << 8),
            PciWindow.Memory =>
                ((_space[MemoryOffset, 2] & 0xFFF0) << 16, (_space[MemoryOffset + 2, 2] & 0xFFF0) << 16),
            _ => (_space[UpperBaseOffset, 4] << 32 | (_space[PrefetchableOffset, 2] & 0xFFF0) << 16,
                _space[UpperLimitOffset, 4] << 32 | (_space[PrefetchableOffset + 2, 2] & 0xFFF0) << 16),
        };
        // At 0 is nothing that a bridge could pass on.
        return first == 0 || first > limit ? null : new AddressRange(first, limit - first + Granule(kind));
    }

    /// <summary>Opens a window, or closes it.</summary>
    public void SetWindow(PciWindow kind, AddressRange? range)
    {
        ulong granule = Granule(kind), first = range?.First ?? granule;
        ulong last = range is { } open ? open.First + open.Bytes - granule : 0;
        if (kind == PciWindow.Ports)
        {
            Write(PortsOffset, 2, first >> 8 | last >> 8 << 8);
            return;
        }
        Write(kind == PciWindow.Memory ? MemoryOffset : PrefetchableOffset, 4,
            first >> 16 & 0xFFF0 | (last >> 16 & 0xFFF0) << 16);
        if (kind == PciWindow.Memory) return;
        Write(UpperBaseOffset, 4, first >> 32);
        Write(UpperLimitOffset, 4, last >> 32);
    }

    /// <summary>The parts of a range that come through this bridge and all before it.</summary>
    internal IReadOnlyList<AddressRange> Passes(AddressRange range, bool isPort)
    {
        if (!IsAwake || IsResetting || (Command & (isPort ? PortsEnable : MemoryEnable)) == 0) return [];
        PciWindow[] kinds = isPort ? [PciWindow.Ports] : [PciWindow.Memory, PciWindow.Prefetchable];
        IEnumerable<AddressRange> parts = kinds.Select(k => Window(k)).OfType<AddressRange>()
            .Select(w => Common(w, range)).OfType<AddressRange>();
        return [.. Behind is null ? parts : parts.SelectMany(p => Behind.Passes(p, isPort))];
    }

    static AddressRange? Common(AddressRange one, AddressRange other)
    {
        ulong first = ulong.Max(one.First, other.First);
        // Behind the last byte there may be none.
        ulong last = ulong.Min(one.First + (one.Bytes - 1), other.First + (other.Bytes - 1));
        return last >= first ? new AddressRange(first, last - first + 1) : null;
    }

    public override void Write(int offset, int size, ulong value)
    {
        bool before = IsResetting;
        base.Write(offset, size, value);
        if (IsResetting && !before) ResetBehind();
    }

    private protected override void Forget()
    {
        base.Forget();
        _space[PrimaryOffset, 4] = 0;
        _space[PortsOffset, 2] = 0;
        _space[MemoryOffset, 4] = 0;
        _space[PrefetchableOffset, 4] = 0x0001_0001;
        _space[UpperBaseOffset, 8] = 0;
        _space[ControlOffset, 2] = 0;
    }

    internal override void Reset()
    {
        base.Reset();
        ResetBehind();
    }

    void ResetBehind()
    {
        foreach (PciFunction function in Seats.Values) function.Reset();
    }

    internal override void Update()
    {
        base.Update();
        foreach (PciFunction function in Seats.Values) function.Update();
    }

    /// <summary>How much of a window what may be plugged in behind the bridge takes, and how it must lie; 0 bytes:
    /// nothing does.</summary>
    public (ulong Bytes, ulong Alignment) Room(PciWindow kind)
    {
        const ulong mostRounding = 0x100_0000;
        ulong granule = Granule(kind), alignment = granule, bytes = 0;
        List<(ulong Bytes, ulong Alignment)> all = [];
        foreach (PciFunction function in Known)
        {
            all.AddRange(function.Bars.Where(b => KindOf(b) == kind).Select(b => (b.Bytes, b.Bytes)));
            if (function is PciBridge bridge && bridge.Room(kind) is { Bytes: > 0 } room) all.Add(room);
        }
        foreach ((ulong size, ulong edge) in all.OrderByDescending(a => a.Alignment))
        {
            alignment = ulong.Max(alignment, edge);
            bytes = Up(bytes, edge) + size;
        }
        // Who places them in another order needs the last one's whole place.
        return (Up(bytes, ulong.Min(alignment, mostRounding)), alignment);
    }

    /// <summary>How many numbers of buses it takes: its own, and those of all bridges that may be behind it.</summary>
    public int BusCount => 1 + Known.OfType<PciBridge>().Sum(b => b.BusCount);

    /// <summary>All that is, or was, or may be plugged in behind it.</summary>
    public IEnumerable<PciFunction> Known => _computerBus?.Known.Where(f => f.Behind == this) ?? [];

    /// <summary>The window for what is behind a base address register.</summary>
    public static PciWindow KindOf(PciBar bar) =>
        bar.IsPort ? PciWindow.Ports : bar.IsPrefetchable ? PciWindow.Prefetchable : PciWindow.Memory;

    static ulong Up(ulong value, ulong alignment) => value + alignment - 1 & ~(alignment - 1);

    PciBus? _computerBus;

    internal void NoteBus(PciBus bus) => _computerBus = bus;
}
