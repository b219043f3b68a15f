using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>Canceling by the user, by the end of a handle, and by that of a thread.</summary>
public sealed class CancelTests
{
    [Fact, Rule("3.14", Hypothesis = true), Rule("3.15")]
    public void CancelIo_is_for_the_threads_requests_and_CancelIoEx_for_all_of_the_process()
    {
        using var m = new TestMachine();
        var keeper = new Keeper(m);
        Win32 win = m.Nt.User.Win32;
        Handle file = win.CreateFile(keeper.Path, flags: Win32.FILE_FLAG_OVERLAPPED).Handle;
        Va buffer = win.VirtualAlloc(8);
        Win32Overlapped mine = win.NewOverlapped(), second = win.NewOverlapped(), others = win.NewOverlapped();
        win.ReadFile(file, buffer, 8, mine);
        m.Nt.User.Concurrently([() =>
        {
            win.ReadFile(file, buffer, 8, others);
            Assert.Equal(0, win.CancelIo(file).Error);
            Assert.Equal((STATUS_CANCELLED, STATUS_PENDING), (others.Status, mine.Status));
            win.ReadFile(file, buffer, 8, second);
            Assert.Equal(0, win.CancelIoEx(file, mine).Error);
            Assert.Equal(STATUS_PENDING, second.Status);
            Assert.Equal(0, win.CancelIoEx(file).Error);
            Assert.Equal(STATUS_CANCELLED, second.Status);
        }]);
        Assert.Equal(STATUS_CANCELLED, mine.Status);
        Assert.Equal(Win32.ERROR_OPERATION_ABORTED, win.GetOverlappedResult(file, mine, wait: true).Error);
        Assert.Equal(Win32.ERROR_NOT_FOUND, win.CancelIoEx(file).Error);
        Assert.Equal(0, win.CancelIo(file).Error);
        Assert.Equal(Win32.ERROR_INVALID_HANDLE, win.CancelIoEx(new Handle(0x4444)).Error);
        Assert.Empty(m.Findings);
    }

    [Fact, Rule("3.14", Hypothesis = true)]
    public void CancelSynchronousIo_ends_what_another_thread_waits_for()
    {
        using var m = new TestMachine();
        var keeper = new Keeper(m);
        Win32 win = m.Nt.User.Win32;
        Handle file = win.CreateFile(keeper.Path).Handle;
        ulong reader = 0;
        Win32Result read = default;
        m.Nt.User.Concurrently(
        [
            () =>
            {
                reader = win.GetCurrentThreadId();
                read = win.ReadFile(file, win.VirtualAlloc(8), 8);
            },
            () =>
            {
                win.SleepEx(1, alertable: false);
                Handle thread = win.OpenThread(1, reader).Handle;
                Assert.Equal(0, win.CancelSynchronousIo(thread).Error);
                win.SleepEx(1, alertable: false);
                Assert.NotEqual(0, win.CancelSynchronousIo(thread).Error);
            },
        ]);
        Assert.Equal(Win32.ERROR_OPERATION_ABORTED, read.Error);
        Assert.Empty(m.Findings);
    }

    [Fact, Rule("2.16")]
    public void The_end_of_a_thread_cancels_what_it_has_under_way()
    {
        using var m = new TestMachine();
        var keeper = new Keeper(m);
        Handle file = m.OpenFile(keeper.Path, options: 0);
        Va iosb = m.Block(16), offset = m.Variable(0);
        m.Thread(() => m.Nt.ZwReadFile(file, default, Va.Null, Va.Null, iosb, m.Block(8), 4, offset, Va.Null));
        m.RunOthers();
        Assert.Equal(STATUS_CANCELLED, m.StatusAt(iosb));
        Assert.Empty(m.Nt.Io.LiveIrps);
        Assert.Empty(m.Nt.DebugPrint);
    }

