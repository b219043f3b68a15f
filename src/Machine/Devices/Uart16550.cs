namespace Ringdown.Machine;

/// <summary>Lines that come from a modem, as the upper half of the modem status register has them.</summary>
[Flags]
public enum ModemInputs : byte
{
    None = 0,
    ClearToSend = 0x10,
    DataSetReady = 0x20,
    RingIndicator = 0x40,
    CarrierDetect = 0x80,
}

/// <summary>A 16550A: a serial port with FIFOs of 16 bytes, driven by a crystal of 1.8432 MHz.</summary>
/// <remarks>Characters take their time: start, data, parity and stop bits at the rate that the divisor gives; with a
/// divisor of 0 nothing moves. Parity is not computed. OUT2 lets the interrupt through, as it is wired in a PC: so
/// not in loopback, where the pin is off.</remarks>
public sealed partial class Uart16550 : ILosesState
{
    const byte ReceiveEnable = 1, TransmitEnable = 2, LineEnable = 4, ModemEnable = 8;
    const byte Ready = 1, Overrun = 2, Break = 0x10, Empty = 0x20, Idle = 0x40, ErrorInFifo = 0x80;
    const byte Out2 = 8, Loop = 0x10, DivisorLatch = 0x80, SetBreak = 0x40;
    const byte ShownErrors = 0x1E;
    const int FifoBytes = 16;

    readonly InterruptLine? _line;
    readonly ChipTimer _arrival, _sending, _timer, _breaking;
    readonly Queue<byte> _outside = [], _transmit = [];
    readonly List<(byte Value, byte Errors)> _received = [];
    byte _shifting, _enable, _fifo, _format, _control, _errors, _inputs, _modem, _scratch;
    ModemInputs _outer;
    ushort _divisor = 12;
    bool _isShifting, _timedOut, _emptied;

    public Uart16550(IDeviceClock clock, InterruptLine? line)
    {
        _line = line;
        _arrival = new ChipTimer(clock, EndArrival);
        _sending = new ChipTimer(clock, Shift);
        _timer = new ChipTimer(clock, TimeOut);
        _breaking = new ChipTimer(clock, EndBreak);
        Registers = new RegisterBlock()
            .Add("RBR/THR", 0, 1, () => IsLatch ? (byte)_divisor : Take(), v => WriteFirst((byte)v))
            .Add("IER", 1, 1, () => IsLatch ? (byte)(_divisor >> 8) : _enable, v => WriteSecond((byte)v))
            .Add("IIR/FCR", 2, 1, () => Identify(), v => SetFifo((byte)v))
            .Add("LCR", 3, 1, () => _format, v => SetFormat((byte)v))
            .Add("MCR", 4, 1, () => _control, v => SetControl((byte)v))
            .Add("LSR", 5, 1, () => TakeLineStatus(), _ => { })
            .Add("MSR", 6, 1, () => TakeModemStatus(), _ => { })
            .Add("SCR", 7, 1, () => _scratch, v => _scratch = (byte)v);
    }

    /// <summary>The chip's eight registers, a byte each.</summary>
    public RegisterBlock Registers { get; }

    /// <summary>Told each byte when its last bit has left.</summary>
    public Action<byte>? Sent { get; set; }

    /// <summary>Told when DTR or RTS may have changed.</summary>
    public Action? ControlChanged { get; set; }

    public bool DataTerminalReady => (_control & (Loop | 1)) == 1;
    public bool RequestToSend => (_control & (Loop | 2)) == 2;

    /// <summary>What the modem, or whatever is at the other end, asserts.</summary>
    public ModemInputs Inputs
    {
        get => _outer;
        set
        {
            _outer = value;
            UpdateModem();
        }
    }

    bool IsLatch => (_format & DivisorLatch) != 0;
    bool IsLoop => (_control & Loop) != 0;
    bool HasFifo => (_fifo & 1) != 0;
    int Capacity => HasFifo ? FifoBytes : 1;
    int Trigger => !HasFifo ? 1 : (_fifo >> 6) switch { 0 => 1, 1 => 4, 2 => 8, _ => 14 };
    byte DataMask => (byte)((1 << (5 + (_format & 3))) - 1);

