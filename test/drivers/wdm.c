// A WDM function driver: plug and play, power policy, and reads that wait while the device sleeps.
#include "guest.h"

typedef struct {
    PDEVICE_OBJECT Self, Physical, Below;
    UNICODE_STRING Link;
    DEVICE_CAPABILITIES Capabilities;
    DEVICE_POWER_STATE State;
    KSPIN_LOCK Lock;
    PIRP Waiting;
    LONG Sleeps;
} EXTENSION, *PEXTENSION;

static const GUID s_interface = { 0x6fa1e0a1, 0x0b8c, 0x4f0e, { 0x9c, 0x5d, 0x41, 0x7e, 0x22, 0x10, 0x33, 0x01 } };

static NTSTATUS NTAPI Signal(PDEVICE_OBJECT device, PIRP irp, PVOID context)
{
    KeSetEvent(context, IO_NO_INCREMENT, FALSE);
    return STATUS_MORE_PROCESSING_REQUIRED;
}

static NTSTATUS Forward(PEXTENSION x, PIRP irp)
{
    KEVENT done;
    KeInitializeEvent(&done, NotificationEvent, FALSE);
    IoCopyCurrentIrpStackLocationToNext(irp);
    IoSetCompletionRoutine(irp, Signal, &done, TRUE, TRUE, TRUE);
    if (IoCallDriver(x->Below, irp) == STATUS_PENDING)
        KeWaitForSingleObject(&done, Executive, KernelMode, FALSE, NULL);
    return irp->IoStatus.Status;
}

static NTSTATUS Skip(PEXTENSION x, PIRP irp)
{
    IoSkipCurrentIrpStackLocation(irp);
    return IoCallDriver(x->Below, irp);
}

static NTSTATUS Finish(PEXTENSION x, PIRP irp)
{
    ULONG length = IoGetCurrentIrpStackLocation(irp)->Parameters.Read.Length;
    if (length > sizeof x->Sleeps) length = sizeof x->Sleeps;
    RtlCopyMemory(irp->AssociatedIrp.SystemBuffer, &x->Sleeps, length);
    return Complete(irp, STATUS_SUCCESS, length);
}

static void NTAPI CancelRead(PDEVICE_OBJECT device, PIRP irp)
{
    PEXTENSION x = device->DeviceExtension;
    KIRQL irql;
    IoReleaseCancelSpinLock(irp->CancelIrql);
    KeAcquireSpinLock(&x->Lock, &irql);
    if (x->Waiting == irp) x->Waiting = NULL;
    KeReleaseSpinLock(&x->Lock, irql);
    Complete(irp, STATUS_CANCELLED, 0);
}

// A read waits for the device's next sleep to be over, and tells how often it has slept.
static NTSTATUS NTAPI Read(PDEVICE_OBJECT device, PIRP irp)
{
    PEXTENSION x = device->DeviceExtension;
    KIRQL irql;
    KeAcquireSpinLock(&x->Lock, &irql);
    if (x->Waiting != NULL) {
        KeReleaseSpinLock(&x->Lock, irql);
        return Complete(irp, STATUS_DEVICE_BUSY, 0);
    }
    IoSetCancelRoutine(irp, CancelRead);
    if (irp->Cancel && IoSetCancelRoutine(irp, NULL) != NULL) {
        KeReleaseSpinLock(&x->Lock, irql);
        return Complete(irp, STATUS_CANCELLED, 0);
    }
    IoMarkIrpPending(irp);
    x->Waiting = irp;
    KeReleaseSpinLock(&x->Lock, irql);
    return STATUS_PENDING;
}

static void EndWaiting(PEXTENSION x)
{
    KIRQL irql;
    PIRP waiting = NULL;
    KeAcquireSpinLock(&x->Lock, &irql);
    if (x->Waiting != NULL && IoSetCancelRoutine(x->Waiting, NULL) != NULL) {
        waiting = x->Waiting;
        x->Waiting = NULL;
    }
    KeReleaseSpinLock(&x->Lock, irql);
    if (waiting != NULL) Complete(waiting, STATUS_CANCELLED, 0);
}

