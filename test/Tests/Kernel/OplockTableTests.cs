using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;
using static Ringdown.Tests.FsRtlRequestTests;

namespace Ringdown.Tests;

/// <summary>The oplock package, held against the table of what breaks what.</summary>
public sealed class OplockTableTests
{
    static readonly string[] s_kinds = ["1", "2", "Batch", "Filter", "R", "RH", "RW", "RWH"];
    static readonly string[] s_levels = ["None", "R", "H", "RH", "W", "RW", "HW", "RWH"];
    static readonly NtStatus s_waiting = new(0x7777_7777);
    const uint Acknowledge = 0x9_000C, Overwrite = 5u << 24, ReserveFilter = 0x10_0000;

    sealed class Stream(TestMachine m)
    {
        public Va Oplock { get; } = m.Block(8);
        public Dictionary<FileObject, (Va Iosb, Va Buffer)> Asked { get; } = [];

        /// <summary>Asks for an oplock.</summary>
        public NtStatus Request(string kind, FileObject file, uint openCount = 1)
        {
            int level = Array.IndexOf(s_levels, kind);
            uint code = kind switch
            {
                "1" => 0x9_0000,
                "2" => 0x9_0004,
                "Batch" => 0x9_0008,
                "Filter" => 0x9_005C,
                _ => 0x9_0240,
            };
            Irp irp = FsRtlRequestTests.Request(m, IRP_MJ_FILE_SYSTEM_CONTROL, file, 24, 12, code);
            irp.SystemBuffer = m.Block(24);
            m.Nt.Memory.Write(irp.SystemBuffer, 1u | 12u << 16);
            m.Nt.Memory.Write(irp.SystemBuffer + 4, level);
            m.Nt.Memory.Write(irp.SystemBuffer + 8, 1u);
            m.Nt.Memory.Write(irp.UserIosb, new IoStatusBlock(s_waiting, 0));
            Asked[file] = (irp.UserIosb, irp.SystemBuffer);
            return m.Nt.FsRtlOplockFsctrl(Oplock, irp, kind == "2" ? 0 : openCount);
        }

        public FileObject Holding(string kind)
        {
            FileObject file = File(m);
            Assert.Equal(STATUS_PENDING, Request(kind, file));
            return file;
        }

        public IoStatusBlock ResultOf(FileObject file) => m.Read<IoStatusBlock>(Asked[file].Iosb);

        /// <summary>To which level a holder's oplock was broken; - if it was not.</summary>
        public string Level(string kind, FileObject file)
        {
            IoStatusBlock result = ResultOf(file);
            if (result.Status == s_waiting) return "-";
            if (kind.Length > 0 && !kind.StartsWith('R'))
                return result.Information switch { 7 => "2", 8 => "None", var other => $"{other}" };
            return s_levels[m.U32(Asked[file].Buffer + 8)];
        }

        /// <summary>The holder says that it has given up all.</summary>
        public NtStatus Give(string kind, FileObject file)
        {
            uint code = kind.StartsWith('R') ? 0x9_0240 : Acknowledge;
            Irp irp = FsRtlRequestTests.Request(m, IRP_MJ_FILE_SYSTEM_CONTROL, file, 24, 12, code);
            irp.SystemBuffer = m.Block(24);
            m.Nt.Memory.Write(irp.SystemBuffer + 8, 2u);
            return m.Nt.FsRtlOplockFsctrl(Oplock, irp, 1);
        }
    }

    static Irp Create(TestMachine m, FileObject file, uint access, uint options, uint share = 7)
    {
        Va context = m.Block(0x18);
        m.Nt.Memory.Write(context + 0x10, access);
        return Request(m, IRP_MJ_CREATE, file, context.Value, options, share << 16);
    }

    static Irp Set(TestMachine m, FileObject file, uint kind)
    {
        Irp irp = Request(m, IRP_MJ_SET_INFORMATION, file, 1, kind);
        irp.SystemBuffer = m.Variable(1);
        return irp;
    }

    static Irp Paging(Irp irp)
    {
        irp.Flags |= 2;
        return irp;
    }

