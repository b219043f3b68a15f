using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>The life of requests, with drivers written in C#.</summary>
public sealed class IrpTests
{
    /// <summary>A driver with one device, whose dispatch routine is C#.</summary>
    static DeviceObject Driver(TestMachine m, string name, Func<NtKernel, DeviceObject, Irp, NtStatus> dispatch)
    {
        NtKernel nt = m.Nt;
        Va routine = nt.Routines.Add(name + "Dispatch", (k, call) => call.Return(dispatch(
            k, DeviceObject.At(k.Memory, new Va(call.Argument(0))), Irp.At(k.Memory, new Va(call.Argument(1)))).Value));
        DriverObject driver = nt.Io.CreateDriver(name, Va.Null, 0, Va.Null, Va.Null);
        for (IrpMajor major = IRP_MJ_CREATE; major <= IRP_MJ_PNP; major++) driver.SetMajorFunction(major, routine);
        Va made = nt.Mm.Pool.Allocate(8, 0);
        Va path = nt.Rtl.AllocateString(@"\Device\" + name);
        NtStatus created = nt.IoCreateDevice(driver, 0, UnicodeString.At(nt.Memory, path), 0x22, 0, false, made);
        Assert.Equal(STATUS_SUCCESS, created);
        DeviceObject device = DeviceObject.At(nt.Memory, nt.Memory.Read<Va>(made));
        device.Flags &= ~Io.DO_DEVICE_INITIALIZING;
        return device;
    }

    static NtStatus Complete(NtKernel nt, Irp irp, NtStatus status, ulong information = 0)
    {
        irp.IoStatus = new IoStatusBlock(status, information);
        nt.IofCompleteRequest(irp, 0);
        return status;
    }

    [Fact]
    [Rule("3.16")]
    public void The_last_handle_sends_CLEANUP_and_then_the_last_reference_CLOSE()
    {
        using var m = new TestMachine();
        var majors = new List<IrpMajor>();
        Driver(m, "Order", (nt, _, irp) =>
        {
            majors.Add(irp.CurrentStackLocation.MajorFunction);
            return Complete(nt, irp, STATUS_SUCCESS);
        });
        UserFile file = m.Open(@"\Device\Order");
        m.Nt.ObfReferenceObject(file.Object.Address);
        file.Close();
        Assert.Equal([IRP_MJ_CREATE, IRP_MJ_CLEANUP], majors);
        m.Nt.ObfDereferenceObject(file.Object.Address);
        Assert.Equal([IRP_MJ_CREATE, IRP_MJ_CLEANUP, IRP_MJ_CLOSE], majors);
        Assert.Empty(m.Findings);
    }

    [Fact]
    public void A_create_that_fails_opens_nothing()
    {
        using var m = new TestMachine();
        Driver(m, "Closed", (nt, _, irp) => Complete(nt, irp, STATUS_ACCESS_DENIED));
        Assert.Equal(STATUS_ACCESS_DENIED, m.Nt.User.CreateFile(@"\Device\Closed", out UserFile? file));
        Assert.Null(file);
    }

    [Fact]
    [Rule("1.11")]
    public void A_completion_routine_that_wants_more_keeps_the_request_until_it_is_completed_again()
    {
        using var m = new TestMachine();
        DeviceObject lower = Driver(m, "Lower", (nt, _, irp) => Complete(nt, irp, STATUS_SUCCESS));
        var order = new List<string>();
        Va completion = m.Nt.Routines.Add("Completion", (_, call) =>
        {
            order.Add("completion");
            call.Return(STATUS_MORE_PROCESSING_REQUIRED.Value);
        });
        DeviceObject upper = Driver(m, "Upper", (nt, _, irp) =>
        {
            IrpMajor major = irp.CurrentStackLocation.MajorFunction;
            if (major != IRP_MJ_FLUSH_BUFFERS) return Complete(nt, irp, STATUS_SUCCESS);
            IoStackLocation next = irp.CurrentStackLocation.Below;
            irp.CurrentStackLocation.CopyTo(next);
            (next.CompletionRoutine, next.Control) = (completion, (StackControl)0xE0);
            nt.IofCallDriver(lower, irp);
            order.Add("again");
            return Complete(nt, irp, STATUS_SUCCESS, 77);
        });
        upper.StackSize = 2;
        UserRequest flush = m.Open(@"\Device\Upper").Flush();
        Assert.Equal(["completion", "again"], order);
        Assert.Equal((STATUS_SUCCESS, 77UL), (flush.Status, flush.Information));
    }

    [Fact]
    public void A_request_that_is_marked_pending_is_completed_from_a_DPC()
    {
        using var m = new TestMachine();
        KDpc dpc = KDpc.At(m.Nt.Memory, m.Nt.Mm.Pool.Allocate(KDpc.Size, 0));
        Va kept = Va.Null;
        Va later = m.Nt.Routines.Add("Later", (nt, _) =>
        {
            Assert.Equal(Irql.DISPATCH_LEVEL, nt.CurrentIrql);
            Complete(nt, Irp.At(nt.Memory, kept), STATUS_SUCCESS, 5);
        });
        m.Nt.KeInitializeDpc(dpc, later, Va.Null);
        Driver(m, "Deferred", (nt, _, irp) =>
        {
            IrpMajor major = irp.CurrentStackLocation.MajorFunction;
            if (major != IRP_MJ_FLUSH_BUFFERS) return Complete(nt, irp, STATUS_SUCCESS);
            IoStackLocation here = irp.CurrentStackLocation;
            here.Control |= (StackControl)1;        // SL_PENDING_RETURNED
            kept = irp.Address;
            nt.KeInsertQueueDpc(dpc, Va.Null, Va.Null);
            return STATUS_PENDING;
        });
        UserRequest flush = m.Open(@"\Device\Deferred").Flush();
        Assert.Equal((STATUS_SUCCESS, 5UL), (flush.Status, flush.Information));
        Assert.Empty(m.Findings);
    }

    [Fact]
    public void A_name_that_is_taken_collides_and_a_link_to_itself_does_not_resolve()
    {
        using var m = new TestMachine();
        NtKernel nt = m.Nt;
        Assert.Equal(STATUS_SUCCESS, nt.Ob.Insert(@"\??\A", nt.Ob.CreateLink(@"\??\B")));
        Assert.Equal(STATUS_OBJECT_NAME_COLLISION, nt.Ob.Insert(@"\??\a", nt.Ob.CreateLink(@"\Device")));
        Assert.Equal(STATUS_OBJECT_PATH_NOT_FOUND, nt.Ob.Insert(@"\NoSuch\A", nt.Ob.CreateLink(@"\Device")));
        Assert.Equal(STATUS_SUCCESS, nt.Ob.Insert(@"\??\B", nt.Ob.CreateLink(@"\??\A")));
        Assert.Equal(STATUS_REPARSE_POINT_NOT_RESOLVED, nt.User.CreateFile(@"\\.\A", out _));
    }

    [Fact]
    public void The_routines_without_an_f_do_the_same()
    {
        using var m = new TestMachine();
        DeviceObject lower = Driver(m, "Lower", (nt, _, irp) =>
        {
            irp.IoStatus = new IoStatusBlock(STATUS_SUCCESS, 5);
            nt.IoCompleteRequest(irp, 0);
            return STATUS_SUCCESS;
        });
        DeviceObject upper = Driver(m, "Upper", (nt, _, irp) =>
        {
            irp.CurrentLocation++;
            irp.CurrentStackLocation = irp.CurrentStackLocation.Above;
            return nt.IoCallDriver(lower, irp);
        });
        upper.StackSize = 2;
        UserRequest done = m.Open(@"\Device\Upper").DeviceIoControl(0x222000, [], 8);
        Assert.Equal((STATUS_SUCCESS, 5UL), (done.Status, done.Information));
        Assert.Empty(m.Findings);
    }
}
