using Ringdown.Kernel;
using Ringdown.Machine;

namespace Ringdown.Samples;

// The hardware half: the 16550's registers, what the service routine shares with the rest, flow control.
public sealed partial class Serial
{
    const int FifoBytes = 16, LeastRing = 4096, MostRing = 65536, NoChar = -1;
    const int Data = 0, Enable = 1, Identify = 2, Format = 3, Control = 4, Line = 5, Modem = 6, Scratch = 7, Ports = 8;
    const byte EnableAll = 15, FifoOn = 0x81, FifoClearReceived = 2, FifoClearSent = 4;
    const byte FormatBreak = 0x40, FormatLatch = 0x80, ControlDtr = 1, ControlRts = 2, ControlOut2 = 8;
    const byte LineReady = 1, LineOverrun = 2, LineParity = 4, LineFraming = 8, LineBreak = 0x10, LineEmpty = 0x20;
    const byte ModemCts = 0x10, ModemDsr = 0x20, ModemDcd = 0x80;

    const uint SERIAL_EV_RXCHAR = 1, SERIAL_EV_RXFLAG = 2, SERIAL_EV_TXEMPTY = 4, SERIAL_EV_CTS = 8,
        SERIAL_EV_DSR = 0x10, SERIAL_EV_RLSD = 0x20, SERIAL_EV_BREAK = 0x40, SERIAL_EV_ERR = 0x80,
        SERIAL_EV_RING = 0x100, SERIAL_EV_RX80FULL = 0x400;
    const uint SERIAL_TX_WAITING_FOR_CTS = 1, SERIAL_TX_WAITING_FOR_DSR = 2, SERIAL_TX_WAITING_FOR_DCD = 4,
        SERIAL_TX_WAITING_FOR_XON = 8, SERIAL_TX_WAITING_ON_BREAK = 0x20;
    const uint SERIAL_ERROR_BREAK = 1, SERIAL_ERROR_FRAMING = 2, SERIAL_ERROR_OVERRUN = 4,
        SERIAL_ERROR_QUEUEOVERRUN = 8, SERIAL_ERROR_PARITY = 16;
    const uint SERIAL_DTR_MASK = 3, SERIAL_DTR_CONTROL = 1, SERIAL_DTR_HANDSHAKE = 2, SERIAL_CTS_HANDSHAKE = 8,
        SERIAL_DSR_HANDSHAKE = 0x10, SERIAL_DCD_HANDSHAKE = 0x20, SERIAL_CONTROL_INVALID = 0x7FFF_FF84;
    const uint SERIAL_AUTO_TRANSMIT = 1, SERIAL_AUTO_RECEIVE = 2, SERIAL_NULL_STRIPPING = 8, SERIAL_RTS_MASK = 0xC0,
        SERIAL_RTS_CONTROL = 0x40, SERIAL_RTS_HANDSHAKE = 0x80, SERIAL_FLOW_INVALID = 0x7FFF_FF20;

    [Layout("SERIAL_QUEUE", Size = 0x50)]
    public readonly partial struct QueueExtension
    {
        [Embedded(0x00)] public partial ListEntry Irps { get; }
        [Embedded(0x10)] public partial KTimer Timer { get; }
    }

    [Layout("SERIAL_EXTENSION", Size = 0x158)]
    public readonly partial struct Extension
    {
        [Embedded(0x00)] public partial RemoveLock RemoveLock { get; }
        [Embedded(0x20)] public partial KSpinLock Lock { get; }
        [Embedded(0x28)] public partial KDpc TimeOut { get; }
        [Embedded(0x68)] public partial QueueExtension Reads { get; }
        [Embedded(0xB8)] public partial QueueExtension Writes { get; }
        [Embedded(0x108)] public partial QueueExtension Waits { get; }
    }

    record struct Timeouts(uint ReadInterval, uint ReadMultiplier, uint ReadConstant, uint WriteMultiplier,
        uint WriteConstant);

    record struct Chars(byte Eof, byte Error, byte Break, byte Event, byte Xon, byte Xoff);

    record struct Flow(uint ControlHandShake, uint FlowReplace, int XonLimit, int XoffLimit);

    record struct Stats(uint Received, uint Transmitted, uint Frame, uint Overrun, uint BufferOverrun, uint Parity);

