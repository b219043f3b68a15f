// A driver that gives back what it is given, by every way of passing a buffer.
#include "guest.h"
#include "echo.h"

#define CAPACITY 4096

typedef struct {
    KSPIN_LOCK Lock;
    PUCHAR Store;
    ULONG Length;
} STORE, *PSTORE;

static PDEVICE_OBJECT s_buffered, s_direct, s_neither;
// The NEITHER control code copies by way of this, for the two buffers may overlap.
static FAST_MUTEX s_neitherMutex;
static UCHAR s_neitherCopy[CAPACITY];

static NTSTATUS NTAPI OpenClose(PDEVICE_OBJECT device, PIRP irp)
{
    return Complete(irp, STATUS_SUCCESS, 0);
}

static ULONG Put(PSTORE store, const void *from, ULONG length)
{
    KIRQL irql;
    if (length > CAPACITY) length = CAPACITY;
    KeAcquireSpinLock(&store->Lock, &irql);
    RtlCopyMemory(store->Store, from, length);
    store->Length = length;
    KeReleaseSpinLock(&store->Lock, irql);
    return length;
}

static ULONG Get(PSTORE store, void *to, ULONG length)
{
    KIRQL irql;
    KeAcquireSpinLock(&store->Lock, &irql);
    if (length > store->Length) length = store->Length;
    RtlCopyMemory(to, store->Store, length);
    KeReleaseSpinLock(&store->Lock, irql);
    return length;
}

// MmProbeAndLockPages raises when the requestor's address is bad, in the context of the requestor.
static NTSTATUS MapUser(PVOID address, ULONG length, LOCK_OPERATION access, PMDL *mdl, PVOID *mapped)
{
    *mdl = IoAllocateMdl(address, length, FALSE, FALSE, NULL);
    if (*mdl == NULL) return STATUS_INSUFFICIENT_RESOURCES;
    __try {
        MmProbeAndLockPages(*mdl, UserMode, access);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        IoFreeMdl(*mdl);
        return GetExceptionCode();
    }
    *mapped = MmGetSystemAddressForMdlSafe(*mdl, NormalPagePriority);
    if (*mapped != NULL) return STATUS_SUCCESS;
    MmUnlockPages(*mdl);
    IoFreeMdl(*mdl);
    return STATUS_INSUFFICIENT_RESOURCES;
}

static void UnmapUser(PMDL mdl)
{
    MmUnlockPages(mdl);
    IoFreeMdl(mdl);
}

static NTSTATUS Transfer(PDEVICE_OBJECT device, PIRP irp, ULONG length, BOOLEAN write)
{
    PSTORE store = device->DeviceExtension;
    PMDL mdl = NULL;
    PVOID buffer;
    if (length == 0) return Complete(irp, STATUS_SUCCESS, 0);
    if (device == s_buffered) {
        buffer = irp->AssociatedIrp.SystemBuffer;
    } else if (device == s_direct) {
        buffer = MmGetSystemAddressForMdlSafe(irp->MdlAddress, NormalPagePriority);
        if (buffer == NULL) return Complete(irp, STATUS_INSUFFICIENT_RESOURCES, 0);
    } else {
        NTSTATUS status = MapUser(irp->UserBuffer, length, write ? IoReadAccess : IoWriteAccess, &mdl, &buffer);
        if (!NT_SUCCESS(status)) return Complete(irp, status, 0);
    }
    ULONG done = write ? Put(store, buffer, length) : Get(store, buffer, length);
    if (mdl != NULL) UnmapUser(mdl);
    return Complete(irp, STATUS_SUCCESS, done);
}

static NTSTATUS NTAPI Read(PDEVICE_OBJECT device, PIRP irp)
{
    return Transfer(device, irp, IoGetCurrentIrpStackLocation(irp)->Parameters.Read.Length, FALSE);
}

static NTSTATUS NTAPI Write(PDEVICE_OBJECT device, PIRP irp)
{
    return Transfer(device, irp, IoGetCurrentIrpStackLocation(irp)->Parameters.Write.Length, TRUE);
}

// Both direct methods: the short buffer is the system buffer, the long one an MDL.
static NTSTATUS EchoDirect(PIRP irp, ULONG in, ULONG out, BOOLEAN toMdl)
{
    ULONG length = in < out ? in : out;
    if (length == 0) return Complete(irp, STATUS_SUCCESS, 0);
    PUCHAR mapped = MmGetSystemAddressForMdlSafe(irp->MdlAddress, NormalPagePriority);
    if (mapped == NULL) return Complete(irp, STATUS_INSUFFICIENT_RESOURCES, 0);
    // METHOD_IN_DIRECT's MDL is for reading only: there the data ends in the store, to be read back.
    if (toMdl) {
        RtlCopyMemory(mapped, irp->AssociatedIrp.SystemBuffer, length);
        return Complete(irp, STATUS_SUCCESS, length);
    }
    return Complete(irp, STATUS_SUCCESS, Put(s_direct->DeviceExtension, mapped, out));
}

