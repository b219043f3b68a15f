using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>Interrupts of devices that plug and play has started: lines, messages, service routines in a
/// thread.</summary>
public sealed class InterruptExTests
{
    const uint LineBased = 2, MessageBased = 3;
    const string Settings = @"Device Parameters\Interrupt Management\MessageSignaledInterruptProperties";

    const string Devices = """
        { "devices": [
          { "chip": "edu", "registers": "0xFEB00000", "line": 17 },
          { "chip": "edu", "pci": { "slot": 3, "id": "1234:5678", "msi": 4 } },
          { "chip": "edu", "pci": { "slot": 4, "id": "1234:9999", "pin": 0, "msix": 3, "class": "0x020000" } } ] }
        """;

    static TestMachine Boot() =>
        new(new KernelOptions { Board = computer => Board.Parse(Devices).Attach(computer) });

    /// <summary>A started device with a driver that does nothing; with messages, if its package asks for
    /// them.</summary>
    static DeviceNode Start(TestMachine m, string id, bool messages)
    {
        m.Nt.User.Devices.Start();
        DeviceNode node = m.Nt.User.Devices.Find(id)!;
        if (messages)
            m.Nt.Cm.Create($@"\Registry\Machine\System\CurrentControlSet\Enum\{node.InstancePath}\{Settings}")
                .Set("MSISupported", RegistryValue.Dword(1));
        var driver = new WdmDriver();
        m.Nt.Loader.Load(driver.Name, driver);
        Assert.Equal(STATUS_SUCCESS, m.Nt.User.Devices.SetDriver(node, driver.Name));
        return node;
    }

    static IoConnectInterruptParameters Parameters(TestMachine m, uint version, DeviceNode node, Va routine)
    {
        var made = IoConnectInterruptParameters.At(m.Nt.Memory, m.Block(IoConnectInterruptParameters.Size));
        (made.Version, made.PhysicalDeviceObject, made.ServiceRoutine) = (version, node.PhysicalDevice, routine);
        (made.ConnectionContext, made.ServiceContext) = (m.Block(8), new Va(0x1234));
        return made;
    }

    static Va Disconnect(TestMachine m, uint version, Va context)
    {
        Va block = m.Block(16);
        m.Nt.Memory.Write(block, version);
        m.Nt.Memory.Write(block + 8, context);
        m.Nt.IoDisconnectInterruptEx(block);
        return block;
    }

    [Fact]
    public void The_tree_has_what_firmware_and_the_bus_tell()
    {
        using TestMachine m = Boot();
        m.Nt.User.Devices.Start();
        Assert.Equal([@"ROOT\ACPI_HAL\0000", @"ACPI\RNG0001\0", @"ACPI\PNP0A08\0"],
            m.Nt.User.Devices.All.Take(3).Select(d => d.InstancePath));
        DeviceNode pci = m.Nt.User.Devices.Find(@"PCI\CC_0200")!;
        Assert.StartsWith(@"PCI\VEN_1234&DEV_9999&SUBSYS_99991234&REV_00\3&", pci.InstancePath);
        Assert.EndsWith("&20", pci.InstancePath);
        Assert.Equal((DeviceProblem.FailedInstall, 4u << 16), (pci.Problem, pci.Address));
        Assert.Empty(m.Findings);
    }

