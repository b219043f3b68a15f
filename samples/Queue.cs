using Ringdown.Kernel;
using Ringdown.Machine;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Samples;

/// <summary>A device whose reads wait for somebody's write: a queue of IRPs of the driver's own, of which each can be
/// cancelled.</summary>
public sealed partial class Queue : Sample
{
    [Layout("QUEUE_EXTENSION", Size = 0x18)]
    public readonly partial struct Extension
    {
        [Embedded(0x00)] public partial ListEntry Reads { get; }
        [Embedded(0x10)] public partial KSpinLock Lock { get; }
    }

    DeviceObject _device;

    public override NtStatus DriverEntry(DriverObject driverObject, UnicodeString registryPath)
    {
        SetOpenClose(driverObject);
        driverObject.SetMajorFunction(IRP_MJ_CLEANUP, Routine(Cleanup));
        driverObject.SetMajorFunction(IRP_MJ_READ, Routine(Read));
        driverObject.SetMajorFunction(IRP_MJ_WRITE, Routine(Write));
        driverObject.DriverUnload = Routine(Unload);
        NtStatus status = CreateNamed(driverObject, "Queue", Extension.Size, DO_BUFFERED_IO, out _device);
        if (!status.IsSuccess) return status;
        var x = At<Extension>(_device.DeviceExtension);
        x.Reads.Initialize();
        Nt.KeInitializeSpinLock(x.Lock);
        // Only from here on can anybody open it.
        _device.Flags &= ~DO_DEVICE_INITIALIZING;
        return STATUS_SUCCESS;
    }

    void Unload(DriverObject driverObject) => DeleteNamed(_device, "Queue");

    // The I/O manager has cleared the cancel routine, so nobody else ends this request: it is still in the list.
    void CancelRead(DeviceObject device, Irp irp)
    {
        var x = At<Extension>(device.DeviceExtension);
        Nt.IoReleaseCancelSpinLock(irp.CancelIrql);
        Irql old = Nt.KeAcquireSpinLockRaiseToDpc(x.Lock);
        irp.ListEntry.Remove();
        Nt.KeReleaseSpinLock(x.Lock, old);
        Complete(irp, STATUS_CANCELLED);
    }

    NtStatus Read(DeviceObject device, Irp irp)
    {
        var x = At<Extension>(device.DeviceExtension);
        Irql old = Nt.KeAcquireSpinLockRaiseToDpc(x.Lock);
        irp.SetCancelRoutine(Routine(CancelRead));
        // Cancelled before the routine stood: if it can be taken back, nobody else will end this request.
        if (irp.Cancel && !irp.SetCancelRoutine(Va.Null).IsNull)
        {
            Nt.KeReleaseSpinLock(x.Lock, old);
            return Complete(irp, STATUS_CANCELLED);
        }
        // Marked before anybody can complete it, which is when the lock is released.
        irp.MarkPending();
        x.Reads.InsertTail(irp.ListEntry);
        Nt.KeReleaseSpinLock(x.Lock, old);
        return STATUS_PENDING;
    }

    // The oldest read; of one file, if there is one given.
    Irp Dequeue(DeviceObject device, FileObject file)
    {
        var x = At<Extension>(device.DeviceExtension);
        Irp found = default;
        Irql old = Nt.KeAcquireSpinLockRaiseToDpc(x.Lock);
        for (ListEntry entry = x.Reads.Flink; entry != x.Reads && found.IsNull; entry = entry.Flink)
        {
            Irp irp = Irp.FromListEntry(Memory, entry);
            if (!file.IsNull && irp.CurrentStackLocation.FileObject != file) continue;
            // Whoever takes the cancel routine has the request. Here a cancel routine waits for the lock.
            if (irp.SetCancelRoutine(Va.Null).IsNull) continue;
            entry.Remove();
            found = irp;
        }
        Nt.KeReleaseSpinLock(x.Lock, old);
        return found;
    }

    NtStatus Write(DeviceObject device, Irp irp)
    {
        Irp read = Dequeue(device, default);
        if (read.IsNull) return Complete(irp, STATUS_DEVICE_NOT_READY);
        uint length = Math.Min(irp.CurrentStackLocation.Length, read.CurrentStackLocation.Length);
        Memory.Write(read.SystemBuffer, Memory.ReadBytes(irp.SystemBuffer, (int)length));
        Complete(read, STATUS_SUCCESS, length);
        return Complete(irp, STATUS_SUCCESS, length);
    }

    // The last handle of a file closes: what it still has queued ends.
    NtStatus Cleanup(DeviceObject device, Irp irp)
    {
        FileObject file = irp.CurrentStackLocation.FileObject;
        while (Dequeue(device, file) is { IsNull: false } read) Complete(read, STATUS_CANCELLED);
        return Complete(irp, STATUS_SUCCESS);
    }
}
