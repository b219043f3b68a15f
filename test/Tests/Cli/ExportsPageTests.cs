using Ringdown.Check;
using Ringdown.Kernel;
using Xunit;

namespace Ringdown.Tests;

/// <summary>docs/exports.md says what the table of exports says; SNAP=1 writes it anew.</summary>
public sealed class ExportsPageTests
{
    /// <summary>Of the functions of ntoskrnl.exe and hal.dll, those that most drivers import.</summary>
    const int MostImported = 700;

    [Fact]
    public void The_page_of_exports_is_what_the_command_prints()
    {
        string path = Path.Combine(Repository.Root, "docs", "exports.md");
        string now = CommandLine.Run("exports", "--markdown").Output;
        if (Environment.GetEnvironmentVariable("SNAP") == "1") File.WriteAllText(path, now);
        Assert.Equal(File.ReadAllText(path).ReplaceLineEndings("\n"), now.ReplaceLineEndings("\n"));
    }

    [Fact]
    public void A_partial_export_says_what_is_missing() =>
        Assert.All(Exports.All, e => Assert.Equal(e.Support == Support.Partial, e.Missing.Length > 0));

    [Fact]
    public void What_most_drivers_import_is_there()
    {
        HashSet<string> first = [.. KnownImports.All.Where(k => k.Module is "ntoskrnl.exe" or "hal.dll")
            .OrderByDescending(k => k.Drivers).Take(MostImported).Select(k => k.Name)];
        Assert.Empty(KnownImports.Missing.Where(k => first.Contains(k.Name)).Select(k => k.Name));
    }
}
