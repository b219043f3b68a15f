using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Samples;
using Ringdown.Testing;
using Ringdown.Verifier;
using Xunit;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Tests;

/// <summary>The filter of samples below a PCI device's driver, in both languages.</summary>
public sealed class PciFilterTests
{
    const string Id = @"PCI\VEN_1234&DEV_5A4D", Identity = "pcifilter: 1234:5A4D";
    const string Settings = @"Device Parameters\Interrupt Management\MessageSignaledInterruptProperties";
    static readonly Guid s_class = new("00000000-0000-0000-0000-52494e474650");

    static TestMachine Boot(string pin = "") => new(new KernelOptions
    {
        Board = computer => Board.Parse($$"""
            { "devices": [ { "chip": "registers", "name": "box", "pci": { "slot": 5, "id": "1234:5A4D",
              "class": "0x118000", "msi": 2, {{pin}} "bars": ["memory64"] }, "map": [
              { "name": "A", "offset": 0, "value": "0x11111111" } ] } ] }
            """).Attach(computer),
    });

    /// <summary>The device with its driver, which wants messages.</summary>
    /// <param name="language">Of the filter; none without a filter.</param>
    static (DeviceNode Node, Driver[] Drivers, WdmDriver Function) Start(TestMachine m, string language)
    {
        DeviceTree devices = m.Nt.User.Devices;
        devices.Start();
        DeviceNode node = devices.Find(Id)!;
        string key = $@"\Registry\Machine\System\CurrentControlSet\Enum\{node.InstancePath}";
        m.Nt.Cm.Create($@"{key}\{Settings}").Set("MSISupported", RegistryValue.Dword(1));
        List<Driver> drivers = [];
        if (language != "none")
        {
            drivers.Add(language == "c" ? m.Load(Repository.Sample("pcifilter"))
                : m.Nt.Loader.Load("pcifilter", new PciFilter()));
            m.Nt.Cm.Create(key).Set("LowerFilters", RegistryValue.MultiString("pcifilter"));
        }
        var function = new WdmDriver { Interface = s_class };
        drivers.Add(m.Nt.Loader.Load(function.Name, function));
        Assert.Equal(STATUS_SUCCESS, devices.SetDriver(node, function.Name));
        Assert.True(node.IsStarted);
        return (node, [.. drivers], function);
    }

    static string[] Printed(TestMachine m) => [.. m.Nt.DebugPrint.Where(l => l.StartsWith("pcifilter"))];

    static void End(TestMachine m, Driver[] drivers)
    {
        m.Nt.User.RunUntilIdle();
        Assert.All(drivers.Reverse(), d => Assert.True(m.Unload(d)));
        Assert.Empty(m.Findings);
    }

    [Theory, InlineData("none", true), InlineData("c", false), InlineData("c#", false)]
    public void Where_a_line_is_there_the_device_gets_no_messages(string language, bool hasMessages)
    {
        using TestMachine m = Boot();
        (DeviceNode node, Driver[] drivers, WdmDriver function) = Start(m, language);
        Assert.Equal(hasMessages, node.Resources.Any(r => r.IsMessage));
        Assert.Equal(!hasMessages, node.Resources.Any(r => r.Type == ResourceType.Interrupt && !r.IsMessage));
        Assert.Single(node.Resources, r => r.Type == ResourceType.Memory);
        Assert.Equal(hasMessages ? 2 : 1, BitConverter.ToInt32(node.Requirements, 0x1C));
        Assert.Equal(node.Requirements.Length, BitConverter.ToInt32(node.Requirements, 0));
        Assert.Single(function.Translated);
        m.Nt.User.Devices.PullOut(node);
        End(m, drivers);
    }

    [Theory, InlineData("c"), InlineData("c#")]
    public void Messages_stay_where_no_line_is(string language)
    {
        using TestMachine m = Boot("\"pin\": 0,");
        (DeviceNode node, Driver[] drivers, _) = Start(m, language);
        Assert.Contains(node.Resources, r => r.IsMessage);
        Assert.Equal([Identity], Printed(m));
        m.Nt.User.Devices.PullOut(node);
        End(m, drivers);
    }

