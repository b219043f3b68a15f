using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>What a completed IRP brings to its requestor, where and when.</summary>
public sealed class CompletionTests
{
    static readonly Handle s_none = default;
    static readonly NtStatus s_untouched = new(0x7777_7777);

    static Va Iosb(TestMachine m)
    {
        Va iosb = m.Block(16);
        m.Nt.Memory.Write(iosb, new IoStatusBlock(s_untouched, 0x77));
        return iosb;
    }

    [Fact, Rule("1.23", Hypothesis = true)]
    public void What_another_thread_completes_reaches_the_requestor_in_its_own_thread_and_process()
    {
        using var m = new TestMachine();
        var keeper = new Keeper(m);
        Win32 win = m.Nt.User.Win32;
        Handle file = win.CreateFile(keeper.Path, flags: Win32.FILE_FLAG_OVERLAPPED).Handle;
        Win32Overlapped overlapped = win.NewOverlapped();
        Va buffer = win.VirtualAlloc(8);
        Assert.Equal(Win32.ERROR_IO_PENDING, win.ReadFile(file, buffer, 8, overlapped).Error);
        bool wasThere = true;
        m.Thread(() =>
        {
            keeper.Complete(information: 4, fill: 0x5A);
            wasThere = m.Nt.Memory.CanAccess(buffer, 8, Access.Read);
        });
        Assert.Equal(STATUS_PENDING, overlapped.Status);
        m.RunOthers();
        // The completer is in the System process, which does not have the buffer.
        Assert.False(wasThere);
        Assert.Equal((STATUS_SUCCESS, 4UL, 0x5A5A_5A5AUL), (overlapped.Status, overlapped.Information, m.U64(buffer)));
        Assert.Empty(m.Nt.Io.LiveIrps);
    }

    [Fact, Rule("1.23", Hypothesis = true)]
    public void In_a_guarded_region_the_results_have_to_wait()
    {
        using var m = new TestMachine();
        var keeper = new Keeper(m);
        Handle file = m.OpenFile(keeper.Path, options: 0);
        Va iosb = Iosb(m);
        m.Nt.ZwReadFile(file, s_none, Va.Null, Va.Null, iosb, m.Block(8), 4, m.Variable(0), Va.Null);
        m.Nt.KeEnterGuardedRegion();
        keeper.CompleteInThread();
        m.RunOthers();
        Assert.Equal(s_untouched, m.StatusAt(iosb));
        m.Nt.KeLeaveGuardedRegion();
        Assert.Equal(STATUS_SUCCESS, m.StatusAt(iosb));
    }

    [Fact, Rule("1.24", Hypothesis = true)]
    public void A_read_that_was_not_pended_is_finished_by_the_service_and_a_device_control_at_once()
    {
        using var m = new TestMachine();
        Va iosb = Iosb(m);
        var inside = new List<NtStatus>();
        m.Dispatching("Deferred", (_, irp) =>
        {
            bool isCounted = irp.CurrentStackLocation.MajorFunction is IRP_MJ_READ or IRP_MJ_DEVICE_CONTROL;
            NtStatus status = m.Complete(irp, STATUS_SUCCESS, 0);
            if (isCounted) inside.Add(m.StatusAt(iosb));
            return status;
        });
        Handle file = m.OpenFile(@"\Device\Deferred");
        m.Nt.ZwReadFile(file, s_none, Va.Null, Va.Null, iosb, m.Block(8), 4, m.Variable(0), Va.Null);
        Assert.Equal(STATUS_SUCCESS, m.StatusAt(iosb));
        m.Nt.Memory.Write(iosb, new IoStatusBlock(s_untouched, 0));
        m.Nt.ZwDeviceIoControlFile(file, s_none, Va.Null, Va.Null, iosb, 0x22_2000, Va.Null, 0, Va.Null, 0);
        Assert.Equal([s_untouched, STATUS_SUCCESS], inside);
    }

    [Fact, Rule("1.25", Hypothesis = true)]
    public void Locked_pages_are_unlocked_when_the_IRP_completes()
    {
        using var m = new TestMachine();
        var keeper = new Keeper(m, flags: Io.DO_DIRECT_IO);
        Win32 win = m.Nt.User.Win32;
        Handle file = win.CreateFile(keeper.Path, flags: Win32.FILE_FLAG_OVERLAPPED).Handle;
        win.ReadFile(file, win.VirtualAlloc(0x2000), 0x2000, win.NewOverlapped());
        Va process = m.Nt.Ps.UserProcess.Address;
        Assert.Equal(2, m.Nt.Mm.LockedPagesOf(process));
        keeper.Complete();
        Assert.Equal(0, m.Nt.Mm.LockedPagesOf(process));
    }

