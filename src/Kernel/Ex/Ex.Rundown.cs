using Ringdown.Machine;
using static Ringdown.Kernel.Irql;

namespace Ringdown.Kernel;

/// <summary>Rundown protection. EX_RUNDOWN_REF: twice the count of those that hold it; or, with bit 0, the wait block
/// of who runs it down.</summary>
sealed partial class Ex
{
    const uint RundownTag = 0x6452_7845;      // 'ExRd'
    const ulong RundownActive = 1;
    const uint MostReferences = 1 << 30;

    // EX_RUNDOWN_WAIT_BLOCK: the count that is left, and an event for its end.
    const int WaitBlockEvent = 8, WaitBlockSize = WaitBlockEvent + KEvent.Size;

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void ExInitializeRundownProtection(Va runRef) => nt.Memory.Write(runRef, 0UL);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void ExReInitializeRundownProtection(Va runRef) => nt.Memory.Write(runRef, 0UL);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public bool ExAcquireRundownProtection(Va runRef) => ExAcquireRundownProtectionEx(runRef, 1);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public bool ExAcquireRundownProtectionEx(Va runRef, uint count)
    {
        ulong value = nt.Memory.Read<ulong>(runRef);
        if ((value & RundownActive) != 0 || count > MostReferences) return false;
        nt.Memory.Write(runRef, value + 2UL * count);
        return true;
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void ExReleaseRundownProtection(Va runRef) => ExReleaseRundownProtectionEx(runRef, 1);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void ExReleaseRundownProtectionEx(Va runRef, uint count)
    {
        ulong value = nt.Memory.Read<ulong>(runRef);
        if ((value & RundownActive) == 0)
        {
            if (value < 2UL * count)
                throw new BugCheck(BugCheckCode.REFERENCE_BY_POINTER, 0, runRef.Value, value, count);
            nt.Memory.Write(runRef, value - 2UL * count);
            return;
        }
        Va block = new(value & ~RundownActive);
        ulong left = nt.Memory.Read<ulong>(block) - count;
        nt.Memory.Write(block, left);
        if (left == 0) nt.Ke.KeSetEvent(KEvent.At(nt.Memory, block + WaitBlockEvent), 0, false);
    }

    /// <summary>Lets nobody in from now on, and waits until all have left.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void ExWaitForRundownProtectionRelease(Va runRef)
    {
        ulong value = nt.Memory.Read<ulong>(runRef);
        if (value is 0 or RundownActive)
        {
            nt.Memory.Write(runRef, RundownActive);
            return;
        }
        if ((value & RundownActive) != 0)
            throw new BugCheck(BugCheckCode.REFERENCE_BY_POINTER, 1, runRef.Value, value);
        Va block = nt.Mm.Pool.Allocate(WaitBlockSize, RundownTag);
        KEvent done = KEvent.At(nt.Memory, block + WaitBlockEvent);
        done.Header.Initialize(DispatcherType.SynchronizationEvent, KEvent.Size, 0);
        nt.Memory.Write(block, value >> 1);
        nt.Memory.Write(runRef, block.Value | RundownActive);
        nt.Ke.WaitFor([done.Header], all: false, deadline: null);
        nt.Memory.Write(runRef, RundownActive);
        nt.Mm.Pool.Free(block);
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void ExRundownCompleted(Va runRef) => nt.Memory.Write(runRef, RundownActive);

    // EX_RUNDOWN_REF_CACHE_AWARE: where the references are, and how far apart. One serves all processors here, as a
    // reference taken on one may be given back on another.
    const int CacheAwareSize = 0x20 + 8;

    Va ReferenceOf(Va cacheAware) => nt.Memory.Read<Va>(cacheAware);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public ulong ExSizeOfRundownProtectionCacheAware() => CacheAwareSize;

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void ExInitializeRundownProtectionCacheAware(Va runRefCacheAware, ulong runRefSize)
    {
        nt.Memory.Write(runRefCacheAware, runRefCacheAware + 0x20);
        nt.Memory.Write(runRefCacheAware + 0x08, 0x0BAD_CA11UL);      // no pool to free: the caller's memory
        nt.Memory.Write(runRefCacheAware + 0x10, 8u);
        nt.Memory.Write(runRefCacheAware + 0x14, 1u);
        nt.Memory.Write(runRefCacheAware + 0x20, 0UL);
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public Va ExAllocateCacheAwareRundownProtection(uint poolType, uint poolTag)
    {
        Va made = Allocate(PoolRequest.OfType(poolType), CacheAwareSize, poolTag);
        if (!made.IsNull) ExInitializeRundownProtectionCacheAware(made, CacheAwareSize);
        return made;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void ExFreeCacheAwareRundownProtection([FreesMem] Va runRefCacheAware) => nt.Mm.Pool.Free(runRefCacheAware);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void ExReInitializeRundownProtectionCacheAware(Va runRefCacheAware) =>
        ExInitializeRundownProtection(ReferenceOf(runRefCacheAware));

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public bool ExAcquireRundownProtectionCacheAware(Va runRefCacheAware) =>
        ExAcquireRundownProtectionEx(ReferenceOf(runRefCacheAware), 1);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public bool ExAcquireRundownProtectionCacheAwareEx(Va runRefCacheAware, uint count) =>
        ExAcquireRundownProtectionEx(ReferenceOf(runRefCacheAware), count);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void ExReleaseRundownProtectionCacheAware(Va runRefCacheAware) =>
        ExReleaseRundownProtectionEx(ReferenceOf(runRefCacheAware), 1);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void ExReleaseRundownProtectionCacheAwareEx(Va runRefCacheAware, uint count) =>
        ExReleaseRundownProtectionEx(ReferenceOf(runRefCacheAware), count);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void ExWaitForRundownProtectionReleaseCacheAware(Va runRefCacheAware) =>
        ExWaitForRundownProtectionRelease(ReferenceOf(runRefCacheAware));

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void ExRundownCompletedCacheAware(Va runRefCacheAware) =>
        ExRundownCompleted(ReferenceOf(runRefCacheAware));
}
