using Ringdown.Machine;
using static Ringdown.Kernel.Irql;

namespace Ringdown.Kernel;

[Layout("_WORK_QUEUE_ITEM", Size = 0x20)]
public readonly partial struct WorkQueueItem
{
    [Embedded(0x00)] public partial ListEntry List { get; }
    [Field(0x10)] public partial Va WorkerRoutine { get; set; }
    [Field(0x18)] public partial Va Parameter { get; set; }
}

/// <summary>Work items: run by a system thread at PASSIVE_LEVEL.</summary>
sealed partial class Ex
{
    const uint WorkTag = 0x6B72_6F57, IoWorkItemSize = 0x40;

    readonly Queue<(Va Routine, ulong[] Arguments, Action? Done)> _work = new();
    readonly Dictionary<Va, bool> _workItems = [];
    KEvent _workToDo;

    void Queue(Va routine, ulong[] arguments, Action? done = null)
    {
        if (_workToDo.IsNull) StartWorker();
        _work.Enqueue((routine, arguments, done));
        nt.Ke.KeSetEvent(_workToDo, 0, false);
    }

    // Made with the first work item: a machine that needs none has no thread for it.
    void StartWorker()
    {
        _workToDo = KEvent.At(nt.Memory, nt.Mm.Pool.Allocate(KEvent.Size, WorkTag));
        _workToDo.Header.Initialize(DispatcherType.SynchronizationEvent, KEvent.Size, 0);
        nt.Ps.StartThread("system worker", nt.Routines.Add("ExpWorkerThread", (_, _) => RunWorker()), Va.Null);
    }

    void RunWorker()
    {
        while (true)
        {
            while (_work.TryDequeue(out var item))
            {
                item.Done?.Invoke();
                nt.Routines.Call(item.Routine, item.Arguments);
                if (nt.Ke.Irql != PASSIVE_LEVEL)
                    throw new BugCheck(BugCheckCode.WORKER_THREAD_RETURNED_AT_BAD_IRQL, item.Routine.Value,
                        (ulong)nt.Ke.Irql);
            }
            nt.Ke.WaitFor([_workToDo.Header], all: false, deadline: null);
        }
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void ExQueueWorkItem([AliasesMem] WorkQueueItem workItem, uint queueType)
    {
        if (workItem.WorkerRoutine.Value <= nt.Mm.MmUserProbeAddress)
            throw new BugCheck(BugCheckCode.WORKER_INVALID, 1, workItem.Address.Value, workItem.WorkerRoutine.Value);
        Queue(workItem.WorkerRoutine, [workItem.Parameter.Value]);
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public Va IoAllocateWorkItem(DeviceObject deviceObject)
    {
        Va item = nt.Mm.Pool.Allocate(IoWorkItemSize, PoolKind.NonPaged, WorkTag, nt.Caller, zero: true);
        if (item.IsNull) return item;
        nt.Memory.Write(item, deviceObject.Address);
        _workItems.Add(item, false);
        return item;
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void IoFreeWorkItem([FreesMem] Va ioWorkItem)
    {
        if (_workItems.Remove(ioWorkItem, out bool queued) && queued)
            throw new BugCheck(BugCheckCode.DRIVER_VERIFIER_DETECTED_VIOLATION, 0x1030, ioWorkItem.Value);
        nt.Mm.Pool.Free(ioWorkItem);
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void IoQueueWorkItem(Va ioWorkItem, Va workerRoutine, uint queueType, Va context) =>
        QueueIoWork(ioWorkItem, workerRoutine, [nt.Memory.Read<ulong>(ioWorkItem), context.Value]);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void IoQueueWorkItemEx(Va ioWorkItem, Va workerRoutine, uint queueType, Va context) =>
        QueueIoWork(ioWorkItem, workerRoutine, [nt.Memory.Read<ulong>(ioWorkItem), context.Value, ioWorkItem.Value]);

    void QueueIoWork(Va item, Va routine, ulong[] arguments)
    {
        if (!_workItems.TryGetValue(item, out bool queued) || queued)
            throw new BugCheck(BugCheckCode.WORKER_INVALID, 0, item.Value);
        _workItems[item] = true;
        // The routine may free the item, so it counts as taken before it runs.
        Queue(routine, arguments, () => _workItems[item] = false);
    }
}
