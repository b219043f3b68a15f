using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>Canceling, and the queues in which requests wait for it: StartIo's, and those that are
/// cancel-safe.</summary>
public sealed class IoCancelTests
{
    static Irp Sent(TestMachine m)
    {
        Irp irp = m.Nt.IoAllocateIrp(1, false);
        irp.SetNext();
        return irp;
    }

    [Fact, Rule("6.1"), Rule("6.2")]
    public void IoCancelIrp_takes_the_routine_and_calls_it_under_the_cancel_lock()
    {
        using var m = new TestMachine();
        Irp irp = Sent(m), bare = Sent(m);
        bool held = false;
        Va left = new(1);
        irp.CancelRoutine = m.Routine(_ =>
        {
            (held, left) = (!m.Nt.KeTestSpinLock(m.Nt.Io.CancelLock), irp.CancelRoutine);
            Assert.Equal(Irql.DISPATCH_LEVEL, m.Nt.CurrentIrql);
            m.Nt.IoReleaseCancelSpinLock(irp.CancelIrql);
            return 0;
        });
        Assert.True(m.Nt.IoCancelIrp(irp));
        Assert.Equal((true, Va.Null, true, Irql.PASSIVE_LEVEL), (held, left, irp.Cancel, m.Nt.CurrentIrql));
        Assert.False(m.Nt.IoCancelIrp(bare));
        Assert.True(bare.Cancel);
        Assert.True(m.Nt.KeTestSpinLock(m.Nt.Io.CancelLock));
    }

    [Fact, Rule("6.3")]
    public void A_cancel_routine_that_keeps_the_lock_stops_the_machine()
    {
        using var m = new TestMachine();
        Irp irp = Sent(m);
        Va routine = m.Routine(_ => 0);
        irp.CancelRoutine = routine;
        BugCheck stop = Assert.Throws<BugCheck>(() => m.Nt.IoCancelIrp(irp));
        Assert.Equal((BugCheckCode.DRIVER_RETURNED_HOLDING_CANCEL_LOCK, irp.Address.Value, routine.Value),
            (stop.Code, stop.Parameters[0], stop.Parameters[1]));
    }

    /// <summary>A driver that puts its IRP into a queue and looks at Irp->Cancel then, while somebody cancels before,
    /// between or after.</summary>
    [Theory, Rule("6.4"), Rule("6.5")]
    [InlineData(0), InlineData(1), InlineData(2)]
    public void Whoever_takes_the_cancel_routine_completes_the_IRP_and_nobody_else(int when)
    {
        using var m = new TestMachine();
        int byRoutine = 0, byDriver = 0;
        Va cancel = m.Routine(call =>
        {
            Irp canceled = Irp.At(m.Nt.Memory, new Va(call.Argument(1)));
            m.Nt.IoReleaseCancelSpinLock(canceled.CancelIrql);
            byRoutine++;
            m.Complete(canceled, STATUS_CANCELLED);
            return 0;
        });
        Irp own = m.OwnIrp(1);
        DeviceObject low = m.Dispatching("Low", (_, irp) =>
        {
            irp.MarkPending();
            if (when == 0) Assert.False(m.Nt.IoCancelIrp(irp));
            irp.CancelRoutine = cancel;
            if (when == 1) Assert.True(m.Nt.IoCancelIrp(irp));
            if (own.Cancel && own.CancelRoutine == cancel)
            {
                own.CancelRoutine = Va.Null;
                byDriver++;
                m.Complete(irp, STATUS_CANCELLED);
            }
            return STATUS_PENDING;
        });
        m.Nt.IofCallDriver(low, own);
        if (when == 2) Assert.True(m.Nt.IoCancelIrp(own));
        Assert.Equal(when == 0 ? (0, 1) : (1, 0), (byRoutine, byDriver));
        Assert.Equal(STATUS_CANCELLED, own.IoStatus.Status);
        Assert.Empty(m.Findings);
    }

    [Fact, Rule("6.6")]
    public void An_IRP_that_is_passed_down_with_a_cancel_routine_is_found()
    {
        using var m = new TestMachine();
        DeviceObject low = m.Dispatching("Low", (_, irp) =>
        {
            irp.CancelRoutine = Va.Null;
            return m.Complete(irp, STATUS_SUCCESS);
        });
        Irp own = m.OwnIrp(1);
        own.CancelRoutine = m.Routine(_ => 0);
        m.Nt.IofCallDriver(low, own);
        m.Found("0xC9/0x203");
    }

    /// <summary>Keeps what it gets.</summary>
    sealed class Lower : NtDriver
    {
        public DeviceObject Device;

