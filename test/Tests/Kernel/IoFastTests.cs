using System.Text;
using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>Fast I/O, and the error log.</summary>
public sealed class IoFastTests
{
    const int Read = 2, Write = 3, QueryBasicInfo = 4, QueryStandardInfo = 5, Lock = 6, UnlockSingle = 7,
        DeviceControl = 10, QueryNetworkOpenInfo = 14;

    /// <summary>A driver with fast I/O, and the majors of the IRPs that came all the same.</summary>
    static List<IrpMajor> Fast(
        TestMachine m, uint tableBytes, params (int Entry, Func<GuestCall, int, bool> Routine)[] entries)
    {
        var seen = new List<IrpMajor>();
        DeviceObject device = m.Noting("Fast", seen);
        Va table = m.Block(28 * 8);
        m.Nt.Memory.Write(table, tableBytes);
        foreach ((int entry, Func<GuestCall, int, bool> routine) in entries)
            m.Nt.Memory.Write(table + entry * 8, m.Routine(call => routine(call, entry) ? 1UL : 0));
        DriverObject driver = device.DriverObject;
        driver.FastIoDispatch = table;
        return seen;
    }

    static void Answer(TestMachine m, ulong iosb, NtStatus status, ulong information) =>
        m.Nt.Memory.Write(new Va(iosb), new IoStatusBlock(status, information));

    [Theory, Rule("16.1")]
    [InlineData(true, 28u * 8), InlineData(false, 28u * 8), InlineData(true, 10u * 8)]
    public void A_device_control_is_done_at_once_or_sent_as_an_IRP(bool does, uint tableBytes)
    {
        using var m = new TestMachine();
        var asked = new List<(uint Code, uint In, uint Out)>();
        List<IrpMajor> seen = Fast(m, tableBytes, (DeviceControl, (call, _) =>
        {
            asked.Add(((uint)call.Argument(6), (uint)call.Argument(3), (uint)call.Argument(5)));
            if (does) m.Nt.Memory.Write(new Va(call.Argument(4)), 0x55UL);
            Answer(m, call.Argument(7), STATUS_SUCCESS, 8);
            return does;
        }
        ));
        UserRequest done = m.Open(@"\Device\Fast").DeviceIoControl(0x22_2003, [1, 2, 3], 8);
        bool isFast = does && tableBytes == 28 * 8;
        Assert.Equal(STATUS_SUCCESS, done.Status);
        Assert.Equal(isFast ? [IRP_MJ_CREATE] : [IRP_MJ_CREATE, IRP_MJ_DEVICE_CONTROL], seen);
        if (tableBytes == 28 * 8) Assert.Equal([(0x22_2003U, 3U, 8U)], asked);
        if (isFast) Assert.Equal((8UL, (byte)0x55), (done.Information, done.Output[0]));
    }

