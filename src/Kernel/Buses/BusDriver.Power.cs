using Ringdown.Machine;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Kernel;

/// <summary>Power of the devices on the bus, and waking.</summary>
public abstract partial class BusDriver
{
    NtStatus ChildPower(BusChild child, Irp irp)
    {
        IoStackLocation location = irp.CurrentStackLocation;
        NtStatus status = irp.IoStatus.Status;
        switch (location.MinorFunction)
        {
            case IRP_MN_WAIT_WAKE:
                return WaitWake(child, irp, location.WakeState);
            case IRP_MN_SET_POWER:
                if (location.PowerStateType == DevicePowerState) SetPower(child, location.PowerState);
                else if (!child.IsGone) child.SetSystemPower(location.PowerState);
                status = STATUS_SUCCESS;
                break;
            case IRP_MN_QUERY_POWER:
                status = STATUS_SUCCESS;
                break;
        }
        Nt.PoStartNextPowerIrp(irp);
        return Complete(irp, status, irp.IoStatus.Information);
    }

    void SetPower(BusChild child, uint state)
    {
        const uint d0 = 1, d3 = 4;
        if (state is < d0 or > d3) return;
        if (!child.IsGone) child.SetPower(state);
        Nt.PoSetPowerState(child.PhysicalDevice, DevicePowerState, state);
    }

    /// <summary>Keeps the IRP until the device wakes the system, or the IRP is canceled.</summary>
    NtStatus WaitWake(BusChild child, Irp irp, uint systemState)
    {
        NtStatus? refused = child.SystemWake == 0 ? STATUS_NOT_SUPPORTED : child.IsGone ? STATUS_NO_SUCH_DEVICE
            : child.WaitWake is not null ? STATUS_DEVICE_BUSY
            : systemState > child.SystemWake ? STATUS_INVALID_DEVICE_STATE : null;
        if (refused is { } status)
        {
            Nt.PoStartNextPowerIrp(irp);
            return Complete(irp, status);
        }
        Irql old = IoAcquireCancelSpinLock();
        irp.MarkPending();
        irp.SetCancelRoutine(Routine(CancelWaitWake));
        bool isCanceled = irp.Cancel && !irp.SetCancelRoutine(Va.Null).IsNull;
        if (!isCanceled) child.WaitWake = irp;
        Nt.IoReleaseCancelSpinLock(old);
        Nt.PoStartNextPowerIrp(irp);
        if (isCanceled) Complete(irp, STATUS_CANCELLED);
        else child.EnableWake(true);
        return STATUS_PENDING;
    }

    void CancelWaitWake(DeviceObject device, Irp irp)
    {
        BusChild? child = _children.GetValueOrDefault(device.Address);
        if (child is not null) child.WaitWake = null;
        Nt.IoReleaseCancelSpinLock(irp.CancelIrql);
        if (child is { IsGone: false }) child.EnableWake(false);
        Complete(irp, STATUS_CANCELLED);
    }

    void CompleteWaitWake(BusChild child, NtStatus status)
    {
        Irql old = IoAcquireCancelSpinLock();
        // Whose cancel routine runs already is completed there.
        Irp? waiting = child.WaitWake is { } irp && !irp.SetCancelRoutine(Va.Null).IsNull ? irp : null;
        if (waiting is not null) child.WaitWake = null;
        Nt.IoReleaseCancelSpinLock(old);
        if (!child.IsGone) child.EnableWake(false);
        if (waiting is { } woken) Complete(woken, status);
    }
}
