using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>What a bridge needs for what is behind it: numbers of buses, and windows.</summary>
/// <remarks>A window is a range like that of a register, with CM_RESOURCE_*_WINDOW_DECODE: what is behind the bridge
/// lies in it.</remarks>
sealed partial class PciChild
{
    const uint WindowMark = 2;
    const ushort WindowDecode = 0x80;

    static readonly PciWindow[] s_windows = [PciWindow.Memory, PciWindow.Prefetchable, PciWindow.Ports];

    static ResourceType TypeOf(PciWindow kind) => kind == PciWindow.Ports ? ResourceType.Port : ResourceType.Memory;

    static ushort FlagsOf(PciWindow kind) => kind switch
    {
        PciWindow.Ports => PortFlags | WindowDecode,
        PciWindow.Prefetchable => 4 | WindowDecode,
        _ => Wdm.CM_RESOURCE_MEMORY_READ_WRITE | WindowDecode,
    };

    bool Forwards(PciWindow kind) => (_function.Read(PciFunction.CommandOffset, 2)
        & (kind == PciWindow.Ports ? PciFunction.PortsEnable : PciFunction.MemoryEnable)) != 0;

    /// <summary>The windows that are open, and the buses that have numbers.</summary>
    void AddForwarded(List<Resource> all)
    {
        if (_bridge is null) return;
        foreach (PciWindow kind in s_windows)
            if (Forwards(kind) && _bridge.Window(kind) is { } open)
                all.Add(new Resource(TypeOf(kind), open.First, open.Bytes, Flags: FlagsOf(kind)));
        if (_bridge.Secondary != 0)
            all.Add(new Resource(ResourceType.BusNumber, (ulong)_bridge.Secondary, NumbersNow));
    }

    ulong NumbersNow => (ulong)Math.Max(1, _bridge!.Subordinate - _bridge.Secondary + 1);

    /// <summary>Windows as large as they are, or as what may be plugged in behind the bridge takes.</summary>
    void AddWindows(List<WantedResource> list)
    {
        if (_bridge is null) return;
        foreach (PciWindow kind in s_windows)
        {
            (ulong bytes, ulong alignment) = _bridge.Room(kind);
            AddressRange? open = Forwards(kind) ? _bridge.Window(kind) : null;
            // A requirement has no more than 32 bits for a length.
            bool isEnough = open is { } now && now.Bytes >= bytes && now.Bytes <= uint.MaxValue;
            if (isEnough) bytes = open!.Value.Bytes;
            if (bytes == 0) continue;
            AddRanges(list, kind, kind == PciWindow.Prefetchable, TypeOf(kind), FlagsOf(kind), bytes, alignment,
                isEnough ? new Resource(TypeOf(kind), open!.Value.First, bytes) : null);
            list.Add(WantedResource.Private(WindowMark, (uint)kind));
        }
        AddNumbers(list);
    }

    void AddNumbers(List<WantedResource> list)
    {
        const uint last = 255;
        (uint lowest, uint highest) = _bridge!.Behind is { } above
            ? ((uint)above.Secondary + 1, (uint)above.Subordinate) : (1, last);
        uint count = (uint)_bridge.BusCount;
        var option = ResourceOption.None;
        if (_bridge.Secondary != 0 && NumbersNow >= count)
        {
            (count, option) = ((uint)NumbersNow, ResourceOption.Alternative);
            list.Add(WantedResource.BusNumbers(count, (uint)_bridge.Secondary, (uint)_bridge.Secondary + count - 1,
                ResourceOption.Preferred));
        }
        list.Add(WantedResource.BusNumbers(count, lowest, highest, option));
    }

    /// <summary>A bridge has numbers for its buses among what it was given.</summary>
    bool MayForward(IReadOnlyList<Resource> resources) => _bridge is null || resources.Any(AreNumbers);

    static bool AreNumbers(Resource resource) =>
        resource.Type == ResourceType.BusNumber && resource.Start is > 0 and < 256;

    /// <summary>Opens the windows that were given, and closes the others.</summary>
    /// <returns>What the command register has to pass on.</returns>
    uint Forward(IReadOnlyList<Resource> resources)
    {
        if (_bridge is null) return 0;
        Resource numbers = resources.First(AreNumbers);
        ulong last = Math.Min(numbers.Start + numbers.Length - 1, 255);
        _bridge.SetBuses(_bridge.BusNumber, (int)numbers.Start, (int)last);
        uint command = 0;
        var open = new AddressRange?[s_windows.Length];
        Resource? range = null;
        foreach (Resource resource in resources)
        {
            if (resource.IsWindow) range = resource;
            if (resource.Type != ResourceType.DevicePrivate) continue;
            if (resource.Private is { First: WindowMark, Second: < 3 } && range is { } given)
                open[resource.Private.Second] = new AddressRange(given.Start, given.Length);
            range = null;
        }
        foreach (PciWindow kind in s_windows)
        {
            _bridge.SetWindow(kind, open[(int)kind]);
            if (open[(int)kind] is null) continue;
            command |= kind == PciWindow.Ports ? PciFunction.PortsEnable : PciFunction.MemoryEnable;
        }
        return command;
    }

    IReadOnlyList<Resource>? _given;
    ulong? _asleep;

    /// <summary>Without power the registers forget: what they were set to is kept meanwhile.</summary>
    public override void SetSystemPower(uint state)
    {
        const uint working = 1, sleeping3 = 4;
        if (state >= sleeping3) _asleep = _function.Read(PciFunction.CommandOffset, 2);
        if (state != working || _asleep is not { } command) return;
        _asleep = null;
        if (_given is not { } resources || _function.Bus is null || Place(resources) is not { } places) return;
        Program(resources, places);
        _function.Write(PciFunction.CommandOffset, 2, command);
    }
}
