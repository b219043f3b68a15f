using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Ringdown.Verifier;
using Xunit;

namespace Ringdown.Tests;

/// <summary>races.sys: what goes wrong only in some orders is found by trying orders, and found again by its
/// seed.</summary>
public sealed class RaceTests
{
    const uint DoubleFree = 0, FastMutexes = 1, SpinLocks = 2, LockOrder = 3, DpcAndThread = 4;

    static MachineStop? Try(uint number, ulong seed, Func<Chance, Schedule> schedule, int processors = 4)
    {
        using var m = new TestMachine(new KernelOptions { Seed = seed, Processors = processors, Schedule = schedule });
        m.Load(Repository.Driver("races"));
        UserFile file = m.Open(@"\\.\Races");
        return Record.Exception(() => file.DeviceIoControl(0x222000 + 4 * number, [], 0)) as MachineStop;
    }

    /// <summary>How many schedules it takes, at most, for each strategy.</summary>
    [Theory]
    [InlineData(DoubleFree, "random", 100), InlineData(DoubleFree, "pct", 100)]
    [InlineData(FastMutexes, "random", 100), InlineData(FastMutexes, "pct", 100)]
    [InlineData(SpinLocks, "random", 100), InlineData(SpinLocks, "pct", 100)]
    [InlineData(DpcAndThread, "random", 100), InlineData(DpcAndThread, "pct", 100)]
    public void A_race_is_found_within_so_many_schedules_and_its_seed_shows_it_again(uint number, string name, int most)
    {
        Func<Chance, Schedule> schedule = name == "random"
            ? c => new RandomSchedule(c) : c => new PctSchedule(c, depth: 3, instructions: 300);
        for (ulong seed = 1; seed <= (ulong)most; seed++)
        {
            if (Try(number, seed, schedule) is not { } stop) continue;
            MachineStop again = Assert.IsAssignableFrom<MachineStop>(Try(number, seed, schedule));
            Assert.Equal(stop.Message, again.Message);
            Assert.Equal(stop.Report!.Stack.Select(f => f.Text), again.Report!.Stack.Select(f => f.Text));
            return;
        }
        Assert.Fail("not found");
    }

    [Fact]
    public void Two_orders_of_two_locks_are_found_though_nobody_waits()
    {
        using var m = new TestMachine();
        m.Load(Repository.Driver("races"));
        UserFile file = m.Open(@"\\.\Races");
        file.DeviceIoControl(0x222000 + 4 * LockOrder, [], 0);
        Finding finding = Assert.Single(m.Findings);
        Assert.Equal(("LockOrder", "races"), (finding.Rule, finding.Driver));
        Assert.Contains("races!SpinOne", finding.Message);
        Assert.Contains("races!SpinOther", string.Concat(finding.Stack));
    }

    [Fact]
    public void A_recorded_schedule_repeats_the_run_whatever_the_seed()
    {
        RecordingSchedule? recorded = null;
        MachineStop? stop = null;
        ulong seed = 0;
        while (stop is null)
            stop = Try(FastMutexes, ++seed, c => recorded = new RecordingSchedule(new RandomSchedule(c)));
        ReplaySchedule? replay = null;
        MachineStop? again = Try(FastMutexes, seed + 1000, _ => replay = new ReplaySchedule(recorded!.Decisions));
        Assert.Equal(stop.Message, again?.Message);
        Assert.False(replay!.Diverged);
    }
}