    [Fact, Rule("1.26", Hypothesis = true)]
    public void Paging_needs_no_APC_of_its_thread()
    {
        using var m = new TestMachine();
        var keeper = new Keeper(m);
        Handle file = m.OpenFile(keeper.Path);
        m.Nt.KeEnterGuardedRegion();
        m.Thread(() => keeper.Complete(information: 0x1000));
        IoStatusBlock result = m.Nt.Io.PageIo(m.FileOf(file), write: false, m.Block(0x1000), 0, 0x1000);
        m.Nt.KeLeaveGuardedRegion();
        Assert.Equal((STATUS_SUCCESS, 0x1000UL), (result.Status, result.Information));
    }

    [Theory, Rule("1.27", Hypothesis = true), Rule("4.8")]
    [InlineData(0x0000_0000u, true), InlineData(0x8000_0005u, true), InlineData(0xC000_0023u, false)]
    [InlineData(0x8000_0016u, false)]
    public void Data_is_copied_back_unless_the_status_is_an_error_or_asks_for_verification(uint status, bool isCopied)
    {
        using var m = new TestMachine();
        m.Dispatching("Copy", (_, irp) =>
        {
            if (irp.CurrentStackLocation.MajorFunction != IRP_MJ_READ) return m.Complete(irp, STATUS_SUCCESS);
            m.Nt.Memory.Fill(irp.SystemBuffer, 8, 0xAB);
            return m.Complete(irp, new NtStatus(status), 4);
        }, flags: Io.DO_BUFFERED_IO);
        Va buffer = m.Block(8);
        NtStatus result = m.Nt.ZwReadFile(m.OpenFile(@"\Device\Copy"), s_none, Va.Null, Va.Null, m.Block(16), buffer, 8,
            m.Variable(0), Va.Null);
        Assert.Equal(status, result.Value);
        Assert.Equal(isCopied ? 0xABAB_ABABUL : 0, m.U64(buffer));
    }

    [Fact, Rule("1.28", Hypothesis = true)]
    public void A_buffer_that_has_gone_makes_the_status_that_of_the_fault()
    {
        using var m = new TestMachine();
        var keeper = new Keeper(m);
        Win32 win = m.Nt.User.Win32;
        Handle file = win.CreateFile(keeper.Path, flags: Win32.FILE_FLAG_OVERLAPPED).Handle;
        Win32Overlapped overlapped = win.NewOverlapped();
        Va buffer = win.VirtualAlloc(8);
        win.ReadFile(file, buffer, 8, overlapped);
        win.VirtualFree(buffer, 8);
        keeper.Complete(information: 8);
        Assert.Equal(STATUS_ACCESS_VIOLATION, overlapped.Status);
        Assert.Equal(998, win.GetOverlappedResult(file, overlapped, wait: true).Error);
        // A status block that has gone harms nobody but its owner.
        win.WriteFile(file, win.VirtualAlloc(8), 8, overlapped);
        win.VirtualFree(overlapped.Address, Win32Overlapped.Size);
        keeper.Complete();
        Assert.Empty(m.Nt.Io.LiveIrps);
    }

    [Theory, Rule("1.29", Hypothesis = true), InlineData(false), InlineData(true)]
    public void An_error_is_told_only_if_the_request_was_pended(bool pends)
    {
        using var m = new TestMachine();
        Irp kept = default;
        m.Dispatching("Fails", (_, irp) =>
        {
            if (irp.CurrentStackLocation.MajorFunction != IRP_MJ_READ) return m.Complete(irp, STATUS_SUCCESS);
            if (!pends) return m.Complete(irp, STATUS_UNSUCCESSFUL);
            irp.MarkPending();
            kept = irp;
            return STATUS_PENDING;
        });
        Handle file = m.OpenFile(@"\Device\Fails", options: 0), @event = m.Event();
        Va iosb = Iosb(m);
        int apcs = 0;
        Va apc = m.Routine(_ => (ulong)++apcs);
        NtStatus sent = m.Nt.ZwReadFile(file, @event, apc, new(1), iosb, m.Block(8), 4, m.Variable(0), Va.Null);
        Assert.Equal(pends ? STATUS_PENDING : STATUS_UNSUCCESSFUL, sent);
        if (pends) m.Complete(kept, STATUS_UNSUCCESSFUL);
        Assert.Equal(pends ? STATUS_UNSUCCESSFUL : s_untouched, m.StatusAt(iosb));
        Assert.Equal(pends ? STATUS_SUCCESS : STATUS_TIMEOUT,
            m.Nt.ZwWaitForSingleObject(@event, false, m.Variable(0)));
        Assert.Equal(pends ? 1 : 0, apcs);
    }

