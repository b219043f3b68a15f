using Ringdown.Machine;
using static Ringdown.Kernel.Irql;

namespace Ringdown.Kernel;

[Layout("_BASE_MCB", Size = 0x18)]
public readonly partial struct BaseMcb
{
    [Field(0x00)] public partial uint MaximumPairCount { get; set; }
    [Field(0x04)] public partial uint PairCount { get; set; }
    [Field(0x08)] public partial ushort PoolType { get; set; }
    [Field(0x0A)] public partial ushort Flags { get; set; }
    [Field(0x10)] public partial Va Mapping { get; set; }
}

/// <summary>Maps of runs without a lock. Mapping points to a block that stands for the map.</summary>
sealed partial class FsRtl
{
    const uint McbTag = 0x624D_5346;      // 'FSMb'
    const uint InitialPairs = 15;

    readonly OpaqueStore<RunMap> _maps = new(nt, (int)InitialPairs * 16, McbTag);

    void Change(BaseMcb mcb, Action<RunMap> change)
    {
        RunMap map = _maps[mcb.Mapping];
        change(map);
        mcb.PairCount = (uint)map.Count;
        if (mcb.MaximumPairCount < mcb.PairCount) mcb.MaximumPairCount = mcb.PairCount;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void FsRtlInitializeBaseMcb(BaseMcb mcb, uint poolType)
    {
        (mcb.MaximumPairCount, mcb.PairCount, mcb.PoolType, mcb.Flags) = (InitialPairs, 0, (ushort)poolType, 0);
        mcb.Mapping = _maps.Add(new RunMap());
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool FsRtlInitializeBaseMcbEx(BaseMcb mcb, uint poolType, ushort flags)
    {
        FsRtlInitializeBaseMcb(mcb, poolType);
        mcb.Flags = flags;
        return true;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void FsRtlUninitializeBaseMcb(BaseMcb mcb)
    {
        _maps.Remove(mcb.Mapping);
        mcb.Mapping = Va.Null;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void FsRtlResetBaseMcb(BaseMcb mcb) => Change(mcb, map => map.Clear());

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void FsRtlTruncateBaseMcb(BaseMcb mcb, long vbn) => Change(mcb, map => map.Truncate(vbn));

    /// <summary>False if part of the range lies elsewhere already.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool FsRtlAddBaseMcbEntry(BaseMcb mcb, long vbn, long lbn, long sectorCount)
    {
        bool added = false;
        Change(mcb, map => added = map.TryAdd(vbn, lbn, sectorCount));
        return added;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool FsRtlRemoveBaseMcbEntry(BaseMcb mcb, long vbn, long sectorCount)
    {
        Change(mcb, map => map.Remove(vbn, sectorCount));
        return true;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool FsRtlSplitBaseMcb(BaseMcb mcb, long vbn, long amount)
    {
        bool split = false;
        Change(mcb, map => split = map.TrySplit(vbn, amount));
        return split;
    }

    /// <summary>False behind the last run. A hole lies at -1. Outputs may be null.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool FsRtlLookupBaseMcbEntry(BaseMcb mcb, long vbn, Va lbn, Va sectorCountFromLbn, Va startingLbn,
        Va sectorCountFromStartingLbn, Va index)
    {
        RunMap map = _maps[mcb.Mapping];
        int found = vbn < 0 ? -1 : map.IndexOf(vbn);
        if (found < 0) return false;
        (long start, long first, long count) = map[found];
        Give(lbn, first == RunMap.Hole ? first : first + (vbn - start));
        Give(sectorCountFromLbn, count - (vbn - start));
        Give(startingLbn, first);
        Give(sectorCountFromStartingLbn, count);
        if (!index.IsNull) nt.Memory.Write(index, found);
        return true;
    }

    void Give(Va output, long value)
    {
        if (!output.IsNull) nt.Memory.Write(output, value);
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool FsRtlLookupLastBaseMcbEntry(BaseMcb mcb, Va vbn, Va lbn) =>
        FsRtlLookupLastBaseMcbEntryAndIndex(mcb, vbn, lbn, Va.Null);

    /// <summary>The last block that lies somewhere; false if none does.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool FsRtlLookupLastBaseMcbEntryAndIndex(BaseMcb mcb, Va vbn, Va lbn, Va index)
    {
        RunMap map = _maps[mcb.Mapping];
        if (map.Count == 0) return false;
        (long start, long first, long count) = map[map.Count - 1];
        Give(vbn, start + count - 1);
        Give(lbn, first + count - 1);
        if (!index.IsNull) nt.Memory.Write(index, map.Count - 1);
        return true;
    }

    /// <summary>Runs and the holes between them.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public uint FsRtlNumberOfRunsInBaseMcb(BaseMcb mcb) => (uint)_maps[mcb.Mapping].Count;

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool FsRtlGetNextBaseMcbEntry(BaseMcb mcb, uint runIndex, Va vbn, Va lbn, Va sectorCount)
    {
        RunMap map = _maps[mcb.Mapping];
        if (runIndex >= map.Count) return false;
        (long start, long first, long count) = map[(int)runIndex];
        nt.Memory.Write(vbn, start);
        nt.Memory.Write(lbn, first);
        nt.Memory.Write(sectorCount, count);
        return true;
    }
}
