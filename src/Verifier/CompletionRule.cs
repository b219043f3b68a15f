using Ringdown.Kernel;
using Ringdown.Machine;
using static Ringdown.Kernel.Status;

namespace Ringdown.Verifier;

/// <summary>An IRP is completed with a final status, with no more data than there is room for, and without a cancel
/// routine; completion routines pass on that it was pending, and change nothing of the thread that they run
/// in.</summary>
public sealed class CompletionRule(Reporter reporter) : IObserver
{
    public bool WantsIrpHistory => true;

    public void Completed(NtKernel nt, Completed c)
    {
        bool transfers = c.Major is IrpMajor.IRP_MJ_READ || c.Major == IrpMajor.IRP_MJ_DEVICE_CONTROL
            && (c.ControlCode & 3) == 0;
        if (transfers && c.Status.Value < 0xC000_0000 && c.Information > c.OutputLength)
            Report(nt, $"{c.Major} was completed with Information {c.Information}, but the caller's buffer has "
                + $"{c.OutputLength} bytes: Windows would copy that much, past its end.", "0xC9/0x312");
    }

    public void IrpUsed(NtKernel nt, IrpUse use, Irp irp)
    {
        if (use != IrpUse.Complete) return;
        NtStatus status = irp.IoStatus.Status;
        if (status == STATUS_PENDING || status.Value == uint.MaxValue)
            Report(nt, $"{Name(irp)} was completed with {status}.", "0xC9/0x6", irp.Address);
        if (!irp.CancelRoutine.IsNull)
            Report(nt, "The IRP is completed while its cancel routine is still set.",
                "0xC9/0x7 and 0x23C", irp.Address);
    }

    static string Name(Irp irp) =>
        irp.CurrentLocation > irp.StackCount ? "The IRP" : irp.CurrentStackLocation.MajorFunction.ToString();

    public void CompletionReturned(NtKernel nt, CompletionReturned c)
    {
        string routine = nt.Loader.Describe(c.Routine);
        if (c.Pending && !c.Marked)
            Report(nt, $"The completion routine {routine} was called for a pending IRP, and did not pass that on by "
                + "IoMarkIrpPending.", "0xC9/0x228", c.Irp);
        if (nt.CurrentIrql != c.IrqlBefore)
            Report(nt, $"The completion routine {routine} was called at IRQL {c.IrqlBefore} and returned at "
                + $"{nt.CurrentIrql}.", "0xC4/0xFA", c.Irp);
        if (c.ApcDisable != 0)
            Report(nt, $"The completion routine {routine} returned {Math.Abs(c.ApcDisable)} "
                + $"{(c.ApcDisable > 0 ? "deeper in" : "further out of")} critical regions than it was called.",
                "0xC4/0xFB", c.Irp);
        if (nt.IsPageable(c.Routine))
            Report(nt, $"The completion routine {routine} lies in code that may be paged out, but it may be called at "
                + "DISPATCH_LEVEL.", "0xC9/0x227", c.Irp);
    }

    public void IrpTouchedAfterCompletion(NtKernel nt, Va irp, Va address) =>
        reporter.Report(nt, "Completion", Severity.Error,
            $"The IRP is touched (at offset 0x{address - irp:x}) after it was completed.");

    void Report(NtKernel nt, string message, string code, Va? irp = null) =>
        reporter.Report(nt, "Completion", Severity.Error, $"{message} (Driver Verifier: {code})", irp);
}
