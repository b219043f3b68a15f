// Imports what no kernel exports, one function by name and one by ordinal, and calls them only when asked to.
#include "guest.h"

#define IOCTL_MISSING_BY_NAME    0x222000
#define IOCTL_MISSING_BY_ORDINAL 0x222004
#define IOCTL_MISSING_NEITHER    0x222008
#define LINK L"\\DosDevices\\Missing"

__declspec(dllimport) NTSTATUS NTAPI RingdownNoSuchFunction(ULONG value);
__declspec(dllimport) NTSTATUS NTAPI RingdownByOrdinal(ULONG value);

static NTSTATUS NTAPI OpenClose(PDEVICE_OBJECT device, PIRP irp)
{
    return Complete(irp, STATUS_SUCCESS, 0);
}

static NTSTATUS NTAPI DeviceControl(PDEVICE_OBJECT device, PIRP irp)
{
    switch (IoGetCurrentIrpStackLocation(irp)->Parameters.DeviceIoControl.IoControlCode) {
    case IOCTL_MISSING_BY_NAME: return Complete(irp, RingdownNoSuchFunction(1), 0);
    case IOCTL_MISSING_BY_ORDINAL: return Complete(irp, RingdownByOrdinal(2), 0);
    case IOCTL_MISSING_NEITHER: return Complete(irp, STATUS_SUCCESS, 0);
    default: return Complete(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    }
}

static void NTAPI Unload(PDRIVER_OBJECT driver)
{
    DeleteNamed(driver->DeviceObject, LINK);
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path)
{
    PDEVICE_OBJECT device;
    driver->DriverUnload = Unload;
    driver->MajorFunction[IRP_MJ_CREATE] = OpenClose;
    driver->MajorFunction[IRP_MJ_CLEANUP] = OpenClose;
    driver->MajorFunction[IRP_MJ_CLOSE] = OpenClose;
    driver->MajorFunction[IRP_MJ_DEVICE_CONTROL] = DeviceControl;
    return CreateNamed(driver, L"\\Device\\Missing", LINK, 0, &device);
}
