// What the filters here share: a place in any stack, requests that pass, and an end with the device.
#pragma once
#include "sample.h"

// The first thing in a device's extension.
typedef struct {
    PDEVICE_OBJECT Self, Below;
    IO_REMOVE_LOCK RemoveLock;
} FILTER, *PFILTER;

static NTSTATUS NTAPI FilterDone(PDEVICE_OBJECT device, PIRP irp, PVOID context)
{
    PFILTER x = context;
    if (irp->PendingReturned) IoMarkIrpPending(irp);
    IoReleaseRemoveLock(&x->RemoveLock, irp);
    return STATUS_CONTINUE_COMPLETION;
}

// The remove lock is held until the request is complete: a device that is on a request's way stays.
static NTSTATUS NTAPI FilterPass(PDEVICE_OBJECT device, PIRP irp)
{
    PFILTER x = device->DeviceExtension;
    NTSTATUS status = IoAcquireRemoveLock(&x->RemoveLock, irp);
    BOOLEAN isPower = IoGetCurrentIrpStackLocation(irp)->MajorFunction == IRP_MJ_POWER;
    if (isPower) PoStartNextPowerIrp(irp);
    if (!NT_SUCCESS(status)) return Complete(irp, status, 0);
    IoCopyCurrentIrpStackLocationToNext(irp);
    IoSetCompletionRoutine(irp, FilterDone, x, TRUE, TRUE, TRUE);
    return isPower ? PoCallDriver(x->Below, irp) : IoCallDriver(x->Below, irp);
}

// First the drivers below; then the filter, which finishes it.
static inline NTSTATUS FilterBelow(PFILTER x, PIRP irp)
{
    if (!IoForwardIrpSynchronously(x->Below, irp)) irp->IoStatus.Status = STATUS_UNSUCCESSFUL;
    return irp->IoStatus.Status;
}

static inline NTSTATUS FilterFinish(PFILTER x, PIRP irp, NTSTATUS status)
{
    IoCompleteRequest(irp, IO_NO_INCREMENT);
    IoReleaseRemoveLock(&x->RemoveLock, irp);
    return status;
}

static NTSTATUS FilterRemove(PFILTER x, PIRP irp)
{
    irp->IoStatus.Status = STATUS_SUCCESS;
    IoSkipCurrentIrpStackLocation(irp);
    NTSTATUS status = IoCallDriver(x->Below, irp);
    IoReleaseRemoveLockAndWait(&x->RemoveLock, irp);
    IoDetachDevice(x->Below);
    IoDeleteDevice(x->Self);
    return status;
}

// A device object on top of the stack, with the type and the flags of what is below. The driver finishes it, and takes
// DO_DEVICE_INITIALIZING off.
static NTSTATUS FilterAdd(PDRIVER_OBJECT driver, PDEVICE_OBJECT physical, ULONG extension, PDEVICE_OBJECT *made)
{
    const ULONG inherited = DO_BUFFERED_IO | DO_DIRECT_IO | DO_POWER_PAGABLE | DO_POWER_INRUSH;
    PDEVICE_OBJECT top = IoGetAttachedDeviceReference(physical);
    NTSTATUS status = IoCreateDevice(driver, extension, NULL, top->DeviceType, top->Characteristics, FALSE, made);
    ObDereferenceObject(top);
    if (!NT_SUCCESS(status)) return status;
    PFILTER x = (*made)->DeviceExtension;
    x->Self = *made;
    IoInitializeRemoveLock(&x->RemoveLock, TAG, 0, 0);
    x->Below = IoAttachDeviceToDeviceStack(*made, physical);
    if (x->Below == NULL) {
        IoDeleteDevice(*made);
        return STATUS_NO_SUCH_DEVICE;
    }
    (*made)->Flags |= x->Below->Flags & inherited;
    return STATUS_SUCCESS;
}

static void NTAPI FilterUnload(PDRIVER_OBJECT driver)
{
}

static inline void FilterSet(PDRIVER_OBJECT driver, PDRIVER_ADD_DEVICE add, PDRIVER_DISPATCH plug)
{
    for (ULONG i = 0; i <= IRP_MJ_MAXIMUM_FUNCTION; i++) driver->MajorFunction[i] = FilterPass;
    driver->MajorFunction[IRP_MJ_PNP] = plug;
    driver->DriverExtension->AddDevice = add;
    driver->DriverUnload = FilterUnload;
}