    static Irp Operation(TestMachine m, string operation, FileObject file) => operation switch
    {
        "open" => Create(m, file, 3, 1 << 24),
        "open without sharing" => Create(m, file, 3, 1 << 24, share: 0),
        "open to read without sharing" => Create(m, file, 1, 1 << 24, share: 0),
        "open attributes" => Create(m, file, 0x10_0180, 1 << 24),
        "open attributes and a filter" => Create(m, file, 0x10_0180, 1 << 24 | ReserveFilter),
        "overwrite" => Create(m, file, 3, Overwrite),
        "read" => Request(m, IRP_MJ_READ, file),
        "write" => Request(m, IRP_MJ_WRITE, file),
        "paging write" => Paging(Request(m, IRP_MJ_WRITE, file)),
        "zero" => Request(m, IRP_MJ_FILE_SYSTEM_CONTROL, file, p3: 0x980C8),
        "size" => Set(m, file, 20),
        "lock" => Request(m, IRP_MJ_LOCK_CONTROL, file),
        "rename" => Set(m, file, 10),
        "link" => Set(m, file, 11),
        "delete" => Set(m, file, 13),
        "times" => Set(m, file, 4),
        _ => throw new ArgumentException(operation),
    };

    /// <summary>A cell: the level; * if the operation waits for the acknowledgment, + if one is due and nobody
    /// waits.</summary>
    [Theory, Rule("15.T1"), Rule("15.6"), Rule("15.2")]
    [InlineData("open", "2* - 2* - - - R* RH*")]
    [InlineData("open without sharing", "2* - 2* None* - - R* RH*")]
    [InlineData("open to read without sharing", "2* - 2* - - - R* RH*")]
    [InlineData("open attributes", "- - - - - - - -")]
    [InlineData("open attributes and a filter", "None* None None* - None None+ None* None*")]
    [InlineData("overwrite", "None* None None* - None None+ None* None*")]
    [InlineData("read", "2* - 2* - - - R* RH*")]
    [InlineData("write", "None* None None* None* None None+ None* None*")]
    [InlineData("paging write", "- - - - - - - -")]
    [InlineData("zero", "None* None None* None* None None+ None* None*")]
    [InlineData("size", "None* None None* None* None None+ None* None*")]
    [InlineData("lock", "None* None None* - None None+ None* None+")]
    [InlineData("rename", "- - None* None* - R* - RW*")]
    [InlineData("link", "- - None* None* - R* - RW*")]
    [InlineData("delete", "- - - - - R* - RW*")]
    [InlineData("times", "- - - - - - - -")]
    public void An_operation_breaks_what_the_table_says(string operation, string expected)
    {
        var row = new List<string>();
        foreach (string kind in s_kinds)
        {
            using var m = new TestMachine();
            var stream = new Stream(m);
            FileObject holder = stream.Holding(kind);
            int resumed = 0;
            NtStatus status = m.Nt.FsRtlCheckOplock(stream.Oplock, Operation(m, operation, File(m)), default,
                m.Routine(_ => (ulong)++resumed), default);
            Assert.Equal(0, resumed);
            string level = stream.Level(kind, holder);
            bool isDue = stream.Give(kind, holder) != STATUS_INVALID_OPLOCK_PROTOCOL;
            Assert.Equal(status == STATUS_PENDING ? 1 : 0, resumed);
            row.Add(level + (status == STATUS_PENDING ? "*" : isDue ? "+" : ""));
        }
        Assert.Equal(expected, string.Join(' ', row));
    }

    [Fact, Rule("15.T1")]
    public void A_sharing_conflict_breaks_handles_and_waits()
    {
        foreach ((string kind, string to) in new[] { ("R", "-"), ("RH", "R"), ("RW", "-"), ("RWH", "RW") })
        {
            using var m = new TestMachine();
            var stream = new Stream(m);
            FileObject holder = stream.Holding(kind);
            NtStatus status = m.Nt.FsRtlOplockBreakH(stream.Oplock, Operation(m, "open", File(m)), 0, default,
                m.Routine(_ => 0), default);
            Assert.Equal((kind, to, to != "-"), (kind, stream.Level(kind, holder), status == STATUS_PENDING));
        }
    }

