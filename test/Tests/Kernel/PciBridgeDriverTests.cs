using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Samples;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Tests;

/// <summary>Devices behind bridges, as plug and play has them.</summary>
public sealed class PciBridgeDriverTests
{
    const string Deep = @"PCI\VEN_1234&DEV_0003", Near = @"PCI\VEN_1234&DEV_0002", Port = @"PCI\VEN_1234&DEV_00B1",
        Switch = @"PCI\VEN_1234&DEV_00B2", Empty = @"PCI\VEN_1234&DEV_00B3";

    const string Devices = """
        { "devices": [
          { "chip": "bridge", "name": "port", "pci": { "slot": 2, "id": "1234:00B1", "removable": true }, "devices": [
            { "chip": "bridge", "name": "switch", "pci": { "slot": 0, "id": "1234:00B2" }, "devices": [
              { "chip": "registers", "name": "deep", "pci": { "slot": 3, "id": "1234:0003", "bars": "memory" }, "map": [
                { "name": "A", "offset": 0, "value": 7 }, { "name": "B", "offset": "0x1008", "value": 8 },
                { "name": "GO", "offset": 16, "onWrite": [
                  { "bit": 0, "raise": true }, { "bit": 1, "lower": true } ] } ]
              } ] },
            { "chip": "edu", "name": "near", "pci": { "slot": 1, "id": "1234:0002" } } ] },
          { "chip": "bridge", "name": "empty", "pci": { "slot": 3, "id": "1234:00B3" } },
          { "chip": "edu", "name": "first", "pci": { "slot": 9, "id": "1234:0001" } } ] }
        """;

    static TestMachine Boot()
    {
        var m = new TestMachine(new KernelOptions { Board = computer => Board.Parse(Devices).Attach(computer) });
        m.Nt.User.Devices.Start();
        return m;
    }

    static PciFunction Named(TestMachine m, string name) => m.Nt.Computer.Pci.Known.Single(f => f.Name == name);

    static DeviceNode Find(TestMachine m, string id) => m.Nt.User.Devices.Find(id)!;

    static DeviceNode Drive(TestMachine m, string id, WdmDriver driver)
    {
        if (m.Nt.Loader.FindLoaded(driver.Name) is null) m.Nt.Loader.Load(driver.Name, driver);
        Assert.Equal(STATUS_SUCCESS, m.Nt.User.Devices.SetDriver(Find(m, id), driver.Name));
        return Find(m, id);
    }

    static ulong MemoryOf(DeviceNode node) => node.Resources.First(r => r.Type == ResourceType.Memory).Start;

    static uint Value(TestMachine m, DeviceNode node, uint offset = 0)
    {
        Va at = m.Nt.MmMapIoSpace(MemoryOf(node), 0x2000, 0);
        uint value = m.Nt.READ_REGISTER_ULONG(at + offset);
        m.Nt.MmUnmapIoSpace(at, 0x2000);
        return value;
    }

