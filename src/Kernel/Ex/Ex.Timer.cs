using Ringdown.Machine;
using static Ringdown.Kernel.Irql;

namespace Ringdown.Kernel;

/// <summary>What lies behind an EX_TIMER: a KTIMER, so that it can be waited for, and the DPC that calls
/// back.</summary>
[Layout("_EX_TIMER", Size = 0x98)]
public readonly partial struct ExTimer
{
    [Embedded(0x00)] public partial KTimer Timer { get; }
    [Embedded(0x40)] public partial KDpc Dpc { get; }
    [Field(0x80)] public partial Va Callback { get; set; }
    [Field(0x88)] public partial Va CallbackContext { get; set; }
    [Field(0x90)] public partial uint Attributes { get; set; }
}

/// <summary>Timers that the system allocates; their times are in units of 100 ns.</summary>
sealed partial class Ex
{
    const uint TimerTag = 0x6D69_5445, EX_TIMER_NOTIFICATION = 0x80000000;

    readonly SortedSet<Va> _timers = [];
    Va _timerDpc;

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public ExTimer ExAllocateTimer(Va callback, Va callbackContext, uint attributes)
    {
        ExTimer timer = ExTimer.At(
            nt.Memory, nt.Mm.Pool.Allocate((ulong)ExTimer.Size, PoolKind.NonPaged, TimerTag, nt.Caller, zero: true));
        if (timer.IsNull) return timer;
        nt.Ke.KeInitializeTimerEx(timer.Timer, (attributes & EX_TIMER_NOTIFICATION) != 0 ? 0u : 1);
        (timer.Callback, timer.CallbackContext, timer.Attributes) = (callback, callbackContext, attributes);
        if (_timerDpc.IsNull) _timerDpc = nt.Routines.Add("ExpTimerDpcRoutine", CallBack);
        timer.Dpc.Initialize(KDpc.Ordinary, _timerDpc, timer.Address);
        _timers.Add(timer.Address);
        return timer;
    }

    static void CallBack(NtKernel nt, GuestCall call)
    {
        ExTimer timer = ExTimer.At(nt.Memory, new Va(call.Argument(1)));
        nt.Routines.Call(timer.Callback, timer.Address.Value, timer.CallbackContext.Value);
    }

    /// <summary>Sets a timer: a due time below 0 is relative; a period of 0 fires once.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public bool ExSetTimer(ExTimer timer, long dueTime, long period, Va parameters)
    {
        KDpc dpc = Known(timer).Callback.IsNull ? KDpc.At(nt.Memory, Va.Null) : timer.Dpc;
        return nt.Ke.Timers.Set(timer.Timer, dueTime, Math.Clamp(period, 0, 1L << 60), dpc);
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public bool ExCancelTimer(ExTimer timer, Va parameters) => nt.Ke.Timers.Cancel(Known(timer).Timer);

    /// <summary>Deletes a timer; with <paramref name="wait"/> its callback has ended when this returns.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public bool ExDeleteTimer(ExTimer timer, bool cancel, bool wait, Va parameters)
    {
        bool was = cancel && nt.Ke.Timers.Cancel(Known(timer).Timer);
        Known(timer);
        nt.Ke.KeRemoveQueueDpc(timer.Dpc);
        if (wait && nt.Ke.Irql < DISPATCH_LEVEL) nt.Ke.KeFlushQueuedDpcs();
        nt.Ke.Timers.Cancel(timer.Timer);
        _timers.Remove(timer.Address);
        nt.Mm.Pool.Free(timer.Address);
        return was;
    }

    ExTimer Known(ExTimer timer) => _timers.Contains(timer.Address) ? timer
        : throw new BugCheck(BugCheckCode.TIMER_OR_DPC_INVALID, 1, timer.Address.Value);
}
