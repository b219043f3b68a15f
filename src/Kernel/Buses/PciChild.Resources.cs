using Ringdown.Machine;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>What a function needs, and how it is set to what it got.</summary>
/// <remarks>Behind each range in a list is one for the driver of the bus alone, which says which base address register
/// the range is for: lists may come back in another order.</remarks>
sealed partial class PciChild
{
    const uint BarMark = 1;
    const int MostTableMessages = 64, EntryBytes = 16;

    /// <summary>Where messages are written for a processor.</summary>
    internal static ulong MessageAddress(ulong processors) =>
        0xFEE0_0000 | (ulong)InterruptPolicy.First(processors) << 12;

    const ushort PortFlags = Wdm.CM_RESOURCE_PORT_IO | Wdm.CM_RESOURCE_PORT_16_BIT_DECODE;

    bool Decodes(PciBar bar) => bar.Address != 0
        && (_function.Read(PciFunction.CommandOffset, 2)
            & (bar.IsPort ? PciFunction.PortsEnable : PciFunction.MemoryEnable)) != 0;

    ulong Line => _function.Read(0x3C, 1);

    static ResourceType TypeOf(PciBar bar) => bar.IsPort ? ResourceType.Port : ResourceType.Memory;

    static ushort FlagsOf(PciBar bar) => bar.IsPort ? PortFlags
        : bar.IsPrefetchable ? (ushort)4 : Wdm.CM_RESOURCE_MEMORY_READ_WRITE;

    public override IReadOnlyList<Resource> BootResources
    {
        get
        {
            List<Resource> all = [.. _function.Bars.Where(Decodes).Select(b => new Resource(
                TypeOf(b), b.Address, b.Bytes, Flags: FlagsOf(b)))];
            AddForwarded(all);
            if (all.Count > 0 && _function.Pin != 0)
                all.Add(new Resource(ResourceType.Interrupt, Line, 1, ShareDisposition.Shared));
            return all;
        }
    }

    public override IReadOnlyList<IReadOnlyList<WantedResource>> Requirements =>
        Want(settings(this));

    /// <summary>Alternative lists: messages of a table, messages, the line.</summary>
    internal IReadOnlyList<IReadOnlyList<WantedResource>> Want(InterruptSettings settings)
    {
        (uint limit, InterruptPolicy policy) = settings;
        List<WantedResource> ranges = [];
        foreach (PciBar bar in _function.Bars) Add(ranges, bar);
        AddWindows(ranges);
        List<IReadOnlyList<WantedResource>> lists = [];
        if (limit > 0 && _function.TableEntries > 0)
        {
            int count = (int)Math.Min(Math.Min((uint)_function.TableEntries, MostTableMessages), limit);
            lists.Add([.. ranges, .. Enumerable.Repeat(WantedResource.Messages(1).For(policy), count)]);
        }
        if (limit > 0 && Find(MessageCapability) is { } msi)
        {
            int most = 1 << (int)(_function.Read(msi + 2, 2) >> 1 & 7), count = 1;
            while (count * 2 <= most && count * 2 <= limit) count *= 2;
            List<WantedResource> list = [.. ranges, WantedResource.Messages(count).For(policy)];
            // A driver that gets fewer has to do with one or two.
            while ((count /= 2) > 0)
                list.Add(WantedResource.Messages(count, ResourceOption.Alternative).For(policy));
            lists.Add(list);
        }
        if (_function.Pin != 0)
        {
            var line = new FirmwareLine((int)Line, InterruptTrigger.Level, true);
            lists.Add([.. ranges, WantedResource.Line(line).For(policy)]);
        }
        if (lists.Count == 0) lists.Add(ranges);
        return lists;
    }

    void Add(List<WantedResource> list, PciBar bar)
    {
        Resource? now = Decodes(bar) ? new Resource(TypeOf(bar), bar.Address, bar.Bytes) : null;
        AddRanges(list, PciBridge.KindOf(bar), bar.Is64, TypeOf(bar), FlagsOf(bar), bar.Bytes, bar.Bytes, now);
        list.Add(WantedResource.Private(BarMark, (uint)bar.Index));
    }

    /// <summary>A range in what the bridge passes on, at best where it is now.</summary>
    void AddRanges(
        List<WantedResource> list, PciWindow kind, bool mayBeHigh, ResourceType type, ushort flags, ulong bytes,
        ulong alignment, Resource? now)
    {
        var option = ResourceOption.None;
        AddressRange[] windows = [.. Windows(kind, mayBeHigh)];
        if (now is { } at && (_function.Behind is null || windows.Any(w => at.Start - w.First < w.Bytes)))
        {
            list.Add(WantedResource.Range(type, flags, bytes, at.Start, at.Start + bytes - 1,
                ResourceOption.Preferred) with
            { Second = (uint)alignment });
            option = ResourceOption.Alternative;
        }
        foreach (AddressRange window in windows)
        {
            list.Add(WantedResource.Range(
                type, flags, bytes, window.First, window.First + window.Bytes - 1, option) with
            {
                Second = (uint)alignment,
            });
            option = ResourceOption.Alternative;
        }
        // The bridge passes nothing on: there is no place.
        if (option == ResourceOption.None) list.Add(WantedResource.Range(type, flags, bytes, 1, 0));
    }

