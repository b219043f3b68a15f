// What the function drivers of devices here share: a place in the stack, an interface by which programs open them, the
// answers to plug and play and power. A driver says what it does when its hardware is there and when it goes.
#pragma once
#include "sample.h"

// The first thing in a device's extension.
typedef struct {
    PDEVICE_OBJECT Self, Below, Physical;
    IO_REMOVE_LOCK RemoveLock;
    // Held by who uses the hardware; run down while the device is stopped, without power, or gone.
    EX_RUNDOWN_REF Use;
    UNICODE_STRING Link;
    BOOLEAN Started, HasPower, Usable, Gone;
} PLUG, *PPLUG;

// The driver's own: takes the resources that it was given.
static NTSTATUS Start(PPLUG x, PIO_STACK_LOCATION location);
// Gives them back: nobody uses the hardware any more. Also after a start that failed, and, with Gone set, of a device that
// does not run: what still waits for it ends.
static void Stop(PPLUG x);
// The device has started, or has its power back; or it is about to lose that. Nobody uses the hardware meanwhile.
static void SetPower(PPLUG x, BOOLEAN on);
// May the resources be taken away?
static BOOLEAN MayStop(PPLUG x);
// The last thing before the device object goes.
static void Removed(PPLUG x);
// A control code: only while the device runs and has power. One that is pending ends later, by PlugFinish.
static NTSTATUS Control(PPLUG x, PIRP irp, PIO_STACK_LOCATION location, PULONG_PTR information);

static NTSTATUS PlugFinish(PPLUG x, PIRP irp, NTSTATUS status, ULONG_PTR information)
{
    Complete(irp, status, information);
    IoReleaseRemoveLock(&x->RemoveLock, irp);
    return status;
}

static NTSTATUS PlugPass(PPLUG x, PIRP irp)
{
    IoSkipCurrentIrpStackLocation(irp);
    NTSTATUS status = IoCallDriver(x->Below, irp);
    IoReleaseRemoveLock(&x->RemoveLock, irp);
    return status;
}

// Plug and play and power send one IRP at a time that comes here.
static void PlugSetUse(PPLUG x)
{
    BOOLEAN usable = x->Started && x->HasPower;
    if (usable == x->Usable) return;
    x->Usable = usable;
    if (usable) ExReInitializeRundownProtection(&x->Use);
    else ExWaitForRundownProtectionRelease(&x->Use);
}

static void PlugStop(PPLUG x)
{
    if (!x->Started && !x->Gone) return;
    x->Started = FALSE;
    PlugSetUse(x);
    Stop(x);
}

static void PlugGone(PPLUG x)
{
    IoSetDeviceInterfaceState(&x->Link, FALSE);
    x->Gone = TRUE;
    PlugStop(x);
}

static NTSTATUS PlugStart(PPLUG x, PIRP irp)
{
    if (!IoForwardIrpSynchronously(x->Below, irp)) return PlugFinish(x, irp, STATUS_UNSUCCESSFUL, 0);
    NTSTATUS status = irp->IoStatus.Status;
    if (!NT_SUCCESS(status)) return PlugFinish(x, irp, status, 0);
    status = Start(x, IoGetCurrentIrpStackLocation(irp));
    if (!NT_SUCCESS(status)) {
        Stop(x);
        return PlugFinish(x, irp, status, 0);
    }
    POWER_STATE d0 = { .DeviceState = PowerDeviceD0 };
    PoSetPowerState(x->Self, DevicePowerState, d0);
    x->Started = x->HasPower = TRUE;
    SetPower(x, TRUE);
    PlugSetUse(x);
    IoSetDeviceInterfaceState(&x->Link, TRUE);
    return PlugFinish(x, irp, status, 0);
}

static NTSTATUS PlugRemove(PPLUG x, PIRP irp)
{
    PDEVICE_OBJECT below = x->Below;
    PlugGone(x);
    irp->IoStatus.Status = STATUS_SUCCESS;
    IoSkipCurrentIrpStackLocation(irp);
    NTSTATUS status = IoCallDriver(below, irp);
    IoReleaseRemoveLockAndWait(&x->RemoveLock, irp);
    Removed(x);
    RtlFreeUnicodeString(&x->Link);
    IoDetachDevice(below);
    IoDeleteDevice(x->Self);
    return status;
}

