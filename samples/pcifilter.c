// A filter below the function driver of a PCI device: it asks the bus for its interface, reads configuration space with
// it, and gives the device its interrupt line where it could also have messages.
#include <initguid.h>
#include "sample.h"
#include <wdmguid.h>

typedef struct {
    PDEVICE_OBJECT Self, Below;
    IO_REMOVE_LOCK RemoveLock;
    BUS_INTERFACE_STANDARD Bus;
    LONG Reads;
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

// A request of this driver's own, to the devices below: who does not know the interface leaves the status alone.
static NTSTATUS AskForBus(PFILTER x)
{
    KEVENT done;
    IO_STATUS_BLOCK result;
    KeInitializeEvent(&done, NotificationEvent, FALSE);
    PIRP irp = IoBuildSynchronousFsdRequest(IRP_MJ_PNP, x->Below, NULL, 0, NULL, &done, &result);
    if (irp == NULL) return STATUS_INSUFFICIENT_RESOURCES;
    irp->IoStatus.Status = STATUS_NOT_SUPPORTED;
    PIO_STACK_LOCATION next = IoGetNextIrpStackLocation(irp);
    next->MinorFunction = IRP_MN_QUERY_INTERFACE;
    next->Parameters.QueryInterface.InterfaceType = &GUID_BUS_INTERFACE_STANDARD;
    next->Parameters.QueryInterface.Size = sizeof(x->Bus);
    next->Parameters.QueryInterface.Version = 1;
    next->Parameters.QueryInterface.Interface = (PINTERFACE)&x->Bus;
    NTSTATUS status = IoCallDriver(x->Below, irp);
    if (status == STATUS_PENDING) {
        KeWaitForSingleObject(&done, Executive, KernelMode, FALSE, NULL);
        status = result.Status;
    }
    return status;
}

// A device that starts again after a stop has the interface already.
static void Identify(PFILTER x)
{
    USHORT ids[2];
    if (x->Bus.GetBusData == NULL && !NT_SUCCESS(AskForBus(x))) return;
    if (x->Bus.GetBusData(x->Bus.Context, PCI_WHICHSPACE_CONFIG, ids, 0, sizeof(ids)) == sizeof(ids))
        DbgPrint("pcifilter: %04X:%04X\n", ids[0], ids[1]);
}

static NTSTATUS Start(PFILTER x, PIRP irp)
{
    if (!IoForwardIrpSynchronously(x->Below, irp)) irp->IoStatus.Status = STATUS_UNSUCCESSFUL;
    NTSTATUS status = irp->IoStatus.Status;
    if (NT_SUCCESS(status)) {
        x->Self->Characteristics |= x->Below->Characteristics & FILE_REMOVABLE_MEDIA;
        Identify(x);
    }
    IoCompleteRequest(irp, IO_NO_INCREMENT);
    IoReleaseRemoveLock(&x->RemoveLock, irp);
    return status;
}

static BOOLEAN HasMessages(PIO_RESOURCE_LIST list)
{
    for (ULONG i = 0; i < list->Count; i++) {
        PIO_RESOURCE_DESCRIPTOR d = &list->Descriptors[i];
        if (d->Type == CmResourceTypeInterrupt && (d->Flags & CM_RESOURCE_INTERRUPT_MESSAGE)) return TRUE;
    }
    return FALSE;
}

static PIO_RESOURCE_LIST After(PIO_RESOURCE_LIST list)
{
    return (PIO_RESOURCE_LIST)&list->Descriptors[list->Count];
}

// Takes the alternatives with messages out, in place, if one without is there.
static void TakeMessagesOut(PIO_RESOURCE_REQUIREMENTS_LIST all)
{
    PIO_RESOURCE_LIST list = all->List, next;
    PUCHAR to = (PUCHAR)list;
    ULONG kept = 0;
    for (ULONG i = 0; i < all->AlternativeLists; i++, list = next) {
        // What is moved may lie over its own count.
        next = After(list);
        if (HasMessages(list)) continue;
        ULONG bytes = (ULONG)((PUCHAR)next - (PUCHAR)list);
        RtlMoveMemory(to, list, bytes);
        to += bytes;
        kept++;
    }
    if (kept == 0) return;
    all->AlternativeLists = kept;
    all->ListSize = (ULONG)(to - (PUCHAR)all);
}

// The drivers below may have put another list there.
static NTSTATUS Filter(PFILTER x, PIRP irp)
{
    PIO_RESOURCE_REQUIREMENTS_LIST list =
        IoGetCurrentIrpStackLocation(irp)->Parameters.FilterResourceRequirements.IoResourceRequirementList;
    if (!IoForwardIrpSynchronously(x->Below, irp)) irp->IoStatus.Status = STATUS_UNSUCCESSFUL;
    NTSTATUS status = irp->IoStatus.Status;
    if (NT_SUCCESS(status)) list = (PIO_RESOURCE_REQUIREMENTS_LIST)irp->IoStatus.Information;
    if (list != NULL && (NT_SUCCESS(status) || status == STATUS_NOT_SUPPORTED)) {
        TakeMessagesOut(list);
        irp->IoStatus.Information = (ULONG_PTR)list;
        irp->IoStatus.Status = status = STATUS_SUCCESS;
    }
    IoCompleteRequest(irp, IO_NO_INCREMENT);
    IoReleaseRemoveLock(&x->RemoveLock, irp);
    return status;
}

// The interface goes back while the devices below are still there.
static NTSTATUS Remove(PFILTER x, PIRP irp)
{
    DbgPrint("pcifilter: %d reads of configuration space\n", x->Reads);
    if (x->Bus.GetBusData != NULL) x->Bus.InterfaceDereference(x->Bus.Context);
    irp->IoStatus.Status = STATUS_SUCCESS;
    IoSkipCurrentIrpStackLocation(irp);
    NTSTATUS status = IoCallDriver(x->Below, irp);
    IoReleaseRemoveLockAndWait(&x->RemoveLock, irp);
    IoDetachDevice(x->Below);
    IoDeleteDevice(x->Self);
    return status;
}

static NTSTATUS NTAPI Plug(PDEVICE_OBJECT device, PIRP irp)
{
    PFILTER x = device->DeviceExtension;
    UCHAR minor = IoGetCurrentIrpStackLocation(irp)->MinorFunction;
    if (minor == IRP_MN_READ_CONFIG) InterlockedIncrement(&x->Reads);
    if (minor != IRP_MN_START_DEVICE && minor != IRP_MN_REMOVE_DEVICE && minor != IRP_MN_FILTER_RESOURCE_REQUIREMENTS)
        return PassOn(device, irp);
    NTSTATUS status = IoAcquireRemoveLock(&x->RemoveLock, irp);
    if (!NT_SUCCESS(status)) return Complete(irp, status, 0);
    if (minor == IRP_MN_START_DEVICE) return Start(x, irp);
    return minor == IRP_MN_REMOVE_DEVICE ? Remove(x, irp) : Filter(x, irp);
}

static NTSTATUS NTAPI AddDevice(PDRIVER_OBJECT driver, PDEVICE_OBJECT physical)
{
    const ULONG inherited = DO_BUFFERED_IO | DO_DIRECT_IO | DO_POWER_PAGABLE | DO_POWER_INRUSH;
    PDEVICE_OBJECT top = IoGetAttachedDeviceReference(physical), device;
    NTSTATUS status = IoCreateDevice(
        driver, sizeof(FILTER), NULL, top->DeviceType, top->Characteristics, FALSE, &device);
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
