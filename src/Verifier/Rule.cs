using Ringdown.Kernel;

namespace Ringdown.Verifier;

/// <summary>Reports what a rule finds, with the stack of the moment.</summary>
public sealed class Reporter(FindingList findings, ulong seed)
{
    public FindingList Findings { get; } = findings;
    public ulong Seed { get; } = seed;

    /// <summary>What is being done now; stands in each finding.</summary>
    public string? During { get; set; }

    /// <param name="driver">Who did it; null: the innermost driver on the stack.</param>
    public void Report(NtKernel nt, string rule, Severity severity, string message, Machine.Va? irp = null,
        string? driver = null)
    {
        IReadOnlyList<StackFrame> stack = nt.Stack();
        Findings.Add(new Finding(rule, severity, message)
        {
            Driver = driver ?? stack.FirstOrDefault(f => nt.Loader.IsDriver(f.Module))?.Module,
            During = During,
            Stack = stack,
            IrpHistory = irp is { } address ? IrpHistory.Of(nt, address) : [],
            Seed = Seed,
        });
    }

    /// <summary>The machine stopped: the stop itself is the finding.</summary>
    public void Report(MachineStop stop)
    {
        CrashReport report = stop.Report!;
        (string rule, string message) = stop switch
        {
            BugCheck bugCheck => ("BugCheck", $"{bugCheck.Code} (0x{(uint)bugCheck.Code:X}), parameters "
                + string.Join(", ", bugCheck.Parameters.Select(p => $"0x{p:x}"))),
            Hang hang => (hang.Kind == HangKind.Deadlock ? "Deadlock" : "EndlessLoop", stop.Message),
            MissingExport => ("MissingExport", stop.Message),
            _ => ("Stop", stop.Message),
        };
        Findings.Add(new Finding(rule, Severity.Error, message)
        {
            Driver = report.Driver,
            During = During,
            Stack = report.Stack,
            Crash = report,
            Seed = Seed,
        });
    }
}

/// <summary>An IRP's life in words.</summary>
static class IrpHistory
{
    public static IReadOnlyList<string> Of(NtKernel nt, Machine.Va irp) =>
        nt.IrpRecordOf(irp) is { } record ? [.. record.Events.Select(e => Describe(nt, e))] : [];

    static string Describe(NtKernel nt, IrpEvent e) => e.Kind switch
    {
        IrpEventKind.Dispatch => $"{e.Major} to {nt.Loader.Describe(e.Routine)}",
        IrpEventKind.Return => $"{nt.Loader.Describe(e.Routine)} returned {e.Status}",
        IrpEventKind.Complete => $"completed with {e.Status} by {nt.Loader.Describe(e.Routine)}",
        IrpEventKind.Completion => $"completion routine {nt.Loader.Describe(e.Routine)} returned {e.Status}",
        _ => $"canceled: {nt.Loader.Describe(e.Routine)}",
    };
}
