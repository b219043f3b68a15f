// A driver that sends requests to another one, \Device\Pending, in each of the ways that there are to build an IRP.
#include "sample.h"

#define IOCTL_BUILDER_SYNCHRONOUS CTL_CODE(FILE_DEVICE_UNKNOWN, 0x800, METHOD_BUFFERED, FILE_ANY_ACCESS)
#define IOCTL_BUILDER_OWN         CTL_CODE(FILE_DEVICE_UNKNOWN, 0x801, METHOD_BUFFERED, FILE_ANY_ACCESS)
#define IOCTL_BUILDER_READ        CTL_CODE(FILE_DEVICE_UNKNOWN, 0x802, METHOD_BUFFERED, FILE_ANY_ACCESS)
#define IOCTL_BUILDER_REUSE       CTL_CODE(FILE_DEVICE_UNKNOWN, 0x803, METHOD_BUFFERED, FILE_ANY_ACCESS)

// The other driver's: it answers in another thread. Its reads end after 10 ms.
#define IOCTL_PENDING_WORK_ITEM   0x222000
#define IOCTL_PENDING_THREAD      0x222004

#define ROUNDS 3

typedef struct {
    PIRP Irp;
    ULONG Left;
    ULONG Sum;
    UCHAR Data[8];
} REUSE, *PREUSE;

static PDEVICE_OBJECT s_device, s_target;
static PFILE_OBJECT s_file;

// An IRP that belongs to this thread: the I/O manager frees it, and sets the event when its results are there.
static NTSTATUS Synchronous(PIRP irp)
{
    KEVENT done;
    IO_STATUS_BLOCK result;
    ULONG answer = 0;
    KeInitializeEvent(&done, NotificationEvent, FALSE);
    PIRP built = IoBuildDeviceIoControlRequest(
        IOCTL_PENDING_WORK_ITEM, s_target, NULL, 0, &answer, sizeof(answer), FALSE, &done, &result);
    if (built == NULL) return Complete(irp, STATUS_INSUFFICIENT_RESOURCES, 0);
    IoGetNextIrpStackLocation(built)->FileObject = s_file;
    NTSTATUS status = IoCallDriver(s_target, built);
    if (status == STATUS_PENDING) {
        KeWaitForSingleObject(&done, Executive, KernelMode, FALSE, NULL);
        status = result.Status;
    }
    if (!NT_SUCCESS(status)) return Complete(irp, status, 0);
    *(PULONG)irp->AssociatedIrp.SystemBuffer = answer;
    return Complete(irp, STATUS_SUCCESS, sizeof(ULONG));
}

static NTSTATUS NTAPI OwnDone(PDEVICE_OBJECT device, PIRP own, PVOID context)
{
    NTSTATUS status = own->IoStatus.Status;
    ULONG_PTR information = own->IoStatus.Information;
    IoFreeIrp(own);
    Complete(context, status, information);
    // The IRP is this driver's, and is gone: the I/O manager has nothing more to do with it.
    return STATUS_MORE_PROCESSING_REQUIRED;
}

// An IRP of this driver's own: nobody waits for it, and its completion routine frees it.
static NTSTATUS Own(PIRP irp)
{
    PIRP own = IoAllocateIrp(s_target->StackSize, FALSE);
    if (own == NULL) return Complete(irp, STATUS_INSUFFICIENT_RESOURCES, 0);
    PIO_STACK_LOCATION next = IoGetNextIrpStackLocation(own);
    next->MajorFunction = IRP_MJ_DEVICE_CONTROL;
    next->FileObject = s_file;
    next->Parameters.DeviceIoControl.IoControlCode = IOCTL_PENDING_THREAD;
    next->Parameters.DeviceIoControl.OutputBufferLength = sizeof(ULONG);
    own->AssociatedIrp.SystemBuffer = irp->AssociatedIrp.SystemBuffer;
    IoSetCompletionRoutine(own, OwnDone, irp, TRUE, TRUE, TRUE);
    // First marked, then sent: it may be complete before the call returns.
    IoMarkIrpPending(irp);
    IoCallDriver(s_target, own);
    return STATUS_PENDING;
}

static NTSTATUS NTAPI ReadDone(PDEVICE_OBJECT device, PIRP built, PVOID context)
{
    PIRP irp = context;
    NTSTATUS status = built->IoStatus.Status;
    ULONG_PTR length = NT_SUCCESS(status) ? built->IoStatus.Information : 0;
    // What the I/O manager would do for an IRP that it frees itself: the device's buffer is a copy.
    if (length > 0) RtlCopyMemory(irp->AssociatedIrp.SystemBuffer, built->AssociatedIrp.SystemBuffer, length);
    if (built->Flags & IRP_DEALLOCATE_BUFFER) ExFreePoolWithTag(built->AssociatedIrp.SystemBuffer, 0);
    IoFreeIrp(built);
    Complete(irp, status, length);
    return STATUS_MORE_PROCESSING_REQUIRED;
}

