// The control codes of serial.c, as terminal programs use them.
#pragma once
#include "serialqueue.h"

#define IN_BYTES(type) if (input < sizeof(type)) return STATUS_BUFFER_TOO_SMALL
#define OUT_BYTES(type) if (output < sizeof(type)) return STATUS_BUFFER_TOO_SMALL; *information = sizeof(type)

static NTSTATUS SetBaud(PPORT x, ULONG baud)
{
    if (baud == 0 || baud > 115200 || 115200 / baud > 0xFFFF) return STATUS_INVALID_PARAMETER;
    KIRQL irql = Lock(x);
    x->Baud = baud;
    if (Runs(x)) SetSpeed(x);
    Unlock(x, irql);
    return STATUS_SUCCESS;
}

static NTSTATUS SetLine(PPORT x, const SERIAL_LINE_CONTROL *line)
{
    static const UCHAR parities[] = { 0, 8, 0x18, 0x28, 0x38 };
    if (line->WordLength < 5 || line->WordLength > 8 || line->Parity > MARK_PARITY + 1
        || line->StopBits > STOP_BITS_2 || (line->StopBits == STOP_BITS_1_5 && line->WordLength != 5)
        || (line->StopBits == STOP_BITS_2 && line->WordLength == 5)) return STATUS_INVALID_PARAMETER;
    KIRQL irql = Lock(x);
    x->Format = (UCHAR)((x->Format & FORMAT_BREAK) | (line->WordLength - 5) | (line->StopBits != 0 ? 4 : 0)
        | parities[line->Parity]);
    if (Runs(x)) Out(x, FORMAT, x->Format);
    Unlock(x, irql);
    return STATUS_SUCCESS;
}

static void GetLine(PPORT x, SERIAL_LINE_CONTROL *line)
{
    line->WordLength = (UCHAR)((x->Format & 3) + 5);
    line->StopBits = (x->Format & 4) == 0 ? STOP_BIT_1 : line->WordLength == 5 ? STOP_BITS_1_5 : STOP_BITS_2;
    line->Parity = (UCHAR)((x->Format & 8) == 0 ? NO_PARITY : 1 + (x->Format >> 4 & 3));
}

static void ApplyFlow(PPORT x)
{
    ULONG dtr = x->Flow.ControlHandShake & SERIAL_DTR_MASK, rts = x->Flow.FlowReplace & SERIAL_RTS_MASK;
    SetControl(x, (UCHAR)((dtr ? CONTROL_DTR : 0) | (rts ? CONTROL_RTS : 0)),
        (UCHAR)((dtr ? 0 : CONTROL_DTR) | (rts ? 0 : CONTROL_RTS)));
    if (Runs(x)) UpdateHolds(x, In(x, MODEM));
    if (!(x->Flow.FlowReplace & SERIAL_AUTO_TRANSMIT)) x->Holds &= ~SERIAL_TX_WAITING_FOR_XON;
    HoldOther(x);
    Kick(x);
}

static NTSTATUS SetFlow(PPORT x, const SERIAL_HANDFLOW *flow)
{
    if ((flow->ControlHandShake & SERIAL_CONTROL_INVALID) || (flow->FlowReplace & SERIAL_FLOW_INVALID)
        || (flow->ControlHandShake & SERIAL_DTR_MASK) == SERIAL_DTR_MASK
        || flow->XonLimit < 0 || flow->XoffLimit < 0 || (ULONG)flow->XonLimit > x->RingBytes
        || (ULONG)flow->XoffLimit > x->RingBytes) return STATUS_INVALID_PARAMETER;
    KIRQL irql = Lock(x);
    x->Flow = *flow;
    ApplyFlow(x);
    Unlock(x, irql);
    return STATUS_SUCCESS;
}

// A larger ring; a smaller one is not worth it.
static NTSTATUS SetQueueSize(PPORT x, ULONG bytes)
{
    if (bytes > MOST_RING) return STATUS_INVALID_PARAMETER;
    if (bytes <= x->RingBytes) return STATUS_SUCCESS;
    PUCHAR made = ExAllocatePoolWithTag(NonPagedPool, bytes, TAG);
    if (made == NULL) return STATUS_INSUFFICIENT_RESOURCES;
    KIRQL irql = Lock(x);
    PUCHAR old = x->Ring;
    for (ULONG i = 0; i < x->Count; i++) made[i] = old[(x->First + i) % x->RingBytes];
    x->Ring = made;
    x->RingBytes = bytes;
    x->First = 0;
    // The limits that were the smaller ring's.
    x->Flow.XoffLimit = (LONG)(bytes / 8);
    x->Flow.XonLimit = (LONG)(bytes / 2);
    Unlock(x, irql);
    ExFreePool(old);
    return STATUS_SUCCESS;
}

