using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Waiting for dispatcher objects. Wait blocks lie in guest memory, in the thread or where the driver
/// says.</summary>
sealed partial class Ke
{
    const uint WaitTag = 0x7469_6157;

    /// <summary>Waits until one or all objects are signalled, or the clock reaches the deadline.</summary>
    /// <param name="idle">What to return if nothing can ever end the wait; null: the machine hangs.</param>
    public NtStatus WaitFor(DispatcherHeader[] objects, bool all, long? deadline, NtStatus? idle = null)
    {
        bool many = objects.Length > KThread.WaitBlocks;
        Va blocks = many ? _nt.Mm.Pool.Allocate(objects.Length * KWaitBlock.Size, WaitTag) : Va.Null;
        NtStatus result = WaitFor(new Wait(Scheduler.Current, objects, all, deadline ?? Wait.Forever)
        {
            Idle = idle,
            Blocks = blocks,
        });
        if (many) _nt.Mm.Pool.Free(blocks);
        return result;
    }

    /// <summary>Waits; the calling C# code goes on when it is over.</summary>
    public NtStatus WaitFor(Wait wait)
    {
        while (true)
        {
            if (TryWait(wait) is { } at) return at;
            Scheduler.Reschedule();
            if (Finish(wait) is { } result) return result;
        }
    }

    /// <summary>A wait that is the whole of what guest code asked for: where the caller has no C# frames, it waits
    /// without a stack of the host's, and its result is put into the guest's registers.</summary>
    NtStatus Park(Wait wait, Func<NtStatus, NtStatus>? convert = null)
    {
        if (!_nt.Routines.MayPark)
        {
            NtStatus waited = WaitFor(wait);
            return convert is null ? waited : convert(waited);
        }
        if (TryWait(wait) is { } at) return convert is null ? at : convert(at);
        wait.Thread.Continue = GoOn;
        return STATUS_PENDING;

        void GoOn()
        {
            NtStatus? result = Finish(wait);
            if (result is null && (result = TryWait(wait)) is null)
            {
                wait.Thread.Continue = GoOn;
                return;
            }
            _nt.Routines.ReturnFromPark(convert is null ? result.Value : convert(result.Value));
        }
    }

    /// <summary>Ends a wait at once, or begins it: then the thread does not run.</summary>
    NtStatus? TryWait(Wait wait)
    {
        if (wait.Thread.WaitIrql is { } before)
        {
            wait.Thread.WaitIrql = null;
            SetIrql(before);
        }
        DeliverKernelApcs();
        if (wait.Alertable && TestAlert(wait) is { } alerted) return alerted;
        if (TryTake(wait) is { } taken) return taken;
        if (wait.Deadline <= Clock.Now) return STATUS_TIMEOUT;
        if (Irql >= DISPATCH_LEVEL)
            throw new BugCheck(BugCheckCode.IRQL_NOT_LESS_OR_EQUAL,
                wait.Objects.Length > 0 ? wait.Objects[0].Address.Value : 0, (ulong)Irql, 0, _nt.Cpu.Rip);
        Begin(wait);
        return null;
    }

    /// <summary>An object was signaled with Wait = TRUE: nobody else runs before the thread waits, which brings back
    /// the IRQL.</summary>
    void RaiseForWait()
    {
        Scheduler.Current.WaitIrql ??= Irql;
        if (Irql < DISPATCH_LEVEL) SetIrql(DISPATCH_LEVEL);
    }

