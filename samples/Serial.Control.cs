using Ringdown.Kernel;
using Ringdown.Machine;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;

namespace Ringdown.Samples;

// The control codes, as terminal programs use them.
public sealed partial class Serial
{
    const uint IOCTL_SERIAL_SET_BAUD_RATE = 0x1B0004, IOCTL_SERIAL_SET_QUEUE_SIZE = 0x1B0008,
        IOCTL_SERIAL_SET_LINE_CONTROL = 0x1B000C, IOCTL_SERIAL_SET_BREAK_ON = 0x1B0010,
        IOCTL_SERIAL_SET_BREAK_OFF = 0x1B0014, IOCTL_SERIAL_IMMEDIATE_CHAR = 0x1B0018,
        IOCTL_SERIAL_SET_TIMEOUTS = 0x1B001C, IOCTL_SERIAL_GET_TIMEOUTS = 0x1B0020, IOCTL_SERIAL_SET_DTR = 0x1B0024,
        IOCTL_SERIAL_CLR_DTR = 0x1B0028, IOCTL_SERIAL_SET_RTS = 0x1B0030, IOCTL_SERIAL_CLR_RTS = 0x1B0034,
        IOCTL_SERIAL_SET_XOFF = 0x1B0038, IOCTL_SERIAL_SET_XON = 0x1B003C, IOCTL_SERIAL_GET_WAIT_MASK = 0x1B0040,
        IOCTL_SERIAL_SET_WAIT_MASK = 0x1B0044, IOCTL_SERIAL_WAIT_ON_MASK = 0x1B0048, IOCTL_SERIAL_PURGE = 0x1B004C,
        IOCTL_SERIAL_GET_BAUD_RATE = 0x1B0050, IOCTL_SERIAL_GET_LINE_CONTROL = 0x1B0054,
        IOCTL_SERIAL_GET_CHARS = 0x1B0058, IOCTL_SERIAL_SET_CHARS = 0x1B005C, IOCTL_SERIAL_GET_HANDFLOW = 0x1B0060,
        IOCTL_SERIAL_SET_HANDFLOW = 0x1B0064, IOCTL_SERIAL_GET_MODEMSTATUS = 0x1B0068,
        IOCTL_SERIAL_GET_COMMSTATUS = 0x1B006C, IOCTL_SERIAL_GET_PROPERTIES = 0x1B0074,
        IOCTL_SERIAL_GET_DTRRTS = 0x1B0078, IOCTL_SERIAL_CONFIG_SIZE = 0x1B0080, IOCTL_SERIAL_GET_STATS = 0x1B008C,
        IOCTL_SERIAL_CLEAR_STATS = 0x1B0090, IOCTL_SERIAL_GET_MODEM_CONTROL = 0x1B0094;

    const uint SERIAL_PURGE_TXABORT = 1, SERIAL_PURGE_RXABORT = 2, SERIAL_PURGE_TXCLEAR = 4, SERIAL_PURGE_RXCLEAR = 8;

    sealed partial class Port
    {
        static readonly byte[] s_parities = [0, 8, 0x18, 0x28, 0x38];

        NtStatus SetBaud(uint baud)
        {
            if (baud is 0 or > 115200 || 115200 / baud > 0xFFFF) return STATUS_INVALID_PARAMETER;
            Irql irql = Lock();
            _baud = baud;
            if (Runs) SetSpeed();
            Unlock(irql);
            return STATUS_SUCCESS;
        }

        NtStatus SetLine(byte stopBits, byte parity, byte wordLength)
        {
            if (wordLength is < 5 or > 8 || parity > 4 || stopBits > 2 || stopBits == 1 && wordLength != 5
                || stopBits == 2 && wordLength == 5) return STATUS_INVALID_PARAMETER;
            Irql irql = Lock();
            _format = (byte)(_format & FormatBreak | (wordLength - 5) | (stopBits != 0 ? 4 : 0) | s_parities[parity]);
            if (Runs) Out(Format, _format);
            Unlock(irql);
            return STATUS_SUCCESS;
        }

        byte[] GetLine()
        {
            int word = (_format & 3) + 5, stop = (_format & 4) == 0 ? 0 : word == 5 ? 1 : 2;
            return [(byte)stop, (byte)((_format & 8) == 0 ? 0 : 1 + (_format >> 4 & 3)), (byte)word];
        }

