using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>IRPs that drivers make, queue, complete and ask about.</summary>
public sealed class IoIrpTests
{
    [Fact, Rule("1.22")]
    public void IoMakeAssociatedIrp_the_last_associated_IRP_completes_its_master()
    {
        using var m = new TestMachine();
        int completed = 0;
        DeviceObject device = m.Dispatching("Part", (_, irp) => m.Complete(irp, STATUS_SUCCESS));
        Va done = m.Routine(_ =>
        {
            completed++;
            return STATUS_MORE_PROCESSING_REQUIRED.Value;
        });
        Irp master = m.Nt.IoAllocateIrp(2, false);
        IoStackLocation top = master.CurrentStackLocation.Below;
        (top.CompletionRoutine, top.Control) = (done, StackControl.SL_INVOKE_ALWAYS);
        master.CurrentLocation--;
        master.CurrentStackLocation = top;
        master.IrpCount = 2;
        for (int i = 0; i < 2; i++)
        {
            Irp part = m.Nt.IoMakeAssociatedIrp(master, 1);
            Assert.Equal((master, Io.IRP_ASSOCIATED_IRP), (part.MasterIrp, part.Flags));
            Assert.Equal(0, completed);
            m.Nt.IofCallDriver(device, part);
            m.Nt.IoSetMasterIrpStatus(master, STATUS_SUCCESS);
        }
        Assert.Equal(1, completed);
        m.Nt.IoFreeIrp(master);
        Assert.Empty(m.Nt.Io.LiveIrps);
    }

