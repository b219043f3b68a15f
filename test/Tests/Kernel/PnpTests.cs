using Ringdown.Kernel;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.DeviceNodeState;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Tests;

/// <summary>Root-enumerated devices under drivers in C#: what the manager sends, when, and in which order.</summary>
public sealed class PnpTests
{
    static readonly Guid s_class = new("11111111-2222-3333-4444-555555555555");

    static (DeviceNode Node, WdmDriver Driver) Device(
        TestMachine m, WdmDriver? driver = null, params string[] requirements)
    {
        driver ??= new WdmDriver();
        m.Nt.Loader.Load(driver.Name, driver);
        DeviceNode node = m.Nt.User.Devices.AddRootDevice(
            @"Root\Thing", driver.Name, requirements.Length == 0 ? null : RequirementText.Parse(requirements));
        return (node, driver);
    }

    [Fact, Rule("7.T1")]
    public void A_device_gets_its_driver_and_starts_and_the_bus_is_asked_for_children()
    {
        using var m = new TestMachine();
        (DeviceNode node, WdmDriver driver) = Device(m);
        Assert.Equal((Started, DeviceProblem.None, @"ROOT\Thing\0000"), (node.State, node.Problem, node.InstancePath));
        // Filter requirements, start, capabilities, state, bus relations; ids and text were asked before it was there.
        Assert.Equal(["wdm add", "wdm 0B", "wdm 0D", "wdm 00", "wdm 09", "wdm 14", "wdm 07"], driver.Seen);
        Assert.Empty(m.Findings);
    }

    [Fact]
    public void Resources_are_assigned_and_translated()
    {
        using var m = new TestMachine();
        (DeviceNode node, WdmDriver driver) = Device(
            m, null, "ports 8/8 100-3FF", "memory 1000/1000 0-FFFFFFFF", "line 4-4", "messages 2");
        Assert.Equal(Started, node.State);
        Assert.Equal([
            new Resource(ResourceType.Port, 0x100, 8), new Resource(ResourceType.Memory, 0x8010_0000, 0x1000),
            new Resource(ResourceType.Interrupt, 4, 1), new Resource(ResourceType.Interrupt, 0xBE, 1)], driver.Raw);
        Assert.Equal([(7U, InterruptTable.VectorOf(4)), (11U, 0xBEU)], driver.Translated);
    }

    [Fact, Rule("7.T1")]
    public void Disabling_asks_first_and_enabling_adds_the_driver_again()
    {
        using var m = new TestMachine();
        (DeviceNode node, WdmDriver driver) = Device(m);
        driver.Seen.Clear();
        Assert.Equal(STATUS_SUCCESS, m.Nt.User.Devices.Disable(node));
        Assert.Equal(["wdm 07", "wdm 01", "wdm 02"], driver.Seen);
        Assert.Equal((Removed, DeviceProblem.Disabled), (node.State, node.Problem));
        Assert.Empty(driver.Devices);
        driver.Seen.Clear();
        Assert.Equal(STATUS_SUCCESS, m.Nt.User.Devices.Enable(node));
        Assert.Equal("wdm add", driver.Seen[0]);
        Assert.True(node.IsStarted);
        Assert.Empty(m.Findings);
    }

    [Fact, Rule("7.3"), Rule("5.15")]
    public void An_open_handle_and_a_driver_that_refuses_keep_the_device()
    {
        using var m = new TestMachine();
        (DeviceNode node, WdmDriver driver) = Device(m, new WdmDriver { Interface = s_class });
        UserFile file = m.Open(m.Nt.User.Devices.Interfaces(s_class)[0]);
        driver.Seen.Clear();
        Assert.Equal(STATUS_PLUGPLAY_QUERY_VETOED, m.Nt.User.Devices.Disable(node));
        Assert.Equal(["wdm 07", "wdm 01", "wdm 03"], driver.Seen);
        Assert.Equal(Started, node.State);
        file.Close();
        driver.Fails = (IRP_MN_QUERY_REMOVE_DEVICE, STATUS_UNSUCCESSFUL);
        Assert.Equal(STATUS_PLUGPLAY_QUERY_VETOED, m.Nt.User.Devices.Disable(node));
        Assert.Equal("wdm 03", driver.Seen[^1]);
        driver.Fails = (WdmDriver.NoMinor, default);
        Assert.Equal(STATUS_SUCCESS, m.Nt.User.Devices.Disable(node));
        Assert.Empty(m.Nt.User.Devices.Interfaces(s_class));
    }