// As an own one, but with its parameters and buffers set up as the device wants them.
static NTSTATUS AsynchronousRead(PIRP irp)
{
    LARGE_INTEGER offset;
    offset.QuadPart = 0;
    PIRP built = IoBuildAsynchronousFsdRequest(
        IRP_MJ_READ, s_target, irp->AssociatedIrp.SystemBuffer, sizeof(ULONG), &offset, NULL);
    if (built == NULL) return Complete(irp, STATUS_INSUFFICIENT_RESOURCES, 0);
    IoGetNextIrpStackLocation(built)->FileObject = s_file;
    IoSetCompletionRoutine(built, ReadDone, irp, TRUE, TRUE, TRUE);
    IoMarkIrpPending(irp);
    IoCallDriver(s_target, built);
    return STATUS_PENDING;
}

static NTSTATUS NTAPI RoundDone(PDEVICE_OBJECT device, PIRP own, PVOID context);

static void SendRound(PREUSE reuse, PIRP own)
{
    PIO_STACK_LOCATION next = IoGetNextIrpStackLocation(own);
    next->MajorFunction = IRP_MJ_READ;
    next->FileObject = s_file;
    next->Parameters.Read.Length = 1;
    own->AssociatedIrp.SystemBuffer = reuse->Data;
    IoSetCompletionRoutine(own, RoundDone, reuse, TRUE, TRUE, TRUE);
    IoCallDriver(s_target, own);
}

static NTSTATUS NTAPI RoundDone(PDEVICE_OBJECT device, PIRP own, PVOID context)
{
    PREUSE reuse = context;
    PIRP irp = reuse->Irp;
    NTSTATUS status = own->IoStatus.Status;
    if (NT_SUCCESS(status)) {
        reuse->Sum += reuse->Data[0];
        if (--reuse->Left > 0) {
            // As it was when it was new: all has to be set up again.
            IoReuseIrp(own, STATUS_SUCCESS);
            SendRound(reuse, own);
            return STATUS_MORE_PROCESSING_REQUIRED;
        }
        *(PULONG)irp->AssociatedIrp.SystemBuffer = reuse->Sum;
    }
    IoFreeIrp(own);
    ExFreePoolWithTag(reuse, TAG);
    Complete(irp, status, NT_SUCCESS(status) ? sizeof(ULONG) : 0);
    return STATUS_MORE_PROCESSING_REQUIRED;
}

// One IRP for several requests, one after the other.
static NTSTATUS Reuse(PIRP irp)
{
    PREUSE reuse = ExAllocatePoolWithTag(NonPagedPool, sizeof(REUSE), TAG);
    if (reuse == NULL) return Complete(irp, STATUS_INSUFFICIENT_RESOURCES, 0);
    reuse->Irp = irp;
    reuse->Left = ROUNDS;
    reuse->Sum = 0;
    PIRP own = IoAllocateIrp(s_target->StackSize, FALSE);
    if (own == NULL) {
        ExFreePoolWithTag(reuse, TAG);
        return Complete(irp, STATUS_INSUFFICIENT_RESOURCES, 0);
    }
    IoMarkIrpPending(irp);
    SendRound(reuse, own);
    return STATUS_PENDING;
}

static NTSTATUS NTAPI DeviceControl(PDEVICE_OBJECT device, PIRP irp)
{
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
    if (stack->Parameters.DeviceIoControl.OutputBufferLength < sizeof(ULONG))
        return Complete(irp, STATUS_BUFFER_TOO_SMALL, 0);
    switch (stack->Parameters.DeviceIoControl.IoControlCode) {
    case IOCTL_BUILDER_SYNCHRONOUS: return Synchronous(irp);
    case IOCTL_BUILDER_OWN: return Own(irp);
    case IOCTL_BUILDER_READ: return AsynchronousRead(irp);
    case IOCTL_BUILDER_REUSE: return Reuse(irp);
    default: return Complete(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    }
}

static void NTAPI Unload(PDRIVER_OBJECT driver)
{
    DeleteNamed(s_device, L"Builder");
    ObDereferenceObject(s_file);
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path)
{
    UNICODE_STRING name;
    SetOpenClose(driver);
    driver->MajorFunction[IRP_MJ_DEVICE_CONTROL] = DeviceControl;
    driver->DriverUnload = Unload;
    // As long as the file object is referenced, the other driver stays.
    RtlInitUnicodeString(&name, L"\\Device\\Pending");
    NTSTATUS status = IoGetDeviceObjectPointer(&name, FILE_READ_DATA, &s_file, &s_target);
    if (!NT_SUCCESS(status)) return status;
    status = CreateNamed(driver, L"Builder", 0, 0, &s_device);
    if (!NT_SUCCESS(status)) {
        ObDereferenceObject(s_file);
        return status;
    }
    s_device->Flags &= ~DO_DEVICE_INITIALIZING;
    return STATUS_SUCCESS;
}
