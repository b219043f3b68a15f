// How buffers reach a driver: three devices, one for each way of reads and writes, and the four methods of control
// codes. What is written to a device can be read from it.
#include "sample.h"

#define IOCTL_METHODS_BUFFERED   CTL_CODE(FILE_DEVICE_UNKNOWN, 0x800, METHOD_BUFFERED, FILE_ANY_ACCESS)
#define IOCTL_METHODS_IN_DIRECT  CTL_CODE(FILE_DEVICE_UNKNOWN, 0x801, METHOD_IN_DIRECT, FILE_ANY_ACCESS)
#define IOCTL_METHODS_OUT_DIRECT CTL_CODE(FILE_DEVICE_UNKNOWN, 0x802, METHOD_OUT_DIRECT, FILE_ANY_ACCESS)
#define IOCTL_METHODS_NEITHER    CTL_CODE(FILE_DEVICE_UNKNOWN, 0x803, METHOD_NEITHER, FILE_ANY_ACCESS)

#define CAPACITY 256

typedef struct {
    FAST_MUTEX Mutex;           // not a spin lock: what is done under it may touch memory that is paged
    ULONG Length;
    UCHAR Data[CAPACITY];
} METHODS_EXTENSION, *PMETHODS_EXTENSION;

static PDEVICE_OBJECT s_buffered, s_direct, s_neither;

// The user can unmap his memory at any moment, from another thread: a probe alone proves nothing.
static NTSTATUS CopyFromUser(PIRP irp, PVOID to, PVOID from, ULONG length)
{
    __try {
        if (irp->RequestorMode == UserMode) ProbeForRead(from, length, 1);
        RtlCopyMemory(to, from, length);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        return GetExceptionCode();
    }
    return STATUS_SUCCESS;
}

static NTSTATUS CopyToUser(PIRP irp, PVOID to, PVOID from, ULONG length)
{
    __try {
        if (irp->RequestorMode == UserMode) ProbeForWrite(to, length, 1);
        RtlCopyMemory(to, from, length);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        return GetExceptionCode();
    }
    return STATUS_SUCCESS;
}

// Where the data of a read or a write are in the system's memory; NULL with METHOD_NEITHER, where they are not.
static NTSTATUS FindBuffer(PDEVICE_OBJECT device, PIRP irp, PVOID *buffer)
{
    *buffer = NULL;
    if (device == s_buffered) *buffer = irp->AssociatedIrp.SystemBuffer;
    if (device != s_direct) return STATUS_SUCCESS;
    *buffer = MmGetSystemAddressForMdlSafe(irp->MdlAddress, NormalPagePriority);
    return *buffer == NULL ? STATUS_INSUFFICIENT_RESOURCES : STATUS_SUCCESS;
}

static NTSTATUS NTAPI Read(PDEVICE_OBJECT device, PIRP irp)
{
    PMETHODS_EXTENSION x = device->DeviceExtension;
    ULONG length = IoGetCurrentIrpStackLocation(irp)->Parameters.Read.Length;
    PVOID buffer;
    // Of no bytes there is no buffer.
    if (length == 0) return Complete(irp, STATUS_SUCCESS, 0);
    NTSTATUS status = FindBuffer(device, irp, &buffer);
    if (!NT_SUCCESS(status)) return Complete(irp, status, 0);
    ExAcquireFastMutex(&x->Mutex);
    if (length > x->Length) length = x->Length;
    if (buffer != NULL) RtlCopyMemory(buffer, x->Data, length);
    else status = CopyToUser(irp, irp->UserBuffer, x->Data, length);
    ExReleaseFastMutex(&x->Mutex);
    return Complete(irp, status, NT_SUCCESS(status) ? length : 0);
}

static NTSTATUS NTAPI Write(PDEVICE_OBJECT device, PIRP irp)
{
    PMETHODS_EXTENSION x = device->DeviceExtension;
    ULONG length = IoGetCurrentIrpStackLocation(irp)->Parameters.Write.Length;
    PVOID buffer;
    if (length == 0) return Complete(irp, STATUS_SUCCESS, 0);
    if (length > CAPACITY) return Complete(irp, STATUS_DISK_FULL, 0);
    NTSTATUS status = FindBuffer(device, irp, &buffer);
    if (!NT_SUCCESS(status)) return Complete(irp, status, 0);
    ExAcquireFastMutex(&x->Mutex);
    if (buffer != NULL) RtlCopyMemory(x->Data, buffer, length);
    else status = CopyFromUser(irp, x->Data, irp->UserBuffer, length);
    if (NT_SUCCESS(status)) x->Length = length;
    ExReleaseFastMutex(&x->Mutex);
    return Complete(irp, status, NT_SUCCESS(status) ? length : 0);
}

