using Ringdown.Machine;
using static Ringdown.Kernel.Irql;

namespace Ringdown.Kernel;

/// <summary>Deferred procedure calls: queued at any IRQL, run at DISPATCH_LEVEL as soon as the processor comes below
/// it.</summary>
sealed class DpcQueue(NtKernel nt)
{
    readonly LinkedList<Va> _queue = new();
    bool _delivering;

    /// <summary>A DPC routine is on the stack.</summary>
    public bool IsDelivering => _delivering;

    public bool Insert(KDpc dpc, Va argument1, Va argument2)
    {
        if (!dpc.DpcData.IsNull) return false;
        // DpcData says that it is queued; KeInsertQueueDpc looks at nothing else.
        dpc.DpcData = nt.Ke.Pcr.CurrentPrcb;
        (dpc.SystemArgument1, dpc.SystemArgument2) = (argument1, argument2);
        if (dpc.Importance == 2) _queue.AddFirst(dpc.Address);
        else _queue.AddLast(dpc.Address);
        return true;
    }

    public bool Remove(KDpc dpc)
    {
        if (dpc.DpcData.IsNull || !_queue.Remove(dpc.Address)) return false;
        dpc.DpcData = Va.Null;
        return true;
    }

    /// <summary>Runs all that are queued, if the IRQL lets them.</summary>
    /// <returns>Whether any ran.</returns>
    public bool Deliver()
    {
        if (_delivering || _queue.Count == 0 || nt.Ke.Irql >= DISPATCH_LEVEL) return false;
        // They interrupt whatever runs, so everything that it may still need is kept.
        var interrupted = new CpuContext();
        nt.Cpu.CopyTo(interrupted);
        Irql old = nt.Ke.Irql;
        nt.Ke.SetIrql(DISPATCH_LEVEL);
        _delivering = true;
        try
        {
            while (_queue.First is { } first)
            {
                _queue.RemoveFirst();
                Run(KDpc.At(nt.Memory, first.Value));
            }
        }
        finally
        {
            _delivering = false;
        }
        nt.Cpu.CopyFrom(interrupted);
        nt.Ke.SetIrql(old);
        return true;
    }

    void Run(KDpc dpc)
    {
        dpc.DpcData = Va.Null;
        (Va routine, Va context) = (dpc.DeferredRoutine, dpc.DeferredContext);
        nt.Routines.Call(routine, dpc.Address.Value, context.Value, dpc.SystemArgument1.Value,
            dpc.SystemArgument2.Value);
        if (nt.Ke.Irql != DISPATCH_LEVEL)
            throw new BugCheck(BugCheckCode.IRQL_UNEXPECTED_VALUE, routine.Value, (ulong)DISPATCH_LEVEL,
                (ulong)nt.Ke.Irql);
    }
}
