using Ringdown.Kernel;
using Ringdown.Machine;
using static Ringdown.Kernel.Status;

namespace Ringdown.Verifier;

/// <summary>An IRP is completed with a final status, with no more data than there is room for, and without a cancel
/// routine.</summary>
public sealed class CompletionRule(Reporter reporter) : IObserver
{
    public bool WantsIrpHistory => true;

    public void Completed(NtKernel nt, Completed c)
    {
        if (c.Status == STATUS_PENDING)
            reporter.Report(nt, "Completion", Severity.Error, $"{c.Major} was completed with STATUS_PENDING.");
        bool transfers = c.Major is IrpMajor.IRP_MJ_READ || c.Major == IrpMajor.IRP_MJ_DEVICE_CONTROL
            && (c.ControlCode & 3) == 0;
        if (transfers && c.Status.Value < 0xC000_0000 && c.Information > c.OutputLength)
            reporter.Report(nt, "Completion", Severity.Error,
                $"{c.Major} was completed with Information {c.Information}, but the caller's buffer has {c.OutputLength} bytes: "
                + "Windows would copy that much, past its end.");
    }

    public void IrpTouchedAfterCompletion(NtKernel nt, Va irp, Va address) =>
        reporter.Report(nt, "Completion", Severity.Error,
            $"The IRP is touched (at offset 0x{address - irp:x}) after it was completed.");

    public void CompletedWithCancelRoutine(NtKernel nt, Irp irp) =>
        reporter.Report(nt, "Completion", Severity.Error, "The IRP is completed while its cancel routine is still set.",
            irp.Address);
}
