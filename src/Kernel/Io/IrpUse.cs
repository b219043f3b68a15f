using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>Where an IRP comes from: it decides who frees it and what may be done with it.</summary>
public enum IrpOrigin
{
    /// <summary>The system made it for a request of its own.</summary>
    System,

    /// <summary>IoAllocateIrp: its driver frees it.</summary>
    Allocated,

    /// <summary>IoInitializeIrp, in memory of the driver's own.</summary>
    Raw,

    /// <summary>IoMakeAssociatedIrp.</summary>
    Associated,

    /// <summary>IoBuildAsynchronousFsdRequest: its driver frees it.</summary>
    Asynchronous,

    /// <summary>IoBuildSynchronousFsdRequest, IoBuildDeviceIoControlRequest: it is on its thread's list, and the system
    /// frees it.</summary>
    Threaded,
}

/// <summary>What is about to be done with an IRP.</summary>
public enum IrpUse { Free, Reuse, Initialize, Complete, CompleteToTop }

/// <summary>A completion routine has returned.</summary>
/// <param name="Device">The device of the driver that registered it; null for a creator without a location.</param>
/// <param name="Pending">Irp->PendingReturned when it was called.</param>
/// <param name="Marked">Its driver's location says that the IRP is pending. True where there is no location.</param>
/// <param name="ApcDisable">How much deeper in critical and guarded regions the thread is than it was.</param>
public readonly record struct CompletionReturned(
    Va Device, Va Irp, Va Routine, NtStatus Status, bool Pending, bool Marked, Irql IrqlBefore, int ApcDisable);

/// <summary>What is about to be done with a device. <c>Detach</c> names the lower one.</summary>
public enum DeviceUse { Delete, Detach, InitializeTimer }

/// <summary>What is about to be done with a remove lock.</summary>
public enum RemoveLockUse { Initialize, Acquire, Release, ReleaseAndWait }

public readonly partial struct Irp
{
    /// <summary>It is in its thread's list of IRPs.</summary>
    public bool IsOnThreadList => !ThreadListEntry.Flink.IsNull && !ThreadListEntry.IsEmpty;
}

public readonly partial struct DeviceObject
{
    const uint DOE_DELETE_PENDING = 2;

    /// <summary>IoDeleteDevice was called for it.</summary>
    public bool IsDeletePending => (DeviceObjectExtension.ExtensionFlags & DOE_DELETE_PENDING) != 0;

    /// <summary>DO_BUFFERED_IO and DO_DIRECT_IO: how it takes the buffers of reads and writes.</summary>
    public uint BufferFlags => Flags & (Io.DO_BUFFERED_IO | Io.DO_DIRECT_IO);

    /// <summary>Both flags, of which it may have one.</summary>
    public bool HasTwoWays => BufferFlags == (Io.DO_BUFFERED_IO | Io.DO_DIRECT_IO);
}
