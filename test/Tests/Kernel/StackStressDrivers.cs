using Ringdown.Kernel;
using Ringdown.Machine;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Tests;

/// <summary>A filter that keeps requests for a while: it pends them, may see them canceled, and passes them down later
/// from a DPC or a work item.</summary>
sealed partial class HoldFilter : NtDriver
{
    const int Kept = 16;

    readonly Chance _chance = new(4711);
    DeviceObject _device, _lower;
    Va _block;

    [Layout("HOLD_BLOCK", Size = 0xC0)]
    public readonly partial struct Block
    {
        [Field(0x00)] public partial ulong Lock { get; set; }
        [Embedded(0x08)] public partial ListEntry Queue { get; }
        [Embedded(0x18)] public partial KTimer Timer { get; }
        [Embedded(0x58)] public partial KDpc Dpc { get; }
        [Embedded(0x98)] public partial RemoveLock RemoveLock { get; }
    }

    Block Globals => At<Block>(_block);
    public int Held { get; private set; }
    public int Canceled { get; private set; }
    public int Late { get; private set; }

    public override NtStatus DriverEntry(DriverObject driverObject, UnicodeString registryPath)
    {
        for (IrpMajor major = IRP_MJ_CREATE; major <= IRP_MJ_PNP; major++)
            driverObject.SetMajorFunction(major, Routine(Dispatch));
        driverObject.DriverUnload = Routine(Unload);
        _block = Nt.ExAllocatePool2(POOL_FLAG_NON_PAGED, (ulong)Block.Size, Tag("Hold"));
        Globals.Queue.Initialize();
        Nt.IoInitializeRemoveLockEx(Globals.RemoveLock, Tag("Hold"), 0, 0, RemoveLock.Size);
        Nt.KeInitializeTimerEx(Globals.Timer, SynchronizationTimer);
        Nt.KeInitializeDpc(Globals.Dpc, Routine(Release), Va.Null);
        NtStatus status = IoCreateDevice(driverObject, 0, "", FILE_DEVICE_UNKNOWN, 0, false, out _device);
        if (!status.IsSuccess) return status;
        Va lower = Local(8);
        status = Nt.IoAttachDevice(_device, Text(@"\Device\Echo"), lower);
        _lower = At<DeviceObject>(Memory.Read<Va>(lower));
        _device.Flags |= _lower.Flags & (DO_BUFFERED_IO | DO_DIRECT_IO);
        _device.Flags &= ~DO_DEVICE_INITIALIZING;
        Nt.KeSetTimerEx(Globals.Timer, Milliseconds(1), 1, Globals.Dpc);
        return status;
    }

    void Unload(DriverObject driverObject)
    {
        Nt.IoDetachDevice(_lower);
        Nt.IoAcquireRemoveLockEx(Globals.RemoveLock, driverObject.Address, Va.Null, 0, RemoveLock.Size);
        Nt.IoReleaseRemoveLockAndWaitEx(Globals.RemoveLock, driverObject.Address, RemoveLock.Size);
        Nt.KeCancelTimer(Globals.Timer);
        Nt.KeFlushQueuedDpcs();
        Nt.IoDeleteDevice(_device);
        Nt.ExFreePoolWithTag(_block, Tag("Hold"));
    }

    NtStatus Dispatch(DeviceObject device, Irp irp)
    {
        NtStatus status = Nt.IoAcquireRemoveLockEx(Globals.RemoveLock, irp.Address, Va.Null, 0, RemoveLock.Size);
        if (!status.IsSuccess) return Complete(irp, status);
        IoStackLocation stack = irp.CurrentStackLocation;
        bool mayWait = stack.MajorFunction is IRP_MJ_READ or IRP_MJ_WRITE
            || stack.MajorFunction == IRP_MJ_DEVICE_CONTROL && (stack.IoControlCode & 3) != METHOD_NEITHER;
        return mayWait && !_chance.OneIn(3) ? Hold(irp) : Send(irp);
    }

    NtStatus Send(Irp irp)
    {
        irp.CopyCurrentStackLocationToNext();
        irp.SetCompletionRoutine(Routine(Done), Va.Null);
        return Nt.IofCallDriver(_lower, irp);
    }

    NtStatus Done(DeviceObject device, Irp irp, Va context)
    {
        if (irp.PendingReturned) irp.MarkPending();
        Nt.IoReleaseRemoveLockEx(Globals.RemoveLock, irp.Address, RemoveLock.Size);
        return STATUS_SUCCESS;
    }

