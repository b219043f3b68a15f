using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Tests;

/// <summary>The system goes to sleep and wakes: who is asked and told, in which order, and what happens
/// meanwhile.</summary>
public sealed class SleepTests
{
    const long Second = 10_000_000, Hour = 3600 * Second;

    [Fact, Rule("8.4"), Rule("8.6"), Rule("8.7")]
    public void A_device_follows_the_system_down_and_up()
    {
        using var m = new TestMachine();
        (DeviceNode node, PowerDriver driver) = PowerDriver.Device(m);
        Assert.Equal(STATUS_SUCCESS, m.Nt.SetSystemState(SystemState.Sleeping3, Second));
        // Nobody is asked before the system wakes, and S0 does not wait for D0.
        Assert.Equal(["wdm query S3", "wdm query D3", "wdm set S3", "wdm set D3", "wdm set S0", "wdm set D0",
            "wdm done D0"], PowerDriver.PowerOf(driver.Seen));
        Assert.Equal(1U, m.Nt.Po.StateOf(driver.Devices[0], DevicePowerState));
        Assert.Equal(1U, m.Nt.Po.StateOf(node.PhysicalDevice, DevicePowerState));
        Assert.Equal(SystemState.Working, m.Nt.Po.System.State);
        Assert.Empty(m.Findings);
    }

    [Fact]
    public void The_IRP_says_why_and_from_where_to_where()
    {
        using var m = new TestMachine();
        (_, PowerDriver driver) = PowerDriver.Device(m);
        var said = new List<(uint Context, uint Action)>();
        driver.Instead = (_, irp, text) =>
        {
            IoStackLocation at = irp.CurrentStackLocation;
            if (text is "set S4" or "set D3" or "set S0") said.Add((at.SystemContext, at.ShutdownType));
            return null;
        };
        m.Nt.SetSystemState(SystemState.Hibernate, Second);
        const uint hibernate = (uint)PowerAction.Hibernate;
        Assert.Equal([(0x15500U, hibernate), (0x15500U, hibernate), (0x51100U, hibernate)], said);
    }

    [Fact]
    public void If_one_refuses_those_that_were_asked_hear_that_the_system_stays()
    {
        using var m = new TestMachine();
        (_, PowerDriver driver) = PowerDriver.Device(m);
        (_, PowerDriver other) = PowerDriver.Device(m, new PowerDriver { Name = "other" });
        other.Instead = (_, irp, text) => text == "query S3" ? m.Complete(irp, STATUS_DEVICE_NOT_READY) : null;
        Assert.Equal(STATUS_DEVICE_NOT_READY, m.Nt.SetSystemState(SystemState.Sleeping3, Second));
        Assert.Equal(["wdm query S3", "wdm query D3", "wdm set S0", "wdm set D0", "wdm done D0"],
            PowerDriver.PowerOf(driver.Seen));
        Assert.Equal(["other query S3", "other set S0", "other set D0", "other done D0"],
            PowerDriver.PowerOf(other.Seen));
        Assert.Equal(SystemState.Working, m.Nt.Po.System.State);
        Assert.Equal(0, m.Nt.Po.System.LastSleepTime);
    }

    [Fact, Rule("8.6")]
    public void To_be_told_of_sleep_cannot_be_failed()
    {
        using var m = new TestMachine();
        (_, PowerDriver driver) = PowerDriver.Device(m);
        driver.Instead = (_, irp, text) => text == "set S3" ? m.Complete(irp, STATUS_UNSUCCESSFUL) : null;
        Assert.Equal(STATUS_SUCCESS, m.Nt.SetSystemState(SystemState.Sleeping3, Second));
        Assert.NotEqual(0, m.Nt.Po.System.LastSleepTime);
        Assert.Contains(m.Findings, f => f.Message.Contains("0x247"));
    }

    [Fact]
    public void Children_sleep_before_their_parents_and_wake_after_them()
    {
        using var m = new TestMachine();
        var seen = new List<string>();
        (DeviceNode bus, _) = PowerDriver.Device(m, new PowerBus { Name = "bus", Seen = seen });
        Assert.Single(bus.Children);
        seen.Clear();
        m.Nt.SetSystemState(SystemState.Sleeping1, Second);
        Assert.Equal(["child query S1", "bus query S1", "bus query D3", "child set S1", "bus set S1", "bus set D3",
            "bus set S0", "bus set D0", "bus done D0", "child set S0"], PowerDriver.PowerOf(seen));
    }