    [Fact]
    public void Bridges_are_devices_and_what_is_behind_them_hangs_below()
    {
        using TestMachine m = Boot();
        DeviceNode deep = Drive(m, Deep, new WdmDriver()), inner = Find(m, Switch), port = Find(m, Port);
        Assert.Equal((inner, port, @"ACPI\PNP0A08\0"), (deep.Parent, inner.Parent, port.Parent!.InstancePath));
        Assert.All([inner, port], b => Assert.Equal((true, "pci", "PCI-to-PCI Bridge"),
            (b.IsStarted, b.Service, b.Description)));
        Assert.Contains(@"PCI\CC_0604", port.CompatibleIds);
        Assert.StartsWith(@"PCI\VEN_1234&DEV_00B1&SUBSYS_00000000&REV_00\", port.InstancePath);
        Assert.Equal(("PCI bus 2, device 3, function 0", 2u), (deep.Location, deep.Bus!.Value.Number));
        // Each range lies in a window of the bridge before it.
        foreach ((DeviceNode node, DeviceNode above) in new[] { (deep, inner), (inner, port) })
            Assert.All(node.Resources.Where(r => r.Type is ResourceType.Memory or ResourceType.BusNumber), r =>
                Assert.Contains(above.Resources, w => w.IsWindow && w.Type == r.Type && r.Start - w.Start < w.Length));
        Assert.Contains(port.Resources, r => r is { Type: ResourceType.BusNumber, Start: 1, Length: 2 });
        Assert.Equal((7u, 8u), (Value(m, deep), Value(m, deep, 0x1008)));
        Assert.Empty(m.Findings);
    }

    [Fact]
    public void The_board_of_the_page_has_the_buses_of_the_page()
    {
        string page = File.ReadAllText(Path.Combine(Repository.Root, "docs", "hardware.md"));
        int from = page.IndexOf("```json bridge\n", StringComparison.Ordinal) + "```json bridge\n".Length;
        string json = page[from..page.IndexOf("```", from, StringComparison.Ordinal)];
        using var m = new TestMachine(new KernelOptions { Board = computer => Board.Parse(json).Attach(computer) });
        Assert.Equal((1, 2), (((PciBridge)Named(m, "port")).Secondary, Named(m, "far").BusNumber));
        m.Nt.User.Devices.Start();
        Assert.Equal(2, m.Nt.User.Devices.All.Count(d => d.Service == "pci" && d.InstancePath.StartsWith("PCI")));
    }

    [Fact]
    public void The_HAL_reaches_all_buses()
    {
        using TestMachine m = Boot();
        Va buffer = m.Block(64), space = m.Block(8), made = m.Block(8);
        Assert.Equal(4u, m.Nt.HalGetBusData(4, 2, 3, buffer, 4));
        Assert.Equal(0x0003_1234u, m.U32(buffer));
        Assert.Equal((2u, 0u, 0u), (m.Nt.HalGetBusData(4, 2, 4, buffer, 4), m.Nt.HalGetBusData(4, 9, 0, buffer, 4),
            m.Nt.HalGetBusData(4, 0x102, 3, buffer, 4)));
        Assert.True(m.Nt.HalTranslateBusAddress(PCIBus, 2, 0, space, space));
        Assert.False(m.Nt.HalTranslateBusAddress(PCIBus, 9, 0, space, space));
        Assert.Equal(STATUS_SUCCESS, m.Nt.HalAssignSlotResources(m.Text(""), m.Text(""), m.Driver(),
            DeviceObject.At(m.Nt.Memory, Va.Null), PCIBus, 2, 3, made));
        var list = CmResourceList.At(m.Nt.Memory, m.Read<Va>(made));
        Assert.Equal((2u, Named(m, "deep").Bars[0].Address), (list.BusNumber, list.Descriptor(0).Start));
    }

    [Fact]
    public void A_device_behind_bridges_interrupts()
    {
        using TestMachine m = Boot();
        DeviceNode deep = Drive(m, Deep, new WdmDriver());
        Va registers = m.Nt.MmMapIoSpace(MemoryOf(deep), 0x2000, 0);
        int calls = 0;
        var parameters = IoConnectInterruptParameters.At(m.Nt.Memory, m.Block(IoConnectInterruptParameters.Size));
        (parameters.Version, parameters.PhysicalDeviceObject) = (2, deep.PhysicalDevice);
        parameters.ConnectionContext = m.Block(8);
        parameters.ServiceRoutine = m.Routine(_ =>
        {
            calls++;
            m.Nt.WRITE_REGISTER_ULONG(registers + 16, 2);
            return 1;
        });
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoConnectInterruptEx(parameters.Address));
        m.Nt.WRITE_REGISTER_ULONG(registers + 16, 1);
        m.RunOthers();
        Assert.Equal((1, false), (calls, Named(m, "deep").Wire.IsAsserted));
    }

