using System.Text;
using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>What an open asks for, and what a file system makes of it; where a rename leads.</summary>
public sealed class IoOpenRuleTests
{
    const uint Supersede = 0, Open = 1, Create = 2, OpenIf = 3, Overwrite = 4, OverwriteIf = 5;
    const uint DirectoryFile = 1, DeleteOnClose = 0x1000, Delete = 0x1_0000, Synchronize = 0x10_0000;
    const ulong Superseded = 0, Opened = 1, Created = 2, Overwritten = 3;

    /// <summary>A file system that keeps nothing but names, and whose files may be deleted.</summary>
    sealed class Names
    {
        readonly TestMachine _m;
        readonly ShareAccess _shares;

        public Names(TestMachine m)
        {
            _m = m;
            _shares = ShareAccess.At(m.Nt.Memory, m.Block(ShareAccess.Size));
            m.Dispatching("Names", (_, irp) => Dispatch(irp));
        }

        public HashSet<string> There { get; } = [];
        public List<uint> Dispositions { get; } = [];

        NtStatus Dispatch(Irp irp)
        {
            IoStackLocation at = irp.CurrentStackLocation;
            FileObject file = at.FileObject;
            if (at.MajorFunction == IRP_MJ_CREATE) return OpenName(irp, at);
            if (at.MajorFunction == IRP_MJ_CLEANUP)
            {
                if (file.DeletePending) There.Remove(file.FileName.Text);
                _m.Nt.IoRemoveShareAccess(file, _shares);
            }
            return _m.Complete(irp, STATUS_SUCCESS);
        }

        NtStatus OpenName(Irp irp, IoStackLocation at)
        {
            FileObject file = at.FileObject;
            uint how = (uint)at.Parameter2 >> 24, access = _m.U32(new Va(at.Parameter1) + 0x10);
            Dispositions.Add(how);
            bool isThere = There.Contains(file.FileName.Text);
            if (isThere && how == Create) return _m.Complete(irp, STATUS_OBJECT_NAME_COLLISION);
            if (!isThere && how is Open or Overwrite) return _m.Complete(irp, STATUS_OBJECT_NAME_NOT_FOUND);
            NtStatus may = _m.Nt.IoCheckShareAccess(access, (uint)at.Parameter3 >> 16, file, _shares, true);
            if (!may.IsSuccess) return _m.Complete(irp, may);
            There.Add(file.FileName.Text);
            file.DeletePending = (at.Parameter2 & DeleteOnClose) != 0;
            return _m.Complete(irp, STATUS_SUCCESS, !isThere ? Created
                : how switch { Supersede => Superseded, Overwrite or OverwriteIf => Overwritten, _ => Opened });
        }
    }

    static (NtStatus Status, ulong Information) TryOpen(TestMachine m, string path, uint disposition, uint options = 0,
        uint access = 1, uint share = 7)
    {
        Va handle = m.Block(8), iosb = m.Block(16);
        NtStatus status = m.Nt.ZwCreateFile(handle, access | Synchronize, m.Named(path, 0x240), iosb, Va.Null, 0, share,
            disposition, options, Va.Null, 0);
        if (status.IsSuccess) m.Nt.ZwClose(m.Read<Handle>(handle));
        return (status, m.Read<IoStatusBlock>(iosb).Information);
    }

    [Theory, Rule("5.12")]
    [InlineData(Supersede, Superseded, Created), InlineData(Open, Opened, null), InlineData(Create, null, Created)]
    [InlineData(OpenIf, Opened, Created), InlineData(Overwrite, Overwritten, null)]
    [InlineData(OverwriteIf, Overwritten, Created)]
    public void A_disposition_says_what_to_do_with_a_file_that_is_there_and_with_one_that_is_not(
        uint disposition, ulong? there, ulong? missing)
    {
        using var m = new TestMachine();
        var fs = new Names(m);
        fs.There.Add(@"\old");
        (NtStatus, ulong) collides = (STATUS_OBJECT_NAME_COLLISION, 0), notFound = (STATUS_OBJECT_NAME_NOT_FOUND, 0);
        Assert.Equal(there is { } a ? (STATUS_SUCCESS, a) : collides, TryOpen(m, @"\Device\Names\old", disposition));
        Assert.Equal(missing is { } b ? (STATUS_SUCCESS, b) : notFound,
            TryOpen(m, @"\Device\Names\new", disposition));
        Assert.Equal([disposition, disposition], fs.Dispositions);
        Assert.Equal(STATUS_INVALID_PARAMETER, TryOpen(m, @"\Device\Names\old", 6).Status);
        Assert.Equal(2, fs.Dispositions.Count);
    }

