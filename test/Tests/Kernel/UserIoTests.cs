using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>Synchronous and asynchronous files: turns, events, positions, APCs.</summary>
public sealed class UserIoTests
{
    static readonly Handle s_none = default;

    static NtStatus Read(TestMachine m, Handle file, Va iosb, Va offset, Handle @event = default, Va apc = default,
        Va context = default) =>
        m.Nt.ZwReadFile(file, @event, apc, context, iosb, m.Block(8), 4, offset, Va.Null);

    [Theory, Rule("3.1")]
    [InlineData(0x10u, 0x10_0001u, 0x06u), InlineData(0x20u, 0x10_0001u, 0x02u), InlineData(0u, 1u, 0u)]
    [InlineData(0x30u, 0x10_0001u, null), InlineData(0x20u, 1u, null)]
    public void Create_options_say_how_a_file_waits_and_need_SYNCHRONIZE(uint options, uint access, uint? flags)
    {
        using var m = new TestMachine();
        m.Noting("Plain", []);
        Va handle = m.Block(8);
        NtStatus status = m.Nt.ZwOpenFile(handle, access, m.Named(@"\Device\Plain", 0x240), m.Block(16), 7, options);
        Assert.Equal(flags is null ? STATUS_INVALID_PARAMETER : STATUS_SUCCESS, status);
        if (flags is not null) Assert.Equal(flags, m.FileOf(m.Read<Handle>(handle)).Flags & 0x06);
    }

    [Fact, Rule("3.2", Hypothesis = true)]
    public void Two_threads_on_one_synchronous_file_take_turns()
    {
        using var m = new TestMachine();
        var keeper = new Keeper(m);
        Handle file = m.OpenFile(keeper.Path);
        var ended = new List<int>();
        Va offset = m.Variable(0);
        for (int i = 1; i <= 2; i++)
        {
            int who = i;
            m.Thread(() =>
            {
                Assert.Equal(STATUS_SUCCESS, Read(m, file, m.Block(16), offset));
                ended.Add(who);
            });
        }
        m.RunOthers();
        // The second one has not got through to the driver.
        Assert.Single(keeper.Kept);
        Assert.Equal((1u, 1u), (m.FileOf(file).Busy, m.FileOf(file).Waiters));
        keeper.Complete();
        m.RunOthers();
        Assert.Equal([1], ended);
        Assert.Single(keeper.Kept);
        keeper.Complete();
        m.RunOthers();
        Assert.Equal([1, 2], ended);
        Assert.Equal((0u, 0u), (m.FileOf(file).Busy, m.FileOf(file).Waiters));
    }

    [Fact, Rule("3.2", Hypothesis = true)]
    public void An_alertable_file_gives_its_request_back_canceled_when_the_thread_is_alerted()
    {
        using var m = new TestMachine();
        var keeper = new Keeper(m);
        Handle alertable = m.OpenFile(keeper.Path, options: 0x10);
        KThread thread = m.Nt.Ke.CurrentThread;
        m.Thread(() => m.Nt.Ke.KeAlertThread(thread, 0));
        Assert.Equal(STATUS_CANCELLED, Read(m, alertable, m.Block(16), m.Variable(0)));
        // One that is not alertable stays where it is.
        Handle deaf = m.OpenFile(keeper.Path, options: 0x20);
        m.Thread(() => m.Nt.Ke.KeAlertThread(thread, 0));
        keeper.CompleteInThread();
        Assert.Equal(STATUS_SUCCESS, Read(m, deaf, m.Block(16), m.Variable(0)));
    }