static void Invert(PUCHAR to, PUCHAR from, ULONG length)
{
    for (ULONG i = 0; i < length; i++) to[i] = (UCHAR)~from[i];
}

static NTSTATUS Direct(PIRP irp, ULONG in, ULONG out, BOOLEAN toMdl)
{
    ULONG length = in < out ? in : out;
    if (length == 0) return Complete(irp, STATUS_SUCCESS, 0);
    // The first buffer is the system's copy; the second one the user's own pages, locked.
    PUCHAR mapped = MmGetSystemAddressForMdlSafe(irp->MdlAddress, NormalPagePriority);
    if (mapped == NULL) return Complete(irp, STATUS_INSUFFICIENT_RESOURCES, 0);
    if (toMdl) {
        Invert(mapped, irp->AssociatedIrp.SystemBuffer, length);
        return Complete(irp, STATUS_SUCCESS, length);
    }
    // METHOD_IN_DIRECT: the pages are for reading only. How many bytes are the same is the answer.
    ULONG same = 0;
    PUCHAR first = irp->AssociatedIrp.SystemBuffer;
    for (ULONG i = 0; i < length; i++) if (mapped[i] == first[i]) same++;
    return Complete(irp, STATUS_SUCCESS, same);
}

static NTSTATUS Neither(PIRP irp, PVOID input, ULONG in, ULONG out)
{
    UCHAR copy[64];
    ULONG length = in < out ? in : out;
    if (length > sizeof(copy)) return Complete(irp, STATUS_INVALID_BUFFER_SIZE, 0);
    // Copied once, then used: the user can change his buffer between two looks at it.
    NTSTATUS status = CopyFromUser(irp, copy, input, length);
    if (NT_SUCCESS(status)) {
        Invert(copy, copy, length);
        status = CopyToUser(irp, irp->UserBuffer, copy, length);
    }
    return Complete(irp, status, NT_SUCCESS(status) ? length : 0);
}

static NTSTATUS NTAPI DeviceControl(PDEVICE_OBJECT device, PIRP irp)
{
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
    ULONG in = stack->Parameters.DeviceIoControl.InputBufferLength;
    ULONG out = stack->Parameters.DeviceIoControl.OutputBufferLength;
    ULONG length = in < out ? in : out;
    switch (stack->Parameters.DeviceIoControl.IoControlCode) {
    case IOCTL_METHODS_BUFFERED:
        // Input and output are the same buffer.
        Invert(irp->AssociatedIrp.SystemBuffer, irp->AssociatedIrp.SystemBuffer, length);
        return Complete(irp, STATUS_SUCCESS, length);
    case IOCTL_METHODS_IN_DIRECT:
        return Direct(irp, in, out, FALSE);
    case IOCTL_METHODS_OUT_DIRECT:
        return Direct(irp, in, out, TRUE);
    case IOCTL_METHODS_NEITHER:
        return Neither(irp, stack->Parameters.DeviceIoControl.Type3InputBuffer, in, out);
    default:
        return Complete(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    }
}

static void NTAPI Unload(PDRIVER_OBJECT driver)
{
    if (s_neither != NULL) DeleteNamed(s_neither, L"MethodsNeither");
    if (s_direct != NULL) DeleteNamed(s_direct, L"MethodsDirect");
    if (s_buffered != NULL) DeleteNamed(s_buffered, L"MethodsBuffered");
}

static void Start(PDEVICE_OBJECT device)
{
    ExInitializeFastMutex(&((PMETHODS_EXTENSION)device->DeviceExtension)->Mutex);
    device->Flags &= ~DO_DEVICE_INITIALIZING;
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path)
{
    ULONG size = sizeof(METHODS_EXTENSION);
    SetOpenClose(driver);
    driver->MajorFunction[IRP_MJ_READ] = Read;
    driver->MajorFunction[IRP_MJ_WRITE] = Write;
    driver->MajorFunction[IRP_MJ_DEVICE_CONTROL] = DeviceControl;
    driver->DriverUnload = Unload;
    NTSTATUS status = CreateNamed(driver, L"MethodsBuffered", size, DO_BUFFERED_IO, &s_buffered);
    if (NT_SUCCESS(status)) status = CreateNamed(driver, L"MethodsDirect", size, DO_DIRECT_IO, &s_direct);
    if (NT_SUCCESS(status)) status = CreateNamed(driver, L"MethodsNeither", size, 0, &s_neither);
    if (!NT_SUCCESS(status)) {
        Unload(driver);
        return status;
    }
    Start(s_buffered);
    Start(s_direct);
    Start(s_neither);
    return STATUS_SUCCESS;
}