    [Fact, Rule("7.5"), Rule("7.T1")]
    public void A_device_that_is_pulled_out_ends_when_its_last_handle_is_closed()
    {
        using var m = new TestMachine();
        (DeviceNode node, WdmDriver driver) = Device(m, new WdmDriver { Interface = s_class });
        UserFile file = m.Open(m.Nt.User.Devices.Interfaces(s_class)[0]);
        driver.Seen.Clear();
        Assert.Equal(STATUS_SUCCESS, m.Nt.User.Devices.PullOut(node));
        Assert.Equal(["wdm 07", "wdm 17"], driver.Seen);
        Assert.Equal(SurpriseRemoved, node.State);
        Assert.Empty(m.Nt.User.Devices.Interfaces(s_class));
        file.Close();
        m.Nt.User.RunUntilIdle();
        Assert.Equal("wdm 02", driver.Seen[^1]);
        Assert.Equal(Deleted, node.State);
        Assert.Empty(m.Nt.User.Devices.All);
        Assert.True(m.Unload(m.Nt.Loader.Drivers.First(d => d.Name == "wdm")));
        Assert.Empty(m.Findings);
    }

    [Fact, Rule("7.T1")]
    public void A_failed_start_removes_the_stack()
    {
        using var m = new TestMachine();
        (DeviceNode node, WdmDriver driver) = Device(
            m, new WdmDriver { Fails = (IRP_MN_START_DEVICE, STATUS_INSUFFICIENT_RESOURCES) });
        Assert.Equal((Removed, DeviceProblem.FailedStart, STATUS_INSUFFICIENT_RESOURCES),
            (node.State, node.Problem, node.ProblemStatus));
        Assert.Equal("wdm 02", driver.Seen[^1]);
        Assert.Empty(driver.Devices);
    }

    /// <summary>One that ran is first gone by surprise: whoever has it open can still close it.</summary>
    [Fact, Rule("7.T1")]
    public void A_failed_restart_keeps_the_stack_until_the_device_is_closed()
    {
        using var m = new TestMachine();
        (DeviceNode node, WdmDriver driver) = Device(m, new WdmDriver { Interface = s_class });
        UserFile file = m.Open(m.Nt.User.Devices.Interfaces(s_class)[0]);
        driver.Fails = (IRP_MN_START_DEVICE, STATUS_INSUFFICIENT_RESOURCES);
        m.Nt.User.Devices.Rebalance(node);
        Assert.Equal((SurpriseRemoved, DeviceProblem.FailedStart), (node.State, node.Problem));
        Assert.Equal("wdm 17", driver.Seen[^1]);
        file.Close();
        m.Nt.User.RunUntilIdle();
        Assert.Equal((Removed, DeviceProblem.FailedStart), (node.State, node.Problem));
        Assert.Equal("wdm 02", driver.Seen[^1]);
    }

    [Fact, Rule("7.1")]
    public void Filters_stand_where_the_registry_says()
    {
        using var m = new TestMachine();
        List<string> seen = [];
        foreach (string name in (string[])["lower", "upper"])
            m.Nt.Loader.Load(name, new WdmDriver { Name = name, IsFilter = true, Seen = seen });
        m.Nt.ApplyRegistry(RegistryDocument.Parse("""
            Windows Registry Editor Version 5.00

            [HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Enum\ROOT\Thing\0000]
            "UpperFilters"=hex(7):75,00,70,00,70,00,65,00,72,00,00,00,00,00
            "LowerFilters"=hex(7):6c,00,6f,00,77,00,65,00,72,00,00,00,00,00
            """));
        (DeviceNode node, _) = Device(m, new WdmDriver { Seen = seen });
        Assert.True(node.IsStarted);
        Assert.Equal(["lower add", "wdm add", "upper add"], seen.Take(3));
        Assert.Equal(["upper 00", "wdm 00", "lower 00"], seen.Where(s => s.EndsWith(" 00")));
        Assert.Equal(STATUS_SUCCESS, m.Nt.User.Devices.Uninstall(node));
        Assert.Equal(["upper 02", "wdm 02", "lower 02"], seen.Where(s => s.EndsWith(" 02")));
        Assert.Empty(m.Findings);
    }

