using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Ringdown.Verifier;
using Xunit;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Tests;

/// <summary>Power IRPs as drivers ask for them: how many at a time, at which IRQL, and what comes back.</summary>
public sealed class PowerTests
{
    const long Second = 10_000_000;

    static NtStatus Request(TestMachine m, DeviceNode node, byte minor, uint state, List<string>? told = null,
        Va irp = default) => m.Nt.PoRequestPowerIrp(node.PhysicalDevice, minor, state, told is null ? Va.Null
            : m.Routine(call =>
            {
                NtStatus status = m.Read<IoStatusBlock>(new(call.Argument(4))).Status;
                told.Add($"{call.Argument(1)} {call.Argument(2)} {status}");
                return 0;
            }), Va.Null, irp);

    [Fact, Rule("8.1")]
    public void A_device_gets_one_IRP_for_its_own_state_at_a_time()
    {
        using var m = new TestMachine();
        var kept = new List<Irp>();
        (DeviceNode node, PowerDriver driver) = PowerDriver.Device(m);
        driver.Instead = (_, irp, text) =>
        {
            if (kept.Count > 0) return null;
            irp.MarkPending();
            kept.Add(irp);
            return STATUS_PENDING;
        };
        var told = new List<string>();
        Assert.Equal(STATUS_PENDING, Request(m, node, IRP_MN_SET_POWER, 4, told));
        Assert.Equal(STATUS_PENDING, Request(m, node, IRP_MN_QUERY_POWER, 1, told));
        Assert.Equal(STATUS_PENDING, Request(m, node, IRP_MN_SET_POWER, 1, told));
        Assert.Equal(["wdm set D3"], driver.Seen);
        Irp first = kept[0];
        driver.Resume(first);
        m.Nt.User.RunUntilIdle();
        Assert.Equal(["wdm set D3", "wdm query D0", "wdm set D0", "wdm done D0"], driver.Seen);
        Assert.Equal(["2 4 STATUS_SUCCESS", "3 1 STATUS_SUCCESS", "2 1 STATUS_SUCCESS"], told);
        Assert.Empty(m.Findings);
    }

    [Fact, Rule("8.1")]
    public void One_device_in_the_system_draws_inrush_current()
    {
        using var m = new TestMachine();
        Irp kept = default;
        (DeviceNode one, PowerDriver first) = PowerDriver.Device(m, new PowerDriver { Name = "one" });
        (DeviceNode two, PowerDriver second) = PowerDriver.Device(m, new PowerDriver { Name = "two" });
        DeviceObject a = one.PhysicalDevice, b = two.PhysicalDevice;
        a.Flags |= DO_POWER_INRUSH;
        b.Flags |= DO_POWER_INRUSH;
        first.Instead = (_, irp, _) =>
        {
            irp.MarkPending();
            kept = irp;
            return STATUS_PENDING;
        };
        Request(m, one, IRP_MN_SET_POWER, 1);
        Request(m, two, IRP_MN_SET_POWER, 1);
        Request(m, two, IRP_MN_QUERY_POWER, 4);
        Assert.Empty(second.Seen);
        first.Resume(kept);
        m.Nt.User.RunUntilIdle();
        Assert.Equal(["two set D0", "two done D0", "two query D3"], second.Seen);
    }

    // That the second one fails is a duty of bus drivers; here the power manager itself sees to it.
    [Fact, Rule("8.1")]
    public void One_IRP_of_a_device_waits_for_its_wake_signal()
    {
        using var m = new TestMachine();
        (DeviceNode node, PowerDriver driver) = PowerDriver.Device(m);
        driver.Instead = (_, irp, _) =>
        {
            irp.MarkPending();
            return STATUS_PENDING;
        };
        var told = new List<string>();
        Va place = m.Block(8);
        Request(m, node, IRP_MN_WAIT_WAKE, 4, told, place);
        Request(m, node, IRP_MN_WAIT_WAKE, 4, told);
        Assert.Equal(["wdm wake"], driver.Seen);
        Assert.Equal(["0 4 STATUS_DEVICE_BUSY"], told);
        driver.Resume(Irp.At(m.Nt.Memory, m.Read<Va>(place)));
        Assert.Equal(2, told.Count);
        Request(m, node, IRP_MN_WAIT_WAKE, 4);
        Assert.Equal(2, driver.Seen.Count);
    }

