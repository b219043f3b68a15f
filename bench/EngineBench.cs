using System.Diagnostics;
using System.Runtime;
using System.Runtime.InteropServices;
using Ringdown.Machine;

namespace Ringdown.Bench;

/// <summary>The processor against the host's: the same machine code in both, in alternating rounds.</summary>
static unsafe class EngineBench
{
    const int Rounds = 5;
    const ulong CodeVa = 0xFFFF_F800_0140_0000, DataVa = 0xFFFF_8000_0010_0000, StackVa = 0xFFFF_8800_0080_0000;
    const ulong ReturnVa = 0xFFFF_FA80_0000_0000;

    readonly record struct Workload(string Name, int Entry, ulong Iterations);

    static readonly Workload[] s_workloads =
    [
        new("integer loop", 0, 1_000_000), new("CRC32, table", 1, 40), new("rep movsb 16 KiB", 2, 2000),
        new("movups copy 16 KiB", 3, 800), new("recursive fib", 4, 60), new("nested calls", 5, 300_000),
        new("list, branches", 6, 500), new("SHA-256", 7, 1500),
    ];

    public static int Run(string[] names)
    {
        long started = Stopwatch.GetTimestamp();
        byte[] image = File.ReadAllBytes(Path.Combine(AppContext.BaseDirectory, "guest", "guest.bin"));
        using var native = OperatingSystem.IsLinux() && RuntimeInformation.ProcessArchitecture == Architecture.X64
            ? new NativeCode(image) : null;
        using var memory = new Memory();
        using var cache = new CodeCache();
        using var cpu = new Processor(memory, cache);
        memory.Map(new Va(CodeVa), 0x10000, Protection.All);
        memory.Map(new Va(DataVa), 0x20000, Protection.ReadWrite);
        memory.Map(new Va(StackVa), 0x10000, Protection.ReadWrite);
        memory.Map(new Va(ReturnVa), 0x1000, Protection.Host | Protection.ReadExecute);
        memory.Poke(new Va(CodeVa), image);
        Call(cpu, 0, 1, out _);
        double startup = Stopwatch.GetElapsedTime(started).TotalMilliseconds;
        Console.WriteLine($"first guest function done {startup:F0} ms after Main, of which the JIT took "
            + $"{JitInfo.GetCompilationTime().TotalMilliseconds:F0} ms for {JitInfo.GetCompiledMethodCount()} methods");
        HostCalls(cpu);
        Console.WriteLine("workload              M instr   ns/instr   M instr/s   native ms   guest ms   ratio");
        foreach (Workload w in s_workloads)
            if (names.Length == 0 || names.Any(w.Name.Contains)) Measure(cpu, native, w);
        return 0;
    }

    static void Measure(Processor cpu, NativeCode? native, Workload w)
    {
        var guest = new List<double>();
        var host = new List<double>();
        ulong instructions = 0;
        for (int round = 0; round <= Rounds; round++)
        {
            ulong before = cpu.State->Retired;
            cpu.Memory.Fill(new Va(DataVa), 0x20000, 7);
            double start = ThreadTime.Milliseconds;
            Stop stop = Call(cpu, w.Entry, w.Iterations, out ulong result);
            double time = ThreadTime.Milliseconds - start;
            instructions = cpu.State->Retired - before;
            if (stop.Kind != StopKind.HostCall)
            {
                Console.WriteLine($"{w.Name,-20} stopped: {stop}");
                return;
            }
            ulong expected = result;
            double nativeTime = native?.Time(w.Entry, w.Iterations, DataVa, out expected) ?? double.NaN;
            // Results may hold addresses only where the workload says so: none does.
            if (expected != result) Console.WriteLine($"{w.Name}: {result:x}, but native {expected:x}");
            if (round == 0) continue;
            guest.Add(time);
            host.Add(nativeTime);
        }
        double g = Median(guest), n = Median(host);
        Console.WriteLine($"{w.Name,-20} {instructions / 1e6,8:F2} {g * 1e6 / instructions,10:F2} " +
            $"{instructions / g / 1e3,11:F0} {n,11:F2} {g,10:F2} {g / n,7:F1}");
    }

