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
}
