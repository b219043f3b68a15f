using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>DPCs as drivers make them, ordinary and threaded.</summary>
sealed partial class Ke
{
    /// <summary>A DPC's Number says the target processor from here on; below, there is none.</summary>
    const ushort FirstTarget = 0x500;
    const int ThreadedDpcPriority = 31;

    readonly SortedDictionary<int, ThreadedDpcs> _threaded = [];

    /// <summary>The thread of a processor that runs its threaded DPCs.</summary>
    sealed class ThreadedDpcs(NtThread thread, KEvent done)
    {
        public NtThread Thread { get; } = thread;

        /// <summary>Signalled while none is queued and none runs.</summary>
        public KEvent Done { get; } = done;
        public LinkedList<(KDpc Dpc, Va Routine, Va Context, Va Argument1, Va Argument2)> Queue { get; } = new();
        public bool IsRunning { get; set; }
    }

    [Export]
    public void KeInitializeDpc(KDpc dpc, Va deferredRoutine, Va deferredContext) =>
        dpc.Initialize(KDpc.Ordinary, deferredRoutine, deferredContext);

    /// <summary>A threaded DPC's routine runs at PASSIVE_LEVEL in a thread of priority 31 of its processor.</summary>
    [Export]
    public void KeInitializeThreadedDpc(KDpc dpc, Va deferredRoutine, Va deferredContext) =>
        dpc.Initialize(KDpc.Threaded, deferredRoutine, deferredContext);

    [Export]
    public bool KeInsertQueueDpc(KDpc dpc, Va systemArgument1, Va systemArgument2) =>
        InsertDpc(dpc, Scheduler.Active, systemArgument1, systemArgument2);

    /// <summary>Queues a DPC to its target, or to a processor given.</summary>
    public bool InsertDpc(KDpc dpc, KProcessor otherwise, Va argument1, Va argument2)
    {
        KProcessor target = TargetOf(dpc) ?? otherwise;
        if (!target.Dpcs.Insert(dpc, argument1, argument2)) return false;
        if (target == Scheduler.Active && !target.IsMasked) target.Dpcs.Deliver();
        return true;
    }

    KProcessor? TargetOf(KDpc dpc)
    {
        int number = dpc.Number - FirstTarget;
        return number >= 0 && number < Scheduler.Processors.Count ? Scheduler.Processors[number] : null;
    }

    [Export]
    public bool KeRemoveQueueDpc(KDpc dpc)
    {
        foreach (KProcessor processor in Scheduler.Processors)
            if (processor.Dpcs.Remove(dpc)) return true;
        return false;
    }

    [Export]
    public void KeSetImportanceDpc(KDpc dpc, byte importance) => dpc.Importance = importance;

    [Export]
    public void KeSetTargetProcessorDpc(KDpc dpc, byte number) => dpc.Number = (ushort)(number + FirstTarget);

    [Export]
    public NtStatus KeSetTargetProcessorDpcEx(KDpc dpc, Va procNumber)
    {
        if (IndexOf(procNumber) is not { } number) return STATUS_INVALID_PARAMETER;
        dpc.Number = (ushort)(number + FirstTarget);
        return STATUS_SUCCESS;
    }

    /// <summary>Returns when all DPCs that were queued before, on all processors, have run.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public void KeFlushQueuedDpcs()
    {
        foreach (KProcessor processor in Scheduler.Processors) processor.Dpcs.Request();
        Interrupt();
        Scheduler.SpinUntil(() => Scheduler.Processors.All(p => p.Dpcs is { Depth: 0, IsDelivering: false }),
            () => "the end of all queued DPCs");
        foreach (ThreadedDpcs threaded in _threaded.Values.ToArray())
            WaitFor([threaded.Done.Header], all: false, deadline: null);
    }

    public void QueueThreaded(KProcessor processor, KDpc dpc)
    {
        if (!_threaded.TryGetValue(processor.Number, out ThreadedDpcs? threaded))
        {
            NtThread thread = _nt.Ps.NewSystemThread($"threaded DPCs of processor {processor.Number}");
            thread.Affinity = 1UL << processor.Number;
            thread.BasePriority = ThreadedDpcPriority;
            thread.SetPriority(ThreadedDpcPriority);
            KEvent done = KEvent.At(_nt.Memory, _nt.Mm.Pool.Allocate(KEvent.Size, WaitTag));
            KeInitializeEvent(done, 0, false);
            threaded = _threaded[processor.Number] = new ThreadedDpcs(thread, done);
            thread.State = ThreadState.Waiting;
            Scheduler.Add(thread);
        }
        KeResetEvent(threaded.Done);
        var call = (dpc, dpc.DeferredRoutine, dpc.DeferredContext, dpc.SystemArgument1, dpc.SystemArgument2);
        if (dpc.Importance == (byte)DpcImportance.High) threaded.Queue.AddFirst(call);
        else threaded.Queue.AddLast(call);
        if (threaded.Thread.State != ThreadState.Waiting || threaded.IsRunning) return;
        threaded.Thread.Continue = () => RunThreaded(threaded);
        Scheduler.MakeReady(threaded.Thread);
    }

    // Runs as the thread; when nothing is left, the thread waits without a stack.
    void RunThreaded(ThreadedDpcs threaded)
    {
        threaded.IsRunning = true;
        while (threaded.Queue.First is { Value: var call })
        {
            threaded.Queue.RemoveFirst();
            _nt.Routines.Call(call.Routine, call.Dpc.Address.Value, call.Context.Value, call.Argument1.Value,
                call.Argument2.Value);
            if (Irql != PASSIVE_LEVEL)
                throw new BugCheck(BugCheckCode.IRQL_UNEXPECTED_VALUE, call.Routine.Value, 0, (ulong)Irql);
        }
        threaded.IsRunning = false;
        KeSetEvent(threaded.Done, 0, false);
        threaded.Thread.State = ThreadState.Waiting;
    }
}
