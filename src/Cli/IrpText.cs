using System.Globalization;
using System.Numerics;
using System.Text;
using Ringdown.Verifier;
using Spectre.Console;

namespace Ringdown.Cli;

/// <summary>The lives of IRPs as pictures: a row for each routine that had one, a bar for when and how long.</summary>
/// <remarks>The axis of a picture is not to scale: what happens one after the other must be seen to. Durations are in
/// numbers beside it.</remarks>
static class IrpText
{
    const int Width = 118, MinimumBar = 12, MaximumBar = 32, MaximumContext = 24, MaximumRoutine = 36,
        DurationWidth = 12;

    const string Legend = "├──┤ a routine, from call to return   ··· a driver has it   "
        + "│ completed by who was not called for it   (not to scale)";

    /// <param name="systems">Drivers of the system's own: what they have among themselves is left out.</param>
    public static void Write(IAnsiConsole console, IrpLives lives, IReadOnlyCollection<string> systems)
    {
        string? during = null;
        IrpLife[] shown = [.. lives.All.Where(
            l => l.Stays.Any(s => s.Driver is { } driver && !systems.Contains(driver)))];
        foreach (IrpLife life in shown)
        {
            if (life.During is { } now && now != during) console.MarkupLineInterpolated($"[bold]{now.Clean()}[/]");
            during = life.During;
            foreach (string line in Picture(life)) console.WriteLine(line);
        }
        if (lives.All.Count - shown.Length is > 0 and var hidden)
            console.MarkupLineInterpolated($"[grey]{hidden} more among the system's own drivers: --json has them.[/]");
        if (lives.HasMore) console.WriteLine($"These are the first {lives.All.Count} requests; there were more.");
        if (lives.All.Count > 0) console.MarkupLineInterpolated($"[grey]{Legend}[/]");
        console.WriteLine();
    }

    static IEnumerable<string> Picture(IrpLife life)
    {
        yield return Head(life);
        IReadOnlyList<IrpStay> stays = [.. life.Stays.OrderBy(s => s.Begin)];
        string[] contexts = [.. stays.Select(s => Cut(ContextOf(s), MaximumContext))];
        string[] routines = [.. stays.Select(
            s => Cut(new string(' ', 2 * s.Depth) + s.Routine.Clean(), MaximumRoutine))];
        string[] outcomes = [.. stays.Select(s => OutcomeOf(s, life))];
        int irql = stays.Max(s => IrqlOf(s).Length), context = contexts.Max(c => c.Length);
        int routine = routines.Max(r => r.Length);
        int taken = 2 + irql + 2 + context + 2 + routine + 1 + DurationWidth + 2 + outcomes.Max(o => o.Length);
        int bar = Math.Clamp(Width - taken, MinimumBar, MaximumBar);
        int[] columns = Axis(life, stays, bar, out long[] times);
        for (int i = 0; i < stays.Count; i++)
        {
            IrpStay s = stays[i];
            string who = $"{IrqlOf(s).PadRight(irql)}  {contexts[i].PadRight(context)}  "
                + routines[i].PadRight(routine);
            string picture = Bar(s, Column(s.Begin), Column(s.End ?? times[^1])).PadRight(bar);
            yield return $"  {who} {picture}{Duration(s),DurationWidth}  {outcomes[i]}".TrimEnd();
        }
        if (life.Omitted > 0) yield return $"  {life.Omitted} more steps.";

        int Column(long time) => columns[Array.BinarySearch(times, time)];
    }

    static string Head(IrpLife life)
    {
        string head = $" #{life.Number} {life.Request} to {life.Device.Clean()}";
        return life.End is not { } end ? $"{head}, still in flight"
            : life.Status is { } status
            ? $"{head}, {Time(end - life.Begin)}, {status}, information {Number(life.Information)}"
            : $"{head}, {Time(end - life.Begin)}, freed by its driver";
    }

    // Of plug and play it is an address.
    static string Number(ulong information) =>
        information > uint.MaxValue ? $"0x{information:x}" : $"{information}";

    static string IrqlOf(IrpStay stay) => stay.Kind == StayKind.Held ? "" : stay.Irql.ToString();

    static string ContextOf(IrpStay stay)
    {
        const string system = "system thread ";
        string name = stay.Context.StartsWith(system, StringComparison.Ordinal) ? stay.Context[system.Length..]
            : stay.Context;
        return name.Clean();
    }

    static string OutcomeOf(IrpStay stay, IrpLife life)
    {
        string what = stay.Kind switch
        {
            StayKind.Completion => "completion: ",
            StayKind.StartIo => "StartIo: ",
            _ => "",
        };
        return stay.End is null && life.End is not null ? $"{what}does not return"
            : stay.End is null && stay.Kind != StayKind.Held ? $"{what}has not returned" : what + stay.Outcome;
    }

    static string Duration(IrpStay stay) =>
        stay.Kind == StayKind.Completes || stay.End is not { } end ? "" : Time(end - stay.Begin);

    // 10 ns, 12.3 us, 4.56 ms: three digits are enough to compare.
    static string Time(long ns) => ns switch
    {
        < 1_000 => $"{ns} ns",
        < 1_000_000 => $"{Digits(ns / 1_000m)} µs",
        < 1_000_000_000 => $"{Digits(ns / 1_000_000m)} ms",
        _ => $"{Digits(ns / 1_000_000_000m)} s",
    };

    static string Digits(decimal value) =>
        value.ToString(value >= 99.95m ? "0" : value >= 9.995m ? "0.0" : "0.00", CultureInfo.InvariantCulture);

    // The column of each time at which something begins or ends. Each gap has a column at least, if there is room for
    // that; the others are shared out by how many binary digits the gaps have.
    static int[] Axis(IrpLife life, IReadOnlyList<IrpStay> stays, int width, out long[] times)
    {
        times = [.. stays.SelectMany(s => (long[])[s.Begin, s.End ?? s.Begin]).Append(life.End ?? life.Begin).Distinct()
            .Order()];
        int gaps = times.Length - 1;
        var columns = new int[times.Length];
        if (gaps == 0) return columns;
        int spare = Math.Max(0, width - 1 - gaps), weights = 0, sum = 0;
        for (int i = 0; i < gaps; i++) weights += Weight(times[i + 1] - times[i]);
        for (int i = 0; i < gaps; i++)
        {
            sum += Weight(times[i + 1] - times[i]);
            int least = Math.Min(i + 1, (i + 1) * (width - 1) / gaps);
            columns[i + 1] = Math.Min(width - 1, least + spare * sum / weights);
        }
        return columns;
    }

    static int Weight(long gap) => 1 + BitOperations.Log2((ulong)gap);

    static string Bar(IrpStay stay, int begin, int end)
    {
        var bar = new StringBuilder(new string(' ', begin));
        if (begin == end) return bar.Append('│').ToString();
        char line = stay.Kind == StayKind.Held ? '·' : '─';
        string ends = stay.Kind == StayKind.Held ? "··" : "├┤";
        return bar.Append(ends[0]).Append(line, end - begin - 1).Append(stay.End is null ? line : ends[1]).ToString();
    }

    static string Cut(string text, int length) => text.Length <= length ? text : text[..(length - 1)] + "…";
}
