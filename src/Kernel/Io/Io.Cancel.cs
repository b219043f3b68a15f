using Ringdown.Machine;
using static Ringdown.Kernel.Irql;

namespace Ringdown.Kernel;

/// <summary>Canceling: who clears the cancel routine owns the IRP.</summary>
sealed partial class Io
{
    [Export, AcquiresLock, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void IoAcquireCancelSpinLock(Va irql) =>
        nt.Memory.Write(irql, (byte)nt.Ke.KeAcquireSpinLockRaiseToDpc(CancelLock));

    [Export, ReleasesLock, IrqlRequiresMin(DISPATCH_LEVEL), IrqlRequiresMax(DISPATCH_LEVEL)]
    public void IoReleaseCancelSpinLock(Irql irql) => nt.Ke.KeReleaseSpinLock(CancelLock, irql);

    /// <summary>The system's cancel spin lock.</summary>
    public Va CancelLock
    {
        get
        {
            if (field.IsNull) field = nt.Mm.Pool.Allocate(8, 0x636E_6143);
            return field;
        }
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public bool IoCancelIrp(Irp irp)
    {
        Irql old = nt.Ke.KeAcquireSpinLockRaiseToDpc(CancelLock);
        irp.Cancel = true;
        Va routine = irp.CancelRoutine;
        irp.CancelRoutine = Va.Null;
        if (routine.IsNull)
        {
            nt.Ke.KeReleaseSpinLock(CancelLock, old);
            return false;
        }
        irp.CancelIrql = old;
        CallCancelRoutine(irp, routine);
        return true;
    }

    /// <summary>Calls a cancel routine with the cancel lock held, which the routine gives back.</summary>
    void CallCancelRoutine(Irp irp, Va routine)
    {
        (Va address, Va device, int depth) =
            (irp.Address, irp.CurrentStackLocation.DeviceObject.Address, DepthOf(irp));
        if (nt.WatchesIrps)
            Note(Record(irp), address, depth, new IrpEvent(IrpEventKind.Cancel, device, routine, 0, default));
        nt.Routines.Call(routine, device.Value, address.Value);
        if (nt.WatchesIrps)
            Note(null, address, depth, new IrpEvent(IrpEventKind.CancelReturn, device, routine, 0, default));
        if (nt.Ke.IsHeldHere(CancelLock))
            throw new BugCheck(BugCheckCode.DRIVER_RETURNED_HOLDING_CANCEL_LOCK, address.Value, routine.Value);
    }
}