    NtStatus Hold(Irp irp)
    {
        Irql old = Nt.KeAcquireSpinLockRaiseToDpc(Globals.Address);
        Held++;
        irp.MarkPending();
        irp.SetCancelRoutine(Routine(Cancel));
        // Canceled before it could have been seen: whoever clears the routine completes it.
        if (irp.Cancel && !irp.SetCancelRoutine(Va.Null).IsNull)
        {
            Nt.KeReleaseSpinLock(Globals.Address, old);
            Nt.IoReleaseRemoveLockEx(Globals.RemoveLock, irp.Address, RemoveLock.Size);
            Complete(irp, STATUS_CANCELLED);
            return STATUS_PENDING;
        }
        Globals.Queue.InsertTail(irp.ListEntry);
        Nt.KeReleaseSpinLock(Globals.Address, old);
        return STATUS_PENDING;
    }

    void Cancel(DeviceObject device, Irp irp)
    {
        Nt.IoReleaseCancelSpinLock(irp.CancelIrql);
        Irql old = Nt.KeAcquireSpinLockRaiseToDpc(Globals.Address);
        // Release has taken it out, if it was to be passed on: then its links are its own.
        irp.ListEntry.Remove();
        Canceled++;
        Nt.KeReleaseSpinLock(Globals.Address, old);
        Nt.IoReleaseRemoveLockEx(Globals.RemoveLock, irp.Address, RemoveLock.Size);
        Complete(irp, STATUS_CANCELLED);
    }

    void Release(KDpc dpc, Va context, Va argument1, Va argument2)
    {
        for (int i = 0; i < Kept; i++)
        {
            Nt.KeAcquireSpinLockAtDpcLevel(Globals.Address);
            Irp irp = Take();
            Nt.KeReleaseSpinLockFromDpcLevel(Globals.Address);
            if (irp.IsNull) return;
            if (!_chance.OneIn(4)) Send(irp);
            else Later(irp);
        }
    }

    Irp Take()
    {
        while (!Globals.Queue.IsEmpty)
        {
            ListEntry entry = Globals.Queue.RemoveHead();
            Irp irp = Irp.FromListEntry(Memory, entry);
            if (!irp.SetCancelRoutine(Va.Null).IsNull) return irp;
            // Its cancel routine is waiting for the lock, and will take it out again.
            entry.Initialize();
        }
        return At<Irp>(Va.Null);
    }

    void Later(Irp irp)
    {
        Va item = Nt.IoAllocateWorkItem(_device);
        Nt.IoQueueWorkItemEx(item, Routine(Work), DelayedWorkQueue, irp.Address);
    }

    void Work(Va device, Va context, Va item)
    {
        Late++;
        Send(At<Irp>(context));
        Nt.IoFreeWorkItem(item);
    }
}

/// <summary>The topmost filter. It sees that each request completes once, keeps some for a while in the completion
/// routine, and leaves the stack and comes back again and again.</summary>
sealed partial class TopFilter : NtDriver
{
    readonly Chance _chance = new(815);
    readonly HashSet<Va> _under = [];
    readonly List<DeviceObject> _left = [];
    DeviceObject _device, _lower;
    Va _lock, _stop, _thread;
    bool _isAttached;

    public int Passed { get; private set; }
    public int Attachments { get; private set; }
    public int Wrong { get; private set; }

    public override NtStatus DriverEntry(DriverObject driverObject, UnicodeString registryPath)
    {
        for (IrpMajor major = IRP_MJ_CREATE; major <= IRP_MJ_PNP; major++)
            driverObject.SetMajorFunction(major, Routine(Dispatch));
        driverObject.DriverUnload = Routine(Unload);
        _stop = Nt.ExAllocatePool2(POOL_FLAG_NON_PAGED, (ulong)KEvent.Size, Tag("Top "));
        Nt.KeInitializeEvent(At<KEvent>(_stop), NotificationEvent, false);
        NtStatus status = Attach(driverObject);
        Va handle = Local(8), thread = Local(8);
        Nt.PsCreateSystemThread(handle, 0x1F_FFFF, Va.Null, default, Va.Null, Routine(Turn), driverObject.Address);
        Nt.ObReferenceObjectByHandle(Memory.Read<Handle>(handle), 0x1F_FFFF, Va.Null, 0, thread, Va.Null);
        Nt.ZwClose(Memory.Read<Handle>(handle));
        _thread = Memory.Read<Va>(thread);
        return status;
    }

