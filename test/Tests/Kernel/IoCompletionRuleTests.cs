using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>Completion: the way up the stack, what completion routines are told, and what a driver must not
/// do.</summary>
public sealed class IoCompletionRuleTests
{
    [Fact, Rule("1.1")]
    public void Statuses_are_success_information_warning_or_error_by_their_two_highest_bits()
    {
        Assert.True(new NtStatus(0x3FFF_FFFF).IsSuccess);
        Assert.True(new NtStatus(0x7FFF_FFFF).IsSuccess);
        Assert.False(new NtStatus(0x8000_0000).IsSuccess);
        Assert.False(new NtStatus(0xFFFF_FFFF).IsSuccess);
    }

    [Fact, Rule("1.2")]
    public void Completing_above_DISPATCH_LEVEL_is_found()
    {
        using var m = new TestMachine();
        Irp irp = m.OwnIrp(1);
        DeviceObject device = m.Dispatching("High", (_, sent) =>
        {
            Irql old = m.Nt.Ke.Raise((Irql)5);
            m.Complete(sent, STATUS_SUCCESS);
            m.Nt.Ke.Lower(old);
            return STATUS_SUCCESS;
        });
        m.Nt.IofCallDriver(device, irp);
        Assert.Contains(m.Findings, f => f.Rule == "Irql" && f.Message.StartsWith("IofCompleteRequest"));
    }

    [Theory, Rule("1.3")]
    [InlineData(0x103u), InlineData(0xFFFF_FFFFu)]
    public void A_status_that_is_not_final_is_found(uint status)
    {
        using var m = new TestMachine();
        DeviceObject device = m.Dispatching("Pending", (_, irp) =>
        {
            m.Complete(irp, new NtStatus(status));
            return new NtStatus(status);
        });
        m.Nt.IofCallDriver(device, m.OwnIrp(1));
        Assert.Contains(m.Findings, f => f.Message.Contains("0xC9/0x6"));
    }

    [Fact, Rule("1.3")]
    public void Completing_with_a_cancel_routine_set_stops_the_machine()
    {
        using var m = new TestMachine();
        Irp irp = m.OwnIrp(1);
        Va cancel = m.Routine(_ => 0);
        DeviceObject device = m.Dispatching("Left", (_, sent) =>
        {
            sent.CancelRoutine = cancel;
            return m.Complete(sent, STATUS_SUCCESS);
        });
        BugCheck stop = Assert.Throws<BugCheck>(() => m.Nt.IofCallDriver(device, irp));
        Assert.Equal((BugCheckCode.CANCEL_STATE_IN_COMPLETED_IRP, irp.Address.Value, cancel.Value),
            (stop.Code, stop.Parameters[0], stop.Parameters[1]));
        m.Found("0xC9/0x7");
    }

    [Fact, Rule("1.4")]
    public void A_second_completion_stops_the_machine()
    {
        using var m = new TestMachine();
        DeviceObject device = m.Dispatching("Twice", (_, irp) =>
        {
            m.Complete(irp, STATUS_SUCCESS);
            m.Nt.IofCompleteRequest(irp, 0);
            return STATUS_SUCCESS;
        });
        BugCheck stop = Assert.Throws<BugCheck>(() => m.OpenFile(@"\Device\Twice"));
        Assert.Equal(BugCheckCode.MULTIPLE_IRP_COMPLETE_REQUESTS, stop.Code);
    }