static void Awake(PEXTENSION x)
{
    KIRQL irql;
    PIRP irp = NULL;
    KeAcquireSpinLock(&x->Lock, &irql);
    x->Sleeps++;
    if (x->Waiting != NULL && IoSetCancelRoutine(x->Waiting, NULL) != NULL) {
        irp = x->Waiting;
        x->Waiting = NULL;
    }
    KeReleaseSpinLock(&x->Lock, irql);
    if (irp != NULL) Finish(x, irp);
}

static void NTAPI DeviceDone(PDEVICE_OBJECT device, UCHAR minor, POWER_STATE state, PVOID context, PIO_STATUS_BLOCK io)
{
    PIRP irp = context;
    // Power up: the system's IRP did not wait for the device's.
    if (irp != NULL) Complete(irp, irp->IoStatus.Status, 0);
}

// The system's IRP comes back from below: now the device follows it.
static NTSTATUS NTAPI SystemDone(PDEVICE_OBJECT device, PIRP irp, PVOID context)
{
    PEXTENSION x = context;
    PIO_STACK_LOCATION at = IoGetCurrentIrpStackLocation(irp);
    POWER_STATE state;
    if (irp->PendingReturned) IoMarkIrpPending(irp);
    if (!NT_SUCCESS(irp->IoStatus.Status)) return STATUS_CONTINUE_COMPLETION;
    state.DeviceState = x->Capabilities.DeviceState[at->Parameters.Power.State.SystemState];
    if (at->Parameters.Power.State.SystemState == PowerSystemWorking) {
        PoRequestPowerIrp(x->Physical, IRP_MN_SET_POWER, state, DeviceDone, NULL, NULL);
        return STATUS_CONTINUE_COMPLETION;
    }
    PoRequestPowerIrp(x->Physical, at->MinorFunction, state, DeviceDone, irp, NULL);
    return STATUS_MORE_PROCESSING_REQUIRED;
}

static NTSTATUS NTAPI DeviceUp(PDEVICE_OBJECT device, PIRP irp, PVOID context)
{
    PEXTENSION x = context;
    POWER_STATE state;
    if (irp->PendingReturned) IoMarkIrpPending(irp);
    state.DeviceState = x->State = PowerDeviceD0;
    PoSetPowerState(x->Self, DevicePowerState, state);
    Awake(x);
    return STATUS_CONTINUE_COMPLETION;
}

static NTSTATUS NTAPI Power(PDEVICE_OBJECT device, PIRP irp)
{
    PEXTENSION x = device->DeviceExtension;
    PIO_STACK_LOCATION at = IoGetCurrentIrpStackLocation(irp);
    UCHAR minor = at->MinorFunction;
    PoStartNextPowerIrp(irp);
    if (minor != IRP_MN_SET_POWER && minor != IRP_MN_QUERY_POWER) {
        IoSkipCurrentIrpStackLocation(irp);
        return PoCallDriver(x->Below, irp);
    }
    if (at->Parameters.Power.Type == SystemPowerState) {
        IoMarkIrpPending(irp);
        IoCopyCurrentIrpStackLocationToNext(irp);
        IoSetCompletionRoutine(irp, SystemDone, x, TRUE, TRUE, TRUE);
        PoCallDriver(x->Below, irp);
        return STATUS_PENDING;
    }
    if (minor == IRP_MN_SET_POWER && at->Parameters.Power.State.DeviceState == PowerDeviceD0) {
        IoMarkIrpPending(irp);
        IoCopyCurrentIrpStackLocationToNext(irp);
        IoSetCompletionRoutine(irp, DeviceUp, x, TRUE, TRUE, TRUE);
        PoCallDriver(x->Below, irp);
        return STATUS_PENDING;
    }
    if (minor == IRP_MN_SET_POWER) {
        PoSetPowerState(device, DevicePowerState, at->Parameters.Power.State);
        x->State = at->Parameters.Power.State.DeviceState;
    }
    IoSkipCurrentIrpStackLocation(irp);
    return PoCallDriver(x->Below, irp);
}

static NTSTATUS Remove(PEXTENSION x, PIRP irp)
{
    NTSTATUS status;
    IoSetDeviceInterfaceState(&x->Link, FALSE);
    irp->IoStatus.Status = STATUS_SUCCESS;
    status = Skip(x, irp);
    RtlFreeUnicodeString(&x->Link);
    IoDetachDevice(x->Below);
    IoDeleteDevice(x->Self);
    return status;
}

