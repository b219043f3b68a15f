using Ringdown.Machine;
using static Ringdown.Kernel.Irql;

namespace Ringdown.Kernel;

/// <summary>What a KDPC's importance is: where it is queued, and whether its processor is interrupted for it.</summary>
enum DpcImportance : byte { Low, Medium, High, MediumHigh }

/// <summary>Deferred procedure calls of one processor: queued at any IRQL, run at DISPATCH_LEVEL, on a stack of their
/// own.</summary>
/// <remarks>The queue is linked through the DPCs themselves, in the guest's memory.</remarks>
sealed class DpcQueue(NtKernel nt, KProcessor processor)
{
    /// <summary>From this many on, DPCs of low importance are not put off any longer.</summary>
    const int MaximumDepth = 4;

    readonly CpuContext _interrupted = new();

    KDpcData Data => processor.Pcr.DpcData;

    /// <summary>A DPC routine runs.</summary>
    public bool IsDelivering { get; private set; }

    /// <summary>The routine that runs; null if none does.</summary>
    public Va Routine { get; private set; }

    /// <summary>The processor is to be interrupted for them.</summary>
    public bool IsRequested { get; private set; }

    public int Depth => Data.DpcQueueDepth;

    /// <returns>False if it is queued already.</returns>
    public bool Insert(KDpc dpc, Va argument1, Va argument2)
    {
        if (!dpc.DpcData.IsNull) return false;
        KDpcData data = Data;
        // DpcData says that it is queued; KeInsertQueueDpc looks at nothing else.
        dpc.DpcData = data.Address;
        (dpc.SystemArgument1, dpc.SystemArgument2) = (argument1, argument2);
        var importance = (DpcImportance)dpc.Importance;
        if (data.ListHead.IsNull) (dpc.DpcListEntry, data.ListHead, data.LastEntry) = (Va.Null, dpc.Entry, dpc.Entry);
        else if (importance == DpcImportance.High) (dpc.DpcListEntry, data.ListHead) = (data.ListHead, dpc.Entry);
        else
        {
            nt.Memory.Write(data.LastEntry, dpc.Entry);
            (dpc.DpcListEntry, data.LastEntry) = (Va.Null, dpc.Entry);
        }
        int depth = data.DpcQueueDepth + 1;
        (data.DpcQueueDepth, data.DpcCount) = (depth, data.DpcCount + 1);
        if (importance != DpcImportance.Low || depth >= MaximumDepth) Request();
        return true;
    }

    /// <summary>Asks for an interrupt if anything is queued.</summary>
    public bool Request()
    {
        if (Data.ListHead.IsNull) return false;
        IsRequested = true;
        nt.Ke.Scheduler.Notice();
        return true;
    }

    /// <returns>Whether it was queued here.</returns>
    public bool Remove(KDpc dpc)
    {
        KDpcData data = Data;
        if (dpc.DpcData != data.Address) return false;
        Va before = Va.Null;
        for (Va entry = data.ListHead; !entry.IsNull; before = entry, entry = nt.Memory.Read<Va>(entry))
        {
            nt.Ke.Clock.Spend();
            if (entry != dpc.Entry) continue;
            Va next = dpc.DpcListEntry;
            if (before.IsNull) data.ListHead = next;
            else nt.Memory.Write(before, next);
            if (data.LastEntry == entry) data.LastEntry = before;
            data.DpcQueueDepth--;
            dpc.DpcData = Va.Null;
            return true;
        }
        return false;
    }

    /// <summary>Runs all that are queued, if the IRQL lets them. The processor is the active one.</summary>
    public void Deliver()
    {
        if (IsDelivering || !IsRequested || processor.Irql >= DISPATCH_LEVEL) return;
        // They interrupt whatever runs, so everything that it may still need is kept.
        nt.Cpu.CopyTo(_interrupted);
        Irql old = processor.Irql;
        nt.Ke.SetIrql(processor, DISPATCH_LEVEL);
        IsDelivering = true;
        processor.Nesting++;
        while (!Data.ListHead.IsNull)
        {
            // A list that a driver has closed to a ring has no end.
            nt.Ke.Clock.Spend();
            Run(Pop());
        }
        IsRequested = IsDelivering = false;
        processor.Nesting--;
        nt.Cpu.CopyFrom(_interrupted);
        nt.Ke.SetIrql(processor, old);
    }

    KDpc Pop()
    {
        KDpcData data = Data;
        KDpc dpc = KDpc.AtEntry(nt.Memory, data.ListHead);
        try
        {
            data.ListHead = dpc.DpcListEntry;
            if (data.ListHead.IsNull) data.LastEntry = Va.Null;
            data.DpcQueueDepth--;
            dpc.DpcData = Va.Null;
            return dpc;
        }
        catch (PageFault fault)
        {
            // Somebody has freed a DPC that was queued.
            throw nt.Seh.StopFor(fault);
        }
    }

    void Run(KDpc dpc)
    {
        (Va routine, Va context) = (dpc.DeferredRoutine, dpc.DeferredContext);
        if (dpc.Type == KDpc.Threaded)
        {
            nt.Ke.QueueThreaded(processor, dpc);
            return;
        }
        Routine = routine;
        nt.OnDpcStarting(processor, routine);
        nt.Routines.CallOn(processor.DpcStack, routine, dpc.Address.Value, context.Value, dpc.SystemArgument1.Value,
            dpc.SystemArgument2.Value);
        nt.OnDpcEnded(processor, routine);
        Routine = Va.Null;
        if (processor.Irql != DISPATCH_LEVEL)
            throw new BugCheck(BugCheckCode.IRQL_UNEXPECTED_VALUE, routine.Value, (ulong)DISPATCH_LEVEL,
                (ulong)processor.Irql);
    }
}
