// A filter above a disk that measures: how many reads and writes, how many bytes, and how long they take.
// IOCTL_DISK_PERFORMANCE tells; all else passes.
#include "filter.h"
#include <ntdddisk.h>

typedef struct {
    FILTER Filter;
    LONGLONG Frequency;
    KSPIN_LOCK Lock;
    // With the lock. Times in ticks of the performance counter.
    ULONG Reads, Writes, Depth;
    LONGLONG BytesRead, BytesWritten, ReadTicks, WriteTicks, IdleTicks, IdleSince;
} DISKPERF, *PDISKPERF;

static LONGLONG Ticks(void)
{
    return KeQueryPerformanceCounter(NULL).QuadPart;
}

// When it was sent stands in this driver's own stack location, where the drivers below do not look.
static NTSTATUS NTAPI Measured(PDEVICE_OBJECT device, PIRP irp, PVOID context)
{
    PDISKPERF x = context;
    PIO_STACK_LOCATION location = IoGetCurrentIrpStackLocation(irp);
    KIRQL irql;
    LONGLONG now = Ticks(), took = now - location->Parameters.Read.ByteOffset.QuadPart;
    LONGLONG bytes = NT_SUCCESS(irp->IoStatus.Status) ? (LONGLONG)irp->IoStatus.Information : 0;
    KeAcquireSpinLock(&x->Lock, &irql);
    if (location->MajorFunction == IRP_MJ_READ) {
        x->Reads++;
        x->BytesRead += bytes;
        x->ReadTicks += took;
    } else {
        x->Writes++;
        x->BytesWritten += bytes;
        x->WriteTicks += took;
    }
    if (--x->Depth == 0) x->IdleSince = now;
    KeReleaseSpinLock(&x->Lock, irql);
    return FilterDone(device, irp, x);
}

static NTSTATUS NTAPI Transfer(PDEVICE_OBJECT device, PIRP irp)
{
    PDISKPERF x = device->DeviceExtension;
    KIRQL irql;
    NTSTATUS status = IoAcquireRemoveLock(&x->Filter.RemoveLock, irp);
    if (!NT_SUCCESS(status)) return Complete(irp, status, 0);
    IoCopyCurrentIrpStackLocationToNext(irp);
    LONGLONG now = Ticks();
    IoGetCurrentIrpStackLocation(irp)->Parameters.Read.ByteOffset.QuadPart = now;
    KeAcquireSpinLock(&x->Lock, &irql);
    if (x->Depth++ == 0) x->IdleTicks += now - x->IdleSince;
    KeReleaseSpinLock(&x->Lock, irql);
    IoSetCompletionRoutine(irp, Measured, x, TRUE, TRUE, TRUE);
    return IoCallDriver(x->Filter.Below, irp);
}

// Of 100 ns; in two parts, so that nothing overflows.
static LONGLONG Time(PDISKPERF x, LONGLONG ticks)
{
    return ticks / x->Frequency * 10000000 + ticks % x->Frequency * 10000000 / x->Frequency;
}

static void Tell(PDISKPERF x, PDISK_PERFORMANCE p)
{
    KIRQL irql;
    LONGLONG now = Ticks();
    RtlZeroMemory(p, sizeof(*p));
    KeQuerySystemTime(&p->QueryTime);
    KeAcquireSpinLock(&x->Lock, &irql);
    p->BytesRead.QuadPart = x->BytesRead;
    p->BytesWritten.QuadPart = x->BytesWritten;
    p->ReadTime.QuadPart = Time(x, x->ReadTicks);
    p->WriteTime.QuadPart = Time(x, x->WriteTicks);
    p->IdleTime.QuadPart = Time(x, x->IdleTicks + (x->Depth == 0 ? now - x->IdleSince : 0));
    p->ReadCount = x->Reads;
    p->WriteCount = x->Writes;
    p->QueueDepth = x->Depth;
    KeReleaseSpinLock(&x->Lock, irql);
    RtlCopyMemory(p->StorageManagerName, L"DISKPERF", sizeof(p->StorageManagerName));
}

