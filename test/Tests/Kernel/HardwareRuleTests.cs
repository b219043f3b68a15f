using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Tests;

/// <summary>A driver of a card that connects a service routine, which acknowledges nothing.</summary>
sealed class CardDriver : WdmDriver
{
    /// <summary>A service routine that claims each interrupt.</summary>
    public Va Isr => Routine(Claim);

    byte Claim(KInterrupt interrupt, Va context) => 1;
}

/// <summary>What the verifier says of a device's registers, interrupts and remove locks that are used too
/// long.</summary>
public sealed class HardwareRuleTests
{
    const uint LineBased = 2;
    const ulong InterruptEnable = 0x10, InterruptRaise = 0x14;
    const string Settings = @"Device Parameters\Interrupt Management\MessageSignaledInterruptProperties";

    const string Card = """
        { "devices": [ { "chip": "edu", "pci": { "slot": 3, "id": "1234:5678", "msi": 1 } } ] }
        """;

    static (DeviceNode, CardDriver, Va Registers) Start(TestMachine m, bool messages)
    {
        m.Nt.User.Devices.Start();
        DeviceNode node = m.Nt.User.Devices.Find(@"PCI\VEN_1234&DEV_5678")!;
        if (messages)
            m.Nt.Cm.Create($@"\Registry\Machine\System\CurrentControlSet\Enum\{node.InstancePath}\{Settings}")
                .Set("MSISupported", RegistryValue.Dword(1));
        var driver = new CardDriver();
        m.Nt.Loader.Load(driver.Name, driver);
        Assert.Equal(STATUS_SUCCESS, m.Nt.User.Devices.SetDriver(node, driver.Name));
        return (node, driver, m.Nt.MmMapIoSpace(node.Resources[0].Start, 0x1000, 0));
    }

    static TestMachine Boot() => new(new KernelOptions { Board = computer => Board.Parse(Card).Attach(computer) });

    static void Connect(TestMachine m, DeviceNode node, Va routine)
    {
        var p = IoConnectInterruptParameters.At(m.Nt.Memory, m.Block(IoConnectInterruptParameters.Size));
        (p.Version, p.PhysicalDeviceObject, p.ServiceRoutine) = (LineBased, node.PhysicalDevice, routine);
        p.ConnectionContext = m.Block(8);
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoConnectInterruptEx(p.Address));
    }

    static void Raise(TestMachine m, Va registers)
    {
        m.Nt.WRITE_REGISTER_ULONG(registers + InterruptEnable, uint.MaxValue);
        m.Nt.WRITE_REGISTER_ULONG(registers + InterruptRaise, 1);
    }

    [Fact]
    public void An_interrupt_that_is_not_disconnected_is_left_behind()
    {
        using TestMachine m = Boot();
        (DeviceNode node, CardDriver driver, _) = Start(m, messages: false);
        Connect(m, node, driver.Isr);
        m.Nt.User.Devices.Uninstall(node);
        Assert.True(m.Unload(m.Nt.Loader.Drivers.Single(d => d.Name == "wdm")));
        Assert.Contains(m.Findings, f => f.Rule == "Leftover"
            && f.Message == "Not given back: the interrupt of vector 42, connected to wdm!Claim.");
    }

    [Fact]
    public void A_storm_is_the_service_routines_driver_s()
    {
        using TestMachine m = Boot();
        (DeviceNode node, CardDriver driver, Va registers) = Start(m, messages: false);
        Connect(m, node, driver.Isr);
        Raise(m, registers);
        BugCheck stop = Assert.Throws<BugCheck>(m.Nt.User.RunUntilIdle);
        Assert.Equal((BugCheckCode.HARDWARE_INTERRUPT_STORM, "wdm"), (stop.Code, stop.Report!.Driver));
        Assert.EndsWith("is wdm!Claim.", stop.Report.Note);
    }

    [Fact]
    public void A_device_that_sends_messages_and_was_not_acknowledged_keeps_its_interrupt()
    {
        using TestMachine m = Boot();
        (DeviceNode node, _, Va registers) = Start(m, messages: true);
        Assert.False(m.Nt.User.Devices.KeepsInterrupt(node));
        Raise(m, registers);
        m.Nt.User.RunUntilIdle();
        Assert.True(m.Nt.User.Devices.KeepsInterrupt(node));
    }

    [Theory, InlineData(4u, true), InlineData(1u, false)]
    public void A_register_that_a_driver_reads_without_power_is_a_finding(uint state, bool isFound)
    {
        using TestMachine m = Boot();
        (DeviceNode node, CardDriver driver, Va registers) = Start(m, messages: false);
        uint read = 0;
        driver.Told = minor =>
        {
            if (minor == IRP_MN_QUERY_PNP_DEVICE_STATE) read = m.Nt.READ_REGISTER_ULONG(registers);
        };
        m.Nt.PoRequestPowerIrp(node.PhysicalDevice, IRP_MN_SET_POWER, state, Va.Null, Va.Null, Va.Null);
        m.Nt.User.RunUntilIdle();
        m.Nt.User.Devices.Send(node, IRP_MN_QUERY_PNP_DEVICE_STATE);
        Assert.Equal(isFound, read == uint.MaxValue);
        Assert.Equal(isFound, m.Findings.Any(f => f.Rule == "Power" && f.Driver == "wdm" && f.Message.StartsWith(
            "A register (base address 0, offset 0) of PCI 1234:5678 is read while the device is in D3")));
    }

    [Theory, InlineData(true), InlineData(false)]
    public void A_remove_lock_that_is_held_when_its_device_is_deleted_is_a_finding(bool isReleased)
    {
        using var m = new TestMachine();
        Va place = m.Block(8);
        m.Nt.IoCreateDevice(m.Driver(), RemoveLock.Size, m.Text(@"\Device\Held"), 0x22, 0, false, place);
        DeviceObject device = DeviceObject.At(m.Nt.Memory, m.Read<Va>(place));
        RemoveLock held = RemoveLock.At(m.Nt.Memory, device.DeviceExtension);
        m.Nt.IoInitializeRemoveLockEx(held, 0, 0, 0, RemoveLock.Size);
        m.Nt.IoAcquireRemoveLockEx(held, new Va(1), Va.Null, 0, RemoveLock.Size);
        if (isReleased) m.Nt.IoReleaseRemoveLockAndWaitEx(held, new Va(1), RemoveLock.Size);
        m.Nt.IoDeleteDevice(device);
        Assert.Equal(!isReleased, m.Findings.Any(f => f.Rule == "RemoveLock"
            && f.Message.EndsWith("IoReleaseRemoveLockAndWait comes first.")));
    }
}
