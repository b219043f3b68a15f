using Ringdown.Kernel;
using Ringdown.Machine;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Samples;

/// <summary>The driver of one device that does one thing at a time: requests wait in the device's queue, StartIo starts
/// the device, its interrupt says that it is ready, and a DPC completes the request and starts the next one. There is
/// no hardware here: a timer stands in the place of the device, and its DPC in the place of the interrupt.</summary>
public sealed partial class Monolithic : Sample
{
    [Layout("MONOLITHIC_EXTENSION", Size = 0x80)]
    public readonly partial struct Extension
    {
        [Embedded(0x00)] public partial KTimer Timer { get; }
        [Embedded(0x40)] public partial KDpc TimerDpc { get; }
    }

    DeviceObject _device;

    public override NtStatus DriverEntry(DriverObject driverObject, UnicodeString registryPath)
    {
        SetOpenClose(driverObject);
        driverObject.SetMajorFunction(IRP_MJ_CLEANUP, Routine(Cleanup));
        driverObject.SetMajorFunction(IRP_MJ_READ, Routine(Read));
        driverObject.DriverStartIo = Routine(StartIo);
        driverObject.DriverUnload = Routine(Unload);
        NtStatus status = CreateNamed(driverObject, "Monolithic", Extension.Size, DO_BUFFERED_IO, out _device);
        if (!status.IsSuccess) return status;
        var x = At<Extension>(_device.DeviceExtension);
        Nt.KeInitializeTimer(x.Timer);
        Nt.KeInitializeDpc(x.TimerDpc, Routine(CustomTimerDpc), _device.Address);
        IoInitializeDpcRequest(_device, Routine(DpcForIsr));
        _device.Flags &= ~DO_DEVICE_INITIALIZING;
        return STATUS_SUCCESS;
    }

    void Unload(DriverObject driverObject)
    {
        Nt.KeCancelTimer(At<Extension>(_device.DeviceExtension).Timer);
        // A DPC that is on its way runs before its code goes.
        Nt.KeFlushQueuedDpcs();
        DeleteNamed(_device, "Monolithic");
    }

    void Cancel(DeviceObject device, Irp irp)
    {
        if (irp != device.CurrentIrp)
        {
            // Still in the queue. StartIo does not get it, since taking packets out needs the lock that is held here.
            Nt.KeRemoveEntryDeviceQueue(device.DeviceQueue, irp.DeviceQueueEntry);
            Nt.IoReleaseCancelSpinLock(irp.CancelIrql);
            Complete(irp, STATUS_CANCELLED);
            return;
        }
        // The device works on it. It is stopped, and its DPC ends the request at once; if the device is ready already,
        // the DPC is on its way. Under the lock, so that the timer is not the next packet's.
        var x = At<Extension>(device.DeviceExtension);
        if (Nt.KeCancelTimer(x.Timer)) IoRequestDpc(device, irp, Va.Null);
        Nt.IoReleaseCancelSpinLock(irp.CancelIrql);
    }

    NtStatus Read(DeviceObject device, Irp irp)
    {
        irp.MarkPending();
        Nt.IoStartPacket(device, irp, Va.Null, Routine(Cancel));
        return STATUS_PENDING;
    }

    // One packet at a time, at DISPATCH_LEVEL.
    void StartIo(DeviceObject device, Irp irp)
    {
        var x = At<Extension>(device.DeviceExtension);
        Nt.KeSetTimer(x.Timer, Milliseconds(10), x.TimerDpc);
    }

    // What an interrupt service routine does: it quiets the device, and leaves the rest to a DPC.
    void CustomTimerDpc(KDpc dpc, DeviceObject device, Va argument1, Va argument2) =>
        IoRequestDpc(device, device.CurrentIrp, Va.Null);

    // Once for each packet that was started.
    void DpcForIsr(KDpc dpc, DeviceObject device, Irp irp, Va context)
    {
        Irql old = IoAcquireCancelSpinLock();
        irp.SetCancelRoutine(Va.Null);
        bool cancelled = irp.Cancel;
        Nt.IoReleaseCancelSpinLock(old);
        // The device is not to be idle while the request is completed.
        Nt.IoStartNextPacket(device, true);
        if (cancelled)
        {
            Complete(irp, STATUS_CANCELLED);
            return;
        }
        uint length = irp.CurrentStackLocation.Length;
        if (length > 0) Memory.Fill(irp.SystemBuffer, length, 0x5A);
        Complete(irp, STATUS_SUCCESS, length);
    }

    // The last handle of a file closes: what it still has queued ends. The current packet ends by itself.
    NtStatus Cleanup(DeviceObject device, Irp irp)
    {
        FileObject file = irp.CurrentStackLocation.FileObject;
        ListEntry head = device.DeviceQueue.DeviceListHead;
        var ended = new List<Irp>();
        // Packets come into the queue and out of it under this lock only.
        Irql old = IoAcquireCancelSpinLock();
        for (ListEntry entry = head.Flink, next; entry != head; entry = next)
        {
            Irp queued = Irp.FromDeviceQueueEntry(Memory, entry.Address);
            next = entry.Flink;
            if (queued.CurrentStackLocation.FileObject != file) continue;
            queued.SetCancelRoutine(Va.Null);
            Nt.KeRemoveEntryDeviceQueue(device.DeviceQueue, queued.DeviceQueueEntry);
            ended.Add(queued);
        }
        Nt.IoReleaseCancelSpinLock(old);
        foreach (Irp queued in ended) Complete(queued, STATUS_CANCELLED);
        return Complete(irp, STATUS_SUCCESS);
    }
}
