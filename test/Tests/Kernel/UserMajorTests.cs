using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>Every major function that a program can reach, and the parameters that arrive with it.</summary>
public sealed class UserMajorTests
{
    sealed record Arrived(byte Minor, byte Flags, ulong P1, ulong P2, ulong P3, ulong P4, Irp Irp);

    /// <summary>A file system that completes everything, and the user's calls on one file of it.</summary>
    sealed class Volume
    {
        readonly TestMachine _m;

        public Volume(TestMachine m)
        {
            _m = m;
            m.Dispatching("Vol", (_, irp) =>
            {
                IoStackLocation at = irp.CurrentStackLocation;
                Seen[at.MajorFunction] = new Arrived(at.MinorFunction, at.Flags, at.Parameter1, at.Parameter2,
                    at.Parameter3, at.Parameter4, irp);
                Look?.Invoke(irp);
                Look = null;
                return m.Complete(irp, STATUS_SUCCESS);
            });
            Memory = m.Nt.Mm.AllocateUser(0x1000);
            File = m.Nt.User.Win32.CreateFile(@"\Device\Vol\name", access: 0x1000_0000).Handle;
        }

        public Handle File { get; }

        /// <summary>A page of the user's: its status block is at 0.</summary>
        public Va Memory { get; }
        public Va Iosb => Memory;
        public Va Buffer => Memory + 0x100;
        public Dictionary<IrpMajor, Arrived> Seen { get; } = [];
        public Action<Irp>? Look { get; set; }

        public Arrived Call(IrpMajor major, Func<NtStatus> service)
        {
            Seen.Remove(major);
            Assert.Equal(STATUS_SUCCESS, _m.Nt.User.Call(service));
            return Seen[major];
        }
    }

    static readonly Handle s_none = default;

    [Fact]
    public void Opening_and_closing()
    {
        using var m = new TestMachine();
        var v = new Volume(m);
        Arrived create = v.Seen[IRP_MJ_CREATE];
        Assert.Equal((1UL << 24 | 0x60, 3UL), (create.P2, create.P3 >> 16));
        Va name = v.Memory + 0x800;
        ObjectAttributes attributes = ObjectAttributes.At(m.Nt.Memory, name);
        UnicodeString text = UnicodeString.At(m.Nt.Memory, name + 0x40);
        m.Nt.Memory.Write(name + 0x60, System.Text.Encoding.Unicode.GetBytes(@"\Device\Vol\pipe"));
        text.Set(name + 0x60, 32, 32);
        (attributes.Length, attributes.ObjectName, attributes.Attributes) = (0x30, text, 0x40);
        m.Nt.Memory.Write(v.Buffer, -50_000L);
        byte[] parameters = [];
        v.Look = irp => parameters = m.Nt.Memory.ReadBytes(new Va(irp.CurrentStackLocation.Parameter4), 0x28);
        v.Call(IRP_MJ_CREATE_NAMED_PIPE, () => m.Nt.Zw.NtCreateNamedPipeFile(v.Memory + 0x40, 0xC010_0000, attributes,
            v.Iosb, 3, 2, 0x20, (1, 1, 0, 10), (512, 1024), v.Buffer));
        Assert.Equal((1, 10, 512, 1024, -50_000L, 1), (parameters[0], parameters[0xC],
            BitConverter.ToInt32(parameters, 0x10), BitConverter.ToInt32(parameters, 0x14),
            BitConverter.ToInt64(parameters, 0x18), parameters[0x20]));
        v.Look = irp => parameters = m.Nt.Memory.ReadBytes(new Va(irp.CurrentStackLocation.Parameter4), 0x18);
        v.Call(IRP_MJ_CREATE_MAILSLOT, () => m.Nt.Zw.NtCreateMailslotFile(
            v.Memory + 0x40, 0xC010_0000, attributes, v.Iosb, 0x20, 64, 32, Va.Null));
        Assert.Equal((64, 32, 0), (parameters[0], parameters[4], parameters[0x10]));
        v.Call(IRP_MJ_CLEANUP, () => m.Nt.NtClose(v.File));
        Assert.Contains(IRP_MJ_CLOSE, v.Seen.Keys);
    }

