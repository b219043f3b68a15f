using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.BusQueryIdType;
using static Ringdown.Kernel.CapabilityFlags;
using static Ringdown.Kernel.DeviceTextType;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Tests;

/// <summary>The bus drivers, asked as plug and play asks them.</summary>
public sealed class BusDriverTests
{
    const string Nic = """
        { "chip": "edu", "name": "nic", "pci": { "slot": 3, "function": 1, "id": "8086:100E", "subsystem": "1AF4:1100",
          "class": "0x020000", "revision": 3, "msi": 4, "msix": 3, "removable": true, "wakes": true } }
        """;

    static TestMachine Boot(string devices) => new(new KernelOptions
    {
        Board = computer => Board.Parse($$"""{ "devices": [ {{devices}} ] }""").Attach(computer),
    });

    static (BusRig Rig, PciFunction Function, DeviceObject Device) Pci(TestMachine m)
    {
        var rig = new BusRig(m, new PciDriver());
        Assert.Equal(STATUS_SUCCESS, rig.Added);
        Assert.Equal(STATUS_SUCCESS, rig.Start(rig.Bus, []));
        return (rig, m.Nt.Computer.Pci.Known[0], Assert.Single(rig.Children()));
    }

    [Fact]
    public void Firmware_becomes_devices_with_ids_and_fixed_resources()
    {
        using TestMachine m = Boot("""{ "chip": "uart16550", "ports": "0x3F8", "line": 4 }, """
            + """{ "chip": "edu", "registers": "0xFEB00000", "line": 17, "removable": true }, """ + Nic);
        var rig = new BusRig(m, new AcpiDriver());
        rig.Start(rig.Bus, []);
        DeviceObject[] all = rig.Children();
        Assert.Equal([@"ACPI\PNP0501", @"ACPI\RNG0001", @"ACPI\PNP0A08"],
            all.Select(d => Assert.Single(rig.Ids(d, BusQueryDeviceID))));
        Assert.Equal([@"ACPI\VEN_PNP&DEV_0501", @"ACPI\PNP0501", "*PNP0501"], rig.Ids(all[0], BusQueryHardwareIDs));
        Assert.Equal([@"ACPI\VEN_PNP&DEV_0500", @"ACPI\PNP0500", "*PNP0500"], rig.Ids(all[0], BusQueryCompatibleIDs));
        Assert.Equal(["0"], rig.Ids(all[0], BusQueryInstanceID));
        Assert.Empty(rig.Ids(all[0], BusQueryContainerID));
        Assert.Empty(rig.Ids(all[1], BusQueryCompatibleIDs));
        Assert.Equal(["16550A-compatible COM port"], rig.Text(all[0], DeviceTextDescription));
        Assert.Empty(rig.Text(all[0], DeviceTextLocationInformation));
        Assert.Equal((UniqueId, UniqueId | Removable | EjectSupported),
            (rig.Capabilities(all[0]).Flags, rig.Capabilities(all[1]).Flags));
        Assert.Equal([new Resource(ResourceType.Port, 0x3F8, 8, Flags: 0x11),
            new Resource(ResourceType.Interrupt, 4, 1, Flags: 1)], rig.Resources(all[0]));
        IoResourceDescriptor[] wanted = Assert.Single(rig.Requirements(all[0]));
        Assert.Equal([(8u, 0x3F8ul, 0x3FFul)],
            wanted[..1].Select(w => (w.Length, w.MinimumAddress, w.MaximumAddress)));
        Assert.Equal((4u, 4u, (ushort)1), (wanted[1].MinimumVector, wanted[1].MaximumVector, wanted[1].Flags));
        m.Nt.ExFreePool(
            wanted[0].Address - IoResourceRequirementsList.FirstList - IoResourceRequirementsList.ListHeader);
        Assert.Equal([new Resource(ResourceType.BusNumber, 0, 256)], rig.Resources(all[2]));
        Assert.Equal(all, rig.Children());

        Assert.Equal(STATUS_SUCCESS, rig.Send(all[1], IRP_MN_EJECT).Status);
        Assert.Equal(STATUS_NOT_SUPPORTED, rig.Send(all[0], IRP_MN_EJECT).Status);
        Assert.Equal([all[0], all[2]], rig.Children());
        Assert.Equal(STATUS_SUCCESS, rig.Send(all[1], IRP_MN_REMOVE_DEVICE).Status);
        Assert.Equal(STATUS_SUCCESS, rig.Send(all[0], IRP_MN_REMOVE_DEVICE).Status);
        Assert.Equal([all[0], all[2]], rig.Children());
        rig.Send(rig.Bus, IRP_MN_REMOVE_DEVICE);
        Assert.True(rig.Root.AttachedDevice.IsNull);
        Assert.True(m.Unload(rig.Loaded));
        Assert.Empty(m.Findings);
    }

