using Ringdown.Kernel;
using static Ringdown.Kernel.Status;

namespace Ringdown.Verifier;

/// <summary>What a dispatch routine returns agrees with what it did to the IRP, and the IRQL is as it was.</summary>
public sealed class DispatchRule(Reporter reporter) : IObserver
{
    public bool WantsIrpHistory => true;

    public void Dispatched(NtKernel nt, Dispatched d)
    {
        string routine = $"{nt.Loader.Describe(d.Routine)} ({d.Major})";
        // Who returns what the lower driver has returned marks the IRP in its completion routine.
        bool willMark = d.LowerPended && d.Completed is null;
        if (d.Status == STATUS_PENDING && !d.MarkedPending && !willMark)
            Report(nt, d, $"{routine} returned STATUS_PENDING without IoMarkIrpPending.", "0xC9/0x23D");
        else if (d.MarkedPending && d.Status != STATUS_PENDING)
            Report(nt, d, $"{routine} marked the IRP pending, but returned {d.Status}.", "0xC9/0x23E");
        else if (d.Completed is null && !d.MarkedPending && d.Status != STATUS_PENDING)
            Report(nt, d, $"{routine} returned {d.Status}, but the IRP is neither completed nor marked pending.",
                "0xC9/0x226");
        else if (d.Completed is { } completed && !d.MarkedPending && completed != d.Status)
            Report(nt, d, $"{routine} completed the IRP with {completed}, but returned {d.Status}.", "0xC9/0x224");
        if (nt.CurrentIrql != d.IrqlBefore)
            Report(nt, d, $"{routine} was called at IRQL {d.IrqlBefore} and returned at {nt.CurrentIrql}.", "0xC9/0x5");
    }

    void Report(NtKernel nt, Dispatched d, string message, string code) =>
        reporter.Findings.Add(new Finding("Dispatch", Severity.Error, $"{message} (Driver Verifier: {code})")
        {
            Driver = nt.Loader.ImageAt(d.Routine)?.ModuleName,
            During = reporter.During,
            Stack = nt.StackFrom(d.Routine),
            IrpHistory = IrpHistory.Of(nt, d.Irp),
            Seed = reporter.Seed,
        });
}