    [Fact]
    public void Data_and_controls()
    {
        using var m = new TestMachine();
        var v = new Volume(m);
        Va offset = v.Memory + 0x80, key = v.Memory + 0x88;
        m.Nt.Memory.Write(offset, 0x40UL);
        m.Nt.Memory.Write(key, 7U);
        Arrived read = v.Call(IRP_MJ_READ, () =>
            m.Nt.NtReadFile(v.File, s_none, Va.Null, Va.Null, v.Iosb, v.Buffer, 16, offset, key));
        Assert.Equal((16UL, 7UL, 0x40UL), (read.P1, read.P2, read.P3));
        Arrived write = v.Call(IRP_MJ_WRITE, () =>
            m.Nt.NtWriteFile(v.File, s_none, Va.Null, Va.Null, v.Iosb, v.Buffer, 24, offset, key));
        Assert.Equal((24UL, 7UL, 0x40UL), (write.P1, write.P2, write.P3));
        Arrived control = v.Call(IRP_MJ_DEVICE_CONTROL, () => m.Nt.NtDeviceIoControlFile(
            v.File, s_none, Va.Null, Va.Null, v.Iosb, 0x22_2000, v.Buffer, 4, v.Buffer, 8));
        Assert.Equal((8UL, 4UL, 0x22_2000UL), (control.P1, control.P2, control.P3));
        control = v.Call(IRP_MJ_FILE_SYSTEM_CONTROL, () => m.Nt.NtFsControlFile(
            v.File, s_none, Va.Null, Va.Null, v.Iosb, 0x9_0000, v.Buffer, 4, v.Buffer, 8));
        Assert.Equal((8UL, 4UL, 0x9_0000UL, (byte)0), (control.P1, control.P2, control.P3, control.Minor));
        Arrived flush = v.Call(IRP_MJ_FLUSH_BUFFERS, () =>
            m.Nt.NtFlushBuffersFileEx(v.File, 1, Va.Null, 0, v.Iosb));
        Assert.Equal(2, flush.Minor);
        m.Nt.Memory.Write(key, 0x55UL);
        ulong length = 0;
        v.Look = irp => length = m.U64(new Va(irp.CurrentStackLocation.Parameter1));
        Arrived locked = v.Call(IRP_MJ_LOCK_CONTROL, () => m.Nt.NtLockFile(
            v.File, s_none, Va.Null, Va.Null, v.Iosb, offset, key, 9, true, true));
        Assert.Equal((0x55UL, 9UL, 0x40UL, (byte)1, (byte)3),
            (length, locked.P2, locked.P3, locked.Minor, locked.Flags));
        locked = v.Call(IRP_MJ_LOCK_CONTROL, () => m.Nt.NtUnlockFile(v.File, v.Iosb, offset, key, 9));
        Assert.Equal(2, locked.Minor);
    }

    [Fact]
    public void Information_of_files_volumes_and_directories()
    {
        using var m = new TestMachine();
        var v = new Volume(m);
        Va b = v.Buffer;
        Arrived a = v.Call(IRP_MJ_QUERY_INFORMATION, () => m.Nt.NtQueryInformationFile(v.File, v.Iosb, b, 0x28, 4));
        Assert.Equal((0x28UL, 4UL), (a.P1, a.P2));
        a = v.Call(IRP_MJ_SET_INFORMATION, () => m.Nt.NtSetInformationFile(v.File, v.Iosb, b, 8, 20));
        Assert.Equal((8UL, 20UL), (a.P1, a.P2));
        a = v.Call(IRP_MJ_QUERY_VOLUME_INFORMATION, () =>
            m.Nt.NtQueryVolumeInformationFile(v.File, v.Iosb, b, 0x18, 3));
        Assert.Equal((0x18UL, 3UL), (a.P1, a.P2));
        a = v.Call(IRP_MJ_SET_VOLUME_INFORMATION, () => m.Nt.NtSetVolumeInformationFile(v.File, v.Iosb, b, 8, 2));
        Assert.Equal((8UL, 2UL), (a.P1, a.P2));
        a = v.Call(IRP_MJ_DIRECTORY_CONTROL, () => m.Nt.NtQueryDirectoryFile(v.File, s_none, Va.Null, Va.Null, v.Iosb,
            b, 0x100, 1, true, UnicodeString.At(m.Nt.Memory, Va.Null), true));
        Assert.Equal(((byte)1, (byte)3, 0x100UL, 0UL, 1UL), (a.Minor, a.Flags, a.P1, a.P2, a.P3));
        a = v.Call(IRP_MJ_DIRECTORY_CONTROL, () => m.Nt.NtNotifyChangeDirectoryFile(
            v.File, s_none, Va.Null, Va.Null, v.Iosb, b, 0x100, 0x11, true));
        Assert.Equal(((byte)2, (byte)1, 0x100UL, 0x11UL), (a.Minor, a.Flags, a.P1, a.P2));
        Assert.Equal(STATUS_INVALID_PARAMETER, m.Nt.User.Call(() => m.Nt.NtNotifyChangeDirectoryFile(
            v.File, s_none, Va.Null, Va.Null, v.Iosb, b, 0x100, 0, true)));
    }

