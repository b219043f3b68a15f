// A filter below the function driver of a PCI device: it asks the bus for its interface, reads configuration space with
// it, and gives the device its interrupt line where it could also have messages.
#include <initguid.h>
#include "filter.h"
#include <wdmguid.h>

typedef struct {
    FILTER Filter;
    BUS_INTERFACE_STANDARD Bus;
    LONG Reads;
} PCIFILTER, *PPCIFILTER;

// A request of this driver's own, to the devices below: who does not know the interface leaves the status alone.
static NTSTATUS AskForBus(PPCIFILTER x)
{
    KEVENT done;
    IO_STATUS_BLOCK result;
    KeInitializeEvent(&done, NotificationEvent, FALSE);
    PIRP irp = IoBuildSynchronousFsdRequest(IRP_MJ_PNP, x->Filter.Below, NULL, 0, NULL, &done, &result);
    if (irp == NULL) return STATUS_INSUFFICIENT_RESOURCES;
    irp->IoStatus.Status = STATUS_NOT_SUPPORTED;
    PIO_STACK_LOCATION next = IoGetNextIrpStackLocation(irp);
    next->MinorFunction = IRP_MN_QUERY_INTERFACE;
    next->Parameters.QueryInterface.InterfaceType = &GUID_BUS_INTERFACE_STANDARD;
    next->Parameters.QueryInterface.Size = sizeof(x->Bus);
    next->Parameters.QueryInterface.Version = 1;
    next->Parameters.QueryInterface.Interface = (PINTERFACE)&x->Bus;
    NTSTATUS status = IoCallDriver(x->Filter.Below, irp);
    if (status == STATUS_PENDING) {
        KeWaitForSingleObject(&done, Executive, KernelMode, FALSE, NULL);
        status = result.Status;
    }
    return status;
}

// A device that starts again after a stop has the interface already.
static void Identify(PPCIFILTER x)
{
    USHORT ids[2];
    if (x->Bus.GetBusData == NULL && !NT_SUCCESS(AskForBus(x))) return;
    if (x->Bus.GetBusData(x->Bus.Context, PCI_WHICHSPACE_CONFIG, ids, 0, sizeof(ids)) == sizeof(ids))
        DbgPrint("pcifilter: %04X:%04X\n", ids[0], ids[1]);
}

static NTSTATUS Start(PPCIFILTER x, PIRP irp)
{
    NTSTATUS status = FilterBelow(&x->Filter, irp);
    if (NT_SUCCESS(status)) {
        x->Filter.Self->Characteristics |= x->Filter.Below->Characteristics & FILE_REMOVABLE_MEDIA;
        Identify(x);
    }
    return FilterFinish(&x->Filter, irp, status);
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
static NTSTATUS Filter(PPCIFILTER x, PIRP irp)
{
    PIO_RESOURCE_REQUIREMENTS_LIST list =
        IoGetCurrentIrpStackLocation(irp)->Parameters.FilterResourceRequirements.IoResourceRequirementList;
    NTSTATUS status = FilterBelow(&x->Filter, irp);
    if (NT_SUCCESS(status)) list = (PIO_RESOURCE_REQUIREMENTS_LIST)irp->IoStatus.Information;
    if (list != NULL && (NT_SUCCESS(status) || status == STATUS_NOT_SUPPORTED)) {
        TakeMessagesOut(list);
        irp->IoStatus.Information = (ULONG_PTR)list;
        irp->IoStatus.Status = status = STATUS_SUCCESS;
    }
    return FilterFinish(&x->Filter, irp, status);
}

// The interface goes back while the devices below are still there.
static NTSTATUS Remove(PPCIFILTER x, PIRP irp)
{
    DbgPrint("pcifilter: %d reads of configuration space\n", x->Reads);
    if (x->Bus.GetBusData != NULL) x->Bus.InterfaceDereference(x->Bus.Context);
    return FilterRemove(&x->Filter, irp);
}

static NTSTATUS NTAPI Plug(PDEVICE_OBJECT device, PIRP irp)
{
    PPCIFILTER x = device->DeviceExtension;
    UCHAR minor = IoGetCurrentIrpStackLocation(irp)->MinorFunction;
    if (minor == IRP_MN_READ_CONFIG) InterlockedIncrement(&x->Reads);
    if (minor != IRP_MN_START_DEVICE && minor != IRP_MN_REMOVE_DEVICE && minor != IRP_MN_FILTER_RESOURCE_REQUIREMENTS)
        return FilterPass(device, irp);
    NTSTATUS status = IoAcquireRemoveLock(&x->Filter.RemoveLock, irp);
    if (!NT_SUCCESS(status)) return Complete(irp, status, 0);
    if (minor == IRP_MN_START_DEVICE) return Start(x, irp);
    return minor == IRP_MN_REMOVE_DEVICE ? Remove(x, irp) : Filter(x, irp);
}

static NTSTATUS NTAPI AddDevice(PDRIVER_OBJECT driver, PDEVICE_OBJECT physical)
{
    PDEVICE_OBJECT device;
    NTSTATUS status = FilterAdd(driver, physical, sizeof(PCIFILTER), &device);
    if (NT_SUCCESS(status)) device->Flags &= ~DO_DEVICE_INITIALIZING;
    return status;
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path)
{
    FilterSet(driver, AddDevice, Plug);
    return STATUS_SUCCESS;
}