    [Fact, Rule("8.8")]
    public void A_pageable_device_gets_its_IRPs_at_PASSIVE_LEVEL_and_another_one_at_once()
    {
        foreach (bool isPageable in (bool[])[true, false])
        {
            using var m = new TestMachine();
            var irqls = new List<Irql>();
            (DeviceNode node, PowerDriver driver) = PowerDriver.Device(m);
            foreach (DeviceObject device in (DeviceObject[])[node.PhysicalDevice, driver.Devices[0]])
            {
                DeviceObject changed = device;
                changed.Flags = isPageable ? device.Flags | DO_POWER_PAGABLE : device.Flags & ~DO_POWER_PAGABLE;
            }
            driver.Instead = (_, _, _) =>
            {
                irqls.Add(m.Nt.KeGetCurrentIrql());
                return null;
            };
            Irql old = m.Nt.KfRaiseIrql(Irql.DISPATCH_LEVEL);
            Request(m, node, IRP_MN_SET_POWER, 4);
            Assert.Equal(isPageable ? 0 : 1, irqls.Count);
            m.Nt.KeLowerIrql(old);
            m.Nt.User.RunUntilIdle();
            Assert.Equal([isPageable ? Irql.PASSIVE_LEVEL : Irql.DISPATCH_LEVEL], irqls);
        }
    }

    [Fact, Rule("8.9")]
    public void A_power_IRP_that_a_driver_keeps_for_ten_minutes_stops_the_machine()
    {
        using var m = new TestMachine();
        (DeviceNode node, PowerDriver driver) = PowerDriver.Device(m, new PowerDriver { Name = "keeper" });
        driver.Instead = (_, irp, _) =>
        {
            irp.MarkPending();
            return STATUS_PENDING;
        };
        Va seconds = m.Block(4), place = m.Block(8);
        Assert.False(m.Nt.PoQueryWatchdogTime(node.PhysicalDevice, seconds));
        Request(m, node, IRP_MN_SET_POWER, 4, null, place);
        Assert.True(m.Nt.PoQueryWatchdogTime(node.PhysicalDevice, seconds));
        Assert.InRange(m.U32(seconds), 598U, 600U);
        BugCheck stop = Assert.Throws<BugCheck>(() =>
        {
            for (int i = 0; i < 100; i++) m.Nt.User.RunUntilIdle();
        });
        Assert.Equal((BugCheckCode.DRIVER_POWER_STATE_FAILURE, 3UL, node.PhysicalDevice.Address.Value,
            m.Read<ulong>(place)), (stop.Code, stop.Parameters[0], stop.Parameters[1], stop.Parameters[3]));
        Assert.Equal("keeper", stop.Report!.Driver);
        Assert.Contains("IRP_MN_SET_POWER D3", stop.Report.Note);
    }

    // A hypothesis no longer: the second IRP of the device cannot come before the first one has gone.
    [Fact, Rule("8.5")]
    public void Who_waits_in_its_dispatch_routine_for_another_power_IRP_of_the_device_waits_for_ever()
    {
        using var m = new TestMachine();
        (DeviceNode node, PowerDriver driver) = PowerDriver.Device(m);
        KEvent done = m.NewEvent();
        Va signal = m.Routine(_ => (ulong)m.Nt.KeSetEvent(done, 0, false));
        driver.Instead = (device, _, text) =>
        {
            if (text != "set D3") return null;
            m.Nt.PoRequestPowerIrp(device, IRP_MN_SET_POWER, 1, signal, Va.Null, Va.Null);
            m.Nt.KeWaitForSingleObject(done.Header, 0, 0, false, Va.Null);
            return null;
        };
        BugCheck stop = Assert.Throws<BugCheck>(() => m.Nt.User.Call(() => Request(m, node, IRP_MN_SET_POWER, 4)));
        Assert.Equal(BugCheckCode.DRIVER_POWER_STATE_FAILURE, stop.Code);
    }

