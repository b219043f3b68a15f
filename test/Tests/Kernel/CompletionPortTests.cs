using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>I/O completion ports.</summary>
public sealed class CompletionPortTests
{
    const uint Overlap = Win32.FILE_FLAG_OVERLAPPED;
    static readonly Handle s_none = default;

    static Handle Port(TestMachine m, uint threads = 0) =>
        m.Nt.User.Win32.CreateIoCompletionPort(s_none, s_none, Va.Null, threads).Handle;

    [Fact, Rule("3.12"), Rule("3.13")]
    public void A_pended_request_of_an_associated_file_arrives_as_a_packet_with_its_results()
    {
        using var m = new TestMachine();
        var keeper = new Keeper(m);
        Win32 win = m.Nt.User.Win32;
        Handle file = win.CreateFile(keeper.Path, flags: Overlap).Handle, port = Port(m);
        Assert.Equal(port.Value, win.CreateIoCompletionPort(file, port, new Va(0x55), 0).Value);
        var context = IoCompletionContext.At(m.Nt.Memory, FileObject.At(
            m.Nt.Memory, m.Nt.Ob.Lookup(file)!.Body).CompletionContext);
        Assert.Equal((m.Nt.Ob.Lookup(port)!.Body, new Va(0x55)), (context.Port.Address, context.Key));
        Win32Overlapped first = win.NewOverlapped(), second = win.NewOverlapped();
        Va buffer = win.VirtualAlloc(8);
        win.ReadFile(file, buffer, 8, first);
        win.ReadFile(file, buffer, 8, second);
        keeper.CompleteInThread(information: 4, fill: 0x11);
        keeper.CompleteInThread(STATUS_NO_SUCH_DEVICE);
        m.RunOthers();
        // Results wait for whoever takes the packet.
        Assert.Equal((STATUS_PENDING, 0UL), (first.Status, m.U64(buffer)));
        QueuedCompletion got = win.GetQueuedCompletionStatus(port, 0);
        Assert.Equal((0, 4u, new Va(0x55), first.Address),
            (got.Result.Error, got.Result.Bytes, got.Key, got.Overlapped));
        Assert.Equal((STATUS_SUCCESS, 0x1111_1111UL), (first.Status, m.U64(buffer)));
        got = win.GetQueuedCompletionStatus(port, 0);
        Assert.Equal((Win32Of(STATUS_NO_SUCH_DEVICE), second.Address), (got.Result.Error, got.Overlapped));
        got = win.GetQueuedCompletionStatus(port, 0);
        Assert.Equal((Win32.WAIT_TIMEOUT, Va.Null), (got.Result.Error, got.Overlapped));
        Assert.Empty(m.Nt.Io.LiveIrps);
    }

    [Fact, Rule("3.12"), Rule("1.29", Hypothesis = true)]
    public void What_ends_in_its_service_makes_a_packet_too_but_an_error_does_not()
    {
        using var m = new TestMachine();
        NtStatus answer = STATUS_SUCCESS;
        m.Dispatching("Quick", (_, irp) => m.Complete(irp,
            irp.CurrentStackLocation.MajorFunction == IrpMajor.IRP_MJ_DEVICE_CONTROL ? answer : STATUS_SUCCESS));
        Win32 win = m.Nt.User.Win32;
        Handle file = win.CreateFile(@"\Device\Quick", flags: Overlap).Handle, port = Port(m);
        win.CreateIoCompletionPort(file, port, new Va(1), 0);
        bool Control(Win32Overlapped? overlapped)
        {
            win.DeviceIoControl(file, 0x22_2000, Va.Null, 0, Va.Null, 0, overlapped);
            return win.GetQueuedCompletionStatus(port, 0).Result.Error != Win32.WAIT_TIMEOUT;
        }
        Assert.True(Control(win.NewOverlapped()));
        // Without an overlapped structure there is no context; with the event's low bit it is not passed.
        Assert.False(Control(null));
        Assert.False(Control(win.NewOverlapped(new Handle(win.CreateEvent(true, false).Value | 1))));
        answer = STATUS_BUFFER_OVERFLOW;
        Assert.True(Control(win.NewOverlapped()));
        answer = STATUS_UNSUCCESSFUL;
        Assert.False(Control(win.NewOverlapped()));
        // FILE_SKIP_COMPLETION_PORT_ON_SUCCESS.
        Assert.Equal(0, win.SetFileCompletionNotificationModes(file, 1).Error);
        answer = STATUS_SUCCESS;
        Assert.False(Control(win.NewOverlapped()));
        answer = STATUS_BUFFER_OVERFLOW;
        Assert.True(Control(win.NewOverlapped()));
    }

