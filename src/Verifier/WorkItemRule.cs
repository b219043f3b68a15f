using Ringdown.Kernel;
using Ringdown.Machine;

namespace Ringdown.Verifier;

/// <summary>A work item lies in memory that is never paged out: it is linked into a queue at
/// DISPATCH_LEVEL.</summary>
public sealed class WorkItemRule(Reporter reporter) : IObserver
{
    public void Enter(NtKernel nt, Export export, ReadOnlySpan<ulong> arguments)
    {
        Va? item = export.Name switch
        {
            nameof(NtKernel.ExQueueWorkItem) => new Va(arguments[0]),
            nameof(NtKernel.IoInitializeWorkItem) => new Va(arguments[1]),
            _ => null,
        };
        if (item is { } at && nt.IsPageable(at))
            reporter.Report(nt, "WorkItem", Severity.Error,
                $"The work item {nt.DescribeData(at)} lies in memory that may be paged out. (Driver Verifier: "
                + "0xC4/0x130)");
    }
}
