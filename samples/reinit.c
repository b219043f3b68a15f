// A driver that needs another one's device, which may not be there yet: it looks for it again when the drivers that are
// loaded with it are there, at most three times.
#include "sample.h"

#define IOCTL_REINIT_QUERY CTL_CODE(FILE_DEVICE_UNKNOWN, 0x800, METHOD_BUFFERED, FILE_ANY_ACCESS)
#define ROUNDS 3

typedef struct {
    ULONG Count;            // how often it has looked
    NTSTATUS Status;        // what came of it
} REINIT_STATE;

static PDEVICE_OBJECT s_device;
static PFILE_OBJECT s_file;
static REINIT_STATE s_state;

static void NTAPI Reinitialize(PDRIVER_OBJECT driver, PVOID context, ULONG count)
{
    UNICODE_STRING name;
    PDEVICE_OBJECT target;
    RtlInitUnicodeString(&name, L"\\Device\\Echo");
    s_state.Count = count;
    s_state.Status = IoGetDeviceObjectPointer(&name, FILE_READ_DATA, &s_file, &target);
    // Registered for one call: who wants another one registers again.
    if (!NT_SUCCESS(s_state.Status) && count < ROUNDS) IoRegisterDriverReinitialization(driver, Reinitialize, NULL);
}

static NTSTATUS NTAPI DeviceControl(PDEVICE_OBJECT device, PIRP irp)
{
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
    if (stack->Parameters.DeviceIoControl.IoControlCode != IOCTL_REINIT_QUERY)
        return Complete(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    if (stack->Parameters.DeviceIoControl.OutputBufferLength < sizeof(REINIT_STATE))
        return Complete(irp, STATUS_BUFFER_TOO_SMALL, 0);
    *(REINIT_STATE *)irp->AssociatedIrp.SystemBuffer = s_state;
    return Complete(irp, STATUS_SUCCESS, sizeof(REINIT_STATE));
}

static void NTAPI Unload(PDRIVER_OBJECT driver)
{
    if (NT_SUCCESS(s_state.Status)) ObDereferenceObject(s_file);
    DeleteNamed(s_device, L"Reinit");
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path)
{
    s_state.Status = STATUS_NO_SUCH_DEVICE;
    SetOpenClose(driver);
    driver->MajorFunction[IRP_MJ_DEVICE_CONTROL] = DeviceControl;
    driver->DriverUnload = Unload;
    NTSTATUS status = CreateNamed(driver, L"Reinit", 0, 0, &s_device);
    if (!NT_SUCCESS(status)) return status;
    s_device->Flags &= ~DO_DEVICE_INITIALIZING;
    IoRegisterDriverReinitialization(driver, Reinitialize, NULL);
    return STATUS_SUCCESS;
}