    static Stop Call(Processor cpu, int entry, ulong iterations, out ulong result)
    {
        cpu.Rsp = StackVa + 0xFF00 - 8;
        cpu.Memory.Write(new Va(cpu.Rsp), ReturnVa);
        (cpu.Rip, cpu.Rcx, cpu.Rdx) = (CodeVa + (ulong)entry * 16, iterations, DataVa);
        cpu.State->Budget = long.MaxValue / 2;
        Stop stop = cpu.Run();
        result = cpu.Rax;
        return stop;
    }

    static void HostCalls(Processor cpu)
    {
        // call rax; jmp back: each round trip is one host call.
        cpu.Memory.Poke(new Va(CodeVa + 0xF000), [0xFF, 0xD0, 0xEB, 0xFC]);
        (cpu.Rip, cpu.Rax, cpu.Rsp) = (CodeVa + 0xF000, ReturnVa + 8, StackVa + 0x8000);
        const int Count = 1_000_000;
        for (int round = 0; round < 2; round++)
        {
            double start = ThreadTime.Milliseconds;
            for (int i = 0; i < Count; i++)
            {
                if (cpu.Run().Kind != StopKind.HostCall) throw new InvalidOperationException("no host call");
                cpu.Rip = cpu.Memory.Read<ulong>(new Va(cpu.Rsp));
                cpu.Rsp += 8;
            }
            if (round > 0) Console.WriteLine($"host call: {(ThreadTime.Milliseconds - start) * 1e6 / Count:F1} ns");
        }
    }

    static double Median(List<double> values) => values.Order().ElementAt(values.Count / 2);
}

/// <summary>CPU time of the thread, so that other jobs on the host do not count.</summary>
static unsafe partial class ThreadTime
{
    [DllImport("libc", EntryPoint = "clock_gettime")]
    static extern int ClockGetTime(int clock, long* time);

    public static double Milliseconds
    {
        get
        {
            if (!OperatingSystem.IsLinux()) return Stopwatch.GetTimestamp() * 1e3 / Stopwatch.Frequency;
            long* time = stackalloc long[2];
            ClockGetTime(3, time);
            return time[0] * 1e3 + time[1] / 1e6;
        }
    }
}

/// <summary>The same image in executable memory of the host, called with the Microsoft convention.</summary>
sealed unsafe class NativeCode : IDisposable
{
    const int ImageBytes = 0x10000, DataBytes = 0x20000;

    // mov rax,r8; mov rdx,rsi; mov rcx,rdi; sub rsp,40; call rax; add rsp,40; ret
    static ReadOnlySpan<byte> Thunk =>
    [
        0x4C, 0x89, 0xC0, 0x48, 0x89, 0xF2, 0x48, 0x89, 0xF9, 0x48, 0x83, 0xEC, 0x28, 0xFF, 0xD0,
        0x48, 0x83, 0xC4, 0x28, 0xC3,
    ];

    [DllImport("libc")]
    static extern nint mmap(nint address, nuint length, int protection, int flags, int file, nint offset);

    [DllImport("libc")]
    static extern int munmap(nint address, nuint length);

    readonly byte* _code, _data;

    public NativeCode(byte[] image)
    {
        _code = (byte*)mmap(0, ImageBytes + DataBytes, 7, 0x22, -1, 0);
        _data = _code + ImageBytes;
        image.CopyTo(new Span<byte>(_code, image.Length));
        Thunk.CopyTo(new Span<byte>(_code + ImageBytes - 64, 64));
    }

    public double Time(int entry, ulong iterations, ulong guestData, out ulong result)
    {
        new Span<byte>(_data, DataBytes).Fill(7);
        var thunk = (delegate* unmanaged<ulong, byte*, ulong, ulong, byte*, ulong>)(_code + ImageBytes - 64);
        double start = ThreadTime.Milliseconds;
        result = thunk(iterations, _data, 0, 0, _code + entry * 16);
        return ThreadTime.Milliseconds - start;
    }

    public void Dispose() => munmap((nint)_code, ImageBytes + DataBytes);
}
