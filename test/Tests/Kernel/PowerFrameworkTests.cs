using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>The power framework: what drivers are told, and what waits for their answer.</summary>
public sealed class PowerFrameworkTests
{
    const long Second = 10_000_000;

    /// <summary>A registered device that answers each callback at once, unless it is to keep it.</summary>
    sealed class Registered
    {
        readonly TestMachine _m;
        readonly Va _place;

        /// <param name="latencies">Of each state, of each component: F0 is the first.</param>
        public Registered(TestMachine m, uint version, params ulong[][] latencies)
        {
            _m = m;
            (Node, Driver) = PowerDriver.Device(m);
            (int routines, int context, int count, int first) = version switch
            {
                1 => (0x08, 0x38, 0x04, 0x40),
                2 => (0x10, 0x40, 0x48, 0x50),
                _ => (0x10, 0x58, 0x60, 0x68),
            };
            int bytes = version == 1 ? 0x20 : 0x38;
            Va at = m.Block(first + latencies.Length * bytes);
            m.Nt.Memory.Write(at, version);
            m.Nt.Memory.Write(at + count, (uint)latencies.Length);
            m.Nt.Memory.Write(at + context, 77UL);
            string[] names = ["active", "idle", "state", "on", "off", "control", "up", "down"];
            for (int i = 0; i < (version == 3 ? 8 : 6); i++)
            {
                string name = names[i];
                m.Nt.Memory.Write(at + routines + i * 8, m.Routine(call =>
                {
                    Assert.Equal(77UL, call.Argument(0));
                    OnCall(name, (uint)call.Argument(1), (uint)call.Argument(2));
                    return 0;
                }));
            }
            for (int i = 0; i < latencies.Length; i++)
            {
                Va component = at + first + i * bytes, states = m.Block(0x18 * latencies[i].Length);
                (int number, int deepest, int list) = version == 1 ? (0x10, 0x14, 0x18) : (0x1C, 0x18, 0x20);
                m.Nt.Memory.Write(component + number, (uint)latencies[i].Length);
                m.Nt.Memory.Write(component + deepest, 1U);
                m.Nt.Memory.Write(component + list, states);
                for (int s = 0; s < latencies[i].Length; s++)
                {
                    m.Nt.Memory.Write(states + s * 0x18, latencies[i][s]);
                    m.Nt.Memory.Write(states + s * 0x18 + 8, latencies[i][s] * 10);
                }
            }
            _place = m.Block(8);
            Status = m.Nt.PoFxRegisterDevice(Node.PhysicalDevice, at, _place);
        }

        public NtStatus Status { get; }
        public DeviceNode Node { get; }
        public PowerDriver Driver { get; }
        public Va Handle => _m.Read<Va>(_place);
        public List<string> Seen { get; } = [];

        /// <summary>What it does not answer.</summary>
        public HashSet<string> Keeps { get; } = [];

        void OnCall(string name, uint component, uint state)
        {
            Seen.Add(name switch
            {
                "active" or "idle" => $"{name} {component}",
                "state" => $"{component} F{state}",
                _ => name,
            });
            if (!Keeps.Contains(name)) Answer(name, component);
        }

        public void Answer(string name, uint component = 0)
        {
            if (name == "idle") _m.Nt.PoFxCompleteIdleCondition(Handle, component);
            if (name == "state") _m.Nt.PoFxCompleteIdleState(Handle, component);
            if (name is "on" or "up") _m.Nt.PoFxReportDevicePoweredOn(Handle);
            if (name == "off") _m.Nt.PoFxCompleteDevicePowerNotRequired(Handle);
            if (name == "down") _m.Nt.PoFxCompleteDirectedPowerDown(Handle);
        }

        public string[] Take()
        {
            string[] seen = [.. Seen];
            Seen.Clear();
            return seen;
        }
    }

    [Theory, InlineData(1U), InlineData(2U), InlineData(3U)]
    public void Components_become_active_and_idle_and_the_device_loses_its_power_with_the_last_one(uint version)
    {
        using var m = new TestMachine();
        var d = new Registered(m, version, [0, 100, 1000], [0]);
        Assert.Equal(STATUS_SUCCESS, d.Status);
        Va h = d.Handle;
        m.Nt.PoFxActivateComponent(h, 0, 0);
        Assert.Empty(d.Seen);
        m.Nt.PoFxStartDevicePowerManagement(h);
        Assert.Equal(["active 0"], d.Take());
        m.Nt.PoFxActivateComponent(h, 0, 0);
        m.Nt.PoFxIdleComponent(h, 0, 0);
        Assert.Empty(d.Seen);
        m.Nt.PoFxIdleComponent(h, 0, 0);
        Assert.Equal(["idle 0", "0 F2", "off"], d.Take());
        m.Nt.PoFxActivateComponent(h, 0, 1);
        Assert.Equal(["on", "0 F0", "active 0"], d.Take());
        m.Nt.PoFxUnregisterDevice(h);
    }

    [Fact]
    public void A_step_waits_for_the_drivers_answer_to_the_one_before()
    {
        using var m = new TestMachine();
        var d = new Registered(m, 2, [0, 100]);
        Va h = d.Handle;
        d.Keeps.UnionWith(["idle", "state", "on", "off"]);
        m.Nt.PoFxActivateComponent(h, 0, 0);
        m.Nt.PoFxStartDevicePowerManagement(h);
        m.Nt.PoFxIdleComponent(h, 0, 0);
        Assert.Equal(["active 0", "idle 0"], d.Take());
        // Wanted again before it was idle: it goes on when the driver has said so.
        m.Nt.PoFxActivateComponent(h, 0, 0);
        Assert.Empty(d.Seen);
        d.Answer("idle");
        Assert.Equal(["active 0"], d.Take());
        m.Nt.PoFxIdleComponent(h, 0, 0);
        d.Answer("idle");
        d.Answer("state");
        Assert.Equal(["idle 0", "0 F1", "off"], d.Take());
        m.Nt.PoFxActivateComponent(h, 0, 2);
        m.Nt.User.RunUntilIdle();
        Assert.Empty(d.Seen);
        d.Answer("off");
        Assert.Equal(["on"], d.Take());
        d.Answer("on");
        Assert.Equal(["0 F0"], d.Take());
        d.Answer("state");
        Assert.Equal(["active 0"], d.Take());
    }

