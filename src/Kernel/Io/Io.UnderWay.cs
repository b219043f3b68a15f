using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>Which requests are under way: each is on its thread's list (ETHREAD.IrpList) and on its file's. By them
/// they are found to be canceled.</summary>
sealed partial class Io
{
    const int ThreadListOffset = 0x20;
    const long CancelPatienceTicks = 5 * 60 * 10_000_000L, CancelPollTicks = 1_000_000;

    /// <summary>Puts a request's IRP on the lists of its thread and of its file, which lives as long as it
    /// does.</summary>
    void Enlist(IoRequest request, Irp irp)
    {
        request.Thread = nt.Ke.Scheduler.Current;
        Enlist(irp, request.Record!, request.Thread);
        NtObject file = nt.Ob.At(request.File.Address);
        nt.Ob.Reference(file);
        request.HeldFile = file;
        (file.State as OpenFile)?.Add(request);
    }

    /// <summary>IopQueueThreadIrp.</summary>
    static void Enlist(Irp irp, IrpRecord record, NtThread thread)
    {
        thread.Object.IrpList.InsertHead(irp.ThreadListEntry);
        record.Thread = thread;
    }

    static void Delist(Irp irp, IrpRecord record)
    {
        if (record.Thread is null) return;
        record.Thread = null;
        irp.ThreadListEntry.Remove();
        irp.ThreadListEntry.Initialize();
        if (record.Request is { HeldFile.State: OpenFile open } request) open.Remove(request);
    }

    /// <summary>IRPs of a thread, the newest first.</summary>
    List<Irp> QueuedTo(NtThread thread)
    {
        var found = new List<Irp>();
        ListEntry head = thread.Object.IrpList;
        for (ListEntry entry = head.Flink; entry != head; entry = entry.Flink)
        {
            nt.Ke.Clock.Spend();
            Irp irp = Irp.At(nt.Memory, entry.Address - ThreadListOffset);
            if (FindRecord(irp.Address)?.Thread != thread) throw BugCheck.CorruptListEntry(entry.Address);
            found.Add(irp);
        }
        return found;
    }

    /// <summary>Cancels a request that is under way.</summary>
    public void Cancel(IoRequest request)
    {
        if (!request.Irp.IsNull) IoCancelIrp(Irp.At(nt.Memory, request.Irp));
    }

    /// <summary>CancelIoEx: what is under way on a file. Returns how many there were.</summary>
    public int CancelAll(FileObject file, Func<IoRequest, bool>? which = null)
    {
        if (nt.Ob.Find(file.Address)?.State is not OpenFile open) return 0;
        IoRequest[] pending = [.. open.Requests.Where(r => which?.Invoke(r) != false)];
        foreach (IoRequest request in pending) Cancel(request);
        return pending.Length;
    }

    /// <summary>CancelIo: what a thread has under way on a file.</summary>
    public void CancelOf(NtThread thread, FileObject file) =>
        CancelAll(QueuedTo(thread).Where(irp => FindRecord(irp.Address)?.Request?.File == file));

    /// <summary>CancelSynchronousIo: the newest request that a thread waits for in a service.</summary>
    /// <returns>Whether there was one.</returns>
    public bool CancelSynchronous(NtThread thread, Va iosb)
    {
        Irp[] waitedFor = [.. QueuedTo(thread).Where(irp =>
            FindRecord(irp.Address)?.Request is { IsWaitedFor: true } request
            && (iosb.IsNull || request.Iosb == iosb)).Take(1)];
        CancelAll(waitedFor);
        return waitedFor.Length > 0;
    }

    // The cancel routine of one may complete another.
    void CancelAll(IEnumerable<Irp> irps)
    {
        foreach ((Irp irp, IrpRecord? record) in irps.Select(i => (i, FindRecord(i.Address))).ToArray())
            if (record is not null && FindRecord(irp.Address) == record) IoCancelIrp(irp);
    }

    /// <summary>Cancels all that a thread has under way: its process ends.</summary>
    public void CancelOf(NtThread thread) => CancelAll(QueuedTo(thread));

    /// <summary>The current thread ends: what it has under way is canceled, and waited for. What is not complete five
    /// minutes later has no thread any more, and its results are dropped.</summary>
    public void RundownThread(NtThread thread)
    {
        ListEntry list = thread.Object.IrpList;
        if (list.IsEmpty) return;
        CancelAll(QueuedTo(thread));
        long end = nt.Ke.Clock.Now + CancelPatienceTicks;
        while (!list.IsEmpty && nt.Ke.Clock.Now < end)
            nt.Ke.WaitFor([], all: false, nt.Ke.Clock.Now + CancelPollTicks);
        foreach (Irp irp in QueuedTo(thread)) Abandon(irp, thread);
    }

    // IopDisassociateThreadIrp.
    void Abandon(Irp irp, NtThread thread)
    {
        IrpRecord record = Record(irp);
        Delist(irp, record);
        record.IsAbandoned = true;
        Irp abandoned = irp;
        abandoned.Thread = KThread.At(nt.Memory, Va.Null);
        if (record.Request is { } request) request.Thread = null;
        nt.Dbg.PrintLine($"error log: the IRP {irp.Address} of the thread {thread.Name}, which has ended, was canceled "
            + $"five minutes ago and is not complete: {nt.Loader.Describe(LastDispatch(record))} has it");
    }

    static Va LastDispatch(IrpRecord record) =>
        record.Events.LastOrDefault(e => e.Kind == IrpEventKind.Dispatch).Routine;
}
