using Ringdown.Kernel;
using Ringdown.Machine;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Samples;

/// <summary>A driver that sends requests to another one, \Device\Pending, in each of the ways that there are to build
/// an IRP.</summary>
public sealed partial class Builder : Sample
{
    const uint IOCTL_BUILDER_SYNCHRONOUS = 0x222000, IOCTL_BUILDER_OWN = 0x222004, IOCTL_BUILDER_READ = 0x222008,
        IOCTL_BUILDER_REUSE = 0x22200C;

    /// <summary>The other driver's: it answers in another thread. Its reads end after 10 ms.</summary>
    const uint IOCTL_PENDING_WORK_ITEM = 0x222000, IOCTL_PENDING_THREAD = 0x222004;
    const uint Rounds = 3;

    [Layout("REUSE", Size = 0x18)]
    public readonly partial struct ReuseState
    {
        [Field(0x00)] public partial Irp Irp { get; set; }
        [Field(0x08)] public partial uint Left { get; set; }
        [Field(0x0C)] public partial uint Sum { get; set; }

        public Va Data => Address + 0x10;
    }

    DeviceObject _device, _target;
    FileObject _file;

    public override NtStatus DriverEntry(DriverObject driverObject, UnicodeString registryPath)
    {
        SetOpenClose(driverObject);
        driverObject.SetMajorFunction(IRP_MJ_DEVICE_CONTROL, Routine(DeviceControl));
        driverObject.DriverUnload = Routine(Unload);
        // As long as the file object is referenced, the other driver stays.
        NtStatus status = IoGetDeviceObjectPointer(@"\Device\Pending", FILE_READ_DATA, out _file, out _target);
        if (!status.IsSuccess) return status;
        status = CreateNamed(driverObject, "Builder", 0, 0, out _device);
        if (!status.IsSuccess)
        {
            Nt.ObfDereferenceObject(_file.Address);
            return status;
        }
        _device.Flags &= ~DO_DEVICE_INITIALIZING;
        return STATUS_SUCCESS;
    }

    void Unload(DriverObject driverObject)
    {
        DeleteNamed(_device, "Builder");
        Nt.ObfDereferenceObject(_file.Address);
    }

    NtStatus DeviceControl(DeviceObject device, Irp irp)
    {
        IoStackLocation stack = irp.CurrentStackLocation;
        if (stack.OutputBufferLength < sizeof(uint)) return Complete(irp, STATUS_BUFFER_TOO_SMALL);
        return stack.IoControlCode switch
        {
            IOCTL_BUILDER_SYNCHRONOUS => Synchronous(irp),
            IOCTL_BUILDER_OWN => Own(irp),
            IOCTL_BUILDER_READ => AsynchronousRead(irp),
            IOCTL_BUILDER_REUSE => Reuse(irp),
            _ => Complete(irp, STATUS_INVALID_DEVICE_REQUEST),
        };
    }

    // An IRP that belongs to this thread: the I/O manager frees it, and sets the event when its results are there.
    NtStatus Synchronous(Irp irp)
    {
        var done = Local<KEvent>();
        Va result = Local(16), answer = Local(4);
        Nt.KeInitializeEvent(done, NotificationEvent, false);
        Irp built = Nt.IoBuildDeviceIoControlRequest(
            IOCTL_PENDING_WORK_ITEM, _target, Va.Null, 0, answer, sizeof(uint), false, done, result);
        if (built.IsNull) return Complete(irp, STATUS_INSUFFICIENT_RESOURCES);
        IoStackLocation next = built.NextStackLocation;
        next.FileObject = _file;
        NtStatus status = Nt.IofCallDriver(_target, built);
        if (status == STATUS_PENDING)
        {
            Nt.KeWaitForSingleObject(done.Header, Executive, KernelMode, false, Va.Null);
            status = Memory.Read<IoStatusBlock>(result).Status;
        }
        if (!status.IsSuccess) return Complete(irp, status);
        Memory.Write(irp.SystemBuffer, Memory.Read<uint>(answer));
        return Complete(irp, STATUS_SUCCESS, sizeof(uint));
    }

