using Xunit;

namespace Ringdown.Tests;

/// <summary>`ringdown check` finds nothing in the drivers of samples.</summary>
public sealed class SampleCheckTests
{
    [Theory]
    [InlineData("Perf", "echo"), InlineData("Builder", "pending"), InlineData("Reinit", "echo")]
    [InlineData("Methods"), InlineData("Monolithic"), InlineData("Parallel"), InlineData("Queue")]
    [InlineData("CsqQueue"), InlineData("Associated"), InlineData("Workers"), InlineData("Locks")]
    [InlineData("Function"), InlineData("VirtualBus"), InlineData("DiskPerf")]
    public void Check_finds_nothing_in_either_language(string name, string? below = null) =>
        Check(name, below is null ? [] : ["--with", Repository.Driver(below)]);

    [Theory]
    [InlineData("GenPort", @"ACPI\RNG0002", PortAndMemoryTests.Ports)]
    [InlineData("MapMem", @"PCI\VEN_1234&DEV_5A4D", PortAndMemoryTests.Window)]
    [InlineData("PciFilter", @"PCI\VEN_1234&DEV_5A4D", PortAndMemoryTests.Window)]
    [InlineData("Edu", @"PCI\VEN_1234&DEV_11E8", EduRig.Board)]
    [InlineData("Edu", @"ACPI\RNG0001", EduRig.BoardWithout)]
    public void Check_finds_nothing_with_registers(string name, string device, string board)
    {
        string path = Path.Combine(Path.GetTempPath(), $"{Guid.NewGuid()}.json");
        File.WriteAllText(path, board);
        try
        {
            Check(name, ["--board", path, "--device", device]);
        }
        finally
        {
            File.Delete(path);
        }
    }

    static string[] Check(string name, string[] more)
    {
        List<string> outputs = [];
        foreach (string file in (string[])[Repository.Sample(name.ToLowerInvariant()), $"{Repository.Samples}:{name}"])
        {
            CommandLine run = CommandLine.Run(["check", file, "--json", .. more]);
            Assert.True(run.ExitCode == 0, $"{file}\n{run.Output}{run.Errors}");
            outputs.Add(run.Output);
        }
        return [.. outputs];
    }

    const string Devices = """
        { "iommu": true, "devices": [ { "chip": "uart16550", "ports": "0x3F8", "line": 4, "plug": "loopback" },
            { "chip": "ata", "busMaster": "0xC000", "disks": [ { "sectors": 4096 } ] } ] }
        """;

    [Theory, InlineData("Serial", "*PNP0501"), InlineData("AtaDisk", "*PNP0600")]
    public void Check_finds_nothing_with_the_hardware(string name, string device)
    {
        string board = Path.GetTempFileName();
        try
        {
            File.WriteAllText(board, Devices);
            string[] outputs = Check(name, ["--board", board, "--device", device]);
            Assert.All(outputs, o => Assert.Contains(
                name == "Serial" ? @"\\Device\\Serial0" : @"\\Device\\AtaDisk0", o));
        }
        finally
        {
            File.Delete(board);
        }
    }
}