    [Theory, Rule("1.5")]
    [InlineData(true), InlineData(false)]
    public void A_spin_lock_held_while_an_IRP_is_completed_or_sent_is_found(bool completes)
    {
        using var m = new TestMachine();
        Va spinLock = m.Block(8);
        m.Nt.KeInitializeSpinLock(spinLock);
        DeviceObject lower = m.Dispatching("Lower", (_, irp) =>
        {
            if (!completes) return m.Complete(irp, STATUS_SUCCESS);
            Irql old = m.Nt.KeAcquireSpinLockRaiseToDpc(spinLock);
            m.Complete(irp, STATUS_SUCCESS);
            m.Nt.KeReleaseSpinLock(spinLock, old);
            return STATUS_SUCCESS;
        });
        Irp own = m.OwnIrp(1, IRP_MJ_READ);
        Irql before = completes ? Irql.PASSIVE_LEVEL : m.Nt.KeAcquireSpinLockRaiseToDpc(spinLock);
        m.Nt.IofCallDriver(lower, own);
        if (!completes) m.Nt.KeReleaseSpinLock(spinLock, before);
        Assert.Contains(m.Findings, f => f.Rule == "SpinLock" && f.Message.Contains(completes ? "completed" : "sent"));
        int found = m.Findings.Count;
        m.Nt.IoReuseIrp(own, STATUS_SUCCESS);
        own.Next(IRP_MJ_READ);
        own.OnCompletion(m.Keeping());
        if (!completes) m.Nt.IofCallDriver(lower, own);
        Assert.Equal(found, m.Findings.Count);
    }

    [Theory, Rule("1.6"), Rule("1.7"), Rule("1.8")]
    [InlineData(0x00000000u, false, StackControl.SL_INVOKE_ON_SUCCESS)]
    [InlineData(0x40000000u, false, StackControl.SL_INVOKE_ON_SUCCESS)]
    [InlineData(0x80000005u, false, StackControl.SL_INVOKE_ON_ERROR)]
    [InlineData(0xC0000001u, false, StackControl.SL_INVOKE_ON_ERROR)]
    [InlineData(0xC0000120u, false, StackControl.SL_INVOKE_ON_ERROR)]
    [InlineData(0x00000000u, true, StackControl.SL_INVOKE_ON_SUCCESS | StackControl.SL_INVOKE_ON_CANCEL)]
    [InlineData(0xC0000120u, true, StackControl.SL_INVOKE_ON_ERROR | StackControl.SL_INVOKE_ON_CANCEL)]
    public void A_completion_routine_is_called_for_what_it_asked_for(uint status, bool canceled, StackControl invokes)
    {
        foreach (StackControl one in (StackControl[])[StackControl.SL_INVOKE_ON_SUCCESS,
            StackControl.SL_INVOKE_ON_ERROR, StackControl.SL_INVOKE_ON_CANCEL])
        {
            using var m = new TestMachine();
            DeviceObject lower = m.Dispatching("Lower", (_, irp) => m.Complete(irp, new NtStatus(status)));
            bool called = false;
            Irp own = m.OwnIrp(2);
            own.Cancel = canceled;
            Va routine = m.Routine(_ =>
            {
                called = true;
                return 0;
            });
            m.Over(lower, "Upper", (_, irp) =>
            {
                irp.CopyToNext();
                irp.OnCompletion(routine, one);
                return m.Nt.IofCallDriver(lower, irp);
            });
            m.Nt.IofCallDriver(m.Nt.IoGetAttachedDevice(lower), own);
            Assert.Equal((invokes & one) != 0, called);
            Assert.Empty(m.Findings);
        }
    }

    /// <summary>Three drivers; the lowest marks its IRP pending and completes it, the middle one has no completion
    /// routine.</summary>
    [Theory, Rule("1.9", Hypothesis = true)]
    [InlineData(true), InlineData(false)]
    public void The_pending_mark_travels_up_by_itself_where_nobody_is_asked(bool pending)
    {
        using var m = new TestMachine();
        DeviceObject low = m.Dispatching("Low", (_, irp) =>
        {
            if (pending) irp.MarkPending();
            m.Complete(irp, STATUS_SUCCESS);
            return pending ? STATUS_PENDING : STATUS_SUCCESS;
        });
        DeviceObject middle = m.Over(low, "Middle", (_, irp) =>
        {
            irp.CopyToNext();
            return m.Nt.IofCallDriver(low, irp);
        });
        m.Nt.IoAttachDeviceToDeviceStack(m.Device(m.Driver(), ""), low);
        bool? seen = null;
        Irp own = m.Nt.IoAllocateIrp(2, false);
        own.Next(IRP_MJ_FLUSH_BUFFERS);
        own.OnCompletion(m.Keeping(irp => seen = irp.PendingReturned));
        m.Nt.IofCallDriver(middle, own);
        Assert.Equal(pending, seen);
        Assert.Empty(m.Findings);
    }

