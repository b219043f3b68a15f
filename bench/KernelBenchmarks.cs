using BenchmarkDotNet.Attributes;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Running;
using BenchmarkDotNet.Toolchains.InProcess.NoEmit;
using Ringdown.Check;
using Ringdown.Kernel;
using Ringdown.Machine;

namespace Ringdown.Bench;

/// <summary>What a user waits for: a machine, a device control, a step back. Beside them a plain call of C# as the
/// measure.</summary>
public class KernelBenchmarks
{
    readonly CodeCache _code = new();
    DriverFile _echo = null!;
    NtKernel _nt = null!;
    UserFile _file = null!;
    MemorySnapshot _snapshot = null!;
    Memory _memory = null!;
    readonly byte[] _input = new byte[64];

    public static int Run()
    {
        var job = Job.Default.WithToolchain(InProcessNoEmitToolchain.Instance).WithWarmupCount(3).WithIterationCount(9);
        BenchmarkRunner.Run<KernelBenchmarks>(
            DefaultConfig.Instance.AddJob(job).WithOptions(ConfigOptions.DisableOptimizationsValidator));
        return 0;
    }

    [GlobalSetup]
    public void Setup()
    {
        _echo = DriverFile.Open(Path.Combine(AppContext.BaseDirectory, "echo.sys"));
        _nt = new NtKernel(new KernelOptions { Code = _code });
        _echo.Load(_nt);
        _nt.User.CreateFile(@"\\.\Echo", out UserFile? file);
        _file = file!;
        _memory = new Memory();
        _memory.Map(new Va(0x1_0000), 16 << 20, Protection.ReadWrite);
        _memory.Fill(new Va(0x1_0000), 16 << 20, 1);
        _snapshot = _memory.Snapshot();
    }

    [Benchmark(Description = "device control, 64 bytes, buffered")]
    public ulong DeviceControl() => _file.DeviceIoControl(0x222004, _input, 64).Information;

    [Benchmark(Description = "ExAllocatePoolWithTag, ExFreePoolWithTag, 64 bytes")]
    public void Pool() => _nt.ExFreePoolWithTag(_nt.ExAllocatePoolWithTag(0x200, 64, 0x746F6F50), 0x746F6F50);

    [Benchmark(Description = "boot a machine")]
    public void Boot() => new NtKernel(new KernelOptions { Code = _code }).Dispose();

    [Benchmark(Description = "boot, load echo.sys, DriverEntry")]
    public void BootAndLoad()
    {
        using var nt = new NtKernel(new KernelOptions { Code = _code });
        _echo.Load(nt);
    }

    [Benchmark(Description = "write 128 of 4096 pages, restore the snapshot")]
    public void Restore()
    {
        for (ulong i = 0; i < 128; i++) _memory.Write(new Va(0x1_0000 + i * 31 * 4096), i);
        _memory.Restore(_snapshot);
    }

    /// <summary>Managed and resident memory of a machine that does nothing.</summary>
    public static int Memory(int machines)
    {
        var code = new CodeCache();
        var all = new List<NtKernel> { new(new KernelOptions { Code = code }) };
        long managed = GC.GetTotalMemory(true), resident = Resident();
        while (all.Count <= machines) all.Add(new NtKernel(new KernelOptions { Code = code }));
        Console.WriteLine($"{machines} idle machines: {(GC.GetTotalMemory(true) - managed) / machines / 1024.0:f0} KiB managed, "
            + $"{(Resident() - resident) / machines / 1024.0:f0} KiB resident each");
        all.ForEach(nt => nt.Dispose());
        return 0;
    }

    static long Resident()
    {
        using var process = System.Diagnostics.Process.GetCurrentProcess();
        return process.WorkingSet64;
    }
}
