namespace Ringdown.Bench;

static class Program
{
    static int Main(string[] args)
    {
        if (args is ["oracle", ..]) return OracleBench.Run(args);
        Console.Error.WriteLine("usage: oracle [--count N] [--seed S] [--states K] [--only TEXT] [--random]");
        return 2;
    }
}
