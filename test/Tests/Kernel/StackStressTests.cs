using System.Security.Cryptography;
using System.Text;
using Ringdown.Check;
using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Verifier;
using Xunit;

namespace Ringdown.Tests;

/// <summary>Eight user threads on four processors send requests of all kinds into a stack of two .sys files and two
/// drivers in C#, cancel and close at random, while the topmost filter leaves and comes back.</summary>
public sealed class StackStressTests
{
    const int Threads = 8, Slots = 6;

    /// <summary>What one user thread does, and what came of it.</summary>
    sealed class Client(NtKernel nt, Handle port, ulong seed, int count)
    {
        readonly Win32 _win32 = nt.User.Win32;
        readonly Chance _chance = new(seed);
        readonly Win32Overlapped[] _slots = [.. Enumerable.Range(0, Slots).Select(_ => nt.User.Win32.NewOverlapped())];
        readonly Va[] _buffers = [.. Enumerable.Range(0, Slots * 2).Select(_ => nt.User.Win32.VirtualAlloc(0x1000))];
        readonly bool[] _isSent = new bool[Slots];
        Handle _file;

        public StringBuilder Story { get; } = new();
        public int Completed { get; private set; }
        public int Canceled { get; private set; }

        public void Run()
        {
            for (int i = 0; i < count; i++)
            {
                if (_file.IsNull) Open();
                int slot = _chance.Next(Slots);
                while (_isSent[slot]) Take();
                Send(slot);
                if (_chance.OneIn(5)) _win32.CancelIoEx(_file, _slots[_chance.Next(Slots)]);
                if (_chance.OneIn(100)) _win32.CancelIo(_file);
                if (_chance.OneIn(50)) Close();
            }
            while (_isSent.Any(s => s)) Take();
            Close();
        }

        void Open()
        {
            Win32Result opened = _win32.CreateFile(@"\\.\Echo", flags: Win32.FILE_FLAG_OVERLAPPED);
            Assert.Equal(0, opened.Error);
            _file = opened.Handle;
            Assert.Equal(0, _win32.CreateIoCompletionPort(_file, port, new Va(1), 0).Error);
        }

        void Close()
        {
            if (!_file.IsNull) Assert.Equal(0, _win32.CloseHandle(_file).Error);
            _file = default;
        }

        void Send(int slot)
        {
            (Win32Overlapped o, Va input, Va output) = (_slots[slot], _buffers[slot * 2], _buffers[slot * 2 + 1]);
            o.Offset = 0;
            uint length = (uint)_chance.Next(300);
            _isSent[slot] = true;
            Win32Result result = _chance.Next(8) switch
            {
                0 => _win32.ReadFile(_file, output, length, o),
                1 => _win32.WriteFile(_file, input, length, o),
                2 => _win32.DeviceIoControl(_file, 0x222000, Va.Null, 0, output, 4, o),
                3 => _win32.DeviceIoControl(_file, 0x222004, input, length, output, length, o),
                4 => _win32.DeviceIoControl(_file, 0x222005, input, length, output, length, o),
                5 => _win32.DeviceIoControl(_file, 0x222006, input, length, output, length, o),
                6 => _win32.DeviceIoControl(_file, 0x222007, input, length, output, length, o),
                _ => _win32.DeviceIoControl(_file, 0x223FFC, input, length, output, length, o),
            };
            // A failure at once brings no packet.
            if (!result.Succeeded && result.Error != Win32.ERROR_IO_PENDING) Finish(slot, result);
        }

        void Take()
        {
            QueuedCompletion packet = _win32.GetQueuedCompletionStatus(port, Win32.INFINITE);
            Finish(Array.FindIndex(_slots, s => s.Address == packet.Overlapped), packet.Result);
        }

        void Finish(int slot, Win32Result result)
        {
            Assert.True(_isSent[slot], "a request that was complete has completed again");
            _isSent[slot] = false;
            Completed++;
            const int operationAborted = 995;
            if (result.Error == operationAborted) Canceled++;
            Story.Append(slot).Append(':').Append(result.Error).Append(' ');
        }
    }

    sealed record Outcome(
        string Digest, int Completed, int Canceled, HoldFilter Hold, TopFilter Top, IReadOnlyList<Finding> Findings);

    static Outcome Run(ulong seed, int requests)
    {
        var findings = new FindingList();
        var reporter = new Reporter(findings, seed);
        using var nt = new NtKernel(new KernelOptions
        {
            Seed = seed,
            Processors = 4,
            Schedule = chance => new RandomSchedule(chance),
            InstructionLimit = long.MaxValue / 4,
            Observers = [.. Rules.All(reporter)],
        });
        var (hold, top) = (new HoldFilter(), new TopFilter());
        Driver[] stack =
        [
            DriverFile.Open(Repository.Driver("echo")).Load(nt), nt.Loader.Load("Hold", hold),
            DriverFile.Open(Repository.Driver("filter")).Load(nt), nt.Loader.Load("Top", top),
        ];
        Assert.All(stack, d => Assert.True(d.IsLoaded));
        Client[] clients = [.. Enumerable.Range(0, Threads).Select(i => new Client(nt,
            nt.User.Win32.CreateIoCompletionPort(default, default, Va.Null, 0).Handle, seed * 100 + (ulong)i,
            requests / Threads))];
        nt.User.Concurrently([.. clients.Select(c => (Action)c.Run)]);
        foreach (Driver driver in stack.Reverse())
        {
            Assert.True(nt.Loader.Unload(driver));
            nt.User.RunUntilIdle();
            LeftoverRule.Look(nt, driver, reporter);
        }
        string story = string.Join('\n', clients.Select(c => c.Story.ToString()))
            + $"{hold.Held} {hold.Canceled} {hold.Late} {top.Passed} {top.Attachments}";
        return new Outcome(Convert.ToHexString(SHA256.HashData(Encoding.UTF8.GetBytes(story))),
            clients.Sum(c => c.Completed), clients.Sum(c => c.Canceled), hold, top, findings.All);
    }

    [Fact]
    public void A_hundred_thousand_requests_complete_once_each_and_leave_nothing_behind()
    {
        Outcome outcome = Run(1, 100_000);
        Assert.Equal((100_000, 0), (outcome.Completed, outcome.Top.Wrong));
        Assert.Empty(outcome.Findings.Select(f => f.Message));
        // All of it has happened, not once but many times.
        Assert.InRange(outcome.Hold.Held, 10_000, 100_000);
        Assert.InRange(outcome.Hold.Late, 1_000, 100_000);
        Assert.InRange(outcome.Canceled, 1_000, 50_000);
        Assert.InRange(outcome.Top.Attachments, 10, 100_000);
    }

    [Theory, InlineData(2), InlineData(3)]
    public void A_seed_repeats_the_run(ulong seed)
    {
        Outcome first = Run(seed, 4_000), second = Run(seed, 4_000);
        Assert.Equal((4_000, 0), (first.Completed, first.Top.Wrong));
        Assert.Equal(first.Digest, second.Digest);
        Assert.Equal("", string.Join("\n", first.Findings.Select(f => f.Message)));
    }
}
