using Ringdown.Machine;
using static Ringdown.Kernel.Irql;

namespace Ringdown.Kernel;

/// <summary>The system's queued spin locks, which are known by number (KSPIN_LOCK_QUEUE_NUMBER).</summary>
sealed partial class Ke
{
    const uint QueuedLocks = 17, IoCancelLock = 7, QueuedLockTag = 0x7351_7053;
    const Irql SYNCH_LEVEL = (Irql)12;

    Va _queuedLocks;

    Va QueuedLock(uint number)
    {
        if (number >= QueuedLocks) throw new BugCheck(BugCheckCode.SPIN_LOCK_INIT_FAILURE, number);
        if (number == IoCancelLock) return _nt.Io.CancelLock;
        if (_queuedLocks.IsNull) _queuedLocks = _nt.Mm.Pool.Allocate((int)QueuedLocks * 8, QueuedLockTag);
        return _queuedLocks + number * 8;
    }

    Irql AcquireQueued(uint number, Irql level)
    {
        Va spinLock = QueuedLock(number);
        Irql old = Raise(level);
        Acquire(spinLock);
        return old;
    }

    uint TryAcquireQueued(uint number, Va oldIrql, Irql level)
    {
        Va spinLock = QueuedLock(number);
        if (_nt.Memory.Read<ulong>(spinLock) != 0) return 0;
        _nt.Memory.Write(oldIrql, (byte)AcquireQueued(number, level));
        return 1;
    }

    [Export(Module = "hal.dll"), IrqlRequiresMax(DISPATCH_LEVEL)]
    public Irql KeAcquireQueuedSpinLock(uint number) => AcquireQueued(number, DISPATCH_LEVEL);

    [Export(Module = "hal.dll"), IrqlRequiresMax(SYNCH_LEVEL)]
    public Irql KeAcquireQueuedSpinLockRaiseToSynch(uint number) => AcquireQueued(number, SYNCH_LEVEL);

    [Export(Module = "hal.dll"), IrqlRequiresMin(DISPATCH_LEVEL)]
    public void KeReleaseQueuedSpinLock(uint number, Irql oldIrql)
    {
        Release(QueuedLock(number));
        Lower(oldIrql);
    }

    [Export(Module = "hal.dll"), IrqlRequiresMax(DISPATCH_LEVEL)]
    public uint KeTryToAcquireQueuedSpinLock(uint number, Va oldIrql) =>
        TryAcquireQueued(number, oldIrql, DISPATCH_LEVEL);

    [Export(Module = "hal.dll"), IrqlRequiresMax(SYNCH_LEVEL)]
    public uint KeTryToAcquireQueuedSpinLockRaiseToSynch(uint number, Va oldIrql) =>
        TryAcquireQueued(number, oldIrql, SYNCH_LEVEL);

    [Export(Module = "hal.dll"), IrqlRequiresMax(SYNCH_LEVEL)]
    public void KeAcquireInStackQueuedSpinLockRaiseToSynch([AcquiresLock] Va spinLock, Va lockHandle)
    {
        Irql old = Raise(SYNCH_LEVEL);
        KeAcquireInStackQueuedSpinLockAtDpcLevel(spinLock, lockHandle);
        _nt.Memory.Write(lockHandle + 0x10, (byte)old);
    }
}
