// Requests that end later: by a timer's DPC, by a work item, by a thread; and that can be cancelled meanwhile.
#include "guest.h"

#define IOCTL_PENDING_WORK_ITEM 0x222000
#define IOCTL_PENDING_THREAD    0x222004

#define DEVICE L"\\Device\\Pending"
#define LINK L"\\DosDevices\\Pending"
#define INTERVAL_MS 10

typedef struct {
    LIST_ENTRY Reads, Jobs;
    KSPIN_LOCK Lock;
    KTIMER Timer;
    KDPC Dpc;
    KEVENT Wake;
    PVOID Thread;
    volatile LONG Stopping;
} EXTENSION, *PEXTENSION;

static PDEVICE_OBJECT s_device;

static void NTAPI CancelRead(PDEVICE_OBJECT device, PIRP irp)
{
    PEXTENSION x = device->DeviceExtension;
    KIRQL irql;
    IoReleaseCancelSpinLock(irp->CancelIrql);
    KeAcquireSpinLock(&x->Lock, &irql);
    // Whoever takes the cancel routine takes the request; the one who lost left a list entry that is linked to itself.
    RemoveEntryList(&irp->Tail.Overlay.ListEntry);
    KeReleaseSpinLock(&x->Lock, irql);
    Complete(irp, STATUS_CANCELLED, 0);
}

static NTSTATUS Queue(PEXTENSION x, PLIST_ENTRY list, PIRP irp)
{
    KIRQL irql;
    KeAcquireSpinLock(&x->Lock, &irql);
    IoSetCancelRoutine(irp, CancelRead);
    // Cancelled before the routine stood: if it can be taken back nobody else will end this request.
    if (irp->Cancel && IoSetCancelRoutine(irp, NULL) != NULL) {
        KeReleaseSpinLock(&x->Lock, irql);
        return Complete(irp, STATUS_CANCELLED, 0);
    }
    IoMarkIrpPending(irp);
    InsertTailList(list, &irp->Tail.Overlay.ListEntry);
    KeReleaseSpinLock(&x->Lock, irql);
    return STATUS_PENDING;
}

static PIRP Dequeue(PEXTENSION x, PLIST_ENTRY list)
{
    KIRQL irql;
    PIRP found = NULL;
    KeAcquireSpinLock(&x->Lock, &irql);
    while (found == NULL && !IsListEmpty(list)) {
        PLIST_ENTRY entry = RemoveHeadList(list);
        PIRP irp = CONTAINING_RECORD(entry, IRP, Tail.Overlay.ListEntry);
        if (IoSetCancelRoutine(irp, NULL) != NULL) found = irp;
        else InitializeListHead(entry);
    }
    KeReleaseSpinLock(&x->Lock, irql);
    return found;
}

static void NTAPI TimerDpc(PKDPC dpc, PVOID context, PVOID a, PVOID b)
{
    PEXTENSION x = context;
    PIRP irp;
    while ((irp = Dequeue(x, &x->Reads)) != NULL) {
        ULONG length = IoGetCurrentIrpStackLocation(irp)->Parameters.Read.Length;
        RtlFillMemory(irp->AssociatedIrp.SystemBuffer, length, 0x5A);
        Complete(irp, STATUS_SUCCESS, length);
    }
}

static NTSTATUS NTAPI Read(PDEVICE_OBJECT device, PIRP irp)
{
    PEXTENSION x = device->DeviceExtension;
    if (IoGetCurrentIrpStackLocation(irp)->Parameters.Read.Length == 0) return Complete(irp, STATUS_SUCCESS, 0);
    NTSTATUS status = Queue(x, &x->Reads, irp);
    if (status == STATUS_PENDING) {
        LARGE_INTEGER due;
        due.QuadPart = -10000LL * INTERVAL_MS;
        KeSetTimer(&x->Timer, due, &x->Dpc);
    }
    return status;
}

static NTSTATUS Answer(PIRP irp, ULONG value)
{
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
    if (stack->Parameters.DeviceIoControl.OutputBufferLength < sizeof(ULONG))
        return Complete(irp, STATUS_BUFFER_TOO_SMALL, 0);
    *(PULONG)irp->AssociatedIrp.SystemBuffer = value;
    return Complete(irp, STATUS_SUCCESS, sizeof(ULONG));
}

typedef struct {
    PIO_WORKITEM Item;
    PIRP Irp;
} WORK, *PWORK;

static void NTAPI WorkItem(PDEVICE_OBJECT device, PVOID context)
{
    PWORK work = context;
    Answer(work->Irp, 1);
    IoFreeWorkItem(work->Item);
    ExFreePoolWithTag(work, TAG);
}

static NTSTATUS StartWork(PDEVICE_OBJECT device, PIRP irp)
{
    PWORK work = ExAllocatePoolWithTag(NonPagedPool, sizeof(WORK), TAG);
    if (work == NULL) return Complete(irp, STATUS_INSUFFICIENT_RESOURCES, 0);
    work->Irp = irp;
    work->Item = IoAllocateWorkItem(device);
    if (work->Item == NULL) {
        ExFreePoolWithTag(work, TAG);
        return Complete(irp, STATUS_INSUFFICIENT_RESOURCES, 0);
    }
    IoMarkIrpPending(irp);
    IoQueueWorkItem(work->Item, WorkItem, DelayedWorkQueue, work);
    return STATUS_PENDING;
}