static NTSTATUS NTAPI Pnp(PDEVICE_OBJECT device, PIRP irp)
{
    PEXTENSION x = device->DeviceExtension;
    PIO_STACK_LOCATION at = IoGetCurrentIrpStackLocation(irp);
    NTSTATUS status;
    switch (at->MinorFunction) {
    case IRP_MN_START_DEVICE:
        status = Forward(x, irp);
        if (NT_SUCCESS(status)) IoSetDeviceInterfaceState(&x->Link, TRUE);
        return Complete(irp, status, 0);
    case IRP_MN_QUERY_CAPABILITIES:
        status = Forward(x, irp);
        if (NT_SUCCESS(status)) x->Capabilities = *at->Parameters.DeviceCapabilities.Capabilities;
        return Complete(irp, status, 0);
    case IRP_MN_REMOVE_DEVICE:
        return Remove(x, irp);
    case IRP_MN_SURPRISE_REMOVAL:
        EndWaiting(x);
        irp->IoStatus.Status = STATUS_SUCCESS;
        return Skip(x, irp);
    case IRP_MN_QUERY_REMOVE_DEVICE: case IRP_MN_CANCEL_REMOVE_DEVICE: case IRP_MN_QUERY_STOP_DEVICE:
    case IRP_MN_CANCEL_STOP_DEVICE: case IRP_MN_STOP_DEVICE:
        irp->IoStatus.Status = STATUS_SUCCESS;
        return Skip(x, irp);
    default:
        return Skip(x, irp);
    }
}

static NTSTATUS NTAPI SystemControl(PDEVICE_OBJECT device, PIRP irp)
{
    return Skip(device->DeviceExtension, irp);
}

static NTSTATUS NTAPI CreateClose(PDEVICE_OBJECT device, PIRP irp)
{
    return Complete(irp, STATUS_SUCCESS, 0);
}

static NTSTATUS NTAPI Cleanup(PDEVICE_OBJECT device, PIRP irp)
{
    EndWaiting(device->DeviceExtension);
    return Complete(irp, STATUS_SUCCESS, 0);
}

static NTSTATUS NTAPI AddDevice(PDRIVER_OBJECT driver, PDEVICE_OBJECT physical)
{
    PDEVICE_OBJECT device;
    PEXTENSION x;
    NTSTATUS status = IoCreateDevice(driver, sizeof(EXTENSION), NULL, FILE_DEVICE_UNKNOWN, FILE_DEVICE_SECURE_OPEN,
        FALSE, &device);
    if (!NT_SUCCESS(status)) return status;
    x = device->DeviceExtension;
    x->Self = device;
    x->Physical = physical;
    x->State = PowerDeviceD0;
    KeInitializeSpinLock(&x->Lock);
    status = IoRegisterDeviceInterface(physical, &s_interface, NULL, &x->Link);
    if (NT_SUCCESS(status)) {
        x->Below = IoAttachDeviceToDeviceStack(device, physical);
        if (x->Below == NULL) {
            RtlFreeUnicodeString(&x->Link);
            status = STATUS_NO_SUCH_DEVICE;
        }
    }
    if (!NT_SUCCESS(status)) {
        IoDeleteDevice(device);
        return status;
    }
    device->Flags |= DO_BUFFERED_IO | (x->Below->Flags & DO_POWER_PAGABLE);
    device->Flags &= ~DO_DEVICE_INITIALIZING;
    return STATUS_SUCCESS;
}

static void NTAPI Unload(PDRIVER_OBJECT driver)
{
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path)
{
    driver->MajorFunction[IRP_MJ_CREATE] = CreateClose;
    driver->MajorFunction[IRP_MJ_CLOSE] = CreateClose;
    driver->MajorFunction[IRP_MJ_CLEANUP] = Cleanup;
    driver->MajorFunction[IRP_MJ_READ] = Read;
    driver->MajorFunction[IRP_MJ_PNP] = Pnp;
    driver->MajorFunction[IRP_MJ_POWER] = Power;
    driver->MajorFunction[IRP_MJ_SYSTEM_CONTROL] = SystemControl;
    driver->DriverExtension->AddDevice = AddDevice;
    driver->DriverUnload = Unload;
    return STATUS_SUCCESS;
}