    [Theory, InlineData("c"), InlineData("c#")]
    public void Mapmem_maps_memory_behind_a_bridge_behind_a_bridge(string language)
    {
        using TestMachine m = Boot();
        if (language == "c") m.Load(Repository.Sample("mapmem"));
        else m.Nt.Loader.Load("mapmem", new MapMem());
        DeviceTree devices = m.Nt.User.Devices;
        Assert.Equal(STATUS_SUCCESS, devices.SetDriver(Find(m, Deep), "mapmem"));
        UserFile file = m.Open(Assert.Single(devices.Interfaces(MapMem.Interface)));
        UserRequest done = file.DeviceIoControl(
            MapMem.MapCode, [.. BitConverter.GetBytes(0x1008ul), .. BitConverter.GetBytes(4ul)], 8);
        Assert.Equal(STATUS_SUCCESS, done.Status);
        uint value = 0;
        m.Nt.User.Call(() =>
        {
            value = m.Read<uint>(new Va(BitConverter.ToUInt64(done.Output)));
            return STATUS_SUCCESS;
        });
        Assert.Equal(8u, value);
        // Both bridges go, and the device with them, while it is open.
        Assert.Equal(STATUS_SUCCESS, devices.PullOut(Find(m, Port)));
        Assert.Equal((DeviceNodeState.SurpriseRemoved, DeviceNodeState.SurpriseRemoved),
            (Find(m, Deep).State, Find(m, Port).State));
        file.Close();
        m.Nt.User.RunUntilIdle();
        Assert.Equal((null, null, null), (Find(m, Deep), Find(m, Switch), Find(m, Port)));
        Assert.Empty(m.Findings);
    }

    [Fact]
    public void Who_comes_back_while_the_one_before_is_still_open_is_another_device()
    {
        using TestMachine m = Boot();
        Guid guid = new("8b0cf8a4-6f3c-4f2e-9c43-0f2f1b9f0a42");
        DeviceNode before = Drive(m, Deep, new WdmDriver { Interface = guid });
        UserFile file = m.Open(Assert.Single(m.Nt.User.Devices.Interfaces(guid)));
        PciFunction port = Named(m, "port");
        m.Nt.Computer.Pci.Remove(port);
        m.Nt.User.RunUntilIdle();
        m.Nt.Computer.Pci.Plug(port);
        m.Nt.User.RunUntilIdle();
        Assert.Equal(DeviceNodeState.SurpriseRemoved, before.State);
        DeviceNode after = m.Nt.User.Devices.All.Single(d => d.InstancePath == before.InstancePath && d.IsStarted);
        Assert.NotEqual(before, after);
        Assert.Equal(7u, Value(m, after));
        file.Close();
        m.Nt.User.RunUntilIdle();
        Assert.Equal((DeviceNodeState.Deleted, true, 7u), (before.State, after.IsStarted, Value(m, after)));
        Assert.Empty(m.Findings);
    }

    [Fact]
    public void A_bridge_that_does_not_start_again_loses_what_is_below_it()
    {
        using TestMachine m = Boot();
        var seen = new List<string>();
        var filter = new WdmDriver { Name = "filter", IsFilter = true };
        m.Nt.Loader.Load(filter.Name, filter);
        DeviceNode port = Find(m, Port);
        m.Nt.Cm.Create($@"\Registry\Machine\System\CurrentControlSet\Enum\{port.InstancePath}")
            .Set("UpperFilters", RegistryValue.MultiString(["filter"]));
        Assert.Equal(STATUS_SUCCESS, m.Nt.User.Devices.SetDriver(port, "pci"));
        Drive(m, Deep, new WdmDriver { Name = "deep", Seen = seen });
        seen.Clear();
        filter.Fails = (IRP_MN_START_DEVICE, STATUS_UNSUCCESSFUL);
        m.Nt.User.Devices.Rebalance(port);
        Assert.Equal((DeviceProblem.FailedStart, 0, null), (port.Problem, port.Children.Count, Find(m, Deep)));
        Assert.Equal(["deep 17", "deep 02"], seen.TakeLast(2));
        filter.Fails = (WdmDriver.NoMinor, default);
        Assert.Equal(STATUS_SUCCESS, m.Nt.User.Devices.Enable(port));
        Assert.Equal(7u, Value(m, Find(m, Deep)));
    }

