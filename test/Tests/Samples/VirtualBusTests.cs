using Ringdown.Kernel;
using Ringdown.Samples;
using Xunit;
using static Ringdown.Kernel.Status;
using static Ringdown.Samples.VirtualBus;

namespace Ringdown.Tests;

/// <summary>The bus driver of samples, with the function driver of samples on its devices; the bus in both
/// languages.</summary>
public sealed class VirtualBusTests
{
    static void Compare(Action<SampleScript, DeviceNode> script) => SampleScript.Compare(
        [], [new("virtualbus", () => new VirtualBus())], s =>
        {
            Driver function = s.Machine.Load(Repository.Sample("function"));
            DeviceTree devices = s.Machine.Nt.User.Devices;
            DeviceNode node = devices.AddRootDevice(@"Root\VirtualBus", "virtualbus");
            Assert.True(node.IsStarted);
            script(s, node);
            s.CloseAll();
            if (node.State != DeviceNodeState.Deleted) devices.PullOut(node);
            s.Machine.Nt.User.RunUntilIdle();
            Assert.True(s.Machine.Unload(function));
        });

    static UserFile OpenBus(SampleScript s) =>
        s.OpenPath(Assert.Single(s.Machine.Nt.User.Devices.Interfaces(Interface)));

    static UserFile OpenChild(SampleScript s, int number) => s.OpenPath(Assert.Single(
        s.Machine.Nt.User.Devices.Interfaces(Function.Interface), i => i.Contains($"&{number:D2}#")));

    // Lets plug and play see it, and gives what has come its driver.
    static NtStatus Do(SampleScript s, UserFile bus, DeviceNode node, uint code, uint number)
    {
        NtStatus status = s.Control(bus, code, BitConverter.GetBytes(number), 0).Status;
        s.Machine.Nt.User.RunUntilIdle();
        foreach (DeviceNode child in node.Children.Where(c => c.Problem == DeviceProblem.FailedInstall).ToArray())
            s.Machine.Nt.User.Devices.SetDriver(child, "function");
        s.Control(bus, ListCode, [], 400);
        s.Note(string.Join(", ", node.Children.Select(c => $"{c} {c.State} {c.Problem}")));
        return status;
    }

    [Fact]
    public void Devices_are_plugged_in_with_ids_texts_and_capabilities() => Compare((s, node) =>
    {
        UserFile bus = OpenBus(s);
        foreach (uint number in (uint[])[7, 12]) Assert.Equal(STATUS_SUCCESS, Do(s, bus, node, PlugInCode, number));
        Assert.Equal(STATUS_OBJECT_NAME_COLLISION, Do(s, bus, node, PlugInCode, 7));
        foreach (uint number in (uint[])[0, 100])
            Assert.Equal(STATUS_INVALID_PARAMETER, Do(s, bus, node, PlugInCode, number));
        Assert.Equal(STATUS_NO_SUCH_DEVICE, Do(s, bus, node, UnplugCode, 8));
        Assert.Equal(STATUS_INFO_LENGTH_MISMATCH, s.Control(bus, PlugInCode, [1, 0], 0).Status);
        Assert.Equal(STATUS_INVALID_DEVICE_REQUEST, s.Control(bus, 0x222010, [1, 0, 0, 0], 0).Status);
        Assert.Equal(STATUS_BUFFER_TOO_SMALL, s.Control(bus, ListCode, [], 7).Status);
        Assert.Equal([7, 0, 0, 0, 12, 0, 0, 0], s.Control(bus, ListCode, [], 8).Output);
        Assert.All(node.Children, c => Assert.True(c.IsStarted));
        DeviceNode seven = node.Children[0];
        Assert.EndsWith("07", seven.InstancePath);
        Assert.Equal([@"VirtualBus\Child"], seven.HardwareIds);
        Assert.Equal([@"VirtualBus\Generic"], seven.CompatibleIds);
        Assert.Equal(("Device on a virtual bus", "Socket 07", 7u, 7u,
            CapabilityFlags.Removable | CapabilityFlags.EjectSupported),
            (seven.Description, seven.Location, seven.Address,
                seven.UINumber, seven.Capabilities));
        UserFile box = OpenChild(s, 12);
        s.Write(box, "a letter"u8);
        s.Read(box, 64);
    });

