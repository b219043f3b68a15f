using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

[Layout("_FSRTL_ADVANCED_FCB_HEADER", Size = 0x58)]
public readonly partial struct AdvancedFcbHeader
{
    [Field(0x00)] public partial short NodeTypeCode { get; set; }
    [Field(0x02)] public partial short NodeByteSize { get; set; }
    [Field(0x04)] public partial byte Flags { get; set; }
    [Field(0x05)] public partial byte IsFastIoPossible { get; set; }
    [Field(0x06)] public partial byte Flags2 { get; set; }
    [Field(0x08)] public partial EResource Resource { get; set; }
    [Field(0x10)] public partial EResource PagingIoResource { get; set; }
    [Field(0x18)] public partial long AllocationSize { get; set; }
    [Field(0x20)] public partial long FileSize { get; set; }
    [Field(0x28)] public partial long ValidDataLength { get; set; }
    [Field(0x30)] public partial FastMutex FastMutex { get; set; }
    [Embedded(0x38)] public partial ListEntry FilterContexts { get; }
    [Field(0x50)] public partial Va FileContextSupportPointer { get; set; }
}

/// <summary>Fast I/O of file systems that leave it to the cache. FsContext points to an
/// FSRTL_ADVANCED_FCB_HEADER.</summary>
sealed partial class FsRtl
{
    const uint FO_WRITE_THROUGH = 0x10, FO_FILE_MODIFIED = 0x1000, FO_FILE_SIZE_CHANGED = 0x2000,
        FO_FILE_FAST_IO_READ = 0x8_0000;
    const ulong FSRTL_FAST_IO_TOP_LEVEL_IRP = 4;
    const byte FastIoIsNotPossible = 0, FastIoIsQuestionable = 2;

    AdvancedFcbHeader HeaderOf(FileObject file) => AdvancedFcbHeader.At(nt.Memory, file.FsContext);

