// The driver of one device that does one thing at a time: requests wait in the device's queue, StartIo starts the
// device, its interrupt says that it is ready, and a DPC completes the request and starts the next one. There is no
// hardware here: a timer stands in the place of the device, and its DPC in the place of the interrupt.
#include "sample.h"

#define MILLISECONDS(n) (-10000LL * (n))

typedef struct {
    KTIMER Timer;
    KDPC TimerDpc;
} MONOLITHIC_EXTENSION, *PMONOLITHIC_EXTENSION;

static PDEVICE_OBJECT s_device;

static void NTAPI Cancel(PDEVICE_OBJECT device, PIRP irp)
{
    PMONOLITHIC_EXTENSION x = device->DeviceExtension;
    if (irp != device->CurrentIrp) {
        // Still in the queue. StartIo does not get it, since taking packets out needs the lock that is held here.
        KeRemoveEntryDeviceQueue(&device->DeviceQueue, &irp->Tail.Overlay.DeviceQueueEntry);
        IoReleaseCancelSpinLock(irp->CancelIrql);
        Complete(irp, STATUS_CANCELLED, 0);
        return;
    }
    // The device works on it. It is stopped, and its DPC ends the request at once; if the device is ready already,
    // the DPC is on its way. Under the lock, so that the timer is not the next packet's.
    if (KeCancelTimer(&x->Timer)) IoRequestDpc(device, irp, NULL);
    IoReleaseCancelSpinLock(irp->CancelIrql);
}

static NTSTATUS NTAPI Read(PDEVICE_OBJECT device, PIRP irp)
{
    IoMarkIrpPending(irp);
    IoStartPacket(device, irp, NULL, Cancel);
    return STATUS_PENDING;
}

// One packet at a time, at DISPATCH_LEVEL.
static void NTAPI StartIo(PDEVICE_OBJECT device, PIRP irp)
{
    PMONOLITHIC_EXTENSION x = device->DeviceExtension;
    LARGE_INTEGER due;
    due.QuadPart = MILLISECONDS(10);
    KeSetTimer(&x->Timer, due, &x->TimerDpc);
}

// What an interrupt service routine does: it quiets the device, and leaves the rest to a DPC.
static void NTAPI CustomTimerDpc(PKDPC dpc, PVOID device, PVOID argument1, PVOID argument2)
{
    IoRequestDpc((PDEVICE_OBJECT)device, ((PDEVICE_OBJECT)device)->CurrentIrp, NULL);
}

// Once for each packet that was started.
static void NTAPI DpcForIsr(PKDPC dpc, PDEVICE_OBJECT device, PIRP irp, PVOID context)
{
    KIRQL irql;
    IoAcquireCancelSpinLock(&irql);
    IoSetCancelRoutine(irp, NULL);
    BOOLEAN cancelled = irp->Cancel;
    IoReleaseCancelSpinLock(irql);
    // The device is not to be idle while the request is completed.
    IoStartNextPacket(device, TRUE);
    if (cancelled) {
        Complete(irp, STATUS_CANCELLED, 0);
        return;
    }
    ULONG length = IoGetCurrentIrpStackLocation(irp)->Parameters.Read.Length;
    if (length > 0) RtlFillMemory(irp->AssociatedIrp.SystemBuffer, length, 0x5A);
    Complete(irp, STATUS_SUCCESS, length);
}

// The last handle of a file closes: what it still has queued ends. The current packet ends by itself.
static NTSTATUS NTAPI Cleanup(PDEVICE_OBJECT device, PIRP irp)
{
    PFILE_OBJECT file = IoGetCurrentIrpStackLocation(irp)->FileObject;
    PLIST_ENTRY head = &device->DeviceQueue.DeviceListHead;
    LIST_ENTRY ended;
    KIRQL irql;
    InitializeListHead(&ended);
    // Packets come into the queue and out of it under this lock only.
    IoAcquireCancelSpinLock(&irql);
    for (PLIST_ENTRY entry = head->Flink, next; entry != head; entry = next) {
        PIRP queued = CONTAINING_RECORD(entry, IRP, Tail.Overlay.DeviceQueueEntry.DeviceListEntry);
        next = entry->Flink;
        if (IoGetCurrentIrpStackLocation(queued)->FileObject != file) continue;
        IoSetCancelRoutine(queued, NULL);
        KeRemoveEntryDeviceQueue(&device->DeviceQueue, &queued->Tail.Overlay.DeviceQueueEntry);
        InsertTailList(&ended, &queued->Tail.Overlay.ListEntry);
    }
    IoReleaseCancelSpinLock(irql);
    while (!IsListEmpty(&ended))
        Complete(CONTAINING_RECORD(RemoveHeadList(&ended), IRP, Tail.Overlay.ListEntry), STATUS_CANCELLED, 0);
    return Complete(irp, STATUS_SUCCESS, 0);
}

static void NTAPI Unload(PDRIVER_OBJECT driver)
{
    PMONOLITHIC_EXTENSION x = s_device->DeviceExtension;
    KeCancelTimer(&x->Timer);
    // A DPC that is on its way runs before its code goes.
    KeFlushQueuedDpcs();
    DeleteNamed(s_device, L"Monolithic");
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path)
{
    SetOpenClose(driver);
    driver->MajorFunction[IRP_MJ_CLEANUP] = Cleanup;
    driver->MajorFunction[IRP_MJ_READ] = Read;
    driver->DriverStartIo = StartIo;
    driver->DriverUnload = Unload;
    NTSTATUS status = CreateNamed(driver, L"Monolithic", sizeof(MONOLITHIC_EXTENSION), DO_BUFFERED_IO, &s_device);
    if (!NT_SUCCESS(status)) return status;
    PMONOLITHIC_EXTENSION x = s_device->DeviceExtension;
    KeInitializeTimer(&x->Timer);
    KeInitializeDpc(&x->TimerDpc, CustomTimerDpc, s_device);
    IoInitializeDpcRequest(s_device, DpcForIsr);
    s_device->Flags &= ~DO_DEVICE_INITIALIZING;
    return STATUS_SUCCESS;
}