    [Fact]
    public void A_device_that_is_deleted_under_its_power_IRP_stops_the_machine()
    {
        using var m = new TestMachine();
        DeviceObject d = m.Dispatching("Gone", (device, irp) =>
        {
            m.Nt.IoDeleteDevice(device);
            irp.MarkPending();
            return STATUS_PENDING;
        });
        // The power manager itself holds the top of the stack: what is below it may go.
        DeviceObject upper = m.Over(d, "Upper", (_, irp) =>
        {
            irp.SkipCurrentStackLocation();
            DeviceObject lower = d;
            return m.Nt.IofCallDriver(lower, irp);
        });
        m.Nt.PoRequestPowerIrp(upper, IRP_MN_SET_POWER, 4, Va.Null, Va.Null, Va.Null);
        BugCheck stop = Assert.Throws<BugCheck>(() => m.Nt.User.Call(() =>
        {
            m.Nt.IoDetachDevice(d);
            return STATUS_SUCCESS;
        }));
        Assert.Equal((BugCheckCode.DRIVER_POWER_STATE_FAILURE, 1UL), (stop.Code, stop.Parameters[0]));
    }

    [Theory, Rule("8.10")]
    [InlineData("unknown", "0x230")]
    [InlineData("success", "0x231")]
    [InlineData("untouched", "0x232")]
    [InlineData("fails", "0x247")]
    [InlineData("failed and passed", "0x219")]
    public void A_driver_above_the_bus_driver_passes_power_IRPs_down(string what, string code)
    {
        using var m = new TestMachine();
        (DeviceNode node, PowerDriver driver) = PowerDriver.Device(m);
        driver.Instead = (device, irp, _) =>
        {
            if (what == "failed and passed")
            {
                irp.IoStatus = new(STATUS_UNSUCCESSFUL, 0);
                return driver.Pass(device, irp);
            }
            return m.Complete(irp, what == "untouched" ? STATUS_NOT_SUPPORTED : what == "fails" ? STATUS_UNSUCCESSFUL
                : STATUS_SUCCESS);
        };
        if (what == "unknown")
        {
            Irp own = m.Nt.IoAllocateIrp(2, false);
            IoStackLocation next = own.NextStackLocation;
            (next.MajorFunction, next.MinorFunction) = (IrpMajor.IRP_MJ_POWER, 9);
            own.IoStatus = new(STATUS_NOT_SUPPORTED, 0);
            own.SetCompletionRoutine(m.Routine(_ => STATUS_MORE_PROCESSING_REQUIRED.Value), Va.Null);
            m.Nt.PoCallDriver(driver.Devices[0], own);
        }
        else Request(m, node, IRP_MN_SET_POWER, 4);
        Assert.Contains(m.Findings, f => f.Rule == "Power" && f.Message.Contains(code));
    }

    [Fact, Rule("8.2")]
    public void A_driver_asks_the_power_manager_for_IRPs_instead_of_making_them()
    {
        using var m = new TestMachine();
        (DeviceNode node, PowerDriver driver) = PowerDriver.Device(m);
        Va done = m.Routine(_ => STATUS_MORE_PROCESSING_REQUIRED.Value);
        driver.Instead = (device, _, text) =>
        {
            if (text != "query D3") return null;
            Irp own = m.Nt.IoAllocateIrp(2, false);
            IoStackLocation next = own.NextStackLocation;
            (next.MajorFunction, next.MinorFunction) = (IrpMajor.IRP_MJ_POWER, IRP_MN_SET_POWER);
            (next.PowerStateType, next.PowerState) = (DevicePowerState, 4);
            own.IoStatus = new(STATUS_NOT_SUPPORTED, 0);
            own.SetCompletionRoutine(done, Va.Null);
            m.Nt.PoCallDriver(device, own);
            return null;
        };
        Request(m, node, IRP_MN_QUERY_POWER, 4);
        Finding found = Assert.Single(m.Findings);
        Assert.Contains("0x237", found.Message);
    }

    [Fact, Rule("8.8")]
    public void A_pageable_device_above_one_that_is_not_is_found()
    {
        using var m = new TestMachine();
        (_, PowerDriver driver) = PowerDriver.Device(m);
        Assert.Empty(m.Findings);
        DeviceObject below = m.Dispatching("Below", (_, irp) => m.Complete(irp, STATUS_SUCCESS));
        DeviceObject above = m.Over(below, "Above", (_, irp) => m.Complete(irp, STATUS_SUCCESS));
        above.Flags |= DO_POWER_PAGABLE;
        new PowerRule(new Reporter(new FindingList(), 1)).DeviceAdded(m.Nt, new DeviceAdded(
            m.Nt.User.Devices.All[0], m.Nt.Loader.Drivers[0], STATUS_SUCCESS, below));
        var findings = new FindingList();
        new PowerRule(new Reporter(findings, 1)).DeviceAdded(m.Nt, new DeviceAdded(
            m.Nt.User.Devices.All[0], m.Nt.Loader.Drivers[0], STATUS_SUCCESS, below));
        Assert.Contains("0x23F", Assert.Single(findings.All).Message);
    }

