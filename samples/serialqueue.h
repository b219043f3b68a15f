// Requests of serial.c that wait: reads, writes and flushes, waits for events. Each can be canceled, timed out and aborted.
#pragma once
#include "serialport.h"

#define FOREVER ((ULONGLONG)-1)
#define Done(irp) ((ULONG)(ULONG_PTR)(irp)->Tail.Overlay.DriverContext[0])
#define SetDone(irp, count) ((irp)->Tail.Overlay.DriverContext[0] = (PVOID)(ULONG_PTR)(count))
#define QueueOf(irp) ((PQUEUE)(irp)->Tail.Overlay.DriverContext[1])

static void Service(PPORT x);

static NTSTATUS End(PPORT x, PIRP irp, NTSTATUS status, ULONG_PTR information)
{
    Complete(irp, status, information);
    IoReleaseRemoveLock(&x->RemoveLock, irp);
    return status;
}

static void Initialize(PQUEUE queue)
{
    InitializeListHead(&queue->Irps);
    KeInitializeTimer(&queue->Timer);
}

// The request that is being served goes: under the lock of the queues.
static void Stop(PPORT x, PQUEUE queue)
{
    queue->Head = NULL;
    KeCancelTimer(&queue->Timer);
    if (queue != &x->Writes) return;
    Enter(x);
    x->SendLeft = 0;
    Leave(x);
}

// What of a request is done, as far as it is known now.
static ULONG_PTR DoneOf(PPORT x, PIRP irp)
{
    PIO_STACK_LOCATION at = IoGetCurrentIrpStackLocation(irp);
    if (irp != x->Writes.Head || at->MajorFunction != IRP_MJ_WRITE) return Done(irp);
    return at->Parameters.Write.Length - x->SendLeft;
}

static void NTAPI Cancel(PDEVICE_OBJECT device, PIRP irp)
{
    PPORT x = device->DeviceExtension;
    KIRQL irql;
    IoReleaseCancelSpinLock(irp->CancelIrql);
    KeAcquireSpinLock(&x->Lock, &irql);
    PQUEUE queue = QueueOf(irp);
    ULONG_PTR done = DoneOf(x, irp);
    RemoveEntryList(&irp->Tail.Overlay.ListEntry);
    if (queue->Head == irp) Stop(x, queue);
    KeReleaseSpinLock(&x->Lock, irql);
    End(x, irp, STATUS_CANCELLED, done);
    Service(x);
}

// Puts a request behind the others of its kind.
static NTSTATUS Enqueue(PPORT x, PQUEUE queue, PIRP irp)
{
    KIRQL irql;
    SetDone(irp, 0);
    irp->Tail.Overlay.DriverContext[1] = queue;
    KeAcquireSpinLock(&x->Lock, &irql);
    // Of waits there is one at a time.
    BOOLEAN refused = queue == &x->Waits && !IsListEmpty(&queue->Irps);
    if (x->Gone || refused) {
        KeReleaseSpinLock(&x->Lock, irql);
        return End(x, irp, x->Gone ? STATUS_DEVICE_REMOVED : STATUS_INVALID_PARAMETER, 0);
    }
    IoSetCancelRoutine(irp, Cancel);
    if (irp->Cancel && IoSetCancelRoutine(irp, NULL) != NULL) {
        KeReleaseSpinLock(&x->Lock, irql);
        return End(x, irp, STATUS_CANCELLED, 0);
    }
    IoMarkIrpPending(irp);
    InsertTailList(&queue->Irps, &irp->Tail.Overlay.ListEntry);
    KeReleaseSpinLock(&x->Lock, irql);
    Service(x);
    return STATUS_PENDING;
}

// Takes a request out, if its cancel routine does not have it already.
static BOOLEAN Take(PPORT x, PIRP irp, NTSTATUS status, ULONG_PTR done, PLIST_ENTRY ended)
{
    if (IoSetCancelRoutine(irp, NULL) == NULL) return FALSE;
    PQUEUE queue = QueueOf(irp);
    RemoveEntryList(&irp->Tail.Overlay.ListEntry);
    if (queue->Head == irp) Stop(x, queue);
    irp->IoStatus.Status = status;
    irp->IoStatus.Information = done;
    InsertTailList(ended, &irp->Tail.Overlay.ListEntry);
    return TRUE;
}

static void EndAll(PPORT x, PLIST_ENTRY ended)
{
    while (!IsListEmpty(ended)) {
        PIRP irp = CONTAINING_RECORD(RemoveHeadList(ended), IRP, Tail.Overlay.ListEntry);
        End(x, irp, irp->IoStatus.Status, irp->IoStatus.Information);
    }
}

static void Abort(PPORT x, PQUEUE queue, NTSTATUS status)
{
    LIST_ENTRY ended;
    KIRQL irql;
    InitializeListHead(&ended);
    KeAcquireSpinLock(&x->Lock, &irql);
    for (PLIST_ENTRY entry = queue->Irps.Flink, next; entry != &queue->Irps; entry = next) {
        next = entry->Flink;
        PIRP irp = CONTAINING_RECORD(entry, IRP, Tail.Overlay.ListEntry);
        Take(x, irp, status, DoneOf(x, irp), &ended);
    }
    KeReleaseSpinLock(&x->Lock, irql);
    EndAll(x, &ended);
}

static ULONGLONG After(ULONGLONG now, ULONG multiplier, ULONG length, ULONG constant)
{
    return now + ((ULONGLONG)multiplier * length + constant) * 10000;
}

// The timer of a queue whose first request is due some time; whether it is now.
static BOOLEAN IsDue(PPORT x, PQUEUE queue, ULONGLONG due, ULONGLONG now)
{
    LARGE_INTEGER left;
    if (due == FOREVER) return FALSE;
    if (now >= due) return TRUE;
    left.QuadPart = -(LONGLONG)(due - now);
    KeSetTimer(&queue->Timer, left, &x->TimeOut);
    return FALSE;
}

