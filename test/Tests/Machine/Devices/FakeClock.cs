using Ringdown.Machine;

namespace Ringdown.Tests;

/// <summary>A clock that a test moves.</summary>
sealed class FakeClock : IDeviceClock
{
    readonly SortedDictionary<(long Due, long Order), Action> _planned = [];
    long _order;

    public long Now { get; private set; }

    public bool IsIdle => _planned.Count == 0;

    public object After(long ticks, Action action)
    {
        (long, long) key = (Now + ticks, _order++);
        _planned.Add(key, action);
        return key;
    }

    public void Cancel(object scheduled) => _planned.Remove(((long, long))scheduled);

    public void Advance(long ticks)
    {
        long end = Now + ticks;
        while (_planned.Count > 0 && _planned.First() is var (key, action) && key.Due <= end)
        {
            _planned.Remove(key);
            Now = key.Due;
            action();
        }
        Now = end;
    }
}