    [Fact, Rule("1.30", Hypothesis = true)]
    public void An_error_after_pending_on_a_synchronous_file_is_in_the_file_and_of_a_waiting_service_in_its_block()
    {
        using var m = new TestMachine();
        var keeper = new Keeper(m);
        Handle file = m.OpenFile(keeper.Path);
        Va iosb = Iosb(m);
        keeper.CompleteInThread(STATUS_UNSUCCESSFUL);
        Assert.Equal(STATUS_UNSUCCESSFUL,
            m.Nt.ZwReadFile(file, s_none, Va.Null, Va.Null, iosb, m.Block(8), 4, m.Variable(0), Va.Null));
        Assert.Equal(s_untouched, m.StatusAt(iosb));
        FileObject o = m.FileOf(file);
        Assert.Equal((STATUS_UNSUCCESSFUL, 1), (o.FinalStatus, o.Event.SignalState));
        keeper.CompleteInThread(STATUS_NO_SUCH_DEVICE);
        Assert.Equal(STATUS_NO_SUCH_DEVICE, m.Nt.ZwFlushBuffersFile(m.OpenFile(keeper.Path, options: 0), iosb));
        Assert.Equal(STATUS_NO_SUCH_DEVICE, m.StatusAt(iosb));
    }

    [Fact, Rule("1.31")]
    public void More_information_than_there_is_room_is_a_finding_and_no_more_is_copied()
    {
        using var m = new TestMachine();
        m.Dispatching("Generous", (_, irp) => m.Complete(
            irp, STATUS_SUCCESS, irp.CurrentStackLocation.MajorFunction == IRP_MJ_READ ? 16UL : 0),
            flags: Io.DO_BUFFERED_IO);
        UserRequest read = m.Open(@"\Device\Generous").Read(4);
        Assert.Equal((16UL, 4), (read.Information, read.Output.Length));
        Assert.Contains(m.Findings, f => f.Rule == "Completion");
    }

    [Fact, Rule("2.9"), Rule("2.10")]
    public void A_drivers_IRP_of_its_thread_ends_there_and_one_with_paging_flags_copies_nothing()
    {
        using var m = new TestMachine();
        var keeper = new Keeper(m);
        Va iosb = Iosb(m), output = m.Block(8);
        Irp irp = m.Nt.IoBuildDeviceIoControlRequest(
            0x22_2000, keeper.Device, m.Block(8), 8, output, 8, false, m.NewEvent(), iosb);
        Assert.Equal(m.Nt.Ke.CurrentThread.IrpList.Flink.Address, irp.ThreadListEntry.Address);
        m.Nt.IofCallDriver(keeper.Device, irp);
        NtStatus inCompleter = default;
        m.Thread(() =>
        {
            keeper.Complete(information: 8, fill: 9);
            inCompleter = m.StatusAt(iosb);
        });
        m.RunOthers();
        Assert.Equal(s_untouched, inCompleter);
        Assert.Equal((STATUS_SUCCESS, 0x0909_0909_0909_0909UL), (m.StatusAt(iosb), m.U64(output)));
        Assert.True(m.Nt.Ke.CurrentThread.IrpList.IsEmpty);
        // IRP_SYNCHRONOUS_PAGING_IO is the bit that means "copy back" where nothing is paged.
        Irp paging = m.Nt.IoBuildDeviceIoControlRequest(
            0x22_2000, keeper.Device, m.Block(8), 8, output, 8, false, m.NewEvent(), iosb);
        paging.Flags |= Io.IRP_PAGING_IO;
        m.Nt.IofCallDriver(keeper.Device, paging);
        keeper.Complete(information: 8, fill: 7);
        Assert.Equal(0x0909_0909_0909_0909UL, m.U64(output));
    }
}
