using Ringdown.Machine;
using static Ringdown.Kernel.Irql;

namespace Ringdown.Kernel;

/// <summary>Events, semaphores, mutexes, timers and DPCs as drivers make them.</summary>
sealed partial class Ke
{
    const uint IncrementLimit = 0xC000_0047, MutantNotOwned = 0xC000_0046;

    [Export]
    public void KeInitializeEvent(KEvent @event, uint type, bool state) =>
        @event.Header.Initialize((DispatcherType)(type & 1), KEvent.Size, state ? 1 : 0);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public int KeSetEvent(KEvent @event, int increment, bool wait)
    {
        int old = @event.Header.SignalState;
        @event.SignalState = 1;
        if (old == 0) WakeWaiters(@event.Header);
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
        WakeWaiters(semaphore.Header);
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
    public int KeReleaseMutex(KMutant mutex, bool wait)
    {
        if (mutex.OwnerThread != CurrentThread.Address) throw new GuestException(MutantNotOwned);
        int old = mutex.Header.SignalState;
        if (old + 1 == 1) mutex.OwnerThread = Va.Null;
        mutex.SignalState = old + 1;
        WakeWaiters(mutex.Header);
        return old;
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public int KeReadStateMutex(KMutant mutex) => mutex.Header.SignalState;

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void KeInitializeTimer(KTimer timer) => KeInitializeTimerEx(timer, 0);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void KeInitializeTimerEx(KTimer timer, uint type)
    {
        timer.Header.Initialize(DispatcherType.NotificationTimer + (byte)(type & 1), KTimer.Size, 0);
        timer.Inserted = false;
        timer.DueTime = 0;
        timer.TimerListEntry.Initialize();
        timer.Dpc = KDpc.At(_nt.Memory, Va.Null);
        timer.Period = 0;
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public bool KeSetTimer(KTimer timer, long dueTime, KDpc dpc) => Timers.Set(timer, dueTime, 0, dpc);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public bool KeSetTimerEx(KTimer timer, long dueTime, uint period, KDpc dpc) =>
        Timers.Set(timer, dueTime, period, dpc);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public bool KeCancelTimer(KTimer timer) => Timers.Cancel(timer);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public bool KeReadStateTimer(KTimer timer) => timer.Header.SignalState != 0;

    [Export]
    public void KeInitializeDpc(KDpc dpc, Va deferredRoutine, Va deferredContext)
    {
        dpc.Type = 0x13;
        dpc.Importance = 1;
        dpc.Number = 0;
        (dpc.DeferredRoutine, dpc.DeferredContext, dpc.DpcData) = (deferredRoutine, deferredContext, Va.Null);
    }

    [Export]
    public bool KeInsertQueueDpc(KDpc dpc, Va systemArgument1, Va systemArgument2)
    {
        if (!Dpcs.Insert(dpc, systemArgument1, systemArgument2)) return false;
        Dpcs.Deliver();
        return true;
    }

    [Export]
    public bool KeRemoveQueueDpc(KDpc dpc) => Dpcs.Remove(dpc);

    [Export]
    public void KeSetImportanceDpc(KDpc dpc, byte importance) => dpc.Importance = importance;

    [Export(Support.Partial, "There is one processor, so the target is kept and has no effect.")]
    public void KeSetTargetProcessorDpc(KDpc dpc, byte number) => dpc.Number = (ushort)(number + 0x500);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public void KeFlushQueuedDpcs() => Dpcs.Deliver();

    [Export]
    public void KeStallExecutionProcessor(uint microseconds) => Clock.AdvanceTo(Clock.Now + microseconds * 10L);

    [Export]
    public long KeQueryPerformanceCounter(Va performanceFrequency)
    {
        if (!performanceFrequency.IsNull) _nt.Memory.Write(performanceFrequency, 10_000_000L);
        return Clock.Now;
    }

    [Export]
    public uint KeQueryTimeIncrement() => 156_250;

    [Export]
    public ulong KeQueryInterruptTime() => (ulong)Clock.Now;

    [Export]
    public ulong KeQueryActiveProcessors() => 1;

    [Export]
    public uint KeQueryActiveProcessorCount(Va activeProcessors)
    {
        if (!activeProcessors.IsNull) _nt.Memory.Write(activeProcessors, 1UL);
        return 1;
    }

    [Export]
    public uint KeGetCurrentProcessorNumberEx(Va procNumber)
    {
        if (!procNumber.IsNull) _nt.Memory.Write(procNumber, 0u);
        return 0;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void KeEnterCriticalRegion()
    {
        KThread thread = CurrentThread;
        thread.KernelApcDisable--;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void KeLeaveCriticalRegion()
    {
        KThread thread = CurrentThread;
        thread.KernelApcDisable++;
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public bool KeAreApcsDisabled() => CurrentThread.KernelApcDisable != 0;

    [Export]
    public KThread KeGetCurrentThread() => CurrentThread;

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public int KeSetPriorityThread(KThread thread, int priority)
    {
        int old = thread.Priority;
        thread.Priority = (sbyte)priority;
        return old;
    }

    [Export]
    public void KeBugCheckEx(uint code, ulong p1, ulong p2, ulong p3, ulong p4) =>
        throw new BugCheck((BugCheckCode)code, p1, p2, p3, p4);

    [Export]
    public void KeBugCheck(uint code) => throw new BugCheck((BugCheckCode)code);

    [ExportData] public ulong KeNumberProcessors => 1;
    [ExportData] public ulong NtBuildNumber => 0xF000_0000 | SharedData.BuildNumber;
    [ExportData] public ulong KdDebuggerEnabled => 0;
    [ExportData] public ulong KdDebuggerNotPresent => 1;
    [ExportData] public ulong InitSafeBootMode => 0;
}