    [Fact]
    public void A_function_has_the_ids_and_texts_of_PCI()
    {
        using TestMachine m = Boot(Nic);
        (BusRig rig, _, DeviceObject device) = Pci(m);
        const string full = @"PCI\VEN_8086&DEV_100E&SUBSYS_11001AF4";
        Assert.Equal([full + "&REV_03"], rig.Ids(device, BusQueryDeviceID));
        Assert.Equal([full + "&REV_03", full, @"PCI\VEN_8086&DEV_100E&CC_020000", @"PCI\VEN_8086&DEV_100E&CC_0200"],
            rig.Ids(device, BusQueryHardwareIDs));
        Assert.Equal([@"PCI\VEN_8086&DEV_100E&REV_03", @"PCI\VEN_8086&DEV_100E", @"PCI\VEN_8086&CC_020000",
            @"PCI\VEN_8086&CC_0200", @"PCI\VEN_8086", @"PCI\CC_020000", @"PCI\CC_0200"],
            rig.Ids(device, BusQueryCompatibleIDs));
        Assert.Equal(["19"], rig.Ids(device, BusQueryInstanceID));
        Assert.Equal(["PCI bus 0, device 3, function 1"], rig.Text(device, DeviceTextLocationInformation));
        Assert.Equal(["Network Controller"], rig.Text(device, DeviceTextDescription));
        DeviceCapabilities capabilities = rig.Capabilities(device);
        Assert.Equal((Removable | EjectSupported | WakeFromD0 | WakeFromD3, 0x3_0001u, uint.MaxValue, 4u, 4u),
            (capabilities.Flags, capabilities.BusAddress, capabilities.UINumber, capabilities.SystemWake,
                capabilities.DeviceWake));
        Assert.Equal([1u, 4, 4, 4, 4, 4], Enumerable.Range(1, 6).Select(capabilities.DeviceState));
        var information = PnpBusInformation.At(
            m.Nt.Memory, new Va(rig.Send(device, IRP_MN_QUERY_BUS_INFORMATION).Information));
        Assert.Equal((new Guid("c8ebdfb0-b510-11d0-80e5-00a0c92542e3"), PCIBus, 0u),
            (information.BusTypeGuid, information.LegacyBusType, information.BusNumber));
    }

