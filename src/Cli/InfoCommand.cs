using System.CommandLine;
using System.Text.Json.Nodes;
using Ringdown.Check;
using Ringdown.Kernel;
using Ringdown.Machine;
using Spectre.Console;

namespace Ringdown.Cli;

/// <summary><c>ringdown info</c>: what a driver is, and which of its imports are there.</summary>
static class InfoCommand
{
    public static Command Create()
    {
        var driver = Arguments.Driver();
        var json = Arguments.Json();
        var command = new Command(
            "info", "Show what a driver is: kind, sections, imports and how far they are supported, exports.") { driver,
                json };
        command.SetAction(parsed => Arguments.Guard(() =>
        {
            DriverFile file = DriverFile.Open(parsed.GetValue(driver)!);
            if (file.Package is { } package) PackageText.Write(package, parsed.GetValue(json));
            else if (file.Class is { } managed) WriteClass(file, managed, parsed.GetValue(json));
            else if (parsed.GetValue(json)) WriteJson(file, file.Image!);
            else WriteText(file, file.Image!);
            return Program.Ran;
        }));
        return command;
    }

    static string KindOf(PeImage image)
    {
        var modules = image.Imports.Select(i => i.Library.ToLowerInvariant()).ToHashSet();
        if (modules.Contains("wdfldr.sys")) return "KMDF driver";
        if (modules.Contains("fltmgr.sys")) return "file system minifilter";
        if (modules.Contains("ndis.sys")) return "NDIS driver";
        if (modules.Contains("storport.sys") || modules.Contains("scsiport.sys")) return "storage miniport";
        return image.Exports.Count > 0 && image.EntryPointRva == 0 ? "export driver" : "WDM or legacy driver";
    }

    /// <summary>How far an import is supported: "supported", "partial" with what is missing, or "missing".</summary>
    static string SupportOf(Dictionary<string, Export> exports, HashSet<string> data, PeImport import)
    {
        bool core = import.Library.ToLowerInvariant() is "ntoskrnl.exe" or "hal.dll" or "wmilib.sys";
        if (!core || import.Name is null) return "missing";
        if (data.Contains(import.Name)) return "supported";
        if (!exports.TryGetValue(import.Name, out Export? export)) return "missing";
        return export.Support == Support.Full ? "supported" : "partial";
    }

    static List<(PeImport Import, string Support)> Imports(PeImage image)
    {
        var exports = Exports.All.ToDictionary(e => e.Name);
        var data = Exports.Data.Select(d => d.Name).ToHashSet();
        return [.. image.Imports.Select(i => (i, SupportOf(exports, data, i)))];
    }

    // How much it is missed elsewhere.
    static string Missed(PeImport import) => import.Name is { } name && KnownImports.Find(name) is { } known
        ? $"  ({known.Drivers} of {KnownImports.Drivers} known drivers import it)" : "";

    static void WriteText(DriverFile file, PeImage image)
    {
        IAnsiConsole console = AnsiConsole.Console;
        string size = $"{image.SizeOfImage} bytes in memory, entry point 0x{image.EntryPointRva:x}";
        console.MarkupLineInterpolated($"[bold]{Path.GetFileName(file.Path)}[/]  {KindOf(image)}, x64, {size}");
        if (image.Version is { } version)
        {
            console.MarkupLineInterpolated($"[bold]version[/]  {version.FileVersion}");
            foreach ((string name, string value) in version.Strings)
                console.MarkupLineInterpolated($"  {name.Clean()}: {value.Clean()}");
        }
        if (image.CodeView is { } pdb)
            console.MarkupLineInterpolated($"[bold]symbols[/]  {pdb.Path.Clean()}{(file.Symbols.HasPdb ? ", found beside it" : "")}");
        var sections = new Table().AddColumns("section", "address", "size", "may");
        foreach (PeSection section in image.Sections)
            sections.AddRow(section.Name.EscapeMarkup(), $"0x{section.Rva:x}", $"0x{section.VirtualSize:x}",
                section.Protection.ToString());
        console.Write(sections);
        var exports = Exports.All.ToDictionary(e => e.Name);
        foreach (var module in Imports(image).GroupBy(i => i.Import.Library))
        {
            console.MarkupLineInterpolated($"[bold]{module.Key}[/]: {module.Count()} imports");
            foreach ((PeImport import, string support) in module.OrderBy(i => i.Import.Name, StringComparer.Ordinal))
            {
                string color = support == "supported" ? "green" : support == "partial" ? "yellow" : "red";
                string missing = support == "partial" ? $"  ({exports[import.Name!].Missing})"
                    : support == "missing" ? Missed(import) : "";
                console.MarkupLine($"  [{color}]{support,-9}[/] {(import.Name ?? $"#{import.Ordinal}").Clean().EscapeMarkup()}{missing.EscapeMarkup()}");
            }
        }
        if (image.Exports.Count > 0)
            console.WriteLine("exports: " + string.Join(", ", image.Exports.Select(e => e.Name ?? $"#{e.Ordinal}")));
    }

    static void WriteClass(DriverFile file, DriverClass driver, bool json)
    {
        Export[] calls = [.. driver.FindExports().Select(n => Exports.All.First(e => e.Name == n))];
        if (json)
        {
            RunJson.Print(new JsonObject
            {
                ["file"] = Path.GetFileName(file.Path),
                ["kind"] = "C# driver",
                ["class"] = driver.Name,
                ["calls"] = RunJson.Array(calls, c => new JsonObject
                {
                    ["module"] = c.Module,
                    ["name"] = c.Name,
                    ["support"] = c.Support == Support.Full ? "supported" : "partial",
                }),
                ["controlCodes"] = RunJson.Array(driver.FindControlCodes(), c => $"0x{c:X}"),
            });
            return;
        }
        IAnsiConsole console = AnsiConsole.Console;
        console.MarkupLineInterpolated($"[bold]{Path.GetFileName(file.Path)}[/]  C# driver, class {driver.Name}");
        foreach (Export call in calls)
        {
            string partial = call.Support == Support.Full ? "" : $"  (partial: {call.Missing})";
            console.MarkupLineInterpolated($"  calls {call.Name}{partial}");
        }
        foreach (uint code in driver.FindControlCodes())
            console.WriteLine($"  control code {ControlCodes.Describe(code)}");
    }

    static void WriteJson(DriverFile file, PeImage image)
    {
        RunJson.Print(new JsonObject
        {
            ["file"] = Path.GetFileName(file.Path),
            ["kind"] = KindOf(image),
            ["sizeOfImage"] = image.SizeOfImage,
            ["entryPoint"] = image.EntryPointRva,
            ["version"] = image.Version?.FileVersion.ToString(),
            ["sections"] = RunJson.Array(image.Sections, s => new JsonObject
            {
                ["name"] = s.Name,
                ["rva"] = s.Rva,
                ["size"] = s.VirtualSize,
                ["protection"] = s.Protection.ToString(),
            }),
            ["imports"] = RunJson.Array(Imports(image), i => new JsonObject
            {
                ["module"] = i.Import.Library,
                ["name"] = i.Import.Name ?? $"#{i.Import.Ordinal}",
                ["support"] = i.Support,
                ["drivers"] = i.Import.Name is { } name ? KnownImports.Find(name)?.Drivers : null,
            }),
            ["exports"] = RunJson.Array(image.Exports, e => e.Name ?? $"#{e.Ordinal}"),
        });
    }
}
