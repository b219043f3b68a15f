using System.Text;
using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Samples;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.DeviceNodeState;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Tests;

/// <summary>A bus whose children a test decides.</summary>
sealed class TestBus : WdmDriver
{
    sealed record Child(DeviceObject Device, string DeviceId, string Instance);

    readonly List<Child> _children = [];
    readonly Dictionary<DeviceObject, string> _names = [];

    /// <summary>What it reports instead of its children.</summary>
    public Func<IReadOnlyList<Va>>? Reports { get; set; }

    /// <summary>What a child answers to a question for relations; null: nothing.</summary>
    public Func<string, DeviceRelationType, DeviceObject[]?>? Related { get; set; }

    /// <summary>The child that does not want to be removed.</summary>
    public string? Refuses { get; set; }

    public Action<DeviceObject>? Ejected { get; set; }

    /// <summary>More that its children can do.</summary>
    public CapabilityFlags Capabilities { get; set; }

    public DeviceObject Plug(string deviceId, string instance)
    {
        IoCreateDevice(Object, 16, "", FILE_DEVICE_UNKNOWN, 0x80, false, out DeviceObject made);
        made.Flags &= ~DO_DEVICE_INITIALIZING;
        _children.Add(new Child(made, deviceId, instance));
        _names[made] = deviceId;
        return made;
    }

    public void Unplug(DeviceObject child) => _children.RemoveAll(c => c.Device == child);

    protected override NtStatus Dispatch(DeviceObject device, Irp irp)
    {
        IoStackLocation location = irp.CurrentStackLocation;
        bool isRelations = location.MajorFunction == IrpMajor.IRP_MJ_PNP
            && location.MinorFunction == IRP_MN_QUERY_DEVICE_RELATIONS;
        if (Devices.Contains(device))
        {
            if (!isRelations || location.RelationType != DeviceRelationType.BusRelations)
                return base.Dispatch(device, irp);
            irp.IoStatus = new IoStatusBlock(STATUS_SUCCESS, Relations(
                Reports?.Invoke() ?? [.. _children.Select(c => c.Device.Address)]));
            return Skip(device, irp);
        }
        Child? child = _children.Find(c => c.Device == device);
        if (location.MajorFunction == IrpMajor.IRP_MJ_PNP) Seen.Add($"{child?.DeviceId} {location.MinorFunction:X2}");
        if (location.MajorFunction == IrpMajor.IRP_MJ_POWER) return Complete(irp, STATUS_SUCCESS);
        if (location.MajorFunction != IrpMajor.IRP_MJ_PNP) return Complete(irp, STATUS_INVALID_DEVICE_REQUEST);
        switch (location.MinorFunction)
        {
            case IRP_MN_QUERY_ID when child is not null && IdOf(child, location.IdType) is { } id:
                return Complete(irp, STATUS_SUCCESS, Block(Encoding.Unicode.GetBytes(id)));
            case IRP_MN_QUERY_CAPABILITIES:
                DeviceCapabilities capabilities = location.Capabilities;
                capabilities.Flags |= CapabilityFlags.RawDeviceOK | CapabilityFlags.UniqueId | Capabilities;
                return Complete(irp, STATUS_SUCCESS);
            case IRP_MN_QUERY_REMOVE_DEVICE when child is not null && child.DeviceId == Refuses:
                return Complete(irp, STATUS_UNSUCCESSFUL);
            case IRP_MN_EJECT:
                Ejected?.Invoke(device);
                return Complete(irp, STATUS_SUCCESS);
            case IRP_MN_QUERY_DEVICE_RELATIONS
                when Related?.Invoke(_names[device], location.RelationType) is { } related:
                return Complete(irp, STATUS_SUCCESS, Relations([.. related.Select(r => r.Address)]));
            case IRP_MN_REMOVE_DEVICE:
                if (child is null) Nt.IoDeleteDevice(device);
                return Complete(irp, STATUS_SUCCESS);
            case <= IRP_MN_CANCEL_STOP_DEVICE or IRP_MN_SURPRISE_REMOVAL:
                return Complete(irp, STATUS_SUCCESS);
            default:
                return Complete(irp, irp.IoStatus.Status, irp.IoStatus.Information);
        }
    }

