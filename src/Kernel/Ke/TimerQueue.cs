using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>What is due when: KTIMERs, and waits with a time-out.</summary>
sealed class TimerQueue(NtKernel nt)
{
    public const long TicksPerMillisecond = 10_000;
    const int Slack = 64;

    readonly PriorityQueue<Action, (long Due, long Order)> _due = new();
    readonly HashSet<(long Due, long Order)> _live = [];
    readonly Dictionary<Va, (long Due, long Order)> _timers = [];
    readonly SortedSet<(long Due, long Order)> _devices = [], _waking = [];
    long _order;

    /// <summary>When the next one is due, in the clock's units.</summary>
    public long? NextDue { get; private set; }

    /// <summary>When the next thing is due that a device has planned; when the next timer that wakes the
    /// system.</summary>
    public long? NextDeviceDue => _devices.Count == 0 ? null : _devices.Min.Due;
    public long? NextWakeDue => _waking.Count == 0 ? null : _waking.Min.Due;

    /// <summary>Calls back once at a time; the returned key takes it back.</summary>
    /// <param name="isDevice">A device has planned it: it happens while the system sleeps too.</param>
    public (long Due, long Order) Add(long due, Action expired, bool isDevice = false)
    {
        (long Due, long Order) key = (due, _order++);
        _due.Enqueue(expired, key);
        _live.Add(key);
        if (isDevice) _devices.Add(key);
        if (NextDue is null || due < NextDue) NextDue = due;
        return key;
    }

    public void Remove((long Due, long Order) key)
    {
        // What was taken back stays in the heap until it comes to the top, or until most of the heap is such.
        if (!_live.Remove(key)) return;
        Forget(key);
        if (_due.Count > 2 * _live.Count + Slack) Compact();
        if (key.Due == NextDue) UpdateNext();
    }

    /// <summary>KeSetTimerEx: a negative due time is relative. Returns whether it was set already.</summary>
    /// <param name="period">In units of 100 ns; 0: once.</param>
    public bool Set(KTimer timer, long dueTime, long period, KDpc dpc)
    {
        bool was = Cancel(timer);
        timer.SignalState = 0;
        timer.Dpc = dpc;
        timer.Period = (uint)Math.Min(uint.MaxValue, period / TicksPerMillisecond);
        timer.Processor = (uint)nt.Ke.Scheduler.Active.Number;
        Insert(timer, DueOf(dueTime), period);
        return was;
    }

    /// <summary>A due time in the clock's units, not before now.</summary>
    public long DueOf(long dueTime)
    {
        Clock clock = nt.Ke.Clock;
        long due = dueTime < 0 ? clock.Now - Math.Max(dueTime, -(1L << 60)) : dueTime - (clock.SystemTime - clock.Now);
        return Math.Max(due, clock.Now);
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
            nt.Ke.Clock.Spend();
            _due.TryDequeue(out Action? expired, out var key);
            bool live = _live.Remove(key);
            Forget(key);
            UpdateNext();
            if (live) expired!();
        }
    }

    /// <summary>The same for what devices have planned alone.</summary>
    public void ExpireDevices()
    {
        while (NextDeviceDue <= nt.Ke.Clock.Now)
        {
            nt.Ke.Clock.Spend();
            var key = _devices.Min;
            Action expired = _due.UnorderedItems.First(i => i.Priority == key).Element;
            Remove(key);
            expired();
        }
    }

    /// <summary>A timer that is set wakes the system when it is due.</summary>
    public void SetWaking(KTimer timer)
    {
        if (_timers.TryGetValue(timer.Address, out var key)) _waking.Add(key);
    }

    void Forget((long Due, long Order) key)
    {
        if (_devices.Count > 0) _devices.Remove(key);
        if (_waking.Count > 0) _waking.Remove(key);
    }

    /// <summary>Timers that are set, in the order of their addresses.</summary>
    public IEnumerable<Va> Pending => _timers.Keys.Order();

    void Insert(KTimer timer, long due, long period)
    {
        timer.DueTime = (ulong)due;
        timer.Inserted = true;
        _timers[timer.Address] = Add(due, () => Fire(timer, due, period));
    }

    void Fire(KTimer timer, long due, long period)
    {
        _timers.Remove(timer.Address);
        try
        {
            timer.Inserted = false;
            if (period != 0) Insert(timer, due + period, period);
            timer.SignalState = 1;
            nt.Ke.WakeWaiters(timer.Header);
            if (timer.Dpc is { IsNull: false } dpc)
                nt.Ke.QueueTimerDpc(dpc, timer.Processor);
        }
        catch (PageFault fault)
        {
            // The timer, or its DPC, lies in memory that has gone.
            throw nt.Seh.StopFor(fault);
        }
    }

    void Compact()
    {
        var kept = _due.UnorderedItems.Where(i => _live.Contains(i.Priority)).ToArray();
        _due.Clear();
        _due.EnqueueRange(kept);
    }

    void UpdateNext()
    {
        while (_due.TryPeek(out _, out var key))
        {
            if (_live.Contains(key))
            {
                NextDue = key.Due;
                return;
            }
            _due.Dequeue();
        }
        NextDue = null;
    }
}
