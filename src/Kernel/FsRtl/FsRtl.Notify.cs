using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Watching directories. Who watches is kept here by the address of the driver's list, which stays
/// empty.</summary>
sealed partial class FsRtl
{
    const uint NotifyTag = 0x4E74_5346;      // 'FStN'
    const uint FO_CLEANUP_COMPLETE = 0x4000;
    const short FileObjectType = 5;

    readonly Dictionary<Va, List<DirectoryWatch>> _watches = [];

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void FsRtlNotifyInitializeSync(Va notifySync) =>
        nt.Memory.Write(notifySync, nt.Mm.Pool.Allocate(FastMutex.Size, NotifyTag));

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void FsRtlNotifyUninitializeSync(Va notifySync)
    {
        Va sync = nt.Memory.Read<Va>(notifySync);
        if (sync.IsNull) return;
        nt.Mm.Pool.Free(sync);
        nt.Memory.Write(notifySync, Va.Null);
    }

    /// <summary>Lets an IRP wait for changes in a directory; without one, who waits learns that it is being
    /// deleted.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public void FsRtlNotifyFullChangeDirectory(Va notifySync, ListEntry notifyList, Va fsContext,
        AnsiString fullDirectoryName, bool watchTree, bool ignoreBuffer, uint completionFilter, Irp notifyIrp,
        Va traverseCallback, SubjectContext subjectContext) =>
        FsRtlNotifyFilterChangeDirectory(notifySync, notifyList, fsContext, fullDirectoryName, watchTree, ignoreBuffer,
            completionFilter, notifyIrp, traverseCallback, subjectContext, Va.Null);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public void FsRtlNotifyFilterChangeDirectory(Va notifySync, ListEntry notifyList, Va fsContext,
        AnsiString fullDirectoryName, bool watchTree, bool ignoreBuffer, uint completionFilter, Irp notifyIrp,
        Va traverseCallback, SubjectContext subjectContext, Va filterCallback)
    {
        List<DirectoryWatch> watches = WatchesOn(notifyList);
        DirectoryWatch? watch = watches.Find(w => w.Context == fsContext);
        if (notifyIrp.IsNull)
        {
            if (watch is not null) CompleteAll(watch, STATUS_DELETE_PENDING);
            return;
        }
        if ((notifyIrp.CurrentStackLocation.FileObject.Flags & FO_CLEANUP_COMPLETE) != 0)
        {
            _pending.Complete(notifyIrp, STATUS_NOTIFY_CLEANUP);
            return;
        }
        if (watch is null)
        {
            watch = new DirectoryWatch
            {
                Context = fsContext,
                Directory = fullDirectoryName.IsNull ? []
                    : nt.Memory.ReadBytes(fullDirectoryName.Buffer, fullDirectoryName.Length),
                WatchTree = watchTree,
                IgnoreBuffer = ignoreBuffer,
                Filter = completionFilter,
                Traverse = traverseCallback,
                Subject = subjectContext.Address,
                FilterCallback = filterCallback,
            };
            watches.Add(watch);
        }
        else FreeSubject(subjectContext.Address == watch.Subject ? Va.Null : subjectContext.Address);
        Wait(watch, notifyIrp);
    }

    List<DirectoryWatch> WatchesOn(ListEntry list)
    {
        if (_watches.TryGetValue(list.Address, out List<DirectoryWatch>? watches)) return watches;
        return _watches[list.Address] = [];
    }

    void FreeSubject(Va subject)
    {
        if (subject.IsNull) return;
        nt.Se.SeReleaseSubjectContext(SubjectContext.At(nt.Memory, subject));
        nt.Mm.Pool.Free(subject);
    }

    void Wait(DirectoryWatch watch, Irp irp)
    {
        watch.Room = Math.Max(watch.Room, Math.Min((uint)irp.CurrentStackLocation.Parameter1, 0x1_0000));
        watch.Waiting.Add(irp);
        _pending.Add(irp, () =>
        {
            watch.Waiting.Remove(irp);
            _pending.Cancel(irp);
        });
        if (watch.Waiting.Contains(irp) && (watch.Kept.Length > 0 || watch.Overflowed)) Deliver(watch);
    }

    void CompleteAll(DirectoryWatch watch, NtStatus status)
    {
        Irp[] waiting = [.. watch.Waiting];
        watch.Waiting.Clear();
        foreach (Irp irp in waiting) _pending.Complete(irp, status);
    }

    // To who has waited longest.
    void Deliver(DirectoryWatch watch)
    {
        Irp irp = watch.Waiting[0];
        watch.Waiting.RemoveAt(0);
        (byte[] records, bool overflowed) = (watch.Kept, watch.Overflowed);
        (watch.Kept, watch.Overflowed) = ([], false);
        bool fits = !overflowed && !watch.IgnoreBuffer && records.Length <= (uint)irp.CurrentStackLocation.Parameter1;
        if (fits) nt.Memory.Write(BufferOf(irp), records);
        _pending.Complete(irp, fits ? STATUS_SUCCESS : STATUS_NOTIFY_ENUM_DIR, fits ? (ulong)records.Length : 0);
    }

    Va BufferOf(Irp irp)
    {
        const MdlFlags mapped = MdlFlags.MappedToSystemVa | MdlFlags.SourceIsNonpagedPool;
        Mdl mdl = irp.MdlAddress;
        if (!mdl.IsNull)
            return (mdl.MdlFlags & mapped) != 0 ? mdl.MappedSystemVa
                : nt.Mm.MmMapLockedPages(mdl, ProcessorMode.KernelMode);
        return irp.SystemBuffer.IsNull ? irp.UserBuffer : irp.SystemBuffer;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public void FsRtlNotifyFullReportChange(Va notifySync, ListEntry notifyList, AnsiString fullTargetName,
        ushort targetNameOffset, AnsiString streamName, AnsiString normalizedParentName, uint filterMatch, uint action,
        Va targetContext) =>
        FsRtlNotifyFilterReportChange(notifySync, notifyList, fullTargetName, targetNameOffset, streamName,
            normalizedParentName, filterMatch, action, targetContext, Va.Null);

    /// <summary>Something changed at a path: all who watch its directory, or the tree that it lies in, learn of
    /// it.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public void FsRtlNotifyFilterReportChange(Va notifySync, ListEntry notifyList, AnsiString fullTargetName,
        ushort targetNameOffset, AnsiString streamName, AnsiString normalizedParentName, uint filterMatch, uint action,
        Va targetContext, Va filterContext)
    {
        if (fullTargetName.IsNull || !_watches.TryGetValue(notifyList.Address, out List<DirectoryWatch>? watches))
            return;
        byte[] path = nt.Memory.ReadBytes(fullTargetName.Buffer, fullTargetName.Length);
        if (!normalizedParentName.IsNull) path = UnderParent(path, ref targetNameOffset, normalizedParentName);
        byte[]? stream = streamName.IsNull ? null : nt.Memory.ReadBytes(streamName.Buffer, streamName.Length);
        foreach (DirectoryWatch watch in watches.ToArray())
        {
            nt.Ke.Clock.Spend();
            if ((watch.Filter & filterMatch) == 0) continue;
            byte[]? name = watch.NameIn(path, targetNameOffset, out bool isBelow);
            if (name is null || isBelow && !MaySee(watch.Traverse, watch, targetContext, watch.Subject)) continue;
            if (!MaySee(watch.FilterCallback, watch, filterContext, Va.Null)) continue;
            if (stream is not null) name = [.. name, .. watch.IsWide ? ":\0"u8 : ":"u8, .. stream];
            Happened(watch, action, name);
        }
    }

    byte[] UnderParent(byte[] path, ref ushort nameOffset, AnsiString parent)
    {
        byte[] directory = nt.Memory.ReadBytes(parent.Buffer, parent.Length);
        byte[] name = path[Math.Min(nameOffset, path.Length)..];
        bool wide = directory.Length >= 2 && directory[1] == 0, isRoot = directory.Length == (wide ? 2 : 1);
        byte[] start = isRoot ? directory : [.. directory, .. wide ? "\\\0"u8 : "\\"u8];
        nameOffset = (ushort)start.Length;
        return [.. start, .. name];
    }

    bool MaySee(Va callback, DirectoryWatch watch, Va context, Va subject) => callback.IsNull
        || (byte)nt.Routines.Call(callback, watch.Context.Value, context.Value, subject.Value) != 0;

    void Happened(DirectoryWatch watch, uint action, byte[] name)
    {
        byte[]? kept = watch.Overflowed || watch.IgnoreBuffer ? null
            : DirectoryWatch.Append(watch.Kept, action, name, watch.IsWide, watch.Room);
        (watch.Kept, watch.Overflowed) = (kept ?? [], kept is null);
        if (watch.Waiting.Count > 0) Deliver(watch);
    }

    /// <summary>A handle is closed: who waits by it learns so.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void FsRtlNotifyCleanup(Va notifySync, ListEntry notifyList, Va fsContext)
    {
        if (!_watches.TryGetValue(notifyList.Address, out List<DirectoryWatch>? watches)) return;
        foreach (DirectoryWatch watch in watches.Where(w => w.Context == fsContext).ToArray()) End(watches, watch);
        if (watches.Count == 0) _watches.Remove(notifyList.Address);
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void FsRtlNotifyCleanupAll(Va notifySync, ListEntry notifyList)
    {
        if (!_watches.Remove(notifyList.Address, out List<DirectoryWatch>? watches)) return;
        foreach (DirectoryWatch watch in watches.ToArray()) End(watches, watch);
    }

    void End(List<DirectoryWatch> watches, DirectoryWatch watch)
    {
        watches.Remove(watch);
        CompleteAll(watch, STATUS_NOTIFY_CLEANUP);
        FreeSubject(watch.Subject);
    }

    [Export(Support.Partial, "Nobody can register for the events of a volume, so nobody is told.")]
    [IrqlRequiresMax(APC_LEVEL)]
    public NtStatus FsRtlNotifyVolumeEvent(FileObject fileObject, uint eventCode) =>
        fileObject.Type == FileObjectType ? STATUS_SUCCESS : STATUS_INVALID_PARAMETER;
}
