using static Ringdown.Kernel.Irql;

namespace Ringdown.Kernel;

/// <summary>Guarded mutexes: fast mutexes that keep APCs off by a guarded region, not by the IRQL.</summary>
sealed partial class Ex
{
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void KeInitializeGuardedMutex(FastMutex mutex)
    {
        nt.Memory.Fill(mutex.Address, FastMutex.Size, 0);
        mutex.Count = 1;
        mutex.Event.Header.Initialize(DispatcherType.SynchronizationEvent, KEvent.Size, 0);
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void KeAcquireGuardedMutex([AcquiresLock] FastMutex mutex)
    {
        Guard(-1);
        ExAcquireFastMutexUnsafe(mutex);
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void KeReleaseGuardedMutex([ReleasesLock] FastMutex mutex)
    {
        ExReleaseFastMutexUnsafe(mutex);
        Guard(1);
    }

    /// <summary>For a caller that is in a guarded region, or at APC_LEVEL, already.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void KeAcquireGuardedMutexUnsafe([AcquiresLock] FastMutex fastMutex) => ExAcquireFastMutexUnsafe(fastMutex);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void KeReleaseGuardedMutexUnsafe([ReleasesLock] FastMutex fastMutex) => ExReleaseFastMutexUnsafe(fastMutex);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool KeTryToAcquireGuardedMutex([AcquiresLock] FastMutex mutex)
    {
        if (mutex.Count != 1) return false;
        KeAcquireGuardedMutex(mutex);
        return true;
    }

    void Guard(short by)
    {
        KThread thread = nt.Ke.CurrentThread;
        thread.SpecialApcDisable += by;
    }
}
