// A filter above \Device\Echo: every request goes down, a completion routine counts it on its way up.
#include "guest.h"

#define IOCTL_FILTER_COUNTS 0x222000

typedef struct {
    ULONG Down[IRP_MJ_MAXIMUM_FUNCTION + 1];
    ULONG Up;
    ULONG Failed;
} COUNTS;

static PDEVICE_OBJECT s_control, s_filter, s_lower;
static COUNTS s_counts;
static IO_REMOVE_LOCK s_lock;

static NTSTATUS NTAPI Completed(PDEVICE_OBJECT device, PIRP irp, PVOID context)
{
    if (irp->PendingReturned) IoMarkIrpPending(irp);
    InterlockedIncrement((PLONG)&s_counts.Up);
    if (!NT_SUCCESS(irp->IoStatus.Status)) InterlockedIncrement((PLONG)&s_counts.Failed);
    IoReleaseRemoveLock(&s_lock, irp);
    return STATUS_CONTINUE_COMPLETION;
}

static NTSTATUS Control(PIRP irp, PIO_STACK_LOCATION stack)
{
    switch (stack->MajorFunction) {
    case IRP_MJ_CREATE:
    case IRP_MJ_CLEANUP:
    case IRP_MJ_CLOSE:
        return Complete(irp, STATUS_SUCCESS, 0);
    case IRP_MJ_DEVICE_CONTROL:
        if (stack->Parameters.DeviceIoControl.IoControlCode != IOCTL_FILTER_COUNTS) break;
        if (stack->Parameters.DeviceIoControl.OutputBufferLength < sizeof(COUNTS))
            return Complete(irp, STATUS_BUFFER_TOO_SMALL, 0);
        RtlCopyMemory(irp->AssociatedIrp.SystemBuffer, &s_counts, sizeof(COUNTS));
        return Complete(irp, STATUS_SUCCESS, sizeof(COUNTS));
    }
    return Complete(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
}

static NTSTATUS NTAPI Dispatch(PDEVICE_OBJECT device, PIRP irp)
{
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
    if (device == s_control) return Control(irp, stack);
    NTSTATUS status = IoAcquireRemoveLock(&s_lock, irp);
    if (!NT_SUCCESS(status)) return Complete(irp, status, 0);
    InterlockedIncrement((PLONG)&s_counts.Down[stack->MajorFunction]);
    IoCopyCurrentIrpStackLocationToNext(irp);
    IoSetCompletionRoutine(irp, Completed, NULL, TRUE, TRUE, TRUE);
    return IoCallDriver(s_lower, irp);
}

static void NTAPI Unload(PDRIVER_OBJECT driver)
{
    // Detached first: no new request can come while the old ones are waited for.
    IoDetachDevice(s_lower);
    IoAcquireRemoveLock(&s_lock, driver);
    IoReleaseRemoveLockAndWait(&s_lock, driver);
    IoDeleteDevice(s_filter);
    DeleteNamed(s_control, L"\\DosDevices\\EchoFilter");
}

static NTSTATUS Attach(PDRIVER_OBJECT driver)
{
    UNICODE_STRING name;
    PFILE_OBJECT file;
    PDEVICE_OBJECT target;
    RtlInitUnicodeString(&name, L"\\Device\\Echo");
    NTSTATUS status = IoGetDeviceObjectPointer(&name, FILE_READ_DATA, &file, &target);
    if (!NT_SUCCESS(status)) return status;
    status = IoCreateDevice(driver, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &s_filter);
    if (NT_SUCCESS(status)) {
        s_filter->Flags |= target->Flags & (DO_BUFFERED_IO | DO_DIRECT_IO | DO_POWER_PAGABLE);
        s_lower = IoAttachDeviceToDeviceStack(s_filter, target);
        if (s_lower == NULL) {
            IoDeleteDevice(s_filter);
            status = STATUS_NO_SUCH_DEVICE;
        } else {
            s_filter->Flags &= ~DO_DEVICE_INITIALIZING;
        }
    }
    ObDereferenceObject(file);
    return status;
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path)
{
    IoInitializeRemoveLock(&s_lock, TAG, 0, 0);
    for (ULONG i = 0; i <= IRP_MJ_MAXIMUM_FUNCTION; i++) driver->MajorFunction[i] = Dispatch;
    driver->DriverUnload = Unload;
    NTSTATUS status =
        CreateNamed(driver, L"\\Device\\EchoFilter", L"\\DosDevices\\EchoFilter", 0, &s_control);
    if (!NT_SUCCESS(status)) return status;
    status = Attach(driver);
    if (!NT_SUCCESS(status)) DeleteNamed(s_control, L"\\DosDevices\\EchoFilter");
    return status;
}
