using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>IO_REMOVE_LOCK: counts who uses a device, so that its removal can wait for them.</summary>
[Layout("_IO_REMOVE_LOCK_COMMON_BLOCK", Size = 0x20)]
public readonly partial struct RemoveLock
{
    [Field(0x00)] public partial bool Removed { get; set; }
    [Field(0x04)] public partial int IoCount { get; set; }
    [Embedded(0x08)] public partial KEvent RemoveEvent { get; }
}

sealed partial class Io
{
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public void IoInitializeRemoveLockEx(
        RemoveLock @lock, uint allocateTag, uint maxLockedMinutes, uint highWatermark, uint remlockSize)
    {
        nt.OnRemoveLockUsed(RemoveLockUse.Initialize, @lock.Address, Va.Null);
        (@lock.Removed, @lock.IoCount) = (false, 1);
        @lock.RemoveEvent.Header.Initialize(DispatcherType.SynchronizationEvent, KEvent.Size, 0);
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public NtStatus IoAcquireRemoveLockEx(RemoveLock removeLock, Va tag, Va file, uint line, uint remlockSize)
    {
        removeLock.IoCount++;
        if (removeLock.Removed)
        {
            Release(removeLock);
            return STATUS_DELETE_PENDING;
        }
        nt.OnRemoveLockUsed(RemoveLockUse.Acquire, removeLock.Address, tag);
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void IoReleaseRemoveLockEx(RemoveLock removeLock, Va tag, uint remlockSize)
    {
        nt.OnRemoveLockUsed(RemoveLockUse.Release, removeLock.Address, tag);
        Release(removeLock);
    }

    void Release(RemoveLock removeLock)
    {
        if (--removeLock.IoCount == 0) nt.Ke.KeSetEvent(removeLock.RemoveEvent, 0, false);
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public void IoReleaseRemoveLockAndWaitEx(RemoveLock removeLock, Va tag, uint remlockSize)
    {
        nt.OnRemoveLockUsed(RemoveLockUse.ReleaseAndWait, removeLock.Address, tag);
        removeLock.Removed = true;
        // The caller's own count, and the one that the lock was made with.
        removeLock.IoCount -= 2;
        if (removeLock.IoCount > 0) nt.Ke.WaitFor([removeLock.RemoveEvent.Header], all: false, deadline: null);
    }
}
