using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>Decides which thread runs on which processor, and whose turn it is. One processor runs at a time.</summary>
sealed partial class Scheduler
{
    readonly NtKernel _nt;
    readonly List<NtThread> _threads = [];
    readonly Dictionary<Va, NtThread> _byObject = [];
    readonly ReadyQueue _ready = new();
    readonly KProcessor[] _processors;
    readonly Schedule _schedule;
    NtThread _ran = null!;
    bool _sliceEnded;

    public Scheduler(NtKernel nt, Schedule schedule)
    {
        (_nt, _schedule) = (nt, schedule);
        _processors = new KProcessor[nt.Computer.Processors.Count];
        for (int i = 0; i < _processors.Length; i++) _processors[i] = new KProcessor(nt, i);
        Active = _processors[0];
        _ownersCarrier = new Carrier(this);
    }

    public IReadOnlyList<KProcessor> Processors => _processors;
    public Schedule Schedule => _schedule;

    /// <summary>The processor that runs now.</summary>
    public KProcessor Active { get; private set; }

    /// <summary>The thread that runs now.</summary>
    public NtThread Current => Active.Current;

    /// <summary>The thread of the machine's owner: it sends the requests, and a stop of the machine reaches
    /// it.</summary>
    public NtThread Owner { get; private set; } = null!;

    public IReadOnlyList<NtThread> Threads => _threads;

    /// <summary>Before more guest code runs, somebody should look: <see cref="Look"/>.</summary>
    public bool Attention { get; private set; }

    /// <summary>What could not be done at a high IRQL is looked at when it falls.</summary>
    public bool Deferred { get; private set; }

    /// <summary>Makes the calling host thread the owner's.</summary>
    public void Adopt(NtThread owner)
    {
        Owner = owner;
        owner.Host = _ownersCarrier;
        Add(owner);
        owner.State = ThreadState.Running;
        SetCurrent(Active, owner);
    }

    /// <summary>Gives each processor the thread that it has when it has none.</summary>
    public void AdoptIdle(Func<KProcessor, NtThread> make)
    {
        foreach (KProcessor processor in _processors)
        {
            NtThread idle = make(processor);
            idle.Affinity = 1UL << processor.Number;
            processor.Idle = idle;
            Kpcr pcr = processor.Pcr;
            pcr.IdleThread = idle.Object;
            _byObject.Add(idle.Object.Address, idle);
            SetCurrent(processor, idle);
        }
    }

    public void Start(NtThread thread)
    {
        Add(thread);
        MakeReady(thread);
    }

    /// <summary>Makes a thread known that is not ready yet.</summary>
    public void Add(NtThread thread)
    {
        _threads.Add(thread);
        _byObject.Add(thread.Object.Address, thread);
    }

    public NtThread? Find(Va thread) => _byObject.GetValueOrDefault(thread);

    public void MakeReady(NtThread thread)
    {
        thread.State = ThreadState.Ready;
        _ready.Add(thread);
        if (CouldRunAtOnce(thread)) Attention = true;
    }

    bool CouldRunAtOnce(NtThread thread)
    {
        foreach (KProcessor processor in _processors)
            if (thread.MayRunOn(processor.Number)
                && (processor.Current.IsIdle || processor.Current.Priority < thread.Priority))
                return true;
        return false;
    }

    /// <summary>A ready or running thread's priority or affinity is another one now.</summary>
    public void Change(NtThread thread, Action change)
    {
        bool ready = thread.State == ThreadState.Ready;
        if (ready) _ready.Remove(thread);
        change();
        if (ready) _ready.Add(thread);
        Attention = true;
    }

    /// <summary>Something may be due: an interrupt, a DPC, an APC, another thread.</summary>
    public void Notice() => Attention = true;

    public void OnSliceEnd()
    {
        _sliceEnded = true;
        Attention = true;
    }

    /// <summary>At the IRQL of before, nothing more could be done.</summary>
    public void OnLowered()
    {
        if (!Deferred) return;
        Deferred = false;
        Attention = true;
    }

    /// <summary>No thread may stop, wait or end inside of what has interrupted it.</summary>
    public void MustNotBeInterrupting()
    {
        if (Active.Nesting > 0)
            throw new BugCheck(BugCheckCode.ATTEMPTED_SWITCH_FROM_DPC, Current.Object.Address.Value,
                Active.Idle.Object.Address.Value, Current.Stack.Base.Value);
    }

