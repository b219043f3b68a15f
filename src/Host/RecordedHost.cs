using Ringdown.Machine;

namespace Ringdown.Host;

/// <summary>Lets in again what was recorded, at the same questions; what the machine sends goes nowhere.</summary>
public sealed class RecordedHost(IReadOnlyList<InputEvent> record) : IBoardHost, IHostInput
{
    readonly List<IWireEnd> _ends = [];
    long _questions;
    int _next;

    public bool WritesImages => false;

    public bool HasWires => _ends.Count > 0;

    /// <summary>The record was made by another run: it was asked at another time.</summary>
    public bool Diverged { get; private set; }

    public string? Connect(string plug, IWireEnd end)
    {
        _ends.Add(end);
        return null;
    }

    public bool Look(long now)
    {
        if (!Asks()) return false;
        Diverged |= record[_next].Time != now;
        Enter();
        return true;
    }

    public long? Wait(long now, long? due)
    {
        if (!Asks()) return null;
        long time = record[_next].Time;
        Diverged |= time < now || time > due;
        return Math.Clamp(time, now, Math.Max(now, due ?? long.MaxValue));
    }

    public void Enter()
    {
        for (; _next < record.Count && record[_next].Question <= _questions; _next++)
        {
            if (record[_next].Wire < 0 || record[_next].Wire >= _ends.Count) Diverged = true;
            else HostSide.LetIn(record[_next], _ends[record[_next].Wire]);
        }
    }

    bool Asks() => ++_questions is var question && _next < record.Count && record[_next].Question <= question;
}
