using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Samples;
using Xunit;

namespace Ringdown.Tests;

/// <summary>The drivers of samples: each in C and in C#, with the same requests.</summary>
public sealed class SampleTests
{
    [Fact]
    public void Perf_counts_what_passes_to_echo() =>
        SampleScript.Compare(["echo"], [new("perf", () => new Perf())], s =>
        {
            UserFile echo = s.Open("Echo"), perf = s.Open("Perf");
            s.Write(echo, "Hello"u8);
            s.Read(echo, 64);
            s.Control(echo, 0x222004, [1, 2, 3], 8);
            s.Control(echo, 0x222FFC, [], 0);
            s.Control(perf, 0x222000, [], 0x30, 0x20..0x28);
            s.Control(perf, 0x222000, [], 0x2F);
            s.Control(perf, 0x222004, [], 0x30);
        });

    [Fact]
    public void Methods_reads_writes_and_controls_by_each_method() =>
        SampleScript.Compare([], [new("methods", () => new Methods())], s =>
        {
            Va nowhere = new(0x1_2345_0000), system = new(0xFFFF_8A00_0000_0000);
            foreach (string name in (string[])["MethodsBuffered", "MethodsDirect", "MethodsNeither"])
            {
                UserFile file = s.Open(name);
                s.Read(file, 4);
                s.Write(file, "some data"u8);
                s.Read(file, 4);
                s.Read(file, 64);
                s.Read(file, 0);
                s.Write(file, new byte[257]);
                foreach (Va bad in (Va[])[nowhere, system])
                {
                    s.ReadTo(file, bad, 4);
                    s.WriteFrom(file, bad, 4);
                }
                foreach (uint code in (uint[])[0x222000, 0x222005, 0x22200A, 0x22200F, 0x222010])
                {
                    s.Control(file, code, [1, 2, 3, 4], 4);
                    s.Control(file, code, [1, 2, 3, 4], 2);
                    s.Control(file, code, [], 4);
                    s.Control(file, code, new byte[65], 65);
                    s.Control(file, code, nowhere, 4, system, 4);
                }
            }
        });

    static void Pend(SampleScript s, string name)
    {
        UserFile file = s.Open(name), other = s.Open(name);
        s.Write(file, "nobody reads"u8);
        IoRequest first = s.Start(file, 4);
        IoRequest second = s.Start(other, 16);
        IoRequest third = s.Start(file, 16);
        s.Cancel(second);
        s.Write(other, "for the first"u8);
        Assert.True(first.IsComplete);
        s.Write(other, "for the third"u8);
        Assert.True(third.IsComplete);
        s.Start(file, 4);
        s.Start(other, 4);
        s.Start(file, 4);
        s.Close(file);
        s.Write(other, "rest"u8);
        s.Finish();
        s.Start(other, 1);
        s.Cancel(other);
        s.Finish();
    }

    [Fact]
    public void Queue_keeps_reads_until_a_write_or_their_cancellation() =>
        SampleScript.Compare([], [new("queue", () => new Queue())], s => Pend(s, "Queue"));

    [Fact]
    public void CsqQueue_does_the_same_with_the_systems_queue() =>
        SampleScript.Compare([], [new("csqqueue", () => new CsqQueue())], s => Pend(s, "CsqQueue"));

    [Fact]
    public void Monolithic_does_one_thing_at_a_time_and_can_be_cancelled_in_the_queue_and_at_work() =>
        SampleScript.Compare([], [new("monolithic", () => new Monolithic())], s =>
        {
            UserFile file = s.Open("Monolithic"), other = s.Open("Monolithic");
            s.Read(file, 4);
            s.Read(file, 0);
            IoRequest current = s.Start(file, 1);
            IoRequest queued = s.Start(file, 2);
            s.Start(other, 3);
            s.Start(other, 4);
            s.Cancel(queued);
            s.Cancel(current);
            s.Finish();
            s.Start(file, 1);
            s.Start(other, 2);
            s.Start(file, 3);
            s.Close(file);
            s.Finish();
        });

