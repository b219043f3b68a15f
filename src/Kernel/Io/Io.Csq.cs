using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Cancel-safe queues: the driver has the queue and its lock, the system the cancel routine.</summary>
/// <remarks>An IRP is in the queue, or is taken out by one of two: whoever clears its cancel routine first.</remarks>
sealed partial class Io
{
    const uint CsqTag = 0x7173_436F;

    [Export]
    public NtStatus IoCsqInitialize(
        IoCsq csq, Va csqInsertIrp, Va csqRemoveIrp, Va csqPeekNextIrp, Va csqAcquireLock, Va csqReleaseLock,
        Va csqCompleteCanceledIrp)
    {
        csq.Type = IoCsq.Ordinary;
        (csq.CsqInsertIrp, csq.CsqRemoveIrp, csq.CsqPeekNextIrp) = (csqInsertIrp, csqRemoveIrp, csqPeekNextIrp);
        (csq.CsqAcquireLock, csq.CsqReleaseLock) = (csqAcquireLock, csqReleaseLock);
        (csq.CsqCompleteCanceledIrp, csq.ReservePointer) = (csqCompleteCanceledIrp, Va.Null);
        return STATUS_SUCCESS;
    }

    /// <summary>The same; its insert routine may refuse an IRP.</summary>
    [Export]
    public NtStatus IoCsqInitializeEx(
        IoCsq csq, Va csqInsertIrp, Va csqRemoveIrp, Va csqPeekNextIrp, Va csqAcquireLock, Va csqReleaseLock,
        Va csqCompleteCanceledIrp)
    {
        IoCsqInitialize(csq, csqInsertIrp, csqRemoveIrp, csqPeekNextIrp, csqAcquireLock, csqReleaseLock,
            csqCompleteCanceledIrp);
        csq.Type = IoCsq.Extended;
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void IoCsqInsertIrp(IoCsq csq, Irp irp, IoCsqIrpContext context) =>
        IoCsqInsertIrpEx(csq, irp, context, Va.Null);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public NtStatus IoCsqInsertIrpEx(IoCsq csq, Irp irp, IoCsqIrpContext context, Va insertContext)
    {
        irp.DriverContext3 = csq.Address;
        if (!context.IsNull)
        {
            irp.DriverContext3 = context.Address;
            (context.Type, context.Irp, context.Csq) = (IoCsq.Context, irp, csq);
        }
        csq.ReservePointer = Va.Null;
        Irql old = LockQueue(csq);
        NtStatus status = Insert(csq, irp, insertContext);
        if (status.IsSuccess) MakeCancelable(csq, irp, context, old);
        else Refuse(csq, irp, context, old);
        return status;
    }

    void Refuse(IoCsq csq, Irp irp, IoCsqIrpContext context, Irql old)
    {
        Forget(irp, context);
        UnlockQueue(csq, old);
    }

    void MakeCancelable(IoCsq csq, Irp irp, IoCsqIrpContext context, Irql old)
    {
        irp.CancelRoutine = CsqCancelRoutine;
        Note(irp, IrpEventKind.Queue, Va.Null);
        // Canceled before there was a routine to tell: unless the canceler has it now, that is done here.
        if (irp.Cancel && TakeCancelRoutine(irp)) Abandon(csq, irp, context, old);
        else UnlockQueue(csq, old);
    }

    NtStatus Insert(IoCsq csq, Irp irp, Va insertContext)
    {
        MarkPending(irp.CurrentStackLocation);
        if (csq.Type != IoCsq.Extended)
        {
            nt.Routines.Call(csq.CsqInsertIrp, csq.Address.Value, irp.Address.Value);
            return STATUS_SUCCESS;
        }
        var status = new NtStatus((uint)nt.Routines.Call(
            csq.CsqInsertIrp, csq.Address.Value, irp.Address.Value, insertContext.Value));
        if (!status.IsSuccess) ClearPending(irp.CurrentStackLocation);
        return status;
    }

    static void ClearPending(IoStackLocation location) => location.Control &= ~StackControl.SL_PENDING_RETURNED;

    void Abandon(IoCsq csq, Irp irp, IoCsqIrpContext context, Irql old)
    {
        nt.Routines.Call(csq.CsqRemoveIrp, csq.Address.Value, irp.Address.Value);
        Forget(irp, context);
        UnlockQueue(csq, old);
        nt.Routines.Call(csq.CsqCompleteCanceledIrp, csq.Address.Value, irp.Address.Value);
    }

    void Forget(Irp irp, IoCsqIrpContext context)
    {
        Note(irp, IrpEventKind.Dequeue, Va.Null);
        if (!context.IsNull) context.Irp = Irp.At(nt.Memory, Va.Null);
        irp.DriverContext3 = Va.Null;
    }

    // The context of the IRP, if it was inserted with one.
    IoCsqIrpContext ContextOf(Irp irp)
    {
        var context = IoCsqIrpContext.At(nt.Memory, irp.DriverContext3);
        return !context.IsNull && context.Type == IoCsq.Context ? context : IoCsqIrpContext.At(nt.Memory, Va.Null);
    }

    /// <returns>Whether there was one: then the IRP is the caller's.</returns>
    static bool TakeCancelRoutine(Irp irp)
    {
        Va routine = irp.CancelRoutine;
        irp.CancelRoutine = Va.Null;
        return !routine.IsNull;
    }

    Va CsqCancelRoutine
    {
        get
        {
            if (field.IsNull) field = nt.Routines.Add("IopCsqCancelRoutine", static (nt, call) =>
                nt.Io.CancelQueued(Irp.At(nt.Memory, new Va(call.Argument(1)))));
            return field;
        }
    }

    void CancelQueued(Irp irp)
    {
        IoReleaseCancelSpinLock(irp.CancelIrql);
        IoCsqIrpContext context = ContextOf(irp);
        IoCsq csq = context.IsNull ? IoCsq.At(nt.Memory, irp.DriverContext3) : context.Csq;
        Abandon(csq, irp, context, LockQueue(csq));
    }

    /// <summary>Takes out the first IRP that the driver's peek routine names and nobody has canceled.</summary>
    /// <returns>Null if there is none.</returns>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public Irp IoCsqRemoveNextIrp(IoCsq csq, Va peekContext)
    {
        csq.ReservePointer = Va.Null;
        Irql old = LockQueue(csq);
        Irp irp = Peek(csq, Va.Null, peekContext);
        while (!irp.IsNull && !TakeCancelRoutine(irp))
        {
            nt.Ke.Clock.Spend();
            irp = Peek(csq, irp.Address, peekContext);
        }
        if (!irp.IsNull)
        {
            nt.Routines.Call(csq.CsqRemoveIrp, csq.Address.Value, irp.Address.Value);
            Forget(irp, ContextOf(irp));
        }
        UnlockQueue(csq, old);
        return irp;
    }

    Irp Peek(IoCsq csq, Va after, Va peekContext) =>
        Irp.At(nt.Memory, new Va(nt.Routines.Call(
            csq.CsqPeekNextIrp, csq.Address.Value, after.Value, peekContext.Value)));

    /// <summary>Takes out the IRP that was inserted with a context.</summary>
    /// <returns>Null if it is out already: taken, or canceled.</returns>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public Irp IoCsqRemoveIrp(IoCsq csq, IoCsqIrpContext context)
    {
        csq.ReservePointer = Va.Null;
        Irql old = LockQueue(csq);
        Irp irp = context.Irp;
        bool isMine = !irp.IsNull && TakeCancelRoutine(irp);
        if (isMine)
        {
            nt.Routines.Call(csq.CsqRemoveIrp, csq.Address.Value, irp.Address.Value);
            Forget(irp, context);
        }
        UnlockQueue(csq, old);
        return isMine ? irp : Irp.At(nt.Memory, Va.Null);
    }

    // The driver's lock routine gives back the IRQL that its release routine wants.
    Irql LockQueue(IoCsq csq)
    {
        Va place = nt.Mm.Pool.Allocate(8, CsqTag);
        nt.Routines.Call(csq.CsqAcquireLock, csq.Address.Value, place.Value);
        Irql old = nt.Memory.Read<Irql>(place);
        nt.Mm.Pool.Free(place);
        return old;
    }

    void UnlockQueue(IoCsq csq, Irql old) =>
        nt.Routines.Call(csq.CsqReleaseLock, csq.Address.Value, (ulong)old);
}