    [Theory, InlineData("c"), InlineData("c#")]
    public void The_filter_has_the_bus_interface_from_the_start_to_the_end(string language)
    {
        using TestMachine m = Boot();
        DeviceTree devices = m.Nt.User.Devices;
        (DeviceNode node, Driver[] drivers, WdmDriver function) = Start(m, language);
        Assert.Equal([Identity], Printed(m));
        for (int i = 0; i < 3; i++) Assert.Equal(STATUS_SUCCESS, devices.Send(node, IRP_MN_READ_CONFIG, 0));
        Assert.Equal(STATUS_SUCCESS, devices.Rebalance(node));
        Assert.Equal(STATUS_SUCCESS, devices.Disable(node));
        long references = References();
        Assert.Equal(STATUS_SUCCESS, devices.Enable(node));
        Assert.True(node.IsStarted);
        Assert.Equal(STATUS_SUCCESS, devices.Disable(node));
        // The interface was a reference to the bus's device object, and was given back.
        Assert.Equal(references, References());
        Assert.Equal(STATUS_SUCCESS, devices.Enable(node));
        Assert.Equal(STATUS_SUCCESS, devices.Send(node, IRP_MN_READ_CONFIG, 0));
        UserFile file = m.Open(Assert.Single(devices.Interfaces(s_class)));
        Assert.Equal(STATUS_SUCCESS, devices.PullOut(node));
        Assert.Equal(DeviceNodeState.SurpriseRemoved, node.State);
        file.Close();
        m.Nt.User.RunUntilIdle();
        Assert.Equal(DeviceNodeState.Deleted, node.State);
        Assert.Empty(function.Devices);
        Assert.Equal([Identity, Identity, "pcifilter: 3 reads of configuration space", Identity,
            "pcifilter: 0 reads of configuration space", Identity, "pcifilter: 1 reads of configuration space"],
            Printed(m));
        End(m, drivers);

        long References() => m.Nt.Ob.At(node.PhysicalDevice.Address).Header.PointerCount;
    }

    /// <summary>Takes the bus interface each time that it is started, and gives none or one of them back.</summary>
    sealed class Borrower : WdmDriver
    {
        public Va Bus { get; private set; }

        public void Borrow(DeviceObject physical)
        {
            if (Bus.IsNull) Bus = Nt.ExAllocatePoolWithTag(NonPagedPool, 0x60, Tag("Bus "));
            using LocalFrame frame = Frame();
            var done = Local<KEvent>();
            Va result = Local(16), guid = Local(16);
            Nt.KeInitializeEvent(done, NotificationEvent, false);
            Memory.Write(guid, new Guid("496b8280-6f25-11d0-beaf-08002be2092f"));
            Irp irp = Nt.IoBuildSynchronousFsdRequest(
                (uint)IrpMajor.IRP_MJ_PNP, physical, Va.Null, 0, Va.Null, done, result);
            irp.IoStatus = new IoStatusBlock(STATUS_NOT_SUPPORTED, 0);
            IoStackLocation next = irp.NextStackLocation;
            next.MinorFunction = IRP_MN_QUERY_INTERFACE;
            (next.InterfaceType, next.Interface) = (guid, Bus);
            (next.InterfaceSize, next.InterfaceVersion) = ((ushort)BusInterfaceStandard.Size, 1);
            Assert.Equal(STATUS_SUCCESS, Nt.IofCallDriver(physical, irp));
        }

        public void GiveBack()
        {
            var bus = At<BusInterfaceStandard>(Bus);
            Call(bus.InterfaceDereference, bus.Context.Value);
        }
    }

    [Theory, InlineData(false), InlineData(true)]
    public void An_interface_that_is_not_given_back_is_told_when_the_device_goes(bool givesBack)
    {
        using TestMachine m = Boot();
        DeviceTree devices = m.Nt.User.Devices;
        devices.Start();
        DeviceNode node = devices.Find(Id)!;
        var driver = new Borrower();
        m.Nt.Loader.Load("borrower", driver);
        driver.Told = minor =>
        {
            if (minor == IRP_MN_START_DEVICE) driver.Borrow(node.PhysicalDevice);
            if (minor == IRP_MN_REMOVE_DEVICE && givesBack) driver.GiveBack();
        };
        Assert.Equal(STATUS_SUCCESS, devices.SetDriver(node, "borrower"));
        Assert.Equal(STATUS_SUCCESS, devices.Disable(node));
        if (givesBack)
        {
            Assert.Empty(m.Findings);
            return;
        }
        Finding left = Assert.Single(m.Findings);
        Assert.Equal(("Pnp", "borrower"), (left.Rule, left.Driver));
        Assert.StartsWith("The bus interface that was got at borrower", left.Message);
        Assert.EndsWith("is not given back by its InterfaceDereference: the device stays.", left.Message);
    }
}
