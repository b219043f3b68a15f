using System.CommandLine;
using System.Text;
using Ringdown.Check;
using Ringdown.Kernel;

namespace Ringdown.Cli;

/// <summary><c>ringdown exports</c>: all that the kernel offers drivers, from its one table.</summary>
static class ExportsCommand
{
    public static Command Create()
    {
        var markdown = new Option<bool>("--markdown")
        {
            Description = "As docs/exports.md has it, with what drivers import and is missing.",
        };
        var command = new Command(
            "exports", "List every kernel export with its module, IRQL contract and support level.") { markdown };
        command.SetAction(parsed =>
        {
            Console.Out.Write(parsed.GetValue(markdown) ? Markdown() : Text());
            return Program.Ran;
        });
        return command;
    }

    static string IrqlOf(Export export) => export.MinIrql == Irql.PASSIVE_LEVEL ? $"<= {export.MaxIrql}"
        : export.MinIrql == export.MaxIrql ? $"= {export.MinIrql}" : $"{export.MinIrql} to {export.MaxIrql}";

    static string Text()
    {
        var text = new StringBuilder();
        foreach (Export export in Exports.All)
        {
            string support = export.Support == Support.Full ? "full" : $"partial: {export.Missing}";
            text.Append($"{export.Module,-13} {export.Name,-45} {IrqlOf(export),-20} {support}\n");
        }
        foreach (DataExport data in Exports.Data)
            text.Append($"{data.Module,-13} {data.Name,-45} {"(variable)",-20} full\n");
        return text.ToString();
    }

    /// <summary>The page that a test compares with docs/exports.md.</summary>
    internal static string Markdown()
    {
        int partial = Exports.All.Count(e => e.Support == Support.Partial);
        var text = new StringBuilder($"""
            # Exports

            Written by `ringdown exports --markdown`: {Exports.All.Length} functions, {partial} of them partial, and
            {Exports.Data.Length} variables. The number says how many of {KnownImports.Drivers} real drivers import it.

            | module | function | IRQL | drivers | what is missing |
            |---|---|---|---|---|

            """.ReplaceLineEndings("\n"));
        foreach (Export e in Exports.All)
            text.Append($"| {e.Module} | {e.Name} | {IrqlOf(e)} | {DriversOf(e.Name)} | {e.Missing} |\n");
        foreach (DataExport d in Exports.Data)
            text.Append($"| {d.Module} | {d.Name} | variable | {DriversOf(d.Name)} | |\n");
        text.Append("\n## Not there\n\nWhat real drivers import besides. A driver that imports such a function loads; ")
            .Append("a call of it is reported with its caller\nand ends the run.\n");
        foreach (var module in KnownImports.Missing.GroupBy(k => k.Module))
        {
            text.Append($"\n**{module.Key}** ({module.Count()}):\n");
            text.Append(string.Join(",\n", module.Select(k => $"{k.Name} {k.Drivers}").Chunk(5).Select(
                line => string.Join(", ", line)))).Append('\n');
        }
        return text.ToString();
    }

    static string DriversOf(string name) => KnownImports.Find(name)?.Drivers.ToString() ?? "";
}
