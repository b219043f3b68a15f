// A filter for any device, above or below its function driver: it passes everything on, and goes when its device goes.
#include "sample.h"

typedef struct {
    PDEVICE_OBJECT Self, Below;
    IO_REMOVE_LOCK RemoveLock;
} FILTER, *PFILTER;

static NTSTATUS NTAPI Done(PDEVICE_OBJECT device, PIRP irp, PVOID context)
{
    PFILTER x = context;
    if (irp->PendingReturned) IoMarkIrpPending(irp);
    IoReleaseRemoveLock(&x->RemoveLock, irp);
    return STATUS_CONTINUE_COMPLETION;
}

// The remove lock is held until the request is complete: a device that is on a request's way stays.
static NTSTATUS NTAPI PassOn(PDEVICE_OBJECT device, PIRP irp)
{
    PFILTER x = device->DeviceExtension;
    NTSTATUS status = IoAcquireRemoveLock(&x->RemoveLock, irp);
    BOOLEAN isPower = IoGetCurrentIrpStackLocation(irp)->MajorFunction == IRP_MJ_POWER;
    if (isPower) PoStartNextPowerIrp(irp);
    if (!NT_SUCCESS(status)) return Complete(irp, status, 0);
    IoCopyCurrentIrpStackLocationToNext(irp);
    IoSetCompletionRoutine(irp, Done, x, TRUE, TRUE, TRUE);
    return isPower ? PoCallDriver(x->Below, irp) : IoCallDriver(x->Below, irp);
}

// What the device below can do, its filter can do.
static NTSTATUS NTAPI Inherit(PFILTER x, PIRP irp)
{
    if (!IoForwardIrpSynchronously(x->Below, irp)) irp->IoStatus.Status = STATUS_UNSUCCESSFUL;
    NTSTATUS status = irp->IoStatus.Status;
    if (NT_SUCCESS(status)) x->Self->Characteristics |= x->Below->Characteristics & FILE_REMOVABLE_MEDIA;
    IoCompleteRequest(irp, IO_NO_INCREMENT);
    IoReleaseRemoveLock(&x->RemoveLock, irp);
    return status;
}

static NTSTATUS NTAPI Plug(PDEVICE_OBJECT device, PIRP irp)
{
    PFILTER x = device->DeviceExtension;
    UCHAR minor = IoGetCurrentIrpStackLocation(irp)->MinorFunction;
    if (minor != IRP_MN_START_DEVICE && minor != IRP_MN_REMOVE_DEVICE) return PassOn(device, irp);
    NTSTATUS status = IoAcquireRemoveLock(&x->RemoveLock, irp);
    if (!NT_SUCCESS(status)) return Complete(irp, status, 0);
    if (minor == IRP_MN_START_DEVICE) return Inherit(x, irp);
    irp->IoStatus.Status = STATUS_SUCCESS;
    IoSkipCurrentIrpStackLocation(irp);
    status = IoCallDriver(x->Below, irp);
    IoReleaseRemoveLockAndWait(&x->RemoveLock, irp);
    IoDetachDevice(x->Below);
    IoDeleteDevice(device);
    return status;
}

static NTSTATUS NTAPI AddDevice(PDRIVER_OBJECT driver, PDEVICE_OBJECT physical)
{
    const ULONG inherited = DO_BUFFERED_IO | DO_DIRECT_IO | DO_POWER_PAGABLE | DO_POWER_INRUSH;
    PDEVICE_OBJECT top = IoGetAttachedDeviceReference(physical), device;
    NTSTATUS status = IoCreateDevice(driver, sizeof(FILTER), NULL, top->DeviceType, top->Characteristics, FALSE, &device);
    ObDereferenceObject(top);
    if (!NT_SUCCESS(status)) return status;
    PFILTER x = device->DeviceExtension;
    x->Self = device;
    IoInitializeRemoveLock(&x->RemoveLock, TAG, 0, 0);
    x->Below = IoAttachDeviceToDeviceStack(device, physical);
    if (x->Below == NULL) {
        IoDeleteDevice(device);
        return STATUS_NO_SUCH_DEVICE;
    }
    device->Flags |= x->Below->Flags & inherited;
    device->Flags &= ~DO_DEVICE_INITIALIZING;
    return STATUS_SUCCESS;
}

static void NTAPI Unload(PDRIVER_OBJECT driver)
{
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path)
{
    for (ULONG i = 0; i <= IRP_MJ_MAXIMUM_FUNCTION; i++) driver->MajorFunction[i] = PassOn;
    driver->MajorFunction[IRP_MJ_PNP] = Plug;
    driver->DriverExtension->AddDevice = AddDevice;
    driver->DriverUnload = Unload;
    return STATUS_SUCCESS;
}
