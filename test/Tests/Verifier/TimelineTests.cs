using Ringdown.Check;
using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Ringdown.Verifier;
using Xunit;

namespace Ringdown.Tests;

/// <summary>Timelines for Perfetto: every document is checked as a whole (<see cref="TimelineCheck"/>).</summary>
public sealed class TimelineTests
{
    static byte[] Write(string[] drivers, KernelOptions options, Action<TestMachine> send)
    {
        using var stream = new MemoryStream();
        using var timeline = new Timeline(stream);
        using var m = new TestMachine(options with { Observers = [timeline] });
        foreach (string driver in drivers) m.Load(Repository.Driver(driver));
        send(m);
        Assert.Empty(m.Findings);
        timeline.Dispose();
        return stream.ToArray();
    }

    static TimelineCheck Check(string[] drivers, KernelOptions options, Action<TestMachine> send)
    {
        byte[] json = Write(drivers, options, send);
        Assert.Equal(json, Write(drivers, options, send));
        return new TimelineCheck(json);
    }

    [Fact]
    public void A_request_is_a_slice_of_its_thread_one_of_its_device_and_an_arrow()
    {
        TimelineCheck t = Check(["echo"], new KernelOptions(), m =>
        {
            UserFile file = m.Open(@"\\.\Echo");
            file.Write("Hello"u8);
            file.DeviceIoControl(0x222004, [1, 2, 3], 8);
        });
        Assert.Contains(@"device \Device\Echo", t.ProcessNames);
        Assert.Equal(["echo!OpenClose", "echo!Write", "echo!DeviceControl"],
            t.SlicesOn("user").Where(s => s.StartsWith("echo!")));
        Assert.Equal(3, t.Of("s").Count());
        Assert.Equal("IRP_MJ_DEVICE_CONTROL 0x222004 #3", (string?)t.Of("f").Last()["name"]);
        Assert.Equal(1, t.MostHeldBy(@"\Device\Echo"));
        long[] inFlight = [.. t.Of("C").Where(e => (string)e["name"]! == "IRPs in flight").Select(
            e => (long)e["args"]!["value"]!)];
        Assert.Equal([1, 0, 1, 0, 1, 0], inFlight);
        // The store's spin lock.
        Assert.Contains(t.Of("C"), e => (string)e["name"]! == "IRQL of processor 0" && (long)e["args"]!["value"]! == 2);
    }

    [Fact]
    public void A_filter_and_the_device_below_it_hold_the_same_request()
    {
        TimelineCheck t = Check(["echo", "filter"], new KernelOptions(), m => m.Open(@"\\.\Echo").Write("Hello"u8));
        Assert.Contains("device unnamed device of filter", t.ProcessNames);
        string[] write = [.. t.SlicesOn("user").SkipWhile(s => s != "filter!Completed").Where(s => s.Contains('!'))];
        // In the order of their ends: the completion routine runs inside of the lower driver's.
        Assert.Equal(["filter!Completed", "echo!Write", "filter!Dispatch"], write[^3..]);
        Assert.Equal(1, t.MostHeldBy("unnamed device of filter"));
        Assert.Contains(t.Of("n"), e => ((string)e["name"]!).StartsWith("completed with STATUS_SUCCESS by echo!"));
    }

    [Theory, InlineData(1), InlineData(4)]
    public void Several_requests_in_flight_are_slices_beside_each_other_and_DPCs_have_a_track(int processors)
    {
        var options = new KernelOptions { Processors = processors, Seed = 3, Schedule = c => new RandomSchedule(c) };
        TimelineCheck t = Check(["pending"], options, m =>
        {
            UserFile file = m.Open(@"\\.\Pending");
            m.Nt.User.Concurrently(
                () => file.Read(16), () => file.Read(8), () => file.DeviceIoControl(0x222000, [], 4));
            file.DeviceIoControl(0x222004, [], 4);
            file.Close();
        });
        Assert.InRange(t.MostHeldBy(@"\Device\Pending"), 2, 3);
        Assert.Contains("pending!TimerDpc", t.ThreadNames.Where(n => n.EndsWith("DPCs")).SelectMany(t.SlicesOn));
        Assert.Equal(["user 1", "user 2", "user 3"], t.ThreadNames.Where(n => n.StartsWith("user ")).Order());
        string[] own = [.. t.ThreadNames.Where(n => n.StartsWith("processor ") && !n.EndsWith("DPCs"))];
        Assert.Equal(processors, own.Length);
        Assert.Contains("user 2", own.SelectMany(t.SlicesOn));
    }

    [Theory, InlineData(2UL), InlineData(9UL)]
    public void Threads_that_do_all_they_can_on_four_processors_have_a_timeline_without_a_flaw(ulong seed)
    {
        var chance = new Chance(seed);
        byte[] script = [8, .. Enumerable.Range(0, 8 * 40).Select(_ => (byte)chance.Next())];
        var options = new KernelOptions { Processors = 4, Seed = seed, Schedule = c => new RandomSchedule(c) };
        TimelineCheck t = Check(["stress"], options, m =>
            Assert.Equal([0, 0, 0, 0], m.Open(@"\\.\Stress").DeviceIoControl(0x222000, script, 4).Output));
        Assert.Equal(8, t.ThreadNames.Count(n => n == "system thread stress!Thread"));
        for (int i = 0; i < 4; i++) Assert.NotEmpty(t.SlicesOn($"processor {i}"));
        Assert.Contains("off the processor", t.SlicesOn("user"));
    }

    [Fact]
    public void What_is_in_flight_when_the_document_ends_is_ended_with_it()
    {
        using var stream = new MemoryStream();
        using var timeline = new Timeline(stream);
        using (var m = new TestMachine(1, timeline))
        {
            m.Load(Repository.Driver("misbehave"));
            UserFile file = m.Open(@"\\.\Misbehave");
            Assert.ThrowsAny<MachineStop>(() => file.DeviceIoControl(0x222000, [], 0));
            timeline.Dispose();
        }
        var t = new TimelineCheck(stream.ToArray());
        Assert.Contains(t.Of("e"), e => (string?)e["args"]?["outcome"] == "still in flight");
    }

    [Fact]
    public void Whoever_watches_changes_nothing()
    {
        long Run(params IObserver[] observers)
        {
            using var nt = new NtKernel(new KernelOptions { Processors = 2, Observers = observers });
            foreach (string name in (string[])["echo", "filter", "pending"])
            {
                var file = DriverFile.Open(Repository.Driver(name));
                file.Load(nt);
            }
            nt.User.CreateFile(@"\\.\Echo", out UserFile? echo);
            nt.User.CreateFile(@"\\.\Pending", out UserFile? pending);
            echo!.Write("Hello"u8);
            pending!.Read(16);
            pending.DeviceIoControl(0x222004, [], 4);
            return nt.Nanoseconds;
        }

        using var timeline = new Timeline(Stream.Null);
        long alone = Run();
        Assert.True(alone > 10_000_000);
        Assert.Equal(alone, Run(timeline, new IrpLives()));
        Assert.True(timeline.Count > 100);
    }
}
