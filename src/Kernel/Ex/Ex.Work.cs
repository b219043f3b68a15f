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

/// <summary>Work items: run by system threads at PASSIVE_LEVEL, one set of threads for each queue.</summary>
sealed partial class Ex
{
    const uint WorkTag = 0x6B72_6F57, IoWorkItemSize = 0x58, CustomPriority = 32;

    // What stands first in WORKER_INVALID.
    const ulong QueuedAgain = 1, FreedWhileQueued = 2, BadObject = 3, NotInitialized = 5, BadQueue = 6, BadRoutine = 7;

    /// <summary>WORK_QUEUE_TYPE: each queue's name, and the priority of its threads.</summary>
    static readonly (string Name, int Priority)[] s_queues =
        [("critical", 13), ("delayed", 12), ("hypercritical", 15), ("normal", 8), ("background", 7),
            ("real-time", 18), ("super-critical", 19)];

    readonly SortedDictionary<uint, WorkerPool> _pools = [];
    readonly Dictionary<Va, bool> _workItems = [];
    readonly HashSet<Va> _queuedItems = [];

    void Queue(uint type, Va routine, ulong[] arguments, Action begins, Action? ends = null) => PoolOf(type).Queue(() =>
    {
        begins();
        nt.Routines.Call(routine, arguments);
        CheckWorker(routine, arguments);
        ends?.Invoke();
    });

    /// <summary>What a worker routine must not leave behind in the system's thread.</summary>
    void CheckWorker(Va routine, ulong[] arguments)
    {
        if (nt.Ke.Irql != PASSIVE_LEVEL)
            throw new BugCheck(BugCheckCode.WORKER_THREAD_RETURNED_AT_BAD_IRQL, routine.Value, (ulong)nt.Ke.Irql);
        KThread thread = nt.Ke.CurrentThread;
        if (!thread.MutantListHead.Flink.IsNull && !thread.MutantListHead.IsEmpty)
            throw new BugCheck(BugCheckCode.SYSTEM_EXIT_OWNED_MUTEX, routine.Value, arguments[^1]);
        if (nt.Ps.ImpersonationOf(thread) is not null)
            throw new BugCheck(BugCheckCode.IMPERSONATING_WORKER_THREAD, routine.Value, arguments[^1]);
        if (thread is { KernelApcDisable: not 0 } or { SpecialApcDisable: not 0 })
            throw new BugCheck(
                BugCheckCode.APC_INDEX_MISMATCH, routine.Value, 0, (ulong)(ushort)thread.KernelApcDisable);
    }

    // Made with the first work item: a machine that needs none has no threads for it.
    public WorkerPool PoolOf(uint type)
    {
        if (_pools.TryGetValue(type, out WorkerPool? pool)) return pool;
        (string name, int priority) = type < s_queues.Length ? s_queues[type]
            : type is >= CustomPriority and < CustomPriority + 32
                ? ($"priority {type - CustomPriority}", (int)(type - CustomPriority))
            : throw new BugCheck(BugCheckCode.WORKER_INVALID, BadQueue, type);
        return _pools[type] = new WorkerPool(nt, name, priority);
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void ExQueueWorkItem([AliasesMem] WorkQueueItem workItem, uint queueType)
    {
        if (workItem.WorkerRoutine.Value <= nt.Mm.MmUserProbeAddress)
            throw new BugCheck(
                BugCheckCode.WORKER_INVALID, BadRoutine, workItem.Address.Value, workItem.WorkerRoutine.Value);
        PoolOf(queueType);
        // Linked into the queue twice, the item would tear the list.
        if (!_queuedItems.Add(workItem.Address))
            throw new BugCheck(
                BugCheckCode.WORKER_INVALID, QueuedAgain, workItem.Address.Value, workItem.WorkerRoutine.Value);
        Va item = workItem.Address;
        Queue(queueType, workItem.WorkerRoutine, [workItem.Parameter.Value], () => _queuedItems.Remove(item));
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public Va IoAllocateWorkItem(DeviceObject deviceObject)
    {
        Va item = nt.Mm.Pool.Allocate(IoWorkItemSize, PoolKind.NonPaged, WorkTag, nt.Caller, zero: true);
        if (!item.IsNull) IoInitializeWorkItem(deviceObject.Address, item);
        return item;
    }

    [Export]
    public uint IoSizeofWorkItem() => IoWorkItemSize;

    /// <summary>Makes memory of the driver's own a work item of a device or driver object.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void IoInitializeWorkItem(Va ioObject, Va ioWorkItem)
    {
        if (nt.Ob.Find(ioObject) is not { } target
            || target.Type != nt.Ob.DeviceType && target.Type != nt.Ob.DriverType)
            throw new BugCheck(BugCheckCode.WORKER_INVALID, BadObject, ioWorkItem.Value, ioObject.Value);
        nt.Memory.Write(ioWorkItem, ioObject);
        _workItems[ioWorkItem] = false;
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void IoUninitializeWorkItem(Va ioWorkItem) => Forget(ioWorkItem);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void IoFreeWorkItem([FreesMem] Va ioWorkItem)
    {
        Forget(ioWorkItem);
        nt.Mm.Pool.Free(ioWorkItem);
    }

    void Forget(Va item)
    {
        if (_workItems.Remove(item, out bool queued) && queued)
            throw new BugCheck(BugCheckCode.WORKER_INVALID, FreedWhileQueued, item.Value);
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void IoQueueWorkItem(Va ioWorkItem, Va workerRoutine, uint queueType, Va context) =>
        QueueIoWork(queueType, ioWorkItem, workerRoutine, [nt.Memory.Read<ulong>(ioWorkItem), context.Value]);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void IoQueueWorkItemEx(Va ioWorkItem, Va workerRoutine, uint queueType, Va context) => QueueIoWork(
        queueType, ioWorkItem, workerRoutine, [nt.Memory.Read<ulong>(ioWorkItem), context.Value, ioWorkItem.Value]);

    /// <summary>The device or driver stays until the routine has returned.</summary>
    void QueueIoWork(uint type, Va item, Va routine, ulong[] arguments)
    {
        if (!_workItems.TryGetValue(item, out bool queued))
            throw new BugCheck(BugCheckCode.WORKER_INVALID, NotInitialized, item.Value);
        if (queued) throw new BugCheck(BugCheckCode.WORKER_INVALID, QueuedAgain, item.Value);
        PoolOf(type);
        NtObject target = nt.Ob.At(new Va(arguments[0]));
        _workItems[item] = true;
        nt.Ob.Reference(target);
        // The routine may free the item, so it counts as taken before it runs.
        Queue(type, routine, arguments, () => _workItems[item] = false, () => nt.Ob.Dereference(target));
    }
}
