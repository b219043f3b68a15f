using System.CommandLine;
using System.Text.Json.Nodes;
using Ringdown.Check;
using Ringdown.Kernel;
using Spectre.Console;

namespace Ringdown.Cli;

/// <summary><c>ringdown check</c>: exercises all of a driver and reports what it does wrong.</summary>
static class CheckCommand
{
    public static Command Create()
    {
        var driver = Arguments.Driver();
        var json = Arguments.Json();
        var seed = Arguments.Seed();
        var timeout = Arguments.Timeout();
        var registry = Arguments.Registry();
        var registryFiles = Arguments.RegistryFiles();
        var before = Arguments.Before();
        var board = Arguments.Board();
        var device = Arguments.Device();
        var processors = Arguments.Processors();
        var schedule = Arguments.Schedule();
        var command = new Command(
            "check", "Exercise all of a driver and report what it does wrong.") { driver, json, seed, timeout, registry,
                registryFiles, before, board, device, processors, schedule };
        command.SetAction(parsed => Arguments.Guard(() =>
        {
            var file = DriverFile.Open(parsed.GetValue(driver)!, parsed.GetValue(device));
            var run = new CheckRun(file, new SessionOptions
            {
                Seed = parsed.GetValue(seed),
                InstructionLimit = parsed.GetValue(timeout),
                Registry = Arguments.ParseRegistry(parsed.GetValue(registry)),
                RegistryFiles = Arguments.OpenRegistry(parsed.GetValue(registryFiles)),
                Before = Arguments.OpenAll(parsed.GetValue(before)),
                Board = Arguments.OpenBoard(parsed.GetValue(board)),
                Processors = parsed.GetValue(processors),
                Schedule = Schedules.Find(parsed.GetValue(schedule)!),
            });
            if (parsed.GetValue(json)) WriteJson(run);
            else WriteText(run);
            return run.Findings.Count > 0 ? Program.Found : Program.Ran;
        }));
        return command;
    }

    static void WriteText(CheckRun run)
    {
        IAnsiConsole console = AnsiConsole.Console;
        console.MarkupLineInterpolated($"[bold]ringdown check[/] {Path.GetFileName(run.File.Path)}");
        run.Progress = name => console.MarkupLineInterpolated($"[grey]  {name} ...[/]");
        run.Run();
        PackageText.WriteNotes(console, run.File.Package);
        foreach (MissingImport missing in run.MissingImports)
            console.MarkupLineInterpolated(
                $"[yellow]missing import[/] {missing.Module.Clean()}!{missing.Name.Clean()}");
        if (run.EntryStatus is { } status) console.MarkupLineInterpolated($"[bold]DriverEntry[/]   {status}");
        if (run.Surface is { } surface)
        {
            foreach (DeviceInfo device in surface.Devices)
                console.MarkupLineInterpolated($"[bold]device[/]        {(device.Name.Length == 0 ? "(unnamed)" : device.Name.Clean())}  [grey]{device.OpenedBy}[/]");
            foreach ((string link, string target) in surface.Links)
                console.MarkupLineInterpolated($"[bold]link[/]          {link.Clean()} -> {target.Clean()}");
            string majors = surface.Majors.Count == Enum.GetValues<IrpMajor>().Length ? "all major functions" : string.Join(", ", surface.Majors);
            console.MarkupLineInterpolated($"[bold]handles[/]       {majors}");
            string codes = ControlCodes.List(surface.ControlCodes);
            console.MarkupLineInterpolated($"[bold]control codes[/] {(codes.Length == 0 ? "none found" : codes)}");
        }
        RunText.WriteFindings(console, run.Findings.All, registers: false);
        int requests = run.Phases.Sum(p => p.Requests), machines = run.Phases.Sum(p => p.Machines);
        console.WriteLine();
        string verdict = run.Findings.Count == 0 ? "[green]clean[/]" : $"[red]{run.Findings.Count} finding(s)[/]";
        console.MarkupLine($"{verdict} after {requests} requests on {machines} machines");
    }

    static void WriteJson(CheckRun run)
    {
        run.Run();
        RunJson.Print(new JsonObject
        {
            ["driver"] = run.File.Name,
            ["package"] = PackageText.Notes(run.File.Package),
            ["driverEntry"] = run.EntryStatus?.ToString(),
            ["devices"] = RunJson.Array(
                run.Surface?.Devices ?? [], d => new JsonObject { ["name"] = d.Name, ["openedBy"] = d.OpenedBy }),
            ["links"] = RunJson.Array(
                run.Surface?.Links ?? [], l => new JsonObject { ["name"] = l.Link, ["target"] = l.Target }),
            ["majors"] = RunJson.Array(run.Surface?.Majors ?? [], m => m.ToString()),
            ["controlCodes"] = RunJson.Array(run.Surface?.ControlCodes ?? [], c => $"0x{c:X}"),
            ["missingImports"] = RunJson.Array(run.MissingImports, m => $"{m.Module}!{m.Name}"),
            ["phases"] = RunJson.Array(run.Phases, p => new JsonObject
            {
                ["name"] = p.Name,
                ["requests"] = p.Requests,
                ["machines"] = p.Machines,
                ["newFindings"] = p.NewFindings,
            }),
            ["findings"] = RunJson.Findings(run.Findings.All),
        });
    }
}