    sealed partial class Port(Serial driver, DeviceObject self, DeviceObject physical, string name)
    {
        readonly Serial _driver = driver;
        Va _port, _interrupt;
        byte[] _ring = new byte[LeastRing];
        int _first, _count, _immediate = NoChar;
        Va _send;
        uint _sendLeft;
        bool _started, _powered, _sending, _xoffSent;
        byte _format = 3, _control = ControlOut2;
        uint _baud = 1200, _mask, _events, _errors, _holds;
        Chars _chars;
        Flow _flow;
        Stats _stats;

        NtKernel Nt => _driver.Nt;
        Memory Memory => _driver.Memory;

        public DeviceObject Self { get; } = self;
        public DeviceObject Physical { get; } = physical;
        public DeviceObject Lower { get; set; }
        public Extension Extension { get; } = driver.At<Extension>(self.DeviceExtension);
        public RemoveLock RemoveLock => Extension.RemoveLock;
        public bool Gone { get; private set; }

        bool Runs => _started && _powered && !Gone;

        byte In(int register) => Nt.READ_PORT_UCHAR(_port + register);
        void Out(int register, int value) => Nt.WRITE_PORT_UCHAR(_port + register, (byte)value);

        // The interrupt's lock, inside of that of the queues: so an interrupt does not go while somebody has it.
        void Enter()
        {
            if (!_interrupt.IsNull) Nt.KeAcquireInterruptSpinLock(_driver.At<KInterrupt>(_interrupt));
        }

        void Leave()
        {
            if (!_interrupt.IsNull)
                Nt.KeReleaseInterruptSpinLock(_driver.At<KInterrupt>(_interrupt), Irql.DISPATCH_LEVEL);
        }

        Irql Lock()
        {
            Irql irql = Nt.KeAcquireSpinLockRaiseToDpc(Extension.Lock);
            Enter();
            return irql;
        }

        void Unlock(Irql irql)
        {
            Leave();
            Nt.KeReleaseSpinLock(Extension.Lock, irql);
        }

        void Raise(uint events) => _events |= events & _mask;

        void SetLines(int set, int clear)
        {
            _control = (byte)((_control | set) & ~clear);
            if (Runs) Out(Control, _control);
        }

        void SetSpeed()
        {
            uint divisor = 115200 / _baud;
            Out(Format, _format | FormatLatch);
            Out(Data, (byte)divisor);
            Out(Enable, (byte)(divisor >> 8));
            Out(Format, _format);
        }

        // What the modem's lines, or the other end's XOFF, hold up.
        void UpdateHolds(byte modem)
        {
            uint flow = _flow.ControlHandShake, holds = _holds & (SERIAL_TX_WAITING_FOR_XON | SERIAL_TX_WAITING_ON_BREAK);
            if ((flow & SERIAL_CTS_HANDSHAKE) != 0 && (modem & ModemCts) == 0) holds |= SERIAL_TX_WAITING_FOR_CTS;
            if ((flow & SERIAL_DSR_HANDSHAKE) != 0 && (modem & ModemDsr) == 0) holds |= SERIAL_TX_WAITING_FOR_DSR;
            if ((flow & SERIAL_DCD_HANDSHAKE) != 0 && (modem & ModemDcd) == 0) holds |= SERIAL_TX_WAITING_FOR_DCD;
            _holds = holds;
        }

        // Into an empty transmitter goes as much as its FIFO holds.
        void Transmit()
        {
            int room = FifoBytes;
            if (_immediate != NoChar)
            {
                Out(Data, _immediate);
                _immediate = NoChar;
                _stats.Transmitted++;
                room--;
                _sending = true;
            }
            if (_holds != 0) return;
            for (; room > 0 && _sendLeft > 0; room--)
            {
                Out(Data, Memory.Read<byte>(_send));
                _send += 1;
                _sendLeft--;
                _stats.Transmitted++;
                _sending = true;
            }
        }

        // There is something to send: now, if nothing is on its way; else the transmitter's interrupt goes on.
        void Kick()
        {
            if (!Runs) return;
            byte line = In(Line);
            // Reading has taken what it tells of errors.
            LineErrors(line);
            if ((line & LineEmpty) != 0) Transmit();
        }

        // The other end is held up when little room is left, and goes on when enough was read.
        void HoldOther()
        {
            bool full = _count + _flow.XoffLimit >= _ring.Length, low = _count <= _flow.XonLimit;
            int lines = ((_flow.FlowReplace & SERIAL_RTS_MASK) == SERIAL_RTS_HANDSHAKE ? ControlRts : 0)
                | ((_flow.ControlHandShake & SERIAL_DTR_MASK) == SERIAL_DTR_HANDSHAKE ? ControlDtr : 0);
            if (lines != 0 && full) SetLines(0, lines);
            if (lines != 0 && low) SetLines(lines, 0);
            if ((_flow.FlowReplace & SERIAL_AUTO_RECEIVE) == 0 || !(_xoffSent ? low : full)) return;
            _xoffSent = !_xoffSent;
            _immediate = _xoffSent ? _chars.Xoff : _chars.Xon;
            Kick();
        }