    static readonly string[] s_surprise = ["deep 17", "deep 02", "near 17", "near 02"];

    [Fact]
    public void A_bridge_that_is_pulled_out_takes_its_devices_and_brings_them_back()
    {
        using TestMachine m = Boot();
        var seen = new List<string>();
        Drive(m, Deep, new WdmDriver { Name = "deep", Seen = seen });
        Drive(m, Near, new WdmDriver { Name = "near", Seen = seen });
        seen.Clear();
        var port = (PciBridge)Named(m, "port");
        m.Nt.Computer.Pci.Remove(port);
        m.Nt.User.RunUntilIdle();
        Assert.Equal(s_surprise, seen.Where(s => s.EndsWith(" 17", StringComparison.Ordinal)
            || s.EndsWith(" 02", StringComparison.Ordinal)));
        Assert.Equal((null, null, null), (Find(m, Deep), Find(m, Switch), Find(m, Port)));

        // Nobody has set up what comes back: the system numbers buses, opens windows, and gives addresses.
        m.Nt.Computer.Pci.Plug(port);
        Assert.Equal((0, 0ul), (port.Secondary, Named(m, "deep").Bars[0].Address));
        m.Nt.User.RunUntilIdle();
        Assert.Equal((true, "deep", 7u), (Find(m, Deep).IsStarted, Find(m, Deep).Service, Value(m, Find(m, Deep))));
        Assert.Equal(EduDevice.Identification, Value(m, Find(m, Near)));
        Assert.True(m.Nt.Computer.Pci.HasBus(port.Subordinate));
        Assert.Empty(m.Findings);
    }

    [Fact]
    public void A_bridge_is_ejected_and_disabled_after_all_below_it_were_asked()
    {
        using TestMachine m = Boot();
        var driver = new WdmDriver();
        Drive(m, Deep, driver);
        DeviceTree devices = m.Nt.User.Devices;
        driver.Fails = (IRP_MN_QUERY_REMOVE_DEVICE, STATUS_UNSUCCESSFUL);
        Assert.Equal(STATUS_PLUGPLAY_QUERY_VETOED, devices.Disable(Find(m, Port)));
        Assert.Equal(7u, Value(m, Find(m, Deep)));
        driver.Fails = (WdmDriver.NoMinor, default);
        Assert.Equal(STATUS_SUCCESS, devices.Disable(Find(m, Port)));
        Assert.Equal((null, 0ul), (Find(m, Deep), Named(m, "port").Read(4, 2)));
        Assert.Equal(uint.MaxValue, (uint)m.Nt.Computer.Registers.Read(Named(m, "deep").Bars[0].Address, 4));
        Assert.Equal(STATUS_SUCCESS, devices.Enable(Find(m, Port)));
        Assert.Equal(7u, Value(m, Find(m, Deep)));
        m.Nt.Computer.Pci.RequestEject(Named(m, "port"));
        m.Nt.User.RunUntilIdle();
        Assert.Equal((null, null), (Find(m, Port), Named(m, "port").Bus));
        Assert.Empty(m.Findings);
    }

