// A provider of WMI data by wmilib.sys: two counters, with a method that takes its time, and an event.
#include <wdm.h>
#define INITGUID
#include <initguid.h>
#include <wmistr.h>
#include <wmilib.h>

#define TAG 'imWR'
#define COUNTERS 2
#define METHOD_LATER 1
#define METHOD_FIRE 2

DEFINE_GUID(GUID_COUNTER, 0x6f0c3a52, 0x8c55, 0x4c39, 0x9f, 0x3d, 0x52, 0x49, 0x4e, 0x47, 0x57, 0x4d);

typedef struct {
    ULONG Value, Limit;
} COUNTER;

static COUNTER Counters[COUNTERS] = { { 1, 10 }, { 2, 20 } };
static PDEVICE_OBJECT Device;
static KTIMER Timer;
static KDPC Dpc;
// The method that is at work.
static PIRP Working;
static LONG Events, Collections;

static NTSTATUS Finish(PIRP irp, NTSTATUS status, ULONG used)
{
    return WmiCompleteRequest(Device, irp, status, used, IO_NO_INCREMENT);
}

static NTSTATUS NTAPI QueryRegInfo(PDEVICE_OBJECT device, ULONG *flags, PUNICODE_STRING name,
    PUNICODE_STRING *registryPath, PUNICODE_STRING mof, PDEVICE_OBJECT *physical)
{
    static const WCHAR base[] = L"Counter";
    name->Buffer = ExAllocatePoolWithTag(PagedPool, sizeof(base), TAG);
    if (name->Buffer == NULL) return STATUS_INSUFFICIENT_RESOURCES;
    RtlCopyMemory(name->Buffer, base, sizeof(base));
    name->Length = sizeof(base) - sizeof(WCHAR);
    name->MaximumLength = sizeof(base);
    *flags = WMIREG_FLAG_INSTANCE_BASENAME;
    return STATUS_SUCCESS;
}

static NTSTATUS NTAPI QueryDataBlock(PDEVICE_OBJECT device, PIRP irp, ULONG guid, ULONG instance, ULONG count,
    PULONG lengths, ULONG available, PUCHAR buffer)
{
    ULONG needed = count * sizeof(COUNTER);
    if (available < needed) return Finish(irp, STATUS_BUFFER_TOO_SMALL, needed);
    for (ULONG i = 0; i < count; i++) {
        ((COUNTER *)buffer)[i] = Counters[instance + i];
        lengths[i] = sizeof(COUNTER);
    }
    return Finish(irp, STATUS_SUCCESS, needed);
}

static NTSTATUS NTAPI SetDataBlock(PDEVICE_OBJECT device, PIRP irp, ULONG guid, ULONG instance, ULONG size,
    PUCHAR buffer)
{
    if (size != sizeof(COUNTER)) return Finish(irp, STATUS_WMI_SET_FAILURE, 0);
    Counters[instance] = *(COUNTER *)buffer;
    return Finish(irp, STATUS_SUCCESS, 0);
}

static NTSTATUS NTAPI SetDataItem(PDEVICE_OBJECT device, PIRP irp, ULONG guid, ULONG instance, ULONG item, ULONG size,
    PUCHAR buffer)
{
    if (size != sizeof(ULONG)) return Finish(irp, STATUS_WMI_SET_FAILURE, 0);
    if (item != 2) return Finish(irp, item == 1 ? STATUS_WMI_READ_ONLY : STATUS_WMI_ITEMID_NOT_FOUND, 0);
    Counters[instance].Limit = *(PULONG)buffer;
    return Finish(irp, STATUS_SUCCESS, 0);
}

static void NTAPI Later(PKDPC dpc, PVOID context, PVOID argument1, PVOID argument2)
{
    PIRP irp = InterlockedExchangePointer((PVOID *)&Working, NULL);
    Finish(irp, STATUS_SUCCESS, sizeof(ULONG));
}

static NTSTATUS Fire(ULONG instance)
{
    COUNTER *data = ExAllocatePoolWithTag(NonPagedPool, sizeof(COUNTER), TAG);
    if (data == NULL) return STATUS_INSUFFICIENT_RESOURCES;
    *data = Counters[instance];
    return WmiFireEvent(Device, (LPGUID)&GUID_COUNTER, instance, sizeof(COUNTER), data);
}

static NTSTATUS NTAPI ExecuteMethod(PDEVICE_OBJECT device, PIRP irp, ULONG guid, ULONG instance, ULONG method,
    ULONG inSize, ULONG outSize, PUCHAR buffer)
{
    LARGE_INTEGER due;
    if (method == METHOD_FIRE) return Finish(irp, Fire(instance), 0);
    if (method != METHOD_LATER) return Finish(irp, STATUS_WMI_ITEMID_NOT_FOUND, 0);
    if (inSize < sizeof(ULONG)) return Finish(irp, STATUS_INVALID_PARAMETER_MIX, 0);
    if (outSize < sizeof(ULONG)) return Finish(irp, STATUS_BUFFER_TOO_SMALL, sizeof(ULONG));
    *(PULONG)buffer = Counters[instance].Value += *(PULONG)buffer;
    IoMarkIrpPending(irp);
    Working = irp;
    due.QuadPart = -10 * 1000;
    KeSetTimer(&Timer, due, &Dpc);
    return STATUS_PENDING;
}

static NTSTATUS NTAPI FunctionControl(PDEVICE_OBJECT device, PIRP irp, ULONG guid, WMIENABLEDISABLECONTROL function,
    BOOLEAN enable)
{
    InterlockedExchangeAdd(function == WmiEventControl ? &Events : &Collections, enable ? 1 : -1);
    return Finish(irp, STATUS_SUCCESS, 0);
}

static WMIGUIDREGINFO Guids[] = { { (LPCGUID)&GUID_COUNTER, COUNTERS, WMIREG_FLAG_EXPENSIVE } };

static WMILIB_CONTEXT Context = { 1, Guids, QueryRegInfo, QueryDataBlock, SetDataBlock, SetDataItem, ExecuteMethod,
    FunctionControl };

static NTSTATUS NTAPI SystemControl(PDEVICE_OBJECT device, PIRP irp)
{
    SYSCTL_IRP_DISPOSITION disposition;
    NTSTATUS status = WmiSystemControl(&Context, device, irp, &disposition);
    if (disposition == IrpProcessed) return status;
    // Nobody is below.
    status = irp->IoStatus.Status;
    IoCompleteRequest(irp, IO_NO_INCREMENT);
    return status;
}

static void NTAPI Unload(PDRIVER_OBJECT driver)
{
    IoWMIRegistrationControl(Device, WMIREG_ACTION_DEREGISTER);
    IoDeleteDevice(Device);
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path)
{
    UNICODE_STRING name = RTL_CONSTANT_STRING(L"\\Device\\RingdownWmi");
    driver->MajorFunction[IRP_MJ_SYSTEM_CONTROL] = SystemControl;
    driver->DriverUnload = Unload;
    KeInitializeTimer(&Timer);
    KeInitializeDpc(&Dpc, Later, NULL);
    NTSTATUS status = IoCreateDevice(driver, 0, &name, FILE_DEVICE_UNKNOWN, FILE_DEVICE_SECURE_OPEN, FALSE, &Device);
    if (!NT_SUCCESS(status)) return status;
    status = IoWMIRegistrationControl(Device, WMIREG_ACTION_REGISTER);
    if (!NT_SUCCESS(status)) IoDeleteDevice(Device);
    return status;
}
