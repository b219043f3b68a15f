// A device's memory in a program's address space: its own, and nothing else. What a program has mapped goes with
// its handle, and when the device goes.
#define INITGUID
#include <ntifs.h>
#include "plug.h"

#define MOST 16
#define GRANULARITY 0x10000
#define IOCTL_MAP CTL_CODE(FILE_DEVICE_UNKNOWN, 0x800, METHOD_BUFFERED, FILE_READ_ACCESS | FILE_WRITE_ACCESS)
#define IOCTL_UNMAP CTL_CODE(FILE_DEVICE_UNKNOWN, 0x801, METHOD_BUFFERED, FILE_READ_ACCESS | FILE_WRITE_ACCESS)

// {6f0c3a52-8c55-4c39-9f3d-52494e474644}
DEFINE_GUID(GUID_MAPMEM, 0x6f0c3a52, 0x8c55, 0x4c39, 0x9f, 0x3d, 0x52, 0x49, 0x4e, 0x47, 0x46, 0x44);

typedef struct {
    ULONGLONG Offset, Length;
} WANTED;

typedef struct {
    LIST_ENTRY Entry;
    PFILE_OBJECT File;
    PEPROCESS Process;
    PVOID View, Address;
} MAPPING, *PMAPPING;

typedef struct {
    PLUG Plug;
    ULONGLONG First, Length;
    FAST_MUTEX Mutex;
    LIST_ENTRY Mappings;
    volatile LONG Count;
} MAPMEM, *PMAPMEM;

static NTSTATUS Start(PPLUG plug, PIO_STACK_LOCATION location)
{
    PMAPMEM x = (PMAPMEM)plug;
    PCM_RESOURCE_LIST resources = location->Parameters.StartDevice.AllocatedResourcesTranslated;
    if (resources == NULL || resources->Count != 1) return STATUS_INSUFFICIENT_RESOURCES;
    PCM_PARTIAL_RESOURCE_LIST list = &resources->List[0].PartialResourceList;
    for (ULONG i = 0; i < list->Count; i++) {
        PCM_PARTIAL_RESOURCE_DESCRIPTOR d = &list->PartialDescriptors[i];
        if (d->Type != CmResourceTypeMemory) continue;
        x->First = d->u.Memory.Start.QuadPart;
        x->Length = d->u.Memory.Length;
        return STATUS_SUCCESS;
    }
    return STATUS_INSUFFICIENT_RESOURCES;
}

// The process that has the view is not always the present one.
static void Unmap(PMAPMEM x, PMAPPING mapping)
{
    KAPC_STATE state;
    KeStackAttachProcess((PVOID)mapping->Process, &state);
    ZwUnmapViewOfSection(NtCurrentProcess(), mapping->View);
    KeUnstackDetachProcess(&state);
    ObDereferenceObject(mapping->Process);
    ExFreePoolWithTag(mapping, TAG);
    InterlockedDecrement(&x->Count);
}

static PMAPPING Take(PMAPMEM x, PFILE_OBJECT file, PEPROCESS process, PVOID address)
{
    PMAPPING found = NULL;
    ExAcquireFastMutex(&x->Mutex);
    for (PLIST_ENTRY entry = x->Mappings.Flink; entry != &x->Mappings && found == NULL; entry = entry->Flink) {
        PMAPPING mapping = CONTAINING_RECORD(entry, MAPPING, Entry);
        if (file != NULL && mapping->File != file) continue;
        if (process != NULL && (mapping->Process != process || mapping->Address != address)) continue;
        found = mapping;
    }
    if (found != NULL) RemoveEntryList(&found->Entry);
    ExReleaseFastMutex(&x->Mutex);
    return found;
}

static void UnmapAll(PMAPMEM x, PFILE_OBJECT file)
{
    PMAPPING mapping;
    while ((mapping = Take(x, file, NULL, NULL)) != NULL) Unmap(x, mapping);
}

static void Stop(PPLUG plug)
{
    PMAPMEM x = (PMAPMEM)plug;
    UnmapAll(x, NULL);
    x->First = x->Length = 0;
}

// The registers must not move under a program.
static BOOLEAN MayStop(PPLUG plug)
{
    return ((PMAPMEM)plug)->Count == 0;
}

static void SetPower(PPLUG x, BOOLEAN on)
{
}

static void Removed(PPLUG x)
{
}

// A view of physical memory begins at a multiple of 64 KiB and ends with a page: what lies there as well, before and
// behind the part that is wanted, must be the device's too.
static NTSTATUS Check(PMAPMEM x, WANTED *wanted)
{
    if (wanted->Length == 0 || wanted->Offset >= x->Length || wanted->Length > x->Length - wanted->Offset)
        return STATUS_INVALID_PARAMETER;
    ULONGLONG from = x->First + wanted->Offset, first = from & ~(ULONGLONG)(GRANULARITY - 1);
    ULONGLONG end = (from + wanted->Length + PAGE_SIZE - 1) & ~(ULONGLONG)(PAGE_SIZE - 1);
    return first < x->First || end > x->First + x->Length ? STATUS_MAPPED_ALIGNMENT : STATUS_SUCCESS;
}

