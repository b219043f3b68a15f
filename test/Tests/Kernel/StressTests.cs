using System.Security.Cryptography;
using System.Text;
using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>stress.sys: threads that do random things to each other, on any processors, in any order. What goes in must
/// come out, everybody comes to an end, and a seed shows the same run again.</summary>
/// <remarks>RINGDOWN_STRESS is how many more seeds are tried.</remarks>
public sealed class StressTests
{
    const int StepsEach = 24, Threads = 12;

    static readonly int s_seeds = int.TryParse(Environment.GetEnvironmentVariable("RINGDOWN_STRESS"), out int n)
        ? n : 4;

    static Schedule Make(string name, Chance chance) => name switch
    {
        "random" => new RandomSchedule(chance),
        "pct" => new PctSchedule(chance, depth: 4, instructions: 50_000),
        _ => new RoundRobinSchedule(),
    };

    static byte[] Script(ulong seed)
    {
        var chance = new Chance(seed * 7919);
        int threads = 2 + chance.Next(Threads - 1);
        byte[] script = new byte[1 + threads * 2 * StepsEach];
        chance.Fill(script);
        script[0] = (byte)threads;
        return script;
    }

    /// <returns>What was done, in which order and when.</returns>
    static string Run(string schedule, int processors, ulong seed)
    {
        using var m = new TestMachine(new KernelOptions
        {
            Seed = seed,
            Processors = processors,
            Schedule = chance => Make(schedule, chance),
        });
        m.Load(Repository.Driver("stress"));
        UserRequest done = m.Open(@"\\.\Stress").DeviceIoControl(0x222000, Script(seed), 4);
        Assert.Equal((STATUS_SUCCESS, 0, $"seed {seed}"),
            (done.Status, BitConverter.ToInt32(done.Output), $"seed {seed}"));
        Assert.Empty(m.Findings);
        string all = string.Join('\n', m.Trace.Lines) + m.Nt.Ke.Clock.Retired;
        return Convert.ToHexString(SHA256.HashData(Encoding.UTF8.GetBytes(all)));
    }

    [Theory]
    [InlineData("robin", 1), InlineData("robin", 2), InlineData("robin", 4), InlineData("robin", 8)]
    [InlineData("random", 1), InlineData("random", 2), InlineData("random", 4), InlineData("random", 8)]
    [InlineData("pct", 1), InlineData("pct", 2), InlineData("pct", 4), InlineData("pct", 8)]
    public void Whatever_threads_do_to_each_other_comes_out_even(string schedule, int processors)
    {
        for (int seed = 1; seed <= s_seeds; seed++)
        {
            try
            {
                string first = Run(schedule, processors, (ulong)seed);
                if (seed == 1) Assert.Equal(first, Run(schedule, processors, (ulong)seed));
            }
            catch (MachineStop stop)
            {
                string stack = string.Join("\n", stop.Report!.Stack.Select(f => f.Text));
                Assert.Fail($"seed {seed}: {stop.Message}\n{stack}");
            }
        }
    }
}
