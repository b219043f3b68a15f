// A serial port: a WDM driver for a 16550 (PNP0501), driven by interrupts. \Device\SerialN, COM(N+1).
#include "serialcontrol.h"

static LONG s_devices;

static void Close(PPORT x)
{
    Abort(x, &x->Reads, STATUS_CANCELLED);
    Abort(x, &x->Writes, STATUS_CANCELLED);
    Abort(x, &x->Waits, STATUS_CANCELLED);
    KIRQL irql = Lock(x);
    x->Mask = x->Events = 0;
    x->Immediate = NO_CHAR;
    Unlock(x, irql);
    SetBreak(x, FALSE);
}

static NTSTATUS Open(PPORT x)
{
    static const SERIAL_CHARS chars = { 0, 0, 0, 0, 0x11, 0x13 };
    if (!x->Started || x->Gone) return STATUS_DEVICE_NOT_READY;
    if (InterlockedIncrement(&x->Opens) > 1) {
        InterlockedDecrement(&x->Opens);
        return STATUS_ACCESS_DENIED;
    }
    RtlZeroMemory(&x->Timeouts, sizeof(x->Timeouts));
    KIRQL irql = Lock(x);
    x->First = x->Count = x->Errors = 0;
    x->Chars = chars;
    x->Flow.ControlHandShake = SERIAL_DTR_CONTROL;
    x->Flow.FlowReplace = SERIAL_RTS_CONTROL;
    x->Flow.XoffLimit = (LONG)(x->RingBytes / 8);
    x->Flow.XonLimit = (LONG)(x->RingBytes / 2);
    x->Control = CONTROL_OUT2;
    x->XoffSent = FALSE;
    x->Holds = 0;
    RtlZeroMemory(&x->Stats, sizeof(x->Stats));
    ApplyFlow(x);
    Unlock(x, irql);
    return STATUS_SUCCESS;
}