    [Fact, Rule("15.T1"), Rule("15.7")]
    public void Closing_the_handle_ends_an_oplock_and_acknowledges_a_break()
    {
        foreach (string kind in s_kinds)
        {
            using var m = new TestMachine();
            var stream = new Stream(m);
            FileObject holder = stream.Holding(kind);
            Assert.Equal(STATUS_INVALID_OPLOCK_PROTOCOL, stream.Give(kind, holder));
            FileObject other = File(m);
            m.Nt.FsRtlCheckOplock(stream.Oplock, Request(m, IRP_MJ_CLEANUP, other), default, default, default);
            Assert.Equal("-", stream.Level(kind, holder));
            m.Nt.FsRtlCheckOplock(stream.Oplock, Request(m, IRP_MJ_CLEANUP, holder), default, default, default);
            Assert.Equal("None", stream.Level(kind, holder));
            bool isCache = kind.StartsWith('R');
            Assert.Equal(isCache ? STATUS_OPLOCK_HANDLE_CLOSED : STATUS_SUCCESS, stream.ResultOf(holder).Status);
            Assert.False(m.Nt.FsRtlCurrentOplock(stream.Oplock));
        }
        using var again = new TestMachine();
        var broken = new Stream(again);
        FileObject owner = broken.Holding("Batch");
        int resumed = 0;
        Assert.Equal(STATUS_PENDING, again.Nt.FsRtlCheckOplock(broken.Oplock, Operation(again, "read", File(again)),
            default, again.Routine(_ => (ulong)++resumed), default));
        again.Nt.FsRtlCheckOplock(broken.Oplock, Request(again, IRP_MJ_CLEANUP, owner), default, default, default);
        Assert.Equal(1, resumed);
    }

    [Fact, Rule("15.1")]
    public void An_exclusive_oplock_is_granted_to_the_only_opener_and_shared_ones_to_all_who_share()
    {
        foreach (string kind in s_kinds)
        {
            using var m = new TestMachine();
            var stream = new Stream(m);
            bool isShared = kind is "2" or "R" or "RH";
            NtStatus many = isShared ? STATUS_PENDING : STATUS_OPLOCK_NOT_GRANTED;
            Assert.Equal((kind, many), (kind, stream.Request(kind, File(m), openCount: 2)));
            var alone = new Stream(m);
            FileObject holder = alone.Holding(kind);
            Assert.Equal((kind, many), (kind, alone.Request(kind, File(m))));
            Assert.Equal((kind, many), (kind, alone.Request("R", File(m))));
            Assert.Equal((kind, STATUS_OPLOCK_NOT_GRANTED), (kind, alone.Request("RWH", File(m))));
            Assert.Equal("-", alone.Level(kind, holder));
        }
        using var n = new TestMachine();
        foreach (string unknown in (string[])["None", "H", "W", "HW"])
            Assert.Equal(STATUS_INVALID_PARAMETER, new Stream(n).Request(unknown, File(n)));
        FileObject synchronous = File(n);
        synchronous.Flags |= 2;
        Assert.Equal(STATUS_OPLOCK_NOT_GRANTED, new Stream(n).Request("R", synchronous));
    }

    [Fact, Rule("15.3")]
    public void What_its_owner_does_breaks_no_oplock_but_level_2()
    {
        foreach (string kind in s_kinds)
            foreach (string operation in (string[])["read", "write", "size", "lock", "rename"])
            {
                using var m = new TestMachine();
                var stream = new Stream(m);
                FileObject holder = stream.Holding(kind);
                NtStatus status = m.Nt.FsRtlCheckOplock(
                    stream.Oplock, Operation(m, operation, holder), default, m.Routine(_ => 0), default);
                string to = kind == "2" && operation is "write" or "size" or "lock" && kind == "2" ? "None" : "-";
                Assert.Equal((kind, operation, STATUS_SUCCESS, to),
                    (kind, operation, status, stream.Level(kind, holder)));
            }
    }

    [Fact, Rule("15.4")]
    public void Who_opens_requiring_an_oplock_breaks_none()
    {
        using var m = new TestMachine();
        var stream = new Stream(m);
        FileObject holder = stream.Holding("RWH");
        Irp irp = Create(m, File(m), 3, 1 << 24 | 0x1_0000);
        Assert.Equal(STATUS_CANNOT_BREAK_OPLOCK,
            m.Nt.FsRtlCheckOplock(stream.Oplock, irp, default, default, default));
        Assert.Equal("-", stream.Level("RWH", holder));
    }

