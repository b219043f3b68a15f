namespace Ringdown.Machine;

/// <summary>An MC146818 as a PC has it: time, alarm, three interrupts on one line, 114 bytes of memory.</summary>
/// <remarks>It plans something only while an interrupt is enabled and not raised yet; all else is computed when it is
/// looked at. Its time is the machine's.</remarks>
public sealed partial class Rtc146818 : IChipState
{
    const ushort FirstPort = 0x70;
    const int DefaultLine = 8, Bytes = 128;
    const int A = 10, B = 11, C = 12, D = 13, Century = 0x32;
    const byte UpdateInProgress = 0x80;
    const byte SetTime = 0x80, Periodic = 0x40, Alarm = 0x20, UpdateEnded = 0x10, IsBinary = 4, Is24Hours = 2;
    const byte Requests = 0x80;
    const long Second = 10_000_000, UpdateTicks = 2_440;

    readonly IDeviceClock _clock;
    readonly InterruptLine? _line;
    readonly ChipTimer _timer;
    readonly byte[] _memory = new byte[Bytes];
    byte _index;

    // When the next second begins; since when the periodic signal runs, and how many periods were noticed.
    long _nextSecond, _origin, _periods;

    public Rtc146818(IDeviceClock clock, InterruptLine? line)
    {
        (_clock, _line) = (clock, line);
        _timer = new ChipTimer(clock, Update);
        _memory[A] = 0x26;
        _memory[B] = Is24Hours;
        _memory[D] = 0x80;
        _nextSecond = clock.Now + Second;
        _origin = clock.Now;
        Set(2024, 1, 1, 0, 0, 0);
        Registers = new RegisterBlock()
            .Add("INDEX", 0, 1, () => 0xFF, v => _index = (byte)(v & 0x7F), writeOnly: true)
            .Add("DATA", 1, 1, Read, v => Write((byte)v), writeOnly: true);
    }

    /// <summary>Index and data: two bytes.</summary>
    public RegisterBlock Registers { get; }

    internal static Rtc146818 Make(Computer computer, ChipPlace place)
    {
        place.Only("time");
        place.Identify("PNP0B00", "Real time clock");
        var rtc = new Rtc146818(computer.Clock, place.FindLine(computer, DefaultLine));
        if (place.Description.Text("time") is { } text)
        {
            if (!IsTime(text, out int[] parts))
                throw place.Description.Wrong("time", "a time is expected: \"2024-01-01 00:00:00\".");
            rtc.Set(parts[0], parts[1], parts[2], parts[3], parts[4], parts[5]);
        }
        place.PutPorts(computer, place.Ports ?? FirstPort, 2, rtc.Registers, "ports");
        return rtc;
    }

    static bool IsTime(string text, out int[] parts)
    {
        parts = [];
        if (text.Length != 19 || text[4] != '-' || text[7] != '-' || text[10] != ' ' || text[13] != ':'
            || text[16] != ':') return false;
        string[] words = text.Split('-', ' ', ':');
        if (words.Length != 6 || !words.All(w => w.All(char.IsAsciiDigit) && w.Length >= 2)) return false;
        parts = [.. words.Select(int.Parse)];
        return parts[1] is >= 1 and <= 12 && parts[2] >= 1 && parts[2] <= DaysIn(parts[0], parts[1])
            && parts[3] < 24 && parts[4] < 60 && parts[5] < 60;
    }

    ulong Read()
    {
        CatchUp();
        switch (_index)
        {
            case A:
                bool updates = Runs && (_memory[B] & SetTime) == 0 && _nextSecond - _clock.Now <= UpdateTicks;
                return (ulong)(_memory[A] & 0x7F | (updates ? UpdateInProgress : 0));
            case C:
                byte flags = Flags;
                _memory[C] = 0;
                Update();
                return flags;
            default:
                return _memory[_index];
        }
    }

    void Write(byte value)
    {
        CatchUp();
        switch (_index)
        {
            case A:
                bool ran = Runs;
                _memory[A] = (byte)(value & 0x7F);
                // Out of reset the first second is half as long.
                if (!ran && Runs) _nextSecond = _clock.Now + Second / 2;
                (_origin, _periods) = (_clock.Now, 0);
                break;
            case B:
                // Who sets the time wants no interrupt about it.
                _memory[B] = (byte)((value & SetTime) != 0 ? value & ~UpdateEnded : value);
                break;
            case C or D:
                return;
            default:
                _memory[_index] = value;
                break;
        }
        Update();
    }

    // The chain of dividers counts, rather than to be held.
    bool Runs => (_memory[A] & 0x70) == 0x20;

    bool IsPeriodic => Runs && (_memory[A] & 0xF) != 0;

    // 32,768 periods in 100 ns: rates 1 and 2 are those of 8 and 9.
    long ManyPeriods => (_memory[A] & 0xF) is var rate ? Second << ((rate <= 2 ? rate + 7 : rate) - 1) : 0;

    byte Flags => (byte)(_memory[C] | ((_memory[C] & _memory[B] & 0x70) != 0 ? Requests : 0));

    /// <summary>Computes what has happened since it was last looked at.</summary>
    void CatchUp()
    {
        long now = _clock.Now;
        if (IsPeriodic)
        {
            var count = (long)((Int128)(now - _origin) * 32_768 / ManyPeriods);
            if (count > _periods) _memory[C] |= Periodic;
            _periods = count;
        }
        if (!Runs || now < _nextSecond) return;
        long seconds = (now - _nextSecond) / Second + 1;
        _nextSecond += seconds * Second;
        if ((_memory[B] & SetTime) != 0) return;
        _memory[C] |= UpdateEnded;
        if (SecondsToAlarm() is { } alarm && alarm <= seconds) _memory[C] |= Alarm;
        Advance(seconds);
    }

    /// <summary>The line, and when it may have to change next.</summary>
    void Update()
    {
        CatchUp();
        bool asserted = (Flags & Requests) != 0;
        _line?.Set(this, asserted);
        _timer.Cancel();
        if (asserted || _line is null || !Runs) return;
        long due = long.MaxValue;
        if ((_memory[B] & Periodic) != 0 && IsPeriodic)
            due = _origin + (long)(((Int128)(_periods + 1) * ManyPeriods + 32_767) / 32_768);
        bool counts = (_memory[B] & SetTime) == 0;
        if (counts && (_memory[B] & UpdateEnded) != 0) due = Math.Min(due, _nextSecond);
        if (counts && (_memory[B] & Alarm) != 0 && SecondsToAlarm() is { } alarm)
            due = Math.Min(due, _nextSecond + (alarm - 1) * Second);
        if (due != long.MaxValue) _timer.Set(due - _clock.Now);
    }

    public void Exchange(ChipState state)
    {
        CatchUp();
        long now = _clock.Now, second = _nextSecond - now, age = now - _origin;
        state.Bytes(_memory);
        state.Value(ref _index);
        state.Value(ref second);
        state.Value(ref age);
        state.Value(ref _periods);
        (_nextSecond, _origin) = (now + second, now - age);
        state.Timer(_timer);
        _line?.Set(this, (Flags & Requests) != 0);
    }
}