static NTSTATUS NTAPI PlugPnp(PDEVICE_OBJECT device, PIRP irp)
{
    PPLUG x = device->DeviceExtension;
    UCHAR minor = IoGetCurrentIrpStackLocation(irp)->MinorFunction;
    NTSTATUS status = IoAcquireRemoveLock(&x->RemoveLock, irp);
    if (!NT_SUCCESS(status)) return Complete(irp, status, 0);
    switch (minor) {
    case IRP_MN_START_DEVICE:
        return PlugStart(x, irp);
    case IRP_MN_QUERY_STOP_DEVICE:
        if (!MayStop(x)) return PlugFinish(x, irp, STATUS_DEVICE_BUSY, 0);
        break;
    case IRP_MN_STOP_DEVICE:
        PlugStop(x);
        break;
    case IRP_MN_SURPRISE_REMOVAL:
        PlugGone(x);
        break;
    case IRP_MN_QUERY_REMOVE_DEVICE:
    case IRP_MN_CANCEL_REMOVE_DEVICE:
    case IRP_MN_CANCEL_STOP_DEVICE:
        break;
    case IRP_MN_REMOVE_DEVICE:
        return PlugRemove(x, irp);
    default:
        return PlugPass(x, irp);
    }
    irp->IoStatus.Status = STATUS_SUCCESS;
    return PlugPass(x, irp);
}

// The device's own power IRP is done; now the system's, for which it was asked, goes on to its end.
static void NTAPI PlugDevicePowered(PDEVICE_OBJECT device, UCHAR minor, POWER_STATE state, PVOID context,
    PIO_STATUS_BLOCK iosb)
{
    PIRP irp = context;
    PPLUG x = IoGetCurrentIrpStackLocation(irp)->DeviceObject->DeviceExtension;
    PoStartNextPowerIrp(irp);
    PlugFinish(x, irp, iosb->Status, 0);
}

// The policy owner makes of the system's state one of its device.
static NTSTATUS NTAPI PlugSystemPowered(PDEVICE_OBJECT device, PIRP irp, PVOID context)
{
    PPLUG x = context;
    PIO_STACK_LOCATION location = IoGetCurrentIrpStackLocation(irp);
    POWER_STATE state;
    state.DeviceState = location->Parameters.Power.State.SystemState == PowerSystemWorking ? PowerDeviceD0
        : PowerDeviceD3;
    if (irp->PendingReturned) IoMarkIrpPending(irp);
    NTSTATUS status = irp->IoStatus.Status;
    if (NT_SUCCESS(status))
        status = PoRequestPowerIrp(x->Physical, location->MinorFunction, state, PlugDevicePowered, irp, NULL);
    if (status == STATUS_PENDING) return STATUS_MORE_PROCESSING_REQUIRED;
    irp->IoStatus.Status = status;
    PoStartNextPowerIrp(irp);
    IoReleaseRemoveLock(&x->RemoveLock, irp);
    return STATUS_CONTINUE_COMPLETION;
}

static NTSTATUS NTAPI PlugPoweredUp(PDEVICE_OBJECT device, PIRP irp, PVOID context)
{
    PPLUG x = context;
    POWER_STATE d0 = { .DeviceState = PowerDeviceD0 };
    if (irp->PendingReturned) IoMarkIrpPending(irp);
    if (NT_SUCCESS(irp->IoStatus.Status)) {
        PoSetPowerState(x->Self, DevicePowerState, d0);
        x->HasPower = TRUE;
        if (x->Started) SetPower(x, TRUE);
        PlugSetUse(x);
    }
    PoStartNextPowerIrp(irp);
    IoReleaseRemoveLock(&x->RemoveLock, irp);
    return STATUS_CONTINUE_COMPLETION;
}

static NTSTATUS PlugAfter(PPLUG x, PIRP irp, PIO_COMPLETION_ROUTINE then)
{
    IoMarkIrpPending(irp);
    IoCopyCurrentIrpStackLocationToNext(irp);
    IoSetCompletionRoutine(irp, then, x, TRUE, TRUE, TRUE);
    PoCallDriver(x->Below, irp);
    return STATUS_PENDING;
}

