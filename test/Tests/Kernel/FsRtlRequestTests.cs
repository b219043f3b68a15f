using FsCheck;
using FsCheck.Fluent;
using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using UnicodeString = Ringdown.Kernel.UnicodeString;
using Xunit;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>Byte-range locks, oplocks and notification: IRPs that wait.</summary>
public sealed class FsRtlRequestTests
{
    /// <summary>An IRP as a file system finds it in its dispatch routine.</summary>
    internal static Irp Request(TestMachine m, IrpMajor major, FileObject file, ulong p1 = 0, ulong p2 = 0,
        ulong p3 = 0, byte minor = 0, byte flags = 0)
    {
        Irp irp = m.Nt.IoAllocateIrp(2, false);
        irp.CurrentLocation--;
        IoStackLocation at = irp.CurrentStackLocation.Below;
        irp.CurrentStackLocation = at;
        (at.MajorFunction, at.MinorFunction, at.Flags, at.FileObject) = (major, minor, flags, file);
        (at.Parameter1, at.Parameter2, at.Parameter3) = (p1, p2, p3);
        irp.UserIosb = m.Block(16);
        irp.Thread = m.Nt.Ke.CurrentThread;
        return irp;
    }

    internal static FileObject File(TestMachine m) => FileObject.At(m.Nt.Memory, m.Block(FileObject.Size));

    static IoStatusBlock Result(TestMachine m, Va iosb) => m.Read<IoStatusBlock>(iosb);

    static FileLock Lock(TestMachine m)
    {
        FileLock made = FileLock.At(m.Nt.Memory, m.Block(FileLock.Size));
        m.Nt.FsRtlInitializeFileLock(made, default, default);
        return made;
    }

    [Fact]
    [Rule("16.8")]
    public void Locks_keep_others_out_and_a_waiting_request_gets_its_turn()
    {
        using var m = new TestMachine();
        FileLock fileLock = Lock(m);
        (FileObject a, FileObject b) = (File(m), File(m));
        EProcess process = m.Nt.Ps.CurrentProcess;
        Va zero = m.Variable(0), ten = m.Variable(10), iosb = m.Block(16);
        Irp none = Irp.At(m.Nt.Memory, Va.Null);
        Assert.True(m.Nt.FsRtlPrivateLock(
            fileLock, a, zero, ten, process, 0, true, true, iosb, none, default, false));
        Assert.True(fileLock.FastIoIsQuestionable);
        Assert.True(m.Nt.FsRtlFastCheckLockForRead(fileLock, zero, ten, 0, a, process));
        Assert.False(m.Nt.FsRtlFastCheckLockForRead(fileLock, zero, ten, 0, b, process));
        Assert.False(m.Nt.FsRtlFastCheckLockForWrite(fileLock, zero, ten, 0, b, process));
        Assert.False(m.Nt.FsRtlCheckLockForReadAccess(fileLock, Request(m, IrpMajor.IRP_MJ_READ, b, 5, 0, 3)));
        Assert.True(m.Nt.FsRtlCheckLockForWriteAccess(fileLock, Request(m, IrpMajor.IRP_MJ_WRITE, a, 5, 0, 3)));
        Irp wait = Request(m, IrpMajor.IRP_MJ_LOCK_CONTROL, b, ten.Value, 0, 5, minor: 1, flags: 2);
        Irp gone = Request(m, IrpMajor.IRP_MJ_LOCK_CONTROL, b, ten.Value, 0, 5, minor: 1, flags: 2);
        (Va waited, Va canceled) = (wait.UserIosb, gone.UserIosb);
        Assert.Equal(STATUS_PENDING, m.Nt.FsRtlProcessFileLock(fileLock, wait, default));
        Assert.Equal(STATUS_PENDING, m.Nt.FsRtlProcessFileLock(fileLock, gone, default));
        Assert.True(m.Nt.FsRtlAreThereWaitingFileLocks(fileLock));
        Assert.True(m.Nt.IoCancelIrp(gone));
        Assert.Equal(STATUS_CANCELLED, Result(m, canceled).Status);
        Assert.Equal(10UL, m.Nt.FsRtlGetNextFileLock(fileLock, true).ByteCount);
        Assert.True(m.Nt.FsRtlGetNextFileLock(fileLock, false).IsNull);
        Assert.Equal(STATUS_SUCCESS, m.Nt.FsRtlFastUnlockSingle(fileLock, a, zero, ten, process, 0, default, false));
        Assert.Equal(STATUS_SUCCESS, Result(m, waited).Status);
        Assert.True(m.Nt.FsRtlAreThereCurrentOrInProgressFileLocks(fileLock));
        Assert.Equal(STATUS_SUCCESS, m.Nt.FsRtlFastUnlockAllByKey(fileLock, b, process, 0, default));
        Assert.Equal(STATUS_RANGE_NOT_LOCKED, m.Nt.FsRtlFastUnlockAll(fileLock, b, process, default));
        Assert.False(fileLock.FastIoIsQuestionable);
        m.Nt.FsRtlUninitializeFileLock(fileLock);
        FileLock allocated = m.Nt.FsRtlAllocateFileLock(default, default);
        m.Nt.FsRtlFreeFileLock(allocated);
    }

