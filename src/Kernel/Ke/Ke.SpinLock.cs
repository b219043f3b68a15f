using Ringdown.Machine;
using static Ringdown.Kernel.Irql;

namespace Ringdown.Kernel;

/// <summary>Spin locks: plain, in-stack queued.</summary>
/// <remarks>A lock that is held has the thread that took it in its word, as in a checked build.</remarks>
sealed partial class Ke
{
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public Irql KeAcquireSpinLockRaiseToDpc([AcquiresLock] Va spinLock)
    {
        Irql old = Raise(DISPATCH_LEVEL);
        Acquire(spinLock);
        return old;
    }

    [Export, IrqlRequiresMin(DISPATCH_LEVEL)]
    public void KeAcquireSpinLockAtDpcLevel([AcquiresLock] Va spinLock) => Acquire(spinLock);

    [Export, IrqlRequiresMin(DISPATCH_LEVEL), IrqlRequiresMax(DISPATCH_LEVEL)]
    public void KeReleaseSpinLock([ReleasesLock] Va spinLock, Irql newIrql)
    {
        Release(spinLock);
        Lower(newIrql);
    }

    [Export, IrqlRequiresMin(DISPATCH_LEVEL), IrqlRequiresMax(DISPATCH_LEVEL)]
    public void KeReleaseSpinLockFromDpcLevel([ReleasesLock] Va spinLock) => Release(spinLock);

    [Export, IrqlRequiresMin(DISPATCH_LEVEL), IrqlRequiresMax(DISPATCH_LEVEL)]
    public bool KeTryToAcquireSpinLockAtDpcLevel([AcquiresLock] Va spinLock)
    {
        if (_nt.Memory.Read<ulong>(spinLock) != 0) return false;
        Acquire(spinLock);
        return true;
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void KeAcquireInStackQueuedSpinLock([AcquiresLock] Va spinLock, Va lockHandle)
    {
        Irql old = Raise(DISPATCH_LEVEL);
        KeAcquireInStackQueuedSpinLockAtDpcLevel(spinLock, lockHandle);
        _nt.Memory.Write(lockHandle + 0x10, (byte)old);
    }

    /// <summary>KLOCK_QUEUE_HANDLE: next, the lock, and the IRQL to go back to.</summary>
    [Export, IrqlRequiresMin(DISPATCH_LEVEL)]
    public void KeAcquireInStackQueuedSpinLockAtDpcLevel([AcquiresLock] Va spinLock, Va lockHandle)
    {
        Acquire(spinLock);
        _nt.Memory.Write(lockHandle, 0UL);
        _nt.Memory.Write(lockHandle + 8, spinLock);
    }

    [Export, IrqlRequiresMin(DISPATCH_LEVEL), IrqlRequiresMax(DISPATCH_LEVEL)]
    public void KeReleaseInStackQueuedSpinLock([ReleasesLock] Va lockHandle)
    {
        KeReleaseInStackQueuedSpinLockFromDpcLevel(lockHandle);
        Lower((Irql)_nt.Memory.Read<byte>(lockHandle + 0x10));
    }

    [Export, IrqlRequiresMin(DISPATCH_LEVEL), IrqlRequiresMax(DISPATCH_LEVEL)]
    public void KeReleaseInStackQueuedSpinLockFromDpcLevel([ReleasesLock] Va lockHandle) =>
        Release(_nt.Memory.Read<Va>(lockHandle + 8));

    /// <summary>For a DPC that may be a threaded one: raises to DISPATCH_LEVEL if need be.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public Irql KeAcquireSpinLockForDpc([AcquiresLock] Va spinLock) => KeAcquireSpinLockRaiseToDpc(spinLock);

    [Export, IrqlRequiresMin(DISPATCH_LEVEL), IrqlRequiresMax(DISPATCH_LEVEL)]
    public void KeReleaseSpinLockForDpc([ReleasesLock] Va spinLock, Irql oldIrql) =>
        KeReleaseSpinLock(spinLock, oldIrql);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void KeAcquireInStackQueuedSpinLockForDpc([AcquiresLock] Va spinLock, Va lockHandle) =>
        KeAcquireInStackQueuedSpinLock(spinLock, lockHandle);

    [Export, IrqlRequiresMin(DISPATCH_LEVEL), IrqlRequiresMax(DISPATCH_LEVEL)]
    public void KeReleaseInStackQueuedSpinLockForDpc([ReleasesLock] Va lockHandle) =>
        KeReleaseInStackQueuedSpinLock(lockHandle);

    [Export]
    public bool KeTestSpinLock(Va spinLock) => _nt.Memory.Read<ulong>(spinLock) == 0;

    [Export]
    public void KeInitializeSpinLock(Va spinLock) => _nt.Memory.Write(spinLock, 0UL);

    /// <summary>Takes a spin lock; while another processor holds it, that one goes on.</summary>
    public void Acquire(Va spinLock)
    {
        if (_nt.Memory.Read<ulong>(spinLock) is var word and not 0)
        {
            // Whoever holds it on this very processor is further up this stack, and waits for us.
            if (HolderOf(word) is not { } holder || holder == Scheduler.Active)
                throw new BugCheck(BugCheckCode.SPIN_LOCK_ALREADY_OWNED, spinLock.Value);
            SpinFor(spinLock);
        }
        _nt.Memory.Write(spinLock, Scheduler.Active.Current.Object.Address.Value | 1);
    }

    /// <summary>Waits for a lock of another kind. With one processor nobody can ever release it.</summary>
    public void SpinOn(Va spinLock, Func<bool> isFree)
    {
        if (Scheduler.Processors.Count == 1)
            throw new BugCheck(BugCheckCode.SPIN_LOCK_ALREADY_OWNED, spinLock.Value);
        Scheduler.SpinUntil(isFree, () => $"the lock at {spinLock}");
    }

    void SpinFor(Va spinLock) => Scheduler.SpinUntil(() => PeekLock(spinLock) == 0, () =>
        $"the lock at {spinLock}, which {DescribeHolder(PeekLock(spinLock))} holds");

    // A lock in memory that has gone since counts as free: taking it will fault.
    ulong PeekLock(Va spinLock) => _nt.Memory.TryPeek(spinLock, out ulong word) ? word : 0;

    string DescribeHolder(ulong word) => HolderOf(word) is { } holder
        ? $"processor {holder.Number} ({holder.Current.Name})" : "nobody";

    /// <summary>The running thread has taken it, and not given it back.</summary>
    public bool IsHeldHere(Va spinLock) =>
        (_nt.Memory.Read<ulong>(spinLock) & ~1UL) == Scheduler.Active.Current.Object.Address.Value;

    KProcessor? HolderOf(ulong word) =>
        Scheduler.Processors.FirstOrDefault(p => p.Current.Object.Address.Value == (word & ~1UL));

    /// <summary>Gives a spin lock back.</summary>
    public void Release(Va spinLock)
    {
        if (_nt.Memory.Read<ulong>(spinLock) == 0) throw new BugCheck(BugCheckCode.SPIN_LOCK_NOT_OWNED, spinLock.Value);
        _nt.Memory.Write(spinLock, 0UL);
    }
}