static NTSTATUS Purge(PPORT x, ULONG what)
{
    if (what == 0 || (what & ~15u)) return STATUS_INVALID_PARAMETER;
    if (what & SERIAL_PURGE_TXABORT) Abort(x, &x->Writes, STATUS_CANCELLED);
    if (what & SERIAL_PURGE_RXABORT) Abort(x, &x->Reads, STATUS_CANCELLED);
    KIRQL irql = Lock(x);
    UCHAR fifo = FIFO_ON;
    if (what & SERIAL_PURGE_TXCLEAR) fifo |= FIFO_CLEAR_SENT;
    if (what & SERIAL_PURGE_RXCLEAR) {
        fifo |= FIFO_CLEAR_RECEIVED;
        x->First = x->Count = 0;
        HoldOther(x);
    }
    if (fifo != FIFO_ON && Runs(x)) Out(x, IDENTIFY, fifo);
    Unlock(x, irql);
    return STATUS_SUCCESS;
}

static NTSTATUS SetMask(PPORT x, ULONG mask)
{
    if (mask & ~0x1FFFu) return STATUS_INVALID_PARAMETER;
    LIST_ENTRY ended;
    KIRQL irql;
    InitializeListHead(&ended);
    KeAcquireSpinLock(&x->Lock, &irql);
    Enter(x);
    x->Mask = mask;
    x->Events = 0;
    Leave(x);
    // Who waits for the old events is told that there will be none.
    if (!IsListEmpty(&x->Waits.Irps)) {
        PIRP irp = CONTAINING_RECORD(x->Waits.Irps.Flink, IRP, Tail.Overlay.ListEntry);
        *(PULONG)irp->AssociatedIrp.SystemBuffer = 0;
        Take(x, irp, STATUS_SUCCESS, sizeof(ULONG), &ended);
    }
    KeReleaseSpinLock(&x->Lock, irql);
    EndAll(x, &ended);
    return STATUS_SUCCESS;
}

static void GetStatus(PPORT x, PSERIAL_STATUS status)
{
    KIRQL irql;
    RtlZeroMemory(status, sizeof(*status));
    KeAcquireSpinLock(&x->Lock, &irql);
    for (PLIST_ENTRY entry = x->Writes.Irps.Flink; entry != &x->Writes.Irps; entry = entry->Flink) {
        PIRP irp = CONTAINING_RECORD(entry, IRP, Tail.Overlay.ListEntry);
        PIO_STACK_LOCATION at = IoGetCurrentIrpStackLocation(irp);
        if (at->MajorFunction == IRP_MJ_WRITE)
            status->AmountInOutQueue += at->Parameters.Write.Length - (ULONG)DoneOf(x, irp);
    }
    Enter(x);
    status->Errors = x->Errors;
    x->Errors = 0;
    status->HoldReasons = x->Holds;
    status->AmountInInQueue = x->Count;
    status->WaitForImmediate = x->Immediate != NO_CHAR;
    Leave(x);
    KeReleaseSpinLock(&x->Lock, irql);
}

static void GetProperties(PPORT x, PSERIAL_COMMPROP p)
{
    RtlZeroMemory(p, sizeof(*p));
    p->PacketLength = sizeof(*p);
    p->PacketVersion = 2;
    p->ServiceMask = SERIAL_SP_SERIALCOMM;
    p->MaxBaud = SERIAL_BAUD_USER;
    p->ProvSubType = SERIAL_SP_RS232;
    p->ProvCapabilities = SERIAL_PCF_DTRDSR | SERIAL_PCF_RTSCTS | SERIAL_PCF_CD | SERIAL_PCF_PARITY_CHECK
        | SERIAL_PCF_XONXOFF | SERIAL_PCF_SETXCHAR | SERIAL_PCF_TOTALTIMEOUTS | SERIAL_PCF_INTTIMEOUTS;
    p->SettableParams = SERIAL_SP_PARITY | SERIAL_SP_BAUD | SERIAL_SP_DATABITS | SERIAL_SP_STOPBITS
        | SERIAL_SP_HANDSHAKING | SERIAL_SP_PARITY_CHECK | SERIAL_SP_CARRIER_DETECT;
    p->SettableBaud = SERIAL_BAUD_075 | SERIAL_BAUD_110 | SERIAL_BAUD_134_5 | SERIAL_BAUD_150 | SERIAL_BAUD_300
        | SERIAL_BAUD_600 | SERIAL_BAUD_1200 | SERIAL_BAUD_1800 | SERIAL_BAUD_2400 | SERIAL_BAUD_4800
        | SERIAL_BAUD_7200 | SERIAL_BAUD_9600 | SERIAL_BAUD_14400 | SERIAL_BAUD_19200 | SERIAL_BAUD_38400
        | SERIAL_BAUD_57600 | SERIAL_BAUD_115200 | SERIAL_BAUD_USER;
    p->SettableData = SERIAL_DATABITS_5 | SERIAL_DATABITS_6 | SERIAL_DATABITS_7 | SERIAL_DATABITS_8;
    p->SettableStopParity = SERIAL_STOPBITS_10 | SERIAL_STOPBITS_15 | SERIAL_STOPBITS_20 | SERIAL_PARITY_NONE
        | SERIAL_PARITY_ODD | SERIAL_PARITY_EVEN | SERIAL_PARITY_MARK | SERIAL_PARITY_SPACE;
    p->CurrentRxQueue = x->RingBytes;
}