static NTSTATUS NTAPI Control(PDEVICE_OBJECT device, PIRP irp)
{
    PDISKPERF x = device->DeviceExtension;
    PIO_STACK_LOCATION location = IoGetCurrentIrpStackLocation(irp);
    if (location->Parameters.DeviceIoControl.IoControlCode != IOCTL_DISK_PERFORMANCE) return FilterPass(device, irp);
    NTSTATUS status = IoAcquireRemoveLock(&x->Filter.RemoveLock, irp);
    if (!NT_SUCCESS(status)) return Complete(irp, status, 0);
    BOOLEAN fits = location->Parameters.DeviceIoControl.OutputBufferLength >= sizeof(DISK_PERFORMANCE);
    if (fits) Tell(x, irp->AssociatedIrp.SystemBuffer);
    status = Complete(irp, fits ? STATUS_SUCCESS : STATUS_BUFFER_TOO_SMALL, fits ? sizeof(DISK_PERFORMANCE) : 0);
    IoReleaseRemoveLock(&x->Filter.RemoveLock, irp);
    return status;
}

// First the drivers below. What the device below can do, its filter can do.
static NTSTATUS AfterBelow(PDISKPERF x, PIRP irp, UCHAR minor)
{
    const ULONG inherited = FILE_REMOVABLE_MEDIA | FILE_READ_ONLY_DEVICE | FILE_FLOPPY_DISKETTE;
    PIO_STACK_LOCATION location = IoGetCurrentIrpStackLocation(irp);
    NTSTATUS status = FilterBelow(&x->Filter, irp);
    if (minor == IRP_MN_START_DEVICE && NT_SUCCESS(status)) {
        x->Filter.Self->Characteristics |= x->Filter.Below->Characteristics & inherited;
        x->IdleSince = Ticks();
    }
    // Paging makes drivers below answer at a raised IRQL: then the filter is no longer pageable either.
    if (minor == IRP_MN_DEVICE_USAGE_NOTIFICATION && NT_SUCCESS(status)
        && location->Parameters.UsageNotification.Type == DeviceUsageTypePaging
        && !(x->Filter.Below->Flags & DO_POWER_PAGABLE))
        x->Filter.Self->Flags &= ~DO_POWER_PAGABLE;
    return FilterFinish(&x->Filter, irp, status);
}

static NTSTATUS NTAPI Plug(PDEVICE_OBJECT device, PIRP irp)
{
    PDISKPERF x = device->DeviceExtension;
    UCHAR minor = IoGetCurrentIrpStackLocation(irp)->MinorFunction;
    if (minor != IRP_MN_START_DEVICE && minor != IRP_MN_REMOVE_DEVICE && minor != IRP_MN_DEVICE_USAGE_NOTIFICATION)
        return FilterPass(device, irp);
    NTSTATUS status = IoAcquireRemoveLock(&x->Filter.RemoveLock, irp);
    if (!NT_SUCCESS(status)) return Complete(irp, status, 0);
    return minor == IRP_MN_REMOVE_DEVICE ? FilterRemove(&x->Filter, irp) : AfterBelow(x, irp, minor);
}

static NTSTATUS NTAPI AddDevice(PDRIVER_OBJECT driver, PDEVICE_OBJECT physical)
{
    LARGE_INTEGER frequency;
    PDEVICE_OBJECT device;
    NTSTATUS status = FilterAdd(driver, physical, sizeof(DISKPERF), &device);
    if (!NT_SUCCESS(status)) return status;
    PDISKPERF x = device->DeviceExtension;
    KeInitializeSpinLock(&x->Lock);
    x->IdleSince = KeQueryPerformanceCounter(&frequency).QuadPart;
    x->Frequency = frequency.QuadPart;
    device->Flags &= ~DO_DEVICE_INITIALIZING;
    return STATUS_SUCCESS;
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path)
{
    FilterSet(driver, AddDevice, Plug);
    driver->MajorFunction[IRP_MJ_READ] = Transfer;
    driver->MajorFunction[IRP_MJ_WRITE] = Transfer;
    driver->MajorFunction[IRP_MJ_DEVICE_CONTROL] = Control;
    return STATUS_SUCCESS;
}
