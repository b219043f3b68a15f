using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>What is due when: KTIMERs, and waits with a time-out.</summary>
sealed class TimerQueue(NtKernel nt)
{
    readonly SortedDictionary<(long Due, long Order), Action> _due = [];
    readonly Dictionary<Va, (long Due, long Order)> _timers = [];
    long _order;

    /// <summary>When the next one is due, in the clock's units.</summary>
    public long? NextDue { get; private set; }

    /// <summary>Calls back once at a time; the returned key takes it back.</summary>
    public (long Due, long Order) Add(long due, Action expired)
    {
        (long Due, long Order) key = (due, _order++);
        _due.Add(key, expired);
        UpdateNext();
        return key;
    }

    public void Remove((long Due, long Order) key)
    {
        _due.Remove(key);
        UpdateNext();
    }

    /// <summary>KeSetTimerEx: a negative due time is relative. Returns whether it was set already.</summary>
    public bool Set(KTimer timer, long dueTime, uint periodMilliseconds, KDpc dpc)
    {
        bool was = Cancel(timer);
        timer.SignalState = 0;
        timer.Dpc = dpc;
        timer.Period = periodMilliseconds;
        long due = dueTime < 0 ? nt.Ke.Clock.Now - dueTime : dueTime - (nt.Ke.Clock.SystemTime - nt.Ke.Clock.Now);
        Insert(timer, Math.Max(due, nt.Ke.Clock.Now));
        return was;
    }

    public bool Cancel(KTimer timer)
    {
        if (!_timers.Remove(timer.Address, out var key)) return false;
        Remove(key);
        timer.Inserted = false;
        return true;
    }

    /// <summary>Fires all that are due now: signals, queues DPCs, sets periodic ones again.</summary>
    public void Expire()
    {
        while (NextDue is { } due && due <= nt.Ke.Clock.Now)
        {
            var first = _due.First();
            Remove(first.Key);
            first.Value();
        }
    }

    /// <summary>Timers that are set, in the order of their addresses.</summary>
    public IEnumerable<Va> Pending => _timers.Keys.Order();

    void Insert(KTimer timer, long due)
    {
        timer.DueTime = (ulong)due;
        timer.Inserted = true;
        _timers[timer.Address] = Add(due, () => Fire(timer, due));
    }

    void Fire(KTimer timer, long due)
    {
        _timers.Remove(timer.Address);
        timer.Inserted = false;
        if (timer.Period != 0) Insert(timer, due + timer.Period * 10_000L);
        timer.SignalState = 1;
        nt.Ke.WakeWaiters(timer.Header);
        if (!timer.Dpc.IsNull) nt.Ke.Dpcs.Insert(timer.Dpc, Va.Null, Va.Null);
    }

    void UpdateNext() => NextDue = _due.Count == 0 ? null : _due.First().Key.Due;
}
