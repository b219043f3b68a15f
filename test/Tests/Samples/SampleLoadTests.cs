using Ringdown.Kernel;
using Ringdown.Samples;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>The drivers of samples under several threads at once, on two processors, in several orders: nothing is
/// lost, and no rule broken.</summary>
public sealed class SampleLoadTests
{
    static void InSeveralOrders(string[] below, SamplePair pair, Action<TestMachine> run)
    {
        for (ulong seed = 1; seed <= 5; seed++)
            foreach (bool managed in (bool[])[false, true])
            {
                using var m = new TestMachine(new KernelOptions
                {
                    Seed = seed,
                    Processors = 2,
                    Schedule = c => new RandomSchedule(c),
                });
                foreach (string name in below) m.Load(Repository.Driver(name));
                Driver driver = managed ? m.Nt.Loader.Load(pair.Name, pair.New())
                    : m.Load(Repository.Sample(pair.Name));
                run(m);
                Assert.True(m.Unload(driver));
                Assert.Empty(m.Findings.Select(f => $"{(managed ? "C#" : "C")}, seed {seed}: {f.Rule}: {f.Message}"));
            }
    }

    static void Repeat(int times, Action action)
    {
        for (int i = 0; i < times; i++) action();
    }

    static void EndedOrCancelled(UserRequest done) =>
        Assert.True(done.Status == STATUS_SUCCESS || done.Status == STATUS_CANCELLED, done.Status.ToString());

    /// <summary>What a thread does over and over with a file of its own.</summary>
    static Action On(TestMachine m, string name, int times, Action<UserFile> action)
    {
        UserFile file = m.Open(@"\\.\" + name);
        return () =>
        {
            Repeat(times, () => action(file));
            file.Close();
        };
    }

    [Fact]
    public void Locks_loses_no_count() => InSeveralOrders([], new("locks", () => new Locks()), m =>
    {
        List<Action> threads = [];
        for (int i = 0; i < 3; i++)
            threads.Add(On(m, "Locks", 3, file =>
            {
                for (uint code = 0x222000; code <= 0x222020; code += 4)
                    Assert.Equal(STATUS_SUCCESS, file.DeviceIoControl(code, [1, 0, 0, 0], 4).Status);
            }));
        m.Nt.User.Concurrently(threads);
        UserFile last = m.Open(@"\\.\Locks");
        for (uint code = 0x222000; code <= 0x22200C; code += 4)
            Assert.Equal(10, last.DeviceIoControl(code, [], 4).Output[0]);
        last.Close();
    });

    [Fact]
    public void Perf_counts_all_that_passes() => InSeveralOrders(["echo"], new("perf", () => new Perf()), m =>
    {
        List<Action> threads = [];
        for (int i = 0; i < 3; i++)
            threads.Add(On(m, "Echo", 4, file =>
            {
                file.Write("data"u8);
                file.Read(4);
            }));
        m.Nt.User.Concurrently(threads);
        UserFile perf = m.Open(@"\\.\Perf");
        byte[] counters = perf.DeviceIoControl(0x222000, [], 0x30).Output;
        Assert.Equal((12, 12, 0), (counters[0], counters[4], counters[0x28]));
        perf.Close();
    });

    static void ReadWriteAndCancel(TestMachine m, string name)
    {
        UserFile file = m.Open(@"\\.\" + name);
        List<UserRequest> reads = [];
        m.Nt.User.Concurrently(
            () => Repeat(6, () => reads.Add(file.Read(4))),
            () => Repeat(40, () => file.Cancel()),
            On(m, name, 40, writer =>
            {
                NtStatus status = writer.Write("data"u8).Status;
                Assert.True(status == STATUS_SUCCESS || status == STATUS_DEVICE_NOT_READY);
            }));
        // Some may still wait for a write.
        file.Close();
        Assert.All(reads, EndedOrCancelled);
    }

    [Fact]
    public void Queue_ends_each_read_once() =>
        InSeveralOrders([], new("queue", () => new Queue()), m => ReadWriteAndCancel(m, "Queue"));

    [Fact]
    public void CsqQueue_ends_each_read_once() =>
        InSeveralOrders([], new("csqqueue", () => new CsqQueue()), m => ReadWriteAndCancel(m, "CsqQueue"));

    [Fact]
    public void Monolithic_ends_each_read_once() => InSeveralOrders([], new("monolithic", () => new Monolithic()), m =>
    {
        UserFile file = m.Open(@"\\.\Monolithic");
        m.Nt.User.Concurrently(
            () => Repeat(4, () => EndedOrCancelled(file.Read(4))),
            () => Repeat(4, () => EndedOrCancelled(file.Read(4))),
            () => Repeat(10, () => file.Cancel()),
            On(m, "Monolithic", 4, other => Assert.Equal(STATUS_SUCCESS, other.Read(1).Status)));
        file.Close();
    });

    [Fact]
    public void Parallel_ends_each_wait_once() => InSeveralOrders(
        [], new("parallel", () => new Samples.Parallel()), m =>
    {
        UserFile file = m.Open(@"\\.\Parallel");
        Action wait = () => Repeat(4, () => EndedOrCancelled(
            file.DeviceIoControl(0x222000, [1, 0, 0, 0], 4)));
        m.Nt.User.Concurrently(wait, wait, () => Repeat(10, () => file.Cancel()), wait);
        file.Close();
    });

    [Fact]
    public void Workers_associated_and_builder_serve_three_at_once()
    {
        InSeveralOrders([], new("workers", () => new Workers()), m => m.Nt.User.Concurrently(
            [.. Enumerable.Range(0, 3).Select(i => On(m, "Workers", 4, file =>
                Assert.Equal(STATUS_SUCCESS, file.DeviceIoControl(0x222000 + 4 * (uint)(i % 2), [], 8).Status)))]));
        InSeveralOrders([], new("associated", () => new Associated()), m => m.Nt.User.Concurrently(
            [.. Enumerable.Range(0, 3).Select(i => On(m, "Associated", 2, file =>
                Assert.Equal(1500UL, file.Read(1500, 100 * i).Information)))]));
        InSeveralOrders(["pending"], new("builder", () => new Builder()), m => m.Nt.User.Concurrently(
            [.. Enumerable.Range(0, 3).Select(i => On(m, "Builder", 4, file =>
                Assert.Equal(STATUS_SUCCESS, file.DeviceIoControl(0x222000 + 4 * (uint)i, [], 4).Status)))]));
    }
}
