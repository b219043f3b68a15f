// As queue.c, with the system's cancel-safe queue: the driver has the list and the lock, the system the cancel routine
// and all its races.
#include "sample.h"

typedef struct {
    IO_CSQ Csq;
    LIST_ENTRY Reads;
    KSPIN_LOCK Lock;
} CSQ_EXTENSION, *PCSQ_EXTENSION;

static PDEVICE_OBJECT s_device;

static PCSQ_EXTENSION ExtensionOf(PIO_CSQ csq)
{
    return CONTAINING_RECORD(csq, CSQ_EXTENSION, Csq);
}

static void NTAPI InsertIrp(PIO_CSQ csq, PIRP irp)
{
    InsertTailList(&ExtensionOf(csq)->Reads, &irp->Tail.Overlay.ListEntry);
}

static void NTAPI RemoveIrp(PIO_CSQ csq, PIRP irp)
{
    RemoveEntryList(&irp->Tail.Overlay.ListEntry);
}

// The next one behind an IRP, or the first; of one file, if there is one given.
static PIRP NTAPI PeekNextIrp(PIO_CSQ csq, PIRP irp, PVOID file)
{
    PLIST_ENTRY head = &ExtensionOf(csq)->Reads;
    PLIST_ENTRY entry = irp == NULL ? head->Flink : irp->Tail.Overlay.ListEntry.Flink;
    for (; entry != head; entry = entry->Flink) {
        PIRP next = CONTAINING_RECORD(entry, IRP, Tail.Overlay.ListEntry);
        if (file == NULL || IoGetCurrentIrpStackLocation(next)->FileObject == file) return next;
    }
    return NULL;
}

static void NTAPI AcquireLock(PIO_CSQ csq, PKIRQL irql)
{
    KeAcquireSpinLock(&ExtensionOf(csq)->Lock, irql);
}

static void NTAPI ReleaseLock(PIO_CSQ csq, KIRQL irql)
{
    KeReleaseSpinLock(&ExtensionOf(csq)->Lock, irql);
}

static void NTAPI CompleteCanceledIrp(PIO_CSQ csq, PIRP irp)
{
    Complete(irp, STATUS_CANCELLED, 0);
}

static NTSTATUS NTAPI Read(PDEVICE_OBJECT device, PIRP irp)
{
    PCSQ_EXTENSION x = device->DeviceExtension;
    // Marks it pending, too. After this call it may be gone.
    IoCsqInsertIrp(&x->Csq, irp, NULL);
    return STATUS_PENDING;
}

static NTSTATUS NTAPI Write(PDEVICE_OBJECT device, PIRP irp)
{
    PCSQ_EXTENSION x = device->DeviceExtension;
    ULONG length = IoGetCurrentIrpStackLocation(irp)->Parameters.Write.Length;
    PIRP read = IoCsqRemoveNextIrp(&x->Csq, NULL);
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
    PCSQ_EXTENSION x = device->DeviceExtension;
    PFILE_OBJECT file = IoGetCurrentIrpStackLocation(irp)->FileObject;
    PIRP read;
    while ((read = IoCsqRemoveNextIrp(&x->Csq, file)) != NULL) Complete(read, STATUS_CANCELLED, 0);
    return Complete(irp, STATUS_SUCCESS, 0);
}

static void NTAPI Unload(PDRIVER_OBJECT driver)
{
    DeleteNamed(s_device, L"CsqQueue");
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path)
{
    SetOpenClose(driver);
    driver->MajorFunction[IRP_MJ_CLEANUP] = Cleanup;
    driver->MajorFunction[IRP_MJ_READ] = Read;
    driver->MajorFunction[IRP_MJ_WRITE] = Write;
    driver->DriverUnload = Unload;
    NTSTATUS status = CreateNamed(driver, L"CsqQueue", sizeof(CSQ_EXTENSION), DO_BUFFERED_IO, &s_device);
    if (!NT_SUCCESS(status)) return status;
    PCSQ_EXTENSION x = s_device->DeviceExtension;
    InitializeListHead(&x->Reads);
    KeInitializeSpinLock(&x->Lock);
    status = IoCsqInitialize(
        &x->Csq, InsertIrp, RemoveIrp, PeekNextIrp, AcquireLock, ReleaseLock, CompleteCanceledIrp);
    if (!NT_SUCCESS(status)) {
        DeleteNamed(s_device, L"CsqQueue");
        return status;
    }
    s_device->Flags &= ~DO_DEVICE_INITIALIZING;
    return STATUS_SUCCESS;
}
