using Ringdown.Machine;
using static Ringdown.Kernel.Irql;

namespace Ringdown.Kernel;

// Inline functions and macros of wdm.h: no exports, but calls of them.
public abstract partial class NtDriver
{
    /// <summary>Where an MDL's pages are in the kernel's half, mapped now if they are
    /// not.</summary>
    /// <returns>Null if there is no room for a mapping.</returns>
    [IrqlRequiresMax(DISPATCH_LEVEL)]
    protected Va MmGetSystemAddressForMdlSafe(Mdl mdl, uint priority = Wdm.NormalPagePriority)
    {
        const uint cached = 1;
        const MdlFlags mapped = MdlFlags.MappedToSystemVa | MdlFlags.SourceIsNonpagedPool;
        return (mdl.MdlFlags & mapped) != 0 ? mdl.MappedSystemVa
            : Nt.MmMapLockedPagesSpecifyCache(mdl, ProcessorMode.KernelMode, cached, Va.Null, 0, priority);
    }

    [IrqlRequiresMax(DISPATCH_LEVEL)]
    protected void ExInitializeFastMutex(FastMutex fastMutex)
    {
        (fastMutex.Count, fastMutex.Owner, fastMutex.Contention) = (1, Va.Null, 0);
        Nt.KeInitializeEvent(fastMutex.Event, Wdm.SynchronizationEvent, false);
    }

    /// <summary>Sets up the DPC in a device object, for <see cref="IoRequestDpc"/>.</summary>
    /// <param name="dpcRoutine">Its parameters are the DPC, the device object, an IRP and a context.</param>
    protected void IoInitializeDpcRequest(DeviceObject deviceObject, Va dpcRoutine) =>
        Nt.KeInitializeDpc(deviceObject.Dpc, dpcRoutine, deviceObject.Address);

    /// <summary>Queues the DPC of a device object; nothing if it is queued already.</summary>
    protected void IoRequestDpc(DeviceObject deviceObject, Irp irp, Va context) =>
        Nt.KeInsertQueueDpc(deviceObject.Dpc, irp.Address, context);

    [IrqlRequiresMax(PASSIVE_LEVEL)]
    protected void IoInitializeRemoveLock(
        RemoveLock removeLock, uint allocateTag, uint maxLockedMinutes, uint highWatermark) =>
        Nt.IoInitializeRemoveLockEx(removeLock, allocateTag, maxLockedMinutes, highWatermark, (uint)RemoveLock.Size);

    /// <returns>STATUS_DELETE_PENDING once somebody waits for the lock's last release.</returns>
    [IrqlRequiresMax(DISPATCH_LEVEL)]
    protected NtStatus IoAcquireRemoveLock(RemoveLock removeLock, Va tag) =>
        Nt.IoAcquireRemoveLockEx(removeLock, tag, Text("").Buffer, 1, (uint)RemoveLock.Size);

    [IrqlRequiresMax(DISPATCH_LEVEL)]
    protected void IoReleaseRemoveLock(RemoveLock removeLock, Va tag) =>
        Nt.IoReleaseRemoveLockEx(removeLock, tag, (uint)RemoveLock.Size);

    /// <summary>Refuses new holders, and waits until the old ones are gone.</summary>
    [IrqlRequiresMax(PASSIVE_LEVEL)]
    protected void IoReleaseRemoveLockAndWait(RemoveLock removeLock, Va tag) =>
        Nt.IoReleaseRemoveLockAndWaitEx(removeLock, tag, (uint)RemoveLock.Size);
}
