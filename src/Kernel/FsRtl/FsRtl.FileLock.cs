using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

[Layout("_FILE_LOCK_INFO", Size = 0x30)]
public readonly partial struct FileLockInfo
{
    [Field(0x00)] public partial ulong StartingByte { get; set; }
    [Field(0x08, Name = "Length")] public partial ulong ByteCount { get; set; }
    [Field(0x10)] public partial bool ExclusiveLock { get; set; }
    [Field(0x14)] public partial uint Key { get; set; }
    [Field(0x18)] public partial Va FileObject { get; set; }
    [Field(0x20)] public partial Va ProcessId { get; set; }
    [Field(0x28)] public partial ulong EndingByte { get; set; }
}

[Layout("_FILE_LOCK", Size = 0x60)]
public readonly partial struct FileLock
{
    [Field(0x00)] public partial Va CompleteLockIrpRoutine { get; set; }
    [Field(0x08)] public partial Va UnlockRoutine { get; set; }
    [Field(0x10)] public partial bool FastIoIsQuestionable { get; set; }
    [Field(0x18)] public partial Va LockInformation { get; set; }
    [Embedded(0x20)] public partial FileLockInfo LastReturnedLockInfo { get; }
    [Field(0x50)] public partial Va LastReturnedLock { get; set; }
    [Field(0x58)] public partial int LockRequestsInProgress { get; set; }
}

/// <summary>Byte-range locks. LockInformation points, from the first on, to a block that stands for them.</summary>
sealed partial class FsRtl
{
    const uint LockTag = 0x6B6C_5346;      // 'FSlk'

    readonly OpaqueStore<FileLocks> _locks = new(nt, 0x40, LockTag);
    readonly Dictionary<Va, FileLockRange> _lastReturned = [];

