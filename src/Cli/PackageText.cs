using System.Text.Json.Nodes;
using Ringdown.Kernel;
using Spectre.Console;

namespace Ringdown.Cli;

/// <summary>A driver package, for people and as JSON.</summary>
static class PackageText
{
    /// <summary>What the package says and has no effect here, a line each.</summary>
    public static void WriteNotes(IAnsiConsole console, DriverPackage? package)
    {
        foreach (InfNote note in package?.Notes ?? [])
            console.MarkupLineInterpolated($"[yellow]package[/]     {note.ToString().Clean()}");
    }

    /// <summary>The package's name and notes; null for none.</summary>
    public static JsonNode? Notes(DriverPackage? package) => package is null ? null : new JsonObject
    {
        ["name"] = package.Name,
        ["notes"] = RunJson.Array(package.Notes, n => n.ToString()),
    };

    public static void Write(DriverPackage package, bool json)
    {
        if (json) RunJson.Print(Document(package));
        else WriteText(AnsiConsole.Console, package);
    }

    static void WriteText(IAnsiConsole console, DriverPackage package)
    {
        DriverVersion version = package.Version;
        console.MarkupLineInterpolated($"[bold]{package.Name}[/]  driver package of {version.Provider.Clean()}");
        console.MarkupLineInterpolated($"[bold]class[/]    {version.Class.Clean()} {version.ClassGuid:B}");
        if (version.Date != 0)
            console.MarkupLineInterpolated($"[bold]version[/]  {version.VersionText} of {version.DateText}");
        foreach (DriverModel model in package.Models)
        {
            string ids = string.Join(", ", model.CompatibleIds.Prepend(model.HardwareId));
            console.MarkupLineInterpolated($"[bold]model[/]    {model.Description.Clean()}: {ids.Clean()}");
            console.MarkupLineInterpolated($"  by {model.Manufacturer.Clean()}, installed by {model.Section.Clean()}");
        }
        if (package.HasDefaultInstall) console.MarkupLine("[bold]model[/]    none is needed: DefaultInstall");
        foreach (PackageService service in package.Services)
            console.MarkupLineInterpolated($"[bold]service[/]  {service.Name.Clean()}: {service.Binary.Clean()}");
        foreach ((string source, string target) in package.Copies)
            console.MarkupLineInterpolated($"[bold]file[/]     {source.Clean()} -> {target.Clean()}");
        WriteNotes(console, package);
    }

    static JsonObject Document(DriverPackage package) => new()
    {
        ["file"] = package.Name,
        ["kind"] = "driver package",
        ["provider"] = package.Version.Provider,
        ["class"] = package.Version.Class,
        ["classGuid"] = package.Version.ClassGuid?.ToString("B"),
        ["version"] = package.Version.VersionText,
        ["date"] = package.Version.DateText,
        ["catalog"] = package.Version.Catalog,
        ["models"] = RunJson.Array(package.Models, m => new JsonObject
        {
            ["manufacturer"] = m.Manufacturer,
            ["description"] = m.Description,
            ["section"] = m.Section,
            ["hardwareId"] = m.HardwareId,
            ["compatibleIds"] = RunJson.Array(m.CompatibleIds, i => i),
        }),
        ["services"] = RunJson.Array(package.Services, s => new JsonObject
        {
            ["name"] = s.Name,
            ["binary"] = s.Binary,
            ["type"] = s.Type,
            ["start"] = s.Start,
        }),
        ["files"] = RunJson.Array(package.Copies, c => new JsonObject
        {
            ["source"] = c.Source,
            ["target"] = c.Target,
        }),
        ["notes"] = RunJson.Array(package.Notes, n => n.ToString()),
    };
}