        public override NtStatus DriverEntry(DriverObject driverObject, UnicodeString registryPath)
        {
            driverObject.SetMajorFunction(IRP_MJ_READ, Routine((DeviceObject _, Irp irp) =>
            {
                irp.MarkPending();
                irp.CancelRoutine = Routine((DeviceObject _, Irp _) => { });
                return STATUS_PENDING;
            }));
            return IoCreateDevice(driverObject, 0, @"\Device\Low", 0x22, 0, false, out Device);
        }
    }

    /// <summary>Passes down what it gets, and sets a cancel routine afterwards, if it is told to.</summary>
    sealed class Meddler(Lower lower, bool meddles) : NtDriver
    {
        public override NtStatus DriverEntry(DriverObject driverObject, UnicodeString registryPath)
        {
            driverObject.SetMajorFunction(IRP_MJ_READ, Routine((DeviceObject _, Irp irp) =>
            {
                irp.Skip();
                NtStatus status = Nt.IofCallDriver(lower.Device, irp);
                if (meddles) irp.CancelRoutine = Routine((DeviceObject _, Irp _) => { });
                return status;
            }));
            Va accepts = Routine((DeviceObject _, Irp irp) => Complete(irp, STATUS_SUCCESS));
            foreach (IrpMajor major in (IrpMajor[])[IRP_MJ_CREATE, IRP_MJ_CLEANUP, IRP_MJ_CLOSE])
                driverObject.SetMajorFunction(major, accepts);
            NtStatus status = IoCreateDevice(driverObject, 0, @"\Device\High", 0x22, 0, false, out DeviceObject device);
            device.StackSize = 2;
            return status;
        }
    }

    [Theory, Rule("6.6"), InlineData(false), InlineData(true)]
    public void A_cancel_routine_for_an_IRP_that_a_lower_driver_has_is_found(bool meddles)
    {
        using var m = new TestMachine();
        var lower = new Lower();
        m.Load(lower);
        m.Load(new Meddler(lower, meddles));
        UserRequest read = m.Open(@"\Device\High").Read(8);
        Assert.False(read.IsComplete);
        if (meddles) m.Found("0xC9/0x229");
        else Assert.Empty(m.Findings);
    }

    [Fact, Rule("6.7")]
    public void A_canceled_IRP_may_still_end_well()
    {
        using var m = new TestMachine();
        DeviceObject low = m.Dispatching("Low", (_, irp) =>
        {
            irp.MarkPending();
            return STATUS_PENDING;
        });
        Irp own = m.OwnIrp(1);
        m.Nt.IofCallDriver(low, own);
        Assert.False(m.Nt.IoCancelIrp(own));
        m.Complete(own, STATUS_SUCCESS);
        Assert.Equal(STATUS_SUCCESS, own.IoStatus.Status);
        Assert.Empty(m.Findings);
    }

    /// <summary>A StartIo driver whose packets stay with it until the test ends them.</summary>
    static (DeviceObject Device, List<Va> Started, Va Cancel) Starting(TestMachine m)
    {
        var started = new List<Va>();
        DeviceObject device = m.Dispatching("Start", (_, irp) => m.Complete(irp, STATUS_SUCCESS));
        DriverObject driver = device.DriverObject;
        driver.DriverStartIo = m.Routine(call =>
        {
            Assert.Equal(Irql.DISPATCH_LEVEL, m.Nt.CurrentIrql);
            started.Add(new Va(call.Argument(1)));
            return 0;
        });
        Va cancel = m.Routine(call =>
        {
            Irp irp = Irp.At(m.Nt.Memory, new Va(call.Argument(1)));
            if (device.CurrentIrp == irp)
            {
                m.Nt.IoReleaseCancelSpinLock(irp.CancelIrql);
                return 0;
            }
            bool wasQueued = m.Nt.KeRemoveEntryDeviceQueue(device.Address + 0xA0, irp.DeviceQueueEntry);
            m.Nt.IoReleaseCancelSpinLock(irp.CancelIrql);
            if (wasQueued) m.Complete(irp, STATUS_CANCELLED);
            return 0;
        });
        return (device, started, cancel);
    }

