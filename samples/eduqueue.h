// Requests that wait, and can be canceled meanwhile: cancel-safe queues, each with a lock of its own.
#pragma once
#include "plug.h"

typedef struct {
    IO_CSQ Csq;
    LIST_ENTRY Irps;
    KSPIN_LOCK Lock;
} QUEUE, *PQUEUE;

// The driver's own.
static void End(PIRP irp, NTSTATUS status, ULONG_PTR information);

static void NTAPI InsertIrp(PIO_CSQ csq, PIRP irp)
{
    InsertTailList(&CONTAINING_RECORD(csq, QUEUE, Csq)->Irps, &irp->Tail.Overlay.ListEntry);
}

static void NTAPI RemoveIrp(PIO_CSQ csq, PIRP irp)
{
    RemoveEntryList(&irp->Tail.Overlay.ListEntry);
}

// The next one behind an IRP, or the first; of one file, if there is one given.
static PIRP NTAPI PeekNextIrp(PIO_CSQ csq, PIRP irp, PVOID file)
{
    PLIST_ENTRY head = &CONTAINING_RECORD(csq, QUEUE, Csq)->Irps;
    PLIST_ENTRY entry = irp == NULL ? head->Flink : irp->Tail.Overlay.ListEntry.Flink;
    for (; entry != head; entry = entry->Flink) {
        PIRP next = CONTAINING_RECORD(entry, IRP, Tail.Overlay.ListEntry);
        if (file == NULL || IoGetCurrentIrpStackLocation(next)->FileObject == file) return next;
    }
    return NULL;
}

static void NTAPI AcquireLock(PIO_CSQ csq, PKIRQL irql)
{
    KeAcquireSpinLock(&CONTAINING_RECORD(csq, QUEUE, Csq)->Lock, irql);
}

static void NTAPI ReleaseLock(PIO_CSQ csq, KIRQL irql)
{
    KeReleaseSpinLock(&CONTAINING_RECORD(csq, QUEUE, Csq)->Lock, irql);
}

static void NTAPI CompleteCanceledIrp(PIO_CSQ csq, PIRP irp)
{
    End(irp, STATUS_CANCELLED, 0);
}

static void InitializeQueue(PQUEUE queue)
{
    InitializeListHead(&queue->Irps);
    KeInitializeSpinLock(&queue->Lock);
    IoCsqInitialize(&queue->Csq, InsertIrp, RemoveIrp, PeekNextIrp, AcquireLock, ReleaseLock, CompleteCanceledIrp);
}

// Ends what is in a queue: of one file, if there is one given.
static void EndAll(PQUEUE queue, PFILE_OBJECT file, NTSTATUS status)
{
    PIRP irp;
    while ((irp = IoCsqRemoveNextIrp(&queue->Csq, file)) != NULL) End(irp, status, 0);
}
