// A filter that keeps one kind of IRP for ever: Keep in its key says which, major function << 8 | minor.
#include "guest.h"

static ULONG s_keep;

static NTSTATUS NTAPI Dispatch(PDEVICE_OBJECT device, PIRP irp)
{
    PDEVICE_OBJECT below = *(PDEVICE_OBJECT *)device->DeviceExtension;
    PIO_STACK_LOCATION at = IoGetCurrentIrpStackLocation(irp);
    BOOLEAN isRemove = at->MajorFunction == IRP_MJ_PNP && at->MinorFunction == IRP_MN_REMOVE_DEVICE;
    if (s_keep == (ULONG)(at->MajorFunction << 8 | at->MinorFunction)) {
        IoMarkIrpPending(irp);
        return STATUS_PENDING;
    }
    if (at->MajorFunction == IRP_MJ_PNP && at->MinorFunction <= IRP_MN_CANCEL_STOP_DEVICE)
        irp->IoStatus.Status = STATUS_SUCCESS;
    if (at->MajorFunction == IRP_MJ_POWER) PoStartNextPowerIrp(irp);
    IoSkipCurrentIrpStackLocation(irp);
    NTSTATUS status = at->MajorFunction == IRP_MJ_POWER ? PoCallDriver(below, irp) : IoCallDriver(below, irp);
    if (isRemove) {
        IoDetachDevice(below);
        IoDeleteDevice(device);
    }
    return status;
}

static NTSTATUS NTAPI AddDevice(PDRIVER_OBJECT driver, PDEVICE_OBJECT physical)
{
    PDEVICE_OBJECT device, below;
    NTSTATUS status = IoCreateDevice(driver, sizeof(PVOID), NULL, FILE_DEVICE_UNKNOWN, FILE_DEVICE_SECURE_OPEN, FALSE,
        &device);
    if (!NT_SUCCESS(status)) return status;
    below = IoAttachDeviceToDeviceStack(device, physical);
    if (below == NULL) {
        IoDeleteDevice(device);
        return STATUS_NO_SUCH_DEVICE;
    }
    *(PDEVICE_OBJECT *)device->DeviceExtension = below;
    device->Flags |= below->Flags & DO_POWER_PAGABLE;
    device->Flags &= ~DO_DEVICE_INITIALIZING;
    return STATUS_SUCCESS;
}

static void NTAPI Unload(PDRIVER_OBJECT driver)
{
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path)
{
    // An entry of zeros ends the table. The path of a key ends with a zero here.
    RTL_QUERY_REGISTRY_TABLE table[2];
    RtlZeroMemory(table, sizeof(table));
    table[0].Flags = RTL_QUERY_REGISTRY_DIRECT;
    table[0].Name = L"Keep";
    table[0].EntryContext = &s_keep;
    RtlQueryRegistryValues(RTL_REGISTRY_ABSOLUTE, path->Buffer, table, NULL, NULL);
    for (int i = 0; i <= IRP_MJ_MAXIMUM_FUNCTION; i++) driver->MajorFunction[i] = Dispatch;
    driver->DriverExtension->AddDevice = AddDevice;
    driver->DriverUnload = Unload;
    return STATUS_SUCCESS;
}