    [Fact, Rule("3.3"), Rule("3.4", Hypothesis = true), Rule("3.5")]
    public void Offsets_are_the_callers_or_the_files_or_the_end()
    {
        using var m = new TestMachine();
        var offsets = new List<long>();
        m.Dispatching("Seek", (_, irp) =>
        {
            IoStackLocation at = irp.CurrentStackLocation;
            if (at.MajorFunction is not (IRP_MJ_READ or IRP_MJ_WRITE)) return m.Complete(irp, STATUS_SUCCESS);
            offsets.Add((long)at.Parameter3);
            FileObject file = at.FileObject;
            if ((file.Flags & 2) != 0) file.CurrentByteOffset = (long)at.Parameter3 + 4;
            return m.Complete(irp, STATUS_SUCCESS, 4);
        });
        Handle sync = m.OpenFile(@"\Device\Seek"), asynchronous = m.OpenFile(@"\Device\Seek", options: 0);
        Va iosb = m.Block(16), minusTwo = m.Variable(unchecked((ulong)-2L)), end = m.Variable(ulong.MaxValue);
        Read(m, sync, iosb, m.Variable(100));
        Read(m, sync, iosb, Va.Null);
        Read(m, sync, iosb, minusTwo);
        Assert.Equal([100, 104, 108], offsets);
        Assert.Equal(STATUS_INVALID_PARAMETER, Read(m, asynchronous, iosb, Va.Null));
        Assert.Equal(STATUS_INVALID_PARAMETER, Read(m, asynchronous, iosb, minusTwo));
        Assert.Equal(STATUS_INVALID_PARAMETER, Read(m, sync, iosb, m.Variable(unchecked((ulong)-3L))));
        // A pipe has no positions.
        FileObject o = m.FileOf(asynchronous);
        o.Flags |= 0x80;
        Assert.Equal(STATUS_SUCCESS, Read(m, asynchronous, iosb, Va.Null));
        offsets.Clear();
        m.Nt.ZwWriteFile(sync, s_none, Va.Null, Va.Null, iosb, m.Block(8), 4, end, Va.Null);
        Handle append = m.OpenFile(@"\Device\Seek", access: 0x10_0004);
        m.Nt.ZwWriteFile(append, s_none, Va.Null, Va.Null, iosb, m.Block(8), 4, m.Variable(50), Va.Null);
        Assert.Equal([-1, -1], offsets);
    }

    [Fact, Rule("3.6")]
    public void Past_the_cache_length_offset_and_buffer_are_aligned()
    {
        using var m = new TestMachine();
        DeviceObject device = m.Noting("Sectors", []);
        (device.SectorSize, device.AlignmentRequirement) = (512, 3);
        Va handle = m.Block(8), buffer = m.Nt.Mm.AllocateUser(0x1000), iosb = m.Nt.Mm.AllocateUser(16);
        Va place = m.Nt.Mm.AllocateUser(8);
        Assert.Equal(STATUS_INVALID_PARAMETER,
            m.Nt.ZwOpenFile(handle, 0x10_0004, m.Named(@"\Device\Sectors", 0x40), m.Block(16), 7, 0x28));
        Assert.Equal(STATUS_SUCCESS,
            m.Nt.ZwOpenFile(handle, 0x10_0003, m.Named(@"\Device\Sectors", 0x40), m.Block(16), 7, 0x28));
        Handle file = m.Read<Handle>(handle);
        NtStatus ReadAt(Va to, uint length, long offset) => m.AsUser(() =>
        {
            m.Nt.Memory.Write(place, offset);
            return m.Nt.NtReadFile(file, s_none, Va.Null, Va.Null, iosb, to, length, place, Va.Null);
        });
        Assert.Equal(STATUS_SUCCESS, ReadAt(buffer, 1024, 512));
        Assert.Equal(STATUS_INVALID_PARAMETER, ReadAt(buffer, 100, 512));
        Assert.Equal(STATUS_INVALID_PARAMETER, ReadAt(buffer, 512, 100));
        Assert.Equal(STATUS_INVALID_PARAMETER, ReadAt(buffer + 1, 512, 0));
    }

    [Fact, Rule("3.8"), Rule("3.9", Hypothesis = true), Rule("3.18")]
    public void The_given_event_is_signalled_or_else_the_file_and_both_are_reset_when_a_request_is_sent()
    {
        using var m = new TestMachine();
        var keeper = new Keeper(m);
        Handle file = m.OpenFile(keeper.Path, options: 0), @event = m.Event();
        NtStatus Test(Handle handle) => m.Nt.ZwWaitForSingleObject(handle, false, m.Variable(0));
        m.Nt.ZwSetEvent(@event, Va.Null);
        Assert.Equal(STATUS_PENDING, Read(m, file, m.Block(16), m.Variable(0), @event));
        Assert.Equal((STATUS_TIMEOUT, STATUS_TIMEOUT), (Test(@event), Test(file)));
        keeper.Complete();
        Assert.Equal((STATUS_SUCCESS, STATUS_TIMEOUT), (Test(@event), Test(file)));
        // Without an event: any of two requests signals the file.
        Read(m, file, m.Block(16), m.Variable(0));
        Read(m, file, m.Block(16), m.Variable(0));
        keeper.Complete();
        Assert.Equal(STATUS_SUCCESS, Test(file));
        Assert.Single(keeper.Kept);
        keeper.Complete();
    }

