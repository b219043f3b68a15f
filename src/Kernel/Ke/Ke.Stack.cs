using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Kernel stacks: 24 KiB each with a guard page, and larger ones for a while.</summary>
sealed partial class Ke
{
    const ulong LargeStack = 0x1_2000, MaximumExpansion = LargeStack - 0x800;

    /// <summary>The stack that the running code is on: the thread's, or the processor's for interrupts or
    /// DPCs.</summary>
    public KernelStack CurrentStack =>
        Scheduler.Active is { InService: > 0 } serving ? serving.InterruptStack
        : Scheduler.Active is { Dpcs.IsDelivering: true } processor ? processor.DpcStack : Scheduler.Current.Stack;

    /// <summary>Calls a routine on a stack with at least so much room, which is made if need be.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public NtStatus KeExpandKernelStackAndCallout(Va callout, Va parameter, ulong size) =>
        Expand(callout, parameter, size);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public NtStatus KeExpandKernelStackAndCalloutEx(Va callout, Va parameter, ulong size, bool wait, Va context) =>
        Expand(callout, parameter, size);

    NtStatus Expand(Va callout, Va parameter, ulong size)
    {
        if (size > MaximumExpansion) return STATUS_INVALID_PARAMETER_3;
        KernelStack before = CurrentStack;
        if (before.Contains(_nt.Cpu.Rsp) && _nt.Cpu.Rsp - before.Limit.Value >= size)
        {
            _nt.Routines.Call(callout, parameter.Value);
            return STATUS_SUCCESS;
        }
        NtThread thread = Scheduler.Current;
        if (Scheduler.Active.Dpcs.IsDelivering) return STATUS_NO_MEMORY;
        KernelStack large = _nt.Mm.NewStack((int)LargeStack);
        SetStack(thread, large);
        try
        {
            _nt.Routines.CallOn(large, callout, parameter.Value);
        }
        finally
        {
            SetStack(thread, before);
            _nt.Mm.FreeStack(large);
        }
        return STATUS_SUCCESS;
    }

    static void SetStack(NtThread thread, KernelStack stack)
    {
        thread.Stack = stack;
        KThread shown = thread.Object;
        (shown.StackBase, shown.StackLimit) = (stack.Base, stack.Limit);
    }

    [Export]
    public void IoGetStackLimits(Va lowLimit, Va highLimit)
    {
        _nt.Memory.Write(lowLimit, CurrentStack.Limit);
        _nt.Memory.Write(highLimit, CurrentStack.Base);
    }

    /// <summary>Bytes between the caller's stack pointer and the end of its stack.</summary>
    [Export]
    public ulong IoGetRemainingStackSize() =>
        CurrentStack.Contains(_nt.Cpu.Rsp) ? _nt.Cpu.Rsp - CurrentStack.Limit.Value : 0;

    [Export]
    public bool IoWithinStackLimits(Va regionStart, ulong regionSize) =>
        regionStart >= CurrentStack.Limit && regionStart + regionSize <= CurrentStack.Base
        && regionStart + regionSize >= regionStart;
}
