using System.Text.RegularExpressions;
using Ringdown.Kernel;
using Xunit;

namespace Ringdown.Tests;

/// <summary>Every export is named by some test.</summary>
public sealed partial class ExportNameTests
{
    [GeneratedRegex(@"\w+")]
    private static partial Regex Word { get; }

    [Fact]
    public void Every_export_is_named_in_a_test()
    {
        HashSet<string> words = [.. Sources().SelectMany(f => Word.Matches(File.ReadAllText(f)).Select(w => w.Value))];
        string[] untested = [.. Exports.All.Select(e => e.Name).Where(n => !words.Contains(n))];
        Assert.Empty(untested);
    }

    static IEnumerable<string> Sources() => Directory
        .EnumerateFiles(Path.Combine(Repository.Root, "test"), "*", SearchOption.AllDirectories)
        .Where(f => Path.GetExtension(f) is ".cs" or ".c" or ".h")
        .Where(f => !f.Contains($"{Path.DirectorySeparatorChar}obj{Path.DirectorySeparatorChar}"));
}