    /// <summary>Ends the calling thread for good: its C# frames are left.</summary>
    public void Exit()
    {
        NtThread gone = Current;
        _threads.Remove(gone);
        _byObject.Remove(gone.Object.Address);
        gone.State = ThreadState.Terminated;
        throw new ThreadExit();
    }

    /// <summary>Goes on with another processor until something is so. One that would never see it is a
    /// deadlock.</summary>
    public void SpinUntil(Func<bool> isOver, Func<string> description)
    {
        if (isOver()) return;
        var spin = new Spin(isOver, description);
        while (!isOver())
        {
            _nt.Ke.Clock.Spend();
            // Whoever spins keeps its processor. What interrupts it is not the spin: that goes on, or moves.
            KProcessor mine = Active;
            mine.Spin = spin;
            try
            {
                Reschedule();
            }
            finally
            {
                mine.Spin = null;
            }
            _nt.Ke.Interrupt();
        }
    }

    /// <summary>Decides anew who runs where, and makes the chosen processor the active one.</summary>
    void Decide()
    {
        bool ended = _sliceEnded;
        _sliceEnded = false;
        _schedule.Executed = _nt.Ke.Clock.Retired;
        if (ended && Current is { IsIdle: false, State: ThreadState.Running } running && Active.Spin is null
            && Active is { Irql: < Irql.DISPATCH_LEVEL, IsMasked: false, Nesting: 0 })
            EndQuantum(running);
        while (true)
        {
            // The active one first: a thread that has just become ready stays where it is, if it can.
            Fill(Active);
            foreach (KProcessor processor in _processors) Fill(processor);
            if (Choose(ended) is { } chosen)
            {
                Activate(chosen, ended);
                return;
            }
            if (!RequestLateDpcs() && !PassTime()) Stuck();
        }
    }

    void EndQuantum(NtThread running)
    {
        running.Decay();
        bool givesWay = _schedule.EndsQuantum(running.Id);
        int best = _ready.HighestFor(Active.Number);
        if (best < running.Priority || best == running.Priority && !givesWay) return;
        Preempt(Active, first: false);
    }

    void Preempt(KProcessor processor, bool first)
    {
        NtThread running = processor.Current;
        SetCurrent(processor, processor.Idle);
        running.State = ThreadState.Ready;
        _ready.Add(running, first);
    }

    // A processor without a runnable thread gets one; a running thread gives way to one of a higher priority.
    void Fill(KProcessor processor)
    {
        NtThread current = processor.Current;
        bool runs = !current.IsIdle && current.State == ThreadState.Running;
        // At DISPATCH_LEVEL no thread is exchanged: nor is one that a DPC or another processor's request interrupts.
        if (processor.Nesting > 0) return;
        if (runs && (processor.Spin is not null || processor.IsMasked || processor.Irql >= Irql.DISPATCH_LEVEL))
            return;
        if (runs && !current.MayRunOn(processor.Number))
        {
            Preempt(processor, first: true);
            runs = false;
        }
        int best = _ready.IsEmpty ? -1 : _ready.HighestFor(processor.Number);
        if (runs)
        {
            if (best <= current.Priority) return;
            Preempt(processor, first: true);
        }
        if (best < 0)
        {
            if (!processor.Current.IsIdle) SetCurrent(processor, processor.Idle);
            return;
        }
        NtThread next = _ready.Take(best, processor.Number, _schedule);
        SetCurrent(processor, next);
        next.State = ThreadState.Running;
    }

    KProcessor? Choose(bool sliceEnded)
    {
        // The usual case: one processor, and it goes on.
        if (_processors.Length == 1) return Active.CanGoOn ? Active : null;
        Span<Candidate> candidates = stackalloc Candidate[_processors.Length];
        int count = 0, active = -1;
        foreach (KProcessor processor in _processors)
        {
            if (!processor.CanGoOn) continue;
            if (processor == Active) active = count;
            candidates[count++] = new Candidate(processor.Number, processor.Current.Id);
        }
        return count == 0 ? null
            : _processors[candidates[_schedule.Choose(candidates[..count], active, sliceEnded)].Processor];
    }

    void Activate(KProcessor processor, bool newSlice)
    {
        Clock clock = _nt.Ke.Clock;
        NtThread ran = _ran;
        _ran = processor.Current;
        bool other = processor != Active;
        if (other || newSlice || processor.Current != ran)
        {
            clock.Settle();
            if (other) Select(processor);
            clock.StartSlice();
        }
        _nt.Memory.Current = processor.Current.AddressSpace;
        // What came for it while it was not its turn is delivered before it goes on.
        if (processor.IsInterrupted || _nt.Ke.HasKernelApcNow(processor)) Attention = true;
    }