    [Fact]
    public void Started_a_function_decodes_what_it_was_given_and_stopped_nothing()
    {
        using TestMachine m = Boot(Nic);
        (BusRig rig, PciFunction function, DeviceObject device) = Pci(m);
        IReadOnlyList<Resource> boot = rig.Resources(device);
        Assert.Equal([function.Bars[0].Address, function.Bars[1].Address, function.Read(0x3C, 1)],
            boot.Select(r => r.Start));
        IoResourceDescriptor[] wanted = Assert.Single(rig.Requirements(device));
        Assert.Equal([ResourceOption.Preferred, ResourceOption.Alternative, 0, ResourceOption.Preferred,
            ResourceOption.Alternative, 0, 0], wanted.Select(w => w.Option));
        Assert.Equal((PciBus.MemoryWindow.First, 0x1000u), (wanted[1].MinimumAddress, wanted[1].Length));

        Resource[] given = [new(ResourceType.Memory, 0xC123_0000, 0x1000), Mark(0),
            new(ResourceType.Memory, 0xC124_0000, 0x1000), Mark(1), boot[2]];
        Assert.Equal(STATUS_INVALID_PARAMETER, rig.Start(device, given[..2]));
        Assert.Equal(STATUS_SUCCESS, rig.Start(device, given));
        Assert.Equal((0xC123_0000ul, 6ul), (function.Bars[0].Address, function.Read(4, 2)));
        Va registers = m.Nt.MmMapIoSpace(0xC123_0000, 0x1000, 0);
        Assert.Equal(EduDevice.Identification, m.Nt.READ_REGISTER_ULONG(registers));
        Assert.Equal(STATUS_SUCCESS, rig.Send(device, IRP_MN_QUERY_STOP_DEVICE).Status);
        Assert.Equal(STATUS_SUCCESS, rig.Send(device, IRP_MN_STOP_DEVICE).Status);
        Assert.Equal((uint.MaxValue, 0ul), (m.Nt.READ_REGISTER_ULONG(registers), function.Read(4, 2)));
        Assert.Empty(rig.Resources(device));
        int power = Enumerable.Range(0x10, 48).Select(i => i * 4).First(i => function.Read(i, 1) == 1) + 4;
        function.Write(power, 2, 3);
        rig.Start(device, given);
        Assert.Equal(0, function.PowerState);
        Assert.Equal(STATUS_SUCCESS, rig.Send(device, IRP_MN_REMOVE_DEVICE).Status);
        Assert.Equal(0ul, function.Read(4, 2));
        Assert.Equal([device], rig.Children());
    }

    static Resource Mark(uint bar) => new(ResourceType.DevicePrivate, 0, 1) { Private = (1, bar, 0) };

    static Resource Message(uint vector, int count = 1) => new(ResourceType.Interrupt, vector, (ulong)count, Flags: 3);

    [Fact]
    public void Messages_are_wanted_by_count_and_set_as_they_were_given()
    {
        using TestMachine m = Boot(Nic);
        (BusRig rig, PciFunction function, DeviceObject device) = Pci(m);
        var child = new PciChild(function, _ => new InterruptSettings(2));
        IReadOnlyList<IReadOnlyList<WantedResource>> lists = child.Requirements;
        Assert.Equal(3, lists.Count);
        Assert.Equal([WantedResource.Messages(1), WantedResource.Messages(1)],
            lists[0].Where(w => w.Type == ResourceType.Interrupt));
        Assert.Equal([WantedResource.Messages(2), WantedResource.Messages(1, ResourceOption.Alternative)],
            lists[1].Where(w => w.Type == ResourceType.Interrupt));
        Assert.Equal(0xFFFF_FFFDu, WantedResource.Messages(2).First);

        Resource[] ranges = [new(ResourceType.Memory, 0xC123_0000, 0x1000), Mark(0),
            new(ResourceType.Memory, 0xC124_0000, 0x1000), Mark(1)];
        Assert.Equal(STATUS_SUCCESS, rig.Start(device, [.. ranges, Message(0xA1), Message(0xA2)]));
        foreach (int message in (int[])[0, 1, 2])
        {
            function.Signal(message);
            // The third has none of its own, and sends the first.
            Assert.Equal(message == 1 ? 0xA2 : 0xA1, m.Nt.Computer.Interrupts.Next(0)!.Vector);
            m.Nt.Computer.Interrupts.Next(0)!.Accept();
        }
        Assert.Equal(STATUS_SUCCESS, rig.Start(device, [.. ranges, Message(0xB4, 4)]));
        function.Signal(3);
        Assert.Equal(0xB7, m.Nt.Computer.Interrupts.Next(0)!.Vector);
        m.Nt.Computer.Interrupts.Next(0)!.Accept();
        rig.Send(device, IRP_MN_STOP_DEVICE);
        function.Signal(3);
        Assert.Null(m.Nt.Computer.Interrupts.Next(0));
    }