    [Fact]
    public void The_sampler_of_the_page_has_the_ids_and_resources_of_the_page()
    {
        string page = File.ReadAllText(Path.Combine(Repository.Root, "docs", "hardware.md"));
        int from = page.IndexOf("```json pci\n", StringComparison.Ordinal) + "```json pci\n".Length;
        string json = page[from..page.IndexOf("```", from, StringComparison.Ordinal)];
        using var m = new TestMachine(new KernelOptions { Board = computer => Board.Parse(json).Attach(computer) });
        DeviceNode node = Start(m, @"PCI\VEN_1234&DEV_5A4D", messages: false);
        Assert.All([node.HardwareIds[0], node.HardwareIds[2], node.CompatibleIds[0], .. node.CompatibleIds.Skip(4)],
            id => Assert.Contains($"`{id}`", page));
        Resource[] shown = [.. node.Resources.Where(r => r.Type != ResourceType.DevicePrivate)];
        Assert.Contains(
            $"memory `{shown[0].Start:X}`, ports `{shown[1].Start:X}`, line {shown[2].Start}; or two messages", page);
        PciFunction function = Assert.Single(m.Nt.Computer.Pci.Functions);
        Va registers = m.Nt.MmMapIoSpace(shown[0].Start, 0x1000, 0);
        m.Nt.WRITE_REGISTER_ULONG(registers, 1);
        m.Nt.KeStallExecutionProcessor(60);
        Assert.Equal((1u, true), (m.Nt.READ_REGISTER_ULONG(registers + 4), function.Wire.IsAsserted));
        m.Nt.WRITE_PORT_UCHAR(new Va(shown[1].Start), 0x5A);
        Assert.Equal(0x5A, m.Nt.READ_PORT_UCHAR(new Va(shown[1].Start)));
    }