    [Theory, Rule("1.10")]
    [InlineData(true), InlineData(false)]
    public void A_completion_routine_passes_on_that_the_IRP_was_pending(bool marks)
    {
        using var m = new TestMachine();
        DeviceObject low = m.Dispatching("Low", (_, irp) =>
        {
            irp.MarkPending();
            m.Complete(irp, STATUS_SUCCESS);
            return STATUS_PENDING;
        });
        Va routine = m.Routine(call =>
        {
            Irp irp = Irp.At(m.Nt.Memory, new Va(call.Argument(1)));
            if (marks && irp.PendingReturned) irp.MarkPending();
            return 0;
        });
        DeviceObject upper = m.Over(low, "Upper", (_, irp) =>
        {
            irp.CopyToNext();
            irp.OnCompletion(routine);
            return m.Nt.IofCallDriver(low, irp);
        });
        m.Nt.IofCallDriver(upper, m.OwnIrp(2));
        if (marks) Assert.Empty(m.Findings);
        else Assert.Contains(m.Findings, f => f.Message.Contains("0xC9/0x228"));
    }

    [Fact, Rule("1.11"), Rule("1.12", Hypothesis = true)]
    public void Who_keeps_an_IRP_has_it_with_his_own_location_and_completes_it_to_the_routine_above()
    {
        using var m = new TestMachine();
        var order = new List<string>();
        var devices = new List<Va>();
        DeviceObject low = m.Dispatching("Low", (_, irp) => m.Complete(irp, STATUS_SUCCESS));
        DeviceObject upper = default;
        upper = m.Over(low, "Upper", (_, irp) =>
        {
            IoStackLocation mine = irp.CurrentStackLocation;
            irp.CopyToNext();
            irp.OnCompletion(m.Routine(call =>
            {
                order.Add("upper");
                devices.Add(new Va(call.Argument(0)));
                return STATUS_MORE_PROCESSING_REQUIRED.Value;
            }));
            m.Nt.IofCallDriver(low, irp);
            Assert.Equal(mine, irp.CurrentStackLocation);
            Assert.Equal(IRP_MJ_FLUSH_BUFFERS, irp.CurrentStackLocation.MajorFunction);
            order.Add("again");
            return m.Complete(irp, STATUS_SUCCESS);
        });
        Irp own = m.Nt.IoAllocateIrp(2, false);
        own.Next(IRP_MJ_FLUSH_BUFFERS);
        own.OnCompletion(m.Routine(call =>
        {
            order.Add("creator");
            devices.Add(new Va(call.Argument(0)));
            return STATUS_MORE_PROCESSING_REQUIRED.Value;
        }));
        m.Nt.IofCallDriver(upper, own);
        Assert.Equal(["upper", "again", "creator"], order);
        Assert.Equal([upper.Address, Va.Null], devices);
        Assert.Empty(m.Findings);
        m.Nt.IoFreeIrp(own);
    }

    [Fact, Rule("1.13")]
    public void A_creator_without_a_location_that_marks_its_IRP_writes_past_it()
    {
        using var m = new TestMachine();
        DeviceObject low = m.Dispatching("Low", (_, irp) =>
        {
            irp.MarkPending();
            m.Complete(irp, STATUS_SUCCESS);
            return STATUS_PENDING;
        });
        Irp own = m.Nt.IoAllocateIrp(2, false);
        own.Next(IRP_MJ_FLUSH_BUFFERS);
        own.OnCompletion(m.Routine(call =>
        {
            Irp.At(m.Nt.Memory, new Va(call.Argument(1))).MarkPending();
            return STATUS_MORE_PROCESSING_REQUIRED.Value;
        }));
        BugCheck stop = Assert.Throws<BugCheck>(() => m.Nt.IofCallDriver(low, own));
        Assert.Contains("PAGE", stop.Code.ToString());
    }