    [Fact]
    public void Configuration_is_read_and_written_by_IRP_and_by_the_interface()
    {
        using TestMachine m = Boot(Nic);
        (BusRig rig, PciFunction function, DeviceObject device) = Pci(m);
        Va buffer = m.Block(16);
        void Ask(IoStackLocation l) =>
            (l.WhichSpace, l.ConfigBuffer, l.ConfigOffset, l.ConfigLength) = (0, buffer, 1, 6);
        Assert.Equal(new IoStatusBlock(STATUS_SUCCESS, 6), rig.Send(device, IRP_MN_READ_CONFIG, Ask));
        Assert.Equal((0x80u, 0x0Eu, 0x10u), (m.Read<byte>(buffer), m.Read<byte>(buffer + 1), m.Read<byte>(buffer + 2)));
        m.Nt.Memory.Fill(buffer, 16, 0);
        rig.Send(device, IRP_MN_WRITE_CONFIG, Ask);
        Assert.Equal((0x100E_8086ul, 0ul), (function.Read(0, 4), function.Read(4, 2)));
        Assert.Equal(STATUS_NOT_SUPPORTED,
            rig.Send(device, IRP_MN_READ_CONFIG, l => l.WhichSpace = 0x5249_4350).Status);

        Va guid = m.Block(16);
        m.Nt.Memory.Write(guid, new Guid("496b8280-6f25-11d0-beaf-08002be2092f"));
        var bus = BusInterfaceStandard.At(m.Nt.Memory, m.Block(BusInterfaceStandard.Size));
        NtStatus Query(ushort size) => rig.Send(device, IRP_MN_QUERY_INTERFACE, l =>
            (l.InterfaceType, l.InterfaceSize, l.InterfaceVersion, l.Interface) = (guid, size, 1, bus.Address)).Status;
        Assert.Equal(STATUS_INVALID_PARAMETER, Query(8));
        Assert.Equal(STATUS_SUCCESS, Query((ushort)BusInterfaceStandard.Size));
        Assert.Equal(4ul, m.Nt.Routines.Call(bus.GetBusData, bus.Context.Value, 0, buffer.Value, 0, 4));
        Assert.Equal(0x100E_8086u, m.U32(buffer));
        m.Nt.Memory.Write(buffer, 0x55);
        Assert.Equal(1ul, m.Nt.Routines.Call(bus.SetBusData, bus.Context.Value, 0, buffer.Value, 0x3C, 1));
        Assert.Equal(0x55ul, function.Read(0x3C, 1));
        Assert.Equal(0ul, m.Nt.Routines.Call(bus.GetBusData, bus.Context.Value, 1, buffer.Value, 0, 4));
        Assert.Equal(1ul, (byte)m.Nt.Routines.Call(
            bus.TranslateBusAddress, bus.Context.Value, 0xC000_0000, 0x10, buffer.Value, (buffer + 8).Value));
        Assert.Equal(0xC000_0000ul, m.U64(buffer + 8));
        m.Nt.Computer.Pci.Remove(function);
        m.Nt.Routines.Call(bus.GetBusData, bus.Context.Value, 0, buffer.Value, 0, 4);
        Assert.Equal(uint.MaxValue, m.U32(buffer));
        m.Nt.Routines.Call(bus.InterfaceDereference, bus.Context.Value);
        m.Nt.Memory.Write(guid, Guid.Empty);
        Assert.Equal(STATUS_NOT_SUPPORTED, Query((ushort)BusInterfaceStandard.Size));
    }