        void ApplyFlow()
        {
            uint dtr = _flow.ControlHandShake & SERIAL_DTR_MASK, rts = _flow.FlowReplace & SERIAL_RTS_MASK;
            SetLines((dtr != 0 ? ControlDtr : 0) | (rts != 0 ? ControlRts : 0),
                (dtr != 0 ? 0 : ControlDtr) | (rts != 0 ? 0 : ControlRts));
            if (Runs) UpdateHolds(In(Modem));
            if ((_flow.FlowReplace & SERIAL_AUTO_TRANSMIT) == 0) _holds &= ~SERIAL_TX_WAITING_FOR_XON;
            HoldOther();
            Kick();
        }

        NtStatus SetFlow(Flow flow)
        {
            if ((flow.ControlHandShake & SERIAL_CONTROL_INVALID) != 0 || (flow.FlowReplace & SERIAL_FLOW_INVALID) != 0
                || (flow.ControlHandShake & SERIAL_DTR_MASK) == SERIAL_DTR_MASK || flow.XonLimit < 0
                || flow.XoffLimit < 0 || flow.XonLimit > _ring.Length || flow.XoffLimit > _ring.Length)
                return STATUS_INVALID_PARAMETER;
            Irql irql = Lock();
            _flow = flow;
            ApplyFlow();
            Unlock(irql);
            return STATUS_SUCCESS;
        }

        // A larger ring; a smaller one is not worth it.
        NtStatus SetQueueSize(uint bytes)
        {
            if (bytes > MostRing) return STATUS_INVALID_PARAMETER;
            if (bytes <= _ring.Length) return STATUS_SUCCESS;
            Irql irql = Lock();
            var made = new byte[bytes];
            for (int i = 0; i < _count; i++) made[i] = _ring[(_first + i) % _ring.Length];
            (_ring, _first) = (made, 0);
            // The limits that were the smaller ring's.
            _flow = _flow with { XoffLimit = (int)(bytes / 8), XonLimit = (int)(bytes / 2) };
            Unlock(irql);
            return STATUS_SUCCESS;
        }

        NtStatus Purge(uint what)
        {
            if (what is 0 or > 15) return STATUS_INVALID_PARAMETER;
            if ((what & SERIAL_PURGE_TXABORT) != 0) Abort(Writes, STATUS_CANCELLED);
            if ((what & SERIAL_PURGE_RXABORT) != 0) Abort(Reads, STATUS_CANCELLED);
            Irql irql = Lock();
            int fifo = FifoOn;
            if ((what & SERIAL_PURGE_TXCLEAR) != 0) fifo |= FifoClearSent;
            if ((what & SERIAL_PURGE_RXCLEAR) != 0)
            {
                fifo |= FifoClearReceived;
                _first = _count = 0;
                HoldOther();
            }
            if (fifo != FifoOn && Runs) Out(Identify, fifo);
            Unlock(irql);
            return STATUS_SUCCESS;
        }

        NtStatus SetMask(uint mask)
        {
            if ((mask & ~0x1FFFu) != 0) return STATUS_INVALID_PARAMETER;
            List<Irp> ended = [];
            Irql irql = Nt.KeAcquireSpinLockRaiseToDpc(Extension.Lock);
            Enter();
            (_mask, _events) = (mask, 0);
            Leave();
            // Who waits for the old events is told that there will be none.
            if (!Waits.Irps.IsEmpty)
            {
                Irp irp = Irp.FromListEntry(Memory, Waits.Irps.Flink);
                Memory.Write(irp.SystemBuffer, 0u);
                Take(irp, STATUS_SUCCESS, 4, ended);
            }
            Nt.KeReleaseSpinLock(Extension.Lock, irql);
            EndAll(ended);
            return STATUS_SUCCESS;
        }

        byte[] GetStatus()
        {
            uint inOut = 0;
            Irql irql = Nt.KeAcquireSpinLockRaiseToDpc(Extension.Lock);
            for (ListEntry entry = Writes.Irps.Flink; entry != Writes.Irps; entry = entry.Flink)
            {
                Irp irp = Irp.FromListEntry(Memory, entry);
                IoStackLocation at = irp.CurrentStackLocation;
                if (at.MajorFunction == IRP_MJ_WRITE) inOut += at.Length - DoneOf(irp);
            }
            Enter();
            byte[] status = [.. Words(_errors, _holds, (uint)_count, inOut), 0,
                (byte)(_immediate != NoChar ? 1 : 0), 0, 0];
            _errors = 0;
            Leave();
            Nt.KeReleaseSpinLock(Extension.Lock, irql);
            return status;
        }

        // RS-232 with all that is above, any rate, five to eight bits.
        byte[] GetProperties() =>
        [
            .. Words(64 | 2 << 16, 1, 0, 0, 0, 0x1000_0000, 1, 0xFF, 0x7F, 0x1006_7FFF), 0xF, 0, 7, 0x1F,
            .. Words(0, (uint)_ring.Length, 0, 0), 0, 0, 0, 0,
        ];