static void NTAPI Worker(PVOID context)
{
    PEXTENSION x = context;
    PIRP irp;
    while (!x->Stopping) {
        KeWaitForSingleObject(&x->Wake, Executive, KernelMode, FALSE, NULL);
        while ((irp = Dequeue(x, &x->Jobs)) != NULL) Answer(irp, 2);
    }
    PsTerminateSystemThread(STATUS_SUCCESS);
}

static NTSTATUS NTAPI DeviceControl(PDEVICE_OBJECT device, PIRP irp)
{
    PEXTENSION x = device->DeviceExtension;
    NTSTATUS status;
    switch (IoGetCurrentIrpStackLocation(irp)->Parameters.DeviceIoControl.IoControlCode) {
    case IOCTL_PENDING_WORK_ITEM:
        return StartWork(device, irp);
    case IOCTL_PENDING_THREAD:
        status = Queue(x, &x->Jobs, irp);
        if (status == STATUS_PENDING) KeSetEvent(&x->Wake, IO_NO_INCREMENT, FALSE);
        return status;
    default:
        return Complete(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    }
}

static NTSTATUS NTAPI OpenClose(PDEVICE_OBJECT device, PIRP irp)
{
    return Complete(irp, STATUS_SUCCESS, 0);
}

// The last handle of a file closes: what it still has queued is cancelled.
static NTSTATUS NTAPI Cleanup(PDEVICE_OBJECT device, PIRP irp)
{
    PEXTENSION x = device->DeviceExtension;
    PFILE_OBJECT file = IoGetCurrentIrpStackLocation(irp)->FileObject;
    PLIST_ENTRY lists[2] = { &x->Reads, &x->Jobs };
    LIST_ENTRY cancelled;
    KIRQL irql;
    InitializeListHead(&cancelled);
    KeAcquireSpinLock(&x->Lock, &irql);
    for (int i = 0; i < 2; i++) {
        for (PLIST_ENTRY e = lists[i]->Flink, next; e != lists[i]; e = next) {
            PIRP queued = CONTAINING_RECORD(e, IRP, Tail.Overlay.ListEntry);
            next = e->Flink;
            if (IoGetCurrentIrpStackLocation(queued)->FileObject != file) continue;
            if (IoSetCancelRoutine(queued, NULL) == NULL) continue;
            RemoveEntryList(e);
            InsertTailList(&cancelled, e);
        }
    }
    KeReleaseSpinLock(&x->Lock, irql);
    while (!IsListEmpty(&cancelled)) {
        PLIST_ENTRY e = RemoveHeadList(&cancelled);
        Complete(CONTAINING_RECORD(e, IRP, Tail.Overlay.ListEntry), STATUS_CANCELLED, 0);
    }
    return Complete(irp, STATUS_SUCCESS, 0);
}

static void NTAPI Unload(PDRIVER_OBJECT driver)
{
    PEXTENSION x = s_device->DeviceExtension;
    KeCancelTimer(&x->Timer);
    KeFlushQueuedDpcs();
    InterlockedExchange(&x->Stopping, 1);
    KeSetEvent(&x->Wake, IO_NO_INCREMENT, FALSE);
    KeWaitForSingleObject(x->Thread, Executive, KernelMode, FALSE, NULL);
    ObDereferenceObject(x->Thread);
    DeleteNamed(s_device, LINK);
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path)
{
    HANDLE thread;
    driver->DriverUnload = Unload;
    driver->MajorFunction[IRP_MJ_CREATE] = OpenClose;
    driver->MajorFunction[IRP_MJ_CLEANUP] = Cleanup;
    driver->MajorFunction[IRP_MJ_CLOSE] = OpenClose;
    driver->MajorFunction[IRP_MJ_READ] = Read;
    driver->MajorFunction[IRP_MJ_DEVICE_CONTROL] = DeviceControl;
    NTSTATUS status = CreateNamed(driver, DEVICE, LINK, sizeof(EXTENSION), &s_device);
    if (!NT_SUCCESS(status)) return status;
    PEXTENSION x = s_device->DeviceExtension;
    InitializeListHead(&x->Reads);
    InitializeListHead(&x->Jobs);
    KeInitializeSpinLock(&x->Lock);
    KeInitializeTimer(&x->Timer);
    KeInitializeDpc(&x->Dpc, TimerDpc, x);
    KeInitializeEvent(&x->Wake, SynchronizationEvent, FALSE);
    status = PsCreateSystemThread(&thread, THREAD_ALL_ACCESS, NULL, NULL, NULL, Worker, x);
    if (!NT_SUCCESS(status)) {
        DeleteNamed(s_device, LINK);
        return status;
    }
    // A kernel handle just made, and an object that lives: this cannot fail.
    ObReferenceObjectByHandle(thread, THREAD_ALL_ACCESS, NULL, KernelMode, &x->Thread, NULL);
    ZwClose(thread);
    s_device->Flags |= DO_BUFFERED_IO;
    s_device->Flags &= ~DO_DEVICE_INITIALIZING;
    return status;
}
