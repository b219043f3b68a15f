using System.Text;
using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>Volumes are mounted, verified and opened on elsewhere.</summary>
public sealed class IoMountTests
{
    const uint Disk = 7, DiskFileSystem = 8;

    /// <summary>A file system; what it says to a mount, a verification, a load and an open is the test's.</summary>
    static DeviceObject FileSystem(TestMachine m, string name, Func<byte, NtStatus> control,
        Func<Irp, NtStatus>? create = null)
    {
        DriverObject? driver = null;
        DeviceObject fs = m.Dispatching(name, (_, irp) =>
        {
            IoStackLocation at = irp.CurrentStackLocation;
            if (at.MajorFunction == IRP_MJ_CREATE && create is not null) return create(irp);
            if (at.MajorFunction != IRP_MJ_FILE_SYSTEM_CONTROL) return m.Complete(irp, STATUS_SUCCESS);
            NtStatus status = control(at.MinorFunction);
            if (at.MinorFunction == 1 && status.IsSuccess)
            {
                Vpb vpb = Vpb.At(m.Nt.Memory, new Va(at.Parameter1));
                vpb.DeviceObject = m.Device(driver!.Value, "", DiskFileSystem);
            }
            return m.Complete(irp, status);
        }, DiskFileSystem);
        driver = fs.DriverObject;
        return fs;
    }

    static DeviceObject NewDisk(TestMachine m) =>
        m.Dispatching("Disk", (_, irp) => m.Complete(irp, STATUS_SUCCESS), Disk);

    static NtStatus TryOpen(TestMachine m, string path) =>
        m.Nt.ZwOpenFile(m.Block(8), 1, m.Named(path, 0x240), m.Block(16), 7, 0);

    [Fact, Rule("14.1")]
    public void The_last_file_system_that_came_is_asked_first_and_one_of_low_priority_last()
    {
        using var m = new TestMachine();
        var order = new List<string>();
        var told = new List<(Va, ulong)>();
        m.Nt.IoRegisterFsRegistrationChange(m.Driver("listener"), m.Routine(call =>
        {
            told.Add((new Va(call.Argument(0)), call.Argument(1)));
            return 0;
        }));
        DeviceObject[] all = [.. new[] { "Low", "A", "B" }.Select(name => FileSystem(m, name, _ =>
        {
            order.Add(name);
            return STATUS_UNRECOGNIZED_VOLUME;
        }))];
        all[0].Flags |= 0x1_0000;       // DO_LOW_PRIORITY_FILESYSTEM
        foreach (DeviceObject fs in all)
        {
            m.Nt.IoRegisterFileSystem(fs);
            Assert.Equal(1, fs.ReferenceCount);
        }
        NewDisk(m);
        Assert.Equal(STATUS_UNRECOGNIZED_VOLUME, TryOpen(m, @"\Device\Disk\x"));
        Assert.Equal(["B", "A", "Low"], order);
        Assert.Equal(all.Select(f => (f.Address, 1UL)), told);
        m.Nt.IoUnregisterFileSystem(all[1]);
        Assert.Equal(0, all[1].ReferenceCount);
        Assert.Equal((all[1].Address, 0UL), told[^1]);
    }

    [Fact, Rule("14.2"), Rule("14.4", Hypothesis = true)]
    public void A_recognizer_has_the_file_system_loaded_which_then_mounts_the_volume()
    {
        using var m = new TestMachine();
        var asked = new List<string>();
        DeviceObject recognizer = default, real = FileSystem(m, "Real", minor =>
        {
            asked.Add($"real {minor}");
            return STATUS_SUCCESS;
        });
        recognizer = FileSystem(m, "Recognizer", minor =>
        {
            asked.Add($"recognizer {minor}");
            if (minor == 1) return STATUS_FS_DRIVER_REQUIRED;
            m.Nt.IoUnregisterFileSystem(recognizer);
            m.Nt.IoRegisterFileSystem(real);
            return STATUS_SUCCESS;
        });
        m.Nt.IoRegisterFileSystem(recognizer);
        DeviceObject disk = NewDisk(m);
        Assert.Equal(STATUS_SUCCESS, TryOpen(m, @"\Device\Disk\x"));
        Assert.Equal(["recognizer 1", "recognizer 3", "real 1"], asked);
        Assert.True(disk.Vpb.Has(Vpb.Mounted));
        Assert.False(disk.Vpb.Has(Vpb.RawMount));
        Assert.Equal(disk.StackSize + 1, disk.Vpb.DeviceObject.StackSize);
        uint before = disk.Vpb.ReferenceCount;
        Handle file = m.OpenFile(@"\Device\Disk\y");
        Assert.Equal(before + 1, disk.Vpb.ReferenceCount);
        m.Nt.ZwClose(file);
        Assert.Equal(before, disk.Vpb.ReferenceCount);
    }

