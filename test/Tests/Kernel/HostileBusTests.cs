using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using Xunit.Abstractions;

namespace Ringdown.Tests;

/// <summary>Whatever a bus answers to plug and play, the machine goes on, with devices that have problems, or stops
/// with a report.</summary>
public sealed class HostileBusTests(ITestOutputHelper output)
{
    const int Runs = 120, Steps = 12;

    [Theory, InlineData(3), InlineData(30)]
    public void A_bus_that_answers_anything_ends_in_problems_or_a_stop(int badness)
    {
        List<string> failures = [];
        SortedDictionary<string, int> ends = new(StringComparer.Ordinal);
        for (ulong i = 0; i < (ulong)(Runs * HostTrial.Times); i++)
        {
            ulong seed = HostTrial.FirstSeed + i;
            string? failure = HostTrial.Run($"badness {badness}, seed {seed}", () =>
            {
                string end = Run(seed, badness);
                string kind = end.Split(' ')[0];
                ends[kind] = ends.GetValueOrDefault(kind) + 1;
                if (i % 8 == 0) Assert.Equal(end, Run(seed, badness));
            });
            if (failure is not null) failures.Add(failure);
        }
        output.WriteLine($"{ends.Values.Sum()} runs: {string.Join(", ", ends.Select(e => $"{e.Key} {e.Value}"))}");
        Assert.True(failures.Count == 0, string.Join("\n", failures));
        Assert.True(ends.Count > 2);
    }

    /// <summary>A driver whose list of devices leads nowhere.</summary>
    sealed class Listless : NtDriver
    {
        public override NtStatus DriverEntry(DriverObject driverObject, UnicodeString registryPath)
        {
            driverObject.DriverUnload = Routine((DriverObject _) => { });
            driverObject.DeviceObject = At<DeviceObject>(new Va(0x10));
            return Status.STATUS_SUCCESS;
        }
    }

    [Fact]
    public void A_list_of_devices_that_leads_nowhere_stops_the_machine_with_a_report()
    {
        using var m = new TestMachine();
        BugCheck stop = Assert.Throws<BugCheck>(() => m.Load(new Listless()));
        Assert.Equal(BugCheckCode.SYSTEM_SERVICE_EXCEPTION, stop.Code);
        Assert.NotNull(stop.Report);
        // Who looks at it from outside sees no devices.
        Driver driver = m.Nt.Loader.Drivers[^1];
        Assert.Empty(m.Nt.DevicesOf(driver));
        Assert.Empty(m.Nt.LeftBy(driver).Devices);
        Assert.False(m.Nt.HasAddDevice(driver));
    }

    /// <summary>All lines that there are to choose from are more than there are lines.</summary>
    [Fact]
    public void A_line_from_a_range_without_end_is_not_found()
    {
        using var m = new TestMachine();
        DeviceNode node = m.Nt.User.Devices.AddRootDevice(
            @"Root\Lines", "hostile", RequirementText.Parse("line 4096-4294967295"));
        Assert.Equal(DeviceProblem.DriverFailedLoad, node.Problem);
        m.Nt.Loader.Load("hostile", new HostileBus(new Chance(1), int.MaxValue));
        m.Nt.User.Devices.SetDriver(node, "hostile");
        Assert.Equal(DeviceProblem.NormalConflict, node.Problem);
    }

    /// <returns>How it ended, and what was found.</returns>
    static string Run(ulong seed, int badness)
    {
        var chance = new Chance(seed);
        using var m = new TestMachine(new KernelOptions { Seed = seed, InstructionLimit = 5_000_000 });
        string end = "none";
        try
        {
            m.Nt.Loader.Load("hostile", new HostileBus(chance, badness));
            DeviceTree devices = m.Nt.User.Devices;
            devices.Start();
            DeviceNode bus = devices.AddRootDevice(@"Root\Hostile", "hostile");
            for (int i = 0; i < Steps; i++) Step(m, devices, chance);
            devices.Uninstall(bus);
            m.Nt.User.RunUntilIdle();
            end = $"none {string.Join(" ", devices.All.Select(d => $"{d} {d.State} {d.Problem}"))}";
        }
        catch (MachineStop stop)
        {
            Assert.NotNull(stop.Report);
            end = stop.Message;
        }
        return $"{end} {m.Nt.Nanoseconds} {string.Join("\n", m.Findings.Select(f => f.Message))}";
    }

    static void Step(TestMachine m, DeviceTree devices, Chance chance)
    {
        IReadOnlyList<DeviceNode> all = devices.All;
        if (all.Count == 0) return;
        DeviceNode device = all[chance.Next(all.Count)];
        switch (chance.Next(10))
        {
            case 0:
                devices.Rescan();
                break;
            case 1:
                devices.Rebalance(device);
                break;
            case 2:
                devices.Disable(device);
                break;
            case 3:
                devices.Enable(device);
                break;
            case 4:
                m.Nt.SetSystemState(SystemState.Sleeping3, 10_000_000);
                break;
            case 5:
                devices.SetDriver(device, "hostile");
                break;
            case 6:
                devices.Eject(device);
                break;
            default:
                devices.Send(device, (byte)chance.Next(0x1A), (uint)chance.Next(8));
                break;
        }
    }
}
