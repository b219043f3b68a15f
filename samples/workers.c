// From DISPATCH_LEVEL to PASSIVE_LEVEL: a timer's DPC hands its request to a work item; and a thread of the driver's
// own that does jobs, and ends when the driver is unloaded.
#include "sample.h"

// Each gives two ULONGs: where the request came from, and the IRQL at which it was completed.
#define IOCTL_WORKERS_ITEM   CTL_CODE(FILE_DEVICE_UNKNOWN, 0x800, METHOD_BUFFERED, FILE_ANY_ACCESS)
#define IOCTL_WORKERS_THREAD CTL_CODE(FILE_DEVICE_UNKNOWN, 0x801, METHOD_BUFFERED, FILE_ANY_ACCESS)

typedef struct {
    LIST_ENTRY Jobs;
    KSPIN_LOCK Lock;
    KEVENT Wake;
    PVOID Thread;
    volatile LONG Stopping;
    ULONG Done;
} WORKERS_EXTENSION, *PWORKERS_EXTENSION;

typedef struct {
    KTIMER Timer;
    KDPC Dpc;
    PIO_WORKITEM Item;
    PIRP Irp;
    ULONG DpcIrql;
} JOB, *PJOB;

static PDEVICE_OBJECT s_device;

static void Answer(PIRP irp, ULONG from)
{
    PULONG answer = irp->AssociatedIrp.SystemBuffer;
    answer[0] = from;
    answer[1] = KeGetCurrentIrql();
    Complete(irp, STATUS_SUCCESS, 2 * sizeof(ULONG));
}

// In a thread of the system's, at PASSIVE_LEVEL. The device stays until this returns, so the driver does.
static void NTAPI WorkItem(PDEVICE_OBJECT device, PVOID context)
{
    PJOB job = context;
    PIRP irp = job->Irp;
    ULONG irql = job->DpcIrql;
    IoFreeWorkItem(job->Item);
    ExFreePoolWithTag(job, TAG);
    Answer(irp, irql);
}

// What needs to wait or to touch paged memory cannot be done here.
static void NTAPI TimerDpc(PKDPC dpc, PVOID context, PVOID argument1, PVOID argument2)
{
    PJOB job = context;
    job->DpcIrql = KeGetCurrentIrql();
    IoQueueWorkItem(job->Item, WorkItem, DelayedWorkQueue, job);
}

static NTSTATUS StartItem(PDEVICE_OBJECT device, PIRP irp)
{
    LARGE_INTEGER due;
    PJOB job = ExAllocatePoolWithTag(NonPagedPool, sizeof(JOB), TAG);
    if (job == NULL) return Complete(irp, STATUS_INSUFFICIENT_RESOURCES, 0);
    job->Irp = irp;
    // Allocated while the request can still be refused.
    job->Item = IoAllocateWorkItem(device);
    if (job->Item == NULL) {
        ExFreePoolWithTag(job, TAG);
        return Complete(irp, STATUS_INSUFFICIENT_RESOURCES, 0);
    }
    KeInitializeTimer(&job->Timer);
    KeInitializeDpc(&job->Dpc, TimerDpc, job);
    IoMarkIrpPending(irp);
    due.QuadPart = -10000LL * 10;
    KeSetTimer(&job->Timer, due, &job->Dpc);
    return STATUS_PENDING;
}

static NTSTATUS StartThreadJob(PWORKERS_EXTENSION x, PIRP irp)
{
    IoMarkIrpPending(irp);
    ExInterlockedInsertTailList(&x->Jobs, &irp->Tail.Overlay.ListEntry, &x->Lock);
    KeSetEvent(&x->Wake, IO_NO_INCREMENT, FALSE);
    return STATUS_PENDING;
}

static void NTAPI Worker(PVOID context)
{
    PWORKERS_EXTENSION x = context;
    PLIST_ENTRY entry;
    while (!x->Stopping) {
        KeWaitForSingleObject(&x->Wake, Executive, KernelMode, FALSE, NULL);
        // One signal may stand for several jobs.
        while ((entry = ExInterlockedRemoveHeadList(&x->Jobs, &x->Lock)) != NULL)
            Answer(CONTAINING_RECORD(entry, IRP, Tail.Overlay.ListEntry), ++x->Done);
    }
    PsTerminateSystemThread(STATUS_SUCCESS);
}

static NTSTATUS NTAPI DeviceControl(PDEVICE_OBJECT device, PIRP irp)
{
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
    if (stack->Parameters.DeviceIoControl.OutputBufferLength < 2 * sizeof(ULONG))
        return Complete(irp, STATUS_BUFFER_TOO_SMALL, 0);
    switch (stack->Parameters.DeviceIoControl.IoControlCode) {
    case IOCTL_WORKERS_ITEM: return StartItem(device, irp);
    case IOCTL_WORKERS_THREAD: return StartThreadJob(device->DeviceExtension, irp);
    default: return Complete(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    }
}

static void NTAPI Unload(PDRIVER_OBJECT driver)
{
    PWORKERS_EXTENSION x = s_device->DeviceExtension;
    // The thread's code goes with the driver: it is waited for, not only told.
    x->Stopping = TRUE;
    KeSetEvent(&x->Wake, IO_NO_INCREMENT, FALSE);
    KeWaitForSingleObject(x->Thread, Executive, KernelMode, FALSE, NULL);
    ObDereferenceObject(x->Thread);
    DeleteNamed(s_device, L"Workers");
}

static NTSTATUS StartThread(PWORKERS_EXTENSION x)
{
    HANDLE handle;
    NTSTATUS status = PsCreateSystemThread(&handle, SYNCHRONIZE, NULL, NULL, NULL, Worker, x);
    if (!NT_SUCCESS(status)) return status;
    // To wait for it a pointer is needed: a handle is of the process that it was made in.
    status = ObReferenceObjectByHandle(handle, SYNCHRONIZE, NULL, KernelMode, &x->Thread, NULL);
    ZwClose(handle);
    return status;
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path)
{
    SetOpenClose(driver);
    driver->MajorFunction[IRP_MJ_DEVICE_CONTROL] = DeviceControl;
    driver->DriverUnload = Unload;
    NTSTATUS status = CreateNamed(driver, L"Workers", sizeof(WORKERS_EXTENSION), 0, &s_device);
    if (!NT_SUCCESS(status)) return status;
    PWORKERS_EXTENSION x = s_device->DeviceExtension;
    InitializeListHead(&x->Jobs);
    KeInitializeSpinLock(&x->Lock);
    KeInitializeEvent(&x->Wake, SynchronizationEvent, FALSE);
    status = StartThread(x);
    if (!NT_SUCCESS(status)) {
        DeleteNamed(s_device, L"Workers");
        return status;
    }
    s_device->Flags &= ~DO_DEVICE_INITIALIZING;
    return STATUS_SUCCESS;
}
