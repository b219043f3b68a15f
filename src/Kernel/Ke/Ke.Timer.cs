using Ringdown.Machine;
using static Ringdown.Kernel.Irql;

namespace Ringdown.Kernel;

/// <summary>Timers as drivers make them, and the machine's time. A timer is due to the 100 ns, not to the
/// tick.</summary>
sealed partial class Ke
{
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
        Timers.Set(timer, dueTime, period * TimerQueue.TicksPerMillisecond, dpc);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public bool KeCancelTimer(KTimer timer) => Timers.Cancel(timer);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public bool KeReadStateTimer(KTimer timer) => timer.Header.SignalState != 0;

    /// <summary>As KeSetTimerEx; the tolerance leaves the system a choice that it does not need here.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public bool KeSetCoalescableTimer(KTimer timer, long dueTime, uint period, uint tolerableDelay, KDpc dpc) =>
        Timers.Set(timer, dueTime, period * TimerQueue.TicksPerMillisecond, dpc);

    /// <summary>A timer's DPC goes to its own target, or to the processor that set the timer.</summary>
    public void QueueTimerDpc(KDpc dpc, uint processor) =>
        (TargetOf(dpc) ?? Scheduler.Processors[(int)(processor % (uint)Scheduler.Processors.Count)])
            .Dpcs.Insert(dpc, Va.Null, Va.Null);

    [Export]
    public void KeStallExecutionProcessor(uint microseconds) => Stall(microseconds * 10L);

    /// <summary>Time passes, in 100 ns, while the processor waits.</summary>
    public void Stall(long ticks)
    {
        Clock.AdvanceTo(Clock.Now + ticks);
        // The clock interrupts whoever stalls, as it would whoever runs.
        LookOutside();
        if (!(Timers.NextDue <= Clock.Now)) return;
        Timers.Expire();
        Scheduler.Notice();
        Interrupt();
    }

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
    public ulong KeQueryInterruptTimePrecise(Va qpcTimeStamp)
    {
        _nt.Memory.Write(qpcTimeStamp, Clock.Now);
        return (ulong)Clock.Now;
    }

    /// <summary>Interrupt time without the time asleep.</summary>
    [Export]
    public ulong KeQueryUnbiasedInterruptTime() => (ulong)(Clock.Now - Clock.SleptTicks);

    [Export]
    public ulong KeQueryUnbiasedInterruptTimePrecise(Va qpcTimeStamp) =>
        KeQueryInterruptTimePrecise(qpcTimeStamp) - (ulong)Clock.SleptTicks;

    [Export]
    public void KeQuerySystemTimePrecise(Va currentTime) => _nt.Memory.Write(currentTime, Clock.SystemTime);
}
