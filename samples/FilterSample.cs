using Ringdown.Kernel;
using Ringdown.Machine;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Samples;

/// <summary>What the filters here share: a place in any stack, requests that pass, and an end with the
/// device.</summary>
public abstract partial class FilterSample : Sample
{
    /// <summary>The first thing in a device's extension.</summary>
    [Layout("FILTER", Size = 0x28)]
    public readonly partial struct Extension
    {
        [Field(0x00)] public partial DeviceObject Below { get; set; }
        [Embedded(0x08)] public partial RemoveLock RemoveLock { get; }
    }

    protected Extension FilterOf(DeviceObject device) => At<Extension>(device.DeviceExtension);

    // The remove lock is held until the request is complete: a device that is on a request's way stays.
    protected NtStatus FilterPass(DeviceObject device, Irp irp)
    {
        Extension x = FilterOf(device);
        NtStatus status = IoAcquireRemoveLock(x.RemoveLock, irp.Address);
        bool isPower = irp.CurrentStackLocation.MajorFunction == IRP_MJ_POWER;
        if (isPower) Nt.PoStartNextPowerIrp(irp);
        if (!status.IsSuccess) return Complete(irp, status);
        irp.CopyCurrentStackLocationToNext();
        irp.SetCompletionRoutine(Routine(FilterDone), x.Address);
        return isPower ? Nt.PoCallDriver(x.Below, irp) : Nt.IofCallDriver(x.Below, irp);
    }

    protected NtStatus FilterDone(DeviceObject device, Irp irp, Extension x)
    {
        if (irp.PendingReturned) irp.MarkPending();
        IoReleaseRemoveLock(x.RemoveLock, irp.Address);
        return STATUS_SUCCESS;
    }

    /// <summary>First the drivers below; then the filter, which finishes it.</summary>
    protected NtStatus FilterBelow(Extension x, Irp irp)
    {
        if (!Nt.IoForwardIrpSynchronously(x.Below, irp)) irp.IoStatus = new IoStatusBlock(STATUS_UNSUCCESSFUL, 0);
        return irp.IoStatus.Status;
    }

    protected NtStatus FilterFinish(Extension x, Irp irp, NtStatus status)
    {
        Nt.IofCompleteRequest(irp, IO_NO_INCREMENT);
        IoReleaseRemoveLock(x.RemoveLock, irp.Address);
        return status;
    }

    protected NtStatus FilterRemove(DeviceObject device, Irp irp)
    {
        Extension x = FilterOf(device);
        irp.IoStatus = new IoStatusBlock(STATUS_SUCCESS, irp.IoStatus.Information);
        irp.SkipCurrentStackLocation();
        NtStatus status = Nt.IofCallDriver(x.Below, irp);
        IoReleaseRemoveLockAndWait(x.RemoveLock, irp.Address);
        Nt.IoDetachDevice(x.Below);
        Nt.IoDeleteDevice(device);
        return status;
    }

    /// <summary>A device object on top of the stack, with the type and the flags of what is below. The driver finishes
    /// it, and takes DO_DEVICE_INITIALIZING off.</summary>
    protected NtStatus FilterAdd(
        DriverObject driverObject, DeviceObject physical, int extension, out DeviceObject made)
    {
        const uint inherited = DO_BUFFERED_IO | DO_DIRECT_IO | DO_POWER_PAGABLE | DO_POWER_INRUSH;
        DeviceObject top = Nt.IoGetAttachedDeviceReference(physical);
        NtStatus status = IoCreateDevice(
            driverObject, extension, "", top.DeviceType, top.Characteristics, false, out made);
        Nt.ObfDereferenceObject(top.Address);
        if (!status.IsSuccess) return status;
        Extension x = FilterOf(made);
        IoInitializeRemoveLock(x.RemoveLock, Tag("Samp"), 0, 0);
        x.Below = Nt.IoAttachDeviceToDeviceStack(made, physical);
        if (x.Below.IsNull)
        {
            Nt.IoDeleteDevice(made);
            return STATUS_NO_SUCH_DEVICE;
        }
        made.Flags |= x.Below.Flags & inherited;
        return STATUS_SUCCESS;
    }

    void FilterUnload(DriverObject driverObject)
    {
    }

    protected void FilterSet(DriverObject driverObject, Va addDevice, Va plug)
    {
        for (IrpMajor major = IRP_MJ_CREATE; major <= IRP_MJ_PNP; major++)
            driverObject.SetMajorFunction(major, Routine(FilterPass));
        driverObject.SetMajorFunction(IRP_MJ_PNP, plug);
        DriverExtension extension = driverObject.DriverExtension;
        extension.AddDevice = addDevice;
        driverObject.DriverUnload = Routine(FilterUnload);
    }
}