// Both buffers are the user's own: probed, then touched inside __try, since he can unmap them at any moment.
static NTSTATUS EchoNeither(PIRP irp, PIO_STACK_LOCATION stack, ULONG in, ULONG out)
{
    ULONG length = in < out ? in : out;
    NTSTATUS status = STATUS_SUCCESS;
    if (length > CAPACITY) return Complete(irp, STATUS_INVALID_BUFFER_SIZE, 0);
    ExAcquireFastMutex(&s_neitherMutex);
    __try {
        ProbeForRead(stack->Parameters.DeviceIoControl.Type3InputBuffer, length, 1);
        ProbeForWrite(irp->UserBuffer, length, 1);
        RtlCopyMemory(s_neitherCopy, stack->Parameters.DeviceIoControl.Type3InputBuffer, length);
        RtlCopyMemory(irp->UserBuffer, s_neitherCopy, length);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        status = GetExceptionCode();
    }
    ExReleaseFastMutex(&s_neitherMutex);
    return Complete(irp, status, NT_SUCCESS(status) ? length : 0);
}

static NTSTATUS NTAPI DeviceControl(PDEVICE_OBJECT device, PIRP irp)
{
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
    ULONG in = stack->Parameters.DeviceIoControl.InputBufferLength;
    ULONG out = stack->Parameters.DeviceIoControl.OutputBufferLength;
    switch (stack->Parameters.DeviceIoControl.IoControlCode) {
    case IOCTL_ECHO_VERSION:
        if (out < sizeof(ULONG)) return Complete(irp, STATUS_BUFFER_TOO_SMALL, 0);
        *(PULONG)irp->AssociatedIrp.SystemBuffer = ECHO_VERSION;
        return Complete(irp, STATUS_SUCCESS, sizeof(ULONG));
    case IOCTL_ECHO_BUFFERED:
        // Input and output share the system buffer, so the answer is there already.
        return Complete(irp, STATUS_SUCCESS, in < out ? in : out);
    case IOCTL_ECHO_IN_DIRECT:
        return EchoDirect(irp, in, out, FALSE);
    case IOCTL_ECHO_OUT_DIRECT:
        return EchoDirect(irp, in, out, TRUE);
    case IOCTL_ECHO_NEITHER:
        return EchoNeither(irp, stack, in, out);
    default:
        return Complete(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    }
}

static void Remove(PDEVICE_OBJECT device, PCWSTR link)
{
    if (device == NULL) return;
    ExFreePoolWithTag(((PSTORE)device->DeviceExtension)->Store, TAG);
    DeleteNamed(device, link);
}

static void NTAPI Unload(PDRIVER_OBJECT driver)
{
    Remove(s_neither, L"\\DosDevices\\EchoNeither");
    Remove(s_direct, L"\\DosDevices\\EchoDirect");
    Remove(s_buffered, L"\\DosDevices\\Echo");
}

static NTSTATUS Add(PDRIVER_OBJECT driver, PCWSTR device, PCWSTR link, ULONG flags, PDEVICE_OBJECT *made)
{
    PVOID store = ExAllocatePoolWithTag(NonPagedPool, CAPACITY, TAG);
    if (store == NULL) return STATUS_INSUFFICIENT_RESOURCES;
    NTSTATUS status = CreateNamed(driver, device, link, sizeof(STORE), made);
    if (!NT_SUCCESS(status)) {
        ExFreePoolWithTag(store, TAG);
        return status;
    }
    PSTORE extension = (*made)->DeviceExtension;
    KeInitializeSpinLock(&extension->Lock);
    extension->Store = store;
    (*made)->Flags |= flags;
    (*made)->Flags &= ~DO_DEVICE_INITIALIZING;
    return STATUS_SUCCESS;
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path)
{
    ExInitializeFastMutex(&s_neitherMutex);
    driver->DriverUnload = Unload;
    driver->MajorFunction[IRP_MJ_CREATE] = OpenClose;
    driver->MajorFunction[IRP_MJ_CLEANUP] = OpenClose;
    driver->MajorFunction[IRP_MJ_CLOSE] = OpenClose;
    driver->MajorFunction[IRP_MJ_READ] = Read;
    driver->MajorFunction[IRP_MJ_WRITE] = Write;
    driver->MajorFunction[IRP_MJ_DEVICE_CONTROL] = DeviceControl;
    NTSTATUS status = Add(driver, L"\\Device\\Echo", L"\\DosDevices\\Echo", DO_BUFFERED_IO, &s_buffered);
    if (NT_SUCCESS(status))
        status = Add(driver, L"\\Device\\EchoDirect", L"\\DosDevices\\EchoDirect", DO_DIRECT_IO, &s_direct);
    if (NT_SUCCESS(status))
        status = Add(driver, L"\\Device\\EchoNeither", L"\\DosDevices\\EchoNeither", 0, &s_neither);
    if (!NT_SUCCESS(status)) Unload(driver);
    return status;
}
