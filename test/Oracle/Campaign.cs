using System.Diagnostics;
using Iced.Intel;
using Ringdown.Machine;

namespace Ringdown.Tests;

/// <summary>How one form fared.</summary>
sealed record FormResult(Code Code)
{
    public int Agreed { get; set; }
    public int Absent { get; set; }
    public int Different { get; set; }

    /// <summary>The first difference, and the seed of its case.</summary>
    public string? First { get; set; }
    public ulong FirstSeed { get; set; }

    /// <summary>Repeats the first difference.</summary>
    public string Reproduce => $"oracle --form {Code} --case {FirstSeed}";
}

/// <summary>Many cases over many forms, from one seed.</summary>
sealed class Campaign(Oracle oracle, ulong seed, int states)
{
    readonly Dictionary<Code, FormResult> _results = [];
    readonly Chance _chance = new(seed);

    public IEnumerable<FormResult> Results => _results.Values.OrderBy(r => r.Code);

    /// <summary>The first difference of each form that has one, with the line that repeats it.</summary>
    public string Differences =>
        string.Join('\n', Results.Where(r => r.Different > 0).Select(r => $"{r.First}\n{r.Reproduce}"));

    /// <summary>Cases judged, and instructions executed on each side.</summary>
    public int Cases { get; private set; }

    /// <summary>Each of the forms in turn, the given number of cases; stops early when the time is over.</summary>
    public void Run(IReadOnlyList<Code> forms, int casesPerForm, TimeSpan atMost)
    {
        long start = Stopwatch.GetTimestamp();
        for (int round = 0; round < casesPerForm; round++)
            foreach (Code code in forms)
            {
                Case(code);
                if (Stopwatch.GetElapsedTime(start) > atMost) return;
            }
    }

    /// <summary>Random bytes instead of chosen forms.</summary>
    public void RunRandom(int cases)
    {
        for (int i = 0; i < cases; i++) Case(Code.INVALID);
    }

    void Case(Code code)
    {
        ulong caseSeed = _chance.Next();
        if (oracle.Judge(code, caseSeed, states) is not { } verdict) return;
        Cases++;
        Code actual = oracle.Instruction.Code;
        if (!_results.TryGetValue(actual, out FormResult? result)) _results[actual] = result = new FormResult(actual);
        if (verdict == Verdict.Agreed) result.Agreed++;
        if (verdict == Verdict.Absent) result.Absent++;
        if (verdict != Verdict.Different) return;
        result.Different++;
        if (result.First is not null) return;
        (result.First, result.FirstSeed) = (oracle.Text, caseSeed);
    }
}
