using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Byte-range locks without an IRP, and what they allow.</summary>
sealed partial class FsRtl
{
    /// <summary>True if there is an answer: granted, or an IRP that waits or is complete. Without an IRP nobody
    /// waits.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool FsRtlPrivateLock(FileLock fileLock, FileObject fileObject, Va fileOffset, Va length, EProcess process,
        uint key, bool failImmediately, bool exclusiveLock, Va ioStatus, Irp irp, Va context, bool alreadySynchronized)
    {
        var owner = new LockOwner(fileObject.Address, process.Address, key);
        var range = new FileLockRange(
            nt.Memory.Read<ulong>(fileOffset), nt.Memory.Read<ulong>(length), exclusiveLock, owner);
        NtStatus status = RequestLock(fileLock, range, failImmediately, irp, context);
        nt.Memory.Write(ioStatus, new IoStatusBlock(status, 0));
        return !irp.IsNull || failImmediately || status != STATUS_LOCK_NOT_GRANTED;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus FsRtlFastUnlockSingle(FileLock fileLock, FileObject fileObject, Va fileOffset, Va length,
        EProcess process, uint key, Va context, bool alreadySynchronized) =>
        UnlockOne(fileLock, nt.Memory.Read<ulong>(fileOffset), nt.Memory.Read<ulong>(length),
            new LockOwner(fileObject.Address, process.Address, key), context);

    /// <summary>Requests of the file and process that wait are canceled, too.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus FsRtlFastUnlockAll(FileLock fileLock, FileObject fileObject, EProcess process, Va context) =>
        UnlockAll(fileLock, new LockOwner(fileObject.Address, process.Address, 0), byKey: false, context);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus FsRtlFastUnlockAllByKey(
        FileLock fileLock, FileObject fileObject, EProcess process, uint key, Va context) =>
        UnlockAll(fileLock, new LockOwner(fileObject.Address, process.Address, key), byKey: true, context);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool FsRtlFastCheckLockForRead(
        FileLock fileLock, Va startingByte, Va length, uint key, FileObject fileObject, EProcess process) =>
        LocksOf(fileLock)?.MayRead(nt.Memory.Read<ulong>(startingByte), nt.Memory.Read<ulong>(length),
            new LockOwner(fileObject.Address, process.Address, key)) ?? true;

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool FsRtlFastCheckLockForWrite(
        FileLock fileLock, Va startingByte, Va length, uint key, FileObject fileObject, EProcess process) =>
        LocksOf(fileLock)?.MayWrite(nt.Memory.Read<ulong>(startingByte), nt.Memory.Read<ulong>(length),
            new LockOwner(fileObject.Address, process.Address, key)) ?? true;

    /// <summary>The range, key and file are those of an IRP_MJ_READ.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool FsRtlCheckLockForReadAccess(FileLock fileLock, Irp irp)
    {
        IoStackLocation at = irp.CurrentStackLocation;
        return LocksOf(fileLock)?.MayRead(at.Parameter3, (uint)at.Parameter1, OwnerOf(irp, at)) ?? true;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool FsRtlCheckLockForWriteAccess(FileLock fileLock, Irp irp)
    {
        IoStackLocation at = irp.CurrentStackLocation;
        return LocksOf(fileLock)?.MayWrite(at.Parameter3, (uint)at.Parameter1, OwnerOf(irp, at)) ?? true;
    }

    LockOwner OwnerOf(Irp irp, IoStackLocation at) =>
        new(at.FileObject.Address, nt.Io.IoGetRequestorProcess(irp).Address, (uint)at.Parameter2);

    /// <summary>Each lock once, in the structure's own room; null behind the last.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public FileLockInfo FsRtlGetNextFileLock(FileLock fileLock, bool restart)
    {
        FileLockRange? last = restart ? null : _lastReturned.GetValueOrDefault(fileLock.Address);
        FileLockRange? next = restart || last is not null ? LocksOf(fileLock)?.After(last) : null;
        if (next is null)
        {
            _lastReturned.Remove(fileLock.Address);
            return FileLockInfo.At(nt.Memory, Va.Null);
        }
        _lastReturned[fileLock.Address] = next;
        Describe(fileLock.LastReturnedLockInfo, next);
        return fileLock.LastReturnedLockInfo;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool FsRtlAreThereCurrentOrInProgressFileLocks(FileLock fileLock) =>
        LocksOf(fileLock) is { Held.Count: > 0 } || fileLock.LockRequestsInProgress != 0;

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool FsRtlAreThereWaitingFileLocks(FileLock fileLock) => LocksOf(fileLock) is { Waiting.Count: > 0 };
}