    [Fact]
    public void Extended_attributes_and_quotas()
    {
        using var m = new TestMachine();
        var v = new Volume(m);
        Va b = v.Buffer, index = v.Memory + 0x80, sid = v.Memory + 0x600;
        m.Nt.Memory.Write(index, 3U);
        Arrived a = v.Call(IRP_MJ_QUERY_EA, () =>
            m.Nt.NtQueryEaFile(v.File, v.Iosb, b, 64, true, b, 16, index, false));
        Assert.Equal((64UL, 16UL, 3UL, (byte)6), (a.P1, a.P3, a.P4, a.Flags));
        m.Nt.Memory.Write(b, (byte[])[0, 0, 0, 0, 0, 1, 2, 0, (byte)'A', 0, 1, 2]);
        a = v.Call(IRP_MJ_SET_EA, () => m.Nt.NtSetEaFile(v.File, v.Iosb, b, 12));
        Assert.Equal(12UL, a.P1);
        m.Nt.Memory.Write(sid, (byte[])[1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0]);
        byte[] start = [];
        v.Look = irp => start = m.Nt.Memory.ReadBytes(new Va(irp.CurrentStackLocation.Parameter2), 12);
        a = v.Call(IRP_MJ_QUERY_QUOTA, () =>
            m.Nt.NtQueryQuotaInformationFile(v.File, v.Iosb, b, 64, false, b, 24, sid, true));
        Assert.Equal((64UL, 24UL, (byte)5, (byte)18), (a.P1, a.P4, a.Flags, start[8]));
        m.Nt.Memory.Fill(b, 0x40, 0);
        m.Nt.Memory.Write(b + 4, 12U);
        m.Nt.Memory.Write(b + 0x28, (ushort)0x0101);
        a = v.Call(IRP_MJ_SET_QUOTA, () => m.Nt.NtSetQuotaInformationFile(v.File, v.Iosb, b, 0x34));
        Assert.Equal(0x34UL, a.P1);
        Assert.Equal(STATUS_QUOTA_LIST_INCONSISTENT,
            m.Nt.User.Call(() => m.Nt.NtSetQuotaInformationFile(v.File, v.Iosb, b, 0x30)));
    }

    [Fact]
    public void Security_of_a_named_file_is_its_drivers_and_that_of_a_device_the_object_managers()
    {
        using var m = new TestMachine();
        var v = new Volume(m);
        Va b = v.Buffer, needed = v.Memory + 0x80;
        Arrived a = v.Call(IRP_MJ_QUERY_SECURITY, () => m.Nt.NtQuerySecurityObject(v.File, 4, b, 0x100, needed));
        Assert.Equal((4UL, 0x100UL), (a.P1, a.P2));
        m.Nt.Memory.Write(b, Sddl.Parse("O:SYG:SYD:(A;;GA;;;WD)", GenericMapping.OfFile).ToBytes());
        SecurityInfo? set = null;
        v.Look = irp => set = SecurityInfo.Read(m.Nt.Memory, new Va(irp.CurrentStackLocation.Parameter2));
        a = v.Call(IRP_MJ_SET_SECURITY, () => m.Nt.NtSetSecurityObject(v.File, 4, b));
        Assert.Equal(4UL, a.P1);
        Assert.NotNull(set?.Owner);
        v.Seen.Clear();
        Handle whole = m.Nt.User.Win32.CreateFile(@"\Device\Vol", access: 0x8000_0000).Handle;
        Assert.Equal(STATUS_SUCCESS, m.Nt.User.Call(() => m.Nt.NtQuerySecurityObject(whole, 4, b, 0x200, needed)));
        Assert.DoesNotContain(IRP_MJ_QUERY_SECURITY, v.Seen.Keys);
        // A driver that knows no security leaves it to the object manager.
        m.Dispatching("Plain", (_, irp) => m.Complete(irp, irp.CurrentStackLocation.MajorFunction
            is IRP_MJ_QUERY_SECURITY or IRP_MJ_SET_SECURITY ? STATUS_INVALID_DEVICE_REQUEST : STATUS_SUCCESS));
        Handle plain = m.OpenFile(@"\Device\Plain\x");
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwSetSecurityObject(
            plain, 7, m.Descriptor("O:SYG:SYD:(A;;GA;;;WD)", GenericMapping.OfFile)));
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwQuerySecurityObject(plain, 4, m.Block(0x100), 0x100, m.Block(4)));
    }

    [Fact]
    public void Shutdown_reaches_who_asked_for_it()
    {
        using var m = new TestMachine();
        var seen = new List<IrpMajor>();
        DeviceObject device = m.Noting("Last", seen);
        m.Nt.IoRegisterShutdownNotification(device);
        m.Nt.Shutdown();
        Assert.Equal([IRP_MJ_SHUTDOWN], seen);
    }
}
