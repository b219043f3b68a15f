using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>The cache of files' data: maps by SECTION_OBJECT_POINTERS, filled and written by the file system's own
/// paging I/O.</summary>
[NtModule("ntoskrnl.exe")]
sealed partial class Cc(NtKernel nt)
{
    public const uint CacheTag = 0x6353_6343;      // 'CcSc'
    const uint FO_WRITE_THROUGH = 0x10;

    readonly OpaqueStore<SharedCacheMap> _maps = new(nt, 0x40, CacheTag);

    /// <summary>Maps in the order in which they were made.</summary>
    readonly List<SharedCacheMap> _all = [];

    SharedCacheMap? Find(SectionObjectPointers section) =>
        section.IsNull || section.SharedCacheMap.IsNull ? null : _maps[section.SharedCacheMap];

    SharedCacheMap MapOf(FileObject file) => _maps[file.SectionObjectPointer.SharedCacheMap];

    long Offset(Va fileOffset)
    {
        long offset = nt.Memory.Read<long>(fileOffset);
        return offset is >= 0 and < 1L << 60 ? offset : throw new GuestException(STATUS_INVALID_PARAMETER.Value);
    }

    static void Check(NtStatus status)
    {
        if (!status.IsSuccess) throw new GuestException(status.Value);
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void CcInitializeCacheMap(
        FileObject fileObject, CcFileSizes fileSizes, bool pinAccess, CacheManagerCallbacks callbacks,
        Va lazyWriteContext)
    {
        SectionObjectPointers section = fileObject.SectionObjectPointer;
        SharedCacheMap? map = Find(section);
        if (map is null)
        {
            map = new SharedCacheMap(nt, fileObject, section)
            {
                Callbacks = callbacks.Address,
                LazyWriteContext = lazyWriteContext,
            };
            map.SetSizes(fileSizes.FileSize, fileSizes.ValidDataLength);
            nt.Ob.ObfReferenceObject(fileObject.Address);
            section.SharedCacheMap = _maps.Add(map);
            // File systems ask whether there is a section before they flush or purge.
            section.DataSectionObject = section.SharedCacheMap;
            _all.Add(map);
        }
        if (map.Private.ContainsKey(fileObject.Address)) return;
        Va own = nt.Mm.Pool.Allocate(0x40, CacheTag);
        map.Private.Add(fileObject.Address, own);
        fileObject.PrivateCacheMap = own;
    }

    /// <summary>True if the cache of the file is gone when this returns. With the last file object what is dirty is
    /// written by the lazy writer first, and then the event is set.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool CcUninitializeCacheMap(
        FileObject fileObject, Va truncateSize, CacheUninitializeEvent uninitializeEvent)
    {
        SharedCacheMap? map = Find(fileObject.SectionObjectPointer);
        if (map is not null && map.Private.Remove(fileObject.Address, out Va own)) nt.Mm.Pool.Free(own);
        fileObject.PrivateCacheMap = Va.Null;
        if (map is not null && map.Private.Count == 0 && !truncateSize.IsNull)
            map.SetSizes(Math.Min(map.FileSize, Offset(truncateSize)), null);
        bool gone = map is null || TryDelete(map);
        if (uninitializeEvent.IsNull) return gone;
        if (gone) nt.Ke.KeSetEvent(uninitializeEvent.Event, 0, false);
        else map!.Closed.Add(uninitializeEvent.Event);
        return gone;
    }

    /// <summary>Deletes a map that nobody uses and that has nothing to write; has what is dirty written.</summary>
    bool TryDelete(SharedCacheMap map)
    {
        if (map.IsUsed) return false;
        if (map.DirtyPages > 0)
        {
            WriteSoon();
            return false;
        }
        Delete(map);
        return true;
    }

    void Delete(SharedCacheMap map)
    {
        if (!_all.Remove(map)) return;
        SectionObjectPointers section = map.Section;
        _maps.Remove(section.SharedCacheMap);
        (section.SharedCacheMap, section.DataSectionObject) = (Va.Null, Va.Null);
        map.Delete();
        foreach (KEvent closed in map.Closed) nt.Ke.KeSetEvent(closed, 0, false);
        nt.Ob.ObfDereferenceObject(map.File.Address);
    }

    /// <summary>A file that becomes shorter loses its pages behind the end, dirty or not.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void CcSetFileSizes(FileObject fileObject, CcFileSizes fileSizes) =>
        Find(fileObject.SectionObjectPointer)?.SetSizes(fileSizes.FileSize, null);

    /// <summary>Writes what is dirty: of the whole file where no offset is given, else of a range.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void CcFlushCache(SectionObjectPointers sectionObjectPointer, Va fileOffset, uint length, Va ioStatus)
    {
        NtStatus status = STATUS_SUCCESS;
        if (Find(sectionObjectPointer) is { } map)
        {
            long start = fileOffset.IsNull ? 0 : Offset(fileOffset);
            status = map.Flush(start, fileOffset.IsNull ? long.MaxValue : start + length);
        }
        if (!ioStatus.IsNull) nt.Memory.Write(ioStatus, new IoStatusBlock(status, 0));
    }

    /// <summary>Forgets pages, dirty or not; false if some are mapped or pinned.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool CcPurgeCacheSection(
        SectionObjectPointers sectionObjectPointer, Va fileOffset, uint length, uint flags)
    {
        const uint uninitializeCacheMaps = 1;
        if (Find(sectionObjectPointer) is not { } map) return true;
        long start = fileOffset.IsNull ? 0 : Offset(fileOffset);
        // No length: to the end.
        long end = fileOffset.IsNull || length == 0 ? long.MaxValue - 1 : start + length;
        if (!map.MayPurge(start, end)) return false;
        if ((flags & uninitializeCacheMaps) != 0)
        {
            foreach ((Va file, Va own) in map.Private)
            {
                FileObject opened = FileObject.At(nt.Memory, file);
                opened.PrivateCacheMap = Va.Null;
                nt.Mm.Pool.Free(own);
            }
            map.Private.Clear();
        }
        map.Discard(start / SharedCacheMap.PageSize, (end - 1) / SharedCacheMap.PageSize + 1);
        if (!map.IsUsed) TryDelete(map);
        return true;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public FileObject CcGetFileObjectFromSectionPtrs(SectionObjectPointers sectionObjectPointer) =>
        Find(sectionObjectPointer)?.File ?? FileObject.At(nt.Memory, Va.Null);

    /// <summary>Whether files of a volume have pages to write.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool CcIsThereDirtyData(Vpb vpb) => _all.Exists(m => m.DirtyPages > 0 && m.File.Vpb == vpb);

    [Export(Support.Partial, "Nothing is read ahead of what is asked for."), IrqlRequiresMax(APC_LEVEL)]
    public void CcSetReadAheadGranularity(FileObject fileObject, uint granularity) =>
        nt.Memory.Write(fileObject.PrivateCacheMap + ReadAheadMaskOffset, granularity - 1);

    const int ReadAheadMaskOffset = 4;

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void CcSetAdditionalCacheAttributes(FileObject fileObject, bool disableReadAhead, bool disableWriteBehind)
    {
        SharedCacheMap map = MapOf(fileObject);
        (map.ReadAheadDisabled, map.WriteBehindDisabled) = (disableReadAhead, disableWriteBehind);
    }
}
