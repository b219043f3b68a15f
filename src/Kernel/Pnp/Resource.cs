using Ringdown.Machine;
using static Ringdown.Kernel.ResourceType;

namespace Ringdown.Kernel;

/// <summary>A resource of a device as its bus sees it: ports, memory, a line, messages, a DMA channel.</summary>
/// <param name="Start">The first port, byte or bus; the line; of messages the first vector; the channel.</param>
/// <param name="Length">How many of them.</param>
/// <param name="Flags">CM_RESOURCE_*.</param>
public readonly record struct Resource(
    ResourceType Type, ulong Start, ulong Length, ShareDisposition Share = ShareDisposition.DeviceExclusive,
    ushort Flags = 0)
{
    /// <summary>Of DevicePrivate: what the bus driver has put into it.</summary>
    public (uint First, uint Second, uint Third) Private { get; init; }

    /// <summary>Of an interrupt: the processors that may service it, a bit each; 0: all. Of messages it is
    /// one.</summary>
    public ulong Processors { get; init; }

    public bool IsMessage => Type == Interrupt && (Flags & Wdm.CM_RESOURCE_INTERRUPT_MESSAGE) != 0;

    /// <summary>What a bridge passes on: what is behind it lies in there, or has one of the numbers.</summary>
    public bool IsWindow => Type == BusNumber || Type is Port or ResourceType.Memory && (Flags & WindowDecode) != 0;

    // CM_RESOURCE_PORT_WINDOW_DECODE, CM_RESOURCE_MEMORY_WINDOW_DECODE.
    const ushort WindowDecode = 0x80;

    /// <summary>The vector of an interrupt's line, or of the first message.</summary>
    public uint Vector => IsMessage ? (uint)Start : InterruptTable.VectorOf((int)Start);

    /// <summary>As a device manager shows it.</summary>
    public override string ToString() => Type switch
    {
        Interrupt when IsMessage => Length == 1 ? $"message {Start:X}" : $"messages {Start:X}-{Last:X}",
        Interrupt => $"line {Start}",
        Dma => $"DMA {Start}",
        Port => $"ports {Start:X}-{Last:X}{(IsWindow ? " window" : "")}",
        ResourceType.Memory or MemoryLarge => $"memory {Start:X}-{Last:X}{(IsWindow ? " window" : "")}",
        BusNumber => $"buses {Start}-{Last}",
        _ => Type.ToString(),
    };

    ulong Last => Start + (Length - 1);

    internal bool Conflicts(Resource other)
    {
        if (Type != other.Type || Share == ShareDisposition.Shared && other.Share == ShareDisposition.Shared
            || Length == 0 || other.Length == 0 || Type is DevicePrivate or DeviceSpecific) return false;
        if (Type != Interrupt) return Start <= other.Last && other.Start <= Last;
        // Each processor has vectors of its own, but a line may go to any of them.
        if (IsMessage && other.IsMessage && (Processors & other.Processors) == 0) return false;
        return Vector <= other.Vector + (uint)other.Length - 1 && other.Vector <= Vector + (uint)Length - 1;
    }
}

/// <summary>CM_RESOURCE_LIST, read and written.</summary>
static class ResourceLists
{
    const uint MostDescriptors = 256, PnpTag = 0x2070_6E50;
    const ushort ListVersion = 1;
    const ulong AllProcessors = ulong.MaxValue;

    /// <summary>What a list in guest memory has; lists of old with several full descriptors are taken by their first
    /// one.</summary>
    public static IReadOnlyList<Resource> Read(CmResourceList list)
    {
        if (list.IsNull || list.Count == 0) return [];
        List<Resource> all = [];
        int count = (int)Math.Min(list.DescriptorCount, MostDescriptors);
        for (int i = 0; i < count; i++)
            if (Read(list.Descriptor(i)) is { } resource) all.Add(resource);
        return all;
    }

