using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>What the kernel keeps of KINTERRUPT: it is opaque to drivers.</summary>
[Layout("_KINTERRUPT", Size = 0x100)]
public readonly partial struct KInterrupt
{
    [Field(0x18)] public partial Va ServiceRoutine { get; set; }
    [Field(0x30)] public partial Va ServiceContext { get; set; }
    [Field(0x38)] public partial ulong SpinLock { get; set; }
    [Field(0x48)] public partial Va ActualLock { get; set; }
    [Field(0x58)] public partial uint Vector { get; set; }
    [Field(0x5C)] public partial Irql Irql { get; set; }
    [Field(0x5D)] public partial Irql SynchronizeIrql { get; set; }
    [Field(0x5E)] public partial bool IsShared { get; set; }
    [Field(0x5F)] public partial bool IsLatched { get; set; }
    [Field(0x60)] public partial bool IsInactive { get; set; }

    /// <summary>The service routine has a third argument: the message.</summary>
    [Field(0x61)] public partial bool IsMessage { get; set; }

    /// <summary>The service routine runs in a thread.</summary>
    [Field(0x62)] public partial bool IsPassive { get; set; }
    [Field(0x64)] public partial uint MessageId { get; set; }

    /// <summary>Those on which it is connected, a bit each.</summary>
    [Field(0x68)] public partial ulong Processors { get; set; }

    /// <summary>Held while a routine of a passive interrupt runs, as the spin lock is for others.</summary>
    [Embedded(0x80)] public partial KEvent PassiveLock { get; }
}

/// <summary>What a service routine is to be connected to.</summary>
/// <param name="Processors">A bit each.</param>
/// <param name="Message">The number of the message; null: it is a line.</param>
readonly record struct InterruptRequest(
    Va ServiceRoutine, Va ServiceContext, Va SpinLock, uint Vector, Irql Irql, Irql SynchronizeIrql, bool IsLatched,
    bool Shares, ulong Processors, uint? Message = null);

/// <summary>Interrupt objects.</summary>
sealed partial class Ke
{
    const uint InterruptTag = 0x6E49_654B;

    /// <summary>Connects a service routine to a vector. Of several processors that are enabled, the first services a
    /// line, and each the messages that are sent to it.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoConnectInterrupt(
        Va interruptObject, Va serviceRoutine, Va serviceContext, Va spinLock, uint vector, Irql irql,
            Irql synchronizeIrql,
        uint interruptMode, bool shareVector, ulong processorEnableMask, bool floatingSave)
    {
        const uint latched = 1;
        if (irql == PASSIVE_LEVEL || interruptMode > latched) return STATUS_INVALID_PARAMETER;
        NtStatus status = Connect(new InterruptRequest(serviceRoutine, serviceContext, spinLock, vector, irql,
            synchronizeIrql, interruptMode == latched, shareVector, processorEnableMask), out KInterrupt made);
        if (status.IsSuccess) _nt.Memory.Write(interruptObject, made.Address);
        return status;
    }

    /// <summary>Connects a service routine: at a device's IRQL, or at PASSIVE_LEVEL in a thread.</summary>
    public NtStatus Connect(InterruptRequest request, out KInterrupt made)
    {
        made = KInterrupt.At(_nt.Memory, Va.Null);
        bool isPassive = request.Irql == PASSIVE_LEVEL && request.SynchronizeIrql == PASSIVE_LEVEL;
        if (!isPassive && request.Irql <= DISPATCH_LEVEL || request.SynchronizeIrql < request.Irql
            || request.SynchronizeIrql > HIGH_LEVEL || request.Processors == 0
            || isPassive && !request.SpinLock.IsNull) return STATUS_INVALID_PARAMETER;
        KInterrupt interrupt = KInterrupt.At(_nt.Memory, _nt.Mm.Pool.Allocate(KInterrupt.Size, InterruptTag));
        (interrupt.ServiceRoutine, interrupt.ServiceContext) = (request.ServiceRoutine, request.ServiceContext);
        (interrupt.Vector, interrupt.Irql) = (request.Vector, request.Irql);
        (interrupt.SynchronizeIrql, interrupt.IsPassive) = (request.SynchronizeIrql, isPassive);
        interrupt.Processors = request.Processors;
        interrupt.ActualLock = request.SpinLock.IsNull ? interrupt.Address + 0x38 : request.SpinLock;
        (interrupt.IsMessage, interrupt.MessageId) = (request.Message is not null, request.Message ?? 0);
        KeInitializeEvent(interrupt.PassiveLock, Wdm.SynchronizationEvent, true);
        InterruptTrigger trigger = request.IsLatched ? InterruptTrigger.Edge : InterruptTrigger.Level;
        if (!Interrupts.TryConnect(interrupt, trigger, request.Shares, request.Processors))
        {
            _nt.Mm.Pool.Free(interrupt.Address);
            return STATUS_INVALID_PARAMETER;
        }
        made = interrupt;
        return STATUS_SUCCESS;
    }

    /// <summary>When it returns the service routine does not run, and is not called any more.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public void IoDisconnectInterrupt([FreesMem] KInterrupt interruptObject)
    {
        if (!Interrupts.Disconnect(interruptObject))
            throw new BugCheck(BugCheckCode.INVALID_DATA_ACCESS_TRAP, interruptObject.Address.Value);
        if (interruptObject.IsPassive) WaitFor([interruptObject.PassiveLock.Header], all: false, deadline: null);
        _nt.Mm.Pool.Free(interruptObject.Address);
    }

    /// <summary>Runs a routine as the interrupt's service routine would run: at its IRQL, holding its lock; of one
    /// whose routine runs in a thread, at PASSIVE_LEVEL.</summary>
    [Export]
    public bool KeSynchronizeExecution(KInterrupt interrupt, Va synchronizeRoutine, Va synchronizeContext)
    {
        if (interrupt.IsPassive)
            return Interrupts.CallPassive(interrupt, synchronizeRoutine, synchronizeContext.Value);
        Irql old = KeAcquireInterruptSpinLock(interrupt);
        bool result = (byte)_nt.Routines.Call(synchronizeRoutine, synchronizeContext.Value) != 0;
        KeReleaseInterruptSpinLock(interrupt, old);
        return result;
    }

    [Export]
    public Irql KeAcquireInterruptSpinLock(KInterrupt interrupt)
    {
        Irql old = Raise(interrupt.SynchronizeIrql);
        Acquire(interrupt.ActualLock);
        return old;
    }

    [Export]
    public void KeReleaseInterruptSpinLock(KInterrupt interrupt, Irql oldIrql)
    {
        Release(interrupt.ActualLock);
        Lower(oldIrql);
    }
}