    /// <summary>False: the request must be sent as an IRP.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public bool FsRtlCopyRead(FileObject fileObject, Va fileOffset, uint length, bool wait, uint lockKey, Va buffer,
        Va ioStatus, DeviceObject deviceObject) =>
        WithResource(fileObject, wait, exclusive: false, () =>
        {
            if (!IsPossible(fileObject, fileOffset, length, wait, lockKey, true, ioStatus, deviceObject)) return false;
            if (!MayReadAt(fileObject, fileOffset, length, ioStatus)) return true;
            if (!nt.Cc.CcCopyRead(fileObject, fileOffset, length, wait, buffer, ioStatus)) return false;
            fileObject.Flags |= FO_FILE_FAST_IO_READ;
            fileObject.CurrentByteOffset = nt.Memory.Read<long>(fileOffset)
                + (long)nt.Memory.Read<IoStatusBlock>(ioStatus).Information;
            return true;
        });

    // Nothing to read, or nothing there: that is an answer already.
    bool MayReadAt(FileObject file, Va fileOffset, uint length, Va ioStatus)
    {
        bool atEnd = nt.Memory.Read<long>(fileOffset) >= HeaderOf(file).FileSize;
        if (length != 0 && !atEnd) return true;
        nt.Memory.Write(ioStatus, new IoStatusBlock(length == 0 ? STATUS_SUCCESS : STATUS_END_OF_FILE, 0));
        return false;
    }

    bool WithResource(FileObject file, bool wait, bool exclusive, Func<bool> body)
    {
        nt.Ke.KeEnterCriticalRegion();
        EResource resource = HeaderOf(file).Resource;
        bool done = false, held = exclusive ? nt.Ex.ExAcquireResourceExclusiveLite(resource, wait)
            : nt.Ex.ExAcquireResourceSharedLite(resource, wait);
        nt.Io.IoSetTopLevelIrp(new Va(FSRTL_FAST_IO_TOP_LEVEL_IRP));
        try
        {
            if (held) done = body();
        }
        finally
        {
            nt.Io.IoSetTopLevelIrp(Va.Null);
            if (held) nt.Ex.ExReleaseResourceLite(resource);
            nt.Ke.KeLeaveCriticalRegion();
        }
        return done;
    }

    bool IsPossible(FileObject file, Va fileOffset, uint length, bool wait, uint key, bool reads, Va ioStatus,
        DeviceObject device)
    {
        byte possible = HeaderOf(file).IsFastIoPossible;
        if (file.PrivateCacheMap.IsNull || possible == FastIoIsNotPossible) return false;
        if (possible != FastIoIsQuestionable) return true;
        DeviceObject related = nt.Io.IoGetRelatedDeviceObject(file);
        const int fastIoCheckIfPossible = 8;
        Va routine = nt.Memory.Read<Va>(related.DriverObject.FastIoDispatch + fastIoCheckIfPossible);
        return (byte)nt.Routines.Call(routine, file.Address.Value, fileOffset.Value, length, wait ? 1u : 0, key,
            reads ? 1u : 0, ioStatus.Value, related.Address.Value) != 0;
    }

    /// <summary>False: the request must be sent as an IRP, as when the file's allocation would have to grow. An offset
    /// of -1 appends.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public bool FsRtlCopyWrite(FileObject fileObject, Va fileOffset, uint length, bool wait, uint lockKey, Va buffer,
        Va ioStatus, DeviceObject deviceObject)
    {
        if ((fileObject.Flags & FO_WRITE_THROUGH) != 0 || !nt.Cc.CcCanIWrite(fileObject, length, wait, false))
            return false;
        return WithResource(fileObject, wait, exclusive: true, () =>
            IsPossible(fileObject, fileOffset, length, wait, lockKey, false, ioStatus, deviceObject)
            && Write(fileObject, fileOffset, length, wait, buffer, ioStatus));
    }

    bool Write(FileObject file, Va fileOffset, uint length, bool wait, Va buffer, Va ioStatus)
    {
        AdvancedFcbHeader header = HeaderOf(file);
        long asked = nt.Memory.Read<long>(fileOffset), start = asked == -1 ? header.FileSize : asked;
        if (start < 0 || start > header.AllocationSize - length) return false;
        long end = start + length, oldSize = header.FileSize, oldValid = header.ValidDataLength;
        Va numbers = nt.Mm.Pool.Allocate(CcFileSizes.Size + 16, FsRtlTag);
        CcFileSizes sizes = CcFileSizes.At(nt.Memory, numbers);
        (Va from, Va to) = (numbers + CcFileSizes.Size, numbers + CcFileSizes.Size + 8);
        try
        {
            if (end > oldSize) SetSize(file, sizes, header.FileSize = end);
            nt.Memory.Write(from, oldValid);
            nt.Memory.Write(to, start);
            bool written = (start <= oldValid || nt.Cc.CcZeroData(file, from, to, wait))
                && nt.Cc.CcCopyWrite(file, to, length, wait, buffer);
            if (!written)
            {
                if (end > oldSize) SetSize(file, sizes, header.FileSize = oldSize);
                return false;
            }
        }
        finally
        {
            nt.Mm.Pool.Free(numbers);
        }
        header.ValidDataLength = Math.Max(oldValid, end);
        file.Flags |= FO_FILE_MODIFIED | (end > oldSize ? FO_FILE_SIZE_CHANGED : 0);
        file.CurrentByteOffset = end;
        nt.Memory.Write(ioStatus, new IoStatusBlock(STATUS_SUCCESS, length));
        return true;
    }

    void SetSize(FileObject file, CcFileSizes sizes, long size)
    {
        AdvancedFcbHeader header = HeaderOf(file);
        (sizes.AllocationSize, sizes.FileSize, sizes.ValidDataLength) =
            (header.AllocationSize, size, header.ValidDataLength);
        nt.Cc.CcSetFileSizes(file, sizes);
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool FsRtlMdlReadDev(FileObject fileObject, Va fileOffset, uint length, uint lockKey, Va mdlChain,
        Va ioStatus, DeviceObject deviceObject) =>
        WithResource(fileObject, wait: true, exclusive: false, () =>
        {
            if (!IsPossible(fileObject, fileOffset, length, true, lockKey, true, ioStatus, deviceObject)) return false;
            if (!MayReadAt(fileObject, fileOffset, length, ioStatus)) return true;
            nt.Cc.CcMdlRead(fileObject, fileOffset, length, mdlChain, ioStatus);
            fileObject.Flags |= FO_FILE_FAST_IO_READ;
            return true;
        });

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public bool FsRtlMdlReadCompleteDev(FileObject fileObject, Mdl mdlChain, DeviceObject deviceObject)
    {
        nt.Cc.CcMdlReadComplete(fileObject, mdlChain);
        return true;
    }

    /// <summary>Only inside of what is valid in the file already; else false, and an IRP must be sent.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool FsRtlPrepareMdlWriteDev(FileObject fileObject, Va fileOffset, uint length, uint lockKey, Va mdlChain,
        Va ioStatus, DeviceObject deviceObject) =>
        (fileObject.Flags & FO_WRITE_THROUGH) == 0 && nt.Cc.CcCanIWrite(fileObject, length, true, false)
        && WithResource(fileObject, wait: true, exclusive: true, () =>
        {
            long start = nt.Memory.Read<long>(fileOffset);
            if (!IsPossible(fileObject, fileOffset, length, true, lockKey, false, ioStatus, deviceObject)
                || start < 0 || start > HeaderOf(fileObject).ValidDataLength - length) return false;
            nt.Cc.CcPrepareMdlWrite(fileObject, fileOffset, length, mdlChain, ioStatus);
            fileObject.Flags |= FO_FILE_MODIFIED;
            return true;
        });

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public bool FsRtlMdlWriteCompleteDev(
        FileObject fileObject, Va fileOffset, Mdl mdlChain, DeviceObject deviceObject)
    {
        nt.Cc.CcMdlWriteComplete(fileObject, fileOffset, mdlChain);
        return true;
    }
}