    NtStatus Attach(DriverObject driverObject)
    {
        using LocalFrame frame = Frame();
        NtStatus status = IoCreateDevice(
            driverObject, RemoveLock.Size + 8, "", FILE_DEVICE_UNKNOWN, 0, false, out _device);
        if (!status.IsSuccess) return status;
        _lock = _device.DeviceExtension;
        Nt.IoInitializeRemoveLockEx(At<RemoveLock>(_lock), Tag("Top "), 0, 0, RemoveLock.Size);
        Va lower = Local(8);
        status = Nt.IoAttachDevice(_device, Text(@"\Device\Echo"), lower);
        if (!status.IsSuccess) return status;
        _lower = At<DeviceObject>(Memory.Read<Va>(lower));
        Memory.Write(_lock + RemoveLock.Size, _lower.Address);
        _device.Flags |= _lower.Flags & (DO_BUFFERED_IO | DO_DIRECT_IO);
        _device.Flags &= ~DO_DEVICE_INITIALIZING;
        (_isAttached, Attachments) = (true, Attachments + 1);
        return STATUS_SUCCESS;
    }

    // Detached first, so that nothing new comes; then what is under way is waited for. Who has found the device just
    // before it left the stack may still be on his way in: so it is deleted at the very end.
    void Detach()
    {
        if (!_isAttached) return;
        _isAttached = false;
        Nt.IoDetachDevice(_lower);
        Nt.IoAcquireRemoveLockEx(At<RemoveLock>(_lock), _stop, Va.Null, 0, RemoveLock.Size);
        Nt.IoReleaseRemoveLockAndWaitEx(At<RemoveLock>(_lock), _stop, RemoveLock.Size);
        _left.Add(_device);
    }

    void Turn(Va context)
    {
        Va timeout = Local(8);
        do
        {
            Memory.Write(timeout, Milliseconds(1 + _chance.Next(3)));
            NtStatus status = Nt.KeWaitForSingleObject(At<KEvent>(_stop).Header, Executive, 0, false, timeout);
            if (status == STATUS_SUCCESS) break;
            Detach();
            Attach(At<DriverObject>(context));
        }
        while (true);
        Nt.PsTerminateSystemThread(STATUS_SUCCESS);
    }

    void Unload(DriverObject driverObject)
    {
        Nt.KeSetEvent(At<KEvent>(_stop), 0, false);
        Nt.KeWaitForSingleObject(At<DispatcherHeader>(_thread), Executive, 0, false, Va.Null);
        Nt.ObfDereferenceObject(_thread);
        Detach();
        foreach (DeviceObject device in _left) Nt.IoDeleteDevice(device);
        Nt.ExFreePoolWithTag(_stop, Tag("Top "));
        if (_under.Count > 0) Wrong++;
    }

    NtStatus Dispatch(DeviceObject device, Irp irp)
    {
        var removeLock = At<RemoveLock>(device.DeviceExtension);
        var lower = At<DeviceObject>(Memory.Read<Va>(device.DeviceExtension + RemoveLock.Size));
        NtStatus status = Nt.IoAcquireRemoveLockEx(removeLock, irp.Address, Va.Null, 0, RemoveLock.Size);
        if (!status.IsSuccess)
        {
            // It came in the moment of leaving: it goes on as if the filter had been gone.
            irp.SkipCurrentStackLocation();
            return Nt.IofCallDriver(lower, irp);
        }
        if (!_under.Add(irp.Address)) Wrong++;
        Passed++;
        irp.CopyCurrentStackLocationToNext();
        irp.SetCompletionRoutine(Routine(Done), device.Address);
        return Nt.IofCallDriver(lower, irp);
    }

    NtStatus Done(DeviceObject device, Irp irp, Va context)
    {
        if (!_under.Remove(irp.Address)) Wrong++;
        if (irp.PendingReturned)
        {
            irp.MarkPending();
            if (_chance.OneIn(16))
            {
                Va item = Nt.IoAllocateWorkItem(device);
                Nt.IoQueueWorkItemEx(item, Routine(Finish), DelayedWorkQueue, irp.Address);
                return STATUS_MORE_PROCESSING_REQUIRED;
            }
        }
        Nt.IoReleaseRemoveLockEx(At<RemoveLock>(device.DeviceExtension), irp.Address, RemoveLock.Size);
        return STATUS_SUCCESS;
    }

    void Finish(Va device, Va context, Va item)
    {
        Nt.IofCompleteRequest(At<Irp>(context), IO_NO_INCREMENT);
        Nt.IoReleaseRemoveLockEx(
            At<RemoveLock>(At<DeviceObject>(device).DeviceExtension), context, RemoveLock.Size);
        Nt.IoFreeWorkItem(item);
    }
}
