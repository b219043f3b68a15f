namespace Ringdown.Bench;

static class Program
{
    static int Main(string[] args)
    {
        if (args is ["engine", ..]) return EngineBench.Run(args[1..]);
        if (args is ["oracle", ..]) return OracleBench.Run(args);
        if (args is ["kernel", ..]) return KernelBenchmarks.Run();
        if (args is ["io"]) return IoBenchmarks.Run();
        if (args is ["io", string loops]) return IoBenchmarks.Loop(int.Parse(loops));
        if (args is ["dispatcher", ..]) return DispatcherBench.Run();
        if (args is ["requests", ..]) return RequestBench.Run(args.Length > 1 ? int.Parse(args[1]) : 1_000_000);
        if (args is ["memory"]) return KernelBenchmarks.Memory(200);
        if (args is ["memory", string machines]) return KernelBenchmarks.Memory(int.Parse(machines));
        if (args is ["ata", ..])
            return ChipBench.Ata(args.Length > 1 ? long.Parse(args[1]) : 64, args.Contains("--csharp"));
        if (args is ["pnp", ..]) return PnpBench.Run(args.Length > 1 ? int.Parse(args[1]) : 200);
        if (args is ["uart", ..]) return ChipBench.Uart(args.Length > 1 ? int.Parse(args[1]) : 1 << 20);
        Console.Error.WriteLine("""
            usage: engine [WORKLOAD...]
                   ata [MEGABYTES [--csharp]]
                   uart [BYTES]
                   pnp [COUNT]
                   kernel
                   dispatcher
                   io [COUNT]
                   memory [MACHINES]
                   requests [COUNT]
                   oracle [--count N] [--seed S] [--states K] [--only TEXT] [--random] [--all]
                   oracle --form CODE --case SEED
            """);
        return 2;
    }
}