// As much as there is, and is wanted, from the ring.
static ULONG TakeReceived(PPORT x, PUCHAR to, ULONG length)
{
    ULONG taken = 0;
    Enter(x);
    for (; taken < length && x->Count > 0; x->Count--) {
        to[taken++] = x->Ring[x->First];
        x->First = (x->First + 1) % x->RingBytes;
    }
    if (taken > 0) HoldOther(x);
    Leave(x);
    return taken;
}

static void ServiceReads(PPORT x, ULONGLONG now, PLIST_ENTRY ended)
{
    while (!IsListEmpty(&x->Reads.Irps)) {
        PIRP irp = CONTAINING_RECORD(x->Reads.Irps.Flink, IRP, Tail.Overlay.ListEntry);
        ULONG length = IoGetCurrentIrpStackLocation(irp)->Parameters.Read.Length;
        SERIAL_TIMEOUTS t = x->Timeouts;
        BOOLEAN atOnce = t.ReadIntervalTimeout == MAXULONG && t.ReadTotalTimeoutMultiplier == 0
            && t.ReadTotalTimeoutConstant == 0;
        // Any byte will do, and it is waited for as long as the constant says.
        BOOLEAN any = t.ReadIntervalTimeout == MAXULONG && t.ReadTotalTimeoutMultiplier == MAXULONG;
        if (x->Reads.Head != irp) {
            x->Reads.Head = irp;
            x->IntervalDue = x->Reads.Due = FOREVER;
            if (any) x->Reads.Due = After(now, 0, 0, t.ReadTotalTimeoutConstant);
            else if (t.ReadTotalTimeoutMultiplier != 0 || t.ReadTotalTimeoutConstant != 0)
                x->Reads.Due = After(now, t.ReadTotalTimeoutMultiplier, length, t.ReadTotalTimeoutConstant);
        }
        ULONG taken = TakeReceived(x, (PUCHAR)irp->AssociatedIrp.SystemBuffer + Done(irp), length - Done(irp));
        SetDone(irp, Done(irp) + taken);
        if (taken > 0 && t.ReadIntervalTimeout != 0 && t.ReadIntervalTimeout != MAXULONG)
            x->IntervalDue = After(now, 0, 0, t.ReadIntervalTimeout);
        NTSTATUS status = STATUS_SUCCESS;
        if (Done(irp) < length && !atOnce && !(any && Done(irp) > 0)) {
            ULONGLONG due = x->IntervalDue < x->Reads.Due ? x->IntervalDue : x->Reads.Due;
            if (!IsDue(x, &x->Reads, due, now)) return;
            status = STATUS_TIMEOUT;
        }
        if (!Take(x, irp, status, Done(irp), ended)) return;
    }
}

static void ServiceWrites(PPORT x, ULONGLONG now, PLIST_ENTRY ended)
{
    while (!IsListEmpty(&x->Writes.Irps)) {
        PIRP irp = CONTAINING_RECORD(x->Writes.Irps.Flink, IRP, Tail.Overlay.ListEntry);
        PIO_STACK_LOCATION at = IoGetCurrentIrpStackLocation(irp);
        // A flush is a write of nothing: it ends when all before it have.
        ULONG length = at->MajorFunction == IRP_MJ_WRITE ? at->Parameters.Write.Length : 0;
        if (x->Writes.Head != irp) {
            SERIAL_TIMEOUTS t = x->Timeouts;
            x->Writes.Head = irp;
            x->Writes.Due = t.WriteTotalTimeoutMultiplier == 0 && t.WriteTotalTimeoutConstant == 0 ? FOREVER
                : After(now, t.WriteTotalTimeoutMultiplier, length, t.WriteTotalTimeoutConstant);
            Enter(x);
            x->Send = irp->AssociatedIrp.SystemBuffer;
            x->SendLeft = length;
            Kick(x);
            Leave(x);
        }
        ULONG left = x->SendLeft;
        if (left > 0 && !IsDue(x, &x->Writes, x->Writes.Due, now)) return;
        if (!Take(x, irp, left > 0 ? STATUS_TIMEOUT : STATUS_SUCCESS, length - left, ended)) return;
    }
}

static void ServiceWaits(PPORT x, PLIST_ENTRY ended)
{
    if (IsListEmpty(&x->Waits.Irps)) return;
    Enter(x);
    ULONG events = x->Events;
    x->Events = 0;
    Leave(x);
    if (events == 0) return;
    PIRP irp = CONTAINING_RECORD(x->Waits.Irps.Flink, IRP, Tail.Overlay.ListEntry);
    *(PULONG)irp->AssociatedIrp.SystemBuffer = events;
    Take(x, irp, STATUS_SUCCESS, sizeof(ULONG), ended);
}

// Does for the requests what can be done now.
static void Service(PPORT x)
{
    LIST_ENTRY ended;
    KIRQL irql;
    InitializeListHead(&ended);
    KeAcquireSpinLock(&x->Lock, &irql);
    if (Runs(x)) {
        ULONGLONG now = KeQueryInterruptTime();
        ServiceReads(x, now, &ended);
        ServiceWrites(x, now, &ended);
        ServiceWaits(x, &ended);
    }
    KeReleaseSpinLock(&x->Lock, irql);
    EndAll(x, &ended);
}

static void NTAPI DpcForIsr(PKDPC dpc, PDEVICE_OBJECT device, PIRP irp, PVOID context)
{
    Service(context);
}

static void NTAPI OnTimeOut(PKDPC dpc, PVOID context, PVOID argument1, PVOID argument2)
{
    Service(context);
}
