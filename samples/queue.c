// A device whose reads wait for somebody's write: a queue of IRPs of the driver's own, of which each can be cancelled.
#include "sample.h"

typedef struct {
    LIST_ENTRY Reads;
    KSPIN_LOCK Lock;
} QUEUE_EXTENSION, *PQUEUE_EXTENSION;

static PDEVICE_OBJECT s_device;

// The I/O manager has cleared the cancel routine, so nobody else ends this request: it is still in the list.
static void NTAPI CancelRead(PDEVICE_OBJECT device, PIRP irp)
{
    PQUEUE_EXTENSION x = device->DeviceExtension;
    KIRQL irql;
    IoReleaseCancelSpinLock(irp->CancelIrql);
    KeAcquireSpinLock(&x->Lock, &irql);
    RemoveEntryList(&irp->Tail.Overlay.ListEntry);
    KeReleaseSpinLock(&x->Lock, irql);
    Complete(irp, STATUS_CANCELLED, 0);
}

static NTSTATUS NTAPI Read(PDEVICE_OBJECT device, PIRP irp)
{
    PQUEUE_EXTENSION x = device->DeviceExtension;
    KIRQL irql;
    KeAcquireSpinLock(&x->Lock, &irql);
    IoSetCancelRoutine(irp, CancelRead);
    // Cancelled before the routine stood: if it can be taken back, nobody else will end this request.
    if (irp->Cancel && IoSetCancelRoutine(irp, NULL) != NULL) {
        KeReleaseSpinLock(&x->Lock, irql);
        return Complete(irp, STATUS_CANCELLED, 0);
    }
    // Marked before anybody can complete it, which is when the lock is released.
    IoMarkIrpPending(irp);
    InsertTailList(&x->Reads, &irp->Tail.Overlay.ListEntry);
    KeReleaseSpinLock(&x->Lock, irql);
    return STATUS_PENDING;
}

// The oldest read; of one file, if there is one given.
static PIRP Dequeue(PQUEUE_EXTENSION x, PFILE_OBJECT file)
{
    PIRP found = NULL;
    KIRQL irql;
    KeAcquireSpinLock(&x->Lock, &irql);
    for (PLIST_ENTRY entry = x->Reads.Flink; entry != &x->Reads && found == NULL; entry = entry->Flink) {
        PIRP irp = CONTAINING_RECORD(entry, IRP, Tail.Overlay.ListEntry);
        if (file != NULL && IoGetCurrentIrpStackLocation(irp)->FileObject != file) continue;
        // Whoever takes the cancel routine has the request. Here a cancel routine waits for the lock.
        if (IoSetCancelRoutine(irp, NULL) == NULL) continue;
        RemoveEntryList(entry);
        found = irp;
    }
    KeReleaseSpinLock(&x->Lock, irql);
    return found;
}

static NTSTATUS NTAPI Write(PDEVICE_OBJECT device, PIRP irp)
{
    ULONG length = IoGetCurrentIrpStackLocation(irp)->Parameters.Write.Length;
    PIRP read = Dequeue(device->DeviceExtension, NULL);
    if (read == NULL) return Complete(irp, STATUS_DEVICE_NOT_READY, 0);
    ULONG room = IoGetCurrentIrpStackLocation(read)->Parameters.Read.Length;
    if (length > room) length = room;
    if (length > 0) RtlCopyMemory(read->AssociatedIrp.SystemBuffer, irp->AssociatedIrp.SystemBuffer, length);
    Complete(read, STATUS_SUCCESS, length);
    return Complete(irp, STATUS_SUCCESS, length);
}

// The last handle of a file closes: what it still has queued ends.
static NTSTATUS NTAPI Cleanup(PDEVICE_OBJECT device, PIRP irp)
{
    PFILE_OBJECT file = IoGetCurrentIrpStackLocation(irp)->FileObject;
    PIRP read;
    while ((read = Dequeue(device->DeviceExtension, file)) != NULL) Complete(read, STATUS_CANCELLED, 0);
    return Complete(irp, STATUS_SUCCESS, 0);
}

static void NTAPI Unload(PDRIVER_OBJECT driver)
{
    DeleteNamed(s_device, L"Queue");
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path)
{
    SetOpenClose(driver);
    driver->MajorFunction[IRP_MJ_CLEANUP] = Cleanup;
    driver->MajorFunction[IRP_MJ_READ] = Read;
    driver->MajorFunction[IRP_MJ_WRITE] = Write;
    driver->DriverUnload = Unload;
    NTSTATUS status = CreateNamed(driver, L"Queue", sizeof(QUEUE_EXTENSION), DO_BUFFERED_IO, &s_device);
    if (!NT_SUCCESS(status)) return status;
    PQUEUE_EXTENSION x = s_device->DeviceExtension;
    InitializeListHead(&x->Reads);
    KeInitializeSpinLock(&x->Lock);
    // Only from here on can anybody open it.
    s_device->Flags &= ~DO_DEVICE_INITIALIZING;
    return STATUS_SUCCESS;
}
