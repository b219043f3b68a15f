using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;

namespace Ringdown.Tests;

/// <summary>The same seed is the same run: byte for byte, in one process and in two.</summary>
public sealed class DeterminismTests
{
    static string Trace(ulong seed)
    {
        using var m = new TestMachine(seed);
        m.Load(Repository.Driver("echo"));
        m.Load(Repository.Driver("filter"));
        Driver pending = m.Load(Repository.Driver("pending"));
        UserFile echo = m.Open(@"\\.\Echo"), file = m.Open(@"\\.\Pending");
        echo.Write("Hello"u8);
        echo.DeviceIoControl(0x222007, [1, 2, 3], 8);
        file.Read(16);
        file.DeviceIoControl(0x222000, [], 4);
        file.DeviceIoControl(0x222004, [], 4);
        file.Close();
        m.Nt.Loader.Unload(pending);
        return string.Join('\n', m.Trace.Lines) + $"\n{m.Nt.Ke.Clock.Now} {m.Nt.Ke.Clock.Retired}";
    }

    [Fact]
    public void The_same_seed_gives_the_same_trace_twice_in_one_process()
    {
        string first = Trace(7);
        Assert.Contains("KeSetTimer", first);
        Assert.Equal(first, Trace(7));
    }

    static string TraceOfMany(ulong seed, int processors, Func<Chance, Schedule> schedule)
    {
        using var m = new TestMachine(new KernelOptions { Seed = seed, Processors = processors, Schedule = schedule });
        m.Load(Repository.Driver("dispatcher"));
        m.Load(Repository.Driver("pending"));
        UserFile file = m.Open(@"\\.\Dispatcher"), pending = m.Open(@"\\.\Pending");
        for (uint i = 0; i < 15; i++) file.DeviceIoControl(0x222000 + 4 * i, [], 4);
        pending.Read(16);
        pending.DeviceIoControl(0x222004, [], 4);
        return string.Join('\n', m.Trace.Lines) + $"\n{m.Nt.Ke.Clock.Now} {m.Nt.Ke.Clock.Retired}";
    }

    [Theory, InlineData(1), InlineData(2), InlineData(4)]
    public void Any_number_of_processors_in_any_order_is_the_same_with_the_same_seed(int processors)
    {
        Func<Chance, Schedule>[] schedules = [c => new RandomSchedule(c), c => new PctSchedule(c)];
        foreach (Func<Chance, Schedule> schedule in schedules)
        {
            string first = TraceOfMany(5, processors, schedule);
            Assert.Contains($"processor {processors - 1}", first);
            Assert.Equal(first, TraceOfMany(5, processors, schedule));
            if (processors > 1) Assert.NotEqual(first, TraceOfMany(6, processors, schedule));
        }
    }

    [Fact]
    public void The_same_seed_gives_the_same_document_in_two_processes()
    {
        string[] arguments = ["run", Repository.Driver("pending"), "--trace", "--calls", "--json", "--seed", "7",
            @"open \\.\Pending", "read 16", "ioctl 0x222000 out=4", "ioctl 0x222004 out=4", "cancel", "close"];
        CommandLine first = CommandLine.Run(arguments), second = CommandLine.Run(arguments);
        Assert.Equal(0, first.ExitCode);
        Assert.True(first.Json["calls"]!.AsArray().Count > 40);
        Assert.True(first.Json["irps"]!.AsArray().Count > 4);
        Assert.Equal(first.Output, second.Output);
    }

    [Fact]
    public void The_same_seed_gives_the_same_pictures_and_the_same_timeline_in_two_processes()
    {
        (string Text, byte[] Timeline) Run()
        {
            string[] same = ["--processors", "4", "--schedule", "random", "--seed", "7", @"open \\.\Pending", "read 16",
                "ioctl 0x222000 out=4", "ioctl 0x222004 out=4", "cancel", "close"];
            string file = Path.Combine(Path.GetTempPath(), Path.GetRandomFileName());
            try
            {
                string text = CommandLine.Run(["run", Repository.Driver("pending"), "--trace", .. same]).Output;
                Assert.Equal(0, CommandLine.Run(["trace", Repository.Driver("pending"), "-o", file, .. same]).ExitCode);
                return (text, File.ReadAllBytes(file));
            }
            finally
            {
                File.Delete(file);
            }
        }

        (string text, byte[] timeline) = Run();
        Assert.Contains("├", text);
        Assert.True(timeline.Length > 5000);
        (string textAgain, byte[] timelineAgain) = Run();
        Assert.Equal(text, textAgain);
        Assert.Equal(timeline, timelineAgain);
    }

    [Fact]
    public void A_machine_with_hardware_under_plug_and_play_is_the_same_in_two_processes()
    {
        string board = Path.Combine(Repository.Root, "samples", "pc.json");
        string[] run = ["run", Repository.Sample("serial"), "--board", board, "--device", "*PNP0501", "--json",
            "--calls", "--trace", "--processors", "2", "--schedule", "random", "--seed", "7", @"open \\.\COM1", "write 48656c6c6f",
            "read 5", "close"];
        string[] check = ["check", Repository.Sample("function"), "--json", "--seed", "7"];
        foreach (string[] arguments in (string[][])[run, check])
        {
            CommandLine first = CommandLine.Run(arguments), second = CommandLine.Run(arguments);
            Assert.True(first.ExitCode == 0, first.Output + first.Errors);
            Assert.Equal(first.Output, second.Output);
        }
    }

    [Fact]
    public void A_crash_is_the_same_in_two_processes()
    {
        string[] arguments = ["check", Repository.Driver("missing"), "--json"];
        CommandLine first = CommandLine.Run(arguments), second = CommandLine.Run(arguments);
        Assert.Equal(1, first.ExitCode);
        Assert.Equal(first.Output, second.Output);
    }
}