    [Fact, Rule("1.14")]
    public void A_completion_routine_that_changes_the_IRQL_or_leaves_a_critical_region_entered_is_found()
    {
        using var m = new TestMachine();
        DeviceObject low = m.Dispatching("Low", (_, irp) => m.Complete(irp, STATUS_SUCCESS));
        foreach (bool raises in (bool[])[true, false])
        {
            Irp own = m.OwnIrp(1);
            own.OnCompletion(m.Keeping(_ =>
            {
                if (raises) m.Nt.Ke.Raise(Irql.APC_LEVEL);
                else m.Nt.KeEnterCriticalRegion();
            }));
            m.Nt.IofCallDriver(low, own);
            m.Nt.Ke.Lower(Irql.PASSIVE_LEVEL);
        }
        m.Nt.KeLeaveCriticalRegion();
        Assert.Contains(m.Findings, f => f.Message.Contains("0xC4/0xFA"));
        Assert.Contains(m.Findings, f => f.Message.Contains("0xC4/0xFB"));
    }

    [Fact, Rule("1.15")]
    public void The_boost_raises_the_priority_of_the_thread_that_asked()
    {
        using var m = new TestMachine();
        DeviceObject low = m.Dispatching("Low", (_, irp) =>
        {
            irp.IoStatus = new IoStatusBlock(STATUS_SUCCESS, 0);
            const sbyte IO_SOUND_INCREMENT = 8;
            m.Nt.IofCompleteRequest(irp, IO_SOUND_INCREMENT);
            return STATUS_SUCCESS;
        });
        NtThread thread = m.Nt.Ke.Scheduler.Current;
        int before = thread.BasePriority;
        Irp irp = m.Nt.IoBuildSynchronousFsdRequest(
            (uint)IRP_MJ_FLUSH_BUFFERS, low, Va.Null, 0, Va.Null, m.NewEvent(), m.Block(16));
        m.Nt.IofCallDriver(low, irp);
        Assert.Equal(Math.Min(15, before + 8), m.Nt.KeQueryPriorityThread(m.Nt.Ke.CurrentThread));
    }

    [Fact, Rule("1.16")]
    public void An_IRP_that_is_touched_after_it_was_completed_is_found()
    {
        using var m = new TestMachine();
        m.Load(Repository.Driver("misbehave"));
        const uint completeTwice = 0x22_200C;
        UserFile file = m.Open(@"\\.\Misbehave");
        BugCheck stop = Assert.Throws<BugCheck>(() => file.DeviceIoControl(completeTwice, [], 0));
        Assert.Equal(BugCheckCode.MULTIPLE_IRP_COMPLETE_REQUESTS, stop.Code);
        Assert.Contains(m.Findings, f => f.Message.Contains("touched"));
    }

    [Theory, Rule("1.17"), Rule("1.21")]
    [InlineData(true, true, 0x103u, null)]
    [InlineData(false, true, 0x103u, "0xC9/0x23D")]
    [InlineData(true, true, 0u, "0xC9/0x23E")]
    [InlineData(false, true, 0xC0000001u, "0xC9/0x224")]
    [InlineData(false, false, 0u, "0xC9/0x226")]
    public void What_dispatch_returns_agrees_with_what_became_of_the_IRP(
        bool marks, bool completes, uint returns, string? code)
    {
        using var m = new TestMachine();
        DeviceObject low = m.Dispatching("Low", (_, irp) =>
        {
            if (marks) irp.MarkPending();
            if (completes) m.Complete(irp, STATUS_SUCCESS);
            return new NtStatus(returns);
        });
        m.Nt.IofCallDriver(low, m.OwnIrp(1));
        if (code is null) Assert.Empty(m.Findings);
        else m.Found(code);
    }

