using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Copies between a caller's buffer and the cache, and MDLs of the cache's own pages.</summary>
sealed partial class Cc
{
    /// <summary>False if pages would have to be read and the caller may not wait. At most to the file's
    /// end.</summary>
    /// <exception cref="GuestException">Reading failed; the code is the file system's status.</exception>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool CcCopyRead(FileObject fileObject, Va fileOffset, uint length, bool wait, Va buffer, Va ioStatus)
    {
        SharedCacheMap map = MapOf(fileObject);
        long start = Offset(fileOffset), end = Math.Min(start + length, map.FileSize);
        if (!wait && !map.IsResident(start, Math.Max(0, end - start))) return false;
        for (long at = start; at < end;)
        {
            int count = ChunkAt(at, end);
            Check(map.Load(at, count));
            nt.Memory.Write(buffer + (ulong)(at - start), nt.Memory.ReadBytes(map.AddressOf(at), count));
            at += count;
        }
        nt.Memory.Write(ioStatus, new IoStatusBlock(STATUS_SUCCESS, (ulong)Math.Max(0, end - start)));
        return true;
    }

    // Up to the end of a view.
    static int ChunkAt(long at, long end) =>
        (int)Math.Min(end - at, SharedCacheMap.ViewSize - at % SharedCacheMap.ViewSize);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool CcCopyWrite(FileObject fileObject, Va fileOffset, uint length, bool wait, Va buffer)
    {
        SharedCacheMap map = MapOf(fileObject);
        long start = Offset(fileOffset), end = start + length;
        bool through = (fileObject.Flags & FO_WRITE_THROUGH) != 0;
        if (!wait && (through || !map.IsResident(start, length))) return false;
        for (long at = start; at < end;)
        {
            int count = ChunkAt(at, end);
            byte[] bytes = nt.Memory.ReadBytes(buffer + (ulong)(at - start), count);
            Put(map, at, bytes);
            at += count;
        }
        if (through) Check(map.Flush(start, end));
        else WriteLater();
        return true;
    }

    void Put(SharedCacheMap map, long at, byte[] bytes)
    {
        Check(map.Load(at, bytes.Length, overwrite: true));
        nt.Memory.Write(map.AddressOf(at), bytes);
        map.MarkDirty(at, bytes.Length);
    }

    /// <summary>Zeros in the cache, or on the device for a file object that is not cached.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool CcZeroData(FileObject fileObject, Va startOffset, Va endOffset, bool wait)
    {
        long start = Offset(startOffset), end = Offset(endOffset);
        if (start >= end) return true;
        if (!wait) return false;
        SharedCacheMap? map = fileObject.PrivateCacheMap.IsNull ? null : Find(fileObject.SectionObjectPointer);
        if (map is null) return ZeroOnDevice(fileObject, start, end);
        for (long at = start; at < end;)
        {
            int count = ChunkAt(at, end);
            Put(map, at, new byte[count]);
            at += count;
        }
        if ((fileObject.Flags & FO_WRITE_THROUGH) != 0) Check(map.Flush(start, end));
        else WriteLater();
        return true;
    }

    bool ZeroOnDevice(FileObject file, long start, long end)
    {
        const uint chunk = 0x1_0000;
        long sector = Math.Max((ushort)512, file.DeviceObject.SectorSize);
        Va zeros = nt.Mm.Pool.Allocate((int)chunk, CacheTag);
        NtStatus status = STATUS_SUCCESS;
        for (long at = start; at < end && status.IsSuccess; at += chunk)
        {
            nt.Ke.Clock.Spend();
            long left = Math.Min(chunk, (end - at + sector - 1) / sector * sector);
            status = nt.Io.PageIo(file, write: true, zeros, at, (uint)Math.Min(chunk, left)).Status;
        }
        nt.Mm.Pool.Free(zeros);
        Check(status);
        return true;
    }

    /// <summary>MDLs of the cache's pages, one for each view, locked until CcMdlReadComplete.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void CcMdlRead(FileObject fileObject, Va fileOffset, uint length, Va mdlChain, Va ioStatus)
    {
        SharedCacheMap map = MapOf(fileObject);
        long start = Offset(fileOffset), end = Math.Max(start, Math.Min(start + length, map.FileSize));
        GiveMdls(map, start, end, overwrite: false, mdlChain, ioStatus);
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public void CcMdlReadComplete(FileObject fileObject, Mdl mdlChain) => FreeMdls(mdlChain, null);

    /// <summary>As CcMdlRead, for data that will come into the pages.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void CcPrepareMdlWrite(FileObject fileObject, Va fileOffset, uint length, Va mdlChain, Va ioStatus)
    {
        long start = Offset(fileOffset);
        GiveMdls(MapOf(fileObject), start, start + length, overwrite: true, mdlChain, ioStatus);
    }

    void GiveMdls(SharedCacheMap map, long start, long end, bool overwrite, Va mdlChain, Va ioStatus)
    {
        Mdl first = default, last = default;
        for (long at = start; at < end;)
        {
            int count = ChunkAt(at, end);
            NtStatus loaded = map.Load(at, count, overwrite);
            if (!loaded.IsSuccess) FreeMdls(first, null);
            Check(loaded);
            Mdl mdl = nt.Mm.CreateMdl(map.AddressOf(at), (ulong)count);
            nt.Mm.MmProbeAndLockPages(mdl, ProcessorMode.KernelMode, 1);
            if (last.IsNull) first = mdl;
            else last.Next = mdl;
            last = mdl;
            at += count;
        }
        nt.Memory.Write(mdlChain, first.Address);
        nt.Memory.Write(ioStatus, new IoStatusBlock(STATUS_SUCCESS, (ulong)(end - start)));
    }

    void FreeMdls(Mdl mdl, Action<uint>? each)
    {
        while (!mdl.IsNull)
        {
            nt.Ke.Clock.Spend();
            Mdl next = mdl.Next;
            each?.Invoke(mdl.ByteCount);
            nt.Mm.MmUnlockPages(mdl);
            nt.Mm.IoFreeMdl(mdl);
            mdl = next;
        }
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public void CcMdlWriteComplete(FileObject fileObject, Va fileOffset, Mdl mdlChain)
    {
        SharedCacheMap map = MapOf(fileObject);
        long start = Offset(fileOffset), at = start;
        FreeMdls(mdlChain, count =>
        {
            map.MarkDirty(at, count);
            at += count;
        });
        if ((fileObject.Flags & FO_WRITE_THROUGH) != 0) Check(map.Flush(start, at));
        else WriteLater();
    }

    /// <summary>Nothing came into the pages that counts.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public void CcMdlWriteAbort(FileObject fileObject, Mdl mdlChain) => FreeMdls(mdlChain, null);
}
