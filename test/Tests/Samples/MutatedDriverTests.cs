using Ringdown.Check;
using Ringdown.Machine;
using Xunit;
using Xunit.Abstractions;

namespace Ringdown.Tests;

/// <summary>Whatever a driver's code does, under all that programs, plug and play and power do to it: the machine goes
/// on, or stops with its report.</summary>
public sealed class MutatedDriverTests(ITestOutputHelper output)
{
    const int Shares = 2, RunsOfEach = 4;

    sealed record Subject(string Path, string? Device, string? Board);

    const string Standard = """
        { "iommu": true, "devices": [
          { "chip": "uart16550", "ports": "0x3F8", "line": 4, "plug": "loopback" },
          { "chip": "ata", "busMaster": "0xC000", "disks": [ { "sectors": 4096 } ] } ] }
        """;

    static Subject[] Subjects()
    {
        var known = new Dictionary<string, (string Device, string Board)>
        {
            ["serial"] = ("*PNP0501", Standard),
            ["atadisk"] = ("*PNP0600", Standard),
            ["edu"] = (@"PCI\VEN_1234&DEV_11E8", EduRig.Board),
            ["genport"] = (@"ACPI\RNG0002", PortAndMemoryTests.Ports),
            ["mapmem"] = (@"PCI\VEN_1234&DEV_5A4D", PortAndMemoryTests.Window),
            ["pcifilter"] = (@"PCI\VEN_1234&DEV_5A4D", PortAndMemoryTests.Window),
        };
        string[] folders =
            [Path.GetDirectoryName(Repository.Sample("x"))!, Path.GetDirectoryName(Repository.Driver("x"))!];
        return [.. folders.SelectMany(f => Directory.GetFiles(f, "*.sys").Order(StringComparer.Ordinal)).Select(p =>
            known.TryGetValue(Path.GetFileNameWithoutExtension(p), out var place)
                ? new Subject(p, place.Device, place.Board) : new Subject(p, null, null))];
    }

    [Theory, InlineData(0), InlineData(1)]
    public void A_mutated_driver_ends_in_findings_or_a_stop(int share)
    {
        Subject[] subjects = [.. Subjects().Where((_, i) => i % Shares == share)];
        List<string> failures = [];
        int runs = 0, loaded = 0;
        SortedDictionary<string, int> stops = new(StringComparer.Ordinal);
        foreach (Subject subject in subjects)
        {
            string name = Path.GetFileNameWithoutExtension(subject.Path);
            var mutator = new CodeMutator(File.ReadAllBytes(subject.Path));
            for (ulong i = 0; i < (ulong)(RunsOfEach * HostTrial.Times); i++, runs++)
            {
                ulong seed = HostTrial.FirstSeed + i;
                string? failure = HostTrial.Run($"{name}, seed {seed}", () =>
                {
                    DriverTrial trial = Try(subject, mutator, seed, out string found);
                    if (trial.WasLoaded) loaded++;
                    string stop = trial.Stop is null ? "none" : trial.Stop.Message.Split(' ')[0];
                    stops[stop] = stops.GetValueOrDefault(stop) + 1;
                    if (i % 4 != 0) return;
                    Try(subject, mutator, seed, out string again);
                    Assert.Equal(found, again);
                });
                if (failure is not null) failures.Add(failure);
            }
        }
        output.WriteLine($"{runs} runs, {loaded} loaded: {string.Join(", ", stops.Select(s => $"{s.Key} {s.Value}"))}");
        Assert.True(failures.Count == 0, string.Join("\n", failures));
        Assert.InRange(loaded, runs / 3, runs);
    }

    /// <summary>What once ended in an exception of the host's, or in no end: a broken list of devices, at load, at
    /// unload and while it is looked at; a driver object that is gone; interrupts that are masked for ever; threads that
    /// wake each other for ever.</summary>
    [Theory, InlineData("monolithic", 1055), InlineData("reinit", 1103), InlineData("reinit", 1238)]
    [InlineData("mapmem", 1272), InlineData("reinit", 2093), InlineData("reinit", 1815), InlineData("stress", 1945)]
    [InlineData("measure", 5075)]
    public void What_went_wrong_once_does_not_again(string name, int seed)
    {
        Subject subject = Subjects().Single(s => Path.GetFileNameWithoutExtension(s.Path) == name);
        var mutator = new CodeMutator(File.ReadAllBytes(subject.Path));
        Assert.Null(HostTrial.Run($"{name}, seed {seed}", () => Try(subject, mutator, (ulong)seed, out _)));
    }

    static DriverTrial Try(Subject subject, CodeMutator mutator, ulong seed, out string found)
    {
        Board? board = subject.Board is null ? null : Board.Parse(subject.Board);
        byte[] bytes = mutator.Mutate(new Chance(seed));
        var file = DriverFile.Parse(Path.GetFileNameWithoutExtension(subject.Path), bytes, subject.Device);
        DriverFile[] before = file.Image!.Imports.Any(i => i.Library == "library.sys")
            ? [DriverFile.Open(Repository.Sample("library"))]
            : file.Image.Imports.Any(i => i.Library == "exportlib.sys")
                ? [DriverFile.Open(Repository.Driver("exportlib"))] : [];
        var trial = new DriverTrial(file, board is null ? null : c => board.Attach(c), seed, before);
        found = trial.Run();
        return trial;
    }
}
