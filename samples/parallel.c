// A device that does several things at once: each request has a slot with a timer of its own, and ends when that is
// due, in whatever order.
#include "sample.h"

// Waits so many milliseconds (a ULONG), then gives the number of requests that have ended.
#define IOCTL_PARALLEL_WAIT CTL_CODE(FILE_DEVICE_UNKNOWN, 0x800, METHOD_BUFFERED, FILE_ANY_ACCESS)

#define SLOTS 4

// Free if there is no request and its timer's DPC has run, or will not run.
typedef struct {
    KTIMER Timer;
    KDPC Dpc;
    PIRP Irp;
    ULONG Running;
} SLOT, *PSLOT;

typedef struct {
    KSPIN_LOCK Lock;
    ULONG Ended;
    SLOT Slots[SLOTS];
} PARALLEL_EXTENSION, *PPARALLEL_EXTENSION;

static PDEVICE_OBJECT s_device;

static void NTAPI Cancel(PDEVICE_OBJECT device, PIRP irp)
{
    PPARALLEL_EXTENSION x = device->DeviceExtension;
    KIRQL irql;
    IoReleaseCancelSpinLock(irp->CancelIrql);
    KeAcquireSpinLock(&x->Lock, &irql);
    PSLOT slot = irp->Tail.Overlay.DriverContext[0];
    if (KeCancelTimer(&slot->Timer)) slot->Running = FALSE;
    slot->Irp = NULL;
    KeReleaseSpinLock(&x->Lock, irql);
    Complete(irp, STATUS_CANCELLED, 0);
}

static void NTAPI SlotDpc(PKDPC dpc, PVOID context, PVOID argument1, PVOID argument2)
{
    PPARALLEL_EXTENSION x = s_device->DeviceExtension;
    PSLOT slot = context;
    ULONG ended = 0;
    KeAcquireSpinLockAtDpcLevel(&x->Lock);
    slot->Running = FALSE;
    PIRP irp = slot->Irp;
    // A cancel routine that is about to run has the request, and clears the slot itself.
    if (irp != NULL && IoSetCancelRoutine(irp, NULL) == NULL) irp = NULL;
    if (irp != NULL) {
        slot->Irp = NULL;
        ended = ++x->Ended;
    }
    KeReleaseSpinLockFromDpcLevel(&x->Lock);
    if (irp == NULL) return;
    *(PULONG)irp->AssociatedIrp.SystemBuffer = ended;
    Complete(irp, STATUS_SUCCESS, sizeof(ULONG));
}

static PSLOT FindFree(PPARALLEL_EXTENSION x)
{
    for (ULONG i = 0; i < SLOTS; i++)
        if (x->Slots[i].Irp == NULL && !x->Slots[i].Running) return &x->Slots[i];
    return NULL;
}

static NTSTATUS Start(PPARALLEL_EXTENSION x, PIRP irp, ULONG milliseconds)
{
    LARGE_INTEGER due;
    KIRQL irql;
    NTSTATUS status = STATUS_PENDING;
    KeAcquireSpinLock(&x->Lock, &irql);
    PSLOT slot = FindFree(x);
    if (slot == NULL) {
        status = STATUS_DEVICE_BUSY;
    } else {
        irp->Tail.Overlay.DriverContext[0] = slot;
        IoSetCancelRoutine(irp, Cancel);
        if (irp->Cancel && IoSetCancelRoutine(irp, NULL) != NULL) status = STATUS_CANCELLED;
    }
    if (status == STATUS_PENDING) {
        IoMarkIrpPending(irp);
        slot->Irp = irp;
        slot->Running = TRUE;
        due.QuadPart = -10000LL * milliseconds;
        KeSetTimer(&slot->Timer, due, &slot->Dpc);
    }
    KeReleaseSpinLock(&x->Lock, irql);
    return status == STATUS_PENDING ? status : Complete(irp, status, 0);
}

static NTSTATUS NTAPI DeviceControl(PDEVICE_OBJECT device, PIRP irp)
{
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
    if (stack->Parameters.DeviceIoControl.IoControlCode != IOCTL_PARALLEL_WAIT)
        return Complete(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    if (stack->Parameters.DeviceIoControl.InputBufferLength < sizeof(ULONG)
        || stack->Parameters.DeviceIoControl.OutputBufferLength < sizeof(ULONG))
        return Complete(irp, STATUS_BUFFER_TOO_SMALL, 0);
    return Start(device->DeviceExtension, irp, *(PULONG)irp->AssociatedIrp.SystemBuffer);
}

static void NTAPI Unload(PDRIVER_OBJECT driver)
{
    // No file is open, so no slot has a request; a DPC that had none left to complete may be on its way.
    KeFlushQueuedDpcs();
    DeleteNamed(s_device, L"Parallel");
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path)
{
    SetOpenClose(driver);
    driver->MajorFunction[IRP_MJ_DEVICE_CONTROL] = DeviceControl;
    driver->DriverUnload = Unload;
    NTSTATUS status = CreateNamed(driver, L"Parallel", sizeof(PARALLEL_EXTENSION), 0, &s_device);
    if (!NT_SUCCESS(status)) return status;
    PPARALLEL_EXTENSION x = s_device->DeviceExtension;
    KeInitializeSpinLock(&x->Lock);
    for (ULONG i = 0; i < SLOTS; i++) {
        KeInitializeTimer(&x->Slots[i].Timer);
        KeInitializeDpc(&x->Slots[i].Dpc, SlotDpc, &x->Slots[i]);
    }
    s_device->Flags &= ~DO_DEVICE_INITIALIZING;
    return STATUS_SUCCESS;
}
