using Ringdown.Kernel;
using Ringdown.Machine;

namespace Ringdown.Check;

/// <summary>Schedules by the names that users give them.</summary>
public static class Schedules
{
    public const string Default = "in-turn";

    /// <summary>What may be given, for a list of choices.</summary>
    public static readonly string[] Names = [Default, "random", "pct"];

    /// <summary>The maker of a schedule; null for a name that is none.</summary>
    public static Func<Chance, Schedule>? Find(string name) => name switch
    {
        Default => _ => new RoundRobinSchedule(),
        "random" => chance => new RandomSchedule(chance),
        "pct" => chance => new PctSchedule(chance),
        _ => null,
    };

    /// <summary>Decisions as text, and back: numbers, a line for twenty of them.</summary>
    public static string Write(IReadOnlyList<long> decisions) =>
        string.Concat(decisions.Chunk(20).Select(line => string.Join(' ', line) + "\n"));

    /// <exception cref="FormatException">Something is no number.</exception>
    public static IReadOnlyList<long> Read(string text) =>
        [.. text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries).Select(long.Parse)];
}