    [Fact]
    public void A_device_that_is_pulled_out_in_use_goes_with_its_last_handle() => Compare((s, node) =>
    {
        UserFile bus = OpenBus(s);
        Do(s, bus, node, PlugInCode, 1);
        Do(s, bus, node, PlugInCode, 2);
        UserFile box = OpenChild(s, 2);
        IoRequest read = s.Start(box, 8);
        // It ends before the control code or after it: on two processors either.
        read.OnComplete = null;
        Assert.Equal(STATUS_SUCCESS, Do(s, bus, node, UnplugCode, 2));
        Assert.Equal(STATUS_NO_SUCH_DEVICE, read.Status);
        Assert.Equal(STATUS_DEVICE_BUSY, Do(s, bus, node, PlugInCode, 2));
        s.Close(box);
        s.Finish();
        Assert.Equal(STATUS_SUCCESS, Do(s, bus, node, PlugInCode, 2));
        Assert.Equal(2, node.Children.Count(c => c.IsStarted));
        s.Close(OpenChild(s, 2));
        Do(s, bus, node, UnplugCode, 1);
        Do(s, bus, node, UnplugCode, 2);
        Assert.Empty(node.Children);
    });

    [Fact]
    public void A_device_is_ejected_when_nobody_uses_it() => Compare((s, node) =>
    {
        UserFile bus = OpenBus(s);
        Do(s, bus, node, PlugInCode, 3);
        UserFile box = OpenChild(s, 3);
        Do(s, bus, node, EjectCode, 3);
        Assert.True(Assert.Single(node.Children).IsStarted);
        s.Close(box);
        Do(s, bus, node, EjectCode, 3);
        Assert.Empty(node.Children);
        Assert.Empty(s.Control(bus, ListCode, [], 8).Output);
        Do(s, bus, node, PlugInCode, 3);
        Assert.True(Assert.Single(node.Children).IsStarted);
        Assert.Equal(STATUS_SUCCESS, s.Machine.Nt.User.Devices.Eject(node.Children[0]));
        Assert.Empty(node.Children);
    });

    [Fact]
    public void The_bus_leaves_after_its_devices_and_sleeps_with_them() => Compare((s, node) =>
    {
        DeviceTree devices = s.Machine.Nt.User.Devices;
        UserFile bus = OpenBus(s);
        Do(s, bus, node, PlugInCode, 1);
        Do(s, bus, node, PlugInCode, 2);
        UserFile box = OpenChild(s, 1);
        s.Note($"{s.Machine.Nt.SetSystemState(SystemState.Sleeping3)}");
        s.Write(box, "awake"u8);
        s.Read(box, 64);
        Assert.Equal(STATUS_SUCCESS, devices.Disable(node.Children[1]));
        Assert.Equal(STATUS_SUCCESS, devices.Enable(node.Children[1]));
        Assert.Equal(STATUS_SUCCESS, devices.Rebalance(node.Children[1]));
        s.Close(bus);
        Assert.Equal(STATUS_PLUGPLAY_QUERY_VETOED, devices.Disable(node));
        Assert.All(node.Children, c => Assert.True(c.IsStarted));
        s.Close(box);
        Assert.Equal(STATUS_SUCCESS, devices.Disable(node));
        Assert.Empty(node.Children);
        Assert.Equal(STATUS_SUCCESS, devices.Enable(node));
        Do(s, OpenBus(s), node, PlugInCode, 1);
        OpenChild(s, 1);
        Assert.Equal(STATUS_SUCCESS, devices.PullOut(node));
    });
}