    [Fact]
    public void An_idle_device_is_put_to_sleep_and_a_busy_one_is_not()
    {
        using var m = new TestMachine();
        (DeviceNode node, PowerDriver driver) = PowerDriver.Device(m);
        Va counter = m.Nt.PoRegisterDeviceForIdleDetection(node.PhysicalDevice, 2, 5, 4);
        Assert.False(counter.IsNull);
        void Wait(long seconds) =>
            m.Nt.User.Call(() => m.Nt.Ke.WaitFor([], false, m.Nt.Ke.Clock.Now + seconds * Second));
        Wait(4);
        Assert.Empty(driver.Seen);
        // PoSetDeviceBusy is a macro.
        m.Nt.Memory.Write(counter, 0U);
        Wait(3);
        m.Nt.PoStartDeviceBusy(counter);
        Wait(20);
        Assert.Empty(driver.Seen);
        m.Nt.PoEndDeviceBusy(counter);
        m.Nt.PoSetDeviceBusyEx(counter);
        Wait(6);
        Assert.Equal(["wdm set D3"], driver.Seen);
        // On again, and from the battery it sleeps earlier.
        Request(m, node, IRP_MN_SET_POWER, 1);
        m.Nt.SetPowerSetting(PowerSettings.Source, [1, 0, 0, 0]);
        driver.Seen.Clear();
        Wait(3);
        Assert.Equal(["wdm set D3"], driver.Seen);
        Assert.True(m.Nt.PoRegisterDeviceForIdleDetection(node.PhysicalDevice, 0, 0, 4).IsNull);
    }

    [Fact]
    public void Settings_that_change_are_told_and_others_are_not()
    {
        using var m = new TestMachine();
        var told = new List<uint>();
        Va guid = m.Bytes(PowerSettings.Source.ToByteArray()), handle = m.Block(8);
        m.Nt.PoRegisterPowerSettingCallback(m.NoDevice(), guid, m.Routine(call =>
        {
            Assert.Equal(PowerSettings.Source, m.Read<Guid>(new(call.Argument(0))));
            told.Add(m.U32(new(call.Argument(1))));
            return 0;
        }), Va.Null, handle);
        m.Nt.SetPowerSetting(PowerSettings.Source, [1, 0, 0, 0]);
        m.Nt.SetPowerSetting(PowerSettings.Source, [1, 0, 0, 0]);
        m.Nt.SetPowerSetting(PowerSettings.Battery, [50, 0, 0, 0]);
        Assert.Equal([0U, 1U], told);
        Assert.Equal(STATUS_SUCCESS, m.Nt.PoUnregisterPowerSettingCallback(m.Read<Va>(handle)));
        m.Nt.SetPowerSetting(PowerSettings.Source, [0, 0, 0, 0]);
        Assert.Equal(2, told.Count);
    }

    [Fact]
    public void Requests_and_registered_states_keep_the_system_awake()
    {
        using var m = new TestMachine();
        const uint system = 1, continuous = 0x8000_0000;
        DeviceObject d = m.Device(m.Driver(), @"\Device\Awake");
        Va place = m.Block(8);
        m.Nt.PoCreatePowerRequest(place, d, Va.Null);
        m.Nt.PoSetPowerRequest(m.Read<Va>(place), 1);
        Assert.False(m.Nt.SleepIfIdle());
        m.Nt.PoClearPowerRequest(m.Read<Va>(place), 1);
        Va state = m.Nt.PoRegisterSystemState(Va.Null, system | continuous);
        Assert.False(m.Nt.SleepIfIdle());
        m.Nt.PoRegisterSystemState(state, 0);
        Assert.True(m.Nt.SleepIfIdle(Second));
        m.Nt.PoUnregisterSystemState(state);
        Assert.Equal(WakeSource.User, m.Nt.Po.System.LastWake);
    }
}
