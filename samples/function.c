// A function driver: a mailbox for one letter. A write waits until the box is empty, a read until there is a letter.
// While the device is stopped, or without power, requests wait; when it is gone, they fail.
#include <initguid.h>
#include "plug.h"

#define HOLDS 64

// {6f0c3a52-8c55-4c39-9f3d-52494e474631}
DEFINE_GUID(GUID_MAILBOX, 0x6f0c3a52, 0x8c55, 0x4c39, 0x9f, 0x3d, 0x52, 0x49, 0x4e, 0x47, 0x46, 0x31);

typedef struct {
    PLUG Plug;
    IO_CSQ Csq;
    KSPIN_LOCK Lock;
    LIST_ENTRY Waiting;
    // It was started once; somebody asks whether it may stop or go.
    BOOLEAN Known;
    volatile BOOLEAN Held;
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
    if (CONTAINING_RECORD(csq, MAILBOX, Csq)->Plug.Gone) return STATUS_DELETE_PENDING;
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
static void NTAPI CsqCanceled(PIO_CSQ csq, PIRP irp)
{
    PlugFinish(&CONTAINING_RECORD(csq, MAILBOX, Csq)->Plug, irp, STATUS_CANCELLED, 0);
}

static void Drain(PMAILBOX x, PFILE_OBJECT file, NTSTATUS status)
{
    WANTED wanted = { TRUE, 0, file };
    PIRP irp;
    while ((irp = IoCsqRemoveNextIrp(&x->Csq, &wanted)) != NULL) PlugFinish(&x->Plug, irp, status, 0);
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
    PlugFinish(&x->Plug, irp, STATUS_SUCCESS, length);
}

// One at a time serves what waits. Who comes while another one does has it go round once more.
static void Pump(PMAILBOX x)
{
    if (InterlockedIncrement(&x->Pumps) != 1) return;
    LONG seen;
    do {
        seen = x->Pumps;
        while (x->Plug.Started && x->Plug.HasPower && !x->Held) {
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
    NTSTATUS status = IoAcquireRemoveLock(&x->Plug.RemoveLock, irp);
    if (!NT_SUCCESS(status)) return Complete(irp, status, 0);
    // Read and write have their length at one place.
    if (IoGetCurrentIrpStackLocation(irp)->Parameters.Read.Length == 0)
        return PlugFinish(&x->Plug, irp, STATUS_SUCCESS, 0);
    // The queue marks it pending.
    status = IoCsqInsertIrpEx(&x->Csq, irp, NULL, NULL);
    if (!NT_SUCCESS(status)) return PlugFinish(&x->Plug, irp, status, 0);
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
    return Complete(irp, x->Plug.Gone || !x->Known ? STATUS_NO_SUCH_DEVICE : STATUS_SUCCESS, 0);
}

static NTSTATUS Control(PPLUG x, PIRP irp, PIO_STACK_LOCATION location, PULONG_PTR information)
{
    return STATUS_INVALID_DEVICE_REQUEST;
}

static NTSTATUS Start(PPLUG plug, PIO_STACK_LOCATION location)
{
    PMAILBOX x = (PMAILBOX)plug;
    x->Known = TRUE;
    x->Held = FALSE;
    return STATUS_SUCCESS;
}

static void Stop(PPLUG x)
{
    if (x->Gone) Drain((PMAILBOX)x, NULL, STATUS_NO_SUCH_DEVICE);
}

// What comes without power waits until that is back.
static void SetPower(PPLUG x, BOOLEAN on)
{
    if (on) Pump((PMAILBOX)x);
}

static BOOLEAN MayStop(PPLUG x)
{
    return TRUE;
}

static void Removed(PPLUG x)
{
}

// First the drivers below, then this one.
static NTSTATUS Resume(PMAILBOX x, PIRP irp)
{
    NTSTATUS status = IoAcquireRemoveLock(&x->Plug.RemoveLock, irp);
    if (!NT_SUCCESS(status)) return Complete(irp, status, 0);
    if (!IoForwardIrpSynchronously(x->Plug.Below, irp)) irp->IoStatus.Status = STATUS_UNSUCCESSFUL;
    x->Held = FALSE;
    Pump(x);
    return PlugFinish(&x->Plug, irp, irp->IoStatus.Status, irp->IoStatus.Information);
}

// While somebody asks, requests wait.
static NTSTATUS NTAPI Pnp(PDEVICE_OBJECT device, PIRP irp)
{
    PMAILBOX x = device->DeviceExtension;
    switch (IoGetCurrentIrpStackLocation(irp)->MinorFunction) {
    case IRP_MN_QUERY_STOP_DEVICE:
    case IRP_MN_QUERY_REMOVE_DEVICE:
        x->Held = TRUE;
        break;
    case IRP_MN_CANCEL_STOP_DEVICE:
    case IRP_MN_CANCEL_REMOVE_DEVICE:
        return Resume(x, irp);
    }
    return PlugPnp(device, irp);
}

static NTSTATUS NTAPI AddDevice(PDRIVER_OBJECT driver, PDEVICE_OBJECT physical)
{
    PDEVICE_OBJECT device;
    NTSTATUS status = PlugAdd(driver, physical, sizeof(MAILBOX), FILE_DEVICE_UNKNOWN, &GUID_MAILBOX, &device);
    if (!NT_SUCCESS(status)) return status;
    PMAILBOX x = device->DeviceExtension;
    InitializeListHead(&x->Waiting);
    KeInitializeSpinLock(&x->Lock);
    IoCsqInitializeEx(&x->Csq, CsqInsertEx, CsqRemove, CsqPeek, CsqAcquire, CsqRelease, CsqCanceled);
    device->Flags &= ~DO_DEVICE_INITIALIZING;
    return STATUS_SUCCESS;
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path)
{
    PlugSet(driver, AddDevice);
    driver->MajorFunction[IRP_MJ_CREATE] = Create;
    driver->MajorFunction[IRP_MJ_CLEANUP] = Cleanup;
    driver->MajorFunction[IRP_MJ_READ] = Transfer;
    driver->MajorFunction[IRP_MJ_WRITE] = Transfer;
    driver->MajorFunction[IRP_MJ_PNP] = Pnp;
    return STATUS_SUCCESS;
}
