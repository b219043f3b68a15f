using Ringdown.Kernel;

namespace Ringdown.Verifier;

/// <summary>All rules, ready to be given to a kernel as its observers.</summary>
public static class Rules
{
    public static IReadOnlyList<IObserver> All(Reporter reporter) =>
        [
            new IrqlRule(reporter), new DispatchRule(reporter), new CompletionRule(reporter), new IrpRule(reporter),
            new DeviceRule(reporter), new RemoveLockRule(reporter), new PnpRule(reporter),
            new FastIoRule(reporter),
            new SpinLockRule(reporter), new LockOrderRule(reporter), new WaitRule(reporter), new WorkItemRule(reporter),
            new PowerRule(reporter), new DmaRule(reporter),
        ];
}