    [Fact, Rule("5.12")]
    public void The_dispositions_of_Win32_are_those_of_NT()
    {
        using var m = new TestMachine();
        var fs = new Names(m);
        for (uint win32 = 1; win32 <= 5; win32++)
            m.Nt.User.Win32.CreateFile(@"\Device\Names\x", disposition: win32, access: 0x8000_0000);
        Assert.Equal([Create, OverwriteIf, Open, OpenIf, Overwrite], fs.Dispositions);
    }

    [Fact, Rule("5.13")]
    public void Directories_are_not_overwritten_and_who_deletes_at_the_end_needs_the_right()
    {
        using var m = new TestMachine();
        var fs = new Names(m);
        foreach (uint disposition in (uint[])[Supersede, Overwrite, OverwriteIf])
            Assert.Equal(STATUS_INVALID_PARAMETER,
                TryOpen(m, @"\Device\Names\d", disposition, DirectoryFile).Status);
        Assert.Equal(STATUS_INVALID_PARAMETER, TryOpen(m, @"\Device\Names\d", OpenIf, DeleteOnClose).Status);
        Assert.Empty(fs.Dispositions);
        foreach (uint disposition in (uint[])[Create, Open, OpenIf])
            Assert.Equal(STATUS_SUCCESS, TryOpen(m, @"\Device\Names\d", disposition, DirectoryFile).Status);
        Assert.Contains(@"\d", fs.There);
        Assert.Equal(STATUS_SUCCESS, TryOpen(m, @"\Device\Names\d", Open, DeleteOnClose, Delete).Status);
        Assert.DoesNotContain(@"\d", fs.There);
    }

