using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>File services as drivers and programs call them, and the IRPs that come of them.</summary>
public sealed class ZwFileTests
{
    static readonly Handle s_none = default;

    [Fact]
    public void ZwReadFile_and_ZwWriteFile_go_to_the_driver_with_their_buffers_and_tell_by_status_block_and_event()
    {
        using var m = new TestMachine();
        m.Dispatching("File", (_, irp) =>
        {
            IoStackLocation at = irp.CurrentStackLocation;
            if (at.MajorFunction == IRP_MJ_READ) m.Nt.Memory.Fill(irp.SystemBuffer, 4, (byte)at.Parameter3);
            return m.Complete(irp, STATUS_SUCCESS, at.MajorFunction is IRP_MJ_READ or IRP_MJ_WRITE ? 4UL : 0);
        }, flags: Io.DO_BUFFERED_IO);
        Handle file = m.OpenFile(@"\Device\File"), @event = m.Event();
        Va iosb = m.Block(16), buffer = m.Block(8), offset = m.Variable(7);
        Assert.Equal(STATUS_SUCCESS,
            m.Nt.ZwReadFile(file, @event, Va.Null, Va.Null, iosb, buffer, 4, offset, Va.Null));
        Assert.Equal((0x0707_0707UL, 4UL), (m.U64(buffer), m.U64(iosb + 8)));
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwWaitForSingleObject(@event, false, m.Variable(0)));
        Assert.Equal(STATUS_SUCCESS,
            m.Nt.ZwWriteFile(file, s_none, Va.Null, Va.Null, iosb, buffer, 4, offset, m.Variable(1)));
        // Without an offset: where the file stands, which its driver moves.
        FileObject o = m.FileOf(file);
        o.CurrentByteOffset = 9;
        m.Nt.NtReadFile(file, s_none, Va.Null, Va.Null, iosb, buffer, 4, Va.Null, Va.Null);
        Assert.Equal(0x0909_0909U, m.U32(buffer));
        m.Nt.NtWriteFile(file, s_none, Va.Null, Va.Null, iosb, buffer, 4, Va.Null, Va.Null);
        Assert.Equal(STATUS_INVALID_HANDLE,
            m.Nt.ZwReadFile(new(0x4444), s_none, Va.Null, Va.Null, iosb, buffer, 4, offset, Va.Null));
        Assert.Empty(m.Findings);
    }

    [Fact]
    public void An_asynchronous_file_returns_pending_and_tells_by_event_and_APC()
    {
        using var m = new TestMachine();
        Irp kept = default;
        m.Dispatching("Later", (_, irp) =>
        {
            if (irp.CurrentStackLocation.MajorFunction != IRP_MJ_READ) return m.Complete(irp, STATUS_SUCCESS);
            irp.MarkPending();
            kept = irp;
            return STATUS_PENDING;
        });
        Handle file = m.OpenFile(@"\Device\Later", options: 0), @event = m.Event();
        Va iosb = m.Block(16), buffer = m.Block(8), offset = m.Variable(0);
        var apcs = new List<(ulong, ulong)>();
        Va apc = m.Routine(call =>
        {
            apcs.Add((call.Argument(0), call.Argument(1)));
            return 0;
        });
        Assert.Equal(STATUS_INVALID_PARAMETER,
            m.Nt.ZwReadFile(file, s_none, Va.Null, Va.Null, iosb, buffer, 4, Va.Null, Va.Null));
        Assert.Equal(STATUS_PENDING, m.Nt.ZwReadFile(file, @event, apc, new(5), iosb, buffer, 4, offset, Va.Null));
        Assert.Equal(STATUS_TIMEOUT, m.Nt.ZwWaitForSingleObject(@event, false, m.Variable(0)));
        m.Complete(kept, STATUS_SUCCESS, 3);
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwWaitForSingleObject(@event, false, m.Variable(0)));
        Assert.Equal(3UL, m.U64(iosb + 8));
        Assert.Equal([(5UL, iosb.Value)], apcs);
    }

    [Fact]
    public void ZwCancelIoFile_cancels_what_is_under_way_and_Ex_one_request_by_its_status_block()
    {
        using var m = new TestMachine();
        int canceled = 0;
        Va cancel = m.Routine(call =>
        {
            Irp irp = Irp.At(m.Nt.Memory, new Va(call.Argument(1)));
            m.Nt.IoReleaseCancelSpinLock(irp.CancelIrql);
            canceled++;
            m.Complete(irp, STATUS_CANCELLED);
            return 0;
        });
        m.Dispatching("Stuck", (_, irp) =>
        {
            if (irp.CurrentStackLocation.MajorFunction != IRP_MJ_READ) return m.Complete(irp, STATUS_SUCCESS);
            irp.MarkPending();
            irp.CancelRoutine = cancel;
            return STATUS_PENDING;
        });
        Handle file = m.OpenFile(@"\Device\Stuck", options: 0);
        Va iosb = m.Block(16), other = m.Block(16), offset = m.Variable(0), result = m.Block(16);
        m.Nt.ZwReadFile(file, s_none, Va.Null, Va.Null, iosb, m.Block(8), 4, offset, Va.Null);
        m.Nt.ZwReadFile(file, s_none, Va.Null, Va.Null, other, m.Block(8), 4, offset, Va.Null);
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwCancelIoFileEx(file, other, result));
        Assert.Equal(1, canceled);
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwCancelIoFile(file, result));
        Assert.Equal(2, canceled);
        Assert.Equal(STATUS_NOT_FOUND, m.Nt.ZwCancelIoFileEx(file, Va.Null, result));
    }

    [Fact]
    public void ZwQueryInformationFile_answers_what_the_manager_knows_and_asks_the_driver_for_the_rest()
    {
        using var m = new TestMachine();
        var classes = new List<uint>();
        DeviceObject device = m.Dispatching("Info", (_, irp) =>
        {
            IoStackLocation at = irp.CurrentStackLocation;
            if (at.MajorFunction is not (IRP_MJ_QUERY_INFORMATION or IRP_MJ_SET_INFORMATION))
                return m.Complete(irp, STATUS_SUCCESS);
            classes.Add((uint)at.Parameter2);
            if (at.MajorFunction == IRP_MJ_QUERY_INFORMATION) m.Nt.Memory.Write(irp.SystemBuffer, 0x55UL);
            return m.Complete(irp, STATUS_SUCCESS, at.Parameter1);
        });
        device.AlignmentRequirement = 3;
        Handle file = m.OpenFile(@"\Device\Info");
        Va iosb = m.Block(16), buffer = m.Block(0x100);
        NtStatus Query(uint length, uint kind) => m.Nt.ZwQueryInformationFile(file, iosb, buffer, length, kind);
        NtStatus Set(uint length, uint kind) => m.Nt.ZwSetInformationFile(file, iosb, buffer, length, kind);
        m.Nt.Memory.Write(buffer, 0x1234L);
        Assert.Equal(STATUS_SUCCESS, Set(8, 14));
        Assert.Equal(STATUS_SUCCESS, Query(8, 14));
        Assert.Equal((0x1234UL, 8UL), (m.U64(buffer), m.U64(iosb + 8)));
        Assert.Equal(STATUS_SUCCESS, Query(4, 16));
        Assert.Equal(0x20U, m.U32(buffer));
        Assert.Equal(STATUS_SUCCESS, Query(4, 17));
        Assert.Equal(3U, m.U32(buffer));
        Assert.Equal(STATUS_SUCCESS, Query(4, 8));
        Assert.Empty(classes);
        Assert.Equal(STATUS_SUCCESS, Query(0x28, 4));
        Assert.Equal(0x55UL, m.U64(buffer));
        Assert.Equal(STATUS_SUCCESS, m.Nt.NtQueryInformationFile(file, iosb, buffer, 0x68, 18));
        Assert.Equal((0x1234UL, 0x20U), (m.U64(buffer + 0x50), m.U32(buffer + 0x58)));
        Assert.Equal(STATUS_SUCCESS, m.Nt.NtSetInformationFile(file, iosb, buffer, 1, 13));
        Assert.Equal([4U, 18U, 13U], classes);
        Assert.Equal(STATUS_INFO_LENGTH_MISMATCH, Query(3, 14));
        Assert.Equal(STATUS_INVALID_INFO_CLASS, Query(8, 999));
        m.Nt.Memory.Write(buffer, 0x30U);
        Assert.Equal(STATUS_INVALID_PARAMETER, Set(4, 16));
        m.Nt.Memory.Write(buffer, -1L);
        Assert.Equal(STATUS_INVALID_PARAMETER, Set(8, 14));
        m.Nt.Memory.Write(buffer, 0x12U);
        Assert.Equal(STATUS_SUCCESS, Set(4, 16));
    }

    [Fact]
    public void Volume_directory_attribute_lock_flush_and_control_services_are_IRPs_of_their_majors()
    {
        using var m = new TestMachine();
        var seen = new List<(IrpMajor Major, byte Minor, byte Flags, ulong P2)>();
        string pattern = "";
        ulong locked = 0;
        m.Dispatching("Fs", (_, irp) =>
        {
            IoStackLocation at = irp.CurrentStackLocation;
            if (at.MajorFunction == IRP_MJ_DIRECTORY_CONTROL)
                pattern = UnicodeString.At(m.Nt.Memory, new Va(at.Parameter2)).Text;
            if (at.MajorFunction == IRP_MJ_LOCK_CONTROL) locked = m.U64(new Va(at.Parameter1));
            if (at.MajorFunction is not (IRP_MJ_CREATE or IRP_MJ_CLEANUP or IRP_MJ_CLOSE))
                seen.Add((at.MajorFunction, at.MinorFunction, at.Flags, at.Parameter2));
            return m.Complete(irp, STATUS_SUCCESS);
        });
        Handle file = m.OpenFile(@"\Device\Fs");
        Va iosb = m.Block(16), buffer = m.Block(0x100), offset = m.Variable(16), length = m.Variable(32);
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwQueryVolumeInformationFile(file, iosb, buffer, 8, 4));
        Assert.Equal(0x22U, m.U32(buffer));
        Assert.Equal(STATUS_SUCCESS, m.Nt.NtQueryVolumeInformationFile(file, iosb, buffer, 0x18, 3));
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwSetVolumeInformationFile(file, iosb, buffer, 8, 2));
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwQueryDirectoryFile(
            file, s_none, Va.Null, Va.Null, iosb, buffer, 0x100, 1, true, m.Text("*.txt"), true));
        Assert.Equal("*.txt", pattern);
        Assert.Equal(STATUS_SUCCESS, m.Nt.NtQueryDirectoryFile(
            file, s_none, Va.Null, Va.Null, iosb, buffer, 0x100, 1, false, m.Text("*"), false));
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwQueryDirectoryFileEx(
            file, s_none, Va.Null, Va.Null, iosb, buffer, 0x100, 12, 0, m.Text("a")));
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwQueryEaFile(file, iosb, buffer, 16, false, Va.Null, 0, Va.Null, true));
        Va ea = m.Bytes(0, 0, 0, 0, 0, 1, 2, 0, (byte)'A', 0, 1, 2);
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwSetEaFile(file, iosb, ea, 12));
        Assert.Equal(STATUS_EA_LIST_INCONSISTENT, m.Nt.ZwSetEaFile(file, iosb, ea, 9));
        Assert.Equal(STATUS_SUCCESS,
            m.Nt.ZwLockFile(file, s_none, Va.Null, Va.Null, iosb, offset, length, 5, true, true));
        Assert.Equal(32UL, locked);
        m.Nt.NtLockFile(file, s_none, Va.Null, Va.Null, iosb, offset, length, 5, false, true);
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwUnlockFile(file, iosb, offset, length, 5));
        Assert.Equal(STATUS_SUCCESS, m.Nt.NtUnlockFile(file, iosb, offset, length, 5));
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwFlushBuffersFile(file, iosb));
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwFlushBuffersFileEx(file, 1, Va.Null, 0, iosb));
        Assert.Equal(STATUS_SUCCESS, m.Nt.NtFlushBuffersFileEx(file, 2, Va.Null, 0, iosb));
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwFsControlFile(
            file, s_none, Va.Null, Va.Null, iosb, 0x9_0000, buffer, 4, buffer, 4));
        Assert.Equal(STATUS_SUCCESS, m.Nt.NtFsControlFile(
            file, s_none, Va.Null, Va.Null, iosb, 0x9_0000, buffer, 4, buffer, 4));
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwDeviceIoControlFile(
            file, s_none, Va.Null, Va.Null, iosb, 0x22_2000, buffer, 4, buffer, 4));
        Assert.Equal(STATUS_SUCCESS, m.Nt.NtDeviceIoControlFile(
            file, s_none, Va.Null, Va.Null, iosb, 0x22_2000, buffer, 4, buffer, 4));
        Assert.Equal(
        [
            IRP_MJ_QUERY_VOLUME_INFORMATION, IRP_MJ_SET_VOLUME_INFORMATION, IRP_MJ_DIRECTORY_CONTROL,
            IRP_MJ_DIRECTORY_CONTROL, IRP_MJ_DIRECTORY_CONTROL, IRP_MJ_QUERY_EA, IRP_MJ_SET_EA, IRP_MJ_LOCK_CONTROL,
            IRP_MJ_LOCK_CONTROL, IRP_MJ_LOCK_CONTROL, IRP_MJ_LOCK_CONTROL, IRP_MJ_FLUSH_BUFFERS,
            IRP_MJ_FLUSH_BUFFERS, IRP_MJ_FLUSH_BUFFERS, IRP_MJ_FILE_SYSTEM_CONTROL, IRP_MJ_FILE_SYSTEM_CONTROL,
            IRP_MJ_DEVICE_CONTROL, IRP_MJ_DEVICE_CONTROL,
        ], seen.Select(s => s.Major));
        Assert.Equal((byte)3, seen[2].Flags);
        Assert.Equal(((byte)1, (byte)3, 5UL), (seen[7].Minor, seen[7].Flags, seen[7].P2));
        Assert.Equal(((byte)2, (byte)0), (seen[9].Minor, seen[11].Minor));
        Assert.Empty(m.Findings);
    }

    [Fact]
    public void Names_are_opened_from_the_handle_of_a_directory_or_of_a_file()
    {
        using var m = new TestMachine();
        var names = new List<(string, bool)>();
        m.Dispatching("Root", (_, irp) =>
        {
            IoStackLocation at = irp.CurrentStackLocation;
            if (at.MajorFunction != IRP_MJ_CREATE) return m.Complete(irp, STATUS_SUCCESS);
            UnicodeString name = at.FileObject.FileName;
            names.Add((name.Buffer.IsNull ? "" : name.Text, !at.FileObject.RelatedFileObject.IsNull));
            return m.Complete(irp, STATUS_SUCCESS, 1);
        });
        Va handle = m.Block(8), iosb = m.Block(16);
        m.Nt.ZwOpenDirectoryObject(handle, 3, m.Named(@"\Device", 0x240));
        Handle directory = m.Read<Handle>(handle);
        Assert.Equal(STATUS_SUCCESS,
            m.Nt.ZwCreateFile(handle, 0x10_0001, m.Attributes(@"Root\a", root: directory), iosb, Va.Null, 0, 7, 1, 0x20,
                Va.Null, 0));
        Handle parent = m.Read<Handle>(handle);
        Assert.Equal(STATUS_SUCCESS,
            m.Nt.NtOpenFile(handle, 0x10_0001, m.Attributes("b", root: parent), iosb, 7, 0));
        Assert.Equal(STATUS_SUCCESS, m.Nt.NtCreateFile(
            handle, 0x10_0001, m.Attributes("c", root: parent), iosb, m.Variable(100), 0, 7, 3, 0, Va.Null, 0));
        Assert.Equal([(@"\a", false), ("b", true), ("c", true)], names);
        Assert.Equal(STATUS_INVALID_PARAMETER, m.Nt.ZwOpenFile(handle, 1, m.Named(@"\Device\Root"), iosb, 7, 0x20));
        Assert.Equal(STATUS_INVALID_PARAMETER, m.Nt.ZwOpenFile(handle, 1, m.Named(@"\Device\Root"), iosb, 8, 0));
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwDeleteFile(m.Named(@"\Device\Root\d")));
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwQueryFullAttributesFile(m.Named(@"\Device\Root\e"), m.Block(0x40)));
    }

    [Fact]
    public void IoCreateFile_and_its_kin_take_extended_attributes_hints_and_kinds_of_file()
    {
        using var m = new TestMachine();
        var seen = new List<(string, IrpMajor, ulong)>();
        DeviceObject lower = m.Dispatching("Lower", (_, irp) => Note("lower", irp));
        DeviceObject upper = m.Dispatching("Upper", (_, irp) => Note("upper", irp));
        NtStatus Note(string who, Irp irp)
        {
            IoStackLocation at = irp.CurrentStackLocation;
            if (at.MajorFunction is not (IRP_MJ_CLEANUP or IRP_MJ_CLOSE))
                seen.Add((who, at.MajorFunction, at.Parameter4));
            return m.Complete(irp, STATUS_SUCCESS);
        }
        m.Nt.IoAttachDeviceToDeviceStack(upper, lower);
        Va handle = m.Block(8), iosb = m.Block(16), ea = m.Bytes(0, 0, 0, 0, 0, 1, 2, 0, (byte)'A', 0, 1, 2);
        ObjectAttributes name = m.Named(@"\Device\Lower");
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoCreateFile(
            handle, 1, name, iosb, Va.Null, 0, 7, 1, 0, ea, 12, 0, Va.Null, 0));
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoCreateFile(
            handle, 1, name, iosb, Va.Null, 0, 7, 1, 0, Va.Null, 0, 1, new(0x77), 1));
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoCreateFileSpecifyDeviceObjectHint(
            handle, 1, name, iosb, Va.Null, 0, 7, 1, 0, Va.Null, 0, 0, Va.Null, 0, lower));
        Va context = m.Block(0x20);
        m.Nt.Memory.Write(context + 0x10, lower.Address);
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoCreateFileEx(
            handle, 1, name, iosb, Va.Null, 0, 7, 1, 0, Va.Null, 0, 0, Va.Null, 0, context));
        Assert.Equal(
        [
            ("upper", IRP_MJ_CREATE, 12UL), ("upper", IRP_MJ_CREATE_NAMED_PIPE, 0x77UL), ("lower", IRP_MJ_CREATE, 0UL),
            ("lower", IRP_MJ_CREATE, 0UL),
        ], seen);
    }
}
