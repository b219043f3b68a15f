// The hardware half of serial.c: the 16550's registers, what the service routine shares with the rest, flow control.
#pragma once
#include "sample.h"
#include <ntddser.h>

#define FIFO_BYTES 16
#define LEAST_RING 4096
#define MOST_RING 65536
#define NO_CHAR (-1)

enum { DATA, ENABLE, IDENTIFY, FORMAT, CONTROL, LINE, MODEM, SCRATCH, PORTS };

// Registers' bits.
#define ENABLE_RECEIVE 1
#define ENABLE_SEND 2
#define ENABLE_LINE 4
#define ENABLE_MODEM 8
#define ENABLE_ALL 15
#define FIFO_ON 0x81
#define FIFO_CLEAR_RECEIVED 2
#define FIFO_CLEAR_SENT 4
#define FORMAT_BREAK 0x40
#define FORMAT_LATCH 0x80
#define CONTROL_DTR 1
#define CONTROL_RTS 2
#define CONTROL_OUT2 8
#define LINE_READY 1
#define LINE_OVERRUN 2
#define LINE_PARITY 4
#define LINE_FRAMING 8
#define LINE_BREAK 0x10
#define LINE_EMPTY 0x20
#define LINE_IDLE 0x40
#define MODEM_CTS 0x10
#define MODEM_DSR 0x20
#define MODEM_RING 0x40
#define MODEM_DCD 0x80

// Requests of one kind. The first one is served as soon as it is Head; until when, Due says.
typedef struct {
    LIST_ENTRY Irps;
    PIRP Head;
    ULONGLONG Due;
    KTIMER Timer;
} QUEUE, *PQUEUE;

typedef struct {
    PDEVICE_OBJECT Self, Lower, Physical;
    IO_REMOVE_LOCK RemoveLock;
    UNICODE_STRING Name, Link;
    WCHAR NameText[24], LinkText[48];
    BOOLEAN HasLink, Started, Powered, Gone;
    LONG Opens;
    DEVICE_POWER_STATE Power;

    KSPIN_LOCK Lock;            // of the queues
    KDPC TimeOut;
    QUEUE Reads, Writes, Waits;
    ULONGLONG IntervalDue;
    SERIAL_TIMEOUTS Timeouts;

    PKINTERRUPT Interrupt;      // whose lock is that of all below
    PUCHAR Port;
    PUCHAR Ring;
    ULONG RingBytes, First, Count;
    PUCHAR Send;
    ULONG SendLeft;
    LONG Immediate;
    BOOLEAN Sending, Toggled, XoffSent;
    UCHAR Format, Control;
    ULONG Baud, Mask, Events, Errors, Holds;
    SERIAL_CHARS Chars;
    SERIAL_HANDFLOW Flow;
    SERIALPERF_STATS Stats;
} PORT, *PPORT;

static inline UCHAR In(PPORT x, int port)
{
    return READ_PORT_UCHAR(x->Port + port);
}

static inline void Out(PPORT x, int port, UCHAR value)
{
    WRITE_PORT_UCHAR(x->Port + port, value);
}

// The interrupt's lock, inside of that of the queues: so an interrupt does not go while somebody has it.
static inline void Enter(PPORT x)
{
    if (x->Interrupt != NULL) KeAcquireInterruptSpinLock(x->Interrupt);
}

static inline void Leave(PPORT x)
{
    if (x->Interrupt != NULL) KeReleaseInterruptSpinLock(x->Interrupt, DISPATCH_LEVEL);
}

static inline KIRQL Lock(PPORT x)
{
    KIRQL irql;
    KeAcquireSpinLock(&x->Lock, &irql);
    Enter(x);
    return irql;
}

static inline void Unlock(PPORT x, KIRQL irql)
{
    Leave(x);
    KeReleaseSpinLock(&x->Lock, irql);
}

static inline BOOLEAN Runs(PPORT x)
{
    return x->Started && x->Powered && !x->Gone;
}

static void Raise(PPORT x, ULONG events)
{
    x->Events |= events & x->Mask;
}

