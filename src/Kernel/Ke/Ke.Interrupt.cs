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
}

/// <summary>Interrupt objects.</summary>
sealed partial class Ke
{
    const uint InterruptTag = 0x6E49_654B;

    /// <summary>Connects a service routine to a vector. Of several processors that are enabled, the first services
    /// it.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoConnectInterrupt(
        Va interruptObject, Va serviceRoutine, Va serviceContext, Va spinLock, uint vector, Irql irql,
            Irql synchronizeIrql,
        uint interruptMode, bool shareVector, ulong processorEnableMask, bool floatingSave)
    {
        const uint latched = 1;
        if (synchronizeIrql < irql || irql <= DISPATCH_LEVEL || synchronizeIrql > HIGH_LEVEL
            || interruptMode > latched || processorEnableMask == 0) return STATUS_INVALID_PARAMETER;
        KInterrupt made = KInterrupt.At(_nt.Memory, _nt.Mm.Pool.Allocate(KInterrupt.Size, InterruptTag));
        (made.ServiceRoutine, made.ServiceContext, made.Vector) = (serviceRoutine, serviceContext, vector);
        (made.Irql, made.SynchronizeIrql) = (irql, synchronizeIrql);
        made.ActualLock = spinLock.IsNull ? made.Address + 0x38 : spinLock;
        InterruptTrigger trigger = interruptMode == latched ? InterruptTrigger.Edge : InterruptTrigger.Level;
        if (!Interrupts.TryConnect(made, trigger, shareVector, processorEnableMask))
        {
            _nt.Mm.Pool.Free(made.Address);
            return STATUS_INVALID_PARAMETER;
        }
        _nt.Memory.Write(interruptObject, made.Address);
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public void IoDisconnectInterrupt([FreesMem] KInterrupt interruptObject)
    {
        if (!Interrupts.Disconnect(interruptObject))
            throw new BugCheck(BugCheckCode.INVALID_DATA_ACCESS_TRAP, interruptObject.Address.Value);
        _nt.Mm.Pool.Free(interruptObject.Address);
    }

    /// <summary>Runs a routine as the interrupt's service routine would run: at its IRQL, holding its lock.</summary>
    [Export]
    public bool KeSynchronizeExecution(KInterrupt interrupt, Va synchronizeRoutine, Va synchronizeContext)
    {
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
