using System.CommandLine;
using Ringdown.Kernel;

namespace Ringdown.Cli;

/// <summary><c>ringdown exports</c>: all that the kernel offers drivers, from its one table.</summary>
static class ExportsCommand
{
    public static Command Create()
    {
        var command = new Command(
            "exports", "List every kernel export with its module, IRQL contract and support level.");
        command.SetAction(_ => Write());
        return command;
    }

    static int Write()
    {
        foreach (Export export in Exports.All)
        {
            string irql = export.MinIrql == Irql.PASSIVE_LEVEL ? $"<= {export.MaxIrql}"
                : export.MinIrql == export.MaxIrql ? $"= {export.MinIrql}" : $"{export.MinIrql} to {export.MaxIrql}";
            string support = export.Support == Support.Full ? "full" : $"partial: {export.Missing}";
            Console.Out.WriteLine($"{export.Module,-13} {export.Name,-45} {irql,-20} {support}");
        }
        foreach (DataExport data in Exports.Data)
            Console.Out.WriteLine($"{data.Module,-13} {data.Name,-45} {"(variable)",-20} full");
        return Program.Ran;
    }
}
