using Ringdown.Kernel;
using Ringdown.Machine;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Samples;

/// <summary>As <see cref="Queue"/>, with the system's cancel-safe queue: the driver has the list and the lock, the
/// system the cancel routine and all its races.</summary>
public sealed partial class CsqQueue : Sample
{
    [Layout("CSQ_EXTENSION", Size = 0x58)]
    public readonly partial struct Extension
    {
        [Embedded(0x00)] public partial IoCsq Csq { get; }
        [Embedded(0x40)] public partial ListEntry Reads { get; }
        [Embedded(0x50)] public partial KSpinLock Lock { get; }
    }

    DeviceObject _device;

    public override NtStatus DriverEntry(DriverObject driverObject, UnicodeString registryPath)
    {
        SetOpenClose(driverObject);
        driverObject.SetMajorFunction(IRP_MJ_CLEANUP, Routine(Cleanup));
        driverObject.SetMajorFunction(IRP_MJ_READ, Routine(Read));
        driverObject.SetMajorFunction(IRP_MJ_WRITE, Routine(Write));
        driverObject.DriverUnload = Routine(Unload);
        NtStatus status = CreateNamed(driverObject, "CsqQueue", Extension.Size, DO_BUFFERED_IO, out _device);
        if (!status.IsSuccess) return status;
        var x = At<Extension>(_device.DeviceExtension);
        x.Reads.Initialize();
        Nt.KeInitializeSpinLock(x.Lock);
        status = Nt.IoCsqInitialize(x.Csq, Routine(InsertIrp), Routine(RemoveIrp), Routine(PeekNextIrp),
            Routine(AcquireLock), Routine(ReleaseLock), Routine(CompleteCanceledIrp));
        if (!status.IsSuccess)
        {
            DeleteNamed(_device, "CsqQueue");
            return status;
        }
        _device.Flags &= ~DO_DEVICE_INITIALIZING;
        return STATUS_SUCCESS;
    }

    void Unload(DriverObject driverObject) => DeleteNamed(_device, "CsqQueue");

    // The queue stands first in the extension.
    Extension ExtensionOf(IoCsq csq) => At<Extension>(csq.Address);

    void InsertIrp(IoCsq csq, Irp irp) => ExtensionOf(csq).Reads.InsertTail(irp.ListEntry);

    void RemoveIrp(IoCsq csq, Irp irp) => irp.ListEntry.Remove();

    // The next one behind an IRP, or the first; of one file, if there is one given.
    Irp PeekNextIrp(IoCsq csq, Irp irp, FileObject file)
    {
        ListEntry head = ExtensionOf(csq).Reads;
        ListEntry entry = irp.IsNull ? head.Flink : irp.ListEntry.Flink;
        for (; entry != head; entry = entry.Flink)
        {
            Irp next = Irp.FromListEntry(Memory, entry);
            if (file.IsNull || next.CurrentStackLocation.FileObject == file) return next;
        }
        return default;
    }

    void AcquireLock(IoCsq csq, Va irql) => Memory.Write(irql, Nt.KeAcquireSpinLockRaiseToDpc(ExtensionOf(csq).Lock));

    void ReleaseLock(IoCsq csq, Irql irql) => Nt.KeReleaseSpinLock(ExtensionOf(csq).Lock, irql);

    void CompleteCanceledIrp(IoCsq csq, Irp irp) => Complete(irp, STATUS_CANCELLED);

    NtStatus Read(DeviceObject device, Irp irp)
    {
        // Marks it pending, too. After this call it may be gone.
        Nt.IoCsqInsertIrp(At<Extension>(device.DeviceExtension).Csq, irp, default);
        return STATUS_PENDING;
    }

    NtStatus Write(DeviceObject device, Irp irp)
    {
        Irp read = Nt.IoCsqRemoveNextIrp(At<Extension>(device.DeviceExtension).Csq, Va.Null);
        if (read.IsNull) return Complete(irp, STATUS_DEVICE_NOT_READY);
        uint length = Math.Min(irp.CurrentStackLocation.Length, read.CurrentStackLocation.Length);
        Memory.Write(read.SystemBuffer, Memory.ReadBytes(irp.SystemBuffer, (int)length));
        Complete(read, STATUS_SUCCESS, length);
        return Complete(irp, STATUS_SUCCESS, length);
    }

    // The last handle of a file closes: what it still has queued ends.
    NtStatus Cleanup(DeviceObject device, Irp irp)
    {
        IoCsq csq = At<Extension>(device.DeviceExtension).Csq;
        Va file = irp.CurrentStackLocation.FileObject.Address;
        while (Nt.IoCsqRemoveNextIrp(csq, file) is { IsNull: false } read) Complete(read, STATUS_CANCELLED);
        return Complete(irp, STATUS_SUCCESS);
    }
}
