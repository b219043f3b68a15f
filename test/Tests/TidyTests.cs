using System.Text.RegularExpressions;
using Xunit;

namespace Ringdown.Tests;

/// <summary>The rules of style that a machine can hold. Each failure names the file and the line.</summary>
public sealed partial class TidyTests
{
    sealed record SourceFile(string Path, string[] Lines)
    {
        public bool IsTable => Path.EndsWith(".Table.cs", StringComparison.Ordinal);
        public bool IsIn(string folder) => Path.StartsWith(folder + "/", StringComparison.Ordinal);
    }

    static IEnumerable<SourceFile> Files(params string[] folders)
    {
        string root = Repository.Root;
        return folders
            .SelectMany(f => Directory.EnumerateFiles(Path.Combine(root, f), "*.cs", SearchOption.AllDirectories))
            .Select(p => (Full: p, Relative: Path.GetRelativePath(root, p).Replace('\\', '/')))
            .Where(p => !p.Relative.Contains("/obj/") && !p.Relative.Contains("/bin/"))
            .OrderBy(p => p.Relative, StringComparer.Ordinal)
            .Select(p => new SourceFile(p.Relative, File.ReadAllLines(p.Full)));
    }

    static void None(IEnumerable<string> violations) => Assert.True(!violations.Any(), string.Join("\n", violations));

    [Fact]
    public void No_file_has_more_than_500_lines() =>
        None(Files("src", "test").Where(f => !f.IsTable && f.Lines.Length > 500)
            .Select(f => $"{f.Path}: {f.Lines.Length} lines; split it."));

    [Fact]
    public void Lines_of_more_than_120_columns_become_fewer()
    {
        string[] tooLong =
            [.. Matches(f => !f.IsTable, Files("src", "test"), line => line.Length > 120 ? "break it" : null)];
        Assert.True(tooLong.Length <= LongLines, string.Join("\n", tooLong));
    }

    // A ratchet: when lines were broken, put the smaller number here.
    const int LongLines = 22;

    [Fact]
    public void No_line_has_more_than_170_columns() =>
        None(Matches(f => !f.IsTable, Files("src"), line => line.Length > 170 ? "break it" : null));

    [Fact]
    public void No_function_has_more_than_70_lines() =>
        None(Files("src", "test").Where(f => !f.IsTable).SelectMany(f => Functions(f).Where(m => m.Length > 70)
            .Select(m => $"{f.Path}({m.Line}): {m.Length} lines; split it.")));

    // A body starts with a brace on a line of its own behind a member's head, and ends with the next as deep.
    static IEnumerable<(int Line, int Length)> Functions(SourceFile file)
    {
        for (int i = 1; i < file.Lines.Length; i++)
        {
            string line = file.Lines[i], head = file.Lines[i - 1];
            if (line.Trim() != "{" || !MemberHead().IsMatch(head) || TypeHead().IsMatch(head)) continue;
            string end = line.Replace('{', '}');
            int last = Array.FindIndex(file.Lines, i, l => l.StartsWith(end, StringComparison.Ordinal));
            yield return (i, (last < 0 ? file.Lines.Length : last) - i + 1);
        }
    }

    [GeneratedRegex(@"\)\s*$")] private static partial Regex MemberHead();
    [GeneratedRegex(@"\b(class|struct|record|interface|enum|namespace)\b")] private static partial Regex TypeHead();

    static readonly (string Word, string Instead)[] s_banned =
    [
        (@"\bDateTime\.", "Ke.Clock"), (@"\bnew Random\b", "Chance"), (@"\bTask\.Run\b", "Scheduler"),
        (@"\bThread\.Sleep\b", "Ke.WaitFor"), (@"\bEnvironment\.TickCount", "Ke.Clock"), (@"\bStopwatch\b", "Ke.Clock"),
    ];

    [Fact]
    public void The_machine_and_the_kernel_know_no_chance_and_no_time_of_the_host() =>
        None(s_banned.SelectMany(b => Matches(
            f => f.IsIn("src/Machine") || f.IsIn("src/Kernel"), Files("src"),
            line => Regex.IsMatch(line, b.Word) ? $"use {b.Instead}" : null)));

    [Fact]
    public void Nothing_is_left_for_later() =>
        None(Matches(f => !f.Path.EndsWith("TidyTests.cs", StringComparison.Ordinal), Files("src", "test"), line =>
            Regex.IsMatch(line, @"NotImplementedException|\bTODO\b|\bFIXME\b") ? "do it, or report it as missing"
            : line.TrimStart().StartsWith("#region", StringComparison.Ordinal) ? "no regions" : null));

    [Fact]
    public void No_static_field_can_change() =>
        None(Matches(f => !f.IsIn("src/Generators"), Files("src"), line =>
            MutableStatic().IsMatch(line) && !NoField().IsMatch(line) || line.Contains("[ThreadStatic]")
                ? "state hangs from the machine" : null));

    // "static T name;" or "static T name = value;", but no property and no method.
    [GeneratedRegex(@"^\s*((public|internal|private|protected)\s+)?static\s+[\w<>\[\],?. ]+\s+\w+\s*(=(?!>)[^;(]*)?;\s*$")]
    private static partial Regex MutableStatic();

    [GeneratedRegex(@"\b(readonly|const|class|partial|extern|abstract|event|delegate|using)\b")]
    private static partial Regex NoField();

    [Fact]
    public void No_type_is_named_for_what_it_helps() =>
        None(Matches(_ => true, Files("src", "test"), line =>
            Regex.IsMatch(line, @"\b(class|struct|record|interface)\s+\w*(Helper|Helpers|Manager|Utils|Util)\b")
                ? "name what it is" : null));

    static IEnumerable<string> Matches(
        Func<SourceFile, bool> which, IEnumerable<SourceFile> files, Func<string, string?> rule) =>
        from file in files.Where(which)
        from line in file.Lines.Select((text, i) => (Text: text, Number: i + 1))
        let wrong = rule(line.Text)
        where wrong is not null
        select $"{file.Path}({line.Number}): {wrong}.";
}
