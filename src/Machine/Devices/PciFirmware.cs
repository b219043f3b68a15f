namespace Ringdown.Machine;

/// <summary>What firmware does to PCI before the system starts: numbers of buses, windows, addresses.</summary>
sealed class PciFirmware(PciBus bus, Computer computer)
{
    const int LastBus = 255;

    /// <summary>Sets up all that is plugged in. Numbers, and room in the windows of bridges, are kept for what may be
    /// plugged in later.</summary>
    public void Configure()
    {
        Number(null, 0, 1);
        foreach (PciFunction function in bus.Functions) SetUp(function);
    }

    int Number(PciBridge? above, int primary, int next)
    {
        foreach (PciBridge bridge in bus.Known.OfType<PciBridge>().Where(b => b.Behind == above)
            .OrderBy(b => b.Slot.Number))
        {
            if (next > LastBus) return next;
            int secondary = next;
            next = Number(bridge, secondary, next + 1);
            if (bridge.Bus is not null) bridge.SetBuses(primary, secondary, Math.Min(next - 1, LastBus));
        }
        return next;
    }

    void SetUp(PciFunction function)
    {
        var bridge = function as PciBridge;
        if (bridge is not null)
            foreach (PciWindow kind in (PciWindow[])[PciWindow.Memory, PciWindow.Prefetchable, PciWindow.Ports])
                Open(bridge, kind);
        Configure(function);
        foreach (PciFunction behind in bridge?.Functions ?? []) SetUp(behind);
    }

    void Open(PciBridge bridge, PciWindow kind)
    {
        (ulong bytes, ulong alignment) = bridge.Room(kind);
        AddressRange? found = null;
        if (bytes > 0 && Find(bridge, kind, bytes, alignment, kind == PciWindow.Prefetchable) is { } first)
            found = new AddressRange(first, bytes);
        bridge.SetWindow(kind, found);
    }

    /// <summary>Gives addresses to the registers of one function that have none, and lets it decode.</summary>
    /// <returns>Whether all have one.</returns>
    public bool Configure(PciFunction function)
    {
        foreach (PciBar bar in function.Bars.Where(b => b.Address == 0))
            if (Find(function, PciBridge.KindOf(bar), bar.Bytes, bar.Bytes, bar.Is64) is { } first)
                function.Write(bar.Offset, bar.Is64 ? 8 : 4, first);
        var bridge = function as PciBridge;
        bool ports = function.Bars.Any(b => b.IsPort && b.Address != 0)
            || bridge?.Window(PciWindow.Ports) is not null;
        bool memory = function.Bars.Any(b => !b.IsPort && b.Address != 0)
            || bridge?.Window(PciWindow.Memory) is not null || bridge?.Window(PciWindow.Prefetchable) is not null;
        uint command = (uint)function.Read(PciFunction.CommandOffset, 2);
        function.Write(PciFunction.CommandOffset, 2, command | (ports ? PciFunction.PortsEnable : 0)
            | (memory ? PciFunction.MemoryEnable : 0) | (bridge is not null ? PciFunction.MasterEnable : 0));
        return function.Bars.All(b => b.Address != 0);
    }

    ulong? Find(PciFunction function, PciWindow kind, ulong bytes, ulong alignment, bool mayBeHigh)
    {
        if (function.Behind is { } bridge)
        {
            ulong? found = bridge.Window(kind) is { } own ? Find(function, kind, bytes, alignment, own) : null;
            // What may be read ahead may also not be.
            return found ?? (kind == PciWindow.Prefetchable && bridge.Window(PciWindow.Memory) is { } other
                ? Find(function, kind, bytes, alignment, other) : null);
        }
        // What is larger than a quarter of the lower window goes above, if it can.
        return Find(function, kind, bytes, alignment, kind == PciWindow.Ports ? PciBus.PortWindow
            : mayBeHigh && bytes > PciBus.MemoryWindow.Bytes / 4 ? PciBus.HighMemoryWindow : PciBus.MemoryWindow);
    }

    ulong? Find(PciFunction function, PciWindow kind, ulong bytes, ulong alignment, AddressRange window)
    {
        ulong first = window.First, last = window.First + (window.Bytes - 1);
        while (true)
        {
            ulong place = first + (alignment - 1) & ~(alignment - 1);
            if (place < first || place > last || bytes - 1 > last - place) return null;
            if (InTheWay(function, kind == PciWindow.Ports, place, bytes) is not { } other) return place;
            first = other.First + other.Bytes;
            if (first <= place) return null;
        }
    }

    // A fixed device, or what was given before.
    AddressRange? InTheWay(PciFunction wanting, bool isPort, ulong first, ulong bytes)
    {
        DeviceSpace space = isPort ? computer.Ports.Devices : computer.Registers.Devices;
        if (space.FindTaken(first, bytes) is { } taken) return taken;
        foreach (PciFunction function in wanting.Behind?.Functions ?? bus.Functions)
            foreach (AddressRange range in RangesOf(function, isPort))
                if (first - range.First < range.Bytes || range.First - first < bytes) return range;
        return null;
    }

    static IEnumerable<AddressRange> RangesOf(PciFunction function, bool isPort)
    {
        foreach (PciBar bar in function.Bars)
            if (bar.IsPort == isPort && bar.Address != 0) yield return new AddressRange(bar.Address, bar.Bytes);
        if (function is not PciBridge bridge) yield break;
        foreach (PciWindow kind in Enum.GetValues<PciWindow>())
            if (kind == PciWindow.Ports == isPort && bridge.Window(kind) is { } window) yield return window;
    }
}
