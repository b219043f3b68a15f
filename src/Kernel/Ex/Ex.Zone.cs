using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>ZONE_HEADER: free blocks of one size, cut from segments. Old drivers' lookaside lists.</summary>
[Layout("_ZONE_HEADER", Size = 0x18)]
public readonly partial struct ZoneHeader
{
    [Field(0x00)] public partial Va FreeList { get; set; }
    [Field(0x08)] public partial Va SegmentList { get; set; }
    [Field(0x10)] public partial uint BlockSize { get; set; }
    [Field(0x14)] public partial uint TotalSegmentSize { get; set; }
}

sealed partial class Ex
{
    const uint SegmentHeader = 0x10, BlockAlignment = 8;

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public NtStatus ExInitializeZone(ZoneHeader zone, uint blockSize, Va initialSegment, uint initialSegmentSize)
    {
        if (blockSize < BlockAlignment || blockSize % BlockAlignment != 0 || blockSize > initialSegmentSize
            || initialSegment.Value % BlockAlignment != 0)
            return STATUS_INVALID_PARAMETER;
        (zone.FreeList, zone.SegmentList, zone.BlockSize, zone.TotalSegmentSize) = (Va.Null, Va.Null, blockSize, 0);
        return ExExtendZone(zone, initialSegment, initialSegmentSize);
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public NtStatus ExExtendZone(ZoneHeader zone, Va segment, uint segmentSize)
    {
        uint size = zone.BlockSize;
        if (size < BlockAlignment || size % BlockAlignment != 0 || segment.Value % BlockAlignment != 0
            || segmentSize < SegmentHeader + size)
            return STATUS_UNSUCCESSFUL;
        nt.Memory.Write(segment, zone.SegmentList);
        zone.SegmentList = segment;
        for (uint at = SegmentHeader; at + (ulong)size <= segmentSize; at += size)
        {
            nt.Ke.Clock.Spend();
            nt.Memory.Write(segment + at, zone.FreeList);
            zone.FreeList = segment + at;
        }
        zone.TotalSegmentSize += segmentSize;
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public NtStatus ExInterlockedExtendZone(ZoneHeader zone, Va segment, uint segmentSize, Va @lock) =>
        Interlocked(@lock, () => ExExtendZone(zone, segment, segmentSize));
}
