using Ringdown.Kernel;
using Ringdown.Machine;

namespace Ringdown.Verifier;

/// <summary>A driver holds none of its spin locks when it completes an IRP or sends one: whoever is called may want the
/// same lock.</summary>
/// <remarks>A spin lock is a lock with which its holder is at DISPATCH_LEVEL.</remarks>
public sealed class SpinLockRule(Reporter reporter) : IObserver
{
    readonly HeldLocks _locks = new();
    readonly HashSet<ulong> _spinLocks = [];

    public void Enter(NtKernel nt, Export export, ReadOnlySpan<ulong> arguments) => _locks.Enter(nt, export, arguments);

    public void Leave(NtKernel nt, Export export, ulong result)
    {
        if (_locks.Leave(nt, export, result) is { } taken && nt.CurrentIrql >= Irql.DISPATCH_LEVEL)
            _spinLocks.Add(taken);
    }

    public void IrpUsed(NtKernel nt, IrpUse use, Irp irp)
    {
        if (use == IrpUse.Complete) Check(nt, irp, "completed");
    }

    public void Dispatching(NtKernel nt, Irp irp, IrpMajor major, Va routine) => Check(nt, irp, "sent");

    void Check(NtKernel nt, Irp irp, string what)
    {
        if (nt.CurrentIrql < Irql.DISPATCH_LEVEL) return;
        foreach (ulong held in _locks.Held(nt))
        {
            if (!_spinLocks.Contains(held)) continue;
            reporter.Report(nt, "SpinLock", Severity.Error,
                $"The IRP is {what} while {HeldLocks.Name(nt, held)} is held. (SDV: SpinLockSafe)", irp.Address);
            return;
        }
    }
}