    void Select(KProcessor processor)
    {
        Active = processor;
        _nt.Computer.Select(processor.Number);
        if (processor.Irql >= Irql.DISPATCH_LEVEL) _nt.Memory.PageOut();
    }

    /// <summary>Puts a thread on a processor: what the one before had there is kept with it.</summary>
    void SetCurrent(KProcessor processor, NtThread next)
    {
        NtThread? before = processor.Current;
        if (before is not null)
        {
            if (before == next) return;
            processor.Cpu.CopyTo(before.Context);
            before.Irql = processor.Irql;
        }
        processor.Cpu.CopyFrom(next.Context);
        processor.Current = next;
        _nt.Ke.SetIrql(processor, next.Irql);
        Kpcr pcr = processor.Pcr;
        pcr.CurrentThread = next.Object;
        if (processor == Active) _nt.Memory.Current = next.AddressSpace;
        _nt.OnThreadSwitched(processor, before, next);
    }

    // DPCs of low importance wait for the next tick, unless there is nothing else to do.
    bool RequestLateDpcs()
    {
        bool any = false;
        foreach (KProcessor processor in _processors)
            // One that does not heed the request, its interrupts being masked, will not heed another.
            if (processor is { Irql: < Irql.DISPATCH_LEVEL, Dpcs.IsRequested: false }) any |= processor.Dpcs.Request();
        return any;
    }

    // With nothing to run: on to the next timer, or to what comes from outside before.
    bool PassTime()
    {
        if (_nt.Computer.HostInput is { } host && Enters(host)) return true;
        if (_nt.Ke.Timers.NextDue is not { } due) return false;
        _nt.Ke.Clock.AdvanceTo(due);
        _nt.Ke.Timers.Expire();
        return true;
    }

    // Whoever lets the machine run until it is idle does not wait for what is outside.
    bool Enters(IHostInput host)
    {
        long now = _nt.Ke.Clock.Now;
        if (Owner.Wait is { Objects.Length: 0 })
        {
            if (!host.Look(now)) return false;
        }
        else
        {
            if (host.Wait(now, _nt.Ke.Timers.NextDue) is not { } time) return false;
            _nt.Ke.Clock.AdvanceTo(time);
            host.Enter();
        }
        _nt.Ke.OnEntered();
        return true;
    }

    // Nobody can run and no time can pass: the owner's request is as far as it gets, or the machine hangs.
    void Stuck()
    {
        string spinning = string.Join(" ", _processors.Where(p => p.Spin is not null).Select(p =>
            $"Processor {p.Number} ({p.Current.Name}) spins on {p.Spin!.Description()}."));
        if (spinning.Length > 0) throw new Hang(HangKind.Deadlock, spinning + " None of it will ever happen.");
        if (Owner.Wait is { Idle: { } status } wait) _nt.Ke.End(wait, status);
        else throw Deadlock();
    }

    // A thread that stands in a driver is the one to look at first: the owner, else the oldest.
    Hang Deadlock()
    {
        NtThread[] waiting = [.. _threads.Where(t => t.Wait is { Deadline: Wait.Forever, Objects.Length: > 0 })
            .OrderBy(t => t != Owner)];
        string all = string.Join("; ", waiting.Take(4).Select(t => $"thread {t.Name} waits for {t.Wait}"));
        NtThread? first = waiting.FirstOrDefault(StandsInDriver) ?? waiting.FirstOrDefault();
        return new Hang(HangKind.Deadlock, $"Nobody can go on: {all}, and nothing will signal it.")
        {
            Culprit = first,
            Context = first?.Context,
        };
    }

    bool StandsInDriver(NtThread thread) =>
        CrashReport.Walk(_nt, thread.Context, thread.Calls).Any(f => _nt.Loader.IsDriver(f.Module));

    /// <summary>The stack of the oldest thread that waits in a driver without a time limit; empty if none
    /// does.</summary>
    public IReadOnlyList<StackFrame> StackOfWaiting() =>
        _threads.Find(t => t != Owner && t.Wait is { Deadline: Wait.Forever, Objects.Length: > 0 } && StandsInDriver(t))
            is { } thread ? CrashReport.Walk(_nt, thread.Context, thread.Calls) : [];
}
