// The chip at work. All of it is done by one DPC, which has its processor: it never runs twice at once, so slots and
// transfer need no lock. Only what the service routine has seen is shared with another.
#pragma once
#include "eduqueue.h"

#define SLOTS 16
#define BUFFER_BYTES 0x1000
#define IDENTIFICATION 0x52440100

#define IOCTL_FACTORIAL CTL_CODE(FILE_DEVICE_UNKNOWN, 0x800, METHOD_BUFFERED, FILE_READ_ACCESS | FILE_WRITE_ACCESS)
#define IOCTL_PUT CTL_CODE(FILE_DEVICE_UNKNOWN, 0x801, METHOD_IN_DIRECT, FILE_WRITE_ACCESS)
#define IOCTL_GET CTL_CODE(FILE_DEVICE_UNKNOWN, 0x802, METHOD_OUT_DIRECT, FILE_READ_ACCESS)
#define IOCTL_COUNT CTL_CODE(FILE_DEVICE_UNKNOWN, 0x803, METHOD_BUFFERED, FILE_READ_ACCESS)

enum {
    ID = 0x00, INTERRUPT_STATUS = 0x0C, INTERRUPT_ENABLE = 0x10, INTERRUPT_ACK = 0x18, JOB_ARGUMENT = 0x20,
    JOB_SUBMIT = 0x24, DONE_COUNT = 0x30, DONE_ID = 0x34, DONE_RESULT = 0x38, DONE_POP = 0x40, DMA_ADDRESS = 0x50,
    DMA_OFFSET = 0x58, DMA_LENGTH = 0x5C, DMA_COMMAND = 0x60, DMA_FAULT = 0x64, DMA_BITS = 0x68, REGISTER_BYTES = 0x80
};

enum { JOB_DONE = 1, TRANSFER_DONE = 2, TRANSFER_FAULT = 4, ALL = 7 };
enum { TO_CHIP = 1, FROM_CHIP = 3 };
enum { ABOVE_LIMIT = 1, OUTSIDE_BUFFER = 2 };

// A job in the chip. Its request is in the queue Running, under Context, until it is canceled.
typedef struct {
    IO_CSQ_IRP_CONTEXT Context;
    ULONG Id;
} SLOT, *PSLOT;

typedef struct {
    ULONG Jobs, Dropped, Pieces, Faults;
} COUNTERS;

typedef struct {
    PLUG Plug;
    PUCHAR Registers;
    ULONG RegisterBytes;
    ULONG Connection;
    PVOID Connected;
    PKINTERRUPT Interrupt;
    PDMA_ADAPTER Adapter;
    volatile LONG Requests;
    volatile BOOLEAN Held;
    KEVENT Idle;
    QUEUE Jobs, Running, Transfers;
    COUNTERS Counters;

    SLOT Slots[SLOTS];
    ULONG LastId;

    // The transfer that the chip does, piece by piece.
    PIRP Transfer;
    PSCATTER_GATHER_LIST List;
    ULONG Element, Done;
    BOOLEAN ToChip;

    // With the service routine.
    ULONG Raised, Taken;
} EDU, *PEDU;

static ULONG In(PEDU x, ULONG at)
{
    return READ_REGISTER_ULONG((PULONG)(x->Registers + at));
}

static void Out(PEDU x, ULONG at, ULONG value)
{
    WRITE_REGISTER_ULONG((PULONG)(x->Registers + at), value);
}

// A message is sent when the chip begins to interrupt: it must have stopped before this returns.
static BOOLEAN NTAPI Isr(PKINTERRUPT interrupt, PVOID context)
{
    PEDU x = context;
    BOOLEAN mine = FALSE;
    for (;;) {
        ULONG raised = In(x, INTERRUPT_STATUS) & In(x, INTERRUPT_ENABLE);
        // A chip that is gone, or has no power, reads as ones.
        if (raised == 0 || raised == ~0u) break;
        Out(x, INTERRUPT_ACK, raised);
        x->Raised |= raised;
        mine = TRUE;
    }
    if (mine) IoRequestDpc(x->Plug.Self, NULL, NULL);
    return mine;
}

static BOOLEAN NTAPI MessageIsr(PKINTERRUPT interrupt, PVOID context, ULONG message)
{
    return Isr(interrupt, context);
}

static BOOLEAN NTAPI TakeRaised(PVOID context)
{
    PEDU x = context;
    x->Taken = x->Raised;
    x->Raised = 0;
    return TRUE;
}

static PSLOT FindSlot(PEDU x, ULONG id)
{
    for (int i = 0; i < SLOTS; i++)
        if (x->Slots[i].Id == id) return &x->Slots[i];
    return NULL;
}

static BOOLEAN IsIdle(PEDU x)
{
    if (x->Transfer != NULL) return FALSE;
    for (int i = 0; i < SLOTS; i++)
        if (x->Slots[i].Id != 0) return FALSE;
    return TRUE;
}