    FileLocks? LocksOf(FileLock fileLock) =>
        fileLock.LockInformation.IsNull ? null : _locks[fileLock.LockInformation];

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public FileLock FsRtlAllocateFileLock(Va completeLockIrpRoutine, Va unlockRoutine)
    {
        var made = FileLock.At(nt.Memory, nt.Mm.Pool.Allocate(
            (ulong)FileLock.Size, PoolKind.Paged, LockTag, nt.Caller, zero: true));
        if (!made.IsNull) FsRtlInitializeFileLock(made, completeLockIrpRoutine, unlockRoutine);
        return made;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void FsRtlFreeFileLock([FreesMem] FileLock fileLock)
    {
        FsRtlUninitializeFileLock(fileLock);
        nt.Mm.Pool.Free(fileLock.Address);
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void FsRtlInitializeFileLock(FileLock fileLock, Va completeLockIrpRoutine, Va unlockRoutine)
    {
        nt.Memory.Fill(fileLock.Address, FileLock.Size, 0);
        (fileLock.CompleteLockIrpRoutine, fileLock.UnlockRoutine) = (completeLockIrpRoutine, unlockRoutine);
    }

    /// <summary>What still waits fails with STATUS_RANGE_NOT_LOCKED.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void FsRtlUninitializeFileLock(FileLock fileLock)
    {
        if (LocksOf(fileLock) is not { } locks) return;
        Va token = fileLock.LockInformation;
        fileLock.LockInformation = Va.Null;
        _locks.Remove(token);
        _lastReturned.Remove(fileLock.Address);
        foreach ((_, Irp irp, Va context) in locks.Waiting.ToArray())
            CompleteLock(fileLock, irp, context, STATUS_RANGE_NOT_LOCKED);
    }

    /// <summary>An IRP_MJ_LOCK_CONTROL, which is completed by it.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus FsRtlProcessFileLock(FileLock fileLock, [AliasesMem] Irp irp, Va context)
    {
        const byte lockOne = 1, unlockOne = 2, unlockAll = 3, unlockAllByKey = 4, failImmediately = 1, exclusive = 2;
        IoStackLocation at = irp.CurrentStackLocation;
        var owner = new LockOwner(at.FileObject.Address, nt.Io.IoGetRequestorProcess(irp).Address, (uint)at.Parameter2);
        if (at.MinorFunction == lockOne)
        {
            var range = new FileLockRange(
                at.Parameter3, LengthOf(at), (at.Flags & exclusive) != 0, owner);
            return RequestLock(fileLock, range, (at.Flags & failImmediately) != 0, irp, context);
        }
        NtStatus status = at.MinorFunction switch
        {
            unlockOne => UnlockOne(fileLock, at.Parameter3, LengthOf(at), owner, context),
            unlockAll => UnlockAll(fileLock, owner, false, context),
            unlockAllByKey => UnlockAll(fileLock, owner, true, context),
            _ => STATUS_INVALID_DEVICE_REQUEST,
        };
        return CompleteLock(fileLock, irp, context, status);
    }

    ulong LengthOf(IoStackLocation location) => nt.Memory.Read<ulong>(new Va(location.Parameter1));

    /// <summary>Completes an IRP by the routine of the file lock, which may change the status.</summary>
    NtStatus CompleteLock(FileLock fileLock, Irp irp, Va context, NtStatus status)
    {
        _pending.Remove(irp);
        irp.IoStatus = new IoStatusBlock(status, 0);
        Va routine = fileLock.CompleteLockIrpRoutine;
        if (!routine.IsNull)
            return new NtStatus((uint)nt.Routines.Call(routine, context.Value, irp.Address.Value));
        nt.Io.IofCompleteRequest(irp, 0);
        return status;
    }

    /// <summary>Locks, waits or refuses. An IRP is completed, unless it waits.</summary>
    NtStatus RequestLock(FileLock fileLock, FileLockRange range, bool failImmediately, Irp irp, Va context)
    {
        if (!FileLocks.IsRange(range.Start, range.Length))
            return irp.IsNull ? STATUS_INVALID_LOCK_RANGE
                : CompleteLock(fileLock, irp, context, STATUS_INVALID_LOCK_RANGE);
        if (fileLock.LockInformation.IsNull) fileLock.LockInformation = _locks.Add(new FileLocks());
        FileLocks locks = _locks[fileLock.LockInformation];
        if (locks.TryLock(range))
        {
            fileLock.FastIoIsQuestionable = true;
            if (irp.IsNull) return STATUS_SUCCESS;
            NtStatus completed = CompleteLock(fileLock, irp, context, STATUS_SUCCESS);
            if (!completed.IsSuccess) Drop(fileLock, locks, range);
            return completed;
        }
        if (irp.IsNull) return STATUS_LOCK_NOT_GRANTED;
        if (failImmediately) return CompleteLock(fileLock, irp, context, STATUS_LOCK_NOT_GRANTED);
        locks.Waiting.Add((range, irp, context));
        _pending.Add(irp, () =>
        {
            locks.Waiting.RemoveAll(w => w.Irp == irp);
            CompleteLock(fileLock, irp, context, STATUS_CANCELLED);
        });
        return STATUS_PENDING;
    }

    void Drop(FileLock fileLock, FileLocks locks, FileLockRange range)
    {
        locks.Remove(range);
        if (locks.Held.Count == 0) fileLock.FastIoIsQuestionable = false;
        GrantWaiting(fileLock, locks);
    }

    // A completion may call in here again: so the list is looked at from its start after each.
    void GrantWaiting(FileLock fileLock, FileLocks locks)
    {
        for (int i = 0; i < locks.Waiting.Count; i++)
        {
            (FileLockRange range, Irp irp, Va context) = locks.Waiting[i];
            nt.Ke.Clock.Spend();
            if (!locks.TryLock(range)) continue;
            locks.Waiting.RemoveAt(i);
            fileLock.FastIoIsQuestionable = true;
            if (!CompleteLock(fileLock, irp, context, STATUS_SUCCESS).IsSuccess) locks.Remove(range);
            i = -1;
        }
    }

    NtStatus UnlockOne(FileLock fileLock, ulong start, ulong length, LockOwner owner, Va context)
    {
        if (LocksOf(fileLock) is not { } locks || locks.Unlock(start, length, owner) is not { } gone)
            return STATUS_RANGE_NOT_LOCKED;
        if (locks.Held.Count == 0) fileLock.FastIoIsQuestionable = false;
        TellUnlocked(fileLock, gone, context);
        GrantWaiting(fileLock, locks);
        return STATUS_SUCCESS;
    }

    NtStatus UnlockAll(FileLock fileLock, LockOwner owner, bool byKey, Va context)
    {
        if (LocksOf(fileLock) is not { } locks || locks.Held.Count + locks.Waiting.Count == 0)
            return STATUS_RANGE_NOT_LOCKED;
        foreach ((FileLockRange range, Irp irp, Va own) in locks.Waiting.ToArray())
        {
            if (!Is(range) || locks.Waiting.RemoveAll(w => w.Irp == irp) == 0) continue;
            CompleteLock(fileLock, irp, own, STATUS_CANCELLED);
        }
        FileLockRange[] gone = [.. locks.Held.Where(Is)];
        foreach (FileLockRange range in gone) locks.Remove(range);
        if (locks.Held.Count == 0) fileLock.FastIoIsQuestionable = false;
        foreach (FileLockRange range in gone) TellUnlocked(fileLock, range, context);
        GrantWaiting(fileLock, locks);
        return STATUS_SUCCESS;

        bool Is(FileLockRange range) => range.Owner.File == owner.File && range.Owner.Process == owner.Process
            && (!byKey || range.Owner.Key == owner.Key);
    }

    void TellUnlocked(FileLock fileLock, FileLockRange range, Va context)
    {
        Va routine = fileLock.UnlockRoutine;
        if (routine.IsNull) return;
        FileLockInfo info = FileLockInfo.At(nt.Memory, nt.Mm.Pool.Allocate(FileLockInfo.Size, LockTag));
        Describe(info, range);
        nt.Routines.Call(routine, context.Value, info.Address.Value);
        nt.Mm.Pool.Free(info.Address);
    }

    static void Describe(FileLockInfo info, FileLockRange range)
    {
        (info.StartingByte, info.ByteCount, info.EndingByte) = (range.Start, range.Length, range.Last);
        (info.ExclusiveLock, info.Key) = (range.Exclusive, range.Owner.Key);
        (info.FileObject, info.ProcessId) = (range.Owner.File, range.Owner.Process);
    }
}
