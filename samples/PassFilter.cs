using Ringdown.Kernel;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Samples;

/// <summary>A filter for any device, above or below its function driver: it passes everything on, and goes when its
/// device goes.</summary>
public sealed class PassFilter : FilterSample
{
    public override NtStatus DriverEntry(DriverObject driverObject, UnicodeString registryPath)
    {
        FilterSet(driverObject, Routine(AddDevice), Routine(Plug));
        return Status.STATUS_SUCCESS;
    }

    NtStatus AddDevice(DriverObject driverObject, DeviceObject physical)
    {
        NtStatus status = FilterAdd(driverObject, physical, Extension.Size, out DeviceObject device);
        if (status.IsSuccess) device.Flags &= ~DO_DEVICE_INITIALIZING;
        return status;
    }

    NtStatus Plug(DeviceObject device, Irp irp)
    {
        Extension x = FilterOf(device);
        byte minor = irp.CurrentStackLocation.MinorFunction;
        if (minor is not (IRP_MN_START_DEVICE or IRP_MN_REMOVE_DEVICE)) return FilterPass(device, irp);
        NtStatus status = IoAcquireRemoveLock(x.RemoveLock, irp.Address);
        if (!status.IsSuccess) return Complete(irp, status);
        return minor == IRP_MN_START_DEVICE ? Inherit(device, x, irp) : FilterRemove(device, irp);
    }

    // What the device below can do, its filter can do.
    NtStatus Inherit(DeviceObject device, Extension x, Irp irp)
    {
        NtStatus status = FilterBelow(x, irp);
        if (status.IsSuccess) device.Characteristics |= x.Below.Characteristics & FILE_REMOVABLE_MEDIA;
        return FilterFinish(x, irp, status);
    }
}
