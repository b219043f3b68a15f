using System.Diagnostics;
using Iced.Intel;
using Ringdown.Tests;

namespace Ringdown.Bench;

/// <summary>
/// The long campaign of the oracle: <c>oracle [--count N] [--seed S] [--states K] [--only TEXT] [--random]</c>.
/// </summary>
/// <remarks><c>oracle --form CODE --case SEED</c> repeats one difference.</remarks>
static class OracleBench
{
    public static int Run(string[] args)
    {
        if (HostProcessor.WhyNot is { } reason)
        {
            Console.WriteLine($"skipped: {reason}");
            return 0;
        }
        using var oracle = new Oracle();
        int states = (int)Number(args, "--states", 8);
        if (Text(args, "--form") is { } form)
        {
            Verdict? verdict = oracle.Judge(Enum.Parse<Code>(form), Number(args, "--case", 1), states);
            Console.WriteLine($"{verdict}: {oracle.Text}");
            return verdict == Verdict.Agreed ? 0 : 1;
        }
        ulong seed = Number(args, "--seed", 1);
        var campaign = new Campaign(oracle, seed, states);
        int count = (int)Number(args, "--count", 10);
        long start = Stopwatch.GetTimestamp();
        if (args.Contains("--random")) campaign.RunRandom(count);
        else campaign.Run(Forms(Text(args, "--only")), count, TimeSpan.FromHours(24));
        TimeSpan time = Stopwatch.GetElapsedTime(start);
        Report(campaign, args.Contains("--all"));
        Console.WriteLine($"{campaign.Cases} cases of up to {states} states in {time.TotalSeconds:f1} s: "
            + $"{campaign.Cases * states / time.TotalSeconds / 1000:f1} k comparisons/s");
        return campaign.Results.Any(r => r.Different > 0) ? 1 : 0;
    }

    static Code[] Forms(string? only) => only is null ? InstructionForms.All
        : [.. InstructionForms.All.Where(code => only.Split(',').Any(o => Matches(code, o)))];

    // An extension's name, a whole mnemonic, or a part of the form's name.
    static bool Matches(Code code, string only) =>
        code.CpuidFeatures().Any(f => f.ToString() == only)
        || code.Mnemonic().ToString().Equals(only, StringComparison.OrdinalIgnoreCase)
        || only.StartsWith('~') && code.ToString().Contains(only[1..], StringComparison.OrdinalIgnoreCase);

    static void Report(Campaign campaign, bool byMnemonic)
    {
        foreach (FormResult r in campaign.Results.Where(r => r.Different > 0))
        {
            Console.WriteLine($"DIFF {r.Code}: {r.Different} of {r.Agreed + r.Different}");
            Console.WriteLine($"   {r.First}\n      {r.Reproduce}");
        }
        foreach (var group in campaign.Results.Where(r => r.Absent > 0).GroupBy(r => Extensions(r.Code)))
            Console.WriteLine($"absent {group.Key}: {string.Join(' ', group.Select(r => r.Code))}");
        foreach (var group in campaign.Results.GroupBy(r => Extensions(r.Code)).OrderBy(g => g.Key))
        {
            int agreed = group.Count(r => r.Absent + r.Different == 0), different = group.Count(r => r.Different > 0);
            int absent = group.Count(r => r.Absent > 0);
            Console.WriteLine(
                $"{group.Key,-20} forms {group.Count(),5} agreed {agreed,5} different {different,4} absent {absent,4}");
        }
        if (!byMnemonic) return;
        foreach (var group in campaign.Results.GroupBy(r => r.Code.Mnemonic()).OrderBy(g => g.Key.ToString()))
        {
            int agreed = group.Sum(r => r.Agreed), all = group.Sum(r => r.Agreed + r.Absent + r.Different);
            Console.Write($"{group.Key}:{agreed}/{all} ");
        }
        Console.WriteLine();
    }

    static string Extensions(Code code) => string.Join('+', code.CpuidFeatures());

    static string? Text(string[] args, string name)
    {
        int at = Array.IndexOf(args, name);
        return at < 0 || at + 1 >= args.Length ? null : args[at + 1];
    }

    static ulong Number(string[] args, string name, ulong otherwise) =>
        Text(args, name) is { } text ? ulong.Parse(text) : otherwise;
}
