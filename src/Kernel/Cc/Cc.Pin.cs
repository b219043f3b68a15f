using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Ranges of cached files that drivers see through pointers: mapped to be read, pinned to be
/// changed.</summary>
sealed partial class Cc
{
    const uint BcbTag = 0x6342_6343;      // 'CcBc'
    const short BcbNodeType = 0x2FD;
    const uint WaitFlag = 1;
    const int BcbBytes = 0x100;

    readonly OpaqueStore<Bcb> _bcbs = new(nt, BcbBytes, BcbTag);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool CcMapData(FileObject fileObject, Va fileOffset, uint length, uint flags, Va bcb, Va buffer) =>
        Give(fileObject, Offset(fileOffset), length, flags, pin: false, false, bcb, buffer);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool CcPinRead(FileObject fileObject, Va fileOffset, uint length, uint flags, Va bcb, Va buffer) =>
        Give(fileObject, Offset(fileOffset), length, flags, pin: true, false, bcb, buffer);

    /// <summary>Pins a range that will be written as a whole, which makes it dirty; zeroed if asked.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public bool CcPreparePinWrite(
        FileObject fileObject, Va fileOffset, uint length, bool zero, uint flags, Va bcb, Va buffer)
    {
        if (!Give(fileObject, Offset(fileOffset), length, flags, pin: true, zero, bcb, buffer)) return false;
        if (zero) nt.Memory.Fill(nt.Memory.Read<Va>(buffer), length, 0);
        CcSetDirtyPinnedData(PublicBcb.At(nt.Memory, nt.Memory.Read<Va>(bcb)), Va.Null);
        return true;
    }

    /// <summary>What CcMapData gave is pinned, too.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public bool CcPinMappedData(FileObject fileObject, Va fileOffset, uint length, uint flags, Va bcb)
    {
        _ = Offset(fileOffset);
        _bcbs[nt.Memory.Read<Va>(bcb)].IsPinned = true;
        return true;
    }

    bool Give(
        FileObject file, long offset, uint length, uint flags, bool pin, bool overwrite, Va bcb, Va buffer)
    {
        SharedCacheMap map = MapOf(file);
        if (length == 0) throw new GuestException(STATUS_INVALID_PARAMETER.Value);
        if ((flags & WaitFlag) == 0 && !map.IsResident(offset, length)) return false;
        Check(map.Load(offset, length, overwrite));
        Bcb? shared = pin ? map.Bcbs.Find(b => b.IsPinned && b.Offset <= offset && offset + length <= b.End) : null;
        if (shared is not null) shared.Count++;
        Bcb given = shared ?? NewBcb(map, offset, length, pin);
        nt.Memory.Write(bcb, given.Address);
        nt.Memory.Write(buffer, given.Buffer + (ulong)(offset - given.Offset));
        return true;
    }

    Bcb NewBcb(SharedCacheMap map, long offset, uint length, bool pin)
    {
        long start = offset / Va.PageSize * Va.PageSize;
        long end = (offset + length + Va.PageSize - 1) / Va.PageSize * Va.PageSize;
        bool inOneView = start / SharedCacheMap.ViewSize == (end - 1) / SharedCacheMap.ViewSize;
        var pages = (int)((end - start) / Va.PageSize);
        Va buffer = inOneView ? map.AddressOf(start) : MapTogether(map, start, pages);
        var made = new Bcb(map, start, end - start, buffer) { IsPinned = pin, OwnPages = inOneView ? 0 : pages };
        made.Address = _bcbs.Add(made);
        map.Bcbs.Add(made);
        PublicBcb shown = PublicBcb.At(nt.Memory, made.Address);
        (shown.NodeTypeCode, shown.NodeByteSize) = (BcbNodeType, BcbBytes);
        (shown.MappedFileOffset, shown.MappedLength) = (start, (uint)(end - start));
        return made;
    }

    Va MapTogether(SharedCacheMap map, long start, int pages)
    {
        Va place = nt.Mm.ReservePtes(pages);
        for (int i = 0; i < pages; i++)
            nt.Memory.MapFrame(place + i * Va.PageSize, nt.Memory.FrameOf(map.AddressOf(start + i * (long)Va.PageSize)),
                Protection.ReadWrite);
        return place;
    }

    /// <summary>The range is written by the lazy writer or a flush; also what is changed in it until it is
    /// unpinned.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void CcSetDirtyPinnedData(PublicBcb bcbVoid, Va lsn)
    {
        Bcb bcb = _bcbs[bcbVoid.Address];
        bcb.IsDirty = true;
        bcb.Map.MarkDirty(bcb.Offset, bcb.End - bcb.Offset);
        WriteLater();
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public void CcUnpinData(PublicBcb bcb) => Unpin(_bcbs[bcb.Address]);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public void CcUnpinDataForThread(PublicBcb bcb, Va resourceThreadId) => Unpin(_bcbs[bcb.Address]);

    void Unpin(Bcb bcb)
    {
        if (bcb.IsDirty)
        {
            bcb.Map.MarkDirty(bcb.Offset, bcb.End - bcb.Offset);
            WriteLater();
        }
        if (--bcb.Count > 0) return;
        bcb.Map.Bcbs.Remove(bcb);
        _bcbs.Remove(bcb.Address);
        if (bcb.OwnPages > 0) nt.Memory.Unmap(bcb.Buffer, (ulong)bcb.OwnPages * Va.PageSize);
        if (!bcb.Map.IsUsed) TryDelete(bcb.Map);
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void CcRepinBcb(PublicBcb bcb) => _bcbs[bcb.Address].Count++;

    /// <summary>With write-through the range is written first; the status says how that went.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void CcUnpinRepinnedBcb(PublicBcb bcb, bool writeThrough, Va ioStatus)
    {
        Bcb repinned = _bcbs[bcb.Address];
        NtStatus status = STATUS_SUCCESS;
        if (writeThrough && repinned.IsDirty)
        {
            status = repinned.Map.Flush(repinned.Offset, repinned.End);
            repinned.IsDirty = repinned.Count > 1 && !status.IsSuccess;
        }
        nt.Memory.Write(ioStatus, new IoStatusBlock(status, 0));
        Unpin(repinned);
    }

    /// <summary>Notes who holds a pin, in place of the thread that made it.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void CcSetBcbOwnerPointer(PublicBcb bcb, Va ownerPointer) => _bcbs[bcb.Address].Owner = ownerPointer;

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public FileObject CcGetFileObjectFromBcb(PublicBcb bcb) => _bcbs[bcb.Address].Map.File;
}
