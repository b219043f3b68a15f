using System.Diagnostics;
using Ringdown.Check;
using Ringdown.Kernel;
using Ringdown.Samples;

namespace Ringdown.Bench;

/// <summary>What plug and play costs: a device that is disabled and enabled again, stopped and started, and a whole
/// system that sleeps and wakes. The best of five rounds, without observers.</summary>
static class PnpBench
{
    const int Rounds = 5;

    public static int Run(int count)
    {
        Measure("function.sys", nt => DriverFile.Open(Path.Combine(AppContext.BaseDirectory, "function.sys")).Load(nt),
            count);
        Measure("Function in C#", nt => nt.Loader.Load("function", new Function()), count);
        return 0;
    }

    static void Measure(string what, Action<NtKernel> load, int count)
    {
        using var nt = new NtKernel(new KernelOptions { InstructionLimit = long.MaxValue / 4 });
        load(nt);
        DeviceTree devices = nt.User.Devices;
        DeviceNode device = devices.AddRootDevice(@"Root\Mailbox", "function");
        Best($"{what}: query-remove, remove, AddDevice, start", count, () =>
        {
            Check(devices.Disable(device));
            Check(devices.Enable(device));
        });
        Best($"{what}: query-stop, stop, start", count, () => Check(devices.Rebalance(device)));
        Best($"{what}: sleep and wake", count, () => Check(nt.SetSystemState(SystemState.Sleeping3, 10_000)));
    }

    static void Check(NtStatus status)
    {
        if (status != Status.STATUS_SUCCESS) throw new InvalidOperationException(status.ToString());
    }

    static void Best(string what, int count, Action action)
    {
        double best = double.MaxValue;
        for (int round = 0; round < Rounds; round++)
        {
            long begin = Stopwatch.GetTimestamp();
            for (int i = 0; i < count; i++) action();
            best = Math.Min(best, Stopwatch.GetElapsedTime(begin).TotalMicroseconds / count);
        }
        Console.WriteLine($"{what,-60}{best,10:F1} us");
    }
}