static NTSTATUS NTAPI Dispatch(PDEVICE_OBJECT device, PIRP irp)
{
    PPORT x = device->DeviceExtension;
    PIO_STACK_LOCATION at = IoGetCurrentIrpStackLocation(irp);
    ULONG_PTR information = 0;
    NTSTATUS status = IoAcquireRemoveLock(&x->RemoveLock, irp);
    if (!NT_SUCCESS(status)) return Complete(irp, status, 0);
    switch (at->MajorFunction) {
    case IRP_MJ_CREATE:
        return End(x, irp, Open(x), 0);
    case IRP_MJ_CLEANUP:
        Close(x);
        return End(x, irp, STATUS_SUCCESS, 0);
    case IRP_MJ_CLOSE: {
        KIRQL irql = Lock(x);
        SetControl(x, 0, CONTROL_DTR | CONTROL_RTS);
        Unlock(x, irql);
        InterlockedDecrement(&x->Opens);
        return End(x, irp, STATUS_SUCCESS, 0);
    }
    case IRP_MJ_READ:
        return at->Parameters.Read.Length == 0 ? End(x, irp, STATUS_SUCCESS, 0) : Enqueue(x, &x->Reads, irp);
    case IRP_MJ_WRITE:
        return at->Parameters.Write.Length == 0 ? End(x, irp, STATUS_SUCCESS, 0) : Enqueue(x, &x->Writes, irp);
    case IRP_MJ_FLUSH_BUFFERS:
        return Enqueue(x, &x->Writes, irp);
    case IRP_MJ_DEVICE_CONTROL:
        break;
    default:
        return End(x, irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    }
    ULONG input = at->Parameters.DeviceIoControl.InputBufferLength;
    ULONG output = at->Parameters.DeviceIoControl.OutputBufferLength, code = at->Parameters.DeviceIoControl.IoControlCode;
    if (x->Gone) return End(x, irp, STATUS_DEVICE_REMOVED, 0);
    if (code == IOCTL_SERIAL_WAIT_ON_MASK) {
        if (output < sizeof(ULONG)) return End(x, irp, STATUS_BUFFER_TOO_SMALL, 0);
        if (x->Mask == 0) return End(x, irp, STATUS_INVALID_PARAMETER, 0);
        return Enqueue(x, &x->Waits, irp);
    }
    status = Control(x, code, irp->AssociatedIrp.SystemBuffer, input, output, &information);
    return End(x, irp, status, NT_SUCCESS(status) ? information : 0);
}

static NTSTATUS NTAPI SystemControl(PDEVICE_OBJECT device, PIRP irp)
{
    PPORT x = device->DeviceExtension;
    IoSkipCurrentIrpStackLocation(irp);
    return IoCallDriver(x->Lower, irp);
}

// COM1 for the first one; the registry may say another name (PortName in the device's key).
static void MakeLink(PPORT x)
{
    UNICODE_STRING value, serialcomm;
    HANDLE key;
    struct { KEY_VALUE_PARTIAL_INFORMATION Head; WCHAR Rest[32]; } name;
    ULONG length;
    BOOLEAN named = FALSE;
    RtlInitEmptyUnicodeString(&x->Link, x->LinkText, sizeof(x->LinkText));
    RtlAppendUnicodeToString(&x->Link, L"\\DosDevices\\");
    if (NT_SUCCESS(IoOpenDeviceRegistryKey(x->Physical, PLUGPLAY_REGKEY_DEVICE, KEY_READ, &key))) {
        RtlInitUnicodeString(&value, L"PortName");
        RtlZeroMemory(&name, sizeof(name));
        named = NT_SUCCESS(ZwQueryValueKey(key, &value, KeyValuePartialInformation, &name, sizeof(name) - sizeof(WCHAR),
            &length)) && name.Head.Type == REG_SZ
            && NT_SUCCESS(RtlAppendUnicodeToString(&x->Link, (PCWSTR)name.Head.Data));
        ZwClose(key);
    }
    if (!named) {
        RtlAppendUnicodeToString(&x->Link, L"COM");
        x->LinkText[x->Link.Length / sizeof(WCHAR)] = (WCHAR)(x->NameText[x->Name.Length / sizeof(WCHAR) - 1] + 1);
        x->Link.Length += sizeof(WCHAR);
    }
    x->HasLink = NT_SUCCESS(IoCreateSymbolicLink(&x->Link, &x->Name));
    if (!x->HasLink) return;
    RtlInitUnicodeString(&serialcomm, L"SERIALCOMM");
    RtlWriteRegistryValue(RTL_REGISTRY_DEVICEMAP, serialcomm.Buffer, x->NameText, REG_SZ,
        x->LinkText + 12, x->Link.Length - 12 * sizeof(WCHAR) + sizeof(WCHAR));
}

static void DeleteLink(PPORT x)
{
    if (!x->HasLink) return;
    IoDeleteSymbolicLink(&x->Link);
    RtlDeleteRegistryValue(RTL_REGISTRY_DEVICEMAP, L"SERIALCOMM", x->NameText);
    x->HasLink = FALSE;
}

static NTSTATUS Start(PPORT x, PCM_RESOURCE_LIST resources)
{
    PCM_PARTIAL_RESOURCE_DESCRIPTOR interrupt = NULL;
    x->Port = NULL;
    if (resources == NULL || resources->Count != 1) return STATUS_INSUFFICIENT_RESOURCES;
    PCM_PARTIAL_RESOURCE_LIST list = &resources->List[0].PartialResourceList;
    for (ULONG i = 0; i < list->Count; i++) {
        PCM_PARTIAL_RESOURCE_DESCRIPTOR d = &list->PartialDescriptors[i];
        if (d->Type == CmResourceTypePort && d->u.Port.Length >= PORTS && x->Port == NULL)
            x->Port = (PUCHAR)(ULONG_PTR)d->u.Port.Start.QuadPart;
        if (d->Type == CmResourceTypeInterrupt && interrupt == NULL) interrupt = d;
    }
    if (x->Port == NULL || interrupt == NULL) return STATUS_INSUFFICIENT_RESOURCES;
    // A register that keeps what is written shows that somebody is there.
    Out(x, SCRATCH, 0x5A);
    if (In(x, SCRATCH) != 0x5A) return STATUS_NO_SUCH_DEVICE;
    Out(x, ENABLE, 0);
    PKINTERRUPT connected;
    NTSTATUS status = IoConnectInterrupt(&connected, Isr, x, NULL, interrupt->u.Interrupt.Vector,
        (KIRQL)interrupt->u.Interrupt.Level, (KIRQL)interrupt->u.Interrupt.Level,
        (interrupt->Flags & CM_RESOURCE_INTERRUPT_LATCHED) ? Latched : LevelSensitive,
        interrupt->ShareDisposition == CmResourceShareShared, interrupt->u.Interrupt.Affinity, FALSE);
    if (!NT_SUCCESS(status)) return status;
    KIRQL irql;
    KeAcquireSpinLock(&x->Lock, &irql);
    x->Interrupt = connected;
    Enter(x);
    x->Started = x->Powered = TRUE;
    Program(x);
    Unlock(x, irql);
    if (!x->HasLink) MakeLink(x);
    Service(x);
    return STATUS_SUCCESS;
}

// The chip is let go; requests that wait stay where they are.
static void Halt(PPORT x)
{
    if (!x->Started) return;
    KIRQL irql = Lock(x);
    if (Runs(x)) {
        Out(x, ENABLE, 0);
        Out(x, CONTROL, 0);
    }
    x->Started = FALSE;
    Leave(x);
    PKINTERRUPT interrupt = x->Interrupt;
    x->Interrupt = NULL;
    KeReleaseSpinLock(&x->Lock, irql);
    IoDisconnectInterrupt(interrupt);
    KeFlushQueuedDpcs();
}

static void SetGone(PPORT x)
{
    KIRQL irql;
    KeAcquireSpinLock(&x->Lock, &irql);
    x->Gone = TRUE;
    KeReleaseSpinLock(&x->Lock, irql);
    Abort(x, &x->Reads, STATUS_DEVICE_REMOVED);
    Abort(x, &x->Writes, STATUS_DEVICE_REMOVED);
    Abort(x, &x->Waits, STATUS_DEVICE_REMOVED);
    Halt(x);
    DeleteLink(x);
}

static NTSTATUS Remove(PPORT x, PIRP irp)
{
    PDEVICE_OBJECT self = x->Self, lower = x->Lower;
    SetGone(x);
    IoReleaseRemoveLockAndWait(&x->RemoveLock, irp);
    KeCancelTimer(&x->Reads.Timer);
    KeCancelTimer(&x->Writes.Timer);
    KeFlushQueuedDpcs();
    irp->IoStatus.Status = STATUS_SUCCESS;
    IoSkipCurrentIrpStackLocation(irp);
    NTSTATUS status = IoCallDriver(lower, irp);
    IoDetachDevice(lower);
    ExFreePool(x->Ring);
    IoDeleteDevice(self);
    return status;
}

static NTSTATUS NTAPI Pnp(PDEVICE_OBJECT device, PIRP irp)
{
    PPORT x = device->DeviceExtension;
    PIO_STACK_LOCATION at = IoGetCurrentIrpStackLocation(irp);
    NTSTATUS status = IoAcquireRemoveLock(&x->RemoveLock, irp);
    if (!NT_SUCCESS(status)) return Complete(irp, status, 0);
    switch (at->MinorFunction) {
    case IRP_MN_START_DEVICE:
        status = IoForwardIrpSynchronously(x->Lower, irp) ? irp->IoStatus.Status : STATUS_UNSUCCESSFUL;
        if (NT_SUCCESS(status)) status = Start(x, at->Parameters.StartDevice.AllocatedResourcesTranslated);
        return End(x, irp, status, 0);
    case IRP_MN_STOP_DEVICE:
        Halt(x);
        break;
    case IRP_MN_SURPRISE_REMOVAL:
        SetGone(x);
        break;
    case IRP_MN_REMOVE_DEVICE:
        return Remove(x, irp);
    case IRP_MN_QUERY_STOP_DEVICE:
    case IRP_MN_CANCEL_STOP_DEVICE:
    case IRP_MN_QUERY_REMOVE_DEVICE:
    case IRP_MN_CANCEL_REMOVE_DEVICE:
        break;
    default:
        IoSkipCurrentIrpStackLocation(irp);
        status = IoCallDriver(x->Lower, irp);
        IoReleaseRemoveLock(&x->RemoveLock, irp);
        return status;
    }
    irp->IoStatus.Status = STATUS_SUCCESS;
    IoSkipCurrentIrpStackLocation(irp);
    status = IoCallDriver(x->Lower, irp);
    IoReleaseRemoveLock(&x->RemoveLock, irp);
    return status;
}

// Power has come back below: the chip has forgotten everything.
static NTSTATUS NTAPI PoweredUp(PDEVICE_OBJECT device, PIRP irp, PVOID context)
{
    PPORT x = context;
    if (irp->PendingReturned) IoMarkIrpPending(irp);
    if (NT_SUCCESS(irp->IoStatus.Status)) {
        KIRQL irql = Lock(x);
        x->Powered = TRUE;
        if (x->Started) Program(x);
        Unlock(x, irql);
        POWER_STATE state = { .DeviceState = x->Power = PowerDeviceD0 };
        PoSetPowerState(x->Self, DevicePowerState, state);
        // What was on its way is sent on; what is lost in the FIFO is lost.
        irql = Lock(x);
        Kick(x);
        Unlock(x, irql);
        Service(x);
    }
    PoStartNextPowerIrp(irp);
    IoReleaseRemoveLock(&x->RemoveLock, irp);
    return STATUS_CONTINUE_COMPLETION;
}

static void PowerDown(PPORT x, DEVICE_POWER_STATE to)
{
    KIRQL irql = Lock(x);
    if (Runs(x)) Out(x, ENABLE, 0);
    x->Powered = FALSE;
    Unlock(x, irql);
    POWER_STATE state = { .DeviceState = x->Power = to };
    PoSetPowerState(x->Self, DevicePowerState, state);
}

static void NTAPI DevicePowered(PDEVICE_OBJECT device, UCHAR minor, POWER_STATE state, PVOID context,
    PIO_STATUS_BLOCK result)
{
    PIRP irp = context;
    PPORT x = IoGetCurrentIrpStackLocation(irp)->DeviceObject->DeviceExtension;
    PoStartNextPowerIrp(irp);
    irp->IoStatus.Status = result->Status;
    IoCompleteRequest(irp, IO_NO_INCREMENT);
    IoReleaseRemoveLock(&x->RemoveLock, irp);
}

// The system's power is known below: the device follows, and then the system's request ends.
static NTSTATUS NTAPI SystemPowered(PDEVICE_OBJECT device, PIRP irp, PVOID context)
{
    PPORT x = context;
    PIO_STACK_LOCATION at = IoGetCurrentIrpStackLocation(irp);
    POWER_STATE state = { .DeviceState =
        at->Parameters.Power.State.SystemState == PowerSystemWorking ? PowerDeviceD0 : PowerDeviceD3 };
    if (NT_SUCCESS(irp->IoStatus.Status)) {
        IoMarkIrpPending(irp);
        if (NT_SUCCESS(PoRequestPowerIrp(x->Physical, at->MinorFunction, state, DevicePowered, irp, NULL)))
            return STATUS_MORE_PROCESSING_REQUIRED;
    } else if (irp->PendingReturned) IoMarkIrpPending(irp);
    PoStartNextPowerIrp(irp);
    IoReleaseRemoveLock(&x->RemoveLock, irp);
    return STATUS_CONTINUE_COMPLETION;
}

static NTSTATUS NTAPI Power(PDEVICE_OBJECT device, PIRP irp)
{
    PPORT x = device->DeviceExtension;
    PIO_STACK_LOCATION at = IoGetCurrentIrpStackLocation(irp);
    NTSTATUS status = IoAcquireRemoveLock(&x->RemoveLock, irp);
    if (!NT_SUCCESS(status)) {
        PoStartNextPowerIrp(irp);
        return Complete(irp, status, 0);
    }
    BOOLEAN isSet = at->MinorFunction == IRP_MN_SET_POWER, isQuery = at->MinorFunction == IRP_MN_QUERY_POWER;
    if ((isSet || isQuery) && at->Parameters.Power.Type == SystemPowerState) {
        IoCopyCurrentIrpStackLocationToNext(irp);
        IoSetCompletionRoutine(irp, SystemPowered, x, TRUE, TRUE, TRUE);
        IoMarkIrpPending(irp);
        PoCallDriver(x->Lower, irp);
        return STATUS_PENDING;
    }
    if (isSet && at->Parameters.Power.State.DeviceState == PowerDeviceD0) {
        IoCopyCurrentIrpStackLocationToNext(irp);
        IoSetCompletionRoutine(irp, PoweredUp, x, TRUE, TRUE, TRUE);
        IoMarkIrpPending(irp);
        PoCallDriver(x->Lower, irp);
        return STATUS_PENDING;
    }
    if (isSet) PowerDown(x, at->Parameters.Power.State.DeviceState);
    PoStartNextPowerIrp(irp);
    IoSkipCurrentIrpStackLocation(irp);
    status = PoCallDriver(x->Lower, irp);
    IoReleaseRemoveLock(&x->RemoveLock, irp);
    return status;
}

static NTSTATUS NTAPI AddDevice(PDRIVER_OBJECT driver, PDEVICE_OBJECT physical)
{
    WCHAR text[24] = L"\\Device\\Serial0";
    UNICODE_STRING name;
    PDEVICE_OBJECT made;
    LONG number = InterlockedIncrement(&s_devices) - 1;
    text[14] = (WCHAR)(L'0' + number % 9);
    RtlInitUnicodeString(&name, text);
    NTSTATUS status = IoCreateDevice(driver, sizeof(PORT), &name, FILE_DEVICE_SERIAL_PORT, FILE_DEVICE_SECURE_OPEN, FALSE,
        &made);
    if (!NT_SUCCESS(status)) return status;
    PPORT x = made->DeviceExtension;
    x->Self = made;
    x->Physical = physical;
    RtlCopyMemory(x->NameText, text, sizeof(text));
    RtlInitUnicodeString(&x->Name, x->NameText);
    IoInitializeRemoveLock(&x->RemoveLock, TAG, 0, 0);
    KeInitializeSpinLock(&x->Lock);
    KeInitializeDpc(&x->TimeOut, OnTimeOut, x);
    IoInitializeDpcRequest(made, DpcForIsr);
    Initialize(&x->Reads);
    Initialize(&x->Writes);
    Initialize(&x->Waits);
    x->Baud = 1200;
    x->Format = 3;
    x->Control = CONTROL_OUT2;
    x->Immediate = NO_CHAR;
    x->Power = PowerDeviceD0;
    x->RingBytes = LEAST_RING;
    x->Ring = ExAllocatePoolWithTag(NonPagedPool, LEAST_RING, TAG);
    if (x->Ring == NULL) status = STATUS_INSUFFICIENT_RESOURCES;
    else if ((x->Lower = IoAttachDeviceToDeviceStack(made, physical)) == NULL) status = STATUS_NO_SUCH_DEVICE;
    if (!NT_SUCCESS(status)) {
        if (x->Ring != NULL) ExFreePool(x->Ring);
        IoDeleteDevice(made);
        return status;
    }
    made->Flags |= DO_BUFFERED_IO | (x->Lower->Flags & DO_POWER_PAGABLE);
    made->Flags &= ~DO_DEVICE_INITIALIZING;
    return STATUS_SUCCESS;
}

static void NTAPI Unload(PDRIVER_OBJECT driver)
{
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path)
{
    for (int i = 0; i <= IRP_MJ_MAXIMUM_FUNCTION; i++) driver->MajorFunction[i] = Dispatch;
    driver->MajorFunction[IRP_MJ_PNP] = Pnp;
    driver->MajorFunction[IRP_MJ_POWER] = Power;
    driver->MajorFunction[IRP_MJ_SYSTEM_CONTROL] = SystemControl;
    driver->DriverExtension->AddDevice = AddDevice;
    driver->DriverUnload = Unload;
    return STATUS_SUCCESS;
}
