namespace Ringdown.Machine;

/// <summary>A keyboard or a mouse at its cable: bytes that it has to send, and commands.</summary>
public abstract class Ps2Device : IChipState
{
    protected const byte Acknowledge = 0xFA, Resend = 0xFE, SelfTestPassed = 0xAA;
    const int Room = 16;

    readonly Queue<byte> _bytes = [];
    byte _command, _last;

    /// <summary>Told when there is something to send.</summary>
    internal Action? Came { get; set; }

    public bool HasBytes => _bytes.Count > 0;

    /// <summary>It reports what its user does.</summary>
    public bool IsReporting { get; protected set; }

    internal byte Take() => _last = _bytes.Dequeue();

    internal void Write(byte value)
    {
        byte command = _command;
        _command = 0;
        // What it had to say before is stale.
        _bytes.Clear();
        if (value == Resend) Send(_last);
        else if (command != 0) Parameter(command, value);
        else Do(value);
    }

    /// <summary>A command, or something that is none.</summary>
    protected abstract void Do(byte command);

    /// <summary>The byte that a command waits for.</summary>
    protected abstract void Parameter(byte command, byte value);

    /// <summary>A parameter follows.</summary>
    protected void Expect(byte command)
    {
        _command = command;
        Send(Acknowledge);
    }

    protected void Send(params ReadOnlySpan<byte> bytes)
    {
        foreach (byte value in bytes) _bytes.Enqueue(value);
        Came?.Invoke();
    }

    /// <summary>There is room for so many bytes of a report.</summary>
    protected bool Fits(int count) => _bytes.Count + count <= Room;

    public virtual void Exchange(ChipState state)
    {
        state.Items(_bytes);
        state.Value(ref _command);
        state.Value(ref _last);
        bool isReporting = IsReporting;
        state.Value(ref isReporting);
        IsReporting = isReporting;
    }
}

/// <summary>A keyboard with scan code sets 1 and 2.</summary>
public sealed class Ps2Keyboard : Ps2Device
{
    byte _set = 2, _lights, _rate = 0x2B;

    public Ps2Keyboard() => IsReporting = true;

    /// <summary>Bits of the lights: 1 scroll, 2 number, 4 capitals.</summary>
    public byte Lights => _lights;

    /// <summary>A key goes down, or repeats itself.</summary>
    /// <param name="scanCode">In set 1, as NT's drivers see it: 0x1E is A, 0xE048 is the arrow up.</param>
    public void KeyDown(ushort scanCode) => Key(scanCode, isDown: true);

    public void KeyUp(ushort scanCode) => Key(scanCode, isDown: false);

    void Key(ushort scanCode, bool isDown)
    {
        bool isExtended = scanCode >> 8 == 0xE0;
        if (!IsReporting || (scanCode & 0x80) != 0 || scanCode >> 8 != 0 && !isExtended) return;
        var code = (byte)scanCode;
        byte[] bytes = _set == 1 ? [(byte)(code | (isDown ? 0 : 0x80))]
            : isDown ? [ScanCodes.ToSet2(code)] : [ScanCodes.Break, ScanCodes.ToSet2(code)];
        // A key too many is lost as a whole.
        if (!Fits(bytes.Length + 1)) return;
        Send(isExtended ? [0xE0, .. bytes] : bytes);
    }

    protected override void Do(byte command)
    {
        switch (command)
        {
            case 0xED or 0xF0 or 0xF3:
                Expect(command);
                break;
            case 0xEE:
                Send(0xEE);
                break;
            case 0xF2:
                Send(Acknowledge, 0xAB, 0x83);
                break;
            case 0xF4 or 0xF5 or 0xF6:
                if (command != 0xF4) SetDefaults();
                IsReporting = command != 0xF5;
                Send(Acknowledge);
                break;
            case 0xFF:
                SetDefaults();
                (_lights, IsReporting) = (0, true);
                Send(Acknowledge, SelfTestPassed);
                break;
            default:
                Send(Resend);
                break;
        }
    }

    void SetDefaults() => (_set, _rate) = (2, 0x2B);

    protected override void Parameter(byte command, byte value)
    {
        switch (command)
        {
            case 0xED:
                _lights = (byte)(value & 7);
                break;
            case 0xF3:
                _rate = (byte)(value & 0x7F);
                break;
            case 0xF0 when value == 0:
                Send(Acknowledge, _set);
                return;
            case 0xF0 when value is 1 or 2:
                _set = value;
                break;
            default:
                Send(Resend);
                return;
        }
        Send(Acknowledge);
    }