    static string? IdOf(Child child, BusQueryIdType type) => type switch
    {
        BusQueryIdType.BusQueryDeviceID => child.DeviceId + '\0',
        BusQueryIdType.BusQueryInstanceID => child.Instance + '\0',
        BusQueryIdType.BusQueryHardwareIDs => child.DeviceId + "\0\0",
        _ => null,
    };

    ulong Relations(IReadOnlyList<Va> devices)
    {
        int size = DeviceRelations.SizeOf(Math.Max(devices.Count, 1));
        var relations = At<DeviceRelations>(new Va(Block(new byte[size])));
        relations.Count = (uint)devices.Count;
        for (int i = 0; i < devices.Count; i++)
        {
            if (Nt.Ob.Find(devices[i]) is not null) Nt.ObfReferenceObject(devices[i]);
            relations.SetObject(i, At<DeviceObject>(devices[i]));
        }
        return relations.Address.Value;
    }

    ulong Block(byte[] bytes)
    {
        Va block = Nt.ExAllocatePoolWithTag(PagedPool, (ulong)bytes.Length, Tag("TBus"));
        Memory.Write(block, bytes);
        return block.Value;
    }
}

/// <summary>The rules of plug and play, those that the manager keeps and those that it holds drivers to.</summary>
public sealed class PnpRuleTests
{
    static (DeviceNode Node, T Driver) Device<T>(TestMachine m, T driver) where T : WdmDriver
    {
        m.Nt.Loader.Load(driver.Name, driver);
        return (m.Nt.User.Devices.AddRootDevice(@"Root\" + driver.Name, driver.Name), driver);
    }

    [Theory, Rule("7.2")]
    [InlineData(IRP_MN_REMOVE_DEVICE), InlineData(IRP_MN_STOP_DEVICE)]
    [InlineData(IRP_MN_SURPRISE_REMOVAL), InlineData(IRP_MN_CANCEL_REMOVE_DEVICE)]
    public void Some_requests_may_not_be_failed(byte minor)
    {
        using var m = new TestMachine();
        (DeviceNode node, WdmDriver driver) = Device(m, new WdmDriver { Fails = (minor, STATUS_UNSUCCESSFUL) });
        switch (minor)
        {
            case IRP_MN_SURPRISE_REMOVAL:
                m.Nt.User.Devices.PullOut(node);
                break;
            case IRP_MN_STOP_DEVICE:
                m.Nt.User.Devices.Rebalance(node);
                break;
            case IRP_MN_REMOVE_DEVICE:
                m.Nt.User.Devices.Disable(node);
                break;
            case IRP_MN_CANCEL_REMOVE_DEVICE:
                // The device is asked, and an open handle forbids it.
                DeviceObject top = driver.Devices[0];
                top.ReferenceCount++;
                Assert.Equal(STATUS_PLUGPLAY_QUERY_VETOED, m.Nt.User.Devices.Disable(node));
                top.ReferenceCount--;
                break;
        }
        Assert.Contains(m.Findings, f => f.Message.Contains("0xC9/0x247"));
    }

    [Fact, Rule("7.4")]
    public void Children_go_before_their_bus_and_their_drivers_before_the_bus_driver()
    {
        using var m = new TestMachine();
        (DeviceNode bus, TestBus driver) = Device(m, new TestBus { Name = "bus" });
        driver.Plug(@"TB\One", "1");
        driver.Plug(@"TB\Two", "2");
        m.Nt.User.Devices.Rescan();
        Assert.Equal([@"TB\One\1", @"TB\Two\2"], bus.Children.Select(c => c.InstancePath));
        Assert.All(bus.Children, c => Assert.True(c.IsStarted));
        driver.Seen.Clear();
        Assert.Equal(STATUS_SUCCESS, m.Nt.User.Devices.Disable(bus));
        Assert.Equal([@"TB\One 01", @"TB\Two 01", "bus 01", @"TB\One 02", @"TB\Two 02", "bus 02"],
            driver.Seen.Where(s => s.EndsWith("01") || s.EndsWith("02")));
        Assert.Empty(bus.Children);
    }

    [Fact, Rule("7.8")]
    public void A_device_that_is_not_reported_any_more_is_removed_by_surprise()
    {
        using var m = new TestMachine();
        (DeviceNode bus, TestBus driver) = Device(m, new TestBus { Name = "bus" });
        DeviceObject child = driver.Plug(@"TB\One", "1");
        m.Nt.User.Devices.Rescan();
        DeviceNode node = Assert.Single(bus.Children);
        driver.Seen.Clear();
        driver.Unplug(child);
        m.Nt.User.Devices.Rescan();
        // Who is not a child any more has no id.
        Assert.Equal([" 07", " 17", " 02"], driver.Seen.Where(s => s[0] == ' '));
        Assert.Equal(Deleted, node.State);
        Assert.False(m.Nt.IsDevice(child));
        Assert.Empty(bus.Children);
        Assert.Empty(m.Findings);
    }

    [Theory, Rule("7.8")]
    [InlineData("twins", 1), InlineData("no device", 2), InlineData("null", 8), InlineData("deleted", 4)]
    public void A_bus_that_reports_nonsense_stops_the_machine(string what, ulong code)
    {
        using var m = new TestMachine();
        (_, TestBus driver) = Device(m, new TestBus { Name = "bus" });
        DeviceObject child = driver.Plug(@"TB\One", "1");
        switch (what)
        {
            case "twins":
                driver.Plug(@"TB\One", "1");
                break;
            case "no device":
                driver.Reports = () => [m.Block(0x200)];
                break;
            case "null":
                driver.Reports = () => [Va.Null];
                break;
            default:
                child.ReferenceCount++;
                driver.Reports = () => [child.Address];
                m.Nt.IoDeleteDevice(child);
                break;
        }
        BugCheck stop = Assert.Throws<BugCheck>(() => m.Nt.User.Devices.Rescan());
        Assert.Equal((BugCheckCode.PNP_DETECTED_FATAL_ERROR, code), (stop.Code, stop.Parameters[0]));
    }

    [Theory, Rule("7.9")]
    [InlineData(@"TB\A,B"), InlineData("TB\\A\u00e9"), InlineData("TB\\A\tB")]
    public void An_id_has_printable_characters_and_no_comma(string id)
    {
        using var m = new TestMachine();
        (_, TestBus driver) = Device(m, new TestBus { Name = "bus" });
        driver.Plug(id, "1");
        BugCheck stop = Assert.Throws<BugCheck>(() => m.Nt.User.Devices.Rescan());
        Assert.Equal((BugCheckCode.PNP_DETECTED_FATAL_ERROR, 3UL, 1UL),
            (stop.Code, stop.Parameters[0], stop.Parameters[3]));
    }

    [Fact, Rule("7.10")]
    public void A_notification_callback_that_changes_the_IRQL_stops_the_machine()
    {
        using var m = new TestMachine();
        Guid guid = Guid.NewGuid();
        Device(m, new WdmDriver { Interface = guid });
        Va entry = m.Block(8), wanted = m.Block(16), callback = m.Routine(_ =>
        {
            m.Nt.Ke.Raise(Irql.DISPATCH_LEVEL);
            return 0;
        });
        m.Nt.Memory.Write(wanted, guid);
        BugCheck stop = Assert.Throws<BugCheck>(() => m.Nt.IoRegisterPlugPlayNotification(2, 1, wanted,
            m.Driver(), callback, Va.Null, entry));
        Assert.Equal((BugCheckCode.PNP_DETECTED_FATAL_ERROR, 0xAUL), (stop.Code, stop.Parameters[0]));
    }

    [Fact, Rule("5.15")]
    public void Interfaces_are_told_of_as_they_come_and_go()
    {
        using var m = new TestMachine();
        var guid = new Guid("11111111-2222-3333-4444-555555555555");
        List<string> told = [];
        Va entry = m.Block(8), wanted = m.Block(16), callback = m.Routine(call =>
        {
            Va block = new(call.Argument(0));
            told.Add($"{m.Read<Guid>(block + 4).ToString()[..8]} "
                + m.Nt.TryText(m.Read<ulong>(block + 0x28))!.Split('#')[1]);
            return 0;
        });
        m.Nt.Memory.Write(wanted, guid);
        m.Nt.IoRegisterPlugPlayNotification(2, 1, wanted, m.Driver(), callback, Va.Null, entry);
        (DeviceNode node, _) = Device(m, new WdmDriver { Interface = guid });
        Assert.Equal(["cb3a4004 wdm"], told);
        m.Nt.User.Devices.Disable(node);
        Assert.Equal(["cb3a4004 wdm", "cb3a4005 wdm"], told);
        m.Nt.IoUnregisterPlugPlayNotification(m.Read<Va>(entry));
        m.Nt.User.Devices.Enable(node);
        Assert.Equal(2, told.Count);
    }

    [Theory, Rule("7.6")]
    [InlineData("c"), InlineData("cs")]
    public void Requests_wait_while_the_device_is_stopped(string language)
    {
        using var m = new TestMachine();
        if (language == "c") m.Load(Repository.Sample("function"));
        else m.Nt.Loader.Load("function", new Function());
        var filter = new WdmDriver { Name = "filter", IsFilter = true };
        m.Nt.Loader.Load("filter", filter);
        m.Nt.ApplyRegistry(RegistryDocument.Parse("""
            Windows Registry Editor Version 5.00

            [HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Enum\ROOT\Mailbox\0000]
            "LowerFilters"=hex(7):66,00,69,00,6c,00,74,00,65,00,72,00,00,00,00,00
            """));
        DeviceNode node = m.Nt.User.Devices.AddRootDevice(@"Root\Mailbox", "function");
        UserFile file = m.Open(m.Nt.User.Devices.Interfaces(Function.Interface)[0]);
        // A letter comes when the device has stopped, and is put into the box when it runs again.
        NtStatus sent = default;
        NtStatus? ended = null;
        Va data = m.Block(8), offset = m.Block(8), done = m.Routine(call =>
        {
            ended = Irp.At(m.Nt.Memory, new Va(call.Argument(1))).IoStatus.Status;
            return STATUS_MORE_PROCESSING_REQUIRED.Value;
        });
        m.Nt.Memory.Write(data, 0x030201);
        filter.Told = minor =>
        {
            if (minor == IRP_MN_START_DEVICE) Assert.Null(ended);
            if (minor != IRP_MN_STOP_DEVICE) return;
            DeviceObject top = m.Nt.IoGetAttachedDevice(node.PhysicalDevice);
            Irp irp = m.Nt.IoBuildAsynchronousFsdRequest(4, top, data, 3, offset, Va.Null);
            irp.SetCompletionRoutine(done, Va.Null);
            sent = m.Nt.IofCallDriver(top, irp);
        };
        Assert.Equal(STATUS_SUCCESS, m.Nt.User.Devices.Rebalance(node));
        Assert.Equal((true, STATUS_PENDING, STATUS_SUCCESS), (node.IsStarted, sent, ended));
        Assert.Equal([1, 2, 3], file.Read(8).Output);
        file.Close();
        Assert.Equal(STATUS_SUCCESS, m.Nt.User.Devices.Uninstall(node));
        Assert.Empty(m.Findings);
    }
}
