using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>IRPs that drivers make: who frees them, what may be done with them, and how they are passed on.</summary>
public sealed class IoIrpRuleTests
{
    static DeviceObject Succeeding(TestMachine m, string name = "Low") =>
        m.Dispatching(name, (_, irp) => m.Complete(irp, STATUS_SUCCESS), flags: Io.DO_BUFFERED_IO);

    static DeviceObject Holding(TestMachine m, string name = "Low") => m.Dispatching(name, (_, irp) =>
    {
        irp.MarkPending();
        return STATUS_PENDING;
    });

    [Fact, Rule("2.1")]
    public void IofCallDriver_makes_the_next_location_current_and_stops_the_machine_when_there_is_none()
    {
        using var m = new TestMachine();
        var seen = new List<(int Location, Va Device)>();
        DeviceObject low = default;
        low = m.Dispatching("Low", (_, irp) =>
        {
            seen.Add((irp.CurrentLocation, irp.CurrentStackLocation.DeviceObject.Address));
            irp.CopyToNext();
            return m.Nt.IofCallDriver(low, irp);
        });
        Irp own = m.OwnIrp(1);
        BugCheck stop = Assert.ThrowsAny<BugCheck>(() => m.Nt.IofCallDriver(low, own));
        Assert.Equal((BugCheckCode.NO_MORE_IRP_STACK_LOCATIONS, own.Address.Value), (stop.Code, stop.Parameters[0]));
        Assert.Equal([(1, low.Address)], seen);
    }

    [Theory, Rule("2.2")]
    [InlineData(IRP_MJ_READ, false), InlineData(IRP_MJ_WRITE, false), InlineData(IRP_MJ_DEVICE_CONTROL, false)]
    [InlineData(IRP_MJ_INTERNAL_DEVICE_CONTROL, false), InlineData(IRP_MJ_POWER, false)]
    [InlineData(IRP_MJ_CREATE, true), InlineData(IRP_MJ_PNP, true), InlineData(IRP_MJ_FLUSH_BUFFERS, true)]
    public void Few_majors_may_be_sent_at_DISPATCH_LEVEL(IrpMajor major, bool isFound)
    {
        using var m = new TestMachine();
        DeviceObject low = Succeeding(m);
        Irp own = m.OwnIrp(1, major);
        own.IoStatus = new(STATUS_NOT_SUPPORTED, 0);
        Irql old = m.Nt.Ke.Raise(Irql.DISPATCH_LEVEL);
        m.Nt.IofCallDriver(low, own);
        m.Nt.Ke.Lower(old);
        if (isFound) m.Found("0xC9/0x23A");
        // That a driver makes power IRPs is another matter.
        else Assert.DoesNotContain(m.Findings, f => f.Rule != "Power");
    }

    [Fact, Rule("2.3")]
    public void An_IRP_that_is_marked_pending_and_then_skipped_is_found()
    {
        using var m = new TestMachine();
        DeviceObject low = m.Dispatching("Low", (_, irp) =>
        {
            m.Complete(irp, STATUS_SUCCESS);
            return STATUS_PENDING;
        });
        DeviceObject upper = m.Over(low, "Upper", (_, irp) =>
        {
            irp.MarkPending();
            irp.Skip();
            m.Nt.IofCallDriver(low, irp);
            return STATUS_PENDING;
        });
        m.Nt.IofCallDriver(upper, m.OwnIrp(2));
        Assert.Contains(m.Findings, f => f.Message.Contains("0xC9/0x206"));
    }

    [Fact, Rule("2.4")]
    public void A_location_that_is_copied_by_hand_with_its_completion_routine_is_found()
    {
        using var m = new TestMachine();
        DeviceObject low = Succeeding(m);
        DeviceObject upper = m.Over(low, "Upper", (_, irp) =>
        {
            m.Nt.Memory.Write(irp.CurrentStackLocation.Below.Address,
                m.Nt.Memory.ReadBytes(irp.CurrentStackLocation.Address, IoStackLocation.Size));
            return m.Nt.IofCallDriver(low, irp);
        });
        m.Nt.IofCallDriver(upper, m.OwnIrp(2));
        Assert.Contains(m.Findings, f => f.Message.Contains("0xC9/0x207"));
    }

