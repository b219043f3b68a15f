using Ringdown.Machine;
using System.Runtime.ExceptionServices;

namespace Ringdown.Kernel;

/// <summary>On which host threads NT threads run, and how the baton passes between them.</summary>
sealed partial class Scheduler
{
    readonly Carrier _ownersCarrier;
    readonly List<Carrier> _carriers = [];
    readonly Stack<Carrier> _free = new();

    // What has ended the machine on another thread than the owner's: from then on nobody runs.
    ExceptionDispatchInfo? _over;

    public bool IsDisposed { get; private set; }

    /// <summary>
    /// Lets go on who should; returns when it is the calling thread's turn again, whatever it waits for. Its C# frames
    /// stay on its carrier meanwhile.
    /// </summary>
    public void Reschedule()
    {
        _over?.Throw();
        NtThread me = Current;
        while (true)
        {
            Decide();
            if (Current == me) return;
            if (Current.IsIdle && _processors.Length == 1)
            {
                // Nobody else needs this stack while the only processor is idle.
                _nt.Ke.Interrupt();
                continue;
            }
            Carrier host = me.Host!;
            (Current.Host ?? TakeFree()).Resume();
            host.Pause();
            _over?.Throw();
            Invariant.Holds(Current == me);
            return;
        }
    }

    /// <summary>Somebody asked for attention: what interrupts, then who runs. The caller is between two guest
    /// instructions.</summary>
    public void Look()
    {
        BeforeLook();
        Reschedule();
    }

    /// <summary>The same for a thread without C# frames.</summary>
    /// <returns>Whether it goes on at once; else its carrier has other things to do.</returns>
    public bool LookInPlace()
    {
        NtThread me = Current;
        BeforeLook();
        Decide();
        return Current == me;
    }

    void BeforeLook()
    {
        Attention = false;
        _nt.Ke.Interrupt();
        if (Active.Irql > Irql.PASSIVE_LEVEL) Deferred = true;
    }

    /// <summary>The life of a carrier: it runs whoever is current, and passes the baton on if that one has its frames
    /// elsewhere.</summary>
    public void Carry(Carrier carrier)
    {
        try
        {
            while (true)
            {
                NtThread thread = Current;
                if (thread.Host is { } other && other != carrier)
                {
                    _free.Push(carrier);
                    other.Resume();
                    carrier.Pause();
                    continue;
                }
                thread.Host = carrier;
                Run(thread);
                thread.Host = null;
            }
        }
        catch (Exception) when (IsDisposed)
        {
            // By ThreadExit, or by what code on the way out of it did to a machine that is gone.
        }
        catch (MachineStop stop) when (_nt.Ke.Report(stop))
        {
            HandToOwner(stop);
        }
        catch (Exception mistake)
        {
            HandToOwner(mistake);
        }
    }

    // The machine's end is the owner's to see.
    void HandToOwner(Exception end)
    {
        _over = ExceptionDispatchInfo.Capture(end);
        _ownersCarrier.Resume();
    }

    void Run(NtThread thread)
    {
        try
        {
            if (thread.IsIdle) _nt.Ke.Interrupt();
            else
            {
                _nt.Routines.RunBase(thread);
                return;
            }
        }
        catch (ThreadExit) when (!IsDisposed)
        {
            _nt.Ps.OnThreadGone(thread);
        }
        Decide();
    }

    Carrier TakeFree()
    {
        if (_free.TryPop(out Carrier? free)) return free;
        var made = new Carrier(this, _carriers.Count);
        _carriers.Add(made);
        return made;
    }

    /// <summary>Ends all host threads but the caller's.</summary>
    public void Stop()
    {
        IsDisposed = true;
        foreach (Carrier carrier in _carriers) carrier.End();
    }
}
