// A driver that imports from library.sys: what its device is given is added to the sum of all who import. The file that
// includes this defines NAME.
#include "sample.h"

#define IOCTL_USER_ADD CTL_CODE(FILE_DEVICE_UNKNOWN, 0x800, METHOD_BUFFERED, FILE_ANY_ACCESS)

__declspec(dllimport) LONG NTAPI LibraryAdd(LONG value);

static PDEVICE_OBJECT s_device;

static NTSTATUS NTAPI DeviceControl(PDEVICE_OBJECT device, PIRP irp)
{
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
    PLONG value = irp->AssociatedIrp.SystemBuffer;
    if (stack->Parameters.DeviceIoControl.IoControlCode != IOCTL_USER_ADD)
        return Complete(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    if (stack->Parameters.DeviceIoControl.InputBufferLength < sizeof(LONG)
        || stack->Parameters.DeviceIoControl.OutputBufferLength < sizeof(LONG))
        return Complete(irp, STATUS_BUFFER_TOO_SMALL, 0);
    *value = LibraryAdd(*value);
    return Complete(irp, STATUS_SUCCESS, sizeof(LONG));
}

static void NTAPI Unload(PDRIVER_OBJECT driver)
{
    DeleteNamed(s_device, NAME);
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path)
{
    SetOpenClose(driver);
    driver->MajorFunction[IRP_MJ_DEVICE_CONTROL] = DeviceControl;
    driver->DriverUnload = Unload;
    NTSTATUS status = CreateNamed(driver, NAME, 0, 0, &s_device);
    if (NT_SUCCESS(status)) s_device->Flags &= ~DO_DEVICE_INITIALIZING;
    return status;
}
