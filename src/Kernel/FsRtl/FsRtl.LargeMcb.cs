using Ringdown.Machine;
using static Ringdown.Kernel.Irql;

namespace Ringdown.Kernel;

[Layout("_LARGE_MCB", Size = 0x20)]
public readonly partial struct LargeMcb
{
    [Field(0x00)] public partial Va GuardedMutex { get; set; }
    [Embedded(0x08)] public partial BaseMcb BaseMcb { get; }
}

/// <summary>Maps of runs with a lock. No call of these can be interrupted here, so none takes the mutex.</summary>
sealed partial class FsRtl
{
    const int GuardedMutexBytes = 0x38;

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void FsRtlInitializeLargeMcb(LargeMcb mcb, uint poolType)
    {
        mcb.GuardedMutex = nt.Mm.Pool.Allocate(GuardedMutexBytes, McbTag);
        nt.Ex.KeInitializeGuardedMutex(FastMutex.At(nt.Memory, mcb.GuardedMutex));
        FsRtlInitializeBaseMcb(mcb.BaseMcb, poolType);
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void FsRtlUninitializeLargeMcb(LargeMcb mcb)
    {
        // Nothing was initialized: as in NT, that is no mistake.
        if (mcb.GuardedMutex.IsNull) return;
        FsRtlUninitializeBaseMcb(mcb.BaseMcb);
        nt.Mm.Pool.Free(mcb.GuardedMutex);
        mcb.GuardedMutex = Va.Null;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void FsRtlResetLargeMcb(LargeMcb mcb, bool selfSynchronized) => FsRtlResetBaseMcb(mcb.BaseMcb);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void FsRtlTruncateLargeMcb(LargeMcb mcb, long vbn) => FsRtlTruncateBaseMcb(mcb.BaseMcb, vbn);

    /// <summary>False if part of the range lies elsewhere already.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool FsRtlAddLargeMcbEntry(LargeMcb mcb, long vbn, long lbn, long sectorCount) =>
        FsRtlAddBaseMcbEntry(mcb.BaseMcb, vbn, lbn, sectorCount);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void FsRtlRemoveLargeMcbEntry(LargeMcb mcb, long vbn, long sectorCount) =>
        FsRtlRemoveBaseMcbEntry(mcb.BaseMcb, vbn, sectorCount);

    /// <summary>Puts a hole before a block: what lies there and behind moves up.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool FsRtlSplitLargeMcb(LargeMcb mcb, long vbn, long amount) =>
        FsRtlSplitBaseMcb(mcb.BaseMcb, vbn, amount);

    /// <summary>False behind the last run. A hole lies at -1. Outputs may be null.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool FsRtlLookupLargeMcbEntry(LargeMcb mcb, long vbn, Va lbn, Va sectorCountFromLbn, Va startingLbn,
        Va sectorCountFromStartingLbn, Va index) =>
        FsRtlLookupBaseMcbEntry(
            mcb.BaseMcb, vbn, lbn, sectorCountFromLbn, startingLbn, sectorCountFromStartingLbn, index);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool FsRtlLookupLastLargeMcbEntry(LargeMcb mcb, Va vbn, Va lbn) =>
        FsRtlLookupLastBaseMcbEntry(mcb.BaseMcb, vbn, lbn);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool FsRtlLookupLastLargeMcbEntryAndIndex(LargeMcb opaqueMcb, Va largeVbn, Va largeLbn, Va index) =>
        FsRtlLookupLastBaseMcbEntryAndIndex(opaqueMcb.BaseMcb, largeVbn, largeLbn, index);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public uint FsRtlNumberOfRunsInLargeMcb(LargeMcb mcb) => FsRtlNumberOfRunsInBaseMcb(mcb.BaseMcb);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool FsRtlGetNextLargeMcbEntry(LargeMcb mcb, uint runIndex, Va vbn, Va lbn, Va sectorCount) =>
        FsRtlGetNextBaseMcbEntry(mcb.BaseMcb, runIndex, vbn, lbn, sectorCount);
}
