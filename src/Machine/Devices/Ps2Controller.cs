namespace Ringdown.Machine;

/// <summary>An 8042 as a PC has it, with a keyboard on line 1 and a mouse on line 12.</summary>
/// <remarks>A byte takes a millisecond from a device to the controller, and waits there until the one before was
/// read.</remarks>
public sealed partial class Ps2Controller : ILosesState
{
    const ushort FirstPort = 0x60;
    const int KeyboardLine = 1, MouseLine = 12;
    const long ByteTicks = 10_000, ControllerTicks = 200;

    // Status, and the command byte.
    const byte OutputFull = 1, System = 4, IsCommand = 8, NotLocked = 0x10, FromMouse = 0x20;
    const byte KeyboardInterrupt = 1, MouseInterrupt = 2, KeyboardOff = 0x10, MouseOff = 0x20, Translates = 0x40;

    readonly InterruptLine? _keyboardLine, _mouseLine;
    readonly ChipTimer _timer;
    readonly Queue<(byte Value, bool FromMouse)> _answers = [];
    readonly byte[] _memory = new byte[32];
    byte _output, _status = NotLocked, _pendingCommand;

    public Ps2Controller(IDeviceClock clock, InterruptLine? keyboardLine, InterruptLine? mouseLine)
    {
        (_keyboardLine, _mouseLine) = (keyboardLine, mouseLine);
        _timer = new ChipTimer(clock, Deliver);
        _memory[0] = KeyboardInterrupt | System | Translates | MouseOff;
        Keyboard.Came = Mouse.Came = Plan;
        Data = new RegisterBlock().Add("DATA", 0, 1, () => ReadData(), v => WriteData((byte)v), writeOnly: true);
        Control = new RegisterBlock().Add("STATUS/COMMAND", 0, 1, () => (ulong)(_status | _memory[0] & System),
            v => Command((byte)v), writeOnly: true);
    }

    /// <summary>A byte, at port 0x60 in a PC.</summary>
    public RegisterBlock Data { get; }

    /// <summary>A byte, at port 0x64 in a PC.</summary>
    public RegisterBlock Control { get; }

    public Ps2Keyboard Keyboard { get; } = new();
    public Ps2Mouse Mouse { get; } = new();

    /// <summary>Told when the controller pulls the computer's reset line.</summary>
    public Action? ResetRequested { get; set; }

    byte Settings => _memory[0];

    internal static Ps2Controller Make(Computer computer, ChipPlace place)
    {
        place.Only("mouseLine");
        place.Identify("PNP0303", "PS/2 keyboard");
        // The mouse has no registers of its own.
        var mouse = new FirmwareDevice("PNP0F13", "PS/2 mouse");
        var ps2 = new Ps2Controller(computer.Clock, place.FindLine(computer, KeyboardLine),
            mouse.AddLine(computer, (int)(place.Description.Number("mouseLine", 255) ?? MouseLine)));
        computer.Firmware.Add(mouse);
        ushort first = place.Ports ?? FirstPort;
        place.PutPorts(computer, first, 1, ps2.Data, "ports");
        place.PutPorts(computer, (ushort)(first + 4), 1, ps2.Control, "ports");
        return ps2;
    }

    // The controller's own answers first, then the keyboard, then the mouse.
    void Plan()
    {
        if (_timer.IsSet || (_status & OutputFull) != 0) return;
        if (_answers.Count > 0) _timer.Set(ControllerTicks);
        else if (KeyboardHas || MouseHas) _timer.Set(ByteTicks);
    }

    bool KeyboardHas => (Settings & KeyboardOff) == 0 && Keyboard.HasBytes;
    bool MouseHas => (Settings & MouseOff) == 0 && Mouse.HasBytes;

    void Deliver()
    {
        if (_answers.TryDequeue(out var answer)) Put(answer.Value, answer.FromMouse);
        else if (KeyboardHas) FromKeyboard(Keyboard.Take());
        else if (MouseHas) Put(Mouse.Take(), fromMouse: true);
        Plan();
    }