static void SetControl(PPORT x, UCHAR set, UCHAR clear)
{
    x->Control = (UCHAR)((x->Control | set) & ~clear);
    if (Runs(x)) Out(x, CONTROL, x->Control);
}

static void SetSpeed(PPORT x)
{
    ULONG divisor = 115200 / x->Baud;
    Out(x, FORMAT, x->Format | FORMAT_LATCH);
    Out(x, DATA, (UCHAR)divisor);
    Out(x, ENABLE, (UCHAR)(divisor >> 8));
    Out(x, FORMAT, x->Format);
}

// What the modem's lines, or the other end's XOFF, hold up.
static void UpdateHolds(PPORT x, UCHAR modem)
{
    ULONG flow = x->Flow.ControlHandShake, holds = x->Holds & (SERIAL_TX_WAITING_FOR_XON | SERIAL_TX_WAITING_ON_BREAK);
    if ((flow & SERIAL_CTS_HANDSHAKE) && !(modem & MODEM_CTS)) holds |= SERIAL_TX_WAITING_FOR_CTS;
    if ((flow & SERIAL_DSR_HANDSHAKE) && !(modem & MODEM_DSR)) holds |= SERIAL_TX_WAITING_FOR_DSR;
    if ((flow & SERIAL_DCD_HANDSHAKE) && !(modem & MODEM_DCD)) holds |= SERIAL_TX_WAITING_FOR_DCD;
    x->Holds = holds;
}

// Into an empty transmitter goes as much as its FIFO holds.
static void Transmit(PPORT x)
{
    int room = FIFO_BYTES;
    if (x->Immediate != NO_CHAR) {
        Out(x, DATA, (UCHAR)x->Immediate);
        x->Immediate = NO_CHAR;
        x->Stats.TransmittedCount++;
        room--;
    }
    x->Sending = x->Sending || room < FIFO_BYTES;
    if (x->Holds != 0) return;
    for (; room > 0 && x->SendLeft > 0; room--) {
        Out(x, DATA, *x->Send++);
        x->SendLeft--;
        x->Stats.TransmittedCount++;
        x->Sending = TRUE;
    }
}

// What the line status tells beside a byte.
static void LineErrors(PPORT x, UCHAR line)
{
    if (line & LINE_OVERRUN) {
        x->Stats.SerialOverrunErrorCount++;
        x->Errors |= SERIAL_ERROR_OVERRUN;
    }
    if (line & LINE_BREAK) {
        x->Errors |= SERIAL_ERROR_BREAK;
        Raise(x, SERIAL_EV_BREAK);
    } else {
        if (line & LINE_PARITY) {
            x->Stats.ParityErrorCount++;
            x->Errors |= SERIAL_ERROR_PARITY;
        }
        if (line & LINE_FRAMING) {
            x->Stats.FrameErrorCount++;
            x->Errors |= SERIAL_ERROR_FRAMING;
        }
    }
    if (line & (LINE_OVERRUN | LINE_PARITY | LINE_FRAMING)) Raise(x, SERIAL_EV_ERR);
}

// There is something to send: now, if nothing is on its way; else the transmitter's interrupt goes on.
static void Kick(PPORT x)
{
    if (!Runs(x)) return;
    UCHAR line = In(x, LINE);
    // Reading has taken what it tells of errors.
    LineErrors(x, line);
    if (line & LINE_EMPTY) Transmit(x);
}

// The other end is held up when little room is left, and goes on when enough was read.
static void HoldOther(PPORT x)
{
    ULONG flow = x->Flow.FlowReplace, control = x->Flow.ControlHandShake;
    BOOLEAN full = x->Count + (ULONG)x->Flow.XoffLimit >= x->RingBytes, low = x->Count <= (ULONG)x->Flow.XonLimit;
    UCHAR lines = (UCHAR)(((flow & SERIAL_RTS_MASK) == SERIAL_RTS_HANDSHAKE ? CONTROL_RTS : 0)
        | ((control & SERIAL_DTR_MASK) == SERIAL_DTR_HANDSHAKE ? CONTROL_DTR : 0));
    if (lines != 0 && full) SetControl(x, 0, lines);
    if (lines != 0 && low) SetControl(x, lines, 0);
    if (!(flow & SERIAL_AUTO_RECEIVE) || !(x->XoffSent ? low : full)) return;
    x->XoffSent = !x->XoffSent;
    x->Immediate = x->XoffSent ? x->Chars.XoffChar : x->Chars.XonChar;
    Kick(x);
}