// At PASSIVE_LEVEL: the devices here are pageable ones.
static NTSTATUS NTAPI PlugPower(PDEVICE_OBJECT device, PIRP irp)
{
    PPLUG x = device->DeviceExtension;
    PIO_STACK_LOCATION location = IoGetCurrentIrpStackLocation(irp);
    BOOLEAN isSet = location->MinorFunction == IRP_MN_SET_POWER;
    NTSTATUS status = IoAcquireRemoveLock(&x->RemoveLock, irp);
    if (!NT_SUCCESS(status)) {
        PoStartNextPowerIrp(irp);
        return Complete(irp, status, 0);
    }
    if ((isSet || location->MinorFunction == IRP_MN_QUERY_POWER)
        && location->Parameters.Power.Type == SystemPowerState) return PlugAfter(x, irp, PlugSystemPowered);
    if (isSet && location->Parameters.Power.State.DeviceState == PowerDeviceD0) return PlugAfter(x, irp, PlugPoweredUp);
    if (isSet) {
        x->HasPower = FALSE;
        PlugSetUse(x);
        if (x->Started) SetPower(x, FALSE);
        PoSetPowerState(device, DevicePowerState, location->Parameters.Power.State);
    }
    PoStartNextPowerIrp(irp);
    IoSkipCurrentIrpStackLocation(irp);
    status = PoCallDriver(x->Below, irp);
    IoReleaseRemoveLock(&x->RemoveLock, irp);
    return status;
}

static NTSTATUS NTAPI PlugSystemControl(PDEVICE_OBJECT device, PIRP irp)
{
    PPLUG x = device->DeviceExtension;
    NTSTATUS status = IoAcquireRemoveLock(&x->RemoveLock, irp);
    if (!NT_SUCCESS(status)) return Complete(irp, status, 0);
    return PlugPass(x, irp);
}

static NTSTATUS NTAPI PlugCreate(PDEVICE_OBJECT device, PIRP irp)
{
    PPLUG x = device->DeviceExtension;
    return Complete(irp, x->Started ? STATUS_SUCCESS : STATUS_DEVICE_NOT_READY, 0);
}

// The end of the hardware's use waits for whoever is in here.
static NTSTATUS NTAPI PlugControl(PDEVICE_OBJECT device, PIRP irp)
{
    PPLUG x = device->DeviceExtension;
    ULONG_PTR information = 0;
    NTSTATUS status = IoAcquireRemoveLock(&x->RemoveLock, irp);
    if (!NT_SUCCESS(status)) return Complete(irp, status, 0);
    if (!ExAcquireRundownProtection(&x->Use)) return PlugFinish(x, irp, STATUS_DEVICE_NOT_READY, 0);
    status = Control(x, irp, IoGetCurrentIrpStackLocation(irp), &information);
    ExReleaseRundownProtection(&x->Use);
    return status == STATUS_PENDING ? status : PlugFinish(x, irp, status, information);
}

// A device object on top of the stack, with an interface. The driver finishes it, and takes DO_DEVICE_INITIALIZING off.
static NTSTATUS PlugAdd(PDRIVER_OBJECT driver, PDEVICE_OBJECT physical, ULONG extension, ULONG type, const GUID *guid,
    PDEVICE_OBJECT *made)
{
    NTSTATUS status = IoCreateDevice(driver, extension, NULL, type, FILE_DEVICE_SECURE_OPEN, FALSE, made);
    if (!NT_SUCCESS(status)) return status;
    PPLUG x = (*made)->DeviceExtension;
    x->Self = *made;
    x->Physical = physical;
    IoInitializeRemoveLock(&x->RemoveLock, TAG, 0, 0);
    ExInitializeRundownProtection(&x->Use);
    ExWaitForRundownProtectionRelease(&x->Use);
    status = IoRegisterDeviceInterface(physical, guid, NULL, &x->Link);
    if (NT_SUCCESS(status)) {
        x->Below = IoAttachDeviceToDeviceStack(*made, physical);
        if (x->Below != NULL) {
            (*made)->Flags |= DO_BUFFERED_IO | (x->Below->Flags & DO_POWER_PAGABLE);
            return STATUS_SUCCESS;
        }
        RtlFreeUnicodeString(&x->Link);
        status = STATUS_NO_SUCH_DEVICE;
    }
    IoDeleteDevice(*made);
    return status;
}

static void NTAPI PlugUnload(PDRIVER_OBJECT driver)
{
}

static inline void PlugSet(PDRIVER_OBJECT driver, PDRIVER_ADD_DEVICE add)
{
    SetOpenClose(driver);
    driver->MajorFunction[IRP_MJ_CREATE] = PlugCreate;
    driver->MajorFunction[IRP_MJ_DEVICE_CONTROL] = PlugControl;
    driver->MajorFunction[IRP_MJ_PNP] = PlugPnp;
    driver->MajorFunction[IRP_MJ_POWER] = PlugPower;
    driver->MajorFunction[IRP_MJ_SYSTEM_CONTROL] = PlugSystemControl;
    driver->DriverExtension->AddDevice = add;
    driver->DriverUnload = PlugUnload;
}
