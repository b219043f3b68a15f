using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>Resources of drivers that find their devices themselves, and those of plug and play.</summary>
public sealed class LegacyResourceTests
{
    static (NtStatus Status, IReadOnlyList<Resource> Given) Assign(
        TestMachine m, DriverObject driver, DeviceObject device, params string[] wanted)
    {
        Va made = m.Block(8), list = Va.Null;
        if (wanted.Length > 0)
        {
            byte[] bytes = RequirementText.Parse(wanted);
            list = m.Block(bytes.Length);
            m.Nt.Memory.Write(list, bytes);
            m.Nt.Memory.Write(list + 4, 1u);
        }
        NtStatus status = m.Nt.IoAssignResources(m.Text(""), m.Text(""), driver, device, list, made);
        var given = CmResourceList.At(m.Nt.Memory, m.Read<Va>(made));
        IReadOnlyList<Resource> read = ResourceLists.Read(given);
        if (given.IsNull) return (status, read);
        Assert.Equal((1u, 1u), (given.Count, given.InterfaceType));
        m.Nt.ExFreePool(given.Address);
        return (status, read);
    }

    static (NtStatus Status, byte Conflict) Report(
        TestMachine m, DriverObject driver, DeviceObject device, bool overrides, params Resource[] resources)
    {
        CmResourceList list = ResourceLists.Make(m.Nt, resources, 1, 0, translated: false);
        Va conflict = m.Block(8);
        uint bytes = (uint)CmResourceList.SizeOf(resources.Length);
        return (m.Nt.IoReportResourceUsage(m.Text("Port"), driver, Va.Null, 0, device, list.Address, bytes, overrides,
            conflict), m.Read<byte>(conflict));
    }

    static Resource Ports(ulong first, ulong count) => new(ResourceType.Port, first, count);

    [Fact]
    public void Drivers_get_what_the_others_leave()
    {
        using var m = new TestMachine();
        DriverObject one = m.Driver("one"), two = m.Driver("two");
        DeviceObject first = m.Device(one, ""), second = m.Device(two, ""), third = m.Device(one, "");
        const string ports = "ports 8/8 300-30F", line = "line 5-6";
        Assert.Equal([Ports(0x300, 8), new Resource(ResourceType.Interrupt, 5, 1)],
            Assign(m, one, first, ports, line).Given);
        Assert.Equal([Ports(0x308, 8), new Resource(ResourceType.Interrupt, 6, 1)],
            Assign(m, two, second, ports, line).Given);
        // A driver's devices are in each other's way.
        Assert.Equal(STATUS_CONFLICTING_ADDRESSES, Assign(m, one, third, ports).Status);
        // What it gets instead of what it has may be the same.
        Assert.Equal(0x300ul, Assert.Single(Assign(m, one, first, ports).Given).Start);
        Assert.Equal(STATUS_SUCCESS, Assign(m, two, second).Status);
        Assert.Equal(0x308ul, Assert.Single(Assign(m, one, third, ports).Given).Start);
        Assert.Equal(STATUS_CONFLICTING_ADDRESSES, Assign(m, two, m.NoDevice(), ports).Status);
    }

    [Fact]
    public void A_device_that_runs_is_in_the_way_and_a_claim_is_in_the_way_of_devices()
    {
        using var m = new TestMachine();
        m.Nt.Loader.Load("wdm", new WdmDriver());
        DeviceTree devices = m.Nt.User.Devices;
        DeviceNode node = devices.AddRootDevice(@"Root\wdm", "wdm", RequirementText.Parse("ports 300-307"));
        DriverObject old = m.Driver("old");
        DeviceObject device = m.Device(old, "");
        Assert.Equal((STATUS_CONFLICTING_ADDRESSES, 1), Report(m, old, device, false, Ports(0x304, 8)));
        Assert.Equal(STATUS_CONFLICTING_ADDRESSES, Assign(m, old, device, "ports 304-304").Status);
        Assert.Equal(STATUS_INVALID_DEVICE_REQUEST, Assign(m, old, node.PhysicalDevice, "ports 400-400").Status);
        devices.Disable(node);
        Assert.Equal((STATUS_SUCCESS, 0), Report(m, old, device, false, Ports(0x304, 8)));
        devices.Enable(node);
        Assert.Equal((DeviceProblem.NormalConflict, false), (node.Problem, node.IsStarted));
        Report(m, old, device, false);
        Assert.Equal(STATUS_SUCCESS, devices.Enable(node));
    }

    [Fact]
    public void Who_overrides_a_conflict_is_told_of_it_and_has_the_resources_all_the_same()
    {
        using var m = new TestMachine();
        DriverObject one = m.Driver("one"), two = m.Driver("two"), three = m.Driver("three");
        Assert.Equal((STATUS_SUCCESS, 0), Report(m, one, m.Device(one, ""), false, Ports(0x300, 8)));
        DeviceObject device = m.Device(two, "");
        Assert.Equal((STATUS_CONFLICTING_ADDRESSES, 1), Report(m, two, device, false, Ports(0x304, 8)));
        Assert.Equal((STATUS_SUCCESS, 0), Report(m, three, m.NoDevice(), false, Ports(0x308, 4)));
        Report(m, three, m.NoDevice(), false);
        Assert.Equal((STATUS_SUCCESS, 1), Report(m, two, device, true, Ports(0x304, 8)));
        Assert.Equal((STATUS_CONFLICTING_ADDRESSES, 1), Report(m, three, m.NoDevice(), false, Ports(0x308, 4)));
    }

    [Fact]
    public void Lines_are_not_looked_for_beyond_the_last_one()
    {
        using var m = new TestMachine();
        DriverObject driver = m.Driver("one");
        DeviceObject first = m.Device(driver, "");
        const string beyond = "line 143-4294967295";
        Assert.Equal(143ul, Assert.Single(Assign(m, driver, first, beyond).Given).Start);
        Assert.Equal(STATUS_CONFLICTING_ADDRESSES, Assign(m, driver, m.Device(driver, ""), beyond).Status);
    }
}
