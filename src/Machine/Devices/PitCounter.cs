namespace Ringdown.Machine;

/// <summary>A counter of an 8254, in each of its six modes.</summary>
/// <remarks>It is computed from when it was loaded, so a running one costs nothing. Its count changes with a new load
/// at once, where the chip waits for the end of a period.</remarks>
sealed class PitCounter : IChipState
{
    const long Frequency = 1_193_182, TicksPerSecond = 10_000_000;

    readonly IDeviceClock _clock;
    readonly InterruptLine? _line;
    readonly ChipTimer _edge;
    long _startTicks;
    int _period, _frozen;
    ushort _latch;
    byte _control = 0x30, _statusLatch, _low;
    bool _isLoaded, _runs, _gate = true, _readsHigh, _writesHigh, _isStatusLatched;
    byte _latchedBytes;

    public PitCounter(IDeviceClock clock, InterruptLine? line)
    {
        (_clock, _line) = (clock, line);
        _edge = new ChipTimer(clock, OnEdge);
    }

    int Mode => (_control >> 1 & 7) is var mode && mode > 5 ? mode & 3 : _control >> 1 & 7;
    bool IsBcd => (_control & 1) != 0;
    int Access => _control >> 4 & 3;

    // Modes 1 and 5 begin with the gate's rising edge, the others stop while it is low.
    bool IsTriggered => Mode is 1 or 5;
    bool IsPeriodic => Mode is 2 or 3;

    // Periods of the counter's clock since it was loaded.
    long Elapsed => _runs ? (long)((Int128)(_clock.Now - _startTicks) * Frequency / TicksPerSecond) : _frozen;

    static long TicksAt(long cycles) => (long)(((Int128)cycles * TicksPerSecond + Frequency - 1) / Frequency);

    public bool Output
    {
        get
        {
            if (!_isLoaded) return Mode != 0;
            long elapsed = Elapsed;
            return Mode switch
            {
                0 or 1 => elapsed >= _period,
                2 => !_gate || elapsed % _period != _period - 1,
                3 => !_gate || elapsed % _period < (_period + 1) / 2,
                _ => elapsed != _period,
            };
        }
    }

    int Count
    {
        get
        {
            long elapsed = Elapsed;
            int range = IsBcd ? 10_000 : 0x1_0000;
            if (!_isLoaded) return 0;
            long left = Mode switch
            {
                2 => _period - elapsed % _period,
                // It counts by twos.
                3 => (elapsed % _period is var at && 2 * at < _period ? _period - 2 * at : 2 * (_period - at)) & ~1L,
                // Past zero it goes round.
                _ => _period - elapsed,
            };
            return (int)((left % range + range) % range);
        }
    }

    /// <summary>A control word for it.</summary>
    public void Program(byte control)
    {
        _control = control;
        (_isLoaded, _runs, _frozen) = (false, false, 0);
        (_readsHigh, _writesHigh, _latchedBytes, _isStatusLatched) = (false, false, 0, false);
        _edge.Cancel();
        SetLine(Output);
    }

    public void Write(byte value)
    {
        if (Access == 3 && !_writesHigh)
        {
            (_low, _writesHigh) = (value, true);
            // In mode 0 it stands until the rest has come.
            if (Mode == 0) Stop();
            return;
        }
        _writesHigh = false;
        int count = Access switch { 1 => value, 2 => value << 8, _ => _low | value << 8 };
        if (IsBcd) count = FromBcd(count);
        _period = count == 0 ? IsBcd ? 10_000 : 0x1_0000 : count;
        // A count of 1 is none in these modes: the chip would never end a period.
        if (IsPeriodic) _period = Math.Max(2, _period);
        _isLoaded = true;
        _frozen = 0;
        if (!IsTriggered && _gate) Begin();
        else (_runs, _frozen) = (false, IsTriggered ? _period + 1 : 0);
        SetLine(Output);
    }

    public void SetGate(bool gate)
    {
        bool rises = gate && !_gate;
        if (!gate && _gate && !IsTriggered) Stop();
        _gate = gate;
        if (!rises || !_isLoaded) return;
        if (IsTriggered || IsPeriodic) _frozen = 0;
        Begin();
    }

    void Begin()
    {
        _startTicks = _clock.Now - TicksAt(_frozen);
        _runs = true;
        PlanEdge();
    }

    void Stop()
    {
        if (_runs) _frozen = (int)Math.Min(Elapsed, int.MaxValue);
        _runs = false;
        _edge.Cancel();
    }

    // The next moment at which the output changes, for whoever listens.
    void PlanEdge()
    {
        if (_line is null || !_runs) return;
        long elapsed = Elapsed, at = elapsed % _period;
        long next = Mode switch
        {
            2 => elapsed - at + (at < _period - 1 ? _period - 1 : _period),
            3 => elapsed - at + (at < (_period + 1) / 2 ? (_period + 1) / 2 : _period),
            4 or 5 when elapsed == _period => _period + 1,
            _ => elapsed < _period ? _period : -1,
        };
        if (next >= 0) _edge.Set(_startTicks + TicksAt(next) - _clock.Now);
    }

    void OnEdge()
    {
        SetLine(Output);
        PlanEdge();
    }

    void SetLine(bool asserted) => _line?.Set(this, asserted && _isLoaded);

    public void Latch()
    {
        if (_latchedBytes > 0) return;
        (_latch, _latchedBytes) = (Shown(), (byte)(Access == 3 ? 2 : 1));
    }

    public void LatchStatus()
    {
        if (_isStatusLatched) return;
        _statusLatch = (byte)((Output ? 0x80 : 0) | (_isLoaded ? 0 : 0x40) | _control & 0x3F);
        _isStatusLatched = true;
    }

    public ulong Read()
    {
        if (_isStatusLatched)
        {
            _isStatusLatched = false;
            return _statusLatch;
        }
        ushort value = _latchedBytes > 0 ? _latch : Shown();
        bool high = Access == 2 || Access == 3 && _readsHigh;
        if (Access == 3) _readsHigh = !_readsHigh;
        if (_latchedBytes > 0) _latchedBytes--;
        return (byte)(high ? value >> 8 : value);
    }

    ushort Shown() => (ushort)(IsBcd ? ToBcd(Count) : Count);

    static int FromBcd(int value) =>
        (value >> 12 & 0xF) * 1000 + (value >> 8 & 0xF) * 100 + (value >> 4 & 0xF) * 10 + (value & 0xF);

    static int ToBcd(int value) => value / 1000 % 10 << 12 | value / 100 % 10 << 8 | value / 10 % 10 << 4 | value % 10;

    public void Exchange(ChipState state)
    {
        // The clock goes on: what counts is how long ago it was.
        long age = _clock.Now - _startTicks;
        state.Value(ref age);
        _startTicks = _clock.Now - age;
        state.Value(ref _period);
        state.Value(ref _frozen);
        state.Value(ref _latch);
        state.Value(ref _control);
        state.Value(ref _statusLatch);
        state.Value(ref _low);
        state.Value(ref _isLoaded);
        state.Value(ref _runs);
        state.Value(ref _gate);
        state.Value(ref _readsHigh);
        state.Value(ref _writesHigh);
        state.Value(ref _isStatusLatched);
        state.Value(ref _latchedBytes);
        state.Timer(_edge);
        SetLine(Output);
    }
}
