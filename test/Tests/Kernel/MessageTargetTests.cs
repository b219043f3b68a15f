using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>To which processors messages go, and by which vectors.</summary>
public sealed class MessageTargetTests
{
    const uint MessageBased = 3;
    const string Messages = "MessageSignaledInterruptProperties", Policy = "Affinity Policy";

    const string Devices = """
        { "devices": [
          { "chip": "edu", "name": "one", "pci": { "slot": 3, "id": "1234:0001", "msi": 4, "msix": 4 } },
          { "chip": "edu", "name": "two", "pci": { "slot": 4, "id": "1234:0002", "msi": 8 } },
          { "chip": "edu", "name": "many", "pci": { "slot": 5, "id": "1234:0003", "msix": 64 } },
          { "chip": "edu", "name": "more", "pci": { "slot": 6, "id": "1234:0004", "msix": 64 } } ] }
        """;

    static TestMachine Boot(int processors)
    {
        var m = new TestMachine(new KernelOptions
        {
            Processors = processors,
            Board = computer => Board.Parse(Devices).Attach(computer),
        });
        m.Nt.User.Devices.Start();
        return m;
    }

    static DeviceNode Start(
        TestMachine m, int device, params (string Key, string Name, RegistryValue Value)[] settings)
    {
        DeviceNode node = m.Nt.User.Devices.Find($@"PCI\VEN_1234&DEV_{device:X4}")!;
        foreach ((string key, string name, RegistryValue value) in
            settings.Prepend((Messages, "MSISupported", RegistryValue.Dword(1))))
            m.Nt.Cm.Create($@"\Registry\Machine\System\CurrentControlSet\Enum\{node.InstancePath}\Device Parameters"
                + $@"\Interrupt Management\{key}").Set(name, value);
        var driver = new WdmDriver { Name = $"wdm{device}" };
        m.Nt.Loader.Load(driver.Name, driver);
        Assert.Equal(STATUS_SUCCESS, m.Nt.User.Devices.SetDriver(node, driver.Name));
        return node;
    }

    static Resource[] MessagesOf(DeviceNode node) => [.. node.Resources.Where(r => r.IsMessage)];

    static int[] ProcessorsOf(DeviceNode node) => [.. MessagesOf(node).Select(r =>
    {
        Assert.True(ulong.IsPow2(r.Processors));
        return (int)ulong.Log2(r.Processors);
    })];

    static PciFunction Named(TestMachine m, string name) => m.Nt.Computer.Pci.Known.Single(f => f.Name == name);