static void Received(PPORT x, UCHAR value)
{
    ULONG flow = x->Flow.FlowReplace;
    if ((flow & SERIAL_AUTO_TRANSMIT) && value == x->Chars.XoffChar) {
        x->Holds |= SERIAL_TX_WAITING_FOR_XON;
        return;
    }
    if ((flow & SERIAL_AUTO_TRANSMIT) && value == x->Chars.XonChar) {
        x->Holds &= ~SERIAL_TX_WAITING_FOR_XON;
        Kick(x);
        return;
    }
    if ((flow & SERIAL_NULL_STRIPPING) && value == 0) return;
    x->Stats.ReceivedCount++;
    if (x->Count == x->RingBytes) {
        x->Stats.BufferOverrunErrorCount++;
        x->Errors |= SERIAL_ERROR_QUEUEOVERRUN;
        Raise(x, SERIAL_EV_ERR);
        return;
    }
    x->Ring[(x->First + x->Count++) % x->RingBytes] = value;
    Raise(x, SERIAL_EV_RXCHAR | (value == x->Chars.EventChar ? SERIAL_EV_RXFLAG : 0)
        | (x->Count == x->RingBytes / 5 * 4 ? SERIAL_EV_RX80FULL : 0));
    HoldOther(x);
}

static void ReceiveAll(PPORT x)
{
    // More than the FIFO has in it at once would be a chip that is not there any more.
    for (int i = 0; i < 4 * FIFO_BYTES; i++) {
        UCHAR line = In(x, LINE);
        if (line == 0xFF) return;
        LineErrors(x, line);
        if (!(line & LINE_READY)) return;
        UCHAR value = In(x, DATA);
        if (!(line & LINE_BREAK)) Received(x, value);
    }
}

static void ModemChanged(PPORT x)
{
    UCHAR modem = In(x, MODEM);
    Raise(x, ((modem & 1) ? SERIAL_EV_CTS : 0) | ((modem & 2) ? SERIAL_EV_DSR : 0) | ((modem & 4) ? SERIAL_EV_RING : 0)
        | ((modem & 8) ? SERIAL_EV_RLSD : 0));
    ULONG before = x->Holds;
    UpdateHolds(x, modem);
    if (before != 0 && x->Holds == 0) Kick(x);
}

static BOOLEAN NTAPI Isr(PKINTERRUPT interrupt, PVOID context)
{
    PPORT x = context;
    BOOLEAN mine = FALSE;
    if (!Runs(x)) return FALSE;
    for (;;) {
        UCHAR id = In(x, IDENTIFY);
        // Nothing more; or nobody is there: it was pulled out.
        if ((id & 1) || id == 0xFF) break;
        mine = TRUE;
        switch (id & 0xE) {
        case 6: case 4: case 0xC:
            ReceiveAll(x);
            break;
        case 2:
            if (x->Sending && x->SendLeft == 0 && x->Immediate == NO_CHAR) Raise(x, SERIAL_EV_TXEMPTY);
            x->Sending = FALSE;
            Transmit(x);
            break;
        default:
            ModemChanged(x);
            break;
        }
    }
    if (mine) IoRequestDpc(x->Self, NULL, x);
    return mine;
}

// The chip as the settings want it: at the start, and when power comes back.
static void Program(PPORT x)
{
    Out(x, ENABLE, 0);
    Out(x, IDENTIFY, FIFO_ON | FIFO_CLEAR_RECEIVED | FIFO_CLEAR_SENT);
    SetSpeed(x);
    Out(x, CONTROL, x->Control);
    In(x, LINE);
    In(x, DATA);
    In(x, IDENTIFY);
    UpdateHolds(x, In(x, MODEM));
    Out(x, ENABLE, ENABLE_ALL);
}