    void Begin(Wait wait)
    {
        Scheduler.MustNotBeInterrupting();
        KThread thread = wait.Thread.Object;
        Va blocks = wait.Blocks.IsNull ? thread.WaitBlockArray : wait.Blocks;
        for (int i = 0; i < wait.Objects.Length; i++)
        {
            KWaitBlock block = KWaitBlock.At(_nt.Memory, blocks + i * KWaitBlock.Size);
            (block.WaitType, block.BlockState, block.WaitKey) = ((byte)(wait.All ? 0 : 1), 4, (ushort)i);
            (block.Thread, block.Object) = (thread, wait.Objects[i].Address);
            wait.Objects[i].WaitListHead.InsertTail(block.WaitListEntry);
        }
        LeaveQueue(wait);
        thread.WaitBlockList = wait.Objects.Length == 0 ? Va.Null : blocks;
        wait.Result = null;
        wait.Thread.Irql = Irql;
        wait.Thread.Wait = wait;
        wait.Thread.State = ThreadState.Waiting;
        wait.Thread.Blocks?.Invoke();
        if (wait.Deadline != Wait.Forever) wait.Timer = Timers.Add(wait.Deadline, () => End(wait, STATUS_TIMEOUT));
    }

    /// <summary>What came of a wait; null if it was only interrupted by an APC and is to be made again.</summary>
    NtStatus? Finish(Wait wait)
    {
        NtStatus result = wait.Result!.Value;
        return result == STATUS_KERNEL_APC ? null : result;
    }

    /// <summary>Ends a wait: its thread may run again.</summary>
    public void End(Wait wait, NtStatus result, int increment = 0)
    {
        NtThread waiter = wait.Thread;
        if (waiter.Wait != wait) return;
        waiter.Wait = null;
        wait.Result = result;
        Unlink(wait);
        if (wait.Timer is { } timer) Timers.Remove(timer);
        wait.Timer = null;
        JoinQueue(wait);
        waiter.Boost(increment);
        Scheduler.MakeReady(waiter);
    }

    void Unlink(Wait wait)
    {
        KThread thread = wait.Thread.Object;
        Va blocks = thread.WaitBlockList;
        thread.WaitBlockList = Va.Null;
        try
        {
            for (int i = 0; i < wait.Objects.Length; i++)
                KWaitBlock.At(_nt.Memory, blocks + i * KWaitBlock.Size).WaitListEntry.Remove();
        }
        catch (PageFault fault)
        {
            // An object, or the driver's array of wait blocks, has gone while a thread waits for it.
            throw _nt.Seh.StopFor(fault);
        }
    }

    /// <summary>Lets others run until all wait and no timer is set; at most ten seconds of the machine's
    /// time.</summary>
    public NtStatus RunUntilIdle() => WaitFor([], all: false, Clock.Now + 100_000_000, idle: STATUS_SUCCESS);

    /// <summary>An object became signalled: lets go on who waited for it, first come, first served; of a queue's the
    /// last.</summary>
    /// <param name="increment">By how much the priority of who goes on is raised.</param>
    public void WakeWaiters(DispatcherHeader header, int increment = 0)
    {
        // Who came last to a queue has its stack in the caches, so there it is the first.
        bool lastFirst = header.Type == DispatcherType.Queue;
        ListEntry head = header.WaitListHead, entry = lastFirst ? head.Blink : head.Flink;
        while (entry != head && header.SignalState > 0)
        {
            Clock.Spend();
            KWaitBlock block = KWaitBlock.At(_nt.Memory, entry.Address);
            // The list is the driver's memory: a block that no waiting thread put there is its corruption.
            if (Scheduler.Find(block.Thread.Address)?.Wait is not { } wait)
                throw BugCheck.CorruptListEntry(entry.Address);
            entry = lastFirst ? entry.Blink : entry.Flink;
            if (TryTake(wait) is not { } taken) continue;
            End(wait, taken, increment);
            entry = lastFirst ? head.Blink : head.Flink;
        }
    }

    /// <summary>Takes what a wait takes if it can be satisfied now; null if not.</summary>
    NtStatus? TryTake(Wait wait)
    {
        DispatcherHeader[] objects = wait.Objects;
        if (wait.All)
        {
            foreach (DispatcherHeader o in objects) if (!CanTake(wait.Thread, o)) return null;
            bool anyAbandoned = false;
            foreach (DispatcherHeader o in objects) anyAbandoned |= Take(wait.Thread, o);
            return anyAbandoned ? STATUS_ABANDONED_WAIT_0 : STATUS_SUCCESS;
        }
        for (int i = 0; i < objects.Length; i++)
        {
            if (!CanTake(wait.Thread, objects[i])) continue;
            bool abandoned = Take(wait.Thread, objects[i]);
            return new NtStatus((abandoned ? STATUS_ABANDONED_WAIT_0.Value : 0) + (uint)i);
        }
        return null;
    }

