using Ringdown.Machine;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Kernel;

/// <summary>Events of providers, and who has enabled them.</summary>
sealed partial class Wmi
{
    const uint NodeHeaderSize = 0x30, MaximumNode = 0x1_0000, EventsKept = 256;

    readonly SortedDictionary<Guid, int> _enabled = [];
    readonly Queue<WmiEvent> _received = new();
    readonly HashSet<Guid> _programs = [];

    /// <summary>What programs have received, the latest ones.</summary>
    public IReadOnlyList<WmiEvent> Received => [.. _received];

    /// <summary>WNODE_HEADER and data, freed by the system unless it is to be traced. A worker delivers it.</summary>
    [Export]
    public NtStatus IoWMIWriteEvent([AliasesMem] Va wnodeEventItem)
    {
        var header = WnodeHeader.At(nt.Memory, wnodeEventItem);
        uint size = header.BufferSize;
        bool isTraced = (header.Flags & WnodeFlags.TracedGuid) != 0;
        if (!isTraced && (header.Flags & (WnodeFlags.EventItem | WnodeFlags.EventReference)) == 0)
            return STATUS_INVALID_PARAMETER;
        if (isTraced) size &= 0xFFFF;
        if (size is < NodeHeaderSize or > MaximumNode) return STATUS_BUFFER_OVERFLOW;
        byte[] node = nt.Memory.ReadBytes(wnodeEventItem, (int)size);
        nt.Etw.Keep(new TraceEvent(header.Guid, "WMI", 0, 0, 0, node[(int)NodeHeaderSize..], null));
        if (isTraced) return STATUS_SUCCESS;
        if (_enabled.ContainsKey(header.Guid)) nt.Ex.PoolOf(DelayedWorkQueue).Queue(() => Deliver(node));
        nt.Mm.Pool.Free(wnodeEventItem);
        return STATUS_SUCCESS;
    }

    void Deliver(byte[] node)
    {
        var guid = new Guid(node.AsSpan(0x18, 16));
        uint number = Word(node, 0x04);
        WmiProvider? provider = Providers.FirstOrDefault(p => p.Number == number);
        if ((Word(node, 0x2C) & (uint)WnodeFlags.EventReference) != 0)
        {
            if (provider is null || Refer(provider, node) is not { } referred) return;
            node = referred;
        }
        bool isSingle = (Word(node, 0x2C) & (uint)WnodeFlags.SingleInstance) != 0;
        if (_programs.Contains(guid))
        {
            string name = provider?.Find(guid) is not { } block ? "" : block.IsDynamic ? NameIn(node)
                : block.NameOf(Word(node, 0x34));
            _received.Enqueue(new WmiEvent(
                guid, isSingle ? name : "", isSingle ? DataOf(node) : node[(int)NodeHeaderSize..]));
            if (_received.Count > EventsKept) _received.Dequeue();
        }
        CallBack(guid, node);
    }

    /// <summary>An event that says only which instance it is about: the instance is the event.</summary>
    byte[]? Refer(WmiProvider provider, byte[] node)
    {
        if (node.Length < 0x48 || (Word(node, 0x2C) & (uint)WnodeFlags.StaticInstanceNames) == 0) return null;
        uint index = Word(node, 0x44);
        if (provider.Find(new Guid(node.AsSpan(0x30, 16))) is not { } block) return null;
        string name = block.NameOf(index);
        NtStatus status = Request(provider, block, IRP_MN_QUERY_SINGLE_INSTANCE, WnodeFlags.SingleInstance,
            SingleNode(index, name, []), (int)Math.Min(Word(node, 0x40) + 0x100, MaximumNode), out byte[] answer);
        if (!status.IsSuccess || answer.Length < WnodeSingleInstance.Size) return null;
        node.AsSpan(0x18, 16).CopyTo(answer.AsSpan(0x18));
        Put(answer, 0x2C, Word(answer, 0x2C) | (uint)WnodeFlags.EventItem);
        return answer;
    }

    /// <summary>Who wants events of a GUID: the first one makes its providers send them, the last one stops
    /// that.</summary>
    void Enable(Guid guid, int change)
    {
        int before = _enabled.GetValueOrDefault(guid), now = before + change;
        if (now == 0) _enabled.Remove(guid);
        else _enabled[guid] = now;
        if (before != 0 && now != 0) return;
        foreach ((WmiProvider provider, WmiBlock block) in Find(guid))
            Control(provider, block, change > 0 ? IRP_MN_ENABLE_EVENTS : IRP_MN_DISABLE_EVENTS);
    }

    /// <summary>A program wants events, or no longer.</summary>
    /// <returns>STATUS_WMI_ALREADY_ENABLED or STATUS_WMI_ALREADY_DISABLED if it had said so.</returns>
    public NtStatus EnableForPrograms(Guid guid, bool isOn)
    {
        if (isOn ? !_programs.Add(guid) : !_programs.Remove(guid))
            return isOn ? STATUS_WMI_ALREADY_ENABLED : STATUS_WMI_ALREADY_DISABLED;
        Enable(guid, isOn ? 1 : -1);
        return STATUS_SUCCESS;
    }
}
