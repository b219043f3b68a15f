namespace Ringdown.Tests;

/// <summary>Runs what may go wrong in the host: in a thread of its own, so that a loop without end is seen.</summary>
static class HostTrial
{
    const int MostSeconds = 200;
    const long MostBytes = 6L << 30;

    /// <summary>How many times as long tests of chance take: RINGDOWN_FUZZ.</summary>
    public static int Times { get; } =
        int.TryParse(Environment.GetEnvironmentVariable("RINGDOWN_FUZZ"), out int n) ? n : 1;

    /// <summary>Where such tests begin: RINGDOWN_FUZZ_SEED.</summary>
    public static ulong FirstSeed { get; } =
        ulong.TryParse(Environment.GetEnvironmentVariable("RINGDOWN_FUZZ_SEED"), out ulong n) ? n : 1;

    /// <returns>What went wrong: an exception, a loop, memory; null: nothing.</returns>
    public static string? Run(string what, Action action)
    {
        Exception? thrown = null;
        long before = Environment.WorkingSet;
        var thread = new Thread(() =>
        {
            try
            {
                action();
            }
            catch (Exception e)
            {
                thrown = e;
            }
        }, 16 << 20)
        { IsBackground = true };
        thread.Start();
        if (!thread.Join(TimeSpan.FromSeconds(MostSeconds))) return $"{what}: no end within {MostSeconds} s";
        if (thrown is not null) return $"{what}: {thrown}";
        long grown = Environment.WorkingSet - before;
        return grown > MostBytes ? $"{what}: {grown >> 20} MiB more" : null;
    }
}