    [Fact, Rule("1.17"), Rule("2.3")]
    public void A_skipped_location_is_used_again_and_its_driver_returns_what_the_lower_one_did()
    {
        using var m = new TestMachine();
        int location = 0;
        DeviceObject low = m.Dispatching("Low", (_, irp) =>
        {
            location = irp.CurrentLocation;
            return m.Complete(irp, STATUS_DEVICE_BUSY);
        });
        DeviceObject upper = m.Over(low, "Upper", (_, irp) =>
        {
            irp.Skip();
            return m.Nt.IofCallDriver(low, irp);
        });
        Assert.Equal(STATUS_DEVICE_BUSY, m.Nt.IofCallDriver(upper, m.OwnIrp(2)));
        Assert.Equal(2, location);
        Assert.Empty(m.Findings);
    }

    [Fact, Rule("1.18"), Rule("1.19")]
    public void An_IRP_that_is_marked_first_may_be_completed_before_dispatch_returns()
    {
        using var m = new TestMachine();
        DeviceObject low = m.Dispatching("Low", (_, irp) =>
        {
            irp.MarkPending();
            m.Thread(() => m.Complete(irp, STATUS_SUCCESS));
            m.Pause();
            return STATUS_PENDING;
        });
        KEvent done = m.NewEvent();
        Irp irp = m.Nt.IoBuildSynchronousFsdRequest(
            (uint)IRP_MJ_FLUSH_BUFFERS, low, Va.Null, 0, Va.Null, done, m.Block(16));
        Assert.Equal(STATUS_PENDING, m.Nt.IofCallDriver(low, irp));
        Assert.Equal(1, done.SignalState);
        Assert.Empty(m.Findings);
    }

    [Fact, Rule("1.20")]
    public void A_driver_that_forwards_and_waits_completes_the_IRP_itself()
    {
        using var m = new TestMachine();
        KEvent done = m.NewEvent();
        DeviceObject low = m.Dispatching("Low", (_, irp) =>
        {
            irp.MarkPending();
            m.Thread(() => m.Complete(irp, STATUS_SUCCESS, 3));
            return STATUS_PENDING;
        });
        DeviceObject upper = m.Over(low, "Upper", (_, irp) =>
        {
            irp.CopyToNext();
            irp.OnCompletion(m.Keeping(_ => m.Nt.KeSetEvent(done, 0, false)));
            if (m.Nt.IofCallDriver(low, irp) == STATUS_PENDING) m.WaitFor(done);
            return m.Complete(irp, irp.IoStatus.Status, irp.IoStatus.Information + 1);
        });
        Irp own = m.OwnIrp(2);
        Assert.Equal(STATUS_SUCCESS, m.Nt.IofCallDriver(upper, own));
        Assert.Equal(4UL, own.IoStatus.Information);
        Assert.Empty(m.Findings);
    }

    [Fact, Rule("1.22", Hypothesis = true)]
    public void An_associated_IRP_that_its_routine_keeps_does_not_count_down_its_master()
    {
        using var m = new TestMachine();
        DeviceObject low = m.Dispatching("Low", (_, irp) => m.Complete(irp, STATUS_SUCCESS));
        int completed = 0;
        Irp master = m.Nt.IoAllocateIrp(2, false);
        master.Next(IRP_MJ_READ);
        master.OnCompletion(m.Keeping(_ => completed++));
        master.SetNext();
        master.IrpCount = 1;
        Irp part = m.Nt.IoMakeAssociatedIrp(master, 1);
        part.Next(IRP_MJ_READ);
        part.OnCompletion(m.Keeping());
        m.Nt.IofCallDriver(low, part);
        Assert.Equal((0, 1), (completed, master.IrpCount));
        m.Nt.IofCompleteRequest(part, 0);
        Assert.Equal(1, completed);
    }

    [Fact, Rule("1.31")]
    public void More_information_than_there_is_room_for_is_found()
    {
        using var m = new TestMachine();
        m.Dispatching("Much", (_, irp) => m.Complete(irp, STATUS_SUCCESS,
            irp.CurrentStackLocation.MajorFunction == IRP_MJ_DEVICE_CONTROL ? 100UL : 0));
        m.Open(@"\Device\Much").DeviceIoControl(0x22_2000, [], 4);
        m.Found("0xC9/0x312");
    }
}