    [Fact]
    public void Parallel_ends_requests_in_the_order_of_their_times() =>
        SampleScript.Compare([], [new("parallel", () => new Samples.Parallel())], s =>
        {
            const uint wait = 0x222000;
            UserFile file = s.Open("Parallel");
            s.Control(file, wait, [5, 0, 0, 0], 4);
            s.Control(file, wait, [5, 0, 0, 0], 3);
            s.Start(file, 4, wait, 300);
            IoRequest second = s.Start(file, 4, wait, 100);
            s.Start(file, 4, wait, 200);
            s.Start(file, 4, wait, 50);
            s.Start(file, 4, wait, 1);
            s.Cancel(second);
            s.Start(file, 4, wait, 150);
            s.Finish();
        });

    [Fact]
    public void Associated_splits_a_read_and_ends_it_with_its_last_part() =>
        SampleScript.Compare([], [new("associated", () => new Associated())], s =>
        {
            UserFile file = s.Open("Associated"), lower = s.Open("AssociatedLower");
            s.Read(lower, 512, 100);
            s.Read(lower, 513);
            s.Read(lower, 0);
            s.Read(file, 1, long.MaxValue);
            s.Read(file, 0);
            s.Read(file, 100, 7);
            s.Read(file, 1500, 250);
            s.Read(file, 4096);
            s.Read(file, 1024, 3600);
            s.Read(file, 8193);
            s.Start(file, 1025, offset: 1);
            s.Finish();
        });

    [Fact]
    public void Builder_sends_requests_of_each_kind_to_another_driver() =>
        SampleScript.Compare(["pending"], [new("builder", () => new Builder())], s =>
        {
            UserFile file = s.Open("Builder");
            foreach (uint code in (uint[])[0x222000, 0x222004, 0x222008, 0x22200C, 0x222010])
            {
                s.Control(file, code, [], 4);
                s.Control(file, code, [], 3);
            }
        });

    [Fact]
    public void Library_is_shared_by_drivers_in_either_language() =>
        SampleScript.Compare([],
            [new("library", () => new Library()), new("userone", () => new UserOne()),
                new("usertwo", () => new UserTwo())],
            s =>
            {
                UserFile one = s.Open("UserOne"), two = s.Open("UserTwo");
                s.Control(one, 0x222000, [5, 0, 0, 0], 4);
                s.Control(two, 0x222000, [7, 0, 0, 0], 4);
                s.Control(one, 0x222000, [0xFF, 0xFF, 0xFF, 0xFF], 4);
                s.Control(two, 0x222000, [7, 0, 0], 4);
            });

    [Theory, InlineData("echo"), InlineData("pending")]
    public void Reinit_looks_for_a_device_up_to_three_times(string below) =>
        SampleScript.Compare([below], [new("reinit", () => new Reinit())], s =>
        {
            UserRequest state = s.Control(s.Open("Reinit"), 0x222000, [], 8);
            Assert.Equal(below == "echo" ? 1 : 3, state.Output[0]);
        });

    [Fact]
    public void Workers_completes_in_a_work_item_and_in_a_thread_of_its_own() =>
        SampleScript.Compare([], [new("workers", () => new Workers())], s =>
        {
            UserFile file = s.Open("Workers");
            foreach (uint code in (uint[])[0x222000, 0x222004, 0x222008])
            {
                s.Control(file, code, [], 8);
                s.Control(file, code, [], 7);
            }
            s.Start(file, 8, 0x222000);
            s.Close(file);
            s.Finish();
        });

    [Fact]
    public void Locks_counts_under_each_lock_until_it_is_removed() =>
        SampleScript.Compare([], [new("locks", () => new Locks())], s =>
        {
            UserFile file = s.Open("Locks");
            for (int round = 0; round < 2; round++)
            {
                for (uint code = 0x222000; code <= 0x222010; code += 4) s.Control(file, code, [], 4);
                foreach (uint put in (uint[])[0x222014, 0x22201C])
                {
                    s.Control(file, put + 4, [], 4);
                    s.Control(file, put, [1, 0, 0, 0], 4);
                    s.Control(file, put, [2, 0, 0, 0], 4);
                    s.Control(file, put, [3, 0, 0, 0], 4);
                    s.Control(file, put + 4, [], 4);
                    s.Control(file, put + 4, [], 4);
                }
            }
            s.Control(file, 0x222028, [], 4);
            s.Control(file, 0x222024, [], 4);
            s.Control(file, 0x222000, [], 4);
        });
}
