// A filter that measures what passes, as DISKPERF does: it sits above \Device\Echo, counts requests, bytes and
// time, and tells them by a device of its own.
#include "sample.h"

#define IOCTL_PERF_QUERY CTL_CODE(FILE_DEVICE_UNKNOWN, 0x800, METHOD_BUFFERED, FILE_ANY_ACCESS)

// What IOCTL_PERF_QUERY gives. Times are in 100 ns units.
typedef struct {
    ULONG Reads, Writes, Others, Failed;
    ULONGLONG BytesRead, BytesWritten, Time;
    LONG QueueDepth, MaximumDepth;
} PERF_COUNTERS;

typedef struct {
    PDEVICE_OBJECT Lower;
    IO_REMOVE_LOCK RemoveLock;
    KSPIN_LOCK Lock;
    PERF_COUNTERS Counters;
} PERF_EXTENSION, *PPERF_EXTENSION;

static PDEVICE_OBJECT s_control, s_filter;

static NTSTATUS NTAPI Completed(PDEVICE_OBJECT device, PIRP irp, PVOID began)
{
    PPERF_EXTENSION x = device->DeviceExtension;
    UCHAR major = IoGetCurrentIrpStackLocation(irp)->MajorFunction;
    KIRQL irql;
    // The lower driver pended it: so did this one, since its dispatch routine has returned the same status.
    if (irp->PendingReturned) IoMarkIrpPending(irp);
    KeAcquireSpinLock(&x->Lock, &irql);
    x->Counters.QueueDepth--;
    x->Counters.Time += KeQueryPerformanceCounter(NULL).QuadPart - (ULONG_PTR)began;
    if (!NT_SUCCESS(irp->IoStatus.Status)) x->Counters.Failed++;
    switch (major) {
    case IRP_MJ_READ:
        x->Counters.Reads++;
        x->Counters.BytesRead += irp->IoStatus.Information;
        break;
    case IRP_MJ_WRITE:
        x->Counters.Writes++;
        x->Counters.BytesWritten += irp->IoStatus.Information;
        break;
    default:
        x->Counters.Others++;
        break;
    }
    KeReleaseSpinLock(&x->Lock, irql);
    IoReleaseRemoveLock(&x->RemoveLock, irp);
    return STATUS_SUCCESS;
}

static NTSTATUS Pass(PDEVICE_OBJECT device, PIRP irp)
{
    PPERF_EXTENSION x = device->DeviceExtension;
    KIRQL irql;
    NTSTATUS status = IoAcquireRemoveLock(&x->RemoveLock, irp);
    if (!NT_SUCCESS(status)) return Complete(irp, status, 0);
    KeAcquireSpinLock(&x->Lock, &irql);
    x->Counters.QueueDepth++;
    if (x->Counters.MaximumDepth < x->Counters.QueueDepth) x->Counters.MaximumDepth = x->Counters.QueueDepth;
    KeReleaseSpinLock(&x->Lock, irql);
    IoCopyCurrentIrpStackLocationToNext(irp);
    // When it began goes with the IRP, as the completion routine's context.
    PVOID began = (PVOID)(ULONG_PTR)KeQueryPerformanceCounter(NULL).QuadPart;
    IoSetCompletionRoutine(irp, Completed, began, TRUE, TRUE, TRUE);
    return IoCallDriver(x->Lower, irp);
}

static NTSTATUS Control(PIRP irp)
{
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
    PPERF_EXTENSION x = s_filter->DeviceExtension;
    KIRQL irql;
    switch (stack->MajorFunction) {
    case IRP_MJ_CREATE:
    case IRP_MJ_CLEANUP:
    case IRP_MJ_CLOSE:
        return Complete(irp, STATUS_SUCCESS, 0);
    case IRP_MJ_DEVICE_CONTROL:
        if (stack->Parameters.DeviceIoControl.IoControlCode == IOCTL_PERF_QUERY) break;
        return Complete(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    default:
        return Complete(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    }
    if (stack->Parameters.DeviceIoControl.OutputBufferLength < sizeof(PERF_COUNTERS))
        return Complete(irp, STATUS_BUFFER_TOO_SMALL, 0);
    KeAcquireSpinLock(&x->Lock, &irql);
    RtlCopyMemory(irp->AssociatedIrp.SystemBuffer, &x->Counters, sizeof(PERF_COUNTERS));
    KeReleaseSpinLock(&x->Lock, irql);
    return Complete(irp, STATUS_SUCCESS, sizeof(PERF_COUNTERS));
}

static NTSTATUS NTAPI Dispatch(PDEVICE_OBJECT device, PIRP irp)
{
    return device == s_control ? Control(irp) : Pass(device, irp);
}

static NTSTATUS Attach(PDRIVER_OBJECT driver)
{
    UNICODE_STRING name;
    NTSTATUS status = IoCreateDevice(driver, sizeof(PERF_EXTENSION), NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &s_filter);
    if (!NT_SUCCESS(status)) return status;
    PPERF_EXTENSION x = s_filter->DeviceExtension;
    KeInitializeSpinLock(&x->Lock);
    IoInitializeRemoveLock(&x->RemoveLock, TAG, 0, 0);
    RtlInitUnicodeString(&name, L"\\Device\\Echo");
    status = IoAttachDevice(s_filter, &name, &x->Lower);
    if (!NT_SUCCESS(status)) {
        IoDeleteDevice(s_filter);
        return status;
    }
    // How buffers come is the lower device's choice, and the I/O manager asks the top of the stack.
    s_filter->Flags |= x->Lower->Flags & (DO_BUFFERED_IO | DO_DIRECT_IO | DO_POWER_PAGABLE);
    s_filter->Flags &= ~DO_DEVICE_INITIALIZING;
    return STATUS_SUCCESS;
}

static void NTAPI Unload(PDRIVER_OBJECT driver)
{
    // Detached first: no new request can come while the old ones are waited for.
    PPERF_EXTENSION x = s_filter->DeviceExtension;
    IoDetachDevice(x->Lower);
    IoAcquireRemoveLock(&x->RemoveLock, driver);
    IoReleaseRemoveLockAndWait(&x->RemoveLock, driver);
    IoDeleteDevice(s_filter);
    DeleteNamed(s_control, L"Perf");
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path)
{
    for (ULONG i = 0; i <= IRP_MJ_MAXIMUM_FUNCTION; i++) driver->MajorFunction[i] = Dispatch;
    driver->DriverUnload = Unload;
    NTSTATUS status = CreateNamed(driver, L"Perf", 0, 0, &s_control);
    if (!NT_SUCCESS(status)) return status;
    status = Attach(driver);
    if (!NT_SUCCESS(status)) DeleteNamed(s_control, L"Perf");
    return status;
}