        void Received(byte value)
        {
            if ((_flow.FlowReplace & SERIAL_AUTO_TRANSMIT) != 0 && value == _chars.Xoff)
            {
                _holds |= SERIAL_TX_WAITING_FOR_XON;
                return;
            }
            if ((_flow.FlowReplace & SERIAL_AUTO_TRANSMIT) != 0 && value == _chars.Xon)
            {
                _holds &= ~SERIAL_TX_WAITING_FOR_XON;
                Kick();
                return;
            }
            if ((_flow.FlowReplace & SERIAL_NULL_STRIPPING) != 0 && value == 0) return;
            _stats.Received++;
            if (_count == _ring.Length)
            {
                _stats.BufferOverrun++;
                _errors |= SERIAL_ERROR_QUEUEOVERRUN;
                Raise(SERIAL_EV_ERR);
                return;
            }
            _ring[(_first + _count++) % _ring.Length] = value;
            Raise(SERIAL_EV_RXCHAR | (value == _chars.Event ? SERIAL_EV_RXFLAG : 0)
                | (_count == _ring.Length / 5 * 4 ? SERIAL_EV_RX80FULL : 0));
            HoldOther();
        }

        // What the line status tells beside a byte.
        void LineErrors(byte line)
        {
            if ((line & LineOverrun) != 0)
            {
                _stats.Overrun++;
                _errors |= SERIAL_ERROR_OVERRUN;
            }
            if ((line & LineBreak) != 0)
            {
                _errors |= SERIAL_ERROR_BREAK;
                Raise(SERIAL_EV_BREAK);
            }
            else
            {
                if ((line & LineParity) != 0)
                {
                    _stats.Parity++;
                    _errors |= SERIAL_ERROR_PARITY;
                }
                if ((line & LineFraming) != 0)
                {
                    _stats.Frame++;
                    _errors |= SERIAL_ERROR_FRAMING;
                }
            }
            if ((line & (LineOverrun | LineParity | LineFraming)) != 0) Raise(SERIAL_EV_ERR);
        }

        void ReceiveAll()
        {
            // More than the FIFO has in it at once would be a chip that is not there any more.
            for (int i = 0; i < 4 * FifoBytes; i++)
            {
                byte line = In(Line);
                if (line == 0xFF) return;
                LineErrors(line);
                if ((line & LineReady) == 0) return;
                byte value = In(Data);
                if ((line & LineBreak) == 0) Received(value);
            }
        }

        void ModemChanged()
        {
            byte modem = In(Modem);
            Raise(((modem & 1) != 0 ? SERIAL_EV_CTS : 0) | ((modem & 2) != 0 ? SERIAL_EV_DSR : 0)
                | ((modem & 4) != 0 ? SERIAL_EV_RING : 0) | ((modem & 8) != 0 ? SERIAL_EV_RLSD : 0));
            uint before = _holds;
            UpdateHolds(modem);
            if (before != 0 && _holds == 0) Kick();
        }

        public bool Isr()
        {
            bool mine = false;
            if (!Runs) return false;
            while (true)
            {
                byte id = In(Identify);
                // Nothing more; or nobody is there: it was pulled out.
                if ((id & 1) != 0 || id == 0xFF) break;
                mine = true;
                switch (id & 0xE)
                {
                    case 6 or 4 or 0xC:
                        ReceiveAll();
                        break;
                    case 2:
                        if (_sending && _sendLeft == 0 && _immediate == NoChar) Raise(SERIAL_EV_TXEMPTY);
                        _sending = false;
                        Transmit();
                        break;
                    default:
                        ModemChanged();
                        break;
                }
            }
            if (mine) _driver.IoRequestDpc(Self, default, Va.Null);
            return mine;
        }

        // The chip as the settings want it: at the start, and when power comes back.
        void Program()
        {
            Out(Enable, 0);
            Out(Identify, FifoOn | FifoClearReceived | FifoClearSent);
            SetSpeed();
            Out(Control, _control);
            In(Line);
            In(Data);
            In(Identify);
            UpdateHolds(In(Modem));
            Out(Enable, EnableAll);
        }
    }
}
