namespace Ringdown.Machine;

// Characters on their way in and out.
public sealed partial class Uart16550
{
    /// <summary>How long a character takes, in 100 ns; 0 if nothing moves.</summary>
    public long CharacterTicks
    {
        get
        {
            int data = 5 + (_format & 3), stop = (_format & 4) == 0 ? 2 : data == 5 ? 3 : 4;
            return Ticks(2 * (1 + data + ((_format & 8) == 0 ? 0 : 1)) + stop);
        }
    }

    // A bit takes 16 periods of the clock that the divisor leaves of 1.8432 MHz.
    long Ticks(int halfBits) => _divisor == 0 ? 0 : Math.Max(1, halfBits * 8L * _divisor * 10_000_000 / 1_843_200);

    /// <summary>A byte comes from outside. Bytes wait there for each other, and arrive as fast as the line
    /// is.</summary>
    public void Receive(byte value) => Receive([value]);

    public void Receive(ReadOnlySpan<byte> bytes)
    {
        foreach (byte value in bytes) _outside.Enqueue(value);
        StartArrival();
    }

    /// <summary>The other end holds the line for longer than a character.</summary>
    public void ReceiveBreak()
    {
        if (!IsLoop) Arrive(0, Break);
    }

    void StartArrival()
    {
        if (!_arrival.IsSet && _outside.Count > 0 && CharacterTicks != 0) _arrival.Set(CharacterTicks);
    }

    void EndArrival()
    {
        byte value = _outside.Dequeue();
        StartArrival();
        // The chip does not listen.
        if (!IsLoop) Arrive(value, 0);
    }

    void Arrive(byte value, byte errors)
    {
        var arrived = ((byte)(value & DataMask), errors);
        if (_received.Count < Capacity) _received.Add(arrived);
        else
        {
            _errors |= Overrun;
            // The FIFO keeps what it has; the single register does not.
            if (!HasFifo) _received[0] = arrived;
        }
        Reveal();
        RestartTimer();
        Update();
    }

    // A character's errors show once it is the next to be read.
    void Reveal()
    {
        if (_received.Count == 0) return;
        _errors |= _received[0].Errors;
        _received[0] = (_received[0].Value, 0);
    }

    void RestartTimer()
    {
        _timer.Cancel();
        if (HasFifo && _received.Count > 0 && CharacterTicks != 0) _timer.Set(4 * CharacterTicks);
    }

    void TimeOut()
    {
        _timedOut = true;
        Update();
    }

    // An idle transmitter begins a bit's time after the write.
    void StartSending()
    {
        if (!_sending.IsSet && _transmit.Count > 0 && _divisor != 0) _sending.Set(Ticks(2));
    }

    void Shift()
    {
        if (_isShifting) End((byte)(_shifting & DataMask));
        _isShifting = _transmit.TryDequeue(out _shifting);
        if (_isShifting)
        {
            _sending.Set(Math.Max(1, CharacterTicks));
            if (_transmit.Count == 0) _emptied = true;
        }
        Update();
    }

    void End(byte value)
    {
        if ((_format & SetBreak) != 0) return;
        if (IsLoop) Arrive(value, 0);
        else Sent?.Invoke(value);
    }

    /// <summary>Bytes that have come and wait for the line.</summary>
    public int Waiting => _outside.Count;

    public void Exchange(ChipState state)
    {
        foreach (ChipTimer timer in (ChipTimer[])[_arrival, _sending, _timer, _breaking]) state.Timer(timer);
        state.Items(_outside);
        state.Items(_transmit);
        state.Items(_received);
        state.Value(ref _shifting);
        state.Value(ref _enable);
        state.Value(ref _fifo);
        state.Value(ref _format);
        state.Value(ref _control);
        state.Value(ref _errors);
        state.Value(ref _inputs);
        state.Value(ref _modem);
        state.Value(ref _scratch);
        state.Value(ref _divisor);
        state.Value(ref _isShifting);
        state.Value(ref _timedOut);
        state.Value(ref _emptied);
        state.Value(ref _outer);
        Update();
    }
}
