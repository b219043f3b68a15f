// A function driver: a mailbox for one letter. A write waits until the box is empty, a read until there is a letter.
// While the device is stopped, or without power, requests wait; when it is gone, they fail.
#include "sample.h"
#include <initguid.h>

#define HOLDS 64

// {6f0c3a52-8c55-4c39-9f3d-52494e474631}
DEFINE_GUID(GUID_MAILBOX, 0x6f0c3a52, 0x8c55, 0x4c39, 0x9f, 0x3d, 0x52, 0x49, 0x4e, 0x47, 0x46, 0x31);

typedef enum { NotStarted, Started, Held, Gone } STATE;

typedef struct {
    PDEVICE_OBJECT Self, Below, Physical;
    UNICODE_STRING Link;
    IO_REMOVE_LOCK RemoveLock;
    IO_CSQ Csq;
    KSPIN_LOCK Lock;
    LIST_ENTRY Waiting;
    volatile STATE State, Before;
    volatile BOOLEAN HasPower;
    volatile LONG Pumps;
    ULONG Length;
    UCHAR Letter[HOLDS];
} MAILBOX, *PMAILBOX;

static void NTAPI CsqInsert(PIO_CSQ csq, PIRP irp)
{
    InsertTailList(&CONTAINING_RECORD(csq, MAILBOX, Csq)->Waiting, &irp->Tail.Overlay.ListEntry);
}

// Whoever comes after the device has gone does not get in any more.
static NTSTATUS NTAPI CsqInsertEx(PIO_CSQ csq, PIRP irp, PVOID context)
{
    if (CONTAINING_RECORD(csq, MAILBOX, Csq)->State == Gone) return STATUS_DELETE_PENDING;
    CsqInsert(csq, irp);
    return STATUS_SUCCESS;
}

static void NTAPI CsqRemove(PIO_CSQ csq, PIRP irp)
{
    RemoveEntryList(&irp->Tail.Overlay.ListEntry);
}

typedef struct {
    BOOLEAN Any;
    UCHAR Major;
    PFILE_OBJECT File;
} WANTED;

static PIRP NTAPI CsqPeek(PIO_CSQ csq, PIRP irp, PVOID context)
{
    PMAILBOX x = CONTAINING_RECORD(csq, MAILBOX, Csq);
    WANTED *wanted = context;
    PLIST_ENTRY entry = irp == NULL ? x->Waiting.Flink : irp->Tail.Overlay.ListEntry.Flink;
    for (; entry != &x->Waiting; entry = entry->Flink) {
        PIRP next = CONTAINING_RECORD(entry, IRP, Tail.Overlay.ListEntry);
        PIO_STACK_LOCATION location = IoGetCurrentIrpStackLocation(next);
        if (wanted->File != NULL && location->FileObject != wanted->File) continue;
        if (wanted->Any || location->MajorFunction == wanted->Major) return next;
    }
    return NULL;
}

static void NTAPI CsqAcquire(PIO_CSQ csq, PKIRQL irql)
{
    KeAcquireSpinLock(&CONTAINING_RECORD(csq, MAILBOX, Csq)->Lock, irql);
}

static void NTAPI CsqRelease(PIO_CSQ csq, KIRQL irql)
{
    KeReleaseSpinLock(&CONTAINING_RECORD(csq, MAILBOX, Csq)->Lock, irql);
}

// Each request holds the remove lock from its dispatch to its end.
static void End(PMAILBOX x, PIRP irp, NTSTATUS status, ULONG_PTR information)
{
    Complete(irp, status, information);
    IoReleaseRemoveLock(&x->RemoveLock, irp);
}

static void NTAPI CsqCanceled(PIO_CSQ csq, PIRP irp)
{
    End(CONTAINING_RECORD(csq, MAILBOX, Csq), irp, STATUS_CANCELLED, 0);
}

static void Drain(PMAILBOX x, PFILE_OBJECT file, NTSTATUS status)
{
    WANTED wanted = { TRUE, 0, file };
    PIRP irp;
    while ((irp = IoCsqRemoveNextIrp(&x->Csq, &wanted)) != NULL) End(x, irp, status, 0);
}

