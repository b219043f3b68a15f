// A driver for the device to learn with: factorials, several at once, and transfers between a program and the chip's
// buffer by DMA. Requests wait where the chip has no room; while it has no power, those that came before wait for it.
#include <initguid.h>
#include "educhip.h"

#define PAUSE (-10000LL)

// {6f0c3a52-8c55-4c39-9f3d-52494e474645}
DEFINE_GUID(GUID_EDU, 0x6f0c3a52, 0x8c55, 0x4c39, 0x9f, 0x3d, 0x52, 0x49, 0x4e, 0x47, 0x46, 0x45);

// DEVICE_DESCRIPTION since version 3.
typedef struct {
    DEVICE_DESCRIPTION Old;
    ULONG DmaAddressWidth, DmaControllerInstance, DmaRequestLine;
    PHYSICAL_ADDRESS DeviceAddress;
} DESCRIPTION;

// Each request holds the remove lock from its dispatch to its end.
static void End(PIRP irp, NTSTATUS status, ULONG_PTR information)
{
    PEDU x = IoGetCurrentIrpStackLocation(irp)->DeviceObject->DeviceExtension;
    InterlockedDecrement(&x->Requests);
    PlugFinish(&x->Plug, irp, status, information);
}

static BOOLEAN IsThere(PEDU x)
{
    return In(x, ID) == IDENTIFICATION;
}

// What waits begins.
static void Resume(PEDU x)
{
    Out(x, INTERRUPT_ENABLE, 0);
    Out(x, INTERRUPT_ACK, ~0u);
    for (int i = 0; i < SLOTS; i++) Out(x, DONE_POP, 1);
    Out(x, INTERRUPT_ENABLE, ALL);
    x->Held = FALSE;
    IoRequestDpc(x->Plug.Self, NULL, NULL);
}

// What is under way ends, and what waits waits on. A chip that is gone ends nothing, so here it is done.
static void Quiet(PEDU x)
{
    LARGE_INTEGER pause = { .QuadPart = PAUSE };
    KIRQL irql;
    KeClearEvent(&x->Idle);
    x->Held = TRUE;
    IoRequestDpc(x->Plug.Self, NULL, NULL);
    while (KeWaitForSingleObject(&x->Idle, Executive, KernelMode, FALSE, &pause) == STATUS_TIMEOUT) {
        BOOLEAN waitsForMemory = x->Transfer != NULL && x->List == NULL;
        if (!waitsForMemory && !IsThere(x)) break;
    }
    Out(x, INTERRUPT_ENABLE, 0);
    KeFlushQueuedDpcs();
    for (int i = 0; i < SLOTS; i++) x->Slots[i].Id = 0;
    EndAll(&x->Running, NULL, STATUS_DEVICE_REMOVED);
    KeRaiseIrql(DISPATCH_LEVEL, &irql);
    if (x->Transfer != NULL) EndTransfer(x, STATUS_DEVICE_REMOVED);
    KeLowerIrql(irql);
}

static void SetPower(PPLUG plug, BOOLEAN on)
{
    PEDU x = (PEDU)plug;
    if (!on) Quiet(x);
    else if (x->Held) Resume(x);
}

// By messages, if the device has been given some; else by its line.
static NTSTATUS Connect(PEDU x)
{
    IO_CONNECT_INTERRUPT_PARAMETERS p;
    RtlZeroMemory(&p, sizeof(p));
    p.Version = CONNECT_MESSAGE_BASED;
    p.MessageBased.PhysicalDeviceObject = x->Plug.Physical;
    p.MessageBased.ConnectionContext.Generic = &x->Connected;
    p.MessageBased.MessageServiceRoutine = MessageIsr;
    p.MessageBased.FallBackServiceRoutine = Isr;
    p.MessageBased.ServiceContext = x;
    NTSTATUS status = IoConnectInterruptEx(&p);
    if (!NT_SUCCESS(status)) return status;
    x->Connection = p.Version;
    x->Interrupt = p.Version == CONNECT_MESSAGE_BASED
        ? ((PIO_INTERRUPT_MESSAGE_INFO)x->Connected)->MessageInfo[0].InterruptObject : x->Connected;
    return STATUS_SUCCESS;
}

static void Disconnect(PEDU x)
{
    IO_DISCONNECT_INTERRUPT_PARAMETERS p = { .Version = x->Connection, .ConnectionContext.Generic = x->Connected };
    IoDisconnectInterruptEx(&p);
    x->Interrupt = NULL;
    KeFlushQueuedDpcs();
}

// The chip says how many address bits it has. What lies above, the system copies.
static NTSTATUS MakeAdapter(PEDU x)
{
    DESCRIPTION description;
    ULONG registers;
    if (x->Adapter != NULL) return STATUS_SUCCESS;
    RtlZeroMemory(&description, sizeof(description));
    description.Old.Version = 3;
    description.Old.Master = description.Old.ScatterGather = TRUE;
    description.Old.InterfaceType = PCIBus;
    description.Old.MaximumLength = BUFFER_BYTES;
    description.DmaAddressWidth = In(x, DMA_BITS);
    x->Adapter = IoGetDmaAdapter(x->Plug.Physical, &description.Old, &registers);
    return x->Adapter == NULL ? STATUS_INSUFFICIENT_RESOURCES : STATUS_SUCCESS;
}

