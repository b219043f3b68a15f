using Ringdown.Kernel;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.DeviceNodeState;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Tests;

/// <summary>Devices that go with others: with a removal, with a surprise, with an ejection.</summary>
public sealed class PnpRelationTests
{
    /// <summary>A bus with three children, A, B and C, that may be ejected.</summary>
    static (TestBus Bus, DeviceObject A, DeviceObject B, DeviceObject C) Boot(TestMachine m)
    {
        var bus = new TestBus { Name = "bus", Capabilities = CapabilityFlags.EjectSupported };
        m.Nt.Loader.Load(bus.Name, bus);
        DeviceNode node = m.Nt.User.Devices.AddRootDevice(@"Root\bus", bus.Name);
        (DeviceObject a, DeviceObject b, DeviceObject c) =
            (bus.Plug(@"TB\A", "1"), bus.Plug(@"TB\B", "1"), bus.Plug(@"TB\C", "1"));
        m.Nt.User.Devices.Rescan();
        Assert.Equal(3, node.Children.Count(n => n.IsStarted));
        bus.Seen.Clear();
        return (bus, a, b, c);
    }

    static string[] Of(TestBus bus, params byte[] minors) => [.. bus.Seen.Where(s => s.StartsWith(@"TB\") && minors.Any(
        m => s.EndsWith($" {m:X2}", StringComparison.Ordinal))).Select(s => s[3..])];

    static DeviceNode Node(TestMachine m, string id) => m.Nt.User.Devices.Find(@"TB\" + id)!;

    [Fact]
    public void All_that_are_ejected_together_are_asked_then_removed_and_then_one_is_ejected()
    {
        using var m = new TestMachine();
        (TestBus bus, DeviceObject a, DeviceObject b, DeviceObject c) = Boot(m);
        bus.Related = (id, type) => (id, type) == (@"TB\A", DeviceRelationType.EjectionRelations) ? [b, c] : null;
        bus.Ejected = device =>
        {
            Assert.Equal(a, device);
            bus.Unplug(a);
            bus.Unplug(b);
        };
        Assert.Equal(STATUS_SUCCESS, m.Nt.User.Devices.Eject(Node(m, "A")));
        // C stays in the machine and begins again.
        Assert.Equal(["B 01", "C 01", "A 01", "B 02", "C 02", "A 02", "A 11", "C 00"],
            Of(bus, 0, 1, 2, IRP_MN_EJECT).Take(8));
        Assert.Equal((null, null, true), (Node(m, "A"), Node(m, "B"), Node(m, "C").IsStarted));
        Assert.Empty(m.Findings);
    }

    [Fact]
    public void One_of_them_that_says_no_keeps_them_all()
    {
        using var m = new TestMachine();
        (TestBus bus, _, DeviceObject b, DeviceObject c) = Boot(m);
        bus.Related = (id, type) => (id, type) switch
        {
            (@"TB\A", DeviceRelationType.EjectionRelations) => [b],
            (@"TB\B", DeviceRelationType.RemovalRelations) => [c],
            _ => null,
        };
        bus.Refuses = @"TB\B";
        Assert.Equal(STATUS_PLUGPLAY_QUERY_VETOED, m.Nt.User.Devices.Eject(Node(m, "A")));
        Assert.Equal(["C 01", "B 01", "B 03", "C 03"], Of(bus, 1, 2, 3, IRP_MN_EJECT));
        Assert.All((string[])["A", "B", "C"], id => Assert.True(Node(m, id).IsStarted));
        (bus.Refuses, bus.Ejected) = (null, bus.Unplug);
        bus.Seen.Clear();
        Assert.Equal(STATUS_SUCCESS, m.Nt.User.Devices.Eject(Node(m, "A")));
        Assert.Equal(["C 01", "B 01", "A 01", "C 02", "B 02", "A 02", "A 11"], Of(bus, 1, 2, IRP_MN_EJECT)[..7]);
    }

    [Fact]
    public void Ejection_relations_are_not_asked_for_when_a_device_is_disabled()
    {
        using var m = new TestMachine();
        (TestBus bus, _, DeviceObject b, DeviceObject c) = Boot(m);
        var asked = new List<DeviceRelationType>();
        bus.Related = (id, type) =>
        {
            asked.Add(type);
            return id == @"TB\A" ? [type == DeviceRelationType.EjectionRelations ? b : c] : null;
        };
        Assert.Equal(STATUS_SUCCESS, m.Nt.User.Devices.Disable(Node(m, "A")));
        Assert.Equal((Removed, Started, Removed), (Node(m, "A").State, Node(m, "B").State, Node(m, "C").State));
        Assert.DoesNotContain(DeviceRelationType.EjectionRelations, asked);
    }

    [Fact]
    public void A_surprise_takes_those_with_it_that_cannot_be_without()
    {
        using var m = new TestMachine();
        (TestBus bus, DeviceObject a, DeviceObject b, _) = Boot(m);
        bus.Related = (id, type) => (id, type) == (@"TB\A", DeviceRelationType.RemovalRelations) ? [b] : null;
        bus.Unplug(a);
        m.Nt.User.Devices.Rescan();
        Assert.Equal(["B 17", "B 02"], Of(bus, IRP_MN_SURPRISE_REMOVAL, IRP_MN_REMOVE_DEVICE,
            IRP_MN_START_DEVICE));
        Assert.Equal((null, Removed, DeviceProblem.DeviceNotThere, Started),
            (Node(m, "A"), Node(m, "B").State, Node(m, "B").Problem, Node(m, "C").State));
        Assert.Equal(STATUS_SUCCESS, m.Nt.User.Devices.Enable(Node(m, "B")));
        Assert.True(Node(m, "B").IsStarted);
    }

    [Fact]
    public void Relations_in_a_circle_and_to_the_bus_itself_come_to_an_end()
    {
        using var m = new TestMachine();
        (TestBus bus, DeviceObject a, DeviceObject b, _) = Boot(m);
        DeviceNode above = Node(m, "A").Parent!;
        bus.Related = (id, type) => type != DeviceRelationType.RemovalRelations ? null
            : id == @"TB\A" ? [b, a] : id == @"TB\B" ? [a, above.PhysicalDevice] : null;
        Assert.Equal(STATUS_SUCCESS, m.Nt.User.Devices.Disable(Node(m, "A")));
        // Children before their bus, whatever they say.
        Assert.Equal("bus 02", bus.Seen.Last(s => s.EndsWith(" 02", StringComparison.Ordinal)));
        Assert.Equal((Removed, 0), (above.State, above.Children.Count));
        Assert.Empty(m.Findings);
    }
}
