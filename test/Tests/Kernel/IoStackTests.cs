using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>Device objects: made, attached, opened, detached, deleted; sharing, remove locks, work items.</summary>
public sealed class IoStackTests
{
    static DeviceObject Succeeding(TestMachine m, string name, uint type = 0x22) =>
        m.Dispatching(name, (_, irp) => m.Complete(irp, STATUS_SUCCESS), type);

    static DeviceObject Made(
        TestMachine m, string name, uint characteristics = 0, bool exclusive = false, uint type = 0x22)
    {
        DeviceObject first = Succeeding(m, "Driver" + type);
        Va place = m.Block(8);
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoCreateDevice(
            first.DriverObject, 16, m.Text(name), type, characteristics, exclusive, place));
        return DeviceObject.At(m.Nt.Memory, m.Read<Va>(place));
    }

    [Fact, Rule("5.1"), Rule("5.16", Hypothesis = true)]
    public void A_device_begins_as_initializing_alone_in_its_stack_and_cannot_be_opened_yet()
    {
        using var m = new TestMachine();
        DeviceObject device = Made(m, @"\Device\New"), disk = Made(m, @"\Device\Disk", type: 7);
        Assert.Equal((sbyte)1, device.StackSize);
        Assert.True(device.Vpb.IsNull);
        Assert.False(disk.Vpb.IsNull);
        Assert.NotEqual(0U, device.Flags & Io.DO_DEVICE_INITIALIZING);
        Assert.Equal(STATUS_NO_SUCH_DEVICE, m.Nt.User.CreateFile(@"\Device\New", out _));
        device.Flags &= ~Io.DO_DEVICE_INITIALIZING;
        Assert.Equal(STATUS_SUCCESS, m.Nt.User.CreateFile(@"\Device\New", out _));
    }

    [Fact, Rule("5.1")]
    public void What_an_initialization_routine_makes_can_be_opened_when_it_is_over()
    {
        using var m = new TestMachine();
        Va place = m.Block(8);
        Va init = m.Routine(call =>
        {
            DriverObject driver = DriverObject.At(m.Nt.Memory, new Va(call.Argument(0)));
            driver.SetMajorFunction(IRP_MJ_CREATE, m.Routine(create =>
                m.Complete(Irp.At(m.Nt.Memory, new Va(create.Argument(1))), STATUS_SUCCESS).Value));
            m.Nt.IoCreateDevice(driver, 0, m.Text(@"\Device\Init"), 0x22, 0, false, place);
            Assert.Equal(STATUS_NO_SUCH_DEVICE, m.Nt.User.CreateFile(@"\Device\Init", out _));
            return 0;
        });
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoCreateDriver(m.Text(@"\Driver\Init"), init));
        Assert.Equal(STATUS_SUCCESS, m.Nt.User.CreateFile(@"\Device\Init", out _));
        Assert.Equal(STATUS_OBJECT_PATH_SYNTAX_BAD, m.Nt.IoCreateDriver(m.Text(@"\Drivers\X"), init));
        Assert.Equal(STATUS_OBJECT_NAME_INVALID, m.Nt.IoCreateDriver(m.Text(@"\Driver\"), init));
    }

    [Fact, Rule("5.2")]
    public void An_exclusive_device_is_opened_once_whatever_name_follows_but_not_if_it_has_no_name()
    {
        using var m = new TestMachine();
        DeviceObject one = Made(m, @"\Device\One", exclusive: true);
        one.Flags &= ~Io.DO_DEVICE_INITIALIZING;
        UserFile file = m.Open(@"\Device\One");
        Assert.Equal(STATUS_ACCESS_DENIED, m.Nt.User.CreateFile(@"\Device\One", out _));
        Assert.Equal(STATUS_ACCESS_DENIED, m.Nt.User.CreateFile(@"\Device\One\x", out _));
        file.Close();
        Handle handle = m.OpenFile(@"\Device\One");
        Va place = m.Block(8);
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwOpenFile(
            place, 1, m.Attributes("y", 0x240, handle), m.Block(16), 7, 0));
        DeviceObject bus = Succeeding(m, "Bus"), function = Made(m, "", exclusive: true, type: 0x23);
        m.Nt.IoAttachDeviceToDeviceStack(function, bus);
        m.OpenFile(@"\Device\Bus");
        m.OpenFile(@"\Device\Bus");
    }

    [Theory, Rule("5.3")]
    [InlineData(0u, true), InlineData(0x100u, false)]
    public void A_devices_descriptor_guards_names_below_it_only_with_FILE_DEVICE_SECURE_OPEN(
        uint characteristics, bool opens)
    {
        using var m = new TestMachine();
        DeviceObject device = Made(m, @"\Device\Guarded", characteristics);
        device.Flags &= ~Io.DO_DEVICE_INITIALIZING;
        m.Nt.Ob.SetSecurity(m.Nt.Ob.At(device.Address), Sddl.Parse("D:P(A;;GA;;;SY)", GenericMapping.OfFile));
        Assert.Equal(STATUS_ACCESS_DENIED, m.Nt.User.CreateFile(@"\Device\Guarded", out _));
        Assert.Equal(opens ? STATUS_SUCCESS : STATUS_ACCESS_DENIED, m.Nt.User.CreateFile(@"\Device\Guarded\x", out _));
        Handle volume = m.OpenFile(@"\Device\Guarded");
        Assert.NotEqual(default, volume);
    }

    [Fact, Rule("5.4")]
    public void A_device_that_is_open_goes_with_its_last_file_and_is_deleted_once()
    {
        using var m = new TestMachine();
        DeviceObject device = Succeeding(m, "Gone");
        UserFile file = m.Open(@"\Device\Gone");
        m.Nt.IoDeleteDevice(device);
        Assert.Equal(STATUS_OBJECT_NAME_NOT_FOUND, m.Nt.User.CreateFile(@"\Device\Gone", out _));
        Assert.NotNull(m.Nt.Ob.Find(device.Address));
        m.Nt.IoDeleteDevice(device);
        m.Found("0xC9/0x240");
        file.Close();
        Assert.Null(m.Nt.Ob.Find(device.Address));
        DeviceObject closed = m.Device(m.Driver("closed"), "");
        m.Nt.IoDeleteDevice(closed);
        Assert.Null(m.Nt.Ob.Find(closed.Address));
        Assert.Single(m.Findings);
    }

    [Fact, Rule("5.5")]
    public void Attaching_goes_to_the_top_and_takes_over_what_the_lower_device_asks_for()
    {
        using var m = new TestMachine();
        DriverObject driver = m.Driver();
        DeviceObject low = m.Device(driver, @"\Device\Low"), middle = m.Device(driver, ""), high = m.Device(driver, "");
        low.AlignmentRequirement = 0x1FF;
        Assert.Equal(low, m.Nt.IoAttachDeviceToDeviceStack(middle, low));
        Assert.Equal(middle, m.Nt.IoAttachDeviceToDeviceStack(high, low));
        Assert.Equal(((sbyte)3, 0x1FFU), (high.StackSize, high.AlignmentRequirement));
        foreach (uint flag in (uint[])[Io.DO_DEVICE_INITIALIZING, 0])
        {
            DeviceObject busy = m.Device(driver, "");
            busy.Flags |= flag;
            DevobjExtension extension = busy.DeviceObjectExtension;
            if (flag == 0) extension.ExtensionFlags |= 1;       // DOE_UNLOAD_PENDING
            Assert.True(m.Nt.IoAttachDeviceToDeviceStack(m.Device(driver, ""), busy).IsNull);
        }
    }

    [Fact, Rule("5.6")]
    public void Detaching_what_is_not_attached_and_deleting_what_still_is_are_found()
    {
        using var m = new TestMachine();
        DriverObject driver = m.Driver();
        DeviceObject low = m.Device(driver, @"\Device\Low"), high = m.Device(driver, "");
        m.Nt.IoDetachDevice(low);
        m.Found("0xC9/0x202");
        m.Nt.IoAttachDeviceToDeviceStack(high, low);
        m.Nt.IoDetachDevice(low);
        m.Nt.IoDeleteDevice(high);
        Assert.Single(m.Findings);
        DeviceObject other = m.Device(driver, "");
        m.Nt.IoAttachDeviceToDeviceStack(other, low);
        m.Nt.IoDeleteDevice(other);
        Assert.Contains(m.Findings, f => f.Message.Contains("0xC9/0x201"));
    }

    [Fact, Rule("5.6")]
    public void A_driver_that_waits_for_its_unload_goes_when_nothing_is_attached_any_more()
    {
        using var m = new TestMachine();
        Driver echo = m.Load(Repository.Driver("quiet"));
        DeviceObject low = echo.Object.DeviceObject, high = m.Device(m.Driver(), "");
        Assert.Equal(low, m.Nt.IoAttachDeviceToDeviceStack(high, low));
        const string services = @"\Registry\Machine\System\CurrentControlSet\Services\";
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwUnloadDriver(m.Text(services + "quiet")));
        Assert.True(echo.IsLoaded);
        m.Nt.IoDetachDevice(low);
        m.RunOthers();
        Assert.False(echo.IsLoaded);
    }

    [Theory]
    [InlineData(true), InlineData(false)]
    public void A_device_that_is_deleted_below_another_one_tells_that_ones_driver(bool detaches)
    {
        using var m = new TestMachine();
        DeviceObject low = m.Device(m.Driver("low"), ""), high = m.Device(m.Driver("high"), "");
        m.Nt.IoAttachDeviceToDeviceStack(high, low);
        var told = new List<(ulong, ulong)>();
        Va table = m.Block(28 * 8);
        m.Nt.Memory.Write(table, 28U * 8);
        m.Nt.Memory.Write(table + 13 * 8, m.Routine(call =>
        {
            told.Add((call.Argument(0), call.Argument(1)));
            if (detaches) m.Nt.IoDetachDevice(low);
            return 0;
        }));
        DriverObject upper = high.DriverObject;
        upper.FastIoDispatch = table;
        m.Nt.IoDeleteDevice(low);
        Assert.Equal([(high.Address.Value, low.Address.Value)], told);
        Assert.Equal(detaches, m.Nt.Ob.Find(low.Address) is null);
        if (!detaches) m.Nt.IoDetachDevice(low);
        Assert.Null(m.Nt.Ob.Find(low.Address));
    }

    [Fact, Rule("5.7")]
    public void IoGetDeviceObjectPointer_references_the_file_and_with_attributes_only_mounts_nothing()
    {
        using var m = new TestMachine();
        DeviceObject disk = Succeeding(m, "Disk", 7);
        Va file = m.Block(8), device = m.Block(8);
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoGetDeviceObjectPointer(m.Text(@"\Device\Disk"), 0x80, file, device));
        Assert.Equal(disk.Address, m.Read<Va>(device));
        Assert.False(disk.Vpb.Has(Vpb.Mounted));
        Assert.Equal(1, disk.ReferenceCount);
        m.Nt.ObfDereferenceObject(m.Read<Va>(file));
        Assert.Equal(0, disk.ReferenceCount);
    }

    [Fact, Rule("5.8")]
    public void A_device_that_was_referenced_stays_until_it_is_dereferenced()
    {
        using var m = new TestMachine();
        DeviceObject device = m.Device(m.Driver(), "");
        Assert.Equal(device, m.Nt.IoGetAttachedDeviceReference(device));
        m.Nt.IoDeleteDevice(device);
        Assert.NotNull(m.Nt.Ob.Find(device.Address));
        m.Nt.ObfDereferenceObject(device.Address);
        Assert.Null(m.Nt.Ob.Find(device.Address));
    }

    [Theory, Rule("4.4")]
    [InlineData(Io.DO_BUFFERED_IO, "0xC9/0x244"), InlineData(Io.DO_BUFFERED_IO | Io.DO_DIRECT_IO, "0xC9/0x245")]
    public void Devices_of_a_stack_that_take_buffers_differently_are_found(uint flags, string code)
    {
        using var m = new TestMachine();
        DeviceObject low = Succeeding(m, "Low");
        low.Flags |= Io.DO_DIRECT_IO;
        DeviceObject high = m.Over(low, "High", (_, irp) => m.Complete(irp, STATUS_SUCCESS));
        high.Flags = high.Flags & ~(Io.DO_BUFFERED_IO | Io.DO_DIRECT_IO) | flags;
        m.Nt.IofCallDriver(high, m.OwnIrp(2, IRP_MJ_READ));
        m.Found(code);
    }

    [Fact, Rule("7.7")]
    public void A_remove_lock_is_made_once_and_released_with_the_tags_that_it_was_acquired_with()
    {
        using var m = new TestMachine();
        RemoveLock held = RemoveLock.At(m.Nt.Memory, m.Block(RemoveLock.Size));
        m.Nt.IoInitializeRemoveLockEx(held, 0, 0, 0, RemoveLock.Size);
        foreach (ulong tag in (ulong[])[1, 2, 3])
            m.Nt.IoAcquireRemoveLockEx(held, new(tag), Va.Null, 0, RemoveLock.Size);
        m.Nt.IoReleaseRemoveLockEx(held, new(1), RemoveLock.Size);
        Assert.Empty(m.Findings);
        m.Nt.IoReleaseRemoveLockEx(held, new(4), RemoveLock.Size);
        m.Found("0xC4/0xD5");
        m.Nt.IoReleaseRemoveLockAndWaitEx(held, new(5), RemoveLock.Size);
        Assert.Contains(m.Findings, f => f.Message.Contains("0xC4/0xD6"));
        Assert.Equal(STATUS_DELETE_PENDING, m.Nt.IoAcquireRemoveLockEx(held, new(6), Va.Null, 0, RemoveLock.Size));
        m.Nt.IoInitializeRemoveLockEx(held, 0, 0, 0, RemoveLock.Size);
        Assert.Contains(m.Findings, f => f.Message.Contains("0xC4/0xD7"));
    }

    [Fact, Rule("12.1")]
    public void A_work_item_keeps_its_device_until_its_routine_returns_and_may_free_itself()
    {
        using var m = new TestMachine();
        DeviceObject device = m.Device(m.Driver(), "");
        Va item = m.Nt.IoAllocateWorkItem(device);
        bool wasThere = false;
        Va routine = m.Routine(_ =>
        {
            wasThere = m.Nt.Ob.Find(device.Address) is not null && m.Nt.CurrentIrql == Irql.PASSIVE_LEVEL;
            m.Nt.IoFreeWorkItem(item);
            return 0;
        });
        m.Nt.IoQueueWorkItem(item, routine, 1, Va.Null);
        m.Nt.IoDeleteDevice(device);
        m.RunOthers();
        Assert.True(wasThere);
        Assert.Null(m.Nt.Ob.Find(device.Address));
    }

    [Theory, Rule("12.1")]
    [InlineData(1), InlineData(2), InlineData(3), InlineData(5), InlineData(6)]
    public void Misuse_of_a_work_item_stops_the_machine(int subcode)
    {
        using var m = new TestMachine();
        Va routine = m.Routine(_ => 0), item = m.Nt.IoAllocateWorkItem(m.Device(m.Driver(), ""));
        BugCheck stop = Assert.Throws<BugCheck>(() =>
        {
            if (subcode == 3) m.Nt.IoInitializeWorkItem(m.Block(8), item);
            if (subcode == 5) m.Nt.IoUninitializeWorkItem(item);
            m.Nt.IoQueueWorkItem(item, routine, subcode == 6 ? 1000U : 1, Va.Null);
            if (subcode == 2) m.Nt.IoFreeWorkItem(item);
            m.Nt.IoQueueWorkItem(item, routine, 1, Va.Null);
        });
        Assert.Equal((BugCheckCode.WORKER_INVALID, (ulong)subcode), (stop.Code, stop.Parameters[0]));
    }

    [Fact, Rule("12.3")]
    public void A_worker_must_not_keep_a_mutex()
    {
        using var m = new TestMachine();
        KMutant mutex = KMutant.At(m.Nt.Memory, m.Block(KMutant.Size));
        m.Nt.KeInitializeMutex(mutex, 0);
        Va item = m.Nt.IoAllocateWorkItem(m.Device(m.Driver(), ""));
        m.Nt.IoQueueWorkItem(item, m.Routine(_ =>
            m.Nt.KeWaitForSingleObject(mutex.Header, 0, 0, false, Va.Null).Value), 1, Va.Null);
        Assert.Equal(BugCheckCode.SYSTEM_EXIT_OWNED_MUTEX, Assert.Throws<BugCheck>(m.RunOthers).Code);
    }

    [Fact, Rule("12.4")]
    public void ExQueueWorkItem_is_bound_to_no_device()
    {
        using var m = new TestMachine();
        DeviceObject device = m.Device(m.Driver(), "");
        WorkQueueItem item = WorkQueueItem.At(m.Nt.Memory, m.Block(WorkQueueItem.Size));
        bool wasThere = true;
        item.WorkerRoutine = m.Routine(_ => (wasThere = m.Nt.Ob.Find(device.Address) is not null) ? 1UL : 0);
        m.Nt.ExQueueWorkItem(item, 1);
        m.Nt.IoDeleteDevice(device);
        m.RunOthers();
        Assert.False(wasThere);
    }

    [Fact]
    public void A_routine_that_registers_itself_again_is_called_again_and_the_boot_kind_comes_first()
    {
        using var m = new TestMachine();
        DriverObject driver = m.Driver();
        var order = new List<string>();
        Va ordinary = default;
        ordinary = m.Routine(call =>
        {
            order.Add($"ordinary {call.Argument(1)} {call.Argument(2)}");
            if (order.Count < 3) m.Nt.IoRegisterDriverReinitialization(driver, ordinary, new(7));
            return 0;
        });
        m.Nt.IoRegisterDriverReinitialization(driver, ordinary, new(7));
        m.Nt.IoRegisterBootDriverReinitialization(driver, m.Routine(call =>
        {
            order.Add($"boot {call.Argument(2)}");
            return 0;
        }), Va.Null);
        m.Nt.Io.RunReinitialize();
        Assert.Equal(["boot 1", "ordinary 7 2", "ordinary 7 3"], order);
        m.Nt.IoRegisterDriverReinitialization(driver, ordinary, Va.Null);
        m.Nt.Io.ForgetReinitialize(driver);
        m.Nt.Io.RunReinitialize();
        Assert.Equal(3, order.Count);
    }
}