    [Fact]
    public void Latency_residency_and_wake_limit_how_deep_a_component_goes()
    {
        using var m = new TestMachine();
        var d = new Registered(m, 2, [0, 100, 1000]);
        Va h = d.Handle;
        m.Nt.PoFxSetDeviceIdleTimeout(h, 1000 * (ulong)Second);
        m.Nt.PoFxStartDevicePowerManagement(h);
        Assert.Equal(["0 F2"], d.Take());
        m.Nt.PoFxSetComponentLatency(h, 0, 500);
        Assert.Equal(["0 F0", "0 F1"], d.Take());
        m.Nt.PoFxSetComponentLatency(h, 0, ulong.MaxValue);
        Assert.Equal(["0 F0", "0 F2"], d.Take());
        m.Nt.PoFxSetComponentResidency(h, 0, 999);
        Assert.Equal(["0 F0"], d.Take());
        m.Nt.PoFxSetComponentResidency(h, 0, ulong.MaxValue);
        m.Nt.PoFxSetComponentWake(h, 0, true);
        Assert.Equal("0 F1", d.Take()[^1]);
    }

    [Fact]
    public void A_device_keeps_its_power_until_it_was_idle_for_long_enough()
    {
        using var m = new TestMachine();
        var d = new Registered(m, 1, [0]);
        Va h = d.Handle;
        m.Nt.PoFxSetDeviceIdleTimeout(h, 3 * (ulong)Second);
        m.Nt.PoFxStartDevicePowerManagement(h);
        void Wait(long seconds) =>
            m.Nt.User.Call(() => m.Nt.Ke.WaitFor([], false, m.Nt.Ke.Clock.Now + seconds * Second));
        Wait(2);
        m.Nt.PoFxActivateComponent(h, 0, 0);
        m.Nt.PoFxIdleComponent(h, 0, 0);
        Wait(2);
        Assert.Equal(["active 0", "idle 0"], d.Take());
        Wait(2);
        Assert.Equal(["off"], d.Take());
        m.Nt.PoFxNotifySurprisePowerOn(d.Node.PhysicalDevice);
        Assert.Equal(["on"], d.Take());
        Wait(4);
        Assert.Equal(["off"], d.Take());
    }

    [Fact]
    public void Directed_transitions_are_made_by_the_third_version_and_are_watched()
    {
        using var m = new TestMachine();
        var d = new Registered(m, 3, [0]);
        Va h = d.Handle;
        m.Nt.PoFxActivateComponent(h, 0, 0);
        m.Nt.PoFxStartDevicePowerManagement(h);
        d.Take();
        Assert.Equal(1, m.Nt.DirectPower(down: true));
        Assert.Equal(0, m.Nt.DirectPower(down: true));
        Assert.Equal(1, m.Nt.DirectPower(down: false));
        Assert.Equal(["down", "up"], d.Take());
        d.Keeps.Add("down");
        BugCheck stop = Assert.Throws<BugCheck>(() =>
        {
            m.Nt.DirectPower(down: true);
            for (int i = 0; i < 20; i++) m.Nt.User.RunUntilIdle();
        });
        Assert.Equal((BugCheckCode.DRIVER_POWER_STATE_FAILURE, 5UL, 0UL),
            (stop.Code, stop.Parameters[0], stop.Parameters[2]));
    }

    [Fact]
    public void What_a_driver_must_not_do_stops_the_machine()
    {
        foreach (int mistake in (int[])[0, 1, 2, 3, 4, 5])
        {
            using var m = new TestMachine();
            var d = new Registered(m, 3, [0]);
            Va h = d.Handle;
            m.Nt.PoFxStartDevicePowerManagement(h);
            BugCheck stop = Assert.Throws<BugCheck>(() =>
            {
                if (mistake == 0) m.Nt.PoFxIdleComponent(h, 0, 0);
                if (mistake == 1) m.Nt.PoFxCompleteIdleCondition(h, 0);
                if (mistake == 2) m.Nt.PoFxCompleteDevicePowerNotRequired(h);
                if (mistake == 3) m.Nt.PoFxActivateComponent(h, 9, 0);
                if (mistake == 4) m.Nt.PoFxSetComponentWake(new(0x1234), 0, true);
                if (mistake == 5) m.Nt.PoFxCompleteDirectedPowerDown(h);
            });
            Assert.Equal(BugCheckCode.INTERNAL_POWER_ERROR, stop.Code);
        }
    }

    [Fact]
    public void What_is_no_device_is_refused()
    {
        using var m = new TestMachine();
        DeviceObject plain = m.Device(m.Driver(), @"\Device\Fx");
        Assert.Equal(STATUS_INVALID_PARAMETER, m.Nt.PoFxRegisterDevice(plain, m.Block(0x80), m.Block(8)));
        Assert.Equal(STATUS_INVALID_PARAMETER, new Registered(m, 3).Status);
        var d = new Registered(m, 2, [0]);
        Assert.Equal(STATUS_NOT_IMPLEMENTED,
            m.Nt.PoFxPowerControl(d.Handle, m.Block(16), Va.Null, 0, Va.Null, 0, m.Block(8)));
    }
}