    // An IRP of this driver's own: nobody waits for it, and its completion routine frees it.
    NtStatus Own(Irp irp)
    {
        Irp own = Nt.IoAllocateIrp(_target.StackSize, false);
        if (own.IsNull) return Complete(irp, STATUS_INSUFFICIENT_RESOURCES);
        IoStackLocation next = own.NextStackLocation;
        next.MajorFunction = IRP_MJ_DEVICE_CONTROL;
        next.FileObject = _file;
        next.IoControlCode = IOCTL_PENDING_THREAD;
        next.OutputBufferLength = sizeof(uint);
        own.SystemBuffer = irp.SystemBuffer;
        own.SetCompletionRoutine(Routine(OwnDone), irp.Address);
        // First marked, then sent: it may be complete before the call returns.
        irp.MarkPending();
        Nt.IofCallDriver(_target, own);
        return STATUS_PENDING;
    }

    NtStatus OwnDone(DeviceObject device, Irp own, Irp irp)
    {
        IoStatusBlock result = own.IoStatus;
        Nt.IoFreeIrp(own);
        Complete(irp, result.Status, result.Information);
        // The IRP is this driver's, and is gone: the I/O manager has nothing more to do with it.
        return STATUS_MORE_PROCESSING_REQUIRED;
    }

    // As an own one, but with its parameters and buffers set up as the device wants them.
    NtStatus AsynchronousRead(Irp irp)
    {
        Irp built = Nt.IoBuildAsynchronousFsdRequest(
            (uint)IRP_MJ_READ, _target, irp.SystemBuffer, sizeof(uint), Local(8), Va.Null);
        if (built.IsNull) return Complete(irp, STATUS_INSUFFICIENT_RESOURCES);
        IoStackLocation next = built.NextStackLocation;
        next.FileObject = _file;
        built.SetCompletionRoutine(Routine(ReadDone), irp.Address);
        irp.MarkPending();
        Nt.IofCallDriver(_target, built);
        return STATUS_PENDING;
    }

    NtStatus ReadDone(DeviceObject device, Irp built, Irp irp)
    {
        NtStatus status = built.IoStatus.Status;
        ulong length = status.IsSuccess ? built.IoStatus.Information : 0;
        // What the I/O manager would do for an IRP that it frees itself: the device's buffer is a copy.
        Memory.Write(irp.SystemBuffer, Memory.ReadBytes(built.SystemBuffer, (int)length));
        if ((built.Flags & IRP_DEALLOCATE_BUFFER) != 0) Nt.ExFreePoolWithTag(built.SystemBuffer, 0);
        Nt.IoFreeIrp(built);
        Complete(irp, status, length);
        return STATUS_MORE_PROCESSING_REQUIRED;
    }

    // One IRP for several requests, one after the other.
    NtStatus Reuse(Irp irp)
    {
        var reuse = At<ReuseState>(Nt.ExAllocatePoolWithTag(NonPagedPool, (ulong)ReuseState.Size, Tag("Samp")));
        if (reuse.IsNull) return Complete(irp, STATUS_INSUFFICIENT_RESOURCES);
        (reuse.Irp, reuse.Left, reuse.Sum) = (irp, Rounds, 0);
        Irp own = Nt.IoAllocateIrp(_target.StackSize, false);
        if (own.IsNull)
        {
            Nt.ExFreePoolWithTag(reuse.Address, Tag("Samp"));
            return Complete(irp, STATUS_INSUFFICIENT_RESOURCES);
        }
        irp.MarkPending();
        SendRound(reuse, own);
        return STATUS_PENDING;
    }

    void SendRound(ReuseState reuse, Irp own)
    {
        IoStackLocation next = own.NextStackLocation;
        next.MajorFunction = IRP_MJ_READ;
        next.FileObject = _file;
        next.Length = 1;
        own.SystemBuffer = reuse.Data;
        own.SetCompletionRoutine(Routine(RoundDone), reuse.Address);
        Nt.IofCallDriver(_target, own);
    }

    NtStatus RoundDone(DeviceObject device, Irp own, ReuseState reuse)
    {
        Irp irp = reuse.Irp;
        NtStatus status = own.IoStatus.Status;
        if (status.IsSuccess)
        {
            reuse.Sum += Memory.Read<byte>(reuse.Data);
            if (--reuse.Left > 0)
            {
                // As it was when it was new: all has to be set up again.
                Nt.IoReuseIrp(own, STATUS_SUCCESS);
                SendRound(reuse, own);
                return STATUS_MORE_PROCESSING_REQUIRED;
            }
            Memory.Write(irp.SystemBuffer, reuse.Sum);
        }
        Nt.IoFreeIrp(own);
        Nt.ExFreePoolWithTag(reuse.Address, Tag("Samp"));
        Complete(irp, status, status.IsSuccess ? sizeof(uint) : 0u);
        return STATUS_MORE_PROCESSING_REQUIRED;
    }
}
