namespace Ringdown.Kernel;

/// <summary>
/// A host thread that carries NT threads. One of a machine's carriers runs at a time; the others wait for its baton.
/// </summary>
/// <remarks>
/// A thread without C# frames changes its carrier freely, so a carrier runs one after the other in place. A thread that
/// stops inside of nested calls keeps its carrier's stack until it is back.
/// </remarks>
sealed class Carrier
{
    const int StackBytes = 4 << 20;

    readonly Scheduler _scheduler;
    readonly SemaphoreSlim _baton = new(0);
    readonly Thread? _host;

    /// <summary>The carrier of the machine's owner: a host thread from outside.</summary>
    public Carrier(Scheduler scheduler) => _scheduler = scheduler;

    public Carrier(Scheduler scheduler, int number)
    {
        _scheduler = scheduler;
        _host = new Thread(() => scheduler.Carry(this), StackBytes) { IsBackground = true, Name = $"carrier {number}" };
    }

    public bool IsStarted { get; private set; }

    /// <summary>Lets it go on. The caller touches the machine no more until it has the baton again.</summary>
    public void Resume()
    {
        if (IsStarted || _host is null) _baton.Release();
        else
        {
            IsStarted = true;
            _host.Start();
        }
    }

    /// <summary>Waits for the baton.</summary>
    /// <exception cref="ThreadExit">The machine is being disposed of.</exception>
    public void Pause()
    {
        _baton.Wait();
        if (_scheduler.IsDisposed) throw new ThreadExit();
    }

    /// <summary>Lets it see that the machine is gone, and waits until it has.</summary>
    public void End()
    {
        if (_host is null || !IsStarted) return;
        _baton.Release();
        _host.Join();
    }
}

/// <summary>Unwinds the C# frames of an NT thread that is over.</summary>
sealed class ThreadExit : Exception;
