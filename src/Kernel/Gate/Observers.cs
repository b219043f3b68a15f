using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>An observer that sees every step of every IRP. Without one nothing is made up for it.</summary>
public interface IIrpObserver : IObserver
{
    /// <summary>The step is about to happen, or has just happened, as its kind says. The IRP can be read at <see
    /// cref="IrpEventKind.Dispatch"/>, <see cref="IrpEventKind.Complete"/> and <see cref="IrpEventKind.Finish"/>; at
    /// the others it may be gone.</summary>
    void Stepped(NtKernel nt, IrpStep step);
}

/// <summary>An observer that sees what processors do: which thread runs, DPCs, the IRQL.</summary>
public interface IProcessorObserver : IObserver
{
    void ThreadSwitched(NtKernel nt, ThreadSwitch change);

    /// <summary>A DPC's routine is about to be called, on the processor that runs.</summary>
    void DpcStarting(NtKernel nt, int processor, Va routine);

    /// <summary>It has returned.</summary>
    void DpcEnded(NtKernel nt, int processor, Va routine);

    void IrqlChanged(NtKernel nt, int processor, Irql irql);
}

/// <summary>A processor goes from one thread to another. 0 is its idle thread.</summary>
/// <param name="Name">The next thread's.</param>
/// <param name="IsEnded">The thread before is gone for good.</param>
public readonly record struct ThreadSwitch(int Processor, ulong Before, ulong Next, string Name, bool IsEnded);