    void FromKeyboard(byte value)
    {
        bool translates = (Settings & Translates) != 0;
        if (translates && value == ScanCodes.Break)
        {
            _breaks = true;
            return;
        }
        if (translates) value = (byte)(ScanCodes.Translate(value) | (_breaks ? 0x80 : 0));
        _breaks = false;
        Put(value, fromMouse: false);
    }

    bool _breaks;

    void Put(byte value, bool fromMouse)
    {
        _output = value;
        _status = (byte)(_status & ~FromMouse | OutputFull | (fromMouse ? FromMouse : 0));
        Update();
    }

    byte ReadData()
    {
        _status &= unchecked((byte)~(OutputFull | FromMouse));
        Update();
        Plan();
        return _output;
    }

    void Update()
    {
        bool full = (_status & OutputFull) != 0, isMouse = (_status & FromMouse) != 0;
        _keyboardLine?.Set(this, full && !isMouse && (Settings & KeyboardInterrupt) != 0);
        _mouseLine?.Set(_mouseEnd, full && isMouse && (Settings & MouseInterrupt) != 0);
    }

    // Both lines may be the same one.
    readonly object _mouseEnd = new();

    void Answer(byte value, bool fromMouse = false)
    {
        _answers.Enqueue((value, fromMouse));
        Plan();
    }

    void WriteData(byte value)
    {
        _status &= unchecked((byte)~IsCommand);
        byte command = _pendingCommand;
        _pendingCommand = 0;
        switch (command)
        {
            case >= 0x60 and <= 0x7F:
                _memory[command & 0x1F] = value;
                Update();
                Plan();
                break;
            case 0xD1:
                if ((value & 1) == 0) ResetRequested?.Invoke();
                break;
            case 0xD2:
                Answer(value);
                break;
            case 0xD3:
                Answer(value, fromMouse: true);
                break;
            case 0xD4:
                // Talking to a device switches it on.
                _memory[0] &= unchecked((byte)~MouseOff);
                Mouse.Write(value);
                break;
            default:
                _memory[0] &= unchecked((byte)~KeyboardOff);
                Keyboard.Write(value);
                break;
        }
        Plan();
    }

    void Command(byte command)
    {
        _status |= IsCommand;
        _pendingCommand = 0;
        switch (command)
        {
            case >= 0x20 and <= 0x3F: Answer(_memory[command & 0x1F]); break;
            case >= 0x60 and <= 0x7F or 0xD1 or 0xD2 or 0xD3 or 0xD4: _pendingCommand = command; break;
            case 0xA7: _memory[0] |= MouseOff; break;
            case 0xA8: _memory[0] &= unchecked((byte)~MouseOff); break;
            case 0xA9 or 0xAB: Answer(0); break;
            case 0xAA:
                _memory[0] |= System | KeyboardOff | MouseOff;
                Answer(0x55);
                break;
            case 0xAD: _memory[0] |= KeyboardOff; break;
            case 0xAE: _memory[0] &= unchecked((byte)~KeyboardOff); break;
            case 0xC0: Answer(0x80); break;
            // Output port: not in reset, A20 on, and what waits in the output buffer.
            case 0xD0: Answer((byte)(0xC3 | (Settings & KeyboardInterrupt) << 4)); break;
            case >= 0xF0 when (command & 1) == 0: ResetRequested?.Invoke(); break;
        }
        Plan();
    }

    public void Exchange(ChipState state)
    {
        state.Items(_answers);
        state.Bytes(_memory);
        state.Value(ref _output);
        state.Value(ref _status);
        state.Value(ref _pendingCommand);
        state.Value(ref _breaks);
        state.Timer(_timer);
        Keyboard.Exchange(state);
        Mouse.Exchange(state);
        Update();
    }
}
