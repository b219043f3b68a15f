// What the drivers here share: names of two strings, and the end of a request.
#pragma once
#include <ntddk.h>

#define TAG 'gniR'

static inline NTSTATUS Complete(PIRP irp, NTSTATUS status, ULONG_PTR information)
{
    irp->IoStatus.Status = status;
    irp->IoStatus.Information = information;
    IoCompleteRequest(irp, IO_NO_INCREMENT);
    return status;
}

static inline NTSTATUS CreateNamed(PDRIVER_OBJECT driver, PCWSTR device, PCWSTR link, ULONG extension,
    PDEVICE_OBJECT *made)
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
    }
    return status;
}

static inline void DeleteNamed(PDEVICE_OBJECT device, PCWSTR link)
{
    UNICODE_STRING dos;
    RtlInitUnicodeString(&dos, link);
    IoDeleteSymbolicLink(&dos);
    IoDeleteDevice(device);
}
