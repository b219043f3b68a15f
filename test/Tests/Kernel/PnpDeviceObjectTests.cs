using Ringdown.Kernel;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Tests;

/// <summary>What the keys of a device and of its class say of its device objects.</summary>
public sealed class PnpDeviceObjectTests
{
    const string Root = @"\Registry\Machine\System\CurrentControlSet\",
        Class = "{78a1c341-4539-11d3-b88d-00c04fad5171}";

    static readonly Guid s_class = new("8b0cf8a4-6f3c-4f2e-9c43-0f2f1b9f0a41");

    static (DeviceNode Node, DeviceObject Function) Device(
        TestMachine m, params (string Name, RegistryValue Value)[] key)
    {
        RegistryKey device = m.Nt.Cm.Create(Root + @"Enum\ROOT\wdm\0000");
        foreach ((string name, RegistryValue value) in key) device.Set(name, value);
        var driver = new WdmDriver { Interface = s_class };
        m.Nt.Loader.Load(driver.Name, driver);
        DeviceNode node = m.Nt.User.Devices.AddRootDevice(@"Root\wdm", driver.Name);
        Assert.True(node.IsStarted);
        return (node, driver.Devices[0]);
    }

    static RegistryValue Descriptor(string sddl) =>
        RegistryValue.Binary(Sddl.Parse(sddl, GenericMapping.OfFile).ToBytes());

    static NtStatus Open(TestMachine m, string below = "") =>
        m.Nt.User.CreateFile(m.Nt.User.Devices.Interfaces(s_class)[0] + below, out _);

    [Fact]
    public void A_descriptor_decides_who_opens_the_device()
    {
        using var m = new TestMachine();
        (DeviceNode node, DeviceObject function) = Device(m, ("Security", Descriptor("D:P(A;;GA;;;SY)")));
        Assert.Equal(STATUS_ACCESS_DENIED, Open(m));
        // Its owner is who it was.
        Assert.Equal(Sid.Administrators, m.Nt.Ob.SecurityOf(m.Nt.Ob.At(function.Address))!.Owner);
        Assert.NotNull(m.Nt.Ob.SecurityOf(m.Nt.Ob.At(node.PhysicalDevice.Address))!.Owner);
    }

    [Fact]
    public void A_devices_own_values_go_before_those_of_its_class()
    {
        using var m = new TestMachine();
        RegistryKey properties = m.Nt.Cm.Create($@"{Root}Control\Class\{Class}\Properties");
        properties.Set("Security", Descriptor("D:P(A;;GA;;;SY)"));
        properties.Set("DeviceType", RegistryValue.Dword(0x8000));
        (DeviceNode node, _) = Device(m, ("ClassGUID", RegistryValue.String(Class)),
            ("Security", Descriptor("D:P(A;;GA;;;WD)")));
        Assert.Equal((STATUS_SUCCESS, 0x8000u), (Open(m), node.PhysicalDevice.DeviceType));
    }

    [Fact]
    public void What_is_no_descriptor_changes_nothing()
    {
        using var m = new TestMachine();
        Device(m, ("Security", RegistryValue.Binary([1, 2, 3])), ("Exclusive", RegistryValue.Binary([])));
        Assert.Equal((STATUS_SUCCESS, STATUS_SUCCESS), (Open(m), Open(m)));
    }

    [Fact]
    public void An_exclusive_device_has_one_handle()
    {
        using var m = new TestMachine();
        (DeviceNode node, DeviceObject function) = Device(m, ("Exclusive", RegistryValue.Dword(1)));
        Assert.Equal((Io.DO_EXCLUSIVE, 0u),
            (node.PhysicalDevice.Flags & Io.DO_EXCLUSIVE, function.Flags & Io.DO_EXCLUSIVE));
        UserFile file = m.Open(m.Nt.User.Devices.Interfaces(s_class)[0]);
        Assert.Equal(STATUS_ACCESS_DENIED, Open(m));
        file.Close();
        Assert.Equal(STATUS_SUCCESS, Open(m));
    }

    [Fact]
    public void Characteristics_are_those_of_the_whole_stack()
    {
        using var m = new TestMachine();
        (DeviceNode node, DeviceObject function) = Device(m,
            ("DeviceCharacteristics", RegistryValue.Dword(FILE_DEVICE_SECURE_OPEN | FILE_READ_ONLY_DEVICE | 0x80)),
            ("Security", Descriptor("D:P(A;;GA;;;SY)")));
        Assert.Equal((0x182u, 0x102u), (node.PhysicalDevice.Characteristics, function.Characteristics));
        Assert.Equal(STATUS_ACCESS_DENIED, Open(m, @"\below"));
    }

    [Fact]
    public void Without_the_value_all_have_what_one_has()
    {
        using var m = new TestMachine();
        var filter = new WdmDriver { Name = "filter", IsFilter = true, Characteristics = FILE_REMOVABLE_MEDIA };
        m.Nt.Loader.Load(filter.Name, filter);
        (DeviceNode node, DeviceObject function) = Device(m, ("UpperFilters", RegistryValue.MultiString(["filter"])));
        Assert.Equal((0x81u, 1u, 1u), (node.PhysicalDevice.Characteristics, function.Characteristics,
            filter.Devices[0].Characteristics));
    }

    [Fact]
    public void A_package_forbids_its_device()
    {
        using var m = new TestMachine();
        m.Nt.Drivers.Add(new MemoryPackage("echo").Open(MemoryPackage.Echo("", """
            [Echo_Inst.NT.HW]
            AddReg = Hardware
            [Hardware]
            HKR,,DeviceCharacteristics,0x10001,0x100
            HKR,,Security,,"D:P(A;;GA;;;SY)"
            HKR,,DeviceType,0x10001,0x22
            HKR,,Exclusive,0x10001,1
            """)));
        var driver = new WdmDriver { Name = "echo", Interface = s_class };
        m.Nt.Loader.Load(driver.Name, driver);
        DeviceNode node = m.Nt.User.Devices.AddRootDevice(@"Root\Echo");
        Assert.True(node.IsStarted);
        Assert.Equal((STATUS_ACCESS_DENIED, STATUS_ACCESS_DENIED), (Open(m), Open(m, @"\x")));
        Assert.Equal((0x22u, 0x180u, 8u), (node.PhysicalDevice.DeviceType, node.PhysicalDevice.Characteristics,
            node.PhysicalDevice.Flags & 8));
    }
}
