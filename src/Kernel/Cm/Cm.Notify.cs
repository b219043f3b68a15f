using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Keys that somebody watches.</summary>
sealed partial class Cm
{
    const int IoStatusBytes = 16;

    readonly List<KeyWatch> _watches = [];

    /// <summary>Answers the next change. From kernel mode a work item stands in place of the APC routine.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwNotifyChangeKey(
        Handle keyHandle, Handle @event, Va apcRoutine, Va apcContext, Va ioStatusBlock, uint completionFilter,
        bool watchTree, Va buffer, uint bufferSize, bool asynchronous)
    {
        NtStatus status = KeyOf(keyHandle, out _, out KeyObject? opened);
        if (!status.IsSuccess) return status;
        var filter = (RegistryChange)completionFilter;
        if (filter == 0 || (filter & ~RegistryChange.All) != 0) return STATUS_INVALID_PARAMETER;
        NtObject? signalled = @event.IsNull ? null : _nt.Ob.Lookup(@event);
        if (!@event.IsNull && signalled?.Type != _nt.Ob.EventType)
            return signalled is null ? STATUS_INVALID_HANDLE : STATUS_OBJECT_TYPE_MISMATCH;
        _nt.Memory.Write(ioStatusBlock, 0UL);
        if (opened!.Watch is null) _watches.Add(opened.Watch = new KeyWatch(opened.Key, filter, watchTree));
        var pending = new PendingNotify(signalled?.Body ?? Va.Null, apcRoutine, (uint)apcContext.Value, ioStatusBlock);
        return asynchronous ? Watch(opened.Watch, pending) : WatchNow(opened.Watch, ioStatusBlock);
    }

    NtStatus Watch(KeyWatch watch, PendingNotify pending)
    {
        if (!pending.Event.IsNull)
        {
            var header = DispatcherHeader.At(_nt.Memory, pending.Event);
            header.SignalState = 0;
            _nt.Ob.Reference(_nt.Ob.At(pending.Event));
        }
        if (watch.HasChanged) Answer(pending, STATUS_NOTIFY_ENUM_DIR);
        else watch.Waiting.Add(pending);
        watch.HasChanged = false;
        return STATUS_PENDING;
    }

    // The caller waits for an event of ours.
    NtStatus WatchNow(KeyWatch watch, Va ioStatusBlock)
    {
        NtObject own = _nt.Ob.Create(_nt.Ob.EventType, KEvent.Size);
        DispatcherHeader header = KEvent.At(_nt.Memory, own.Body).Header;
        header.Initialize(DispatcherType.NotificationEvent, KEvent.Size, 0);
        Watch(watch, new PendingNotify(own.Body, Va.Null, 0, ioStatusBlock));
        NtStatus status = _nt.Ke.WaitFor([header], all: false, null);
        _nt.Ob.Dereference(own);
        return status.IsSuccess ? new NtStatus(_nt.Memory.Read<uint>(ioStatusBlock)) : status;
    }

    void Answer(PendingNotify pending, NtStatus status)
    {
        if (!_nt.Memory.CanAccess(pending.IoStatusBlock, IoStatusBytes, Access.Write)) return;
        _nt.Memory.Write(pending.IoStatusBlock, status.Value);
        _nt.Memory.Write(pending.IoStatusBlock + 8, 0UL);
        if (!pending.WorkItem.IsNull) _nt.Ex.ExQueueWorkItem(WorkQueueItem.At(_nt.Memory, pending.WorkItem),
            pending.QueueType);
        if (pending.Event.IsNull) return;
        _nt.Ke.KeSetEvent(KEvent.At(_nt.Memory, pending.Event), 0, false);
        _nt.Ob.Dereference(_nt.Ob.At(pending.Event));
    }

    /// <summary>A key has changed: those who watch it are told.</summary>
    public void OnChanged(RegistryKey key, RegistryChange kind)
    {
        foreach (KeyWatch watch in _watches.ToArray())
        {
            if (!watch.Sees(key, kind)) continue;
            watch.HasChanged = watch.Waiting.Count == 0;
            AnswerAll(watch, STATUS_NOTIFY_ENUM_DIR);
        }
    }

    void StopWatching(KeyWatch watch)
    {
        _watches.Remove(watch);
        AnswerAll(watch, STATUS_NOTIFY_CLEANUP);
    }

    void AnswerAll(KeyWatch watch, NtStatus status)
    {
        PendingNotify[] waiting = [.. watch.Waiting];
        watch.Waiting.Clear();
        foreach (PendingNotify pending in waiting) Answer(pending, status);
    }
}
