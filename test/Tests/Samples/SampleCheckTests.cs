using Xunit;

namespace Ringdown.Tests;

/// <summary>`ringdown check` finds nothing in the drivers of samples.</summary>
public sealed class SampleCheckTests
{
    [Theory]
    [InlineData("Perf", "echo"), InlineData("Builder", "pending"), InlineData("Reinit", "echo")]
    [InlineData("Methods"), InlineData("Monolithic"), InlineData("Parallel"), InlineData("Queue")]
    [InlineData("CsqQueue"), InlineData("Associated"), InlineData("Workers"), InlineData("Locks")]
    public void Check_finds_nothing_in_either_language(string name, string? below = null)
    {
        foreach (string file in (string[])[Repository.Sample(name.ToLowerInvariant()), $"{Repository.Samples}:{name}"])
        {
            string[] arguments = ["check", file, "--json"];
            if (below is not null) arguments = [.. arguments, "--with", Repository.Driver(below)];
            CommandLine run = CommandLine.Run(arguments);
            Assert.True(run.ExitCode == 0, $"{file}\n{run.Output}{run.Errors}");
        }
    }
}