    /// <summary>All full descriptors of a list, each with partial ones of 20 bytes; null if it is longer than it may
    /// be, or has more of them.</summary>
    /// <param name="bytes">The length of the list.</param>
    public static IReadOnlyList<Resource>? ReadAll(Memory memory, Va list, uint bytes)
    {
        const uint mostLists = 64;
        List<Resource> all = [];
        uint count = memory.Read<uint>(list);
        if (count > mostLists) return null;
        Va at = list + 4;
        for (uint i = 0; i < count; i++)
        {
            // INTERFACE_TYPE, BusNumber, Version and Revision, Count.
            if (at - list + 16 > bytes) return null;
            uint partials = memory.Read<uint>(at + 12);
            at += 16;
            if (partials > MostDescriptors || at - list + partials * (ulong)CmPartialResourceDescriptor.Size > bytes)
                return null;
            for (uint j = 0; j < partials; j++, at += CmPartialResourceDescriptor.Size)
                if (Read(CmPartialResourceDescriptor.At(memory, at)) is { } resource) all.Add(resource);
        }
        return all;
    }

    /// <summary>A list in the pool; null if there is nothing to say.</summary>
    public static CmResourceList Make(
        NtKernel nt, IReadOnlyList<Resource> resources, uint interfaceType, uint bus, bool translated)
    {
        if (resources.Count == 0) return CmResourceList.At(nt.Memory, Va.Null);
        Va block = nt.Mm.Pool.Allocate(CmResourceList.SizeOf(resources.Count), PnpTag);
        var list = CmResourceList.At(nt.Memory, block);
        (list.Count, list.InterfaceType, list.BusNumber) = (1, interfaceType, bus);
        (list.Version, list.Revision, list.DescriptorCount) = (ListVersion, ListVersion, (uint)resources.Count);
        for (int i = 0; i < resources.Count; i++)
            Write(resources[i], list.Descriptor(i), translated, nt.Ke.Scheduler.Processors.Count);
        return list;
    }

    static void Write(Resource resource, CmPartialResourceDescriptor to, bool translated, int processors)
    {
        (to.Type, to.ShareDisposition, to.Flags) = (resource.Type, resource.Share, resource.Flags);
        switch (resource.Type)
        {
            case Port or ResourceType.Memory or MemoryLarge:
                (to.Start, to.Length) = (resource.Start, (uint)resource.Length);
                break;
            case Interrupt when translated:
                (to.Level, to.Vector) = (resource.Vector >> 4, resource.Vector);
                to.Affinity = resource.Processors != 0 ? resource.Processors
                    : processors == 64 ? AllProcessors : (1UL << processors) - 1;
                break;
            case Interrupt when resource.IsMessage:
                (to.MessageCount, to.Vector, to.Affinity) =
                    ((ushort)resource.Length, resource.Vector, resource.Processors);
                break;
            case Interrupt:
                (to.Level, to.Vector) = ((uint)resource.Start, (uint)resource.Start);
                to.Affinity = resource.Processors != 0 ? resource.Processors : AllProcessors;
                break;
            case Dma:
                to.Channel = (uint)resource.Start;
                break;
            case BusNumber:
                (to.BusStart, to.BusLength) = ((uint)resource.Start, (uint)resource.Length);
                break;
            default:
                (to.Level, to.Vector, to.Length) =
                    (resource.Private.First, resource.Private.Second, resource.Private.Third);
                break;
        }
    }

    /// <summary>Null for what is no resource of one of the types here.</summary>
    static Resource? Read(CmPartialResourceDescriptor from)
    {
        (ulong Start, ulong Length)? range = from.Type switch
        {
            Port or ResourceType.Memory or MemoryLarge => (from.Start, from.Length),
            Interrupt when (from.Flags & Wdm.CM_RESOURCE_INTERRUPT_MESSAGE) != 0 => (from.Vector, from.MessageCount),
            Interrupt => (from.Vector, 1),
            Dma => (from.Channel, 1),
            BusNumber => (from.BusStart, from.BusLength),
            DevicePrivate => (0, 1),
            _ => null,
        };
        if (range is not { Length: > 0 } given || given.Start > ulong.MaxValue - given.Length) return null;
        return new Resource(from.Type, given.Start, given.Length, from.ShareDisposition, from.Flags)
        {
            Private = from.Type == DevicePrivate ? (from.Level, from.Vector, from.Length) : default,
            Processors = from.Type == Interrupt && from.Affinity != AllProcessors ? from.Affinity : 0,
        };
    }
}
