using Ringdown.Check;
using Ringdown.Host;

namespace Ringdown.Cli;

/// <summary>All that a run depended on beside its arguments: what the schedule decided, and what came from
/// outside.</summary>
sealed record RunRecord(IReadOnlyList<long> Decisions, IReadOnlyList<InputEvent> Input)
{
    /// <exception cref="UsageException">It is no record.</exception>
    public static RunRecord Open(string path)
    {
        string[] lines = File.ReadAllLines(path);
        try
        {
            return new RunRecord(Schedules.Read(string.Join('\n', lines.Where(l => !InputEvent.IsLine(l)))),
                [.. lines.Where(InputEvent.IsLine).Select(InputEvent.Parse)]);
        }
        catch (Exception e) when (e is FormatException or OverflowException)
        {
            throw new UsageException($"{path} is no record of a run.");
        }
    }

    public void Save(string path) => File.WriteAllText(
        path, Schedules.Write(Decisions) + string.Concat(Input.Select(e => e.ToLine() + "\n")));
}
