namespace Ringdown.Kernel;

/// <summary>Decides which thread runs. One at a time: each has a host thread, and the baton passes at waits and
/// quanta.</summary>
sealed class Scheduler(NtKernel nt)
{
    readonly List<NtThread> _threads = [];
    readonly LinkedList<NtThread> _ready = new();
    MachineStop? _stop;
    bool _disposed;

    /// <summary>The thread that runs now.</summary>
    public NtThread Current { get; private set; } = null!;

    /// <summary>The thread of the machine's owner: it sends the requests, and a stop of the machine reaches
    /// it.</summary>
    public NtThread Owner { get; private set; } = null!;

    public IReadOnlyList<NtThread> Threads => _threads;

    /// <summary>The thread whose turn it is next, if any is ready.</summary>
    public NtThread? FirstReady => _ready.First?.Value;

    /// <summary>Makes the calling host thread the owner's.</summary>
    public void Adopt(NtThread owner)
    {
        Owner = Current = owner;
        _threads.Add(owner);
    }

    public void Start(NtThread thread)
    {
        _threads.Add(thread);
        _ready.AddLast(thread);
    }

    public void MakeReady(NtThread thread) => _ready.AddLast(thread);

    /// <summary>Runs others until this thread's wait is over, or returns false: nobody else can run now.</summary>
    public bool TrySwitch()
    {
        if (_ready.First is not { } next) return false;
        _ready.RemoveFirst();
        SwitchTo(next.Value);
        return true;
    }

    /// <summary>Nobody can run and no time can pass: the owner decides what that means.</summary>
    public void SwitchToOwner() => SwitchTo(Owner);

    /// <summary>The quantum is over: another ready thread's turn.</summary>
    public void Yield()
    {
        if (_ready.Count == 0) return;
        _ready.AddLast(Current);
        TrySwitch();
    }

    /// <summary>Ends the calling thread for good; its host thread returns.</summary>
    public void Exit()
    {
        NtThread gone = Current;
        _threads.Remove(gone);
        gone.State = ThreadState.Terminated;
        throw new ThreadExit();
    }

    void SwitchTo(NtThread next)
    {
        NtThread from = Current;
        if (next == from) return;
        Park(from);
        Resume(next);
        from.Baton.Wait();
        if (_disposed || from.State == ThreadState.Terminated) throw new ThreadExit();
        if (_stop is { } stop && from == Owner)
        {
            _stop = null;
            throw stop;
        }
    }

    void Park(NtThread thread)
    {
        nt.Cpu.CopyTo(thread.Context);
        thread.Irql = nt.Ke.Irql;
    }

    void Resume(NtThread next)
    {
        Current = next;
        nt.Cpu.CopyFrom(next.Context);
        nt.Ke.SetIrql(next.Irql);
        nt.Ke.SetCurrentThread(next.Object);
        nt.Memory.Current = next.AddressSpace;
        if (next.Host is null && next != Owner)
        {
            next.Host = new Thread(() => Main(next), 4 << 20) { IsBackground = true, Name = next.Name };
            next.Host.Start();
        }
        else next.Baton.Release();
    }

    void Main(NtThread thread)
    {
        try
        {
            nt.Ps.RunThread(thread);
        }
        catch (ThreadExit)
        {
        }
        catch (MachineStop stop)
        {
            _stop = stop;
        }
        if (_disposed) return;
        // The baton goes on: to the owner if the machine has stopped, else to whoever can run.
        NtThread next = _stop is not null ? Owner : nt.Ke.NextToRun();
        _ready.Remove(next);
        Resume(next);
    }

    /// <summary>Ends all host threads but the caller's.</summary>
    public void Stop()
    {
        _disposed = true;
        foreach (NtThread thread in _threads)
        {
            if (thread.Host is null) continue;
            thread.Baton.Release();
            thread.Host.Join();
        }
    }
}

/// <summary>Unwinds a host thread whose NT thread is over.</summary>
sealed class ThreadExit : Exception;