    bool CanTake(NtThread thread, DispatcherHeader header)
    {
        if (header.Type == DispatcherType.Queue) return CanTakeEntry(thread, header);
        return header.SignalState > 0 || header.Type == DispatcherType.Mutant
            && KMutant.At(_nt.Memory, header.Address).OwnerThread == thread.Object.Address;
    }

    /// <returns>Whether it was a mutex that its owner had abandoned.</returns>
    bool Take(NtThread thread, DispatcherHeader header)
    {
        switch (header.Type)
        {
            case DispatcherType.SynchronizationEvent or DispatcherType.SynchronizationTimer or DispatcherType.Gate:
                header.SignalState = 0;
                break;
            case DispatcherType.Semaphore:
                header.SignalState--;
                break;
            case DispatcherType.Queue:
                TakeEntry(thread, header);
                break;
            case DispatcherType.Mutant:
                return TakeMutant(thread, KMutant.At(_nt.Memory, header.Address));
        }
        return false;
    }

    /// <summary>A time-out argument: null for none given, negative for relative, else system time.</summary>
    public long? DeadlineOf(Va timeout)
    {
        if (timeout.IsNull) return null;
        long value = _nt.Memory.Read<long>(timeout);
        return value <= 0 ? Clock.Now - Math.Max(value, -(1L << 60)) : value - (Clock.SystemTime - Clock.Now);
    }

    Wait NewWait(DispatcherHeader[] objects, bool all, Va timeout, byte mode, bool alertable, Va blocks = default) =>
        new(Scheduler.Current, objects, all, DeadlineOf(timeout) ?? Wait.Forever)
        {
            Alertable = alertable,
            Mode = (ProcessorMode)(mode & 1),
            Blocks = blocks,
        };

    [Export, Parks, IrqlRequiresMax(DISPATCH_LEVEL)]
    public NtStatus KeWaitForSingleObject(
        DispatcherHeader @object, uint waitReason, byte waitMode, bool alertable, Va timeout) =>
        Park(NewWait([@object], false, timeout, waitMode, alertable));

    [Export, Parks, IrqlRequiresMax(DISPATCH_LEVEL)]
    public NtStatus KeWaitForMutexObject(
        DispatcherHeader mutex, uint waitReason, byte waitMode, bool alertable, Va timeout) =>
        Park(NewWait([mutex], false, timeout, waitMode, alertable));

    [Export, Parks, IrqlRequiresMax(DISPATCH_LEVEL)]
    public NtStatus KeWaitForMultipleObjects(
        uint count, Va objects, uint waitType, uint waitReason, byte waitMode, bool alertable, Va timeout,
            Va waitBlockArray)
    {
        // Without an array of wait blocks the three of the thread must do; never more than 64.
        if (count is 0 or > 64 || count > KThread.WaitBlocks && waitBlockArray.IsNull)
            throw new BugCheck(BugCheckCode.MAXIMUM_WAIT_OBJECTS_EXCEEDED, count);
        var headers = new DispatcherHeader[count];
        for (int i = 0; i < headers.Length; i++)
            headers[i] = DispatcherHeader.At(_nt.Memory, _nt.Memory.Read<Va>(objects + i * 8));
        return Park(NewWait(headers, waitType == 0, timeout, waitMode, alertable, waitBlockArray));
    }

    [Export, Parks, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus KeDelayExecutionThread(byte waitMode, bool alertable, Va interval)
    {
        long until = DeadlineOf(interval) ?? Clock.Now;
        return Park(new Wait(Scheduler.Current, [], false, Math.Max(until, Clock.Now + 1))
        {
            Alertable = alertable,
            Mode = (ProcessorMode)(waitMode & 1),
        }, result => result == STATUS_TIMEOUT ? STATUS_SUCCESS : result);
    }
}