static void SetBreak(PPORT x, BOOLEAN on)
{
    KIRQL irql = Lock(x);
    x->Format = (UCHAR)(on ? x->Format | FORMAT_BREAK : x->Format & ~FORMAT_BREAK);
    x->Holds = on ? x->Holds | SERIAL_TX_WAITING_ON_BREAK : x->Holds & ~SERIAL_TX_WAITING_ON_BREAK;
    if (Runs(x)) Out(x, FORMAT, x->Format);
    if (!on) Kick(x);
    Unlock(x, irql);
}

static NTSTATUS Lines(PPORT x, ULONG mode, ULONG control, UCHAR set, UCHAR clear)
{
    // Whoever lets the driver do the handshake must not do it himself.
    if (mode == control) return STATUS_INVALID_PARAMETER;
    KIRQL irql = Lock(x);
    SetControl(x, set, clear);
    Unlock(x, irql);
    return STATUS_SUCCESS;
}

static NTSTATUS SendNow(PPORT x, LONG value)
{
    KIRQL irql = Lock(x);
    BOOLEAN busy = x->Immediate != NO_CHAR;
    if (!busy) {
        x->Immediate = value;
        Kick(x);
    }
    Unlock(x, irql);
    return busy ? STATUS_INVALID_PARAMETER : STATUS_SUCCESS;
}

static void SetXon(PPORT x, BOOLEAN on)
{
    KIRQL irql = Lock(x);
    x->Holds = on ? x->Holds & ~SERIAL_TX_WAITING_FOR_XON : x->Holds | SERIAL_TX_WAITING_FOR_XON;
    if (on) Kick(x);
    Unlock(x, irql);
}

static ULONG ModemStatus(PPORT x)
{
    KIRQL irql = Lock(x);
    UCHAR modem = Runs(x) ? In(x, MODEM) : 0;
    if (Runs(x)) UpdateHolds(x, modem);
    Unlock(x, irql);
    // Reading has taken the changes: they are told all the same.
    return modem;
}

