using Ringdown.Check;
using Ringdown.Kernel;
using Ringdown.Testing;
using Ringdown.Verifier;
using Xunit;

namespace Ringdown.Tests;

/// <summary>Requests that several threads send at once: by the check, by a test, and on the command line.</summary>
public sealed class ConcurrencyTests
{
    [Fact]
    public void The_check_finds_what_goes_wrong_only_when_requests_meet()
    {
        var run = new CheckRun(DriverFile.Open(Repository.Driver("races")), new SessionOptions());
        run.Run();
        Assert.Equal(0, run.Phases.Single(p => p.Name == "device control").NewFindings
            - run.Findings.All.Count(f => f.Rule == "LockOrder" && f.During!.StartsWith("ioctl")));
        Finding deadlock = run.Findings.All.First(f => f.Rule == "Deadlock");
        Assert.Contains("concurrent requests", deadlock.During);
        // Its seed is where a check begins that finds it at once.
        var again = new CheckRun(DriverFile.Open(Repository.Driver("races")),
            new SessionOptions { Seed = deadlock.Seed });
        again.Run();
        Assert.Contains(again.Findings.All, f => f.Rule == "Deadlock" && f.Message == deadlock.Message);
    }

    [Theory, InlineData("echo"), InlineData("pending"), InlineData("dispatcher")]
    public void A_driver_that_locks_what_it_shares_stays_clean(string driver)
    {
        var run = new CheckRun(DriverFile.Open(Repository.Driver(driver)), new SessionOptions());
        run.Run();
        Assert.Empty(run.Findings.All);
    }

    [Fact]
    public void Users_threads_run_beside_each_other_until_all_are_done()
    {
        using var m = new TestMachine(new KernelOptions { Processors = 2 });
        m.Load(Repository.Driver("echo"));
        var answers = new List<byte[]>();
        Action Send(byte value) => () => answers.Add(m.Open(@"\\.\Echo").DeviceIoControl(0x222004, [value], 8).Output);
        m.Nt.User.Concurrently(Send(1), Send(2), Send(3));
        Assert.Equal([1, 2, 3], answers.Select(a => (int)a[0]).Order());
        Assert.Empty(m.Findings);
    }

    [Fact]
    public void A_recorded_run_is_replayed_with_another_seed()
    {
        string file = Path.Combine(Path.GetTempPath(), Path.GetRandomFileName());
        try
        {
            string[] requests = [@"open \\.\Dispatcher", "ioctl 0x222004 out=4", "ioctl 0x22202C out=4", "close"];
            string[] start = ["run", Repository.Driver("dispatcher"), "--trace", "--json", "--processors", "3"];
            CommandLine recorded = CommandLine.Run(
                [.. start, "--schedule", "random", "--seed", "3", "--record", file, .. requests]);
            CommandLine replayed = CommandLine.Run([.. start, "--seed", "3", "--replay", file, .. requests]);
            CommandLine inTurn = CommandLine.Run([.. start, "--seed", "3", .. requests]);
            Assert.Equal(0, recorded.ExitCode);
            Assert.Equal(recorded.Output, replayed.Output);
            Assert.NotEqual(recorded.Output, inTurn.Output);
            Assert.Equal(2, CommandLine.Run("run", Repository.Driver("echo"), "--processors", "65").ExitCode);
        }
        finally
        {
            File.Delete(file);
        }
    }
}