    [Fact, Rule("6.9")]
    public void A_StartIo_driver_cancels_what_is_queued_and_leaves_the_current_packet_alone()
    {
        using var m = new TestMachine();
        (DeviceObject device, List<Va> started, Va cancel) = Starting(m);
        Irp[] irps = [.. Enumerable.Range(0, 4).Select(_ => Sent(m))];
        irps[3].Cancel = true;
        // The creator's location is the one that is current: its routine is above.
        foreach (Irp irp in irps) m.Nt.IoStartPacket(device, irp, Va.Null, cancel);
        Assert.Equal([irps[0].Address], started);
        Assert.Equal(device.CurrentIrp, irps[0]);
        Assert.True(m.Nt.IoCancelIrp(irps[1]));
        Assert.True(m.Nt.IoCancelIrp(irps[0]));
        Irql old = m.Nt.Ke.Raise(Irql.DISPATCH_LEVEL);
        m.Nt.IoStartNextPacket(device, true);
        Assert.Equal([irps[0].Address, irps[2].Address], started);
        Assert.Equal(cancel, irps[2].CancelRoutine);
        m.Nt.IoStartNextPacket(device, true);
        m.Nt.Ke.Lower(old);
        Assert.True(device.CurrentIrp.IsNull);
        Assert.Equal(2, started.Count);
    }

    [Fact]
    public void Packets_with_keys_are_started_in_the_order_of_their_keys()
    {
        using var m = new TestMachine();
        (DeviceObject device, List<Va> started, _) = Starting(m);
        Irp[] irps = [.. Enumerable.Range(0, 4).Select(_ => Sent(m))];
        ulong[] keys = [9, 5, 1, 7];
        for (int i = 0; i < irps.Length; i++) m.Nt.IoStartPacket(device, irps[i], m.Variable(keys[i]), Va.Null);
        Irql old = m.Nt.Ke.Raise(Irql.DISPATCH_LEVEL);
        m.Nt.IoStartNextPacketByKey(device, false, 6);
        m.Nt.IoStartNextPacketByKey(device, false, 6);
        m.Nt.IoStartNextPacket(device, false);
        m.Nt.Ke.Lower(old);
        Assert.Equal([irps[0].Address, irps[3].Address, irps[2].Address, irps[1].Address], started);
    }

    [Theory]
    [InlineData(true), InlineData(false)]
    public void A_packet_that_is_not_cancelable_loses_its_routine_when_it_is_taken_from_the_queue(bool cancelable)
    {
        using var m = new TestMachine();
        (DeviceObject device, _, Va cancel) = Starting(m);
        m.Nt.IoSetStartIoAttributes(device, false, true);
        Irp first = Sent(m), second = Sent(m);
        m.Nt.IoStartPacket(device, first, Va.Null, cancel);
        m.Nt.IoStartPacket(device, second, Va.Null, cancel);
        Assert.Equal((Va.Null, cancel), (first.CancelRoutine, second.CancelRoutine));
        Irql old = m.Nt.Ke.Raise(Irql.DISPATCH_LEVEL);
        m.Nt.IoStartNextPacket(device, cancelable);
        m.Nt.Ke.Lower(old);
        Assert.Equal(cancelable ? Va.Null : cancel, second.CancelRoutine);
    }

    [Fact, Rule("6.11")]
    public void Cleanup_finds_nothing_that_could_be_canceled_twice()
    {
        using var m = new TestMachine();
        var queue = new List<Irp>();
        Va cancel = m.Routine(call =>
        {
            Irp irp = Irp.At(m.Nt.Memory, new Va(call.Argument(1)));
            queue.RemoveAll(q => q == irp);
            m.Nt.IoReleaseCancelSpinLock(irp.CancelIrql);
            m.Complete(irp, STATUS_CANCELLED);
            return 0;
        });
        m.Dispatching("Low", (_, irp) =>
        {
            IoStackLocation at = irp.CurrentStackLocation;
            if (at.MajorFunction == IRP_MJ_DEVICE_CONTROL)
            {
                irp.MarkPending();
                irp.CancelRoutine = cancel;
                queue.Add(irp);
                return STATUS_PENDING;
            }
            if (at.MajorFunction != IRP_MJ_CLEANUP) return m.Complete(irp, STATUS_SUCCESS);
            foreach (Irp queued in queue.Where(q => q.CurrentStackLocation.FileObject == at.FileObject).ToArray())
            {
                queued.CancelRoutine = Va.Null;
                queue.Remove(queued);
                m.Complete(queued, STATUS_CANCELLED);
            }
            return m.Complete(irp, STATUS_SUCCESS);
        });
        UserFile one = m.Open(@"\Device\Low"), two = m.Open(@"\Device\Low");
        UserRequest mine = one.DeviceIoControl(0x22_2000, [], 0), other = two.DeviceIoControl(0x22_2000, [], 0);
        one.Close();
        Assert.Equal((STATUS_CANCELLED, STATUS_PENDING), (mine.Status, other.Status));
        two.Close();
        Assert.Equal(STATUS_CANCELLED, other.Status);
        Assert.Empty(m.Findings);
    }
}
