using Ringdown.Kernel;
using Ringdown.Machine;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Samples;

/// <summary>A filter that measures what passes, as DISKPERF does: it sits above \Device\Echo, counts requests, bytes
/// and time, and tells them by a device of its own.</summary>
public sealed partial class Perf : Sample
{
    const uint IOCTL_PERF_QUERY = 0x222000;     // METHOD_BUFFERED

    /// <summary>What IOCTL_PERF_QUERY gives. Times are in 100 ns units.</summary>
    [Layout("PERF_COUNTERS", Size = 0x30)]
    public readonly partial struct Counters
    {
        [Field(0x00)] public partial uint Reads { get; set; }
        [Field(0x04)] public partial uint Writes { get; set; }
        [Field(0x08)] public partial uint Others { get; set; }
        [Field(0x0C)] public partial uint Failed { get; set; }
        [Field(0x10)] public partial ulong BytesRead { get; set; }
        [Field(0x18)] public partial ulong BytesWritten { get; set; }
        [Field(0x20)] public partial ulong Time { get; set; }
        [Field(0x28)] public partial int QueueDepth { get; set; }
        [Field(0x2C)] public partial int MaximumDepth { get; set; }
    }

    [Layout("PERF_EXTENSION", Size = 0x60)]
    public readonly partial struct Extension
    {
        [Field(0x00)] public partial DeviceObject Lower { get; set; }
        [Embedded(0x08)] public partial RemoveLock RemoveLock { get; }
        [Embedded(0x28)] public partial KSpinLock Lock { get; }
        [Embedded(0x30)] public partial Counters Counters { get; }
    }

    DeviceObject _control, _filter;

    public override NtStatus DriverEntry(DriverObject driverObject, UnicodeString registryPath)
    {
        for (IrpMajor major = IRP_MJ_CREATE; major <= IRP_MJ_PNP; major++)
            driverObject.SetMajorFunction(major, Routine(Dispatch));
        driverObject.DriverUnload = Routine(Unload);
        NtStatus status = CreateNamed(driverObject, "Perf", 0, 0, out _control);
        if (!status.IsSuccess) return status;
        status = Attach(driverObject);
        if (!status.IsSuccess) DeleteNamed(_control, "Perf");
        return status;
    }

    NtStatus Attach(DriverObject driverObject)
    {
        NtStatus status = IoCreateDevice(
            driverObject, Extension.Size, "", FILE_DEVICE_UNKNOWN, 0, false, out _filter);
        if (!status.IsSuccess) return status;
        var extension = At<Extension>(_filter.DeviceExtension);
        Nt.KeInitializeSpinLock(extension.Lock);
        IoInitializeRemoveLock(extension.RemoveLock, Tag("Samp"), 0, 0);
        Va lower = Local(8);
        status = Nt.IoAttachDevice(_filter, Text(@"\Device\Echo"), lower);
        if (!status.IsSuccess)
        {
            Nt.IoDeleteDevice(_filter);
            return status;
        }
        extension.Lower = At<DeviceObject>(Memory.Read<Va>(lower));
        // How buffers come is the lower device's choice, and the I/O manager asks the top of the stack.
        _filter.Flags |= extension.Lower.Flags & (DO_BUFFERED_IO | DO_DIRECT_IO | DO_POWER_PAGABLE);
        _filter.Flags &= ~DO_DEVICE_INITIALIZING;
        return STATUS_SUCCESS;
    }

    void Unload(DriverObject driverObject)
    {
        // Detached first: no new request can come while the old ones are waited for.
        var extension = At<Extension>(_filter.DeviceExtension);
        Nt.IoDetachDevice(extension.Lower);
        IoAcquireRemoveLock(extension.RemoveLock, driverObject.Address);
        IoReleaseRemoveLockAndWait(extension.RemoveLock, driverObject.Address);
        Nt.IoDeleteDevice(_filter);
        DeleteNamed(_control, "Perf");
    }

    NtStatus Dispatch(DeviceObject device, Irp irp) => device == _control ? Control(irp) : Pass(device, irp);

    NtStatus Control(Irp irp)
    {
        IoStackLocation stack = irp.CurrentStackLocation;
        if (stack.MajorFunction is IRP_MJ_CREATE or IRP_MJ_CLEANUP or IRP_MJ_CLOSE)
            return Complete(irp, STATUS_SUCCESS);
        if (stack.MajorFunction != IRP_MJ_DEVICE_CONTROL || stack.IoControlCode != IOCTL_PERF_QUERY)
            return Complete(irp, STATUS_INVALID_DEVICE_REQUEST);
        if (stack.OutputBufferLength < Counters.Size) return Complete(irp, STATUS_BUFFER_TOO_SMALL);
        var extension = At<Extension>(_filter.DeviceExtension);
        Irql old = Nt.KeAcquireSpinLockRaiseToDpc(extension.Lock);
        Memory.Write(irp.SystemBuffer, Memory.ReadBytes(extension.Counters.Address, Counters.Size));
        Nt.KeReleaseSpinLock(extension.Lock, old);
        return Complete(irp, STATUS_SUCCESS, Counters.Size);
    }

    NtStatus Pass(DeviceObject device, Irp irp)
    {
        var extension = At<Extension>(device.DeviceExtension);
        NtStatus status = IoAcquireRemoveLock(extension.RemoveLock, irp.Address);
        if (!status.IsSuccess) return Complete(irp, status);
        Irql old = Nt.KeAcquireSpinLockRaiseToDpc(extension.Lock);
        Counters counters = extension.Counters;
        counters.QueueDepth++;
        counters.MaximumDepth = Math.Max(counters.MaximumDepth, counters.QueueDepth);
        Nt.KeReleaseSpinLock(extension.Lock, old);
        irp.CopyCurrentStackLocationToNext();
        // When it began goes with the IRP, as the completion routine's context.
        irp.SetCompletionRoutine(Routine(Completed), new Va((ulong)Nt.KeQueryPerformanceCounter(Va.Null)));
        return Nt.IofCallDriver(extension.Lower, irp);
    }

    NtStatus Completed(DeviceObject device, Irp irp, Va began)
    {
        // The lower driver pended it: so did this one, since its dispatch routine has returned the same status.
        if (irp.PendingReturned) irp.MarkPending();
        var extension = At<Extension>(device.DeviceExtension);
        IrpMajor major = irp.CurrentStackLocation.MajorFunction;
        IoStatusBlock result = irp.IoStatus;
        Irql old = Nt.KeAcquireSpinLockRaiseToDpc(extension.Lock);
        Counters counters = extension.Counters;
        counters.QueueDepth--;
        counters.Time += (ulong)Nt.KeQueryPerformanceCounter(Va.Null) - began.Value;
        if (!result.Status.IsSuccess) counters.Failed++;
        switch (major)
        {
            case IRP_MJ_READ:
                counters.Reads++;
                counters.BytesRead += result.Information;
                break;
            case IRP_MJ_WRITE:
                counters.Writes++;
                counters.BytesWritten += result.Information;
                break;
            default:
                counters.Others++;
                break;
        }
        Nt.KeReleaseSpinLock(extension.Lock, old);
        IoReleaseRemoveLock(extension.RemoveLock, irp.Address);
        return STATUS_SUCCESS;
    }
}