    [Fact, Rule("3.9", Hypothesis = true)]
    public void A_file_that_is_not_to_be_signalled_is_left_alone()
    {
        using var m = new TestMachine();
        var keeper = new Keeper(m);
        Handle file = m.OpenFile(keeper.Path, options: 0);
        Va iosb = m.Block(16), modes = m.Variable(2);
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwSetInformationFile(file, iosb, modes, 4, 41));
        Assert.Equal(STATUS_INVALID_PARAMETER, m.Nt.ZwSetInformationFile(file, iosb, m.Variable(8), 4, 41));
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwQueryInformationFile(file, iosb, modes, 4, 41));
        Assert.Equal(2u, m.U32(modes));
        Read(m, file, iosb, m.Variable(0));
        keeper.Complete();
        Assert.Equal(STATUS_TIMEOUT, m.Nt.ZwWaitForSingleObject(file, false, m.Variable(0)));
    }

    [Fact, Rule("3.11")]
    public void A_user_APC_waits_for_an_alertable_wait_and_gets_context_and_status_block()
    {
        using var m = new TestMachine();
        var keeper = new Keeper(m);
        Win32 win = m.Nt.User.Win32;
        Handle file = win.CreateFile(keeper.Path, flags: Win32.FILE_FLAG_OVERLAPPED).Handle;
        Va iosb = win.VirtualAlloc(16), offset = win.VirtualAlloc(8), buffer = win.VirtualAlloc(8);
        var calls = new List<(ulong, ulong, ulong)>();
        Va apc = m.Routine(call =>
        {
            calls.Add((call.Argument(0), call.Argument(1), call.Argument(2)));
            return 0;
        });
        m.AsUser(() => m.Nt.NtReadFile(file, s_none, apc, new(5), iosb, buffer, 4, offset, Va.Null));
        keeper.Complete();
        Assert.Equal(0, win.SleepEx(1, alertable: false));
        Assert.Empty(calls);
        Assert.Equal(Win32.WAIT_IO_COMPLETION, win.SleepEx(1, alertable: true));
        Assert.Equal([(5UL, iosb.Value, 0UL)], calls);
        Assert.Equal(0, win.SleepEx(1, alertable: true));
    }

    [Fact]
    public void A_request_that_is_refused_or_does_not_get_its_turn_keeps_nothing()
    {
        using var m = new TestMachine();
        var keeper = new Keeper(m);
        Handle file = m.OpenFile(keeper.Path), @event = m.Event();
        ObjectHeader header = m.Nt.Ob.Lookup(@event)!.Header, ofFile = m.Nt.Ob.Lookup(file)!.Header;
        (long Event, long File) before = (header.PointerCount, ofFile.PointerCount);
        Va offset = m.Variable(0), iosb = m.Block(16), wild = new(0x5000);
        Assert.Equal(STATUS_ACCESS_VIOLATION,
            m.Nt.ZwReadFile(file, @event, Va.Null, Va.Null, iosb, wild, 4, offset, Va.Null));
        Assert.Equal(before, (header.PointerCount, ofFile.PointerCount));
        FileObject o = m.FileOf(file);
        o.Busy = 1;
        Assert.Equal(STATUS_IO_TIMEOUT, Read(m, file, iosb, offset, @event));
        Assert.Equal(STATUS_IO_TIMEOUT,
            m.Nt.ZwLockFile(file, @event, Va.Null, Va.Null, iosb, offset, m.Variable(1), 0, true, true));
        Assert.Equal(before, (header.PointerCount, ofFile.PointerCount));
        Assert.Empty(keeper.Kept);
    }

    [Fact]
    public void A_closed_file_refuses_and_a_pending_request_has_its_output_when_it_ends()
    {
        using var m = new TestMachine();
        var keeper = new Keeper(m);
        UserFile file = m.Open(keeper.Path);
        UserRequest read = file.Read(8);
        Assert.Equal((997, 0), (read.Win32Error, read.Output.Length));
        keeper.CompleteInThread(information: 3, fill: 7);
        m.Nt.User.RunUntilIdle();
        Assert.Equal([7, 7, 7], read.Output);
        file.Close();
        Assert.Equal(STATUS_INVALID_HANDLE, file.Read(4).Status);
        Assert.Equal(0, file.Cancel());
    }
}