    [Fact]
    public void A_line_is_connected_as_the_device_was_started_with_it()
    {
        using TestMachine m = Boot();
        DeviceNode node = Start(m, "PCI\\VEN_1234&DEV_5678", messages: false);
        PciFunction function = m.Nt.Computer.Pci.Find(new PciSlot(3, 0))!;
        Va edu = m.Nt.MmMapIoSpace(node.Resources.First(r => r.Type == ResourceType.Memory).Start, 0x80, 0);
        int calls = 0;
        Irql irql = 0;
        Va routine = m.Routine(call =>
        {
            (calls, irql) = (calls + 1, m.Nt.KeGetCurrentIrql());
            Assert.Equal(0x1234ul, call.Argument(1));
            m.Nt.WRITE_REGISTER_ULONG(edu + 0x18, 1);
            return 1;
        });
        var parameters = Parameters(m, MessageBased, node, m.Routine(_ => 0));
        Assert.Equal(STATUS_NOT_FOUND, m.Nt.IoConnectInterruptEx(parameters.Address));
        parameters.FallBackServiceRoutine = routine;
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoConnectInterruptEx(parameters.Address));
        Assert.Equal(LineBased, parameters.Version);
        Va interrupt = m.Read<Va>(parameters.ConnectionContext);
        m.Nt.WRITE_REGISTER_ULONG(edu + 0x10, 1);
        m.Nt.WRITE_REGISTER_ULONG(edu + 0x14, 1);
        m.RunOthers();
        Assert.Equal((1, (Irql)(InterruptTable.VectorOf(19) >> 4)), (calls, irql));
        Va affinity = m.Block(16);
        m.Nt.IoGetAffinityInterrupt(KInterrupt.At(m.Nt.Memory, interrupt), affinity);
        Assert.Equal(1ul, m.U64(affinity));
        Disconnect(m, LineBased, interrupt);
        m.Nt.WRITE_REGISTER_ULONG(edu + 0x14, 1);
        m.RunOthers();
        Assert.Equal((1, true), (calls, function.Wire.IsAsserted));
    }

    [Theory, InlineData(@"PCI\VEN_1234&DEV_5678", 4), InlineData(@"PCI\VEN_1234&DEV_9999", 3)]
    public void Each_message_calls_the_routine_with_its_number(string id, int count)
    {
        using TestMachine m = Boot();
        DeviceNode node = Start(m, id, messages: true);
        PciFunction function = m.Nt.Computer.Pci.Find(new PciSlot((int)node.Address >> 16, 0))!;
        var seen = new List<(ulong Message, Irql Irql)>();
        Va routine = m.Routine(call =>
        {
            seen.Add((call.Argument(2), m.Nt.KeGetCurrentIrql()));
            return 1;
        });
        var parameters = Parameters(m, MessageBased, node, routine);
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoConnectInterruptEx(parameters.Address));
        Va table = m.Read<Va>(parameters.ConnectionContext);
        var info = IoInterruptMessageInfo.At(m.Nt.Memory, table);
        Assert.Equal((uint)count, info.MessageCount);
        for (int i = 0; i < count; i++)
        {
            function.Signal(i);
            m.RunOthers();
            Assert.Equal(((ulong)i, info.UnifiedIrql), seen[^1]);
            Assert.Equal((info.Entry(i).Vector, 0xFEE0_0000ul), (info.Entry(i).MessageData,
                info.Entry(i).MessageAddress));
        }
        Va block = m.Block(16);
        m.Nt.Memory.Write(block, MessageBased);
        m.Nt.Memory.Write(block + 8, table);
        m.Nt.IoReportInterruptInactive(block);
        function.Signal(0);
        m.RunOthers();
        m.Nt.IoReportInterruptActive(block);
        function.Signal(0);
        m.RunOthers();
        Assert.Equal(count + 1, seen.Count);
        m.Nt.IoDisconnectInterruptEx(block);
        function.Signal(0);
        m.RunOthers();
        Assert.Equal(count + 1, seen.Count);
        Assert.Throws<BugCheck>(() => m.Nt.IoDisconnectInterruptEx(block));
    }

    [Fact]
    public void A_passive_service_routine_runs_in_a_thread_and_may_wait()
    {
        using TestMachine m = Boot();
        m.Nt.User.Devices.Start();
        Va edu = m.Nt.MmMapIoSpace(0xFEB0_0000, 0x80, 0);
        int calls = 0;
        KInterrupt interrupt = default;
        Va routine = m.Routine(call =>
        {
            calls++;
            Assert.Equal(Irql.PASSIVE_LEVEL, m.Nt.KeGetCurrentIrql());
            m.Pause();
            m.Nt.WRITE_REGISTER_ULONG(edu + 0x18, 1);
            return 1;
        });
        var parameters = Parameters(m, 1, m.Nt.User.Devices.Find("*RNG0001")!, routine);
        (parameters.Vector, parameters.ProcessorEnableMask) = (InterruptTable.VectorOf(17), 1);
        parameters.SpinLock = m.Block(8);
        Assert.Equal(STATUS_INVALID_PARAMETER, m.Nt.IoConnectInterruptEx(parameters.Address));
        parameters.SpinLock = Va.Null;
        parameters.ShareVector = true;
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoConnectInterruptEx(parameters.Address));
        interrupt = KInterrupt.At(m.Nt.Memory, m.Read<Va>(parameters.ConnectionContext));
        m.Nt.WRITE_REGISTER_ULONG(edu + 0x10, 1);
        m.Nt.WRITE_REGISTER_ULONG(edu + 0x14, 1);
        m.RunOthers();
        Assert.Equal(1, calls);
        // While a synchronized routine runs, the service routine waits.
        Va synchronized = m.Routine(_ =>
        {
            m.Nt.WRITE_REGISTER_ULONG(edu + 0x14, 1);
            m.Pause();
            Assert.Equal(1, calls);
            return 1;
        });
        Assert.True(m.Nt.KeSynchronizeExecution(interrupt, synchronized, Va.Null));
        m.RunOthers();
        Assert.Equal(2, calls);
        // Passive and other routines do not share.
        var other = Parameters(m, 1, m.Nt.User.Devices.Find("*RNG0001")!, routine);
        (other.Vector, other.ProcessorEnableMask, other.ShareVector) = (InterruptTable.VectorOf(17), 1, true);
        (other.Irql, other.SynchronizeIrql) = ((Irql)11, (Irql)11);
        Assert.Equal(STATUS_INVALID_PARAMETER, m.Nt.IoConnectInterruptEx(other.Address));
        Disconnect(m, 1, interrupt.Address);
        m.Nt.WRITE_REGISTER_ULONG(edu + 0x14, 1);
        m.RunOthers();
        Assert.Equal(2, calls);
    }
}