    [Fact]
    public void Power_goes_to_the_function_and_a_wake_completes_the_IRP_that_waits()
    {
        using TestMachine m = Boot(Nic);
        (BusRig rig, PciFunction function, DeviceObject device) = Pci(m);
        NtStatus Power(byte minor, uint type, uint state) => rig.Send(device, minor,
            l => (l.PowerStateType, l.PowerState) = (type, state), IrpMajor.IRP_MJ_POWER).Status;
        var completed = new List<NtStatus>();
        Irp Wait(uint state)
        {
            Irp irp = rig.New(device, IRP_MN_WAIT_WAKE, l => l.WakeState = state, IrpMajor.IRP_MJ_POWER,
                i => completed.Add(i.IoStatus.Status));
            m.Nt.PoCallDriver(device, irp);
            return irp;
        }
        Wait(5);
        Assert.Equal([STATUS_INVALID_DEVICE_STATE], completed);
        Irp first = Wait(4);
        Wait(4);
        Assert.Equal(STATUS_DEVICE_BUSY, completed[^1]);
        Assert.Equal(STATUS_SUCCESS, Power(IRP_MN_QUERY_POWER, DevicePowerState, 4));
        Assert.Equal(STATUS_SUCCESS, Power(IRP_MN_SET_POWER, DevicePowerState, 4));
        Assert.Equal((3, 2), (function.PowerState, completed.Count));
        function.Wake();
        m.RunOthers();
        Assert.Equal(STATUS_SUCCESS, completed[^1]);
        Assert.Equal(3, completed.Count);
        Assert.Equal(STATUS_SUCCESS, Power(IRP_MN_SET_POWER, DevicePowerState, 1));
        Assert.Equal(STATUS_SUCCESS, Power(IRP_MN_SET_POWER, SystemPowerState, 4));
        Assert.Equal(0, function.PowerState);
        Assert.Equal(STATUS_NOT_SUPPORTED, Power(IRP_MN_POWER_SEQUENCE, 0, 0));
        Irp second = Wait(2);
        Assert.True(m.Nt.IoCancelIrp(second));
        Assert.Equal((STATUS_CANCELLED, 4), (completed[^1], completed.Count));
        Wait(2);
        rig.Send(device, IRP_MN_REMOVE_DEVICE);
        Assert.Equal((STATUS_NO_SUCH_DEVICE, 5), (completed[^1], completed.Count));
        // That the test makes its power IRPs itself.
        Assert.All(m.Findings, f => Assert.Contains("0xC9/0x237", f.Message));
    }

    [Fact]
    public void A_function_that_is_pulled_out_is_another_one_when_it_comes_back()
    {
        using TestMachine m = Boot(Nic);
        (BusRig rig, PciFunction function, DeviceObject device) = Pci(m);
        PciBus bus = m.Nt.Computer.Pci;
        bus.Remove(function);
        bus.Plug(function);
        DeviceObject again = Assert.Single(rig.Children());
        Assert.NotEqual(device, again);
        Assert.Empty(rig.Resources(again));
        Assert.Equal(STATUS_SUCCESS, rig.Send(device, IRP_MN_SURPRISE_REMOVAL).Status);
        Assert.Equal(STATUS_SUCCESS, rig.Send(device, IRP_MN_REMOVE_DEVICE).Status);
        Assert.Equal(STATUS_SUCCESS, rig.Send(again, IRP_MN_EJECT).Status);
        Assert.Empty(rig.Children());
        Assert.Equal(STATUS_NO_SUCH_DEVICE, rig.Start(again, []));
        rig.Send(again, IRP_MN_REMOVE_DEVICE);
        rig.Send(rig.Bus, IRP_MN_REMOVE_DEVICE);
        bus.Plug(function);
        Assert.True(m.Unload(rig.Loaded));
        Assert.Empty(m.Findings);
    }