    public override void Exchange(ChipState state)
    {
        base.Exchange(state);
        state.Value(ref _set);
        state.Value(ref _lights);
        state.Value(ref _rate);
    }
}

/// <summary>A mouse with three buttons; with a wheel, once a driver has asked for it as an IntelliMouse is
/// asked.</summary>
public sealed class Ps2Mouse : Ps2Device
{
    const byte RemoteMode = 0x40;

    byte _rate = 100, _rateBefore, _rateFirst, _resolution = 2, _mode, _buttons, _id;
    int _x, _y, _wheel;

    /// <summary>It is moved or a button of it changes.</summary>
    /// <param name="x">To the right.</param>
    /// <param name="y">Up.</param>
    /// <param name="buttons">Those that are down: 1 left, 2 right, 4 middle.</param>
    /// <param name="wheel">Towards the user.</param>
    public void Move(int x, int y, byte buttons = 0, int wheel = 0)
    {
        // Whoever pushes it further than a long way has pushed it a long way.
        (_x, _y, _wheel) = (Math.Clamp(x, -4096, 4096) + _x, Math.Clamp(y, -4096, 4096) + _y,
            Math.Clamp(_wheel + wheel, -8, 7));
        _buttons = (byte)(buttons & 7);
        bool isFirst = true;
        while (IsReporting && _mode == 0 && Fits(_id == 3 ? 4 : 3) && (isFirst || (_x | _y) != 0))
        {
            Report();
            isFirst = false;
        }
    }

    void Report()
    {
        int x = Math.Clamp(_x, -255, 255), y = Math.Clamp(_y, -255, 255);
        byte head = (byte)(8 | _buttons | (x < 0 ? 0x10 : 0) | (y < 0 ? 0x20 : 0));
        if (_id == 3) Send(head, (byte)x, (byte)y, (byte)_wheel);
        else Send(head, (byte)x, (byte)y);
        (_x, _y, _wheel) = (Math.Clamp(_x - x, -4096, 4096), Math.Clamp(_y - y, -4096, 4096), 0);
    }

    protected override void Do(byte command)
    {
        switch (command)
        {
            case 0xE8 or 0xF3:
                Expect(command);
                return;
            case 0xE9:
                Send(Acknowledge, (byte)(_mode | (IsReporting ? 0x20 : 0) | _buttons), _resolution, _rate);
                return;
            case 0xEB:
                Send(Acknowledge);
                Report();
                return;
            case 0xF2:
                Send(Acknowledge, _id);
                return;
            case 0xFF:
                SetDefaults();
                _id = 0;
                Send(Acknowledge, SelfTestPassed, 0);
                return;
            case 0xE6 or 0xE7:
                break;
            case 0xEA:
                _mode = 0;
                break;
            case 0xF0:
                _mode = RemoteMode;
                break;
            case 0xF4 or 0xF5:
                IsReporting = command == 0xF4;
                break;
            case 0xF6:
                SetDefaults();
                break;
            default:
                Send(Resend);
                return;
        }
        Send(Acknowledge);
    }

    void SetDefaults()
    {
        (_rate, _resolution, _mode, IsReporting) = (100, 2, 0, false);
        (_x, _y, _wheel) = (0, 0, 0);
    }

    protected override void Parameter(byte command, byte value)
    {
        if (command == 0xE8) _resolution = (byte)(value & 3);
        else
        {
            (_rateFirst, _rateBefore, _rate) = (_rateBefore, _rate, value);
            // 200, 100, 80 wakes the wheel.
            if ((_rateFirst, _rateBefore, _rate) == (200, 100, 80)) _id = 3;
        }
        Send(Acknowledge);
    }

    public override void Exchange(ChipState state)
    {
        base.Exchange(state);
        state.Value(ref _rate);
        state.Value(ref _rateBefore);
        state.Value(ref _rateFirst);
        state.Value(ref _resolution);
        state.Value(ref _mode);
        state.Value(ref _buttons);
        state.Value(ref _id);
        state.Value(ref _x);
        state.Value(ref _y);
        state.Value(ref _wheel);
    }
}
