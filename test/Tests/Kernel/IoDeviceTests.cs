using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>Devices and drivers: stacks, timers, controllers, locks, loading and the end of the system.</summary>
public sealed class IoDeviceTests
{
    [Fact]
    public void Devices_of_a_stack_are_found_from_each_other()
    {
        using var m = new TestMachine();
        DriverObject driver = m.Driver();
        DeviceObject low = m.Device(driver, @"\Device\Low"), middle = m.Device(driver, ""), high = m.Device(driver, "");
        Va attached = m.Block(8);
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoAttachDevice(middle, m.Text(@"\Device\Low"), attached));
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoAttachDeviceToDeviceStackSafe(high, low, attached));
        Assert.Equal(middle.Address, m.Read<Va>(attached));
        Assert.Equal(high, m.Nt.IoGetAttachedDevice(low));
        Assert.Equal(high, m.Nt.IoGetAttachedDeviceReference(low));
        Assert.Equal(middle, m.Nt.IoGetLowerDeviceObject(high));
        Assert.Equal(low, m.Nt.IoGetDeviceAttachmentBaseRef(high));
        FileObject file = FileObject.At(m.Nt.Memory, m.Block(FileObject.Size));
        file.DeviceObject = low;
        Assert.Equal(high, m.Nt.IoGetRelatedDeviceObject(file));
    }

    [Fact]
    public void IoGetDeviceObjectPointer_gives_the_top_of_a_stack_until_IoDetachDevice_takes_it_off()
    {
        using var m = new TestMachine();
        List<IrpMajor> seen = [];
        DeviceObject low = m.Noting("Low", seen), high = m.Noting("High", seen);
        m.Nt.IoAttachDeviceToDeviceStack(high, low);
        Va file = m.Block(8), device = m.Block(8);
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoCreateSymbolicLink(m.Text(@"\??\Low"), m.Text(@"\Device\Low")));
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoGetDeviceObjectPointer(m.Text(@"\??\Low"), 0x80, file, device));
        Assert.Equal(high.Address, m.Read<Va>(device));
        m.Nt.IoDetachDevice(low);
        Assert.Equal(low, m.Nt.IoGetAttachedDevice(low));
        m.Nt.ObfDereferenceObject(m.Read<Va>(file));
        Assert.Equal([IRP_MJ_CREATE, IRP_MJ_CLEANUP, IRP_MJ_CLOSE], seen);
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoDeleteSymbolicLink(m.Text(@"\??\Low")));
        Assert.Equal(STATUS_OBJECT_NAME_NOT_FOUND, m.Nt.IoDeleteSymbolicLink(m.Text(@"\??\Low")));
    }

    [Fact]
    public void A_device_timer_runs_once_a_second_while_it_is_started()
    {
        using var m = new TestMachine();
        var calls = new List<(ulong, Irql)>();
        DeviceObject device = m.Device(m.Driver(), @"\Device\Timer");
        Va routine = m.Routine(call =>
        {
            calls.Add((call.Argument(1), m.Nt.CurrentIrql));
            if (calls.Count == 3) m.Nt.IoStopTimer(device);
            return 0;
        });
        m.Nt.IoStartTimer(device);
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoInitializeTimer(device, routine, new(8)));
        long before = m.Nt.Ke.Clock.Now;
        m.Nt.IoStartTimer(device);
        m.RunOthers();
        Assert.Equal([(8UL, Irql.DISPATCH_LEVEL), (8UL, Irql.DISPATCH_LEVEL), (8UL, Irql.DISPATCH_LEVEL)], calls);
        Assert.InRange(m.Nt.Ke.Clock.Now - before, 30_000_000, long.MaxValue);
        m.Nt.IoStartTimer(device);
        m.Nt.IoDeleteDevice(device);
        Assert.Empty(m.Nt.Ke.Timers.Pending);
    }

    [Fact]
    public void A_controller_is_one_devices_at_a_time()
    {
        using var m = new TestMachine();
        DriverObject driver = m.Driver();
        DeviceObject first = m.Device(driver, ""), second = m.Device(driver, "");
        var order = new List<ulong>();
        Va keep = m.Routine(call =>
        {
            order.Add(call.Argument(3));
            return 1;
        });
        ControllerObject controller = m.Nt.IoCreateController(16);
        m.Nt.Ke.Raise(Irql.DISPATCH_LEVEL);
        m.Nt.IoAllocateController(controller, first, keep, new(1));
        m.Nt.IoAllocateController(controller, second, keep, new(2));
        Assert.Equal([1UL], order);
        m.Nt.IoFreeController(controller);
        Assert.Equal([1UL, 2UL], order);
        m.Nt.IoFreeController(controller);
        m.Nt.Ke.Lower(Irql.PASSIVE_LEVEL);
        m.Nt.IoDeleteController(controller);
    }

    [Fact]
    [Rule("7.7")]
    public void A_remove_lock_waits_for_who_has_it_and_refuses_the_next()
    {
        using var m = new TestMachine();
        RemoveLock held = RemoveLock.At(m.Nt.Memory, m.Block(RemoveLock.Size));
        m.Nt.IoInitializeRemoveLockEx(held, 0, 0, 0, RemoveLock.Size);
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoAcquireRemoveLockEx(held, new(1), Va.Null, 0, RemoveLock.Size));
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoAcquireRemoveLockEx(held, new(2), Va.Null, 0, RemoveLock.Size));
        bool isGone = false;
        m.Thread(() =>
        {
            m.Nt.IoReleaseRemoveLockAndWaitEx(held, new(1), RemoveLock.Size);
            isGone = true;
        });
        m.RunOthers();
        Assert.False(isGone);
        Assert.Equal(STATUS_DELETE_PENDING,
            m.Nt.IoAcquireRemoveLockEx(held, new(3), Va.Null, 0, RemoveLock.Size));
        m.Nt.IoReleaseRemoveLockEx(held, new(2), RemoveLock.Size);
        m.RunOthers();
        Assert.True(isGone);
    }

    [Fact]
    public void Shutdown_tells_the_last_registered_first_and_the_last_chance_at_the_end()
    {
        using var m = new TestMachine();
        var order = new List<string>();
        DeviceObject Make(string name) => m.Dispatching(name, (_, irp) =>
        {
            if (irp.CurrentStackLocation.MajorFunction == IRP_MJ_SHUTDOWN) order.Add(name);
            return m.Complete(irp, STATUS_SUCCESS);
        });
        DeviceObject a = Make("A"), b = Make("B"), c = Make("C"), d = Make("D");
        m.Nt.IoRegisterLastChanceShutdownNotification(c);
        m.Nt.IoRegisterShutdownNotification(a);
        m.Nt.IoRegisterShutdownNotification(b);
        m.Nt.IoRegisterShutdownNotification(d);
        m.Nt.IoUnregisterShutdownNotification(d);
        m.Nt.Shutdown();
        Assert.Equal(["B", "A", "C"], order);
        Assert.Equal(STATUS_SUCCESS, m.Nt.NtShutdownSystem(0));
        Assert.Equal(STATUS_INVALID_PARAMETER, m.Nt.NtShutdownSystem(9));
        Assert.Equal(3, order.Count);
    }

    [Fact]
    public void ZwLoadDriver_takes_the_image_from_the_host_and_ZwUnloadDriver_waits_for_open_files()
    {
        byte[] image = File.ReadAllBytes(Repository.Driver("echo"));
        var asked = new List<string>();
        using var m = new TestMachine(new KernelOptions
        {
            DriverFiles = path =>
            {
                asked.Add(path);
                return path.Contains("echo") ? image : path.Contains("bad") ? [1, 2, 3] : null;
            },
        });
        const string services = @"\Registry\Machine\System\CurrentControlSet\Services\";
        Assert.Equal(STATUS_OBJECT_NAME_NOT_FOUND, m.Nt.ZwLoadDriver(m.Text(services + "echo")));
        foreach (string name in (string[])["echo", "bad", "gone"]) m.Nt.Cm.CreateServiceKey(name, []);
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwLoadDriver(m.Text(services + "echo")));
        Assert.Equal([@"\SystemRoot\System32\drivers\echo.sys"], asked);
        Assert.Equal(STATUS_IMAGE_ALREADY_LOADED, m.Nt.ZwLoadDriver(m.Text(services + "echo")));
        Assert.Equal(STATUS_INVALID_IMAGE_FORMAT, m.Nt.ZwLoadDriver(m.Text(services + "bad")));
        Assert.Equal(STATUS_OBJECT_NAME_NOT_FOUND, m.Nt.ZwLoadDriver(m.Text(services + "gone")));
        UserFile file = m.Open(@"\\.\Echo");
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwUnloadDriver(m.Text(services + "echo")));
        Assert.True(m.Nt.Loader.Drivers[0].IsLoaded);
        file.Close();
        m.RunOthers();
        Assert.False(m.Nt.Loader.Drivers[0].IsLoaded);
        Assert.Equal(STATUS_OBJECT_NAME_NOT_FOUND, m.Nt.ZwUnloadDriver(m.Text(services + "echo")));
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwLoadDriver(m.Text(services + "echo")));
    }

    [Fact]
    public void Driver_objects_are_made_have_extensions_and_are_called_again()
    {
        using var m = new TestMachine();
        DriverObject made = default;
        Va init = m.Routine(call =>
        {
            made = DriverObject.At(m.Nt.Memory, new Va(call.Argument(0)));
            return 0;
        });
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoCreateDriver(m.Text(@"\Driver\Made"), init));
        Assert.Equal(STATUS_OBJECT_NAME_COLLISION, m.Nt.IoCreateDriver(m.Text(@"\Driver\Made"), init));
        Va place = m.Block(8);
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoAllocateDriverObjectExtension(made, new(1), 8, place));
        Assert.Equal(STATUS_OBJECT_NAME_COLLISION, m.Nt.IoAllocateDriverObjectExtension(made, new(1), 8, place));
        Assert.False(m.Nt.IoGetDriverObjectExtension(made, new(1)).IsNull);
        Assert.True(m.Nt.IoGetDriverObjectExtension(made, new(2)).IsNull);
        var counts = new List<ulong>();
        Va again = m.Routine(call =>
        {
            counts.Add(call.Argument(2));
            return 0;
        });
        m.Nt.IoRegisterDriverReinitialization(made, again, Va.Null);
        m.Nt.IoRegisterBootDriverReinitialization(made, again, Va.Null);
        m.Nt.Io.RunReinitialize();
        Assert.Equal([1UL, 2UL], counts);
        m.Nt.IoDeleteDriver(made);
    }

    [Fact]
    public void Resources_of_two_drivers_conflict_where_they_overlap()
    {
        using var m = new TestMachine();
        DriverObject one = m.Driver("one"), two = m.Driver("two");
        Va list = m.Block(40), conflict = m.Block(8);
        m.Nt.Memory.Write(list, 1U);
        m.Nt.Memory.Write(list + 16, 1U);
        m.Nt.Memory.Write(list + 20, (byte)1);
        m.Nt.Memory.Write(list + 24, 0x300UL);
        m.Nt.Memory.Write(list + 32, 8U);
        NtStatus Report(DriverObject driver, Va what, uint size) => m.Nt.IoReportResourceForDetection(
            driver, what, size, m.NoDevice(), Va.Null, 0, conflict);
        Assert.Equal(STATUS_SUCCESS, Report(one, list, 40));
        m.Nt.Memory.Write(list + 24, 0x307UL);
        Assert.Equal(STATUS_CONFLICTING_ADDRESSES, Report(two, list, 40));
        Assert.Equal(1U, m.U32(conflict));
        Assert.Equal(STATUS_SUCCESS, Report(one, Va.Null, 0));
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoReportResourceUsage(
            m.Text(""), two, list, 40, m.NoDevice(), Va.Null, 0, false, conflict));
        Assert.Equal(STATUS_INVALID_PARAMETER, Report(two, list, 30));
    }

    [Fact]
    public void Interrupts_are_connected_by_a_structure()
    {
        using var m = new TestMachine();
        Va parameters = m.Block(0x50), interrupt = m.Block(8), affinity = m.Block(16);
        m.Nt.Memory.Write(parameters, 1U);
        m.Nt.Memory.Write(parameters + 0x10, interrupt);
        m.Nt.Memory.Write(parameters + 0x30, (byte)5);
        m.Nt.Memory.Write(parameters + 0x34, InterruptTable.VectorOf(2));
        m.Nt.Memory.Write(parameters + 0x38, (byte)5);
        m.Nt.Memory.Write(parameters + 0x40, 1UL);
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoConnectInterruptEx(parameters));
        KInterrupt made = KInterrupt.At(m.Nt.Memory, m.Read<Va>(interrupt));
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoGetAffinityInterrupt(made, affinity));
        Assert.Equal(1UL, m.U64(affinity));
        m.Nt.Memory.Write(parameters + 8, made.Address);
        InterruptLine line = m.Nt.Computer.Interrupts.Line(2);
        m.Nt.IoReportInterruptInactive(parameters);
        Assert.True(line.IsMasked);
        m.Nt.IoReportInterruptActive(parameters);
        Assert.False(line.IsMasked);
        m.Nt.IoDisconnectInterruptEx(parameters);
        m.Nt.Memory.Write(parameters, 2U);
        Assert.Equal(STATUS_NOT_FOUND, m.Nt.IoConnectInterruptEx(parameters));
    }
}