    [Fact]
    public void What_a_bus_does_not_know_is_completed_as_it_came()
    {
        using TestMachine m = Boot(Nic);
        (BusRig rig, _, DeviceObject device) = Pci(m);
        foreach (byte minor in (byte[])[IRP_MN_SET_LOCK, IRP_MN_QUERY_PNP_DEVICE_STATE,
            IRP_MN_FILTER_RESOURCE_REQUIREMENTS, IRP_MN_QUERY_LEGACY_BUS_INFORMATION, 0x0E, 0x40])
            Assert.Equal(STATUS_NOT_SUPPORTED, rig.Send(device, minor).Status);
        foreach (DeviceRelationType type in (DeviceRelationType[])[DeviceRelationType.BusRelations,
            DeviceRelationType.EjectionRelations, DeviceRelationType.RemovalRelations])
            Assert.Equal(STATUS_NOT_SUPPORTED, rig.Send(device, IRP_MN_QUERY_DEVICE_RELATIONS,
                l => l.RelationType = type).Status);
        var self = DeviceRelations.At(m.Nt.Memory, new Va(rig.Send(device, IRP_MN_QUERY_DEVICE_RELATIONS,
            l => l.RelationType = DeviceRelationType.TargetDeviceRelation).Information));
        Assert.Equal((1u, device), (self.Count, self.Object(0)));
        m.Nt.ObfDereferenceObject(device.Address);
        foreach (byte minor in (byte[])[IRP_MN_CANCEL_REMOVE_DEVICE, IRP_MN_CANCEL_STOP_DEVICE,
            IRP_MN_DEVICE_ENUMERATED])
            Assert.Equal(STATUS_SUCCESS, rig.Send(device, minor).Status);
        Assert.Equal(STATUS_NOT_SUPPORTED,
            rig.Send(device, 8, null, IrpMajor.IRP_MJ_SYSTEM_CONTROL).Status);
        rig.Send(device, IRP_MN_DEVICE_USAGE_NOTIFICATION, l => (l.InPath, l.UsageType) = (true, 1));
        Assert.Equal(STATUS_DEVICE_BUSY, rig.Send(device, IRP_MN_QUERY_REMOVE_DEVICE).Status);
        rig.Send(device, IRP_MN_DEVICE_USAGE_NOTIFICATION, l => (l.InPath, l.UsageType) = (false, 1));
        Assert.Equal(STATUS_SUCCESS, rig.Send(device, IRP_MN_QUERY_REMOVE_DEVICE).Status);
        foreach (byte minor in (byte[])[IRP_MN_QUERY_REMOVE_DEVICE, IRP_MN_CANCEL_REMOVE_DEVICE,
            IRP_MN_QUERY_STOP_DEVICE, IRP_MN_STOP_DEVICE, IRP_MN_CANCEL_STOP_DEVICE, IRP_MN_QUERY_CAPABILITIES, 0x40])
            Assert.Equal(STATUS_SUCCESS, rig.Send(rig.Bus, minor).Status);
    }

    [Fact]
    public void What_is_plugged_in_and_pulled_out_comes_and_goes_in_the_tree()
    {
        using TestMachine m = Boot(Nic + """, { "chip": "uart16550", "ports": "0x3F8", "line": 4 }""");
        PciBus bus = m.Nt.Computer.Pci;
        PciFunction function = bus.Known[0];
        var driver = new WdmDriver();
        m.Nt.Loader.Load(driver.Name, driver);
        m.Nt.User.Devices.Start();
        DeviceNode node = m.Nt.User.Devices.Find(@"PCI\VEN_8086&DEV_100E")!;
        Assert.Equal(STATUS_SUCCESS, m.Nt.User.Devices.SetDriver(node, driver.Name));
        Assert.Equal((true, 6ul), (node.IsStarted, function.Read(4, 2)));
        string path = node.InstancePath;
        driver.Seen.Clear();
        bus.Remove(function);
        m.RunOthers();
        Assert.Equal(["wdm 17", "wdm 02"], driver.Seen[^2..]);
        Assert.Null(m.Nt.User.Devices.Find(path));

        // Its key still names its driver.
        bus.Plug(function);
        m.RunOthers();
        node = m.Nt.User.Devices.Find(path)!;
        Assert.True(node.IsStarted);
        Assert.Equal((function.Bars[0].Address, 6ul), (node.Resources[0].Start, function.Read(4, 2)));
        Assert.InRange(node.Resources[0].Start, PciBus.MemoryWindow.First, PciBus.EcamBase - 1);

        driver.Seen.Clear();
        bus.RequestEject(function);
        m.RunOthers();
        Assert.Equal(["wdm 01", "wdm 02"], driver.Seen.Where(s => s is not "wdm 07"));
        Assert.Null(function.Bus);
        Assert.Null(m.Nt.User.Devices.Find(path));

        FirmwareDevice uart = m.Nt.Computer.Firmware.Devices[0];
        Assert.NotNull(m.Nt.User.Devices.Find("*PNP0501"));
        uart.IsPresent = false;
        m.RunOthers();
        Assert.Null(m.Nt.User.Devices.Find("*PNP0501"));
        uart.IsPresent = true;
        m.RunOthers();
        Assert.Equal(@"ACPI\PNP0501\0", m.Nt.User.Devices.Find("*PNP0501")!.InstancePath);
        Assert.Empty(m.Findings);
    }
}