        static byte[] Words(params uint[] words) => [.. words.SelectMany(BitConverter.GetBytes)];

        void SetBreak(bool on)
        {
            Irql irql = Lock();
            _format = (byte)(on ? _format | FormatBreak : _format & ~FormatBreak);
            _holds = on ? _holds | SERIAL_TX_WAITING_ON_BREAK : _holds & ~SERIAL_TX_WAITING_ON_BREAK;
            if (Runs) Out(Format, _format);
            if (!on) Kick();
            Unlock(irql);
        }

        NtStatus SetByHand(uint mode, uint handshake, int set, int clear)
        {
            // Whoever lets the driver do the handshake must not do it himself.
            if (mode == handshake) return STATUS_INVALID_PARAMETER;
            Irql irql = Lock();
            SetLines(set, clear);
            Unlock(irql);
            return STATUS_SUCCESS;
        }

        NtStatus SendNow(byte value)
        {
            Irql irql = Lock();
            bool busy = _immediate != NoChar;
            if (!busy)
            {
                _immediate = value;
                Kick();
            }
            Unlock(irql);
            return busy ? STATUS_INVALID_PARAMETER : STATUS_SUCCESS;
        }

        void SetXon(bool on)
        {
            Irql irql = Lock();
            _holds = on ? _holds & ~SERIAL_TX_WAITING_FOR_XON : _holds | SERIAL_TX_WAITING_FOR_XON;
            if (on) Kick();
            Unlock(irql);
        }

        uint ModemStatus()
        {
            Irql irql = Lock();
            byte modem = Runs ? In(Modem) : (byte)0;
            if (Runs) UpdateHolds(modem);
            Unlock(irql);
            return modem;
        }

        void ClearStats()
        {
            Irql irql = Lock();
            _stats = default;
            Unlock(irql);
        }

        NtStatus SetTimeouts(uint[] t)
        {
            if (t[0] == uint.MaxValue && t[1] == uint.MaxValue && t[2] == uint.MaxValue) return STATUS_INVALID_PARAMETER;
            Irql irql = Nt.KeAcquireSpinLockRaiseToDpc(Extension.Lock);
            _timeouts = new Timeouts(t[0], t[1], t[2], t[3], t[4]);
            Nt.KeReleaseSpinLock(Extension.Lock, irql);
            return STATUS_SUCCESS;
        }

        NtStatus SetChars(byte[] c)
        {
            Irql irql = Lock();
            _chars = new Chars(c[0], c[1], c[2], c[3], c[4], c[5]);
            Unlock(irql);
            return STATUS_SUCCESS;
        }

        /// <summary>A control code: at once, but for the wait for events.</summary>
        public NtStatus DeviceControl(Irp irp, IoStackLocation at)
        {
            if (at.IoControlCode == IOCTL_SERIAL_WAIT_ON_MASK)
            {
                if (at.OutputBufferLength < 4) return End(irp, STATUS_BUFFER_TOO_SMALL, 0);
                return _mask == 0 ? End(irp, STATUS_INVALID_PARAMETER, 0) : Enqueue(Waits, irp);
            }
            byte[]? answer = null;
            NtStatus? status = Set(irp, at) ?? Act(at.IoControlCode);
            if (status is null && Answer(at.IoControlCode) is { } made)
            {
                (int length, Func<byte[]> get) = made;
                status = at.OutputBufferLength < length ? STATUS_BUFFER_TOO_SMALL : STATUS_SUCCESS;
                if (status.Value.IsSuccess) Memory.Write(irp.SystemBuffer, answer = get());
            }
            return End(irp, status ?? STATUS_INVALID_DEVICE_REQUEST, (ulong)(answer?.Length ?? 0));
        }

