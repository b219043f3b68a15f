namespace Ringdown.Bench;

static class Program
{
    static int Main(string[] args)
    {
        if (args is ["engine", ..]) return EngineBench.Run(args[1..]);
        Console.Error.WriteLine("usage: engine [WORKLOAD...]");
        return 2;
    }
}
