using Ringdown.Kernel;
using Ringdown.Verifier;
using Spectre.Console;
using Status = Ringdown.Kernel.Status;

namespace Ringdown.Cli;

/// <summary>A run, and findings, for people.</summary>
static class RunText
{
    const int StackBytes = 6 * 4096;

    public static void Write(RunOutcome outcome)
    {
        IAnsiConsole console = AnsiConsole.Console;
        Driver? driver = outcome.Session.Driver;
        PackageText.WriteNotes(console, outcome.Session.Package);
        foreach (MissingImport missing in driver?.MissingImports ?? [])
            console.MarkupLineInterpolated(
                $"[yellow]missing import[/] {missing.Module.Clean()}!{missing.Name.Clean()}");
        if (outcome.Irps is { } irps) IrpText.Write(console, irps, outcome.Session.Nt.SystemDrivers);
        foreach (string line in outcome.Calls?.Lines ?? []) console.WriteLine(line.Clean());
        if (driver is not null && driver.EntryStatus != Status.STATUS_PENDING)
            console.MarkupLineInterpolated($"[bold]DriverEntry[/] {driver.EntryStatus}");
        foreach (string node in outcome.Nodes) console.MarkupLineInterpolated($"[bold]drives[/]      {node.Clean()}");
        foreach (DeviceInfo device in outcome.Devices)
            console.MarkupLineInterpolated($"[bold]device[/]      {(device.Name.Length == 0 ? "(unnamed)" : device.Name.Clean())}");
        foreach ((string link, string target) in outcome.Links)
            console.MarkupLineInterpolated($"[bold]link[/]        {link.Clean()} -> {target.Clean()}");
        foreach (RequestResult result in outcome.Results) WriteResult(console, result);
        if (outcome.Unloaded is { } unloaded)
            console.MarkupLineInterpolated($"[bold]DriverUnload[/] {(unloaded ? "done" : "the driver has none, so it stays loaded")}");
        if (driver is not null && outcome.Session.Nt.Loader.StackUsedBy(driver) is > 0 and var used)
            console.MarkupLineInterpolated($"[bold]stack[/]       {used} of {StackBytes} bytes");
        foreach (string line in outcome.Session.Nt.DebugPrint)
            console.MarkupLineInterpolated($"[grey]DbgPrint[/]    {line.Clean()}");
        foreach (ErrorLogEntry entry in outcome.Session.Nt.ErrorLog)
            console.MarkupLineInterpolated($"[yellow]error log[/]   {entry.ToString().Clean()}");
        if (outcome.Pool is { } pool) WritePool(console, pool);
        if (outcome.Timeline is { } timeline)
            console.WriteLine($"{timeline.Path}: {timeline.Events} events; open it with https://ui.perfetto.dev.");
        WriteFindings(console, outcome.Findings.All, registers: true);
    }

    // A line for each pool that a tag has been used in, with the columns of poolmon, and the peak.
    static void WritePool(IAnsiConsole console, IReadOnlyList<PoolTagUsage> tags)
    {
        console.MarkupLine($"[bold]{"Tag",-5}{"Type",-8}{"Allocs",8}{"Frees",8}{"Diff",8}{"Bytes",12}{"Peak",12}[/]");
        foreach (PoolTagUsage tag in tags)
        {
            WritePool(console, tag.Tag, "Nonp", tag.NonPaged);
            WritePool(console, tag.Tag, "Paged", tag.Paged);
        }
    }

    static void WritePool(IAnsiConsole console, string tag, string type, PoolUsage u)
    {
        if (u.Allocations == 0) return;
        string counts = $"{u.Allocations,8}{u.Frees,8}{u.Live,8}{u.Bytes,12}{u.PeakBytes,12}";
        console.WriteLine($"{tag.Clean(),-5}{type,-8}{counts}");
    }

    static void WriteResult(IAnsiConsole console, RequestResult result)
    {
        string color = result.Status.IsSuccess ? "green" : "red";
        console.MarkupInterpolated($"[bold]{result.Request.Text}[/]  ");
        console.Markup($"[{color}]{result.Status}[/]");
        console.WriteLine(result.Io is null ? ""
            : $"  information {result.Io.Information}, Win32 {Status.Win32Of(result.Status)}");
        if (result.Io is { Output.Length: > 0 } io) console.WriteLine("  " + Convert.ToHexStringLower(io.Output));
    }

    public static void WriteFindings(IAnsiConsole console, IReadOnlyList<Finding> findings, bool registers)
    {
        for (int i = 0; i < findings.Count; i++) WriteFinding(console, i + 1, findings[i], registers);
    }

    static void WriteFinding(IAnsiConsole console, int number, Finding finding, bool registers)
    {
        string color = finding.Severity == Severity.Error ? "red" : finding.Severity == Severity.Warning ? "yellow"
            : "blue";
        console.WriteLine();
        console.MarkupInterpolated($"[bold]#{number}[/] ");
        console.Markup($"[{color}]{finding.Rule}[/] ");
        console.WriteLine(finding.Driver is null ? "in the system" : $"in {finding.Driver}");
        console.WriteLine("  " + finding.Message.Clean());
        if (finding.Crash?.Note is { } note) console.WriteLine("  " + note.Clean());
        if (finding.During is not null)
            console.MarkupLineInterpolated(
                $"  [grey]{When(finding.During).Clean()}, {Times(finding.Count)}, seed {finding.Seed}[/]");
        foreach (string line in finding.Crash?.Disassembly ?? [])
            console.MarkupLineInterpolated($"    [grey]{line}[/]");
        if (registers && finding.Crash is { } crash) WriteRegisters(console, crash);
        WriteStack(console, finding.Stack);
        foreach (string step in finding.IrpHistory) console.MarkupLineInterpolated($"    [grey]IRP: {step.Clean()}[/]");
    }

    // A recursion is one frame and how often it comes.
    static void WriteStack(IAnsiConsole console, IReadOnlyList<StackFrame> stack)
    {
        for (int i = 0; i < stack.Count;)
        {
            int same = 1;
            while (i + same < stack.Count && stack[i + same].Text == stack[i].Text) same++;
            console.WriteLine("    " + stack[i].ToString().Clean() + (same > 1 ? $"  ({same} times)" : ""));
            i += same;
        }
    }

    static void WriteRegisters(IAnsiConsole console, CrashReport crash)
    {
        foreach (var row in crash.Registers.Chunk(6))
            console.MarkupLineInterpolated($"    [grey]{string.Join(" ", row.Select(r => $"{r.Name,3}={r.Value:x16}"))}[/]");
        console.MarkupLineInterpolated($"    [grey]IRQL {crash.Irql}, thread {crash.Thread}[/]");
    }

    static string When(string during) =>
        during.StartsWith("after ", StringComparison.Ordinal) ? during : $"during {during}";

    static string Times(int count) => count == 1 ? "once" : $"{count} times";
}