    [Fact]
    public void A_filter_that_is_not_there_fails_the_device()
    {
        using var m = new TestMachine();
        m.Nt.Cm.Create(@"\Registry\Machine\System\CurrentControlSet\Enum\ROOT\Thing\0000")
            .Set("UpperFilters", RegistryValue.MultiString("nobody"));
        (DeviceNode node, WdmDriver driver) = Device(m);
        Assert.Equal((Removed, DeviceProblem.DriverFailedLoad), (node.State, node.Problem));
        Assert.Equal(["wdm add", "wdm 02"], driver.Seen);
        Assert.Empty(driver.Devices);
    }

    sealed class Keeping : WdmDriver
    {
        protected override NtStatus Dispatch(DeviceObject device, Irp irp)
        {
            IoStackLocation location = irp.CurrentStackLocation;
            if (location.MajorFunction != IrpMajor.IRP_MJ_PNP || location.MinorFunction != IRP_MN_START_DEVICE)
                return base.Dispatch(device, irp);
            irp.MarkPending();
            return STATUS_PENDING;
        }
    }

    [Fact]
    public void A_start_that_is_kept_leaves_a_device_that_waits()
    {
        using var m = new TestMachine();
        m.Nt.Loader.Load("other", new WdmDriver { Name = "other" });
        m.Nt.User.Devices.AddRootDevice(@"Root\Other", "other");
        (DeviceNode node, _) = Device(m, new Keeping());
        Assert.Equal((@"ROOT\Thing\0000", DriversAdded), (node.InstancePath, node.State));
        Assert.Equal(STATUS_PENDING, m.Nt.User.Devices.Disable(node));
    }

    [Fact]
    public void A_device_moves_when_another_one_can_do_with_nothing_else()
    {
        using var m = new TestMachine();
        (DeviceNode first, WdmDriver driver) = Device(m, null, "ports 8/8 100-117");
        driver.Seen.Clear();
        m.Nt.Loader.Load("second", new WdmDriver { Name = "second" });
        DeviceNode second = m.Nt.User.Devices.AddRootDevice(
            @"Root\Other", "second", RequirementText.Parse("ports 100-107"));
        Assert.True(second.IsStarted);
        Assert.Equal(0x108UL, first.Resources[0].Start);
        Assert.Equal(["wdm 05", "wdm 04", "wdm 00"], driver.Seen.Where(s => s is "wdm 05" or "wdm 04" or "wdm 00"));
        driver.Fails = (IRP_MN_QUERY_STOP_DEVICE, STATUS_DEVICE_BUSY);
        DeviceNode third = m.Nt.User.Devices.AddRootDevice(
            @"Root\Third", "second", RequirementText.Parse("ports 108-10F"));
        Assert.Equal((Removed, DeviceProblem.NormalConflict), (third.State, third.Problem));
        Assert.Equal("wdm 06", driver.Seen[^1]);
    }

    [Theory, InlineData(true), InlineData(false)]
    public void Configuration_spaces_of_PCI_are_no_place_for_a_device(bool hasPci)
    {
        using var m = new TestMachine(new KernelOptions
        {
            Board = hasPci ? computer => Ringdown.Machine.Board.Parse(
                """{ "devices": [ { "chip": "edu", "pci": { "slot": 1, "id": "1234:5678" } } ] }""").Attach(computer)
                : null,
        });
        (DeviceNode node, _) = Device(m, null, "memory 1000/1000 E0000000-F01FFFFF");
        Assert.Equal(hasPci ? 0xF000_0000UL : 0xE000_0000, node.Resources[0].Start);
    }

    [Fact]
    public void A_device_that_is_gone_and_open_is_neither_disabled_nor_uninstalled()
    {
        using var m = new TestMachine();
        m.Nt.Loader.Load("function", new Ringdown.Samples.Function());
        DeviceTree devices = m.Nt.User.Devices;
        DeviceNode node = devices.AddRootDevice(@"Root\Mailbox", "function");
        UserFile file = m.Open(node.Interfaces.Single());
        Assert.Equal(STATUS_SUCCESS, devices.Send(node, IRP_MN_SURPRISE_REMOVAL, 0));
        Assert.Equal(STATUS_PLUGPLAY_QUERY_VETOED, devices.Disable(node));
        Assert.Equal(STATUS_PLUGPLAY_QUERY_VETOED, devices.Uninstall(node));
        // The driver is still there to say so.
        Assert.False(file.Read(1).Status.IsSuccess);
        Assert.Equal(DeviceNodeState.SurpriseRemoved, node.State);
        file.Close();
        m.Nt.User.RunUntilIdle();
        Assert.NotEqual(DeviceNodeState.SurpriseRemoved, node.State);
        Assert.Empty(m.Findings);
    }
}