    [Fact, Rule("15.2")]
    public void A_break_under_way_goes_further_down_and_the_acknowledgment_says_so()
    {
        using var m = new TestMachine();
        var stream = new Stream(m);
        FileObject holder = stream.Holding("Batch");
        int resumed = 0;
        Va resume = m.Routine(_ => (ulong)++resumed);
        foreach (string operation in (string[])["read", "write"])
            Assert.Equal(STATUS_PENDING, m.Nt.FsRtlCheckOplock(
                stream.Oplock, Operation(m, operation, File(m)), default, resume, default));
        Assert.Equal("2", stream.Level("Batch", holder));
        Irp acknowledge = Request(m, IRP_MJ_FILE_SYSTEM_CONTROL, holder, p3: Acknowledge);
        Va iosb = acknowledge.UserIosb;
        Assert.Equal(STATUS_SUCCESS, m.Nt.FsRtlOplockFsctrl(stream.Oplock, acknowledge, 0));
        Assert.Equal((8UL, 2), (m.Read<IoStatusBlock>(iosb).Information, resumed));
        Assert.False(m.Nt.FsRtlCurrentOplock(stream.Oplock));
    }

    /// <summary>A file system with one file: it breaks batch and filter oplocks, looks at sharing, and breaks the
    /// rest.</summary>
    static ShareAccess FileSystem(TestMachine m)
    {
        Va oplock = m.Block(8);
        ShareAccess shares = ShareAccess.At(m.Nt.Memory, m.Block(ShareAccess.Size));
        NtStatus Check(Irp irp) => m.Nt.FsRtlCheckOplock(oplock, irp, default, default, default);
        m.Dispatching("Fs", (_, irp) =>
        {
            IoStackLocation at = irp.CurrentStackLocation;
            if (at.MajorFunction == IRP_MJ_FILE_SYSTEM_CONTROL)
                return m.Nt.FsRtlOplockFsctrl(oplock, irp, shares.OpenCount);
            if (at.MajorFunction == IRP_MJ_CREATE)
            {
                if (m.Nt.FsRtlCurrentBatchOplock(oplock)) Check(irp);
                uint access = m.U32(new Va(at.Parameter1) + 0x10), share = (uint)at.Parameter3 >> 16;
                NtStatus may = m.Nt.IoCheckShareAccess(access, share, at.FileObject, shares, true);
                return m.Complete(irp, may.IsSuccess ? Check(irp) : may);
            }
            if (at.MajorFunction == IRP_MJ_CLEANUP)
            {
                m.Nt.IoRemoveShareAccess(at.FileObject, shares);
                Check(irp);
            }
            return m.Complete(irp, STATUS_SUCCESS);
        });
        return shares;
    }

    static NtStatus Open(TestMachine m, uint share, uint options, out Handle handle)
    {
        Va place = m.Block(8);
        NtStatus status = m.Nt.ZwOpenFile(
            place, 0x10_0003, m.Named(@"\Device\Fs\x", 0x240), m.Block(16), share, options);
        handle = m.Read<Handle>(place);
        return status;
    }

    [Theory, Rule("15.5"), InlineData(0x9_0008u, true), InlineData(0x9_005Cu, true), InlineData(0x9_0000u, false)]
    public void Batch_and_filter_oplocks_break_before_sharing_is_looked_at(uint code, bool breaks)
    {
        const uint completeIfOplocked = 0x100;
        using var m = new TestMachine();
        FileSystem(m);
        Assert.Equal(STATUS_SUCCESS, Open(m, 0, 0, out Handle first));
        Va iosb = m.Block(16);
        m.Nt.Memory.Write(iosb, new IoStatusBlock(s_waiting, 0));
        Assert.Equal(STATUS_PENDING, m.Nt.ZwFsControlFile(
            first, default, Va.Null, Va.Null, iosb, code, Va.Null, 0, Va.Null, 0));
        Assert.Equal(STATUS_SHARING_VIOLATION, Open(m, 0, completeIfOplocked, out _));
        Assert.Equal(breaks, m.StatusAt(iosb) != s_waiting);
        m.Nt.ZwClose(first);
        Assert.Equal(STATUS_SUCCESS, Open(m, 0, completeIfOplocked, out _));
    }

    [Fact, Rule("3.17")]
    public void A_synchronous_handle_gets_no_oplock()
    {
        const uint synchronous = 0x20;
        using var m = new TestMachine();
        FileSystem(m);
        Assert.Equal(STATUS_SUCCESS, Open(m, 7, synchronous, out Handle handle));
        foreach (uint code in (uint[])[0x9_0000, 0x9_0004, 0x9_0008, 0x9_005C])
            Assert.Equal(STATUS_OPLOCK_NOT_GRANTED, m.Nt.ZwFsControlFile(
                handle, default, Va.Null, Va.Null, m.Block(16), code, Va.Null, 0, Va.Null, 0));
    }
}