    [Fact]
    public void IoSetCompletionRoutineEx_keeps_the_device_until_the_routine_has_run()
    {
        using var m = new TestMachine();
        DeviceObject device = m.Dispatching("Ex", (_, irp) => m.Complete(irp, STATUS_SUCCESS));
        ObjectHeader header = m.Nt.Ob.At(device.Address).Header;
        long before = header.PointerCount, during = 0;
        ulong context = 0;
        Va routine = m.Routine(call =>
        {
            (during, context) = (header.PointerCount, call.Argument(2));
            return STATUS_MORE_PROCESSING_REQUIRED.Value;
        });
        Irp irp = m.Nt.IoAllocateIrpEx(device, 1, false);
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoSetCompletionRoutineEx(device, irp, routine, new(9), true, true, true));
        m.Nt.IofCallDriver(device, irp);
        Assert.Equal((before + 1, before, 9UL), (during, header.PointerCount, context));
        m.Nt.IoReuseIrp(irp, STATUS_SUCCESS);
        m.Nt.IoFreeIrp(irp);
        Irp own = Irp.At(m.Nt.Memory, m.Block(Irp.Size + IoStackLocation.Size));
        m.Nt.IoInitializeIrp(own, (ushort)(Irp.Size + IoStackLocation.Size), 1);
        Assert.Equal(1, own.StackCount);
    }

    [Fact]
    public void An_IRP_tells_its_priority_its_requestor_and_whether_somebody_waits()
    {
        using var m = new TestMachine();
        Irp irp = m.Nt.IoAllocateIrp(1, false);
        Assert.Equal(2U, m.Nt.IoGetIoPriorityHint(irp));
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoSetIoPriorityHint(irp, 4));
        Assert.Equal((4U, 0U), (m.Nt.IoGetIoPriorityHint(irp), m.Nt.IoGetPagingIoPriority(irp)));
        Assert.Equal(STATUS_INVALID_PARAMETER, m.Nt.IoSetIoPriorityHint(irp, 5));
        Assert.False(m.Nt.IoIsOperationSynchronous(irp));
        irp.Flags |= Io.IRP_SYNCHRONOUS_API;
        Assert.True(m.Nt.IoIsOperationSynchronous(irp));
        irp.Flags |= Io.IRP_PAGING_IO;
        Assert.False(m.Nt.IoIsOperationSynchronous(irp));
        Assert.Equal(2U, m.Nt.IoGetPagingIoPriority(irp));
        Assert.True(m.Nt.IoGetRequestorProcess(irp).IsNull);
        irp.Thread = m.Nt.Ke.CurrentThread;
        Assert.Equal(m.Nt.IoGetRequestorProcess(irp), m.Nt.IoGetInitiatorProcess(irp));
        Assert.False(m.Nt.IoIs32bitProcess(irp));
        Assert.Equal(Va.Null, m.Nt.IoGetTransactionParameterBlock(m.NoFile()));
        Assert.True(m.Nt.IoIsValidIrpStatus(STATUS_SUCCESS));
        Assert.False(m.Nt.IoIsValidIrpStatus(STATUS_PENDING));
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoValidateDeviceIoControlAccess(irp, 3));
        Assert.Equal(STATUS_INVALID_PARAMETER, m.Nt.IoValidateDeviceIoControlAccess(irp, 4));
        Assert.Equal(Va.Null, m.Nt.IoGetTopLevelIrp());
        m.Nt.IoSetTopLevelIrp(new(2));
        Assert.Equal(new Va(2), m.Nt.IoGetTopLevelIrp());
        Assert.True(m.Nt.IoIsWdmVersionAvailable(1, 0x30));
        Assert.False(m.Nt.IoIsWdmVersionAvailable(7, 0));
        Assert.Equal(m.Nt.Ke.CurrentThread.InitialStack, m.Nt.IoGetInitialStack());
    }

    /// <summary>A queue in C# with the routines that a driver gives.</summary>
    static IoCsq Queue(TestMachine m, List<Va> queue, List<Va> canceled, bool extended = false)
    {
        IoCsq csq = IoCsq.At(m.Nt.Memory, m.Block(IoCsq.Size));
        Va insert = m.Routine(call =>
        {
            if (extended && call.Argument(2) == 1) return STATUS_DEVICE_BUSY.Value;
            queue.Add(new Va(call.Argument(1)));
            return 0;
        });
        Va remove = m.Routine(call => queue.Remove(new Va(call.Argument(1))) ? 0UL : 1);
        Va peek = m.Routine(call =>
        {
            int at = call.Argument(1) == 0 ? 0 : queue.IndexOf(new Va(call.Argument(1))) + 1;
            return at < queue.Count ? queue[at].Value : 0;
        });
        Va acquire = m.Routine(call =>
        {
            m.Nt.Memory.Write(new Va(call.Argument(1)), (byte)0);
            return 0;
        });
        Va complete = m.Routine(call =>
        {
            canceled.Add(new Va(call.Argument(1)));
            return 0;
        });
        NtStatus status = extended
            ? m.Nt.IoCsqInitializeEx(csq, insert, remove, peek, acquire, m.Routine(_ => 0), complete)
            : m.Nt.IoCsqInitialize(csq, insert, remove, peek, acquire, m.Routine(_ => 0), complete);
        Assert.Equal(STATUS_SUCCESS, status);
        return csq;
    }

    static Irp Sent(TestMachine m)
    {
        Irp irp = m.Nt.IoAllocateIrp(1, false);
        irp.CurrentLocation--;
        irp.CurrentStackLocation = irp.CurrentStackLocation.Below;
        return irp;
    }

    [Fact]
    public void A_cancel_safe_queue_gives_IRPs_in_order_and_cancels_the_others()
    {
        using var m = new TestMachine();
        List<Va> queue = [], canceled = [];
        IoCsq csq = Queue(m, queue, canceled);
        Irp first = Sent(m), second = Sent(m), third = Sent(m), late = Sent(m);
        IoCsqIrpContext context = IoCsqIrpContext.At(m.Nt.Memory, m.Block(IoCsqIrpContext.Size));
        IoCsqIrpContext none = IoCsqIrpContext.At(m.Nt.Memory, Va.Null);
        m.Nt.IoCsqInsertIrp(csq, first, none);
        m.Nt.IoCsqInsertIrp(csq, second, context);
        m.Nt.IoCsqInsertIrp(csq, third, none);
        Assert.True(m.Nt.IoCancelIrp(first));
        Assert.Equal([first.Address], canceled);
        Assert.Equal(second, m.Nt.IoCsqRemoveIrp(csq, context));
        Assert.True(m.Nt.IoCsqRemoveIrp(csq, context).IsNull);
        Assert.Equal(third, m.Nt.IoCsqRemoveNextIrp(csq, Va.Null));
        Assert.True(m.Nt.IoCsqRemoveNextIrp(csq, Va.Null).IsNull);
        late.Cancel = true;
        m.Nt.IoCsqInsertIrp(csq, late, none);
        Assert.Equal([first.Address, late.Address], canceled);
        Assert.Empty(queue);
    }

    [Fact]
    public void IoCsqInsertIrpEx_returns_what_the_insert_routine_says()
    {
        using var m = new TestMachine();
        List<Va> queue = [], canceled = [];
        IoCsq csq = Queue(m, queue, canceled, extended: true);
        Irp irp = Sent(m);
        IoCsqIrpContext none = IoCsqIrpContext.At(m.Nt.Memory, Va.Null);
        Assert.Equal(STATUS_DEVICE_BUSY, m.Nt.IoCsqInsertIrpEx(csq, irp, none, new(1)));
        Assert.Equal(StackControl.None, irp.CurrentStackLocation.Control);
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoCsqInsertIrpEx(csq, irp, none, new(2)));
        Assert.Equal([irp.Address], queue);
    }

    [Fact]
    public void IRPs_that_a_driver_builds_reach_the_device_and_set_event_and_status_block()
    {
        using var m = new TestMachine();
        var seen = new List<(IrpMajor, ulong)>();
        DeviceObject device = m.Dispatching("Built", (_, irp) =>
        {
            IoStackLocation at = irp.CurrentStackLocation;
            seen.Add((at.MajorFunction, at.Parameter3));
            if (at.MajorFunction == IRP_MJ_DEVICE_CONTROL) m.Nt.Memory.Write(irp.SystemBuffer, 0x1234U);
            return m.Complete(irp, STATUS_SUCCESS, 4);
        }, flags: Io.DO_BUFFERED_IO);
        KEvent done = m.NewEvent();
        Va iosb = m.Block(16), buffer = m.Block(8), offset = m.Variable(512);
        Irp control = m.Nt.IoBuildDeviceIoControlRequest(
            0x22_2000, device, buffer, 4, buffer, 4, false, done, iosb);
        m.Nt.IofCallDriver(device, control);
        Assert.Equal((1, 0x1234U, 4UL), (done.SignalState, m.U32(buffer), m.U64(iosb + 8)));
        Irp read = m.Nt.IoBuildSynchronousFsdRequest(3, device, buffer, 4, offset, done, iosb);
        m.Nt.IofCallDriver(device, read);
        Irp write = m.Nt.IoBuildAsynchronousFsdRequest(4, device, buffer, 4, offset, iosb);
        m.Nt.IofCallDriver(device, write);
        Assert.Equal([(IRP_MJ_DEVICE_CONTROL, 0x22_2000UL), (IRP_MJ_READ, 512UL), (IRP_MJ_WRITE, 512UL)], seen);
        Assert.Empty(m.Nt.Io.LiveIrps);
    }

    [Fact]
    public void IoForwardIrpSynchronously_comes_back_when_the_lower_driver_has_completed()
    {
        using var m = new TestMachine();
        DeviceObject lower = m.Dispatching("Below", (_, irp) => m.Complete(irp, STATUS_SUCCESS, 3));
        NtStatus forwarded = STATUS_PENDING;
        DeviceObject upper = m.Dispatching("Above", (_, irp) =>
        {
            Assert.True(m.Nt.IoForwardIrpSynchronously(lower, irp));
            forwarded = irp.IoStatus.Status;
            return m.Complete(irp, forwarded);
        });
        Va attached = m.Block(8);
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoAttachDeviceToDeviceStackSafe(upper, lower, attached));
        Assert.Equal(lower.Address, m.Read<Va>(attached));
        m.OpenFile(@"\Device\Below");
        Assert.Equal(STATUS_SUCCESS, forwarded);
    }

    [Theory, InlineData(false), InlineData(true)]
    public void StartIo_gets_one_packet_at_a_time_and_deferred_never_within_itself(bool deferred)
    {
        using var m = new TestMachine();
        var started = new List<Va>();
        int depth = 0, deepest = 0;
        DeviceObject device = m.Dispatching("Start", (_, irp) => m.Complete(irp, STATUS_SUCCESS));
        DriverObject driver = device.DriverObject;
        driver.DriverStartIo = m.Routine(call =>
        {
            deepest = Math.Max(deepest, ++depth);
            started.Add(new Va(call.Argument(1)));
            if (started.Count == 1)
            {
                m.Nt.IoStartPacket(device, Sent(m), m.Variable(3), Va.Null);
                m.Nt.IoStartPacket(device, Sent(m), m.Variable(2), Va.Null);
            }
            m.Nt.IoStartNextPacketByKey(device, false, 0);
            depth--;
            return 0;
        });
        m.Nt.IoSetStartIoAttributes(device, deferred, true);
        Irp first = Sent(m);
        m.Nt.IoStartPacket(device, first, Va.Null, m.Routine(_ => 0));
        Assert.Equal(3, started.Count);
        Assert.Equal(deferred ? 1 : 3, deepest);
        Assert.Equal(Va.Null, first.CancelRoutine);
        Assert.True(device.CurrentIrp.IsNull);
    }

    [Fact]
    public void IoAcquireCancelSpinLock_raises_and_IoCancelIrp_calls_the_routine_once()
    {
        using var m = new TestMachine();
        Va old = m.Block(8);
        m.Nt.IoAcquireCancelSpinLock(old);
        Assert.Equal(Irql.DISPATCH_LEVEL, m.Nt.CurrentIrql);
        m.Nt.IoReleaseCancelSpinLock(m.Read<Irql>(old));
        Irp irp = Sent(m);
        int calls = 0;
        irp.CancelRoutine = m.Routine(_ =>
        {
            calls++;
            m.Nt.IoReleaseCancelSpinLock(irp.CancelIrql);
            return 0;
        });
        Assert.True(m.Nt.IoCancelIrp(irp));
        Assert.False(m.Nt.IoCancelIrp(irp));
        Assert.Equal((1, true), (calls, irp.Cancel));
    }
}
