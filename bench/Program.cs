namespace Ringdown.Bench;

static class Program
{
    static int Main(string[] args)
    {
        if (args is ["engine", ..]) return EngineBench.Run(args[1..]);
        if (args is ["oracle", ..]) return OracleBench.Run(args);
        if (args is ["kernel", ..]) return KernelBenchmarks.Run();
        if (args is ["memory", ..]) return KernelBenchmarks.Memory(200);
        Console.Error.WriteLine("""
            usage: engine [WORKLOAD...]
                   kernel
                   memory
                   oracle [--count N] [--seed S] [--states K] [--only TEXT] [--random] [--all]
                   oracle --form CODE --case SEED
            """);
        return 2;
    }
}