    [Fact, Rule("3.10", Hypothesis = true), Rule("3.12")]
    public void An_asynchronous_file_has_one_port_and_then_no_APCs()
    {
        using var m = new TestMachine();
        var keeper = new Keeper(m);
        Win32 win = m.Nt.User.Win32;
        Handle sync = win.CreateFile(keeper.Path).Handle, file = win.CreateFile(keeper.Path, flags: Overlap).Handle;
        Handle port = Port(m), other = Port(m);
        Assert.Equal(Win32.ERROR_INVALID_PARAMETER, win.CreateIoCompletionPort(sync, port, Va.Null, 0).Error);
        Assert.Equal(0, win.CreateIoCompletionPort(file, port, Va.Null, 0).Error);
        Assert.Equal(Win32.ERROR_INVALID_PARAMETER, win.CreateIoCompletionPort(file, other, Va.Null, 0).Error);
        Assert.Equal(Win32.ERROR_INVALID_PARAMETER,
            win.ReadFileEx(file, win.VirtualAlloc(8), 8, win.NewOverlapped(), (_, _, _) => { }).Error);
        Assert.Empty(keeper.Kept);
        // FileReplaceCompletionInformation changes the port, or ends the association.
        Va iosb = win.VirtualAlloc(16), info = win.VirtualAlloc(16);
        NtStatus Replace(Handle by)
        {
            m.Nt.Memory.Write(info, by);
            return m.AsUser(() => m.Nt.NtSetInformationFile(file, iosb, info, 16, 61));
        }
        Assert.Equal(STATUS_SUCCESS, Replace(other));
        win.ReadFile(file, win.VirtualAlloc(8), 8, win.NewOverlapped());
        keeper.Complete();
        Assert.Equal(Win32.WAIT_TIMEOUT, win.GetQueuedCompletionStatus(port, 0).Result.Error);
        Assert.Equal(0, win.GetQueuedCompletionStatus(other, 0).Result.Error);
        Assert.Equal(STATUS_SUCCESS, Replace(s_none));
        Assert.Equal(0, win.ReadFileEx(file, win.VirtualAlloc(8), 8, win.NewOverlapped(), (_, _, _) => { }).Error);
    }

    [Fact, Rule("3.12")]
    public void Packets_are_first_in_first_out_and_of_waiting_threads_the_last_goes_on()
    {
        using var m = new TestMachine();
        Win32 win = m.Nt.User.Win32;
        Handle port = Port(m, threads: 5);
        var got = new List<(int Thread, ulong Key)>();
        Action Taker(int who) => () =>
        {
            win.SleepEx((uint)who, alertable: false);
            got.Add((who, win.GetQueuedCompletionStatus(port, Win32.INFINITE).Key.Value));
        };
        m.Nt.User.Concurrently([Taker(1), Taker(2), Taker(3), () =>
        {
            win.SleepEx(10, alertable: false);
            for (ulong key = 1; key <= 3; key++) win.PostQueuedCompletionStatus(port, 0, new Va(key), Va.Null);
        }]);
        Assert.Equal([(3, 1UL), (2, 2UL), (1, 3UL)], got.OrderBy(g => g.Key));
    }

    [Fact, Rule("3.12")]
    public void No_more_threads_are_active_than_the_port_allows_and_one_that_blocks_makes_room()
    {
        using var m = new TestMachine();
        Win32 win = m.Nt.User.Win32;
        Handle port = Port(m, threads: 1), go = win.CreateEvent(true, false);
        int active = 0, most = 0, blocked = 0;
        Action worker = () =>
        {
            QueuedCompletion packet = win.GetQueuedCompletionStatus(port, Win32.INFINITE);
            most = Math.Max(most, ++active);
            // It is active as long as it does not wait.
            if (packet.Key.Value == 1)
            {
                blocked++;
                active--;
                win.WaitForSingleObjectEx(go, Win32.INFINITE, alertable: false);
                active++;
            }
            active--;
        };
        m.Nt.User.Concurrently([worker, worker, () =>
        {
            win.SleepEx(1, alertable: false);
            win.PostQueuedCompletionStatus(port, 0, new Va(1), Va.Null);
            win.PostQueuedCompletionStatus(port, 0, new Va(2), Va.Null);
            win.SleepEx(1, alertable: false);
            Assert.Equal(1, blocked);
            win.SetEvent(go);
        }]);
        Assert.Equal((1, 0), (most, active));
    }

