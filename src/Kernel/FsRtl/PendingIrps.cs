using Ringdown.Machine;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>IRPs that wait in the file system library, and what is to be done when one is canceled.</summary>
sealed class PendingIrps(NtKernel nt)
{
    readonly Dictionary<Va, Action> _canceled = [];

    Va CancelRoutine
    {
        get
        {
            if (field.IsNull)
                field = nt.Routines.Add("FsRtlpCancelIrp", (_, call) => OnCancel(new Va(call.Argument(1))));
            return field;
        }
    }

    void OnCancel(Va address)
    {
        Irp irp = Irp.At(nt.Memory, address);
        nt.Io.IoReleaseCancelSpinLock(irp.CancelIrql);
        if (_canceled.Remove(address, out Action? canceled)) canceled();
    }

    /// <summary>Marks an IRP pending and lets it wait. <paramref name="canceled"/> must take it from wherever it waits
    /// and have it completed; it is called at once if the IRP is canceled already.</summary>
    public void Add(Irp irp, Action canceled)
    {
        IoStackLocation location = irp.CurrentStackLocation;
        location.Control |= StackControl.SL_PENDING_RETURNED;
        if (irp.Cancel)
        {
            canceled();
            return;
        }
        _canceled[irp.Address] = canceled;
        irp.CancelRoutine = CancelRoutine;
    }

    /// <summary>It waits no more, and cannot be canceled.</summary>
    public void Remove(Irp irp)
    {
        if (_canceled.Remove(irp.Address)) irp.CancelRoutine = Va.Null;
    }

    public void Complete(Irp irp, NtStatus status, ulong information = 0)
    {
        Remove(irp);
        irp.IoStatus = new IoStatusBlock(status, information);
        nt.Io.IofCompleteRequest(irp, 0);
    }

    public void Cancel(Irp irp) => Complete(irp, STATUS_CANCELLED);
}