    /// <summary>Where a range may lie: in what the bridge before it passes on, or the root.</summary>
    IEnumerable<AddressRange> Windows(PciWindow kind, bool mayBeHigh)
    {
        if (_function.Behind is { } bridge)
        {
            if (bridge.Window(kind) is { } own) yield return own;
            if (kind == PciWindow.Prefetchable && bridge.Window(PciWindow.Memory) is { } memory) yield return memory;
            yield break;
        }
        yield return kind == PciWindow.Ports ? PciBus.PortWindow : PciBus.MemoryWindow;
        if (mayBeHigh) yield return PciBus.HighMemoryWindow;
    }

    public override NtStatus Start(IReadOnlyList<Resource> resources)
    {
        if (_function.Bus is null) return STATUS_NO_SUCH_DEVICE;
        if (Place(resources) is not { } places || !MayForward(resources)) return STATUS_INVALID_PARAMETER;
        SetPower(1);
        _given = resources;
        Program(resources, places);
        return STATUS_SUCCESS;
    }

    void Program(IReadOnlyList<Resource> resources, List<(PciBar Bar, ulong Address)> places)
    {
        // What is moved is not decoded meanwhile.
        ulong command = _function.Read(PciFunction.CommandOffset, 2);
        _function.Write(PciFunction.CommandOffset, 2, command & ~3UL);
        foreach ((PciBar bar, ulong address) in places) _function.Write(bar.Offset, bar.Is64 ? 8 : 4, address);
        Resource[] messages = [.. resources.Where(r => r.IsMessage)];
        if (resources.FirstOrDefault(r => r.Type == ResourceType.Interrupt && !r.IsMessage) is { Length: > 0 } line)
            _function.Write(0x3C, 1, line.Start);
        command |= (places.Any(p => p.Bar.IsPort) ? PciFunction.PortsEnable : 0)
            | (places.Any(p => !p.Bar.IsPort) ? PciFunction.MemoryEnable : 0) | PciFunction.MasterEnable
            | Forward(resources);
        command = messages.Length > 0 ? command | PciFunction.WireDisable : command & ~(ulong)PciFunction.WireDisable;
        _function.Write(PciFunction.CommandOffset, 2, command);
        SetMessages(messages);
    }

    /// <summary>Which range is for which register. Null if one is missing, or has another size.</summary>
    List<(PciBar Bar, ulong Address)>? Place(IReadOnlyList<Resource> resources)
    {
        List<(PciBar Bar, ulong Address)> places = [];
        Resource? range = null;
        foreach (Resource resource in resources)
        {
            if (resource.Type is ResourceType.Port or ResourceType.Memory) range = resource;
            if (resource.Type != ResourceType.DevicePrivate || resource.Private.First != BarMark) continue;
            PciBar? bar = _function.Bars.FirstOrDefault(b => b.Index == resource.Private.Second);
            if (bar is null || range is not { } given || given.Type != TypeOf(bar) || given.Length != bar.Bytes
                || (given.Start & bar.Bytes - 1) != 0) return null;
            places.Add((bar, given.Start));
            range = null;
        }
        return places.Count == _function.Bars.Count ? places : null;
    }

    void SetMessages(Resource[] messages)
    {
        DisableMessages();
        if (messages.Length == 0) return;
        if (Find(MessageTableCapability) is { } table && (messages.Length > 1 || Find(MessageCapability) is null))
            SetTable(table, messages);
        else if (Find(MessageCapability) is { } msi)
        {
            ulong count = System.Numerics.BitOperations.RoundUpToPowerOf2(messages[0].Length);
            _function.Write(msi + 4, 8, MessageAddress(messages[0].Processors));
            _function.Write(msi + 12, 2, messages[0].Vector);
            _function.Write(msi + 16, 4, 0);
            _function.Write(msi + 2, 2, (ulong)System.Numerics.BitOperations.Log2(count) << 4 | 1);
        }
    }

    // Entries beyond the messages that were given send the first one.
    void SetTable(int capability, Resource[] messages)
    {
        ulong where = _function.Read(capability + 4, 4);
        PciBar bar = _function.Bars.First(b => b.Index == (int)(where & 7));
        (ulong Address, ulong Data)[] all = [.. messages.SelectMany(m => Enumerable.Range(0, (int)m.Length).Select(
            i => (MessageAddress(m.Processors), m.Vector + (ulong)i))).Take(_function.TableEntries)];
        _function.Write(capability + 2, 2, 0x4000);
        for (int i = 0; i < _function.TableEntries; i++)
        {
            ulong entry = (where & ~7UL) + (ulong)(i * EntryBytes);
            (ulong address, ulong data) = all[i < all.Length ? i : 0];
            bar.Registers.Write(entry, 8, address);
            bar.Registers.Write(entry + 8, 8, data);
        }
        _function.Write(capability + 2, 2, 0x8000);
    }

    void DisableMessages()
    {
        if (Find(MessageCapability) is { } msi) _function.Write(msi + 2, 2, 0);
        if (Find(MessageTableCapability) is { } table) _function.Write(table + 2, 2, 0);
    }

    public override void Stop()
    {
        _given = null;
        if (_function.Bus is null) return;
        DisableMessages();
        ulong command = _function.Read(PciFunction.CommandOffset, 2);
        _function.Write(PciFunction.CommandOffset, 2, command & ~7UL);
    }
}