    [Fact]
    public void After_a_sleep_bridges_and_devices_are_as_before()
    {
        using TestMachine m = Boot();
        DeviceNode deep = Drive(m, Deep, new WdmDriver());
        var port = (PciBridge)Named(m, "port");
        // Elsewhere than firmware puts it: somebody has taken the place.
        ulong first = port.Window(PciWindow.Memory)!.Value.First;
        m.Nt.Loader.Load("fixed", new WdmDriver { Name = "fixed" });
        DeviceNode taker = m.Nt.User.Devices.AddRootDevice(
            @"Root\Fixed", "fixed", RequirementText.Parse($"memory {first:X}-{first + 0xFFF:X}"));
        Assert.True(taker.IsStarted);
        Assert.NotEqual(first, port.Window(PciWindow.Memory)!.Value.First);
        ulong address = MemoryOf(deep), command = port.Read(4, 2);
        AddressRange? window = port.Window(PciWindow.Memory);
        Assert.Equal(address, Named(m, "deep").Bars[0].Address);
        Assert.Equal(STATUS_SUCCESS, m.Nt.SetSystemState(SystemState.Sleeping3, 10_000_000));
        m.Nt.User.RunUntilIdle();
        Assert.Equal((window, 1, 2, command, address, 7u), (port.Window(PciWindow.Memory), port.Secondary,
            port.Subordinate, port.Read(4, 2), Named(m, "deep").Bars[0].Address, Value(m, deep)));
        Assert.Equal(6ul, Named(m, "deep").Read(4, 2) & 7);
    }

    [Fact]
    public void A_bridge_gets_a_window_for_what_is_plugged_in_behind_it()
    {
        using TestMachine m = Boot();
        var empty = (PciBridge)Named(m, "empty");
        Assert.Null(empty.Window(PciWindow.Memory));
        var function = new PciFunction(new PciSlot(4, 0), new PciIdentity(0x1234, 0x7777)) { Behind = empty };
        function.AddBar(0x1000, Named(m, "near").Bars[0].Registers);
        m.Nt.Computer.Pci.Plug(function);
        m.Nt.User.RunUntilIdle();
        DeviceNode node = Drive(m, @"PCI\VEN_1234&DEV_7777", new WdmDriver());
        Assert.Equal(Find(m, Empty), node.Parent);
        Assert.True(empty.Window(PciWindow.Memory) is { } w && MemoryOf(node) - w.First < w.Bytes);
        Assert.Equal(EduDevice.Identification, Value(m, node));
    }

    [Fact]
    public void A_bridge_that_moves_takes_its_devices_along()
    {
        using TestMachine m = Boot();
        var seen = new List<string>();
        Drive(m, Deep, new WdmDriver { Seen = seen });
        var port = (PciBridge)Named(m, "port");
        AddressRange before = port.Window(PciWindow.Memory)!.Value;
        seen.Clear();
        // Somebody can do with no other place than in the window.
        m.Nt.Loader.Load("fixed", new WdmDriver { Name = "fixed" });
        DeviceNode taker = m.Nt.User.Devices.AddRootDevice(
            @"Root\Fixed", "fixed", RequirementText.Parse($"memory {before.First:X}-{before.First + 0xFFF:X}"));
        Assert.Equal((true, before.First), (taker.IsStarted, MemoryOf(taker)));
        AddressRange now = port.Window(PciWindow.Memory)!.Value;
        Assert.False(before.First - now.First < now.Bytes);
        Assert.True(MemoryOf(Find(m, Deep)) - now.First < now.Bytes);
        Assert.Equal(7u, Value(m, Find(m, Deep)));
        Assert.Equal(["wdm 05", "wdm 04", "wdm 00"],
            seen.Where(s => s[^2..] is "05" or "04" or "00"));
    }