    [Fact, Rule("14.2")]
    public void A_failure_that_a_user_can_put_right_ends_the_search()
    {
        using var m = new TestMachine();
        bool asked = false;
        m.Nt.IoRegisterFileSystem(FileSystem(m, "Behind", _ =>
        {
            asked = true;
            return STATUS_SUCCESS;
        }));
        m.Nt.IoRegisterFileSystem(FileSystem(m, "First", _ => STATUS_NO_MEDIA_IN_DEVICE));
        NewDisk(m);
        Assert.Equal(STATUS_NO_MEDIA_IN_DEVICE, TryOpen(m, @"\Device\Disk\x"));
        Assert.False(asked);
    }

    [Fact, Rule("14.3")]
    public void What_nobody_recognizes_is_raw_for_who_opens_the_volume_itself()
    {
        using var m = new TestMachine();
        DeviceObject disk = NewDisk(m);
        Assert.Equal(STATUS_UNRECOGNIZED_VOLUME, TryOpen(m, @"\Device\Disk\x"));
        Assert.Equal(STATUS_UNRECOGNIZED_VOLUME, m.Nt.IoVerifyVolume(disk, false));
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoVerifyVolume(disk, true));
        Assert.True(disk.Vpb.Has(Vpb.RawMount));
        Assert.Equal(STATUS_SUCCESS, TryOpen(m, @"\Device\Disk"));
    }

    [Fact, Rule("14.5")]
    public void A_volume_that_is_another_one_is_mounted_anew_and_its_files_keep_the_old()
    {
        using var m = new TestMachine();
        int mounts = 0;
        NtStatus verdict = STATUS_SUCCESS;
        m.Nt.IoRegisterFileSystem(FileSystem(m, "Fs", minor =>
        {
            if (minor == 2) return verdict;
            mounts++;
            return STATUS_SUCCESS;
        }));
        DeviceObject disk = NewDisk(m);
        FileObject file = m.FileOf(m.OpenFile(@"\Device\Disk\x"));
        const uint DO_VERIFY_VOLUME = 2;
        disk.Flags |= DO_VERIFY_VOLUME;
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoVerifyVolume(disk, false));
        Assert.Equal((1, 0U), (mounts, disk.Flags & DO_VERIFY_VOLUME));
        Vpb old = disk.Vpb;
        verdict = STATUS_WRONG_VOLUME;
        Assert.Equal(STATUS_WRONG_VOLUME, m.Nt.IoVerifyVolume(disk, false));
        Assert.Equal(2, mounts);
        Assert.NotEqual(old, disk.Vpb);
        Assert.Equal(old, file.Vpb);
        Assert.Equal(old.DeviceObject, m.Nt.IoGetRelatedDeviceObject(file));
        Assert.Equal(disk.Vpb.DeviceObject,
            m.Nt.IoGetRelatedDeviceObject(m.FileOf(m.OpenFile(@"\Device\Disk\y"))));
    }

    [Fact]
    public void Who_registers_in_step_with_mounts_waits_for_those_that_are_under_way()
    {
        using var m = new TestMachine();
        var order = new List<string>();
        m.Nt.IoRegisterFileSystem(FileSystem(m, "Fs", _ =>
        {
            m.Thread(() =>
            {
                m.Nt.IoRegisterFsRegistrationChangeMountAware(m.Driver("listener"), m.Routine(_ => 0), true);
                order.Add("registered");
            });
            m.Pause();
            order.Add("mounted");
            return STATUS_SUCCESS;
        }));
        NewDisk(m);
        TryOpen(m, @"\Device\Disk\x");
        m.RunOthers();
        Assert.Equal(["mounted", "registered"], order);
    }

    [Fact]
    public void Two_who_open_a_volume_at_once_mount_it_once()
    {
        using var m = new TestMachine();
        int mounts = 0;
        m.Nt.IoRegisterFileSystem(FileSystem(m, "Fs", _ =>
        {
            mounts++;
            m.Pause();
            return STATUS_SUCCESS;
        }));
        NewDisk(m);
        var opened = new List<NtStatus>();
        for (int i = 0; i < 2; i++) m.Thread(() => opened.Add(TryOpen(m, @"\Device\Disk\x")));
        m.RunOthers();
        Assert.Equal([STATUS_SUCCESS, STATUS_SUCCESS], opened);
        Assert.Equal(1, mounts);
    }

    /// <summary>A device that answers opens with STATUS_REPARSE.</summary>
    static DeviceObject Reparsing(TestMachine m, string target, Func<string, ulong> tag, byte[]? data = null) =>
        m.Dispatching("Re", (_, irp) =>
        {
            IoStackLocation at = irp.CurrentStackLocation;
            if (at.MajorFunction != IRP_MJ_CREATE) return m.Complete(irp, STATUS_SUCCESS);
            FileObject file = at.FileObject;
            string name = file.FileName.Buffer.IsNull ? "" : file.FileName.Text;
            ulong information = tag(name);
            if (information == 0)
                m.Nt.IoReplaceFileObjectName(
                    file, m.Bytes(Encoding.Unicode.GetBytes(target)), (ushort)(target.Length * 2));
            if (data is not null)
            {
                irp.AuxiliaryBuffer = m.Block(data.Length);
                m.Nt.Memory.Write(irp.AuxiliaryBuffer, data);
            }
            return m.Complete(irp, STATUS_REPARSE, information);
        });

    [Fact, Rule("14.6")]
    public void STATUS_REPARSE_goes_on_with_the_new_name_and_the_first_driver_hears_no_more()
    {
        using var m = new TestMachine();
        var names = new List<string>();
        var seen = new List<IrpMajor>();
        m.Dispatching("To", (_, irp) =>
        {
            IoStackLocation at = irp.CurrentStackLocation;
            seen.Add(at.MajorFunction);
            if (at.MajorFunction == IRP_MJ_CREATE) names.Add(at.FileObject.FileName.Text);
            return m.Complete(irp, STATUS_SUCCESS, 1);
        });
        Reparsing(m, @"\Device\To\there", _ => 0);
        m.Nt.ZwClose(m.OpenFile(@"\Device\Re\here"));
        Assert.Equal([@"\there"], names);
        Assert.Equal([IRP_MJ_CREATE, IRP_MJ_CLEANUP, IRP_MJ_CLOSE], seen);
        Assert.Empty(m.Findings);
    }

    [Fact, Rule("14.6")]
    public void A_ring_of_reparses_ends()
    {
        using var m = new TestMachine();
        int opens = 0;
        Reparsing(m, @"\Device\Re\again", _ => (ulong)(opens++ & 0));
        Assert.Equal(STATUS_REPARSE_POINT_NOT_RESOLVED, TryOpen(m, @"\Device\Re\x"));
        Assert.Equal(33, opens);
    }

    [Fact, Rule("14.6")]
    public void A_tag_that_nobody_handles_fails_and_a_remount_is_tried_again()
    {
        using var m = new TestMachine();
        int opens = 0;
        Reparsing(m, "", _ => ++opens < 3 ? 1UL : 0x8000_0099);
        Assert.Equal(STATUS_IO_REPARSE_TAG_NOT_HANDLED, TryOpen(m, @"\Device\Re\x"));
        Assert.Equal(3, opens);
    }

    static byte[] ReparseData(uint tag, int unparsed, string target, bool isRelative = false)
    {
        byte[] path = Encoding.Unicode.GetBytes(target);
        int header = tag == 0xA000_000C ? 20 : 16;
        byte[] data = new byte[header + path.Length];
        BitConverter.TryWriteBytes(data, tag);
        BitConverter.TryWriteBytes(data.AsSpan(4), (ushort)(data.Length - 8));
        BitConverter.TryWriteBytes(data.AsSpan(6), (ushort)(unparsed * 2));
        BitConverter.TryWriteBytes(data.AsSpan(10), (ushort)path.Length);
        if (isRelative) data[16] = 1;
        path.CopyTo(data, header);
        return data;
    }

    [Theory, Rule("14.6")]
    [InlineData(0xA000_0003u, @"\Device\To\volume", false, @"\volume\rest")]
    [InlineData(0xA000_000Cu, @"\Device\To\link", false, @"\link\rest")]
    [InlineData(0xA000_000Cu, @"..\other", true, null)]
    public void Mount_points_and_symbolic_links_lead_to_their_target_and_what_is_left_of_the_name(
        uint tag, string target, bool isRelative, string? expected)
    {
        using var m = new TestMachine();
        var names = new List<string>();
        m.Dispatching("To", (_, irp) =>
        {
            IoStackLocation at = irp.CurrentStackLocation;
            if (at.MajorFunction == IRP_MJ_CREATE) names.Add(at.FileObject.FileName.Text);
            return m.Complete(irp, STATUS_SUCCESS);
        });
        var asked = new List<string>();
        Reparsing(m, "", name =>
        {
            asked.Add(name);
            return asked.Count > 1 ? 0x8000_0099 : tag;
        }, ReparseData(tag, @"\rest".Length, target, isRelative));
        NtStatus status = TryOpen(m, @"\Device\Re\a\b\rest");
        Assert.Equal(expected is null ? STATUS_IO_REPARSE_TAG_NOT_HANDLED : STATUS_SUCCESS, status);
        if (expected is not null) Assert.Equal([expected], names);
        else Assert.Equal([@"\a\b\rest", @"\other\rest"], asked);
    }

    [Fact, Rule("14.7")]
    public void STATUS_REPARSE_for_the_volume_itself_stops_the_machine()
    {
        using var m = new TestMachine();
        Reparsing(m, @"\Device\To", _ => 0);
        BugCheck stop = Assert.Throws<BugCheck>(() => TryOpen(m, @"\Device\Re"));
        Assert.Equal(BugCheckCode.DRIVER_RETURNED_STATUS_REPARSE_FOR_VOLUME_OPEN, stop.Code);
    }

    [Fact, Rule("14.8")]
    public void FILE_OPEN_REPARSE_POINT_reaches_the_driver_which_opens_the_point_itself()
    {
        using var m = new TestMachine();
        const uint FILE_OPEN_REPARSE_POINT = 0x20_0000;
        ulong options = 0;
        m.Dispatching("Point", (_, irp) =>
        {
            IoStackLocation at = irp.CurrentStackLocation;
            if (at.MajorFunction == IRP_MJ_CREATE) options = at.Parameter2;
            return m.Complete(irp, STATUS_SUCCESS);
        });
        m.OpenFile(@"\Device\Point\x", FILE_OPEN_REPARSE_POINT);
        Assert.Equal(FILE_OPEN_REPARSE_POINT, options & 0xFF_FFFF);
    }

    [Fact, Rule("14.9")]
    public void IoCancelFileOpen_of_a_file_with_a_handle_stops_the_machine()
    {
        using var m = new TestMachine();
        DeviceObject low = m.Dispatching("Low", (_, irp) => m.Complete(irp, STATUS_SUCCESS));
        FileObject file = m.FileOf(m.OpenFile(@"\Device\Low"));
        BugCheck stop = Assert.Throws<BugCheck>(() => m.Nt.IoCancelFileOpen(low, file));
        Assert.Equal(BugCheckCode.INVALID_CANCEL_OF_FILE_OPEN, stop.Code);
    }

    [Fact, Rule("14.11")]
    public void A_forced_access_check_is_told_to_the_driver()
    {
        using var m = new TestMachine();
        const uint OBJ_FORCE_ACCESS_CHECK = 0x400;
        byte flags = 0;
        m.Dispatching("Forced", (_, irp) =>
        {
            IoStackLocation at = irp.CurrentStackLocation;
            if (at.MajorFunction == IRP_MJ_CREATE) flags = at.Flags;
            return m.Complete(irp, STATUS_SUCCESS);
        });
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwOpenFile(
            m.Block(8), 1, m.Named(@"\Device\Forced", 0x240 | OBJ_FORCE_ACCESS_CHECK), m.Block(16), 7, 0));
        Assert.Equal(1, flags & 1);
    }
}
