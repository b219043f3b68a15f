using System.Diagnostics;
using Ringdown.Check;
using Ringdown.Kernel;
using Ringdown.Machine;

namespace Ringdown.Bench;

/// <summary>What the kernel's services cost: measure.sys does each of them many times on the interpreter.</summary>
static class DispatcherBench
{
    const int Rounds = 5;

    static readonly (uint Code, string Name, uint Times, int PerTime)[] s_measures =
    [
        (1, "call of an export (KeReadStateEvent)", 1_000_000, 1),
        (2, "KeSetEvent and a wait that is satisfied", 500_000, 1),
        (3, "switch to another thread (set, wait)", 300_000, 2),
        (4, "KeInsertQueueDpc, and the DPC runs", 300_000, 1),
        (5, "KeSetTimer, fires, a wait for it", 200_000, 1),
        (6, "ExAllocatePoolWithTag and free, 64 bytes", 300_000, 1),
        (7, "KeAcquireSpinLock and release", 500_000, 1),
        (8, "IoQueueWorkItem, runs, a wait for it", 100_000, 1),
    ];

    public static int Run()
    {
        var code = new CodeCache();
        DriverFile driver = DriverFile.Open(Path.Combine(AppContext.BaseDirectory, "measure.sys"));
        using var nt = new NtKernel(new KernelOptions { Code = code, InstructionLimit = long.MaxValue / 4 });
        driver.Load(nt);
        nt.User.CreateFile(@"\\.\Measure", out UserFile? file);
        double Time(uint measure, uint times)
        {
            var watch = Stopwatch.StartNew();
            file!.DeviceIoControl(0x222000 + 4 * measure, BitConverter.GetBytes(times), 0);
            return watch.Elapsed.TotalNanoseconds / times;
        }
        Time(0, 1_000_000);
        double loop = Best(() => Time(0, 3_000_000));
        Console.WriteLine($"{"from guest code, loop of " + loop.ToString("f1") + " ns taken off",-46} ns");
        foreach (var m in s_measures)
        {
            Time(m.Code, 20_000);
            double best = Best(() => Time(m.Code, m.Times)) - loop;
            Console.WriteLine($"{m.Name,-46} {best / m.PerTime,7:f0}");
        }
        FromCSharp(nt);
        Boots(code);
        return 0;
    }

    static double Best(Func<double> measure) => Enumerable.Range(0, Rounds).Min(_ => measure());

    static void FromCSharp(NtKernel nt)
    {
        const int times = 1_000_000;
        Console.WriteLine("from C#");
        KEvent e = KEvent.At(nt.Memory, nt.ExAllocatePoolWithTag(0x200, 0x18, 0x68636E42));
        nt.KeInitializeEvent(e, 1, false);
        Console.WriteLine($"{"call of an export (KeReadStateEvent)",-46} {Best(() => Each(times, () => nt.KeReadStateEvent(e))),7:f0}");
        double pool = Best(() => Each(times / 4, () =>
            nt.ExFreePoolWithTag(nt.ExAllocatePoolWithTag(0x200, 64, 0x68636E42), 0x68636E42)));
        Console.WriteLine($"{"ExAllocatePoolWithTag and free, 64 bytes",-46} {pool,7:f0}");
    }

    static double Each(int times, Action action)
    {
        var watch = Stopwatch.StartNew();
        for (int i = 0; i < times; i++) action();
        return watch.Elapsed.TotalNanoseconds / times;
    }

    static void Boots(CodeCache code)
    {
        foreach (int processors in (int[])[1, 8, 64])
        {
            double boot = Best(() => Each(50, () =>
                new NtKernel(new KernelOptions { Code = code, Processors = processors }).Dispose()));
            Console.WriteLine($"{"boot, processors: " + processors,-46} {boot / 1e6,7:f2} ms");
        }
    }
}
