using Ringdown.Check;
using Ringdown.Machine;
using Xunit;
using Xunit.Abstractions;

namespace Ringdown.Tests;

/// <summary>Drivers above hardware that is out of order: they may fail, the machine goes on or stops with its
/// report.</summary>
public sealed class HostileChipTests(ITestOutputHelper output)
{
    const int Runs = 24;

    static readonly int[] s_badness = [4, 40, 300, 3000];

    static string Board(string name) => name switch
    {
        "Serial" => """{ "chip": "hostile", "is": "uart", "id": "PNP0501", "ports": "0x3F8", "line": 4 }""",
        "AtaDisk" => """{ "chip": "hostile", "is": "ata", "id": "PNP0600", "ports": "0x1F0", "line": 14 }""",
        _ => """{ "chip": "hostile", "is": "edu", "pci": { "slot": 3, "id": "1234:11E8", "msi": 1 } }""",
    };

    [Theory]
    [InlineData("Serial", "*PNP0501", false), InlineData("Serial", "*PNP0501", true)]
    [InlineData("AtaDisk", "*PNP0600", false), InlineData("AtaDisk", "*PNP0600", true)]
    [InlineData("Edu", @"PCI\VEN_1234&DEV_11E8", false), InlineData("Edu", @"PCI\VEN_1234&DEV_11E8", true)]
    public void Hardware_out_of_order_ends_in_findings_or_a_stop(string name, string device, bool isManaged)
    {
        string path = isManaged ? $"{Repository.Samples}:{name}" : Repository.Sample(name.ToLowerInvariant());
        var file = DriverFile.Open(path, device);
        List<string> failures = [];
        int loaded = 0, opened = 0;
        SortedDictionary<string, int> stops = new(StringComparer.Ordinal);
        int runs = Runs * HostTrial.Times;
        for (int i = 0; i < runs; i++)
        {
            ulong seed = HostTrial.FirstSeed + (ulong)i;
            string? failure = HostTrial.Run($"{name}, managed {isManaged}, seed {seed}", () =>
            {
                DriverTrial trial = Try(file, Board(name), seed, out string found);
                if (trial.WasLoaded) loaded++;
                if (trial.WasOpened) opened++;
                string stop = trial.Stop is { Report: { } report }
                    ? $"{report.Title.Split(' ')[0]} in {report.Stack.FirstOrDefault(f => f.Module == report.Driver)} "
                        + $"{report.Note} (as seed {seed})" : "none";
                string kind = stop.Split(" (as")[0];
                if (!stops.TryGetValue(kind, out int before)) output.WriteLine(stop);
                stops[kind] = before + 1;
                if (i % 8 != 0) return;
                Try(file, Board(name), seed, out string again);
                Assert.Equal(found, again);
            });
            if (failure is not null) failures.Add(failure);
        }
        output.WriteLine($"{runs} runs of {name}, {loaded} loaded, {opened} opened: "
            + string.Join(", ", stops.Select(s => $"{s.Key}: {s.Value}")));
        Assert.True(failures.Count == 0, string.Join("\n", failures));
        Assert.InRange(opened, runs / 4, runs);
    }

    static DriverTrial Try(DriverFile file, string chip, ulong seed, out string found)
    {
        // In every third machine it reaches all memory.
        bool isOpen = seed % 3 == 0;
        var board = Machine.Board.Parse($$"""{ "iommu": {{(isOpen ? "false" : "true")}}, "devices": [ {{chip}} ] }""",
            _ => (computer, place) => new HostileChip(computer, place, new Chance(seed), s_badness[seed % 4], isOpen));
        var trial = new DriverTrial(file, c => board.Attach(c), seed);
        found = trial.Run();
        return trial;
    }
}