    [Fact]
    public void Locks_are_those_of_a_list()
    {
        var one = from unlock in Gen.Elements(false, false, true)
                  from start in Gen.Choose(0, 12)
                  from length in Gen.Choose(0, 5)
                  from exclusive in Gen.Elements(false, true)
                  from owner in Gen.Choose(1, 2)
                  select (unlock, start, length, exclusive, owner);
        Prop.ForAll(one.ArrayOf().ToArbitrary(), steps =>
        {
            var locks = new FileLocks();
            var model = new List<FileLockRange>();
            foreach ((bool unlock, int start, int length, bool exclusive, int owner) in steps)
            {
                var who = new LockOwner(new Va((ulong)owner), default, 0);
                var range = new FileLockRange((ulong)start, (ulong)length, exclusive, who);
                if (unlock)
                {
                    FileLockRange? held = model.Where(h => h.Start == range.Start && h.Length == range.Length
                        && h.Owner == who).OrderBy(h => !h.Exclusive).FirstOrDefault();
                    if ((locks.Unlock(range.Start, range.Length, who) is null) != held is null) return false;
                    if (held is not null) model.Remove(held);
                    continue;
                }
                bool free = model.All(h => !Touch(h, start, length)
                    || !exclusive && (!h.Exclusive || h.Owner == who));
                if (locks.TryLock(range) != free) return false;
                if (free) model.Add(range);
                if (length > 0 && locks.MayRead(range.Start, range.Length, who)
                    != model.All(h => !h.Exclusive || h.Owner == who || !Touch(h, start, length))) return false;
            }
            return locks.Held.Count == model.Count;
        }).Check(Config.QuickThrowOnFailure.WithMaxTest(500).WithReplay(1, 3));
    }

    // By bytes; a lock of no length is between two of them.
    static bool Touch(FileLockRange held, int start, int length)
    {
        int a = (int)held.Start, n = (int)held.Length;
        if (n == 0) return length > 0 && start < a && a < start + length;
        if (length == 0) return a < start && start < a + n;
        return Enumerable.Range(a, n).Intersect(Enumerable.Range(start, length)).Any();
    }

    [Fact]
    [Rule("15.2"), Rule("15.4")]
    public void A_batch_oplock_is_broken_by_a_reader_who_waits_until_that_is_acknowledged()
    {
        using var m = new TestMachine();
        Va oplock = m.Block(8);
        (FileObject a, FileObject b) = (File(m), File(m));
        m.Nt.FsRtlInitializeOplock(oplock);
        Assert.True(m.Nt.FsRtlOplockIsFastIoPossible(oplock));
        Irp batch = Request(m, IrpMajor.IRP_MJ_FILE_SYSTEM_CONTROL, a, p3: 0x9_0008);
        Va broken = batch.UserIosb;
        Assert.Equal(STATUS_PENDING, m.Nt.FsRtlOplockFsctrl(oplock, batch, 1));
        Assert.True(m.Nt.FsRtlCurrentBatchOplock(oplock) && m.Nt.FsRtlCurrentOplockH(oplock));
        Assert.True(m.Nt.FsRtlCurrentOplock(oplock) && !m.Nt.FsRtlOplockIsFastIoPossible(oplock));
        Irp own = Request(m, IrpMajor.IRP_MJ_WRITE, a), read = Request(m, IrpMajor.IRP_MJ_READ, b);
        Assert.Equal(STATUS_SUCCESS, m.Nt.FsRtlCheckOplock(oplock, own, default, default, default));
        int posted = 0, resumed = 0;
        Va post = m.Routine(_ => (ulong)++posted), resume = m.Routine(_ => (ulong)++resumed);
        Assert.Equal(STATUS_OPLOCK_BREAK_IN_PROGRESS,
            m.Nt.FsRtlCheckOplockEx(oplock, read, 1, default, resume, post));
        Assert.Equal((STATUS_SUCCESS, 7UL), (Result(m, broken).Status, Result(m, broken).Information));
        Assert.Equal(STATUS_PENDING, m.Nt.FsRtlCheckOplock(oplock, read, default, resume, post));
        Assert.Equal((1, 0), (posted, resumed));
        Irp acknowledge = Request(m, IrpMajor.IRP_MJ_FILE_SYSTEM_CONTROL, a, p3: 0x9_000C);
        Va second = acknowledge.UserIosb;
        Assert.Equal(STATUS_PENDING, m.Nt.FsRtlOplockFsctrl(oplock, acknowledge, 0));
        Assert.Equal(1, resumed);
        Irp write = Request(m, IrpMajor.IRP_MJ_WRITE, b);
        Assert.Equal(STATUS_SUCCESS, m.Nt.FsRtlCheckOplock(oplock, write, default, resume, post));
        Assert.Equal(8UL, Result(m, second).Information);
        Assert.False(m.Nt.FsRtlCurrentOplock(oplock));
        Irp two = Request(m, IrpMajor.IRP_MJ_FILE_SYSTEM_CONTROL, a, p3: 0x9_0004);
        Assert.True(m.Nt.FsRtlOplockIsSharedRequest(two));
        Assert.Equal(STATUS_PENDING, m.Nt.FsRtlOplockFsctrl(oplock, two, 0));
        Assert.Equal(STATUS_SUCCESS, m.Nt.FsRtlOplockBreakH(oplock, write, 0, default, resume, post));
        m.Nt.FsRtlUninitializeOplock(oplock);
        Assert.Equal(Va.Null, m.Read<Va>(oplock));
    }

