using Ringdown.Machine;
using static Ringdown.Kernel.Irql;

namespace Ringdown.Kernel;

/// <summary>The lazy writer: a second after the first page became dirty a worker writes all of them.</summary>
sealed partial class Cc
{
    const long LazyTicks = 10_000_000;
    const int MaximumRetries = 20;
    const uint CriticalQueue = 0, FileEndOfFileInformation = 20;

    readonly Queue<DeferredWrite> _deferred = new();
    readonly List<Va> _waiters = [];
    bool _timerSet, _isQueued;
    int _failures;

    sealed record DeferredWrite(uint Bytes, Va Routine, Va Context1, Va Context2);

    /// <summary>So many pages may be dirty before writers are asked to wait: an eighth of the machine's.</summary>
    public long DirtyPageThreshold { get; set; } = (long)(Mm.MemoryPages / 8);

    long DirtyPages => _all.Sum(m => (long)m.DirtyPages);

    void WriteLater(long delayTicks = LazyTicks)
    {
        if (_timerSet) return;
        _timerSet = true;
        nt.Ke.Timers.Add(nt.Ke.Clock.Now + delayTicks, () =>
        {
            _timerSet = false;
            WriteSoon();
        });
    }

    void WriteSoon()
    {
        if (_isQueued) return;
        _isQueued = true;
        nt.Ex.PoolOf(CriticalQueue).Queue(WriteAll);
    }

    void WriteAll()
    {
        _isQueued = false;
        bool failed = false;
        foreach (SharedCacheMap map in _all.ToArray())
        {
            if (map.DirtyPages > 0 && !(map.WriteBehindDisabled && map.IsUsed)) failed |= !Write(map);
            if (_all.Contains(map)) TryDelete(map, failed);
        }
        Va[] waiters = [.. _waiters];
        _waiters.Clear();
        foreach (Va waiter in waiters) nt.Ke.KeSetEvent(KEvent.At(nt.Memory, waiter), 0, false);
        while (_deferred.TryPeek(out DeferredWrite? write) && MayWrite(write.Bytes))
        {
            _deferred.Dequeue();
            nt.Routines.Call(write.Routine, write.Context1.Value, write.Context2.Value);
        }
        // Ever later, and not for ever: a timer that is always set would keep the machine from being idle.
        _failures = failed || _deferred.Count > 0 ? _failures + 1 : 0;
        if (_failures is > 0 and <= MaximumRetries) WriteLater(LazyTicks << _failures);
    }

    // A file that cannot be written and that nobody uses is given up, as its pages would stay for ever.
    void TryDelete(SharedCacheMap map, bool failed)
    {
        if (!map.IsUsed && (failed || map.DirtyPages == 0)) Delete(map);
    }

    bool Write(SharedCacheMap map)
    {
        CacheManagerCallbacks callbacks = CacheManagerCallbacks.At(nt.Memory, map.Callbacks);
        ulong context = map.LazyWriteContext.Value;
        try
        {
            bool acquired = callbacks.IsNull || callbacks.AcquireForLazyWrite.IsNull
                || (byte)nt.Routines.Call(callbacks.AcquireForLazyWrite, context, 1) != 0;
            if (!acquired) return false;
            long before = map.ValidDataLength;
            NtStatus status = map.Flush(0, long.MaxValue);
            if (status.IsSuccess && map.ValidDataGoal > before) TellValidLength(map);
            if (!callbacks.IsNull && !callbacks.ReleaseFromLazyWrite.IsNull)
                nt.Routines.Call(callbacks.ReleaseFromLazyWrite, context);
            return status.IsSuccess;
        }
        catch (PageFault fault)
        {
            throw nt.Seh.StopFor(fault);
        }
    }

    // The file system's note of how far the data on the device is good moves up.
    void TellValidLength(SharedCacheMap map)
    {
        Va buffer = nt.Mm.Pool.Allocate(8, CacheTag);
        nt.Memory.Write(buffer, map.ValidDataGoal);
        nt.Io.FileInformation(map.File, IrpMajor.IRP_MJ_SET_INFORMATION, FileEndOfFileInformation, buffer, 8,
            advanceOnly: true);
        nt.Mm.Pool.Free(buffer);
    }

    /// <summary>Waits until the lazy writer has gone once over all that is dirty now.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus CcWaitForCurrentLazyWriterActivity()
    {
        KEvent done = KEvent.At(nt.Memory, nt.Mm.Pool.Allocate(KEvent.Size, CacheTag));
        done.Header.Initialize(DispatcherType.NotificationEvent, KEvent.Size, 0);
        _waiters.Add(done.Address);
        WriteSoon();
        NtStatus status = nt.Ke.WaitFor([done.Header], all: false, deadline: null);
        nt.Mm.Pool.Free(done.Address);
        return status;
    }

    bool MayWrite(uint bytes)
    {
        long pages = DirtyPages;
        return pages == 0 || pages + (bytes + 0xFFFL >> 12) <= DirtyPageThreshold;
    }

    /// <summary>Whether so many more bytes may become dirty. One who may wait gets there when others are
    /// written.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool CcCanIWrite(FileObject fileObject, uint bytesToWrite, bool wait, bool retrying)
    {
        if (!MayWrite(bytesToWrite)) WriteSoon();
        while (wait && !MayWrite(bytesToWrite))
        {
            nt.Ke.Clock.Spend();
            CcWaitForCurrentLazyWriterActivity();
        }
        return MayWrite(bytesToWrite);
    }

    /// <summary>Has a routine called as soon as so many more bytes may become dirty: perhaps at once.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void CcDeferWrite(
        FileObject fileObject, Va postRoutine, Va context1, Va context2, uint bytesToWrite, bool retrying)
    {
        if (_deferred.Count == 0 && MayWrite(bytesToWrite))
        {
            nt.Routines.Call(postRoutine, context1.Value, context2.Value);
            return;
        }
        _deferred.Enqueue(new DeferredWrite(bytesToWrite, postRoutine, context1, context2));
        WriteSoon();
    }
}