static void Serve(PMAILBOX x, PIRP irp)
{
    PIO_STACK_LOCATION location = IoGetCurrentIrpStackLocation(irp);
    BOOLEAN isWrite = location->MajorFunction == IRP_MJ_WRITE;
    ULONG room = isWrite ? location->Parameters.Write.Length : location->Parameters.Read.Length;
    ULONG length = isWrite ? min(room, HOLDS) : min(room, x->Length);
    PVOID buffer = irp->AssociatedIrp.SystemBuffer;
    if (isWrite) RtlCopyMemory(x->Letter, buffer, length);
    else RtlCopyMemory(buffer, x->Letter, length);
    x->Length = isWrite ? length : 0;
    End(x, irp, STATUS_SUCCESS, length);
}

// One at a time serves what waits. Who comes while another one does has it go round once more.
static void Pump(PMAILBOX x)
{
    if (InterlockedIncrement(&x->Pumps) != 1) return;
    LONG seen;
    do {
        seen = x->Pumps;
        while (x->State == Started && x->HasPower) {
            WANTED wanted = { FALSE, x->Length == 0 ? IRP_MJ_WRITE : IRP_MJ_READ, NULL };
            PIRP irp = IoCsqRemoveNextIrp(&x->Csq, &wanted);
            if (irp == NULL) break;
            Serve(x, irp);
        }
    } while (InterlockedCompareExchange(&x->Pumps, 0, seen) != seen);
}

static NTSTATUS NTAPI Transfer(PDEVICE_OBJECT device, PIRP irp)
{
    PMAILBOX x = device->DeviceExtension;
    PIO_STACK_LOCATION location = IoGetCurrentIrpStackLocation(irp);
    NTSTATUS status = IoAcquireRemoveLock(&x->RemoveLock, irp);
    if (!NT_SUCCESS(status)) return Complete(irp, status, 0);
    // Read and write have their length at one place.
    if (location->Parameters.Read.Length == 0) {
        End(x, irp, STATUS_SUCCESS, 0);
        return STATUS_SUCCESS;
    }
    // The queue marks it pending.
    status = IoCsqInsertIrpEx(&x->Csq, irp, NULL, NULL);
    if (!NT_SUCCESS(status)) {
        End(x, irp, status, 0);
        return status;
    }
    Pump(x);
    return STATUS_PENDING;
}

static NTSTATUS NTAPI Cleanup(PDEVICE_OBJECT device, PIRP irp)
{
    Drain(device->DeviceExtension, IoGetCurrentIrpStackLocation(irp)->FileObject, STATUS_CANCELLED);
    return Complete(irp, STATUS_SUCCESS, 0);
}

static NTSTATUS NTAPI Create(PDEVICE_OBJECT device, PIRP irp)
{
    PMAILBOX x = device->DeviceExtension;
    return Complete(irp, x->State == Gone || x->State == NotStarted ? STATUS_NO_SUCH_DEVICE : STATUS_SUCCESS, 0);
}

static NTSTATUS Leave(PMAILBOX x, NTSTATUS status)
{
    if (x->Link.Buffer != NULL) IoSetDeviceInterfaceState(&x->Link, FALSE);
    x->State = Gone;
    Drain(x, NULL, status);
    return STATUS_SUCCESS;
}

static void Resume(PMAILBOX x)
{
    x->State = x->Before;
    Pump(x);
}

static NTSTATUS PassDown(PMAILBOX x, PIRP irp, PVOID tag)
{
    IoSkipCurrentIrpStackLocation(irp);
    NTSTATUS status = IoCallDriver(x->Below, irp);
    IoReleaseRemoveLock(&x->RemoveLock, tag);
    return status;
}

// First the drivers below, then this one.
static NTSTATUS AfterBelow(PMAILBOX x, PIRP irp, UCHAR minor)
{
    if (!IoForwardIrpSynchronously(x->Below, irp)) irp->IoStatus.Status = STATUS_UNSUCCESSFUL;
    NTSTATUS status = irp->IoStatus.Status;
    if (minor == IRP_MN_START_DEVICE && NT_SUCCESS(status)) {
        x->State = Started;
        x->HasPower = TRUE;
        POWER_STATE d0 = { .DeviceState = PowerDeviceD0 };
        PoSetPowerState(x->Self, DevicePowerState, d0);
        IoSetDeviceInterfaceState(&x->Link, TRUE);
        Pump(x);
    } else if (minor != IRP_MN_START_DEVICE && x->State == Held) Resume(x);
    IoCompleteRequest(irp, IO_NO_INCREMENT);
    IoReleaseRemoveLock(&x->RemoveLock, irp);
    return status;
}