static void StartJobs(PEDU x)
{
    PSLOT slot;
    PIRP irp;
    while ((slot = FindSlot(x, 0)) != NULL && (irp = IoCsqRemoveNextIrp(&x->Jobs.Csq, NULL)) != NULL) {
        ULONG argument = *(PULONG)irp->AssociatedIrp.SystemBuffer;
        if (++x->LastId == 0) x->LastId = 1;
        slot->Id = x->LastId;
        // From here on it may be canceled, and gone.
        IoCsqInsertIrp(&x->Running.Csq, irp, &slot->Context);
        Out(x, JOB_ARGUMENT, argument);
        Out(x, JOB_SUBMIT, slot->Id);
    }
}

// Takes the oldest result off. Nobody wants that of a job whose request was canceled.
static void EndJob(PEDU x)
{
    PSLOT slot = FindSlot(x, In(x, DONE_ID));
    ULONGLONG result = In(x, DONE_RESULT) | (ULONGLONG)In(x, DONE_RESULT + 4) << 32;
    Out(x, DONE_POP, 1);
    if (slot == NULL) return;
    PIRP irp = IoCsqRemoveIrp(&x->Running.Csq, &slot->Context);
    slot->Id = 0;
    if (irp == NULL) {
        x->Counters.Dropped++;
        return;
    }
    x->Counters.Jobs++;
    *(PULONGLONG)irp->AssociatedIrp.SystemBuffer = result;
    End(irp, STATUS_SUCCESS, sizeof(result));
}

static void EndJobs(PEDU x)
{
    ULONG count = In(x, DONE_COUNT);
    for (; count > 0 && count <= SLOTS; count--) EndJob(x);
}

static void StartPiece(PEDU x)
{
    PSCATTER_GATHER_ELEMENT piece = &x->List->Elements[x->Element];
    Out(x, DMA_ADDRESS, piece->Address.LowPart);
    Out(x, DMA_ADDRESS + 4, piece->Address.HighPart);
    Out(x, DMA_OFFSET, *(PULONG)x->Transfer->AssociatedIrp.SystemBuffer + x->Done);
    Out(x, DMA_LENGTH, piece->Length);
    Out(x, DMA_COMMAND, x->ToChip ? TO_CHIP : FROM_CHIP);
}

// Called at once, or when there is memory that the chip can reach.
static void NTAPI OnList(PDEVICE_OBJECT device, PIRP irp, PSCATTER_GATHER_LIST list, PVOID context)
{
    PEDU x = context;
    x->List = list;
    StartPiece(x);
}

// At DISPATCH_LEVEL. Giving the list back brings the bytes to where they were wanted.
static void EndTransfer(PEDU x, NTSTATUS status)
{
    PIRP irp = x->Transfer;
    if (x->List != NULL) x->Adapter->DmaOperations->PutScatterGatherList(x->Adapter, x->List, x->ToChip);
    x->List = NULL;
    x->Transfer = NULL;
    End(irp, status, NT_SUCCESS(status) ? x->Done : 0);
}

static void StartTransfer(PEDU x)
{
    while (x->Transfer == NULL) {
        PIRP irp = IoCsqRemoveNextIrp(&x->Transfers.Csq, NULL);
        if (irp == NULL) return;
        PIO_STACK_LOCATION location = IoGetCurrentIrpStackLocation(irp);
        x->Transfer = irp;
        x->Element = x->Done = 0;
        x->ToChip = location->Parameters.DeviceIoControl.IoControlCode == IOCTL_PUT;
        NTSTATUS status = x->Adapter->DmaOperations->GetScatterGatherList(x->Adapter, x->Plug.Self, irp->MdlAddress,
            MmGetMdlVirtualAddress(irp->MdlAddress), location->Parameters.DeviceIoControl.OutputBufferLength, OnList,
            x, x->ToChip);
        if (!NT_SUCCESS(status)) EndTransfer(x, status);
    }
}

static NTSTATUS FaultStatus(ULONG fault)
{
    return fault == ABOVE_LIMIT ? STATUS_INVALID_ADDRESS : fault == OUTSIDE_BUFFER ? STATUS_INVALID_PARAMETER
        : STATUS_DEVICE_DATA_ERROR;
}

// Anybody can raise the chip's interrupt: it is asked whether it is done.
static void EndPiece(PEDU x, BOOLEAN failed)
{
    if (x->List == NULL || In(x, DMA_COMMAND) != 0) return;
    if (failed) {
        x->Counters.Faults++;
        EndTransfer(x, FaultStatus(In(x, DMA_FAULT)));
        return;
    }
    x->Counters.Pieces++;
    x->Done += x->List->Elements[x->Element].Length;
    if (++x->Element < x->List->NumberOfElements) StartPiece(x);
    else EndTransfer(x, STATUS_SUCCESS);
}

// What has ended ends; what waits begins, where there is room. Held, it only says when nothing is under way any more.
static void NTAPI Work(PKDPC dpc, PDEVICE_OBJECT device, PIRP irp, PVOID context)
{
    PEDU x = device->DeviceExtension;
    KeSynchronizeExecution(x->Interrupt, TakeRaised, x);
    ULONG raised = x->Taken;
    if (raised & JOB_DONE) EndJobs(x);
    if (raised & (TRANSFER_DONE | TRANSFER_FAULT)) EndPiece(x, (raised & TRANSFER_FAULT) != 0);
    if (!x->Held) {
        StartJobs(x);
        StartTransfer(x);
    } else if (IsIdle(x)) KeSetEvent(&x->Idle, IO_NO_INCREMENT, FALSE);
}