    [Fact, Rule("2.16")]
    public void What_a_driver_does_not_let_go_for_five_minutes_has_no_thread_any_more()
    {
        using var m = new TestMachine();
        var keeper = new Keeper(m, cancelable: false);
        Handle file = m.OpenFile(keeper.Path, options: 0);
        Va iosb = m.Block(16), offset = m.Variable(0), buffer = m.Block(8);
        m.Nt.Memory.Write(iosb, 0x77UL);
        int threads = m.Nt.Ke.Scheduler.Threads.Count;
        m.Thread(() => m.Nt.ZwReadFile(file, default, Va.Null, Va.Null, iosb, buffer, 4, offset, Va.Null));
        long begin = m.Nt.Ke.Clock.Now;
        m.Nt.KeDelayExecutionThread(0, false, m.Variable(unchecked((ulong)(-290L * 10_000_000))));
        Assert.Equal(threads + 1, m.Nt.Ke.Scheduler.Threads.Count);
        m.Nt.KeDelayExecutionThread(0, false, m.Variable(unchecked((ulong)(-20L * 10_000_000))));
        Assert.Equal(threads, m.Nt.Ke.Scheduler.Threads.Count);
        Assert.InRange(m.Nt.Ke.Clock.Now - begin, 300L * 10_000_000, 320L * 10_000_000);
        Assert.Contains("five minutes", Assert.Single(m.Nt.DebugPrint));
        Irp irp = keeper.Kept[0];
        Assert.True(irp.Cancel && irp.Thread.IsNull);
        // Its results go nowhere, and nothing is left of it.
        keeper.Complete(information: 4, fill: 1);
        Assert.Equal((0x77UL, 0UL), (m.U64(iosb), m.U64(buffer)));
        Assert.Empty(m.Nt.Io.LiveIrps);
        m.Nt.ZwClose(file);
        Assert.Equal(IRP_MJ_CLOSE, keeper.Seen[^1]);
    }

    [Fact, Rule("3.16"), Rule("6.11")]
    public void The_last_handle_cleans_up_cancels_nothing_and_close_waits_for_what_is_pending()
    {
        using var m = new TestMachine();
        var keeper = new Keeper(m, cancelable: false);
        Handle file = m.OpenFile(keeper.Path, options: 0);
        m.Nt.ZwReadFile(file, default, Va.Null, Va.Null, m.Block(16), m.Block(8), 4, m.Variable(0), Va.Null);
        m.Nt.ZwClose(file);
        Assert.False(keeper.Kept[0].Cancel);
        Assert.Equal([IRP_MJ_CREATE, IRP_MJ_READ, IRP_MJ_CLEANUP], keeper.Seen);
        keeper.Complete();
        Assert.Equal([IRP_MJ_CREATE, IRP_MJ_READ, IRP_MJ_CLEANUP, IRP_MJ_CLOSE], keeper.Seen);
    }

    [Fact, Rule("2.16")]
    public void The_end_of_a_process_cancels_the_requests_of_its_threads()
    {
        using var m = new TestMachine();
        var keeper = new Keeper(m);
        Handle shared = m.OpenFile(keeper.Path, options: 0);
        Va iosb = m.Block(16), offset = m.Variable(0), handle = m.Block(8);
        m.Nt.Ps.CreateUserProcess("other.exe", out NtProcess? other);
        Va body = m.Routine(_ => m.Nt.ZwReadFile(
            shared, default, Va.Null, Va.Null, iosb, m.Block(8), 4, offset, Va.Null).Value
            | m.Nt.KeDelayExecutionThread(0, false, m.Variable(unchecked((ulong)-600_0000_0000L))).Value);
        m.Nt.Ps.StartThread("other", other!.Object, body, Va.Null);
        m.Nt.KeDelayExecutionThread(0, false, m.Variable(unchecked((ulong)-10_000L)));
        Assert.Single(keeper.Kept);
        m.Nt.ObOpenObjectByPointer(other.Object.Address, 0x200, Va.Null, 0x1F_FFFF, Va.Null, 0, handle);
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwTerminateProcess(m.Read<Handle>(handle), STATUS_SUCCESS));
        Assert.Empty(keeper.Kept);
    }

    [Fact]
    public void Fifty_thousand_requests_are_under_way_at_once_and_all_can_be_canceled()
    {
        using var m = new TestMachine();
        var keeper = new Keeper(m);
        UserFile file = m.Open(keeper.Path), other = m.Open(keeper.Path);
        for (int i = 0; i < 50_000; i++)
            Assert.False(file.DeviceIoControl(0x22_2003, Va.Null, 0, Va.Null, 0).IsComplete);
        UserRequest kept = other.DeviceIoControl(0x22_2003, Va.Null, 0, Va.Null, 0);
        Assert.Equal(50_001, keeper.Kept.Count);
        keeper.Kept.Clear();
        Assert.Equal(50_000, file.Cancel());
        Assert.False(kept.IsComplete);
        Assert.Equal(1, other.Cancel());
        Assert.Equal(STATUS_CANCELLED, kept.Status);
        Assert.Empty(m.Nt.Io.LiveIrps);
    }
}