static NTSTATUS Start(PPLUG plug, PIO_STACK_LOCATION location)
{
    PEDU x = (PEDU)plug;
    PCM_RESOURCE_LIST resources = location->Parameters.StartDevice.AllocatedResourcesTranslated;
    if (resources == NULL || resources->Count != 1) return STATUS_INSUFFICIENT_RESOURCES;
    PCM_PARTIAL_RESOURCE_LIST list = &resources->List[0].PartialResourceList;
    for (ULONG i = 0; i < list->Count && x->Registers == NULL; i++) {
        PCM_PARTIAL_RESOURCE_DESCRIPTOR d = &list->PartialDescriptors[i];
        if (d->Type != CmResourceTypeMemory || d->u.Memory.Length < REGISTER_BYTES) continue;
        x->RegisterBytes = d->u.Memory.Length;
        x->Registers = MmMapIoSpace(d->u.Memory.Start, x->RegisterBytes, MmNonCached);
    }
    if (x->Registers == NULL) return STATUS_INSUFFICIENT_RESOURCES;
    if (!IsThere(x)) return STATUS_NO_SUCH_DEVICE;
    NTSTATUS status = MakeAdapter(x);
    return NT_SUCCESS(status) ? Connect(x) : status;
}

static void Stop(PPLUG plug)
{
    PEDU x = (PEDU)plug;
    if (plug->Gone) {
        EndAll(&x->Jobs, NULL, STATUS_DEVICE_REMOVED);
        EndAll(&x->Transfers, NULL, STATUS_DEVICE_REMOVED);
        EndAll(&x->Running, NULL, STATUS_DEVICE_REMOVED);
    }
    if (x->Interrupt != NULL) {
        Quiet(x);
        Disconnect(x);
    }
    if (x->Registers != NULL) MmUnmapIoSpace(x->Registers, x->RegisterBytes);
    x->Registers = NULL;
}

// A request that has come keeps the device where it is.
static BOOLEAN MayStop(PPLUG plug)
{
    return ((PEDU)plug)->Requests == 0;
}

static void Removed(PPLUG plug)
{
    PEDU x = (PEDU)plug;
    if (x->Adapter != NULL) x->Adapter->DmaOperations->PutDmaAdapter(x->Adapter);
}

static NTSTATUS Accept(PEDU x, PQUEUE queue, PIRP irp)
{
    InterlockedIncrement(&x->Requests);
    // The queue marks it pending. After this call it may be gone.
    IoCsqInsertIrp(&queue->Csq, irp, NULL);
    IoRequestDpc(x->Plug.Self, NULL, NULL);
    return STATUS_PENDING;
}

// A factorial: in a number of 4 bytes, out one of 8. A transfer: in an offset of 4 bytes; the other buffer is the data.
static NTSTATUS Control(PPLUG plug, PIRP irp, PIO_STACK_LOCATION location, PULONG_PTR information)
{
    PEDU x = (PEDU)plug;
    ULONG code = location->Parameters.DeviceIoControl.IoControlCode;
    ULONG input = location->Parameters.DeviceIoControl.InputBufferLength;
    ULONG output = location->Parameters.DeviceIoControl.OutputBufferLength;
    PULONG buffer = irp->AssociatedIrp.SystemBuffer;
    switch (code) {
    case IOCTL_FACTORIAL:
        if (input < sizeof(ULONG) || output < sizeof(ULONGLONG)) return STATUS_BUFFER_TOO_SMALL;
        return Accept(x, &x->Jobs, irp);
    case IOCTL_PUT:
    case IOCTL_GET:
        if (input < sizeof(ULONG)) return STATUS_BUFFER_TOO_SMALL;
        if (irp->MdlAddress == NULL || output > BUFFER_BYTES || *buffer > BUFFER_BYTES - output)
            return STATUS_INVALID_PARAMETER;
        return Accept(x, &x->Transfers, irp);
    case IOCTL_COUNT:
        if (output < sizeof(COUNTERS)) return STATUS_BUFFER_TOO_SMALL;
        *(COUNTERS *)buffer = x->Counters;
        *information = sizeof(COUNTERS);
        return STATUS_SUCCESS;
    default:
        return STATUS_INVALID_DEVICE_REQUEST;
    }
}

// The last handle of a file closes: what it still has waiting, or in the chip, ends. A transfer that runs does so soon.
static NTSTATUS NTAPI Cleanup(PDEVICE_OBJECT device, PIRP irp)
{
    PEDU x = device->DeviceExtension;
    PFILE_OBJECT file = IoGetCurrentIrpStackLocation(irp)->FileObject;
    EndAll(&x->Jobs, file, STATUS_CANCELLED);
    EndAll(&x->Transfers, file, STATUS_CANCELLED);
    EndAll(&x->Running, file, STATUS_CANCELLED);
    return Complete(irp, STATUS_SUCCESS, 0);
}

static NTSTATUS NTAPI AddDevice(PDRIVER_OBJECT driver, PDEVICE_OBJECT physical)
{
    PDEVICE_OBJECT device;
    NTSTATUS status = PlugAdd(driver, physical, sizeof(EDU), FILE_DEVICE_UNKNOWN, &GUID_EDU, &device);
    if (!NT_SUCCESS(status)) return status;
    PEDU x = device->DeviceExtension;
    InitializeQueue(&x->Jobs);
    InitializeQueue(&x->Running);
    InitializeQueue(&x->Transfers);
    KeInitializeEvent(&x->Idle, NotificationEvent, FALSE);
    x->Held = TRUE;
    IoInitializeDpcRequest(device, Work);
    KeSetTargetProcessorDpc(&device->Dpc, 0);
    // Else another processor would let it wait.
    KeSetImportanceDpc(&device->Dpc, HighImportance);
    device->Flags &= ~DO_DEVICE_INITIALIZING;
    return STATUS_SUCCESS;
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path)
{
    PlugSet(driver, AddDevice);
    driver->MajorFunction[IRP_MJ_CLEANUP] = Cleanup;
    return STATUS_SUCCESS;
}
