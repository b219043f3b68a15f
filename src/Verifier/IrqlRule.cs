using Ringdown.Kernel;

namespace Ringdown.Verifier;

/// <summary>An export is called at an IRQL that its contract allows. Holds for every export that states one.</summary>
public sealed class IrqlRule(Reporter reporter) : IObserver
{
    public void Enter(NtKernel nt, Export export, ReadOnlySpan<ulong> arguments)
    {
        Irql irql = nt.CurrentIrql;
        if (irql >= export.MinIrql && irql <= export.MaxIrql) return;
        string limit = irql > export.MaxIrql ? $"at most {export.MaxIrql}" : $"at least {export.MinIrql}";
        reporter.Report(nt, "Irql", Severity.Error,
            $"{export.Name} was called at IRQL {irql}; its contract says {limit}.");
    }
}