static NTSTATUS MapView(ULONGLONG from, ULONGLONG length, PVOID *view, PVOID *address)
{
    UNICODE_STRING name = RTL_CONSTANT_STRING(L"\\Device\\PhysicalMemory");
    OBJECT_ATTRIBUTES attributes;
    HANDLE section;
    LARGE_INTEGER offset;
    SIZE_T bytes = length;
    InitializeObjectAttributes(&attributes, &name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    NTSTATUS status = ZwOpenSection(&section, SECTION_MAP_READ | SECTION_MAP_WRITE, &attributes);
    if (!NT_SUCCESS(status)) return status;
    *view = NULL;
    offset.QuadPart = from;
    status = ZwMapViewOfSection(section, NtCurrentProcess(), view, 0, length, &offset, &bytes, ViewUnmap, 0,
        PAGE_READWRITE | PAGE_NOCACHE);
    ZwClose(section);
    if (NT_SUCCESS(status)) *address = (PUCHAR)*view + (from - offset.QuadPart);
    return status;
}

static NTSTATUS Map(PMAPMEM x, PFILE_OBJECT file, WANTED *wanted, PVOID *address)
{
    PMAPPING mapping = ExAllocatePoolWithTag(NonPagedPool, sizeof(MAPPING), TAG);
    if (mapping == NULL) return STATUS_INSUFFICIENT_RESOURCES;
    NTSTATUS status = MapView(x->First + wanted->Offset, wanted->Length, &mapping->View, &mapping->Address);
    if (!NT_SUCCESS(status)) {
        ExFreePoolWithTag(mapping, TAG);
        return status;
    }
    mapping->File = file;
    mapping->Process = IoGetCurrentProcess();
    ObReferenceObject(mapping->Process);
    *address = mapping->Address;
    ExAcquireFastMutex(&x->Mutex);
    InsertTailList(&x->Mappings, &mapping->Entry);
    ExReleaseFastMutex(&x->Mutex);
    return STATUS_SUCCESS;
}

// In: WANTED; out: the address. In for the end of it: the address.
static NTSTATUS Control(PPLUG plug, PIRP irp, PIO_STACK_LOCATION location, PULONG_PTR information)
{
    PMAPMEM x = (PMAPMEM)plug;
    PVOID *buffer = irp->AssociatedIrp.SystemBuffer;
    ULONG code = location->Parameters.DeviceIoControl.IoControlCode;
    ULONG input = location->Parameters.DeviceIoControl.InputBufferLength;
    if (code != IOCTL_MAP && code != IOCTL_UNMAP) return STATUS_INVALID_DEVICE_REQUEST;
    // A filter above may have sent it from anywhere: the views are the caller's, and only a program's.
    if (irp->RequestorMode != UserMode || IoGetRequestorProcess(irp) != IoGetCurrentProcess())
        return STATUS_ACCESS_DENIED;
    if (code == IOCTL_UNMAP) {
        if (input != sizeof(PVOID)) return STATUS_INFO_LENGTH_MISMATCH;
        PMAPPING mapping = Take(x, location->FileObject, IoGetCurrentProcess(), *buffer);
        if (mapping == NULL) return STATUS_NOT_MAPPED_VIEW;
        Unmap(x, mapping);
        return STATUS_SUCCESS;
    }
    if (input != sizeof(WANTED)) return STATUS_INFO_LENGTH_MISMATCH;
    if (location->Parameters.DeviceIoControl.OutputBufferLength < sizeof(PVOID)) return STATUS_BUFFER_TOO_SMALL;
    WANTED wanted = *(WANTED *)buffer;
    NTSTATUS status = Check(x, &wanted);
    if (!NT_SUCCESS(status)) return status;
    if (InterlockedIncrement(&x->Count) > MOST) status = STATUS_QUOTA_EXCEEDED;
    else status = Map(x, location->FileObject, &wanted, buffer);
    if (NT_SUCCESS(status)) *information = sizeof(PVOID);
    else InterlockedDecrement(&x->Count);
    return status;
}

// The last handle goes; then the last request that was still on its way, and may have mapped something meanwhile.
static NTSTATUS NTAPI End(PDEVICE_OBJECT device, PIRP irp)
{
    UnmapAll(device->DeviceExtension, IoGetCurrentIrpStackLocation(irp)->FileObject);
    return Complete(irp, STATUS_SUCCESS, 0);
}

static NTSTATUS NTAPI AddDevice(PDRIVER_OBJECT driver, PDEVICE_OBJECT physical)
{
    PDEVICE_OBJECT device;
    NTSTATUS status = PlugAdd(driver, physical, sizeof(MAPMEM), FILE_DEVICE_UNKNOWN, &GUID_MAPMEM, &device);
    if (!NT_SUCCESS(status)) return status;
    PMAPMEM x = device->DeviceExtension;
    ExInitializeFastMutex(&x->Mutex);
    InitializeListHead(&x->Mappings);
    device->Flags &= ~DO_DEVICE_INITIALIZING;
    return STATUS_SUCCESS;
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path)
{
    PlugSet(driver, AddDevice);
    driver->MajorFunction[IRP_MJ_CLEANUP] = End;
    driver->MajorFunction[IRP_MJ_CLOSE] = End;
    return STATUS_SUCCESS;
}