    static AnsiString Name(TestMachine m, string text)
    {
        UnicodeString made = m.Text(text);
        return AnsiString.At(m.Nt.Memory, made.Address);
    }

    [Fact]
    [Rule("16.9")]
    public void Who_watches_a_directory_learns_what_changes_in_it()
    {
        using var m = new TestMachine();
        Va sync = m.Block(8);
        m.Nt.FsRtlNotifyInitializeSync(sync);
        Va at = m.Read<Va>(sync);
        ListEntry list = ListEntry.At(m.Nt.Memory, m.Block(16));
        list.Initialize();
        AnsiString none = AnsiString.At(m.Nt.Memory, Va.Null);
        SubjectContext nobody = SubjectContext.At(m.Nt.Memory, Va.Null);
        FileObject file = File(m);
        Irp Watch(bool tree)
        {
            Irp irp = Request(m, IrpMajor.IRP_MJ_DIRECTORY_CONTROL, file, 256);
            irp.UserBuffer = m.Block(256);
            m.Nt.FsRtlNotifyFullChangeDirectory(
                at, list, file.Address, Name(m, @"\dir"), tree, false, 1, irp, default, nobody);
            return irp;
        }
        void Report(string path, int offset) => m.Nt.FsRtlNotifyFullReportChange(
            at, list, Name(m, path), (ushort)(offset * 2), none, none, 1, 3, default);
        Irp first = Watch(true);
        (Va iosb, Va buffer) = (first.UserIosb, first.UserBuffer);
        Report(@"\other\a", 7);
        Report(@"\dir\sub\a", 9);
        Assert.Equal((STATUS_SUCCESS, 22UL), (Result(m, iosb).Status, Result(m, iosb).Information - 0));
        Assert.Equal(@"sub\a", System.Text.Encoding.Unicode.GetString(m.Nt.Memory.ReadBytes(buffer + 12, 10)));
        Report(@"\dir\b", 5);
        Report(@"\dir\c", 5);
        Irp second = Watch(true);
        _ = second;
        Irp third = Watch(true);
        Va ended = third.UserIosb;
        m.Nt.FsRtlNotifyFilterReportChange(at, list, Name(m, @"\nowhere\x"), 18, none, none, 1, 3, default, default);
        m.Nt.FsRtlNotifyCleanup(at, list, file.Address);
        Assert.Equal(STATUS_NOTIFY_CLEANUP, Result(m, ended).Status);
        Irp filtered = Request(m, IrpMajor.IRP_MJ_DIRECTORY_CONTROL, file, 256);
        Va all = filtered.UserIosb;
        m.Nt.FsRtlNotifyFilterChangeDirectory(
            at, list, file.Address, Name(m, @"\"), false, true, 1, filtered, default, nobody, default);
        m.Nt.FsRtlNotifyCleanupAll(at, list);
        Assert.Equal(STATUS_NOTIFY_CLEANUP, Result(m, all).Status);
        m.Nt.FsRtlNotifyUninitializeSync(sync);
        Assert.Equal(STATUS_INVALID_PARAMETER, m.Nt.FsRtlNotifyVolumeEvent(file, 1));
    }
}
