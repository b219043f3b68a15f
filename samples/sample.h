// What the drivers here share: a device with a name and a link, and the end of a request.
#pragma once
#include <ntddk.h>

#define TAG 'pmaS'

static inline NTSTATUS Complete(PIRP irp, NTSTATUS status, ULONG_PTR information)
{
    irp->IoStatus.Status = status;
    irp->IoStatus.Information = information;
    IoCompleteRequest(irp, IO_NO_INCREMENT);
    return status;
}

// Nothing is to be done for a file that is opened, and nothing when it goes.
static inline NTSTATUS NTAPI OpenClose(PDEVICE_OBJECT device, PIRP irp)
{
    return Complete(irp, STATUS_SUCCESS, 0);
}

static inline void SetOpenClose(PDRIVER_OBJECT driver)
{
    driver->MajorFunction[IRP_MJ_CREATE] = OpenClose;
    driver->MajorFunction[IRP_MJ_CLEANUP] = OpenClose;
    driver->MajorFunction[IRP_MJ_CLOSE] = OpenClose;
}

// \Device\NAME, which programs open as \\.\NAME. Its extension is zeroed by the system.
#define CreateNamed(driver, name, extension, flags, made) \
    CreateNamedDevice(driver, L"\\Device\\" name, L"\\DosDevices\\" name, extension, flags, made)
#define DeleteNamed(device, name) DeleteNamedDevice(device, L"\\DosDevices\\" name)

static inline NTSTATUS CreateNamedDevice(PDRIVER_OBJECT driver, PCWSTR device, PCWSTR link, ULONG extension,
    ULONG flags, PDEVICE_OBJECT *made)
{
    UNICODE_STRING name, dos;
    RtlInitUnicodeString(&name, device);
    NTSTATUS status = IoCreateDevice(driver, extension, &name, FILE_DEVICE_UNKNOWN, 0, FALSE, made);
    if (!NT_SUCCESS(status)) return status;
    RtlInitUnicodeString(&dos, link);
    status = IoCreateSymbolicLink(&dos, &name);
    if (!NT_SUCCESS(status)) {
        IoDeleteDevice(*made);
        *made = NULL;
        return status;
    }
    (*made)->Flags |= flags;
    return STATUS_SUCCESS;
}

static inline void DeleteNamedDevice(PDEVICE_OBJECT device, PCWSTR link)
{
    UNICODE_STRING dos;
    RtlInitUnicodeString(&dos, link);
    IoDeleteSymbolicLink(&dos);
    IoDeleteDevice(device);
}