    [Fact, Rule("2.4")]
    public void Copying_leaves_the_completion_routine_its_context_and_the_control_bits_behind()
    {
        using var m = new TestMachine();
        Irp irp = m.Nt.IoAllocateIrp(2, false);
        irp.SetNext();
        IoStackLocation here = irp.CurrentStackLocation, next = here.Below;
        (here.MajorFunction, here.Flags, here.Parameter4) = (IRP_MJ_READ, 3, 9);
        (here.CompletionRoutine, here.Context, here.Control) = (new(1), new(2), StackControl.SL_INVOKE_ALWAYS);
        irp.CopyToNext();
        Assert.Equal((IRP_MJ_READ, (byte)3, 9UL), (next.MajorFunction, next.Flags, next.Parameter4));
        Assert.Equal((Va.Null, Va.Null, StackControl.None), (next.CompletionRoutine, next.Context, next.Control));
    }

    [Fact, Rule("2.5")]
    public void IoSetCompletionRoutineEx_fails_without_memory_and_leaks_what_is_never_sent()
    {
        using var m = new TestMachine();
        DeviceObject low = Succeeding(m);
        ObjectHeader header = m.Nt.Ob.At(low.Address).Header;
        long before = header.PointerCount;
        Irp irp = m.Nt.IoAllocateIrp(1, false);
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoSetCompletionRoutineEx(low, irp, m.Keeping(), Va.Null, true, true, true));
        m.Nt.IoFreeIrp(irp);
        Assert.Equal(before + 1, header.PointerCount);
        m.Nt.Mm.Pool.MayAllocate = (_, _) => false;
        Irp other = Irp.At(m.Nt.Memory, m.Nt.Mm.Pool.Allocate(Irp.Size + IoStackLocation.Size, 0));
        m.Nt.IoInitializeIrp(other, (ushort)(Irp.Size + IoStackLocation.Size), 1);
        Assert.Equal(STATUS_INSUFFICIENT_RESOURCES,
            m.Nt.IoSetCompletionRoutineEx(low, other, m.Keeping(), Va.Null, true, true, true));
        Assert.Equal(before + 1, header.PointerCount);
    }

    [Fact, Rule("2.6")]
    public void An_IRP_of_IoAllocateIrp_is_no_threads_and_must_not_be_completed_to_the_top()
    {
        using var m = new TestMachine();
        DeviceObject low = Succeeding(m);
        Irp irp = m.Nt.IoAllocateIrp(1, false);
        Assert.True(irp.Thread.IsNull);
        Assert.False(irp.IsOnThreadList);
        irp.Next(IRP_MJ_FLUSH_BUFFERS);
        m.Nt.IofCallDriver(low, irp);
        m.Found("completed to the top");
    }

    [Fact, Rule("2.7")]
    public void IoInitializeIrp_and_IoReuseIrp_on_what_they_are_not_for_are_found()
    {
        using var m = new TestMachine();
        DeviceObject low = Succeeding(m);
        Irp own = m.Nt.IoAllocateIrp(1, false);
        m.Nt.IoReuseIrp(own, STATUS_DEVICE_BUSY);
        Assert.Equal((STATUS_DEVICE_BUSY, 2), (own.IoStatus.Status, (int)own.CurrentLocation));
        Assert.Empty(m.Findings);
        m.Nt.IoInitializeIrp(own, own.ObjectSize, 1);
        m.Found("0xC9/0x20D");
        foreach (Irp other in (Irp[])[
            m.Nt.IoMakeAssociatedIrp(m.Nt.IoAllocateIrp(1, false), 1),
            m.Nt.IoBuildDeviceIoControlRequest(
                0x22_2000, low, Va.Null, 0, Va.Null, 0, false, m.NewEvent(), m.Block(16)),
            m.Nt.IoBuildAsynchronousFsdRequest((uint)IRP_MJ_FLUSH_BUFFERS, low, Va.Null, 0, Va.Null, m.Block(16))])
            m.Nt.IoReuseIrp(other, STATUS_SUCCESS);
        Assert.Equal(3, m.Findings.Where(f => f.Message.Contains("0xC9/0x311")).Sum(f => f.Count));
    }

    [Fact, Rule("2.7"), Rule("2.13")]
    public void An_IRP_that_a_lower_driver_has_is_neither_reused_nor_freed()
    {
        using var m = new TestMachine();
        DeviceObject low = Holding(m);
        Irp one = m.OwnIrp(1), two = m.OwnIrp(1);
        m.Nt.IofCallDriver(low, one);
        m.Nt.IofCallDriver(low, two);
        m.Nt.IoReuseIrp(one, STATUS_SUCCESS);
        m.Found("0xC9/0x310");
        m.Nt.IoFreeIrp(two);
        Assert.Contains(m.Findings, f => f.Message.Contains("0xC9/0x20A"));
    }

    [Fact, Rule("2.8")]
    public void An_asynchronous_request_is_of_the_thread_but_not_on_its_list_and_its_driver_frees_it()
    {
        using var m = new TestMachine();
        DeviceObject low = m.Dispatching(
            "Low", (_, irp) => m.Complete(irp, STATUS_SUCCESS, 4), flags: Io.DO_BUFFERED_IO);
        Va buffer = m.Variable(0x1122_3344);
        Irp irp = m.Nt.IoBuildAsynchronousFsdRequest((uint)IRP_MJ_WRITE, low, buffer, 4, m.Variable(8), m.Block(16));
        Assert.Equal(m.Nt.Ke.CurrentThread, irp.Thread);
        Assert.False(irp.IsOnThreadList);
        Assert.NotEqual(buffer, irp.SystemBuffer);
        Assert.Equal(0x1122_3344U, m.U32(irp.SystemBuffer));
        irp.OnCompletion(m.Keeping(done =>
        {
            m.Nt.ExFreePool(done.SystemBuffer);
            m.Nt.IoFreeIrp(done);
        }));
        m.Nt.IofCallDriver(low, irp);
        Assert.Empty(m.Findings);
        Assert.Empty(m.Nt.Io.LiveIrps);
        DeviceObject direct = m.Dispatching(
            "Direct", (_, sent) => m.Complete(sent, STATUS_SUCCESS), flags: Io.DO_DIRECT_IO);
        Irp read = m.Nt.IoBuildAsynchronousFsdRequest((uint)IRP_MJ_READ, direct, buffer, 4, m.Variable(8), m.Block(16));
        Assert.NotEqual(MdlFlags.None, read.MdlAddress.MdlFlags & MdlFlags.PagesLocked);
        foreach (IrpMajor major in (IrpMajor[])[IRP_MJ_FLUSH_BUFFERS, IRP_MJ_SHUTDOWN, IRP_MJ_PNP])
            Assert.Equal(major, m.Nt.IoBuildAsynchronousFsdRequest(
                (uint)major, low, Va.Null, 0, Va.Null, m.Block(16)).CurrentStackLocation.Below.MajorFunction);
    }

    [Theory, Rule("2.9"), Rule("2.10")]
    [InlineData(true), InlineData(false)]
    public void A_synchronous_request_is_on_its_threads_list_until_the_system_frees_it(bool isControl)
    {
        using var m = new TestMachine();
        DeviceObject low = Holding(m);
        KEvent done = m.NewEvent();
        Va iosb = m.Block(16);
        Irp irp = isControl
            ? m.Nt.IoBuildDeviceIoControlRequest(0x22_2003, low, new(0x1000), 8, new(0x2000), 9, true, done, iosb)
            : m.Nt.IoBuildSynchronousFsdRequest((uint)IRP_MJ_SHUTDOWN, low, Va.Null, 0, Va.Null, done, iosb);
        Assert.True(irp.IsOnThreadList);
        Assert.Equal(irp.ThreadListEntry.Address, m.Nt.Ke.CurrentThread.IrpList.Flink.Address);
        IoStackLocation next = irp.CurrentStackLocation.Below;
        Assert.Equal(isControl ? IRP_MJ_INTERNAL_DEVICE_CONTROL : IRP_MJ_SHUTDOWN, next.MajorFunction);
        if (isControl) Assert.Equal((new Va(0x2000), 0x1000UL), (irp.UserBuffer, next.Parameter4));
        Assert.Equal(STATUS_PENDING, m.Nt.IofCallDriver(low, irp));
        m.Complete(irp, STATUS_SUCCESS, 5);
        Assert.Equal((1, 5UL), (done.SignalState, m.U64(iosb + 8)));
        Assert.True(m.Nt.Ke.CurrentThread.IrpList.IsEmpty);
        Assert.Empty(m.Nt.Io.LiveIrps);
        Assert.Empty(m.Findings);
    }

    [Fact, Rule("2.9"), Rule("2.13")]
    public void IoFreeIrp_of_a_threads_IRP_is_found()
    {
        using var m = new TestMachine();
        Irp irp = m.Nt.IoBuildSynchronousFsdRequest(
            (uint)IRP_MJ_FLUSH_BUFFERS, Succeeding(m), Va.Null, 0, Va.Null, m.NewEvent(), m.Block(16));
        m.Nt.IoFreeIrp(irp);
        m.Found("0xC9/0x20C");
        Assert.True(m.Nt.Ke.CurrentThread.IrpList.IsEmpty);
    }

    [Fact, Rule("2.11")]
    public void An_event_that_is_signaled_already_is_found_when_the_request_is_pending()
    {
        using var m = new TestMachine();
        DeviceObject low = Holding(m);
        KEvent done = m.NewEvent();
        m.Nt.KeSetEvent(done, 0, false);
        m.Nt.IofCallDriver(low, m.Nt.IoBuildSynchronousFsdRequest(
            (uint)IRP_MJ_FLUSH_BUFFERS, low, Va.Null, 0, Va.Null, done, m.Block(16)));
        m.Found("0xC9/0x307");
    }

    [Fact, Rule("2.12")]
    public void An_associated_IRP_has_its_masters_thread_and_is_on_no_list()
    {
        using var m = new TestMachine();
        Irp master = m.Nt.IoBuildSynchronousFsdRequest(
            (uint)IRP_MJ_FLUSH_BUFFERS, Succeeding(m), Va.Null, 0, Va.Null, m.NewEvent(), m.Block(16));
        Irp part = m.Nt.IoMakeAssociatedIrp(master, 1);
        Assert.Equal(master.Thread, part.Thread);
        Assert.False(part.IsOnThreadList);
    }

    [Fact, Rule("2.13")]
    public void IoFreeIrp_of_what_is_no_IRP_stops_the_machine_and_freeing_its_pool_is_found()
    {
        using var m = new TestMachine();
        Irp irp = m.Nt.IoAllocateIrp(1, false), no = Irp.At(m.Nt.Memory, m.Block(Irp.Size));
        m.Nt.ExFreePool(irp.Address);
        m.Found("0xC4/0x105");
        BugCheck stop = Assert.Throws<BugCheck>(() => m.Nt.IoFreeIrp(no));
        Assert.Equal(BugCheckCode.MULTIPLE_IRP_COMPLETE_REQUESTS, stop.Code);
    }

    [Theory, Rule("2.14")]
    [InlineData(IRP_MJ_PNP, "0xC9/0x20E"), InlineData(IRP_MJ_POWER, "0xC9/0x20F")]
    [InlineData(IRP_MJ_SYSTEM_CONTROL, "0xC9/0x210")]
    public void PnP_power_and_WMI_requests_start_as_not_supported(IrpMajor major, string code)
    {
        using var m = new TestMachine();
        DeviceObject low = Succeeding(m);
        Irp good = m.OwnIrp(1, major), bad = m.OwnIrp(1, major);
        good.IoStatus = new(STATUS_NOT_SUPPORTED, 0);
        m.Nt.IofCallDriver(low, good);
        Assert.DoesNotContain(m.Findings, f => f.Rule != "Power");
        m.Nt.IofCallDriver(low, bad);
        Assert.Contains(m.Findings, f => f.Message.Contains(code));
    }

    [Fact, Rule("2.15")]
    public void A_creator_with_a_location_of_its_own_is_named_to_its_completion_routine()
    {
        using var m = new TestMachine();
        DeviceObject low = Succeeding(m), mine = m.Device(m.Driver(), "");
        Irp irp = m.Nt.IoAllocateIrp(2, false);
        irp.SetNext();
        IoStackLocation own = irp.CurrentStackLocation;
        own.DeviceObject = mine;
        Va seen = Va.Null;
        irp.Next(IRP_MJ_FLUSH_BUFFERS);
        irp.OnCompletion(m.Routine(call =>
        {
            seen = new Va(call.Argument(0));
            return STATUS_MORE_PROCESSING_REQUIRED.Value;
        }));
        m.Nt.IofCallDriver(low, irp);
        Assert.Equal(mine.Address, seen);
        m.Nt.IoFreeIrp(irp);
        Assert.Empty(m.Findings);
    }

    [Fact, Rule("2.17", Hypothesis = true)]
    public void An_IRP_without_a_thread_has_no_requestor()
    {
        using var m = new TestMachine();
        Irp irp = m.Nt.IoAllocateIrp(1, false);
        Assert.True(m.Nt.IoGetRequestorProcess(irp).IsNull);
        irp.Thread = m.Nt.Ke.CurrentThread;
        Assert.Equal(m.Nt.Ke.CurrentThread.Process, m.Nt.IoGetRequestorProcess(irp).Address);
    }
}