        // Codes with an input; null: it is none of these.
        NtStatus? Set(Irp irp, IoStackLocation at)
        {
            int needed = at.IoControlCode switch
            {
                IOCTL_SERIAL_SET_BAUD_RATE or IOCTL_SERIAL_SET_WAIT_MASK or IOCTL_SERIAL_PURGE => 4,
                IOCTL_SERIAL_SET_QUEUE_SIZE => 8,
                IOCTL_SERIAL_SET_LINE_CONTROL => 3,
                IOCTL_SERIAL_SET_TIMEOUTS => 20,
                IOCTL_SERIAL_SET_CHARS => 6,
                IOCTL_SERIAL_SET_HANDFLOW => 16,
                IOCTL_SERIAL_IMMEDIATE_CHAR => 1,
                _ => 0,
            };
            if (needed == 0) return null;
            if (at.InputBufferLength < needed) return STATUS_BUFFER_TOO_SMALL;
            byte[] b = Memory.ReadBytes(irp.SystemBuffer, needed);
            uint[] w = [.. Enumerable.Range(0, needed / 4).Select(i => BitConverter.ToUInt32(b, 4 * i))];
            return at.IoControlCode switch
            {
                IOCTL_SERIAL_SET_BAUD_RATE => SetBaud(w[0]),
                IOCTL_SERIAL_SET_WAIT_MASK => SetMask(w[0]),
                IOCTL_SERIAL_PURGE => Purge(w[0]),
                IOCTL_SERIAL_SET_QUEUE_SIZE => SetQueueSize(w[0]),
                IOCTL_SERIAL_SET_LINE_CONTROL => SetLine(b[0], b[1], b[2]),
                IOCTL_SERIAL_SET_TIMEOUTS => SetTimeouts(w),
                IOCTL_SERIAL_SET_CHARS => SetChars(b),
                IOCTL_SERIAL_SET_HANDFLOW => SetFlow(new Flow(w[0], w[1], (int)w[2], (int)w[3])),
                _ => SendNow(b[0]),
            };
        }

        // Codes with neither input nor output; null: it is none of these.
        NtStatus? Act(uint code)
        {
            switch (code)
            {
                case IOCTL_SERIAL_SET_DTR or IOCTL_SERIAL_CLR_DTR:
                    return SetByHand(_flow.ControlHandShake & SERIAL_DTR_MASK, SERIAL_DTR_HANDSHAKE,
                        code == IOCTL_SERIAL_SET_DTR ? ControlDtr : 0, code == IOCTL_SERIAL_CLR_DTR ? ControlDtr : 0);
                case IOCTL_SERIAL_SET_RTS or IOCTL_SERIAL_CLR_RTS:
                    return SetByHand(_flow.FlowReplace & SERIAL_RTS_MASK, SERIAL_RTS_HANDSHAKE,
                        code == IOCTL_SERIAL_SET_RTS ? ControlRts : 0, code == IOCTL_SERIAL_CLR_RTS ? ControlRts : 0);
                case IOCTL_SERIAL_SET_BREAK_ON or IOCTL_SERIAL_SET_BREAK_OFF:
                    SetBreak(code == IOCTL_SERIAL_SET_BREAK_ON);
                    return STATUS_SUCCESS;
                case IOCTL_SERIAL_SET_XON or IOCTL_SERIAL_SET_XOFF:
                    SetXon(code == IOCTL_SERIAL_SET_XON);
                    return STATUS_SUCCESS;
                case IOCTL_SERIAL_CLEAR_STATS:
                    ClearStats();
                    return STATUS_SUCCESS;
                default:
                    return null;
            }
        }

        // Codes with an output, and how much of it; null: it is none of these.
        (int Length, Func<byte[]> Get)? Answer(uint code) => code switch
        {
            IOCTL_SERIAL_GET_BAUD_RATE => (4, () => Words(_baud)),
            IOCTL_SERIAL_GET_LINE_CONTROL => (3, GetLine),
            IOCTL_SERIAL_GET_TIMEOUTS => (20, () => Words(_timeouts.ReadInterval, _timeouts.ReadMultiplier,
                _timeouts.ReadConstant, _timeouts.WriteMultiplier, _timeouts.WriteConstant)),
            IOCTL_SERIAL_GET_CHARS => (6, () =>
                [_chars.Eof, _chars.Error, _chars.Break, _chars.Event, _chars.Xon, _chars.Xoff]),
            IOCTL_SERIAL_GET_HANDFLOW => (16, () => Words(
                _flow.ControlHandShake, _flow.FlowReplace, (uint)_flow.XonLimit, (uint)_flow.XoffLimit)),
            IOCTL_SERIAL_GET_DTRRTS => (4, () => Words(_control & 3u)),
            IOCTL_SERIAL_GET_WAIT_MASK => (4, () => Words(_mask)),
            IOCTL_SERIAL_GET_MODEMSTATUS => (4, () => Words(ModemStatus())),
            IOCTL_SERIAL_GET_MODEM_CONTROL => (4, () => Words(_control)),
            IOCTL_SERIAL_GET_COMMSTATUS => (20, GetStatus),
            IOCTL_SERIAL_GET_PROPERTIES => (64, GetProperties),
            IOCTL_SERIAL_CONFIG_SIZE => (4, () => Words(0)),
            IOCTL_SERIAL_GET_STATS => (24, () => Words(_stats.Received, _stats.Transmitted, _stats.Frame,
                _stats.Overrun, _stats.BufferOverrun, _stats.Parity)),
            _ => null,
        };
    }
}
