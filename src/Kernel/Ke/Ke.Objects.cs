using Ringdown.Machine;
using static Ringdown.Kernel.Irql;

namespace Ringdown.Kernel;

/// <summary>Events, semaphores and mutexes as drivers make them.</summary>
sealed partial class Ke
{
    const uint IncrementLimit = 0xC000_0047, MutantNotOwned = 0xC000_0046,
        MutantAbandoned = 0x0000_0080, MutantLimitExceeded = 0xC000_0191;

    [Export]
    public void KeInitializeEvent(KEvent @event, uint type, bool state) =>
        @event.Header.Initialize((DispatcherType)(type & 1), KEvent.Size, state ? 1 : 0);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public int KeSetEvent(KEvent @event, int increment, bool wait)
    {
        int old = @event.Header.SignalState;
        @event.SignalState = 1;
        if (wait) RaiseForWait();
        if (old == 0) WakeWaiters(@event.Header, increment);
        return old;
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public int KePulseEvent(KEvent @event, int increment, bool wait)
    {
        int old = KeSetEvent(@event, increment, wait);
        @event.SignalState = 0;
        return old;
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public int KeResetEvent(KEvent @event)
    {
        int old = @event.Header.SignalState;
        @event.SignalState = 0;
        return old;
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void KeClearEvent(KEvent @event) => @event.SignalState = 0;

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public int KeReadStateEvent(KEvent @event) => @event.Header.SignalState;

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public void KeInitializeSemaphore(KSemaphore semaphore, int count, int limit)
    {
        semaphore.Header.Initialize(DispatcherType.Semaphore, KSemaphore.Size, count);
        semaphore.Limit = limit;
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public int KeReleaseSemaphore(KSemaphore semaphore, int increment, int adjustment, bool wait)
    {
        int old = semaphore.Header.SignalState, sum = old + adjustment;
        if (sum > semaphore.Limit || sum < old) throw new GuestException(IncrementLimit);
        semaphore.SignalState = sum;
        if (wait) RaiseForWait();
        WakeWaiters(semaphore.Header, increment);
        return old;
    }

    [Export]
    public int KeReadStateSemaphore(KSemaphore semaphore) => semaphore.Header.SignalState;

    [Export]
    public void KeInitializeMutex(KMutant mutex, uint level)
    {
        mutex.Header.Initialize(DispatcherType.Mutant, KMutant.Size, 1);
        mutex.MutantListEntry.Initialize();
        mutex.OwnerThread = Va.Null;
        mutex.Abandoned = 0;
        mutex.ApcDisable = 1;
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public int KeReleaseMutex(KMutant mutex, bool wait) =>
        ReleaseMutant(mutex, abandoned: false, wait: wait);

    /// <summary>A mutex without effect on APCs, as user mode has it.</summary>
    [Export]
    public void KeInitializeMutant(KMutant mutant, bool initialOwner)
    {
        mutant.Header.Initialize(DispatcherType.Mutant, KMutant.Size, 1);
        (mutant.OwnerThread, mutant.Abandoned, mutant.ApcDisable) = (Va.Null, 0, 0);
        if (initialOwner) TakeMutant(Scheduler.Current, mutant);
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public int KeReleaseMutant(KMutant mutant, int increment, bool abandoned, bool wait) =>
        ReleaseMutant(mutant, abandoned, increment, wait);

    /// <returns>Whether its last owner has ended without giving it back.</returns>
    bool TakeMutant(NtThread thread, KMutant mutant)
    {
        int old = mutant.Header.SignalState, count = old - 1;
        if (old == int.MinValue) throw new GuestException(MutantLimitExceeded);
        mutant.SignalState = count;
        if (count != 0) return false;
        KThread owner = thread.Object;
        mutant.OwnerThread = owner.Address;
        owner.MutantListHead.InsertTail(mutant.MutantListEntry);
        owner.KernelApcDisable -= mutant.ApcDisable;
        bool abandoned = mutant.Abandoned != 0;
        mutant.Abandoned = 0;
        return abandoned;
    }

    int ReleaseMutant(KMutant mutant, bool abandoned, int increment = 0, bool wait = false)
    {
        int old = mutant.Header.SignalState;
        if (!abandoned && mutant.OwnerThread != CurrentThread.Address)
            throw new GuestException(mutant.Abandoned != 0 ? MutantAbandoned : MutantNotOwned);
        int count = abandoned ? 1 : old + 1;
        if (abandoned) mutant.Abandoned = 1;
        mutant.SignalState = count;
        if (wait) RaiseForWait();
        if (count != 1) return old;
        mutant.MutantListEntry.Remove();
        if (Scheduler.Find(mutant.OwnerThread) is { } owner)
        {
            KThread was = owner.Object;
            was.KernelApcDisable += mutant.ApcDisable;
        }
        mutant.OwnerThread = Va.Null;
        WakeWaiters(mutant.Header, increment);
        DeliverKernelApcs();
        return old;
    }

    /// <summary>When a thread ends: a mutex of the kernel's that it still owns is a bug check, others are
    /// abandoned.</summary>
    public void RundownMutants(KThread thread)
    {
        ListEntry list = thread.MutantListHead;
        while (!list.IsEmpty)
        {
            Clock.Spend();
            KMutant mutant = KMutant.At(_nt.Memory, list.Flink.Address - KMutant.ListOffset);
            if (mutant.ApcDisable != 0)
                throw new BugCheck(BugCheckCode.THREAD_TERMINATE_HELD_MUTEX, thread.Address.Value,
                    mutant.Address.Value);
            ReleaseMutant(mutant, abandoned: true);
        }
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public int KeReadStateMutex(KMutant mutex) => mutex.Header.SignalState;
}