static NTSTATUS Remove(PMAILBOX x, PIRP irp)
{
    Leave(x, STATUS_DELETE_PENDING);
    irp->IoStatus.Status = STATUS_SUCCESS;
    IoSkipCurrentIrpStackLocation(irp);
    NTSTATUS status = IoCallDriver(x->Below, irp);
    IoReleaseRemoveLockAndWait(&x->RemoveLock, irp);
    if (x->Link.Buffer != NULL) RtlFreeUnicodeString(&x->Link);
    IoDetachDevice(x->Below);
    IoDeleteDevice(x->Self);
    return status;
}

static NTSTATUS NTAPI Plug(PDEVICE_OBJECT device, PIRP irp)
{
    PMAILBOX x = device->DeviceExtension;
    UCHAR minor = IoGetCurrentIrpStackLocation(irp)->MinorFunction;
    NTSTATUS status = IoAcquireRemoveLock(&x->RemoveLock, irp);
    if (!NT_SUCCESS(status)) return Complete(irp, status, 0);
    switch (minor) {
    case IRP_MN_START_DEVICE:
    case IRP_MN_CANCEL_STOP_DEVICE:
    case IRP_MN_CANCEL_REMOVE_DEVICE:
        return AfterBelow(x, irp, minor);
    case IRP_MN_QUERY_STOP_DEVICE:
    case IRP_MN_QUERY_REMOVE_DEVICE:
        x->Before = x->State;
        x->State = Held;
        break;
    case IRP_MN_STOP_DEVICE:
        x->State = Held;
        break;
    case IRP_MN_SURPRISE_REMOVAL:
        Leave(x, STATUS_NO_SUCH_DEVICE);
        break;
    case IRP_MN_REMOVE_DEVICE:
        return Remove(x, irp);
    default:
        return PassDown(x, irp, irp);
    }
    irp->IoStatus.Status = STATUS_SUCCESS;
    return PassDown(x, irp, irp);
}

// The device's own power IRP is done; now the system's, for which it was asked, goes on to its end.
static void NTAPI DevicePowered(PDEVICE_OBJECT device, UCHAR minor, POWER_STATE state, PVOID context,
    PIO_STATUS_BLOCK iosb)
{
    PIRP irp = context;
    PMAILBOX x = IoGetCurrentIrpStackLocation(irp)->DeviceObject->DeviceExtension;
    PoStartNextPowerIrp(irp);
    IoCompleteRequest(irp, IO_NO_INCREMENT);
    IoReleaseRemoveLock(&x->RemoveLock, irp);
}

// The policy owner makes of the system's state one of its device.
static NTSTATUS NTAPI SystemPowered(PDEVICE_OBJECT device, PIRP irp, PVOID context)
{
    PMAILBOX x = context;
    PIO_STACK_LOCATION location = IoGetCurrentIrpStackLocation(irp);
    POWER_STATE state;
    state.DeviceState = location->Parameters.Power.State.SystemState == PowerSystemWorking ? PowerDeviceD0
        : PowerDeviceD3;
    if (irp->PendingReturned) IoMarkIrpPending(irp);
    NTSTATUS status = NT_SUCCESS(irp->IoStatus.Status)
        ? PoRequestPowerIrp(x->Physical, location->MinorFunction, state, DevicePowered, irp, NULL)
        : irp->IoStatus.Status;
    if (status == STATUS_PENDING) return STATUS_MORE_PROCESSING_REQUIRED;
    PoStartNextPowerIrp(irp);
    IoReleaseRemoveLock(&x->RemoveLock, irp);
    return STATUS_CONTINUE_COMPLETION;
}

static NTSTATUS NTAPI PoweredUp(PDEVICE_OBJECT device, PIRP irp, PVOID context)
{
    PMAILBOX x = context;
    if (irp->PendingReturned) IoMarkIrpPending(irp);
    POWER_STATE d0 = { .DeviceState = PowerDeviceD0 };
    PoSetPowerState(x->Self, DevicePowerState, d0);
    x->HasPower = TRUE;
    Pump(x);
    PoStartNextPowerIrp(irp);
    IoReleaseRemoveLock(&x->RemoveLock, irp);
    return STATUS_CONTINUE_COMPLETION;
}