    [Fact]
    public void A_device_without_a_bus_number_is_not_taken_for_one_on_the_first_bus()
    {
        using TestMachine m = Boot();
        PciFunction deep = Named(m, "deep"), other = Named(m, "empty");
        Assert.Equal(deep.Slot, other.Slot);
        Va buffer = m.Block(4);
        m.Nt.Hal.ReadConfiguration(deep, buffer, 0, 4);
        Assert.Equal(0x0003_1234u, m.U32(buffer));
        // A reset of the bus before the inner bridge takes its numbers.
        Named(m, "port").Write(PciBridge.ControlOffset, 2, PciBridge.SecondaryReset);
        Named(m, "port").Write(PciBridge.ControlOffset, 2, 0);
        Assert.Equal(0, deep.BusNumber);
        m.Nt.Hal.ReadConfiguration(deep, buffer, 0, 4);
        Assert.Equal(uint.MaxValue, m.U32(buffer));
        m.Nt.Memory.Write(buffer, 0x55u);
        m.Nt.Hal.WriteConfiguration(deep, buffer, 0x3C, 1);
        Assert.NotEqual(0x55ul, other.Read(0x3C, 1));
    }

    [Fact]
    public void A_device_for_which_a_bridge_moves_and_does_not_start_again_is_gone_with_it()
    {
        using TestMachine m = Boot();
        DeviceNode bridge = Find(m, Empty);
        var filter = new WdmDriver { Name = "filter", IsFilter = true };
        m.Nt.Loader.Load(filter.Name, filter);
        m.Nt.Cm.Create($@"\Registry\Machine\System\CurrentControlSet\Enum\{bridge.InstancePath}")
            .Set("UpperFilters", RegistryValue.MultiString(["filter"]));
        Assert.Equal(STATUS_SUCCESS, m.Nt.User.Devices.SetDriver(bridge, "pci"));
        var function = new PciFunction(new PciSlot(4, 0), new PciIdentity(0x1234, 0x7777))
        {
            Behind = (PciBridge)Named(m, "empty"),
        };
        function.AddBar(0x1000, Named(m, "near").Bars[0].Registers);
        m.Nt.Computer.Pci.Plug(function);
        m.Nt.User.RunUntilIdle();
        DeviceNode node = Find(m, @"PCI\VEN_1234&DEV_7777");
        var seen = new List<string>();
        m.Nt.Loader.Load("wdm", new WdmDriver { Seen = seen });
        filter.Fails = (IRP_MN_START_DEVICE, STATUS_UNSUCCESSFUL);
        Assert.False(m.Nt.User.Devices.SetDriver(node, "wdm").IsSuccess);
        Assert.Equal((DeviceProblem.FailedStart, DeviceNodeState.Deleted), (bridge.Problem, node.State));
        Assert.Equal(["wdm 17", "wdm 02"], seen.TakeLast(2));
        Assert.Empty(m.Findings);
    }

    static PciChild ChildOf(PciFunction function) => new(function, _ => default);

    [Fact]
    public void Of_several_bus_numbers_a_bridge_takes_those_that_can_be()
    {
        using TestMachine m = Boot();
        var bridge = (PciBridge)Named(m, "empty");
        Assert.Equal(STATUS_SUCCESS, ChildOf(bridge).Start(
            [new Resource(ResourceType.BusNumber, 300, 1), new Resource(ResourceType.BusNumber, 5, 2)]));
        Assert.Equal((5, 6), (bridge.Secondary, bridge.Subordinate));
    }

    [Fact]
    public void A_window_that_no_requirement_can_name_is_wanted_as_large_as_needed()
    {
        using TestMachine m = Boot();
        var bridge = (PciBridge)Named(m, "port");
        var function = new PciFunction(new PciSlot(7, 0), new PciIdentity(0x1234, 0x7777)) { Behind = bridge };
        function.AddBar(0x1000, Named(m, "near").Bars[0].Registers, is64: true, isPrefetchable: true);
        m.Nt.Computer.Pci.Keep(function);
        bridge.SetWindow(PciWindow.Prefetchable, new AddressRange(PciBus.HighMemoryWindow.First, 1UL << 32));
        Assert.Equal([0x10_0000u], ChildOf(bridge).Want(default)[0]
            .Where(w => w.Type == ResourceType.Memory && (w.Flags & 4) != 0).Select(w => w.First).Distinct());
    }
}