    [Fact]
    public void Time_passes_in_which_no_timer_of_a_driver_fires()
    {
        using var m = new TestMachine();
        KTimer timer = KTimer.At(m.Nt.Memory, m.Block(KTimer.Size));
        m.Nt.KeInitializeTimer(timer);
        long begin = m.Nt.Ke.Clock.Now, fired = 0;
        KDpc dpc = KDpc.At(m.Nt.Memory, m.Block(KDpc.Size));
        m.Nt.KeInitializeDpc(dpc, m.Routine(_ => (ulong)(fired = m.Nt.Ke.Clock.Now)), Va.Null);
        m.Nt.KeSetTimer(timer, -60 * Second, dpc);
        ulong unbiased = m.Nt.KeQueryUnbiasedInterruptTime();
        Assert.Equal(STATUS_SUCCESS, m.Nt.SetSystemState(SystemState.Sleeping3, Hour));
        Assert.True(m.Nt.Ke.Clock.Now - begin >= Hour);
        Assert.True(m.Nt.KeQueryUnbiasedInterruptTime() - unbiased < (ulong)Second);
        m.Nt.User.RunUntilIdle();
        // Overdue, it fires as soon as the system is awake.
        Assert.True(fired - begin >= Hour);
        Va answer = m.Block(0x50);
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwPowerInformation(14, Va.Null, 0, answer, 8));
        Assert.True(m.Read<long>(answer) >= begin + Hour);
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwPowerInformation(4, Va.Null, 0, answer, 0x4C));
        Assert.Equal(1, m.Read<byte>(answer + 5));
    }

    [Fact]
    public void A_timer_that_resumes_and_a_device_that_wakes_end_the_sleep()
    {
        using var m = new TestMachine();
        Va handle = m.Block(8), due = m.Block(8);
        Assert.Equal(STATUS_SUCCESS,
            m.Nt.ZwCreateTimer(handle, 0x1F0003, ObjectAttributes.At(m.Nt.Memory, Va.Null), 0));
        m.Nt.Memory.Write(due, -30 * Second);
        m.Nt.ZwSetTimer(m.Read<Handle>(handle), due, Va.Null, Va.Null, true, 0, Va.Null);
        long begin = m.Nt.Ke.Clock.Now;
        m.Nt.SetSystemState(SystemState.Sleeping3);
        Assert.Equal(WakeSource.Timer, m.Nt.Po.System.LastWake);
        Assert.InRange(m.Nt.Ke.Clock.Now - begin, 30 * Second, 31 * Second);
        // A chip's line interrupts nobody while all sleep; its device has somebody waiting for the wake signal.
        (DeviceNode node, PowerDriver driver) = PowerDriver.Device(m, new PowerDriver { Name = "waker" });
        node.Resources = [new Resource(ResourceType.Interrupt, 20, 1)];
        driver.Instead = (_, irp, text) =>
        {
            if (text != "wake") return null;
            irp.MarkPending();
            return STATUS_PENDING;
        };
        m.Nt.PoRequestPowerIrp(node.PhysicalDevice, IRP_MN_WAIT_WAKE, 4, Va.Null, Va.Null, Va.Null);
        InterruptLine line = m.Nt.Computer.Interrupts.Line(20);
        (line.Trigger, line.IsMasked, line.Vector) = (InterruptTrigger.Edge, false, (byte)InterruptTable.VectorOf(20));
        m.Nt.Computer.Clock.After(5 * Second, () => line.Set(m, true));
        begin = m.Nt.Ke.Clock.Now;
        m.Nt.SetSystemState(SystemState.Sleeping1);
        Assert.Equal(WakeSource.Device, m.Nt.Po.System.LastWake);
        Assert.InRange(m.Nt.Ke.Clock.Now - begin, 5 * Second, 7 * Second);
    }

    [Fact]
    public void A_PCI_function_wakes_the_system_and_completes_the_IRP_that_waits()
    {
        const string json = """
            { "devices": [ { "chip": "edu", "pci": { "slot": 3, "id": "1234:5678", "wakes": true } } ] }
            """;
        using var m = new TestMachine(new KernelOptions { Board = computer => Board.Parse(json).Attach(computer) });
        m.Nt.User.Devices.Start();
        PciFunction function = m.Nt.Computer.Pci.Known[0];
        DeviceNode node = m.Nt.User.Devices.All.First(d => d.InstancePath.StartsWith(@"PCI\VEN_1234"));
        var told = new List<NtStatus>();
        Va routine = m.Routine(call =>
        {
            told.Add(m.Read<IoStatusBlock>(new(call.Argument(4))).Status);
            return 0;
        });
        m.Nt.PoRequestPowerIrp(node.PhysicalDevice, IRP_MN_WAIT_WAKE, 4, routine, Va.Null, Va.Null);
        m.Nt.PoRequestPowerIrp(node.PhysicalDevice, IRP_MN_SET_POWER, 4, Va.Null, Va.Null, Va.Null);
        m.Nt.Computer.Clock.After(5 * Second, function.Wake);
        long begin = m.Nt.Ke.Clock.Now;
        Assert.Equal(STATUS_SUCCESS, m.Nt.SetSystemState(SystemState.Sleeping3));
        m.Nt.User.RunUntilIdle();
        Assert.Equal(WakeSource.Device, m.Nt.Po.System.LastWake);
        Assert.InRange(m.Nt.Po.System.LastWakeTime - begin, 5 * Second, 6 * Second);
        Assert.Equal([STATUS_SUCCESS], told);
    }

    [Fact]
    public void A_request_lives_over_a_sleep()
    {
        using var m = new TestMachine();
        m.Load(Repository.Driver("wdm"));
        DeviceNode node = m.Nt.User.Devices.AddRootDevice(@"Root\Wdm", "wdm");
        Assert.True(node.IsStarted);
        UserFile file = m.Open(node.Interfaces.Single());
        UserRequest read = file.Read(4);
        Assert.Equal(STATUS_PENDING, read.Status);
        Assert.Equal(STATUS_SUCCESS, m.Nt.SetSystemState(SystemState.Sleeping3, Second));
        m.Nt.User.RunUntilIdle();
        Assert.Equal(STATUS_SUCCESS, read.Status);
        Assert.Equal([1, 0, 0, 0], read.Output);
        file.Close();
        Assert.Empty(m.Findings);
    }

    [Fact]
    public void The_end_of_the_system_is_told_by_IRP_MJ_SHUTDOWN_first_and_then_by_S5()
    {
        using var m = new TestMachine();
        var order = new List<string>();
        (_, PowerDriver driver) = PowerDriver.Device(m, new PowerDriver { Seen = order });
        DeviceObject d = m.Dispatching("End", (_, irp) =>
        {
            order.Add(irp.CurrentStackLocation.MajorFunction.ToString());
            return m.Complete(irp, STATUS_SUCCESS);
        });
        m.Nt.IoRegisterShutdownNotification(d);
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwInitiatePowerAction((uint)PowerAction.ShutdownOff, 4, 0, false));
        Assert.Equal(["IRP_MJ_SHUTDOWN", "wdm set S5", "wdm set D3"], PowerDriver.PowerOf(order));
        Assert.Equal(SystemState.Shutdown, m.Nt.Po.System.State);
        Assert.Equal(STATUS_ALREADY_COMMITTED, m.Nt.SetSystemState(SystemState.Sleeping3));
        Assert.Equal(STATUS_INVALID_PARAMETER, m.Nt.ZwInitiatePowerAction(0, 4, 0, false));
    }

    [Fact]
    public void Drivers_that_listen_hear_when_the_system_leaves_S0_and_is_back()
    {
        using var m = new TestMachine();
        Va place = m.Block(8);
        Assert.Equal(STATUS_SUCCESS, m.Nt.ExCreateCallback(place, m.Named(@"\Callback\PowerState"), false, true));
        var heard = new List<string>();
        m.Nt.ExRegisterCallback(m.Read<Va>(place), m.Routine(call =>
        {
            heard.Add($"{call.Argument(1)} {call.Argument(2)}");
            return 0;
        }), Va.Null);
        var display = new List<uint>();
        m.Nt.PoRegisterPowerSettingCallback(m.NoDevice(), m.Bytes(PowerSettings.Display.ToByteArray()),
            m.Routine(call =>
            {
                display.Add(m.U32(new(call.Argument(1))));
                return 0;
            }), Va.Null, Va.Null);
        m.Nt.SetSystemState(SystemState.Sleeping3, Second);
        Assert.Equal(["3 0", "3 1"], heard);
        Assert.Equal([1U, 0U, 1U], display);
    }
}
