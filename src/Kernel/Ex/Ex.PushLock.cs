using Ringdown.Machine;
using static Ringdown.Kernel.Irql;

namespace Ringdown.Kernel;

/// <summary>Push locks: the Exf functions are what inline code calls when the short way fails.</summary>
sealed partial class Ex
{
    PushLocks PushLocks { get; } = new(nt);

    [Export]
    public void ExInitializePushLock(Va pushLock) => nt.Memory.Write(pushLock, 0UL);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void ExfAcquirePushLockExclusive([AcquiresLock] Va pushLock) => PushLocks.AcquireExclusive(pushLock);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void ExfAcquirePushLockShared([AcquiresLock] Va pushLock) => PushLocks.AcquireShared(pushLock);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void ExfReleasePushLock([ReleasesLock] Va pushLock) => PushLocks.Release(pushLock);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void ExfReleasePushLockExclusive([ReleasesLock] Va pushLock) => PushLocks.Release(pushLock);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void ExfReleasePushLockShared([ReleasesLock] Va pushLock) => PushLocks.Release(pushLock);

    /// <summary>After inline code has cleared the lock's bit and seen that somebody waits.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void ExfTryToWakePushLock(Va pushLock) => PushLocks.Wake(pushLock);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool ExfTryAcquirePushLockShared([AcquiresLock] Va pushLock) => PushLocks.TryAcquireShared(pushLock);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void ExAcquirePushLockExclusiveEx([AcquiresLock] Va pushLock, uint flags)
    {
        CheckFlags(pushLock, flags);
        PushLocks.AcquireExclusive(pushLock);
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void ExAcquirePushLockSharedEx([AcquiresLock] Va pushLock, uint flags)
    {
        CheckFlags(pushLock, flags);
        PushLocks.AcquireShared(pushLock);
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool ExTryAcquirePushLockExclusiveEx([AcquiresLock] Va pushLock, uint flags)
    {
        CheckFlags(pushLock, flags);
        return PushLocks.TryAcquireExclusive(pushLock);
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool ExTryAcquirePushLockSharedEx([AcquiresLock] Va pushLock, uint flags)
    {
        CheckFlags(pushLock, flags);
        return PushLocks.TryAcquireShared(pushLock);
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void ExReleasePushLockExclusiveEx([ReleasesLock] Va pushLock, uint flags)
    {
        CheckFlags(pushLock, flags);
        PushLocks.Release(pushLock);
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void ExReleasePushLockSharedEx([ReleasesLock] Va pushLock, uint flags)
    {
        CheckFlags(pushLock, flags);
        PushLocks.Release(pushLock);
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void ExReleasePushLockEx([ReleasesLock] Va pushLock, uint flags)
    {
        CheckFlags(pushLock, flags);
        PushLocks.Release(pushLock);
    }

    // EX_PUSH_LOCK_FLAGS: bit 0 says that the caller takes care of APCs.
    static void CheckFlags(Va pushLock, uint flags)
    {
        const uint known = 3;
        if ((flags & ~known) != 0)
            throw new BugCheck(BugCheckCode.INVALID_PUSH_LOCK_FLAGS, flags, pushLock.Value);
    }
}