static NTSTATUS Down(PMAILBOX x, PIRP irp, PIO_COMPLETION_ROUTINE then)
{
    IoMarkIrpPending(irp);
    IoCopyCurrentIrpStackLocationToNext(irp);
    IoSetCompletionRoutine(irp, then, x, TRUE, TRUE, TRUE);
    PoCallDriver(x->Below, irp);
    return STATUS_PENDING;
}

static NTSTATUS NTAPI Power(PDEVICE_OBJECT device, PIRP irp)
{
    PMAILBOX x = device->DeviceExtension;
    PIO_STACK_LOCATION location = IoGetCurrentIrpStackLocation(irp);
    BOOLEAN isSet = location->MinorFunction == IRP_MN_SET_POWER, isQuery = location->MinorFunction == IRP_MN_QUERY_POWER;
    NTSTATUS status = IoAcquireRemoveLock(&x->RemoveLock, irp);
    if (!NT_SUCCESS(status)) {
        PoStartNextPowerIrp(irp);
        return Complete(irp, status, 0);
    }
    if ((isSet || isQuery) && location->Parameters.Power.Type == SystemPowerState) return Down(x, irp, SystemPowered);
    if (isSet && location->Parameters.Power.State.DeviceState == PowerDeviceD0) return Down(x, irp, PoweredUp);
    if (isSet) {
        // What comes from now on waits until the power is back.
        x->HasPower = FALSE;
        PoSetPowerState(device, DevicePowerState, location->Parameters.Power.State);
    }
    PoStartNextPowerIrp(irp);
    IoSkipCurrentIrpStackLocation(irp);
    status = PoCallDriver(x->Below, irp);
    IoReleaseRemoveLock(&x->RemoveLock, irp);
    return status;
}

static NTSTATUS NTAPI SystemControl(PDEVICE_OBJECT device, PIRP irp)
{
    PMAILBOX x = device->DeviceExtension;
    NTSTATUS status = IoAcquireRemoveLock(&x->RemoveLock, irp);
    if (!NT_SUCCESS(status)) return Complete(irp, status, 0);
    return PassDown(x, irp, irp);
}

static NTSTATUS NTAPI AddDevice(PDRIVER_OBJECT driver, PDEVICE_OBJECT physical)
{
    PDEVICE_OBJECT device;
    NTSTATUS status = IoCreateDevice(driver, sizeof(MAILBOX), NULL, FILE_DEVICE_UNKNOWN, FILE_DEVICE_SECURE_OPEN, FALSE,
        &device);
    if (!NT_SUCCESS(status)) return status;
    PMAILBOX x = device->DeviceExtension;
    x->Self = device;
    x->Physical = physical;
    InitializeListHead(&x->Waiting);
    KeInitializeSpinLock(&x->Lock);
    IoInitializeRemoveLock(&x->RemoveLock, TAG, 0, 0);
    IoCsqInitializeEx(&x->Csq, CsqInsertEx, CsqRemove, CsqPeek, CsqAcquire, CsqRelease, CsqCanceled);
    status = IoRegisterDeviceInterface(physical, &GUID_MAILBOX, NULL, &x->Link);
    if (NT_SUCCESS(status)) {
        x->Below = IoAttachDeviceToDeviceStack(device, physical);
        if (x->Below == NULL) status = STATUS_NO_SUCH_DEVICE;
    }
    if (!NT_SUCCESS(status)) {
        if (x->Link.Buffer != NULL) RtlFreeUnicodeString(&x->Link);
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
    SetOpenClose(driver);
    driver->MajorFunction[IRP_MJ_CREATE] = Create;
    driver->MajorFunction[IRP_MJ_CLEANUP] = Cleanup;
    driver->MajorFunction[IRP_MJ_READ] = Transfer;
    driver->MajorFunction[IRP_MJ_WRITE] = Transfer;
    driver->MajorFunction[IRP_MJ_PNP] = Plug;
    driver->MajorFunction[IRP_MJ_POWER] = Power;
    driver->MajorFunction[IRP_MJ_SYSTEM_CONTROL] = SystemControl;
    driver->DriverExtension->AddDevice = AddDevice;
    driver->DriverUnload = Unload;
    return STATUS_SUCCESS;
}