    [Fact]
    public void Several_packets_are_taken_at_once_and_the_rest_goes_with_the_port()
    {
        using var m = new TestMachine();
        var keeper = new Keeper(m);
        Win32 win = m.Nt.User.Win32;
        Handle file = win.CreateFile(keeper.Path, flags: Overlap).Handle, port = Port(m);
        win.CreateIoCompletionPort(file, port, new Va(9), 0);
        for (ulong i = 1; i <= 5; i++) win.PostQueuedCompletionStatus(port, (uint)i, new Va(i), new Va(i));
        (Win32Result result, IReadOnlyList<QueuedCompletion> packets) =
            win.GetQueuedCompletionStatusEx(port, 3, 0, alertable: false);
        Assert.Equal((3UL, 3), (result.Value, packets.Count));
        Assert.Equal([1u, 2, 3], packets.Select(p => p.Result.Bytes));
        Va count = win.VirtualAlloc(4);
        Assert.Equal(STATUS_SUCCESS, m.AsUser(() => m.Nt.Zw.NtQueryIoCompletion(port, 0, count, 4, Va.Null)));
        Assert.Equal(2u, m.U32(count));
        win.ReadFile(file, win.VirtualAlloc(8), 8, win.NewOverlapped());
        keeper.Complete();
        win.CloseHandle(file);
        win.CloseHandle(port);
        Assert.Empty(m.Nt.Io.LiveIrps);
        Assert.Empty(m.Nt.Ob.OfType(m.Nt.Ob.IoCompletionType));
        Assert.Equal(IrpMajor.IRP_MJ_CLOSE, keeper.Seen[^1]);
    }

    [Fact]
    public void Drivers_use_ports_with_packets_of_their_own()
    {
        using var m = new TestMachine();
        Va handle = m.Block(8), key = m.Block(8), apc = m.Block(8), iosb = m.Block(16), taken = m.Block(4);
        Assert.Equal(STATUS_SUCCESS,
            m.Nt.ZwCreateIoCompletion(handle, 0x1F_0003, m.Attributes(@"\BaseNamedObjects\Port", 0x240), 1));
        Handle port = m.Read<Handle>(handle);
        Assert.Equal(STATUS_SUCCESS, m.Nt.Zw.NtOpenIoCompletion(
            handle, 2, m.Attributes(@"\BaseNamedObjects\port", 0x240)));
        Va body = m.Nt.Ob.Lookup(port)!.Body;
        var freed = new List<ulong>();
        Va callback = m.Routine(call =>
        {
            freed.Add(call.Argument(1));
            return 0;
        });
        MiniCompletionPacket own = m.Nt.IoAllocateMiniCompletionPacket(callback, new(0x42));
        Assert.Equal(STATUS_SUCCESS,
            m.Nt.IoSetIoCompletionEx(body, new(1), new(2), STATUS_UNSUCCESSFUL, 3, false, own));
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoSetIoCompletion(body, new(4), new(5), STATUS_SUCCESS, 6, false));
        Assert.Equal(STATUS_OBJECT_TYPE_MISMATCH, m.Nt.IoSetIoCompletion(
            m.Nt.Ps.SystemProcess.Address, Va.Null, Va.Null, STATUS_SUCCESS, 0, false));
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwRemoveIoCompletion(port, key, apc, iosb, Va.Null));
        Assert.Equal((1UL, 2UL, STATUS_UNSUCCESSFUL, 3UL),
            (m.U64(key), m.U64(apc), m.StatusAt(iosb), m.U64(iosb + 8)));
        Assert.Equal([0x42UL], freed);
        m.Nt.IoFreeMiniCompletionPacket(own);
        Va packets = m.Block(0x40);
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwRemoveIoCompletionEx(port, packets, 2, taken, Va.Null, false));
        Assert.Equal((1u, 4UL, 6UL), (m.U32(taken), m.U64(packets), m.U64(packets + 0x18)));
        Assert.Equal(STATUS_TIMEOUT, m.Nt.ZwRemoveIoCompletion(port, key, apc, iosb, m.Variable(0)));
        Assert.Equal(STATUS_OBJECT_TYPE_MISMATCH, m.Nt.ZwRemoveIoCompletion(m.Event(), key, apc, iosb, Va.Null));
    }
}
