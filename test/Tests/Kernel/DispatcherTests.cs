using Ringdown.Kernel;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>dispatcher.sys: waits, locks, timers, DPCs, APCs, queues and processors, as guest code sees them.</summary>
public sealed class DispatcherTests
{
    /// <summary>Each test of the driver's, in the order of its control codes.</summary>
    static readonly string[] s_cases =
    [
        "wait any", "wait all", "events", "semaphores", "mutexes", "timers", "DPCs", "threaded DPC", "APCs", "queues",
        "processors", "spin locks", "priorities", "stacks", "work items",
    ];

    static void RunAll(TestMachine m)
    {
        Assert.Equal(STATUS_SUCCESS, m.Load(Repository.Driver("dispatcher")).EntryStatus);
        UserFile file = m.Open(@"\\.\Dispatcher");
        for (uint i = 0; i < s_cases.Length; i++)
        {
            UserRequest done = file.DeviceIoControl(0x222000 + 4 * i, [], 4);
            Assert.Equal((s_cases[i], STATUS_SUCCESS, 0),
                (s_cases[i], done.Status, BitConverter.ToInt32(done.Output)));
        }
        Assert.Empty(m.Findings);
    }

    [Theory, InlineData(1), InlineData(2), InlineData(4), InlineData(8)]
    public void The_dispatcher_does_what_drivers_expect_of_it(int processors)
    {
        using var m = new TestMachine(new KernelOptions { Processors = processors });
        RunAll(m);
    }

    [Theory, InlineData(1), InlineData(2), InlineData(4)]
    public void In_whatever_order_things_happen(int processors)
    {
        for (ulong seed = 1; seed <= 8; seed++)
        {
            using var m = new TestMachine(new KernelOptions
            {
                Seed = seed,
                Processors = processors,
                Schedule = chance => new RandomSchedule(chance),
            });
            RunAll(m);
        }
    }
}
