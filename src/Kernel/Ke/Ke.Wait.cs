using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

sealed partial class Ke
{
    /// <summary>Threads that wait, in the order in which they began to.</summary>
    readonly List<Wait> _waits = [];

    /// <summary>Waits until one or all objects are signalled, or the clock reaches the deadline.</summary>
    /// <param name="idle">What to return if nothing can ever end the wait; null: the machine hangs.</param>
    public NtStatus WaitFor(DispatcherHeader[] objects, bool all, long? deadline, NtStatus? idle = null)
    {
        if (TryTake(Scheduler.Current, objects, all) is { } taken) return taken;
        if (deadline <= Clock.Now) return STATUS_TIMEOUT;
        if (Irql >= DISPATCH_LEVEL)
            throw new BugCheck(BugCheckCode.IRQL_NOT_LESS_OR_EQUAL, objects[0].Address.Value, (ulong)Irql, 0,
                _nt.Cpu.Rip);

        var wait = new Wait(Scheduler.Current, objects, all, deadline ?? Wait.Forever);
        _waits.Add(wait);
        wait.Thread.Wait = wait;
        wait.Thread.State = ThreadState.Waiting;
        (long, long)? timer = deadline is { } at ? Timers.Add(at, () => End(wait, STATUS_TIMEOUT)) : null;
        Block(wait, idle);
        if (timer is { } key) Timers.Remove(key);
        return wait.Result!.Value;
    }

    /// <summary>Lets others run until all wait and no timer is set; at most ten seconds of the machine's
    /// time.</summary>
    public NtStatus RunUntilIdle()
    {
        long limit = Clock.Now + 100_000_000;
        return WaitFor([CurrentThread.Header], all: false, limit, idle: STATUS_SUCCESS);
    }

    void Block(Wait wait, NtStatus? idle)
    {
        while (wait.Result is null)
        {
            if (Scheduler.TrySwitch() || PassTime()) continue;
            if (wait.Thread != Scheduler.Owner) Scheduler.SwitchToOwner();
            else if (idle is { } status) End(wait, status);
            else throw new Hang(HangKind.Deadlock,
                $"Thread {wait.Thread.Name} waits for {Describe(wait)}, and nothing will signal it.");
        }
    }

    static string Describe(Wait wait) =>
        string.Join(", ", wait.Objects.Select(o => $"the {o.Type} at {o.Address}"));

    /// <summary>An object became signalled: lets go on who waited for it, first come, first served.</summary>
    public void WakeWaiters(DispatcherHeader header)
    {
        for (int i = 0; i < _waits.Count && header.SignalState > 0; i++)
        {
            Wait wait = _waits[i];
            if (!wait.Objects.Contains(header)) continue;
            if (TryTake(wait.Thread, wait.Objects, wait.All) is not { } taken) continue;
            End(wait, taken);
            i--;
        }
    }

    void End(Wait wait, NtStatus result)
    {
        if (wait.Result is not null) return;
        wait.Result = result;
        wait.Thread.Wait = null;
        wait.Thread.State = ThreadState.Ready;
        _waits.Remove(wait);
        if (wait.Thread != Scheduler.Current) Scheduler.MakeReady(wait.Thread);
    }

    /// <summary>Takes what a wait takes if it can be satisfied now; null if not.</summary>
    NtStatus? TryTake(NtThread thread, DispatcherHeader[] objects, bool all)
    {
        if (all)
        {
            if (!objects.All(o => CanTake(thread, o))) return null;
            foreach (DispatcherHeader o in objects) Take(thread, o);
            return STATUS_SUCCESS;
        }
        for (int i = 0; i < objects.Length; i++)
        {
            if (!CanTake(thread, objects[i])) continue;
            bool abandoned = Take(thread, objects[i]);
            return new NtStatus((abandoned ? STATUS_ABANDONED_WAIT_0.Value : 0) + (uint)i);
        }
        return null;
    }

    bool CanTake(NtThread thread, DispatcherHeader header) =>
        header.SignalState > 0
        || header.Type == DispatcherType.Mutant
            && KMutant.At(_nt.Memory, header.Address).OwnerThread == thread.Object.Address;

    /// <returns>Whether it was a mutex that its owner had abandoned.</returns>
    bool Take(NtThread thread, DispatcherHeader header)
    {
        switch (header.Type)
        {
            case DispatcherType.SynchronizationEvent or DispatcherType.SynchronizationTimer:
                header.SignalState = 0;
                break;
            case DispatcherType.Semaphore:
                header.SignalState--;
                break;
            case DispatcherType.Mutant:
                KMutant mutant = KMutant.At(_nt.Memory, header.Address);
                header.SignalState--;
                mutant.OwnerThread = thread.Object.Address;
                bool abandoned = mutant.Abandoned != 0;
                mutant.Abandoned = 0;
                return abandoned;
        }
        return false;
    }

    /// <summary>A time-out argument: null for none given, negative for relative, else system time.</summary>
    public long? DeadlineOf(Va timeout)
    {
        if (timeout.IsNull) return null;
        long value = _nt.Memory.Read<long>(timeout);
        return value <= 0 ? Clock.Now - value : value - (Clock.SystemTime - Clock.Now);
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public NtStatus KeWaitForSingleObject(
        DispatcherHeader @object, uint waitReason, byte waitMode, bool alertable, Va timeout) =>
        WaitFor([@object], all: false, DeadlineOf(timeout));

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public NtStatus KeWaitForMutexObject(
        DispatcherHeader mutex, uint waitReason, byte waitMode, bool alertable, Va timeout) =>
        WaitFor([mutex], all: false, DeadlineOf(timeout));

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public NtStatus KeWaitForMultipleObjects(
        uint count, Va objects, uint waitType, uint waitReason, byte waitMode, bool alertable, Va timeout,
            Va waitBlockArray)
    {
        // Without an array of wait blocks the three of the thread must do; never more than 64.
        if (count is 0 or > 64 || count > 3 && waitBlockArray.IsNull)
            throw new BugCheck(BugCheckCode.MAXIMUM_WAIT_OBJECTS_EXCEEDED, count);
        var headers = new DispatcherHeader[count];
        for (int i = 0; i < headers.Length; i++)
            headers[i] = DispatcherHeader.At(_nt.Memory, _nt.Memory.Read<Va>(objects + i * 8));
        return WaitFor(headers, all: waitType == 0, DeadlineOf(timeout));
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus KeDelayExecutionThread(byte waitMode, bool alertable, Va interval)
    {
        long until = DeadlineOf(interval) ?? Clock.Now;
        DispatcherHeader never = CurrentThread.Header;
        return WaitFor([never], all: false, Math.Max(until, Clock.Now + 1)) == STATUS_TIMEOUT ? STATUS_SUCCESS
            : STATUS_ALERTED;
    }
}
