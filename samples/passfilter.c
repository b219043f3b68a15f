// A filter for any device, above or below its function driver: it passes everything on, and goes when its device goes.
#include "filter.h"

// What the device below can do, its filter can do.
static NTSTATUS Inherit(PFILTER x, PIRP irp)
{
    NTSTATUS status = FilterBelow(x, irp);
    if (NT_SUCCESS(status)) x->Self->Characteristics |= x->Below->Characteristics & FILE_REMOVABLE_MEDIA;
    return FilterFinish(x, irp, status);
}

static NTSTATUS NTAPI Plug(PDEVICE_OBJECT device, PIRP irp)
{
    PFILTER x = device->DeviceExtension;
    UCHAR minor = IoGetCurrentIrpStackLocation(irp)->MinorFunction;
    if (minor != IRP_MN_START_DEVICE && minor != IRP_MN_REMOVE_DEVICE) return FilterPass(device, irp);
    NTSTATUS status = IoAcquireRemoveLock(&x->RemoveLock, irp);
    if (!NT_SUCCESS(status)) return Complete(irp, status, 0);
    return minor == IRP_MN_START_DEVICE ? Inherit(x, irp) : FilterRemove(x, irp);
}

static NTSTATUS NTAPI AddDevice(PDRIVER_OBJECT driver, PDEVICE_OBJECT physical)
{
    PDEVICE_OBJECT device;
    NTSTATUS status = FilterAdd(driver, physical, sizeof(FILTER), &device);
    if (NT_SUCCESS(status)) device->Flags &= ~DO_DEVICE_INITIALIZING;
    return status;
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path)
{
    FilterSet(driver, AddDevice, Plug);
    return STATUS_SUCCESS;
}
