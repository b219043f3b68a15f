using Xunit;

namespace Ringdown.Tests;

/// <summary>`ringdown check` finds nothing in the drivers of samples.</summary>
public sealed class SampleCheckTests
{
    [Theory]
    [InlineData("Perf", "echo"), InlineData("Builder", "pending"), InlineData("Reinit", "echo")]
    [InlineData("Methods"), InlineData("Monolithic"), InlineData("Parallel"), InlineData("Queue")]
    [InlineData("CsqQueue"), InlineData("Associated"), InlineData("Workers"), InlineData("Locks")]
    [InlineData("Function")]
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

    const string Devices = """
        { "devices": [ { "chip": "uart16550", "ports": "0x3F8", "line": 4, "plug": "loopback" },
            { "chip": "ata", "busMaster": "0xC000", "disks": [ { "sectors": 4096 } ] } ] }
        """;

    [Theory, InlineData("Serial", "*PNP0501"), InlineData("AtaDisk", "*PNP0600")]
    public void Check_finds_nothing_with_the_hardware(string name, string device)
    {
        string board = Path.GetTempFileName();
        try
        {
            File.WriteAllText(board, Devices);
            string c = Repository.Sample(name.ToLowerInvariant());
            foreach (string file in (string[])[c, $"{Repository.Samples}:{name}"])
            {
                CommandLine run = CommandLine.Run("check", file, "--json", "--board", board, "--device", device);
                Assert.True(run.ExitCode == 0, $"{file}\n{run.Output}{run.Errors}");
                Assert.Contains(name == "Serial" ? @"\\Device\\Serial0" : @"\\Device\\AtaDisk0", run.Output);
            }
        }
        finally
        {
            File.Delete(board);
        }
    }
}