// What needs no waiting.
static NTSTATUS Control(PPORT x, ULONG code, PVOID buffer, ULONG input, ULONG output, ULONG_PTR *information)
{
    switch (code) {
    case IOCTL_SERIAL_SET_BAUD_RATE: IN_BYTES(SERIAL_BAUD_RATE); return SetBaud(x, *(PULONG)buffer);
    case IOCTL_SERIAL_GET_BAUD_RATE: OUT_BYTES(SERIAL_BAUD_RATE); *(PULONG)buffer = x->Baud; return STATUS_SUCCESS;
    case IOCTL_SERIAL_SET_LINE_CONTROL: IN_BYTES(SERIAL_LINE_CONTROL); return SetLine(x, buffer);
    case IOCTL_SERIAL_GET_LINE_CONTROL: OUT_BYTES(SERIAL_LINE_CONTROL); GetLine(x, buffer); return STATUS_SUCCESS;
    case IOCTL_SERIAL_SET_TIMEOUTS: {
        IN_BYTES(SERIAL_TIMEOUTS);
        PSERIAL_TIMEOUTS t = buffer;
        if (t->ReadIntervalTimeout == MAXULONG && t->ReadTotalTimeoutMultiplier == MAXULONG
            && t->ReadTotalTimeoutConstant == MAXULONG) return STATUS_INVALID_PARAMETER;
        KIRQL irql;
        KeAcquireSpinLock(&x->Lock, &irql);
        x->Timeouts = *t;
        KeReleaseSpinLock(&x->Lock, irql);
        return STATUS_SUCCESS;
    }
    case IOCTL_SERIAL_GET_TIMEOUTS:
        OUT_BYTES(SERIAL_TIMEOUTS);
        *(PSERIAL_TIMEOUTS)buffer = x->Timeouts;
        return STATUS_SUCCESS;
    case IOCTL_SERIAL_SET_CHARS: {
        IN_BYTES(SERIAL_CHARS);
        KIRQL irql = Lock(x);
        x->Chars = *(PSERIAL_CHARS)buffer;
        Unlock(x, irql);
        return STATUS_SUCCESS;
    }
    case IOCTL_SERIAL_GET_CHARS: OUT_BYTES(SERIAL_CHARS); *(PSERIAL_CHARS)buffer = x->Chars; return STATUS_SUCCESS;
    case IOCTL_SERIAL_SET_HANDFLOW: IN_BYTES(SERIAL_HANDFLOW); return SetFlow(x, buffer);
    case IOCTL_SERIAL_GET_HANDFLOW: OUT_BYTES(SERIAL_HANDFLOW); *(PSERIAL_HANDFLOW)buffer = x->Flow; return STATUS_SUCCESS;
    case IOCTL_SERIAL_SET_QUEUE_SIZE: IN_BYTES(SERIAL_QUEUE_SIZE); return SetQueueSize(x, *(PULONG)buffer);
    case IOCTL_SERIAL_SET_DTR: return Lines(x, x->Flow.ControlHandShake & 3, SERIAL_DTR_HANDSHAKE, CONTROL_DTR, 0);
    case IOCTL_SERIAL_CLR_DTR: return Lines(x, x->Flow.ControlHandShake & 3, SERIAL_DTR_HANDSHAKE, 0, CONTROL_DTR);
    case IOCTL_SERIAL_SET_RTS: return Lines(x, x->Flow.FlowReplace & 0xC0, SERIAL_RTS_HANDSHAKE, CONTROL_RTS, 0);
    case IOCTL_SERIAL_CLR_RTS: return Lines(x, x->Flow.FlowReplace & 0xC0, SERIAL_RTS_HANDSHAKE, 0, CONTROL_RTS);
    case IOCTL_SERIAL_GET_DTRRTS: OUT_BYTES(ULONG); *(PULONG)buffer = x->Control & 3; return STATUS_SUCCESS;
    case IOCTL_SERIAL_SET_BREAK_ON: SetBreak(x, TRUE); return STATUS_SUCCESS;
    case IOCTL_SERIAL_SET_BREAK_OFF: SetBreak(x, FALSE); return STATUS_SUCCESS;
    case IOCTL_SERIAL_SET_XOFF: SetXon(x, FALSE); return STATUS_SUCCESS;
    case IOCTL_SERIAL_SET_XON: SetXon(x, TRUE); return STATUS_SUCCESS;
    case IOCTL_SERIAL_IMMEDIATE_CHAR: IN_BYTES(UCHAR); return SendNow(x, *(PUCHAR)buffer);
    case IOCTL_SERIAL_GET_WAIT_MASK: OUT_BYTES(ULONG); *(PULONG)buffer = x->Mask; return STATUS_SUCCESS;
    case IOCTL_SERIAL_SET_WAIT_MASK: IN_BYTES(ULONG); return SetMask(x, *(PULONG)buffer);
    case IOCTL_SERIAL_PURGE: IN_BYTES(ULONG); return Purge(x, *(PULONG)buffer);
    case IOCTL_SERIAL_GET_MODEMSTATUS: OUT_BYTES(ULONG); *(PULONG)buffer = ModemStatus(x); return STATUS_SUCCESS;
    case IOCTL_SERIAL_GET_MODEM_CONTROL: OUT_BYTES(ULONG); *(PULONG)buffer = x->Control; return STATUS_SUCCESS;
    case IOCTL_SERIAL_GET_COMMSTATUS: OUT_BYTES(SERIAL_STATUS); GetStatus(x, buffer); return STATUS_SUCCESS;
    case IOCTL_SERIAL_GET_PROPERTIES: OUT_BYTES(SERIAL_COMMPROP); GetProperties(x, buffer); return STATUS_SUCCESS;
    case IOCTL_SERIAL_CONFIG_SIZE: OUT_BYTES(ULONG); *(PULONG)buffer = 0; return STATUS_SUCCESS;
    case IOCTL_SERIAL_GET_STATS: OUT_BYTES(SERIALPERF_STATS); *(PSERIALPERF_STATS)buffer = x->Stats; return STATUS_SUCCESS;
    case IOCTL_SERIAL_CLEAR_STATS: {
        KIRQL irql = Lock(x);
        RtlZeroMemory(&x->Stats, sizeof(x->Stats));
        Unlock(x, irql);
        return STATUS_SUCCESS;
    }
    default: return STATUS_INVALID_DEVICE_REQUEST;
    }
}