    [Theory, Rule("16.1")]
    [InlineData(4u, QueryBasicInfo, 40u), InlineData(5u, QueryStandardInfo, 24u)]
    [InlineData(34u, QueryNetworkOpenInfo, 56u), InlineData(6u, 0, 8u)]
    public void Basic_standard_and_network_open_information_can_be_had_at_once(uint kind, int entry, uint bytes)
    {
        using var m = new TestMachine();
        bool Query(GuestCall call, int which)
        {
            m.Nt.Memory.Write(new Va(call.Argument(2)), (ulong)which);
            Answer(m, call.Argument(3), STATUS_SUCCESS, bytes);
            return true;
        }
        List<IrpMajor> seen = Fast(
            m, 28 * 8, (QueryBasicInfo, Query), (QueryStandardInfo, Query), (QueryNetworkOpenInfo, Query));
        Handle file = m.OpenFile(@"\Device\Fast");
        Va buffer = m.Block((int)bytes);
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwQueryInformationFile(file, m.Block(16), buffer, bytes, kind));
        Assert.Equal(entry == 0, seen.Contains(IRP_MJ_QUERY_INFORMATION));
        Assert.Equal((ulong)entry, m.U64(buffer));
    }

    [Theory, Rule("16.1")]
    [InlineData(0x20u, true, 0u, true), InlineData(0u, true, 0u, false), InlineData(0x20u, false, 0u, false)]
    [InlineData(0x20u, true, 0xC000_0011u, true), InlineData(0x20u, true, 0xC000_0001u, false)]
    public void Reads_of_synchronous_cached_files_are_fast_if_they_end_as_reads_do(
        uint options, bool cached, uint status, bool isFast)
    {
        using var m = new TestMachine();
        List<IrpMajor> seen = Fast(m, 28 * 8, (Read, (call, _) =>
        {
            Assert.Equal(512UL, m.U64(new Va(call.Argument(1))));
            Answer(m, call.Argument(6), new NtStatus(status), 3);
            return true;
        }
        ));
        Handle handle = m.OpenFile(@"\Device\Fast", options);
        FileObject file = m.FileOf(handle);
        if (cached) file.PrivateCacheMap = m.Block(8);
        Va iosb = m.Block(16);
        NtStatus read = m.Nt.ZwReadFile(
            handle, default, Va.Null, Va.Null, iosb, m.Block(8), 8, m.Variable(512), Va.Null);
        Assert.Equal(!isFast, seen.Contains(IRP_MJ_READ));
        Assert.Equal(isFast ? new NtStatus(status) : STATUS_SUCCESS, read);
        if (isFast) Assert.Equal(3UL, m.U64(iosb + 8));
    }

    [Fact, Rule("16.1")]
    public void Writes_and_locks_are_fast_and_signal_the_callers_event()
    {
        using var m = new TestMachine();
        var asked = new List<string>();
        List<IrpMajor> seen = Fast(m, 28 * 8, (Write, (call, _) =>
        {
            asked.Add($"write {m.U32(new Va(call.Argument(5)))}");
            Answer(m, call.Argument(6), STATUS_SUCCESS, call.Argument(2));
            return true;
        }
        ), (Lock, (call, _) =>
        {
            asked.Add($"lock {m.U64(new Va(call.Argument(1)))} {m.U64(new Va(call.Argument(2)))} "
                + $"key {call.Argument(4)} {(byte)call.Argument(5)} {(byte)call.Argument(6)}");
            Answer(m, call.Argument(7), STATUS_SUCCESS, 0);
            return true;
        }
        ), (UnlockSingle, (call, _) =>
        {
            asked.Add($"unlock {m.U64(new Va(call.Argument(1)))}");
            Answer(m, call.Argument(5), STATUS_SUCCESS, 0);
            return true;
        }
        ));
        Handle handle = m.OpenFile(@"\Device\Fast"), done = m.Event();
        FileObject file = m.FileOf(handle);
        file.PrivateCacheMap = m.Block(8);
        Va iosb = m.Block(16);
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwWriteFile(
            handle, done, Va.Null, Va.Null, iosb, m.Variable(77), 4, m.Variable(0), Va.Null));
        Assert.Equal(4UL, m.U64(iosb + 8));
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwWaitForSingleObject(done, false, m.Variable(0)));
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwLockFile(
            handle, default, Va.Null, Va.Null, iosb, m.Variable(10), m.Variable(20), 3, true, true));
        Assert.True(file.LockOperation);
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwUnlockFile(handle, iosb, m.Variable(10), m.Variable(20), 3));
        Assert.Equal(["write 77", "lock 10 20 key 3 1 1", "unlock 10"], asked);
        Assert.Equal([IRP_MJ_CREATE], seen);
        Assert.Empty(m.Findings);
    }

    [Theory, InlineData(true), InlineData(false)]
    public void A_process_that_closes_its_last_handle_gives_up_its_locks(bool isFast)
    {
        using var m = new TestMachine();
        var asked = new List<ulong>();
        List<IrpMajor> seen = Fast(m, 28 * 8, (8, (call, _) =>
        {
            asked.Add(call.Argument(1));
            Answer(m, call.Argument(2), STATUS_SUCCESS, 0);
            return isFast;
        }
        ));
        Handle handle = m.OpenFile(@"\Device\Fast");
        NtObject file = m.Nt.Ob.Lookup(handle)!;
        Assert.Equal(STATUS_SUCCESS, m.Nt.Ps.CreateUserProcess("other", out NtProcess? other));
        m.Nt.Ps.InProcess(other!, () =>
        {
            Handle first = m.Nt.Ob.Open(file, 3, kernelHandle: false),
                second = m.Nt.Ob.Open(file, 3, kernelHandle: false);
            m.Nt.Ob.Close(first);
            m.Nt.ZwLockFile(
                second, default, Va.Null, Va.Null, m.Block(16), m.Variable(0), m.Variable(1), 0, true, true);
            first = m.Nt.Ob.Open(file, 3, kernelHandle: false);
            m.Nt.Ob.Close(first);
            Assert.Empty(asked);
            return m.Nt.Ob.Close(second);
        });
        Assert.Equal([other!.Object.Address.Value], asked);
        IrpMajor[] locks = [IRP_MJ_CREATE, IRP_MJ_LOCK_CONTROL, .. isFast ? [] : new[] { IRP_MJ_LOCK_CONTROL }];
        Assert.Equal(locks, seen);
        // The very last one is told by IRP_MJ_CLEANUP.
        m.Nt.ZwClose(handle);
        Assert.Single(asked);
        Assert.Equal([.. locks, IRP_MJ_CLEANUP, IRP_MJ_CLOSE], seen);
    }

    [Fact]
    public void A_fast_routine_that_changes_the_IRQL_is_found()
    {
        using var m = new TestMachine();
        Fast(m, 28 * 8, (DeviceControl, (call, _) =>
        {
            m.Nt.Ke.Raise(Irql.APC_LEVEL);
            return false;
        }
        ));
        try
        {
            m.Open(@"\Device\Fast").DeviceIoControl(0x22_2003, [], 0);
        }
        catch (MachineStop)
        {
            // The request itself may end so.
        }
        Assert.Contains(m.Findings, f => f.Message.Contains("0xC9/0x11"));
    }

    [Fact]
    public void An_entry_of_the_error_log_has_all_that_the_driver_put_into_it()
    {
        using var m = new TestMachine();
        DeviceObject device = m.Device(m.Driver("logger"), @"\Device\Logged");
        Va entry = m.Nt.IoAllocateErrorLogEntry(device.Address, 0x60);
        IoErrorLogPacket packet = IoErrorLogPacket.At(m.Nt.Memory, entry);
        (packet.MajorFunctionCode, packet.RetryCount, packet.DumpDataSize) = ((byte)IRP_MJ_READ, 2, 8);
        (packet.NumberOfStrings, packet.StringOffset) = (2, 0x30);
        (packet.ErrorCode, packet.UniqueErrorValue, packet.FinalStatus) =
            (new NtStatus(0xC004_0001), 17, STATUS_DEVICE_BUSY);
        (packet.SequenceNumber, packet.IoControlCode, packet.DeviceOffset) = (3, 0x22_2000, 512);
        m.Nt.Memory.Write(entry + 0x28, 0x0807_0605_0403_0201UL);
        m.Nt.Memory.Write(entry + 0x30, Encoding.Unicode.GetBytes("disk\0full\0"));
        m.Nt.IoWriteErrorLogEntry(entry);
        ErrorLogEntry log = Assert.Single(m.Nt.ErrorLog);
        Assert.Equal((@"\Driver\logger", @"\Device\Logged", 0xC004_0001U, 17U, STATUS_DEVICE_BUSY),
            (log.Source, log.Device, log.ErrorCode.Value, log.UniqueErrorValue, log.FinalStatus));
        Assert.Equal((IRP_MJ_READ, (byte)2, 3U, 0x22_2000U, 512L),
            (log.Major, log.RetryCount, log.SequenceNumber, log.IoControlCode, log.DeviceOffset));
        Assert.Equal([1, 2, 3, 4, 5, 6, 7, 8], log.DumpData);
        Assert.Equal(["disk", "full"], log.Strings);
        Assert.Equal(@"\Driver\logger (\Device\Logged): 0xC0040001, unique value 17, final status STATUS_DEVICE_BUSY, "
            + "\"disk\", \"full\", data 0102030405060708", log.ToString());
    }

    [Fact]
    public void An_entry_of_the_error_log_keeps_its_device_and_lies_about_nothing_behind_it()
    {
        using var m = new TestMachine();
        DeviceObject device = m.Device(m.Driver("logger"), "");
        long before = m.Nt.Ob.At(device.Address).Header.PointerCount;
        Va entry = m.Nt.IoAllocateErrorLogEntry(device.Address, 0x30);
        Assert.Equal(before + 1, m.Nt.Ob.At(device.Address).Header.PointerCount);
        IoErrorLogPacket packet = IoErrorLogPacket.At(m.Nt.Memory, entry);
        (packet.DumpDataSize, packet.NumberOfStrings, packet.StringOffset) = (0xFFFF, 0xFFFF, 0xFFFE);
        m.Nt.IoWriteErrorLogEntry(entry);
        ErrorLogEntry log = Assert.Single(m.Nt.ErrorLog);
        Assert.Equal((8, 0), (log.DumpData.Length, log.Strings.Count));
        m.Nt.IoFreeErrorLogEntry(m.Nt.IoAllocateErrorLogEntry(device.DriverObject.Address, 0xF0));
        Assert.Equal(before, m.Nt.Ob.At(device.Address).Header.PointerCount);
        Assert.True(m.Nt.IoAllocateErrorLogEntry(device.Address, 8).IsNull);
        Assert.True(m.Nt.IoAllocateErrorLogEntry(m.Block(8), 0x30).IsNull);
        Assert.True(m.Nt.IoAllocateErrorLogEntry(device.Address, 0xF1).IsNull);
    }
}
