using System.Reflection;
using System.Text.RegularExpressions;
using Xunit;

namespace Ringdown.Tests;

/// <summary>Each rule of NT's I/O system has a test, or docs/io.md says why it has none.</summary>
public sealed partial class RuleCoverageTests
{
    /// <summary>How many rules each section has, from section 1 on.</summary>
    static readonly int[] s_sections = [31, 17, 18, 8, 16, 11, 10, 10, 13, 9, 11, 4, 9, 11, 7, 10, 6];

    /// <summary>Tables: of buffers, of control codes, the states of a device, oplocks.</summary>
    static readonly string[] s_tables = ["4.T1", "4.T2", "7.T1", "15.T1"];

    /// <summary>Rules that stand in no document, and so are to be confirmed.</summary>
    static readonly HashSet<string> s_hypotheses =
    [
        "1.9", "1.12", "1.24", "1.25", "1.26", "1.27", "1.28", "1.29", "1.30", "2.17", "3.2", "3.4", "3.10", "4.2",
        "4.3", "4.6", "5.11", "5.14", "5.16", "16.5", "17.5", "17.6",
    ];

    [GeneratedRegex(@"^- (\d+\.T?\d+): \S")]
    private static partial Regex Reason { get; }

    static IEnumerable<string> All =>
        s_sections.SelectMany((count, i) => Enumerable.Range(1, count).Select(n => $"{i + 1}.{n}")).Concat(s_tables);

    static (MethodInfo Test, RuleAttribute Rule)[] Tested =>
        [.. typeof(RuleCoverageTests).Assembly.GetTypes().SelectMany(t => t.GetMethods())
            .SelectMany(m => m.GetCustomAttributes<RuleAttribute>().Select(r => (m, r)))];

    static string[] Documented =>
        [.. File.ReadAllLines(Path.Combine(Repository.Root, "docs", "io.md"))
            .SkipWhile(l => l != "## Rules without a test").Skip(1).TakeWhile(l => !l.StartsWith("## "))
            .Select(l => Reason.Match(l)).Where(m => m.Success).Select(m => m.Groups[1].Value)];

    [Fact]
    public void Each_rule_has_a_test_or_a_reason_why_not()
    {
        HashSet<string> tested = [.. Tested.Select(t => t.Rule.Number)], documented = [.. Documented];
        Assert.Empty(tested.Intersect(documented));
        Assert.Empty(tested.Concat(documented).Except(All));
        Assert.Empty(All.Except(tested).Except(documented));
    }

    [Fact]
    public void A_test_of_a_hypothesis_says_so() => Assert.Empty(Tested
        .Where(t => s_hypotheses.Contains(t.Rule.Number) && !t.Rule.Hypothesis)
        .Select(t => $"{t.Test.Name}: {t.Rule.Number}"));

    [Fact]
    public void What_claims_a_rule_is_a_test() => Assert.Empty(Tested
        .Where(t => t.Test.GetCustomAttribute<FactAttribute>() is null).Select(t => t.Test.Name));
}
