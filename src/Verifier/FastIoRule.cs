using Ringdown.Kernel;
using Ringdown.Machine;

namespace Ringdown.Verifier;

/// <summary>A routine for fast I/O leaves the IRQL, and the regions that the thread is in, as they were.</summary>
public sealed class FastIoRule(Reporter reporter) : IObserver
{
    public void FastIoReturned(NtKernel nt, Va routine, Irql irqlBefore, int apcDisable)
    {
        string name = nt.Loader.Describe(routine);
        if (nt.CurrentIrql != irqlBefore)
            Report(nt, $"{name} was called at IRQL {irqlBefore} and returned at {nt.CurrentIrql}.", "0xC9/0x11");
        if (apcDisable != 0)
            Report(nt, $"{name} did not leave as many critical regions as it entered, or more.", "0xC4/0xC6");
    }

    void Report(NtKernel nt, string message, string code) =>
        reporter.Report(nt, "FastIo", Severity.Error, $"{message} (Driver Verifier: {code})");
}
