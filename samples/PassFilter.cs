using Ringdown.Kernel;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Samples;

/// <summary>A filter for any device, above or below its function driver: it passes everything on, and goes when its
/// device goes.</summary>
public sealed partial class PassFilter : Sample
{
    [Layout("FILTER", Size = 0x28)]
    public readonly partial struct Extension
    {
        [Field(0x00)] public partial DeviceObject Below { get; set; }
        [Embedded(0x08)] public partial RemoveLock RemoveLock { get; }
    }

    public override NtStatus DriverEntry(DriverObject driverObject, UnicodeString registryPath)
    {
        for (IrpMajor major = IRP_MJ_CREATE; major <= IRP_MJ_PNP; major++)
            driverObject.SetMajorFunction(major, Routine(PassOn));
        driverObject.SetMajorFunction(IRP_MJ_PNP, Routine(Plug));
        DriverExtension extension = driverObject.DriverExtension;
        extension.AddDevice = Routine(AddDevice);
        driverObject.DriverUnload = Routine(Unload);
        return STATUS_SUCCESS;
    }

    void Unload(DriverObject driverObject)
    {
    }

    NtStatus AddDevice(DriverObject driverObject, DeviceObject physical)
    {
        const uint inherited = DO_BUFFERED_IO | DO_DIRECT_IO | DO_POWER_PAGABLE | DO_POWER_INRUSH;
        DeviceObject top = Nt.IoGetAttachedDeviceReference(physical);
        NtStatus status = IoCreateDevice(
            driverObject, Extension.Size, "", top.DeviceType, top.Characteristics, false, out DeviceObject device);
        Nt.ObfDereferenceObject(top.Address);
        if (!status.IsSuccess) return status;
        var x = At<Extension>(device.DeviceExtension);
        IoInitializeRemoveLock(x.RemoveLock, Tag("Samp"), 0, 0);
        x.Below = Nt.IoAttachDeviceToDeviceStack(device, physical);
        if (x.Below.IsNull)
        {
            Nt.IoDeleteDevice(device);
            return STATUS_NO_SUCH_DEVICE;
        }
        device.Flags = (device.Flags | x.Below.Flags & inherited) & ~DO_DEVICE_INITIALIZING;
        return STATUS_SUCCESS;
    }

    // The remove lock is held until the request is complete: a device that is on a request's way stays.
    NtStatus PassOn(DeviceObject device, Irp irp)
    {
        var x = At<Extension>(device.DeviceExtension);
        NtStatus status = IoAcquireRemoveLock(x.RemoveLock, irp.Address);
        bool isPower = irp.CurrentStackLocation.MajorFunction == IRP_MJ_POWER;
        if (isPower) Nt.PoStartNextPowerIrp(irp);
        if (!status.IsSuccess) return Complete(irp, status);
        irp.CopyCurrentStackLocationToNext();
        irp.SetCompletionRoutine(Routine(Done), x.Address);
        return isPower ? Nt.PoCallDriver(x.Below, irp) : Nt.IofCallDriver(x.Below, irp);
    }

    NtStatus Done(DeviceObject device, Irp irp, Extension x)
    {
        if (irp.PendingReturned) irp.MarkPending();
        IoReleaseRemoveLock(x.RemoveLock, irp.Address);
        return STATUS_SUCCESS;
    }

    NtStatus Plug(DeviceObject device, Irp irp)
    {
        var x = At<Extension>(device.DeviceExtension);
        byte minor = irp.CurrentStackLocation.MinorFunction;
        if (minor is not (IRP_MN_START_DEVICE or IRP_MN_REMOVE_DEVICE)) return PassOn(device, irp);
        NtStatus status = IoAcquireRemoveLock(x.RemoveLock, irp.Address);
        if (!status.IsSuccess) return Complete(irp, status);
        return minor == IRP_MN_START_DEVICE ? Inherit(device, x, irp) : Remove(device, x, irp);
    }

    // What the device below can do, its filter can do.
    NtStatus Inherit(DeviceObject device, Extension x, Irp irp)
    {
        if (!Nt.IoForwardIrpSynchronously(x.Below, irp)) irp.IoStatus = new IoStatusBlock(STATUS_UNSUCCESSFUL, 0);
        NtStatus status = irp.IoStatus.Status;
        if (status.IsSuccess) device.Characteristics |= x.Below.Characteristics & FILE_REMOVABLE_MEDIA;
        Nt.IofCompleteRequest(irp, IO_NO_INCREMENT);
        IoReleaseRemoveLock(x.RemoveLock, irp.Address);
        return status;
    }

    NtStatus Remove(DeviceObject device, Extension x, Irp irp)
    {
        irp.IoStatus = new IoStatusBlock(STATUS_SUCCESS, irp.IoStatus.Information);
        irp.SkipCurrentStackLocation();
        NtStatus status = Nt.IofCallDriver(x.Below, irp);
        IoReleaseRemoveLockAndWait(x.RemoveLock, irp.Address);
        Nt.IoDetachDevice(x.Below);
        Nt.IoDeleteDevice(device);
        return status;
    }
}