    static (IoInterruptMessageInfo Table, List<(int Message, int Processor)> Seen) Connect(
        TestMachine m, DeviceNode node)
    {
        var seen = new List<(int, int)>();
        var parameters = IoConnectInterruptParameters.At(m.Nt.Memory, m.Block(IoConnectInterruptParameters.Size));
        (parameters.Version, parameters.PhysicalDeviceObject) = (MessageBased, node.PhysicalDevice);
        (parameters.ConnectionContext, parameters.ServiceRoutine) = (m.Block(8), m.Routine(call =>
        {
            seen.Add(((int)call.Argument(2), m.Nt.Ke.Scheduler.Active.Number));
            return 1;
        }));
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoConnectInterruptEx(parameters.Address));
        return (IoInterruptMessageInfo.At(m.Nt.Memory, m.Read<Va>(parameters.ConnectionContext)), seen);
    }

    [Theory, InlineData(2), InlineData(4)]
    public void Spread_messages_go_to_one_processor_after_the_other(int processors)
    {
        using TestMachine m = Boot(processors);
        DeviceNode node = Start(m, 1, (Policy, "DevicePolicy", RegistryValue.Dword(5)));
        int[] expected = [.. Enumerable.Range(0, 4).Select(i => i % processors)];
        Assert.Equal(expected, ProcessorsOf(node));
        (IoInterruptMessageInfo table, var seen) = Connect(m, node);
        for (int i = 0; i < 4; i++)
        {
            Assert.Equal((0xFEE0_0000ul | (ulong)expected[i] << 12, 1ul << expected[i]),
                (table.Entry(i).MessageAddress, table.Entry(i).TargetProcessorSet));
            Named(m, "one").Signal(i);
            m.RunOthers();
        }
        Assert.Equal(expected.Select((p, i) => (i, p)), seen);
        Va affinity = m.Block(16);
        m.Nt.IoGetAffinityInterrupt(KInterrupt.At(m.Nt.Memory, table.Entry(1).InterruptObject), affinity);
        Assert.Equal(2ul, m.U64(affinity));
    }

    [Fact]
    public void A_package_names_the_processors()
    {
        using TestMachine m = Boot(4);
        DeviceNode range = Start(m, 2, (Policy, "DevicePolicy", RegistryValue.Dword(4)),
            (Policy, "AssignmentSetOverride", RegistryValue.Binary([0b1100])));
        Assert.Equal((2, 8ul), (Assert.Single(ProcessorsOf(range)), MessagesOf(range)[0].Length));
        (_, var seen) = Connect(m, range);
        Named(m, "two").Signal(5);
        m.RunOthers();
        Assert.Equal([(5, 2)], seen);
        // Processors that are not there are as if nothing was said.
        DeviceNode other = Start(m, 1, (Policy, "DevicePolicy", RegistryValue.Dword(4)),
            (Policy, "AssignmentSetOverride", RegistryValue.Dword(0xF0)));
        Assert.Equal([0, 0, 0, 0], ProcessorsOf(other));
    }

    [Fact]
    public void Two_devices_have_one_vector_on_different_processors()
    {
        using TestMachine m = Boot(2);
        DeviceNode first = Start(m, 2), second = Start(m, 1, (Policy, "DevicePolicy", RegistryValue.Dword(4)),
            (Policy, "AssignmentSetOverride", RegistryValue.Dword(2)),
            (Messages, "MessageNumberLimit", RegistryValue.Dword(1)));
        Assert.Equal((0, 1), (Assert.Single(ProcessorsOf(first)), Assert.Single(ProcessorsOf(second))));
        uint shared = MessagesOf(second)[0].Vector;
        Assert.InRange(shared, MessagesOf(first)[0].Vector, MessagesOf(first)[0].Vector + 7);
        (_, var one) = Connect(m, first);
        (_, var two) = Connect(m, second);
        Named(m, "two").Signal(7);
        Named(m, "one").Signal(0);
        m.RunOthers();
        Assert.Equal(((7, 0), (0, 1)), (Assert.Single(one), Assert.Single(two)));
        Assert.Equal(shared, MessagesOf(first)[0].Vector + 7);
    }

    [Fact]
    public void Messages_and_lines_have_no_vector_in_common()
    {
        using TestMachine m = Boot(2);
        DeviceNode many = Start(m, 3), more = Start(m, 4);
        Resource[] all = [.. MessagesOf(many), .. MessagesOf(more)];
        Assert.Equal(128, all.Length);
        Assert.Equal(128, all.Select(r => (r.Vector, r.Processors)).Distinct().Count());
        // The first processor has 72 of its own.
        Assert.Equal((72, 56), (all.Count(r => r.Processors == 1), all.Count(r => r.Processors == 2)));
        uint[] lines = [.. Enumerable.Range(0, 72).Select(InterruptTable.VectorOf)];
        Assert.DoesNotContain(all, r => lines.Contains(r.Vector));
    }

    [Fact]
    public void A_device_of_low_priority_gets_low_vectors()
    {
        using TestMachine m = Boot(1);
        DeviceNode low = Start(m, 1, (Policy, "DevicePriority", RegistryValue.Dword(1)));
        DeviceNode high = Start(m, 2, (Policy, "DevicePriority", RegistryValue.Dword(3)));
        Assert.Equal((3u, 11u), (MessagesOf(low)[0].Vector >> 4, MessagesOf(high)[0].Vector >> 4));
    }

    [Fact]
    public void A_filter_may_set_the_policy_in_the_requirements()
    {
        using TestMachine m = Boot(2);
        var policy = new InterruptPolicy(IrqDevicePolicy.IrqPolicySpecifiedProcessors, IrqPriority.IrqPriorityLow, 2);
        var wanted = IoResourceDescriptor.At(m.Nt.Memory, m.Block(IoResourceDescriptor.Size));
        WantedResource.Messages(1).For(policy).Write(wanted);
        // AffinityPolicy of 2 bytes, Group, PriorityPolicy of 4, TargetedProcessors.
        Assert.Equal((0x1_0000_0004ul, 2ul), (wanted.MinimumAddress, wanted.MaximumAddress));
        byte[] list = RequirementText.Parse("messages 1", "line 20-20");
        BitConverter.TryWriteBytes(list.AsSpan(IoResourceRequirementsList.SizeOf(0) + 0x10), policy.Head);
        BitConverter.TryWriteBytes(list.AsSpan(IoResourceRequirementsList.SizeOf(0) + 0x18), 2ul);
        BitConverter.TryWriteBytes(list.AsSpan(IoResourceRequirementsList.SizeOf(1) + 0x10), policy.Head);
        BitConverter.TryWriteBytes(list.AsSpan(IoResourceRequirementsList.SizeOf(1) + 0x18), 2ul);
        m.Nt.Loader.Load("wdm", new WdmDriver());
        DeviceNode node = m.Nt.User.Devices.AddRootDevice(@"Root\wdm", "wdm", list);
        Assert.Equal([(true, 2ul), (false, 2ul)], node.Resources.Select(r => (r.IsMessage, r.Processors)));
        CmResourceList translated = ResourceLists.Make(m.Nt, node.Resources, 0, 0, translated: true);
        Assert.Equal((2ul, 2ul), (translated.Descriptor(0).Affinity, translated.Descriptor(1).Affinity));
    }
}