    [Theory, Rule("5.11", Hypothesis = true)]
    [InlineData(1u, 3u, Delete, 7u, false), InlineData(1u, 7u, Delete, 7u, true)]
    [InlineData(Delete, 7u, 1u, 3u, false), InlineData(Delete, 7u, 1u, 7u, true)]
    [InlineData(0x80u, 0u, Delete, 7u, true)]
    public void Who_wants_to_delete_or_rename_needs_all_openers_to_share_it(
        uint first, uint firstShare, uint second, uint secondShare, bool may)
    {
        using var m = new TestMachine();
        _ = new Names(m);
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwCreateFile(m.Block(8), first | Synchronize,
            m.Named(@"\Device\Names\x", 0x240), m.Block(16), Va.Null, 0, firstShare, OpenIf, 0, Va.Null, 0));
        Assert.Equal(may ? STATUS_SUCCESS : STATUS_SHARING_VIOLATION,
            TryOpen(m, @"\Device\Names\x", Open, access: second, share: secondShare).Status);
    }

    [Fact, Rule("5.14", Hypothesis = true)]
    public void What_is_left_of_a_name_behind_the_devices_is_the_files()
    {
        using var m = new TestMachine();
        var seen = new List<(string Name, Va Related)>();
        m.Dispatching("N", (_, irp) =>
        {
            IoStackLocation at = irp.CurrentStackLocation;
            if (at.MajorFunction != IRP_MJ_CREATE) return m.Complete(irp, STATUS_SUCCESS);
            UnicodeString name = at.FileObject.FileName;
            seen.Add((name.Length == 0 ? "" : name.Text, at.FileObject.RelatedFileObject.Address));
            return m.Complete(irp, STATUS_SUCCESS);
        });
        m.Nt.IoCreateSymbolicLink(m.Text(@"\??\N:"), m.Text(@"\Device\N"));
        foreach (string path in (string[])[@"\Device\N", @"\Device\N\", @"\Device\N\a\B", @"\??\N:\x", @"\??\n:"])
            m.OpenFile(path);
        Assert.Equal(["", @"\", @"\a\B", @"\x", ""], seen.Select(s => s.Name));
        Assert.All(seen, s => Assert.True(s.Related.IsNull));
        Handle parent = m.OpenFile(@"\Device\N\dir");
        Assert.Equal(STATUS_SUCCESS,
            m.Nt.ZwOpenFile(m.Block(8), 0x10_0001, m.Attributes("below", root: parent), m.Block(16), 7, 0x20));
        Assert.Equal(("below", m.FileOf(parent).Address), seen[^1]);
    }

    /// <summary>A volume that notes creates of target directories and what is set.</summary>
    sealed class Volume
    {
        public Volume(TestMachine m, string name, bool isDirectory = false, NtStatus target = default) =>
            m.Dispatching(name, (_, irp) =>
            {
                IoStackLocation at = irp.CurrentStackLocation;
                bool isTarget = at.MajorFunction == IRP_MJ_CREATE && (at.Flags & 4) != 0;
                if (isTarget) Targets.Add((at.FileObject.FileName.Text, m.U32(new Va(at.Parameter1) + 0x10)));
                if (at.MajorFunction == IRP_MJ_QUERY_INFORMATION)
                    m.Nt.Memory.Write(irp.SystemBuffer + 0x20, isDirectory ? 0x10u : 0x80u);
                if (at.MajorFunction == IRP_MJ_SET_INFORMATION)
                    Sets.Add((at.Parameter3 == 0 ? ""
                        : FileObject.At(m.Nt.Memory, new Va(at.Parameter3)).FileName.Text, (byte)at.Parameter4));
                if (at.MajorFunction is IRP_MJ_CLEANUP or IRP_MJ_CLOSE)
                    Ends.Add((at.MajorFunction, at.FileObject.FileName.Text));
                return m.Complete(irp, isTarget ? target : STATUS_SUCCESS,
                    at.MajorFunction == IRP_MJ_QUERY_INFORMATION ? 0x28UL : 0);
            });

        public List<(string Name, uint Access)> Targets { get; } = [];
        public List<(string Target, byte Replaces)> Sets { get; } = [];
        public List<(IrpMajor Major, string Name)> Ends { get; } = [];
    }

    /// <summary>FILE_RENAME_INFORMATION, which is FILE_LINK_INFORMATION, too.</summary>
    static NtStatus Rename(TestMachine m, Handle file, string name, uint kind = 10, Handle root = default)
    {
        byte[] bytes = Encoding.Unicode.GetBytes(name);
        Va buffer = m.Block(0x18 + bytes.Length);
        m.Nt.Memory.Write(buffer, (byte)1);
        m.Nt.Memory.Write(buffer + 8, root);
        m.Nt.Memory.Write(buffer + 0x10, bytes.Length);
        m.Nt.Memory.Write(buffer + 0x14, bytes);
        return m.Nt.ZwSetInformationFile(file, m.Block(16), buffer, (uint)(0x18 + bytes.Length), kind);
    }

    [Theory, Rule("14.10"), InlineData(10u, false, 2u), InlineData(11u, false, 2u), InlineData(10u, true, 4u)]
    public void The_target_directory_of_a_rename_or_link_is_opened_before_the_driver_is_asked(
        uint kind, bool isDirectory, uint right)
    {
        using var m = new TestMachine();
        var volume = new Volume(m, "Vol", isDirectory);
        Handle file = m.OpenFile(@"\Device\Vol\a", access: 0x11_0000);
        Assert.Equal(STATUS_SUCCESS, Rename(m, file, @"\Device\Vol\dir\b", kind));
        Assert.Equal([(@"\dir\b", right | Synchronize)], volume.Targets);
        Assert.Equal([(@"\dir\b", (byte)1)], volume.Sets);
        Assert.Equal([(IRP_MJ_CLEANUP, @"\dir\b"), (IRP_MJ_CLOSE, @"\dir\b")], volume.Ends);
        Handle dir = m.OpenFile(@"\Device\Vol\other");
        Assert.Equal(STATUS_SUCCESS, Rename(m, file, "c", kind, dir));
        Assert.Equal("c", volume.Sets[^1].Target);
        // In the same directory there is nothing to open.
        Assert.Equal(STATUS_SUCCESS, Rename(m, file, "d", kind));
        Assert.Equal((2, ""), (volume.Targets.Count, volume.Sets[^1].Target));
    }

    [Fact, Rule("14.10")]
    public void A_target_that_cannot_be_opened_or_lies_elsewhere_ends_the_rename()
    {
        using var m = new TestMachine();
        var volume = new Volume(m, "Vol", target: STATUS_OBJECT_PATH_NOT_FOUND);
        _ = new Volume(m, "Else");
        Handle file = m.OpenFile(@"\Device\Vol\a", access: 0x11_0000);
        Assert.Equal(STATUS_OBJECT_PATH_NOT_FOUND, Rename(m, file, @"\Device\Vol\no\b"));
        Assert.Equal(STATUS_NOT_SAME_DEVICE, Rename(m, file, @"\Device\Else\b"));
        Assert.Equal(STATUS_OBJECT_PATH_NOT_FOUND, Rename(m, file, @"\Device\Nowhere\b"));
        Va wrong = m.Block(0x20);
        foreach (uint bytes in (uint[])[0, 3, 0x20, 0xFFFF_FFFE])
        {
            m.Nt.Memory.Write(wrong + 0x10, bytes);
            Assert.Equal(STATUS_INVALID_PARAMETER, m.Nt.ZwSetInformationFile(file, m.Block(16), wrong, 0x18, 10));
        }
        Assert.Empty(volume.Sets);
    }

    /// <summary>Does not want to be loaded.</summary>
    sealed class Refuses : NtDriver
    {
        public override NtStatus DriverEntry(DriverObject driverObject, UnicodeString registryPath) =>
            STATUS_NO_SUCH_DEVICE;
    }

    [Fact]
    public void A_driver_whose_entry_point_fails_leaves_no_name()
    {
        using var m = new TestMachine();
        Driver driver = m.Load(new Refuses());
        Assert.Equal((STATUS_NO_SUCH_DEVICE, false), (driver.EntryStatus, driver.IsLoaded));
        Assert.Null(m.Nt.Ob.Find(driver.Object.Address)?.Parent);
    }

    [Fact, Rule("6.11"), Rule("3.16")]
    public void Closing_cancels_nothing_and_the_file_lives_as_long_as_its_requests()
    {
        using var m = new TestMachine();
        var keeper = new Keeper(m);
        UserFile file = m.Open(keeper.Path);
        UserRequest read = file.Read(8);
        Assert.Equal(STATUS_SUCCESS, file.Close());
        Assert.False(read.IsComplete);
        Assert.Equal([IRP_MJ_CREATE, IRP_MJ_READ, IRP_MJ_CLEANUP], keeper.Seen);
        Assert.False(keeper.Kept[0].Cancel);
        keeper.Complete();
        m.RunOthers();
        Assert.Equal((STATUS_SUCCESS, IRP_MJ_CLOSE), (read.Status, keeper.Seen[^1]));
    }

    [Fact, Rule("3.16")]
    public void The_end_of_the_program_cancels_what_the_driver_has_kept_over_cleanup()
    {
        using var m = new TestMachine();
        var keeper = new Keeper(m);
        UserFile file = m.Open(keeper.Path);
        UserRequest read = file.Read(8);
        file.Close();
        m.Nt.User.CancelPending();
        Assert.Equal((STATUS_CANCELLED, IRP_MJ_CLOSE), (read.Status, keeper.Seen[^1]));
    }
}
