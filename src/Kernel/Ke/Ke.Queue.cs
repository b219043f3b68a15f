using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

[Layout("_KQUEUE", Size = 0x40)]
public readonly partial struct KQueue
{
    [Embedded(0x00)] public partial DispatcherHeader Header { get; }
    [Field(0x04, Name = "Header.SignalState")] public partial int SignalState { get; set; }
    [Embedded(0x18)] public partial ListEntry EntryListHead { get; }
    [Field(0x28)] public partial uint CurrentCount { get; set; }
    [Field(0x2C)] public partial uint MaximumCount { get; set; }
    [Embedded(0x30)] public partial ListEntry ThreadListHead { get; }
}

/// <summary>Kernel queues: threads that take entries, no more of them active at once than the queue allows.</summary>
/// <remarks>A thread that waits for something else is not active meanwhile, so another one may take its
/// place.</remarks>
sealed partial class Ke
{
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void KeInitializeQueue(KQueue queue, uint count)
    {
        queue.Header.Initialize(DispatcherType.Queue, KQueue.Size, 0);
        queue.EntryListHead.Initialize();
        queue.ThreadListHead.Initialize();
        queue.CurrentCount = 0;
        queue.MaximumCount = count != 0 ? count : (uint)Scheduler.Processors.Count;
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public int KeInsertQueue(KQueue queue, ListEntry entry)
    {
        queue.EntryListHead.InsertTail(entry);
        return Inserted(queue);
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public int KeInsertHeadQueue(KQueue queue, ListEntry entry)
    {
        queue.EntryListHead.InsertHead(entry);
        return Inserted(queue);
    }

    int Inserted(KQueue queue)
    {
        int old = queue.Header.SignalState;
        queue.SignalState = old + 1;
        WakeWaiters(queue.Header);
        return old;
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public int KeReadStateQueue(KQueue queue) => queue.Header.SignalState;

    /// <returns>The entry, or STATUS_TIMEOUT, STATUS_USER_APC or STATUS_ABANDONED in its place.</returns>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public Va KeRemoveQueue(KQueue queue, byte waitMode, Va timeout)
    {
        NtStatus status = TakeFrom(queue, NewWait([queue.Header], false, timeout, waitMode, waitMode != 0));
        return status == STATUS_SUCCESS ? Taken() : new Va(status.Value);
    }

    /// <returns>How many entries there are in the array; or STATUS_TIMEOUT, STATUS_USER_APC,
    /// STATUS_ABANDONED.</returns>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public uint KeRemoveQueueEx(KQueue queue, byte waitMode, bool alertable, Va timeout, Va entryArray, uint count)
    {
        if (count == 0) return 0;
        NtStatus status = TakeFrom(queue, NewWait([queue.Header], false, timeout, waitMode, alertable));
        if (status != STATUS_SUCCESS) return status.Value;
        _nt.Memory.Write(entryArray, Taken());
        uint taken = 1;
        for (; taken < count && TryTakeMore(queue, out Va more); taken++)
            _nt.Memory.Write(entryArray + taken * 8, more);
        return taken;
    }

    /// <summary>KeRemoveQueue for the kernel's own use.</summary>
    /// <param name="idle">What the machine's owner gets if nothing more happens.</param>
    public NtStatus RemoveQueue(
        KQueue queue, ProcessorMode mode, bool alertable, long? deadline, NtStatus idle, out Va entry)
    {
        NtStatus status = TakeFrom(queue, new Wait(
            Scheduler.Current, [queue.Header], false, deadline ?? Wait.Forever)
        {
            Alertable = alertable,
            Mode = mode,
            Idle = idle,
        });
        entry = status == STATUS_SUCCESS ? Taken() : Va.Null;
        return status;
    }

    /// <summary>One more entry for a thread that has just got one, if there is one.</summary>
    public bool TryTakeMore(KQueue queue, out Va entry)
    {
        Clock.Spend();
        bool any = !queue.EntryListHead.IsEmpty;
        entry = any ? RemoveFirst(queue).Address : Va.Null;
        return any;
    }

    /// <summary>Ends a queue: its waiting threads are told that it is abandoned.</summary>
    /// <returns>The first of the entries that are left, which are linked in a ring; or null.</returns>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public ListEntry KeRundownQueue(KQueue queue)
    {
        ListEntry waiters = queue.Header.WaitListHead, head = queue.EntryListHead;
        while (!waiters.IsEmpty)
        {
            Clock.Spend();
            KWaitBlock block = KWaitBlock.At(_nt.Memory, waiters.Flink.Address);
            if (Scheduler.Find(block.Thread.Address)?.Wait is not { } wait)
                throw BugCheck.CorruptListEntry(block.Address);
            End(wait, STATUS_ABANDONED);
        }
        foreach (NtThread thread in Scheduler.Threads)
            if (thread.Queue == queue.Address) thread.Queue = Va.Null;
        if (head.IsEmpty) return ListEntry.At(_nt.Memory, Va.Null);
        ListEntry first = head.Flink;
        head.Remove();
        head.Initialize();
        queue.SignalState = 0;
        return first;
    }

    NtStatus TakeFrom(KQueue queue, Wait wait)
    {
        NtThread thread = Scheduler.Current;
        if (thread.Queue == queue.Address) queue.CurrentCount--;
        else Leave(thread.Queue);
        // From here on the thread counts as one of this queue's, active only when it has an entry.
        thread.Queue = Va.Null;
        NtStatus status = WaitFor(wait);
        if (status != STATUS_SUCCESS && status != STATUS_ABANDONED)
        {
            thread.Queue = queue.Address;
            queue.CurrentCount++;
        }
        return status;
    }

    Va Taken() => CurrentThread.QueueEntry;

    bool CanTakeEntry(NtThread thread, DispatcherHeader header)
    {
        KQueue queue = KQueue.At(_nt.Memory, header.Address);
        return queue.Header.SignalState > 0 && queue.CurrentCount < queue.MaximumCount && !queue.EntryListHead.IsEmpty;
    }

    void TakeEntry(NtThread thread, DispatcherHeader header)
    {
        KQueue queue = KQueue.At(_nt.Memory, header.Address);
        queue.CurrentCount++;
        thread.Queue = queue.Address;
        KThread taker = thread.Object;
        taker.QueueEntry = RemoveFirst(queue).Address;
    }

    static ListEntry RemoveFirst(KQueue queue)
    {
        ListEntry first = queue.EntryListHead.Flink;
        first.Remove();
        queue.SignalState--;
        return first;
    }

    // A thread that begins to wait for something else makes room in its queue.
    void LeaveQueue(Wait wait) => Leave(wait.Thread.Queue);

    void Leave(Va queue)
    {
        if (queue.IsNull) return;
        KQueue left = KQueue.At(_nt.Memory, queue);
        left.CurrentCount--;
        WakeWaiters(left.Header);
    }

    // Back from it, it is active again, even if the queue has too many then.
    void JoinQueue(Wait wait)
    {
        if (wait.Thread.Queue.IsNull) return;
        KQueue joined = KQueue.At(_nt.Memory, wait.Thread.Queue);
        try
        {
            if (wait.Objects is not [{ Type: DispatcherType.Queue }]) joined.CurrentCount++;
        }
        catch (PageFault fault)
        {
            // The queue was freed while a thread belonged to it.
            throw _nt.Seh.StopFor(fault);
        }
    }

    /// <summary>When a thread ends: its place among the active ones of its queue is another's.</summary>
    public void RundownQueue(NtThread thread)
    {
        Leave(thread.Queue);
        thread.Queue = Va.Null;
    }
}