    byte Take()
    {
        if (_received.Count == 0) return 0;
        byte value = _received[0].Value;
        _received.RemoveAt(0);
        _timedOut = false;
        Reveal();
        RestartTimer();
        Update();
        return value;
    }

    void WriteFirst(byte value)
    {
        if (IsLatch)
        {
            SetDivisor((ushort)(_divisor & 0xFF00 | value));
            return;
        }
        if (_transmit.Count == Capacity)
        {
            // A full FIFO loses the new byte, the single register its old one.
            if (HasFifo) return;
            _transmit.Clear();
        }
        _transmit.Enqueue(value);
        _emptied = false;
        StartSending();
        Update();
    }

    void WriteSecond(byte value)
    {
        if (IsLatch)
        {
            SetDivisor((ushort)(_divisor & 0xFF | value << 8));
            return;
        }
        if ((value & ~_enable & TransmitEnable) != 0 && _transmit.Count == 0) _emptied = true;
        _enable = (byte)(value & 0xF);
        Update();
    }

    void SetDivisor(ushort value)
    {
        _divisor = value;
        StartArrival();
        StartSending();
    }

    void SetFifo(byte value)
    {
        bool changes = ((value ^ _fifo) & 1) != 0;
        if (changes || (value & 3) == 3) ClearReceived();
        if ((changes || (value & 5) == 5) && _transmit.Count > 0)
        {
            _transmit.Clear();
            _emptied = true;
            if (!_isShifting) _sending.Cancel();
        }
        // Without the enable bit the others are not taken.
        _fifo = (byte)((value & 1) == 0 ? 0 : value & 0xC1);
        Update();
    }

    void ClearReceived()
    {
        _received.Clear();
        _timedOut = false;
        _timer.Cancel();
    }

    void SetFormat(byte value)
    {
        bool begins = (value & ~_format & SetBreak) != 0;
        _format = value;
        if ((value & SetBreak) == 0) _breaking.Cancel();
        if (begins && IsLoop && CharacterTicks != 0) _breaking.Set(CharacterTicks);
    }

    void EndBreak()
    {
        if (IsLoop) Arrive(0, Break);
    }

    void SetControl(byte value)
    {
        _control = (byte)(value & 0x1F);
        UpdateModem();
        ControlChanged?.Invoke();
    }

    void UpdateModem()
    {
        int c = _control;
        byte now = IsLoop ? (byte)((c & 2) << 3 | (c & 1) << 5 | (c & 4) << 4 | (c & 8) << 4) : (byte)Inputs;
        // Of the ring only its end counts.
        int changed = (now ^ _inputs) & ~(now & (int)ModemInputs.RingIndicator);
        (_inputs, _modem) = (now, (byte)(_modem | changed >> 4));
        Update();
    }

    byte TakeModemStatus()
    {
        byte status = (byte)(_inputs | _modem);
        _modem = 0;
        Update();
        return status;
    }

    byte TakeLineStatus()
    {
        int status = _errors | (_received.Count > 0 ? Ready : 0) | (_transmit.Count == 0 ? Empty : 0)
            | (_transmit.Count == 0 && !_isShifting ? Idle : 0);
        if (HasFifo && ((_errors & ShownErrors & ~Overrun) != 0 || _received.Exists(r => r.Errors != 0)))
            status |= ErrorInFifo;
        _errors = 0;
        Update();
        return (byte)status;
    }

    byte Identify()
    {
        byte pending = Pending;
        if (pending == 2)
        {
            _emptied = false;
            Update();
        }
        return (byte)(pending | (HasFifo ? 0xC0 : 0));
    }

    // What interrupts, the most urgent first; 1: nothing does.
    byte Pending =>
        (_enable & LineEnable) != 0 && _errors != 0 ? (byte)6
        : (_enable & ReceiveEnable) != 0 && _received.Count >= Trigger ? (byte)4
        : (_enable & ReceiveEnable) != 0 && _timedOut ? (byte)0xC
        : (_enable & TransmitEnable) != 0 && _emptied ? (byte)2
        : (_enable & ModemEnable) != 0 && _modem != 0 ? (byte)0 : (byte)1;

    void Update() => _line?.Set(this, (_control & (Out2 | Loop)) == Out2 && Pending != 1);
}
