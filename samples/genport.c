// Ports to read and write from a program: those of one range, which the device was started with, and no others.
#define INITGUID
#include "plug.h"

#define READ_CODE(size) CTL_CODE(FILE_DEVICE_UNKNOWN, 0x800 + (size), METHOD_BUFFERED, FILE_READ_ACCESS)
#define WRITE_CODE(size) CTL_CODE(FILE_DEVICE_UNKNOWN, 0x810 + (size), METHOD_BUFFERED, FILE_WRITE_ACCESS)

// {6f0c3a52-8c55-4c39-9f3d-52494e474643}
DEFINE_GUID(GUID_GENPORT, 0x6f0c3a52, 0x8c55, 0x4c39, 0x9f, 0x3d, 0x52, 0x49, 0x4e, 0x47, 0x46, 0x43);

typedef struct {
    PLUG Plug;
    PUCHAR Ports;
    ULONG Length;
    PVOID Mapped;
} GENPORT, *PGENPORT;

static NTSTATUS Start(PPLUG plug, PIO_STACK_LOCATION location)
{
    PGENPORT x = (PGENPORT)plug;
    PCM_RESOURCE_LIST resources = location->Parameters.StartDevice.AllocatedResourcesTranslated;
    if (resources == NULL || resources->Count != 1) return STATUS_INSUFFICIENT_RESOURCES;
    PCM_PARTIAL_RESOURCE_LIST list = &resources->List[0].PartialResourceList;
    for (ULONG i = 0; i < list->Count; i++) {
        PCM_PARTIAL_RESOURCE_DESCRIPTOR d = &list->PartialDescriptors[i];
        if (d->Type == CmResourceTypePort) {
            x->Ports = (PUCHAR)(ULONG_PTR)d->u.Port.Start.QuadPart;
            x->Length = d->u.Port.Length;
            return STATUS_SUCCESS;
        }
        // Where ports are translated to memory, they are mapped.
        if (d->Type == CmResourceTypeMemory && (d->Flags & CM_RESOURCE_PORT_IO)) {
            x->Mapped = MmMapIoSpace(d->u.Memory.Start, d->u.Memory.Length, MmNonCached);
            if (x->Mapped == NULL) return STATUS_INSUFFICIENT_RESOURCES;
            x->Ports = x->Mapped;
            x->Length = d->u.Memory.Length;
            return STATUS_SUCCESS;
        }
    }
    return STATUS_INSUFFICIENT_RESOURCES;
}

static void Stop(PPLUG plug)
{
    PGENPORT x = (PGENPORT)plug;
    if (x->Mapped != NULL) MmUnmapIoSpace(x->Mapped, x->Length);
    x->Mapped = NULL;
    x->Ports = NULL;
    x->Length = 0;
}

static BOOLEAN MayStop(PPLUG x)
{
    return TRUE;
}

static void SetPower(PPLUG x, BOOLEAN on)
{
}

static void Removed(PPLUG x)
{
}

// Subtracted, so that nothing wraps. An access lies at a multiple of its size.
static BOOLEAN IsInside(PGENPORT x, ULONG offset, ULONG size)
{
    return x->Length >= size && offset <= x->Length - size && offset % size == 0;
}

static ULONG Read(PGENPORT x, ULONG offset, ULONG size)
{
    PUCHAR port = x->Ports + offset;
    if (x->Mapped != NULL)
        return size == 1 ? READ_REGISTER_UCHAR(port) : size == 2 ? READ_REGISTER_USHORT((PUSHORT)port)
            : READ_REGISTER_ULONG((PULONG)port);
    return size == 1 ? READ_PORT_UCHAR(port) : size == 2 ? READ_PORT_USHORT((PUSHORT)port)
        : READ_PORT_ULONG((PULONG)port);
}

static void Write(PGENPORT x, ULONG offset, ULONG size, ULONG value)
{
    PUCHAR port = x->Ports + offset;
    if (x->Mapped != NULL) {
        if (size == 1) WRITE_REGISTER_UCHAR(port, (UCHAR)value);
        else if (size == 2) WRITE_REGISTER_USHORT((PUSHORT)port, (USHORT)value);
        else WRITE_REGISTER_ULONG((PULONG)port, value);
    } else if (size == 1) WRITE_PORT_UCHAR(port, (UCHAR)value);
    else if (size == 2) WRITE_PORT_USHORT((PUSHORT)port, (USHORT)value);
    else WRITE_PORT_ULONG((PULONG)port, value);
}

// In: the offset, and for a write the value behind it. Out: what was read. A value is as long as its access.
static NTSTATUS Control(PPLUG plug, PIRP irp, PIO_STACK_LOCATION location, PULONG_PTR information)
{
    PGENPORT x = (PGENPORT)plug;
    PUCHAR buffer = irp->AssociatedIrp.SystemBuffer;
    ULONG code = location->Parameters.DeviceIoControl.IoControlCode, offset, value = 0;
    ULONG size = (code >> 2) & 0xF;
    BOOLEAN isRead = code == READ_CODE(size);
    if ((size != 1 && size != 2 && size != 4) || (!isRead && code != WRITE_CODE(size)))
        return STATUS_INVALID_DEVICE_REQUEST;
    if (location->Parameters.DeviceIoControl.InputBufferLength != sizeof(ULONG) + (isRead ? 0 : size))
        return STATUS_INFO_LENGTH_MISMATCH;
    RtlCopyMemory(&offset, buffer, sizeof(offset));
    if (!IsInside(x, offset, size)) return STATUS_INVALID_PARAMETER;
    if (!isRead) {
        RtlCopyMemory(&value, buffer + sizeof(offset), size);
        Write(x, offset, size, value);
        return STATUS_SUCCESS;
    }
    if (location->Parameters.DeviceIoControl.OutputBufferLength < size) return STATUS_BUFFER_TOO_SMALL;
    value = Read(x, offset, size);
    RtlCopyMemory(buffer, &value, size);
    *information = size;
    return STATUS_SUCCESS;
}

static NTSTATUS NTAPI AddDevice(PDRIVER_OBJECT driver, PDEVICE_OBJECT physical)
{
    PDEVICE_OBJECT device;
    NTSTATUS status = PlugAdd(driver, physical, sizeof(GENPORT), FILE_DEVICE_UNKNOWN, &GUID_GENPORT, &device);
    if (NT_SUCCESS(status)) device->Flags &= ~DO_DEVICE_INITIALIZING;
    return status;
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path)
{
    PlugSet(driver, AddDevice);
    return STATUS_SUCCESS;
}
