using Ringdown.Kernel;
using Ringdown.Machine;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Samples;

// Plug and play, and power.
public sealed partial class Function
{
    void Leave(Mailbox box, NtStatus status)
    {
        if (!box.X.Link.Buffer.IsNull) Nt.IoSetDeviceInterfaceState(box.X.Link, false);
        box.State = State.Gone;
        Drain(box, default, status);
    }

    NtStatus Plug(DeviceObject device, Irp irp)
    {
        Mailbox box = _boxes[device.Address];
        byte minor = irp.CurrentStackLocation.MinorFunction;
        NtStatus status = IoAcquireRemoveLock(box.X.RemoveLock, irp.Address);
        if (!status.IsSuccess) return Complete(irp, status);
        switch (minor)
        {
            case IRP_MN_START_DEVICE or IRP_MN_CANCEL_STOP_DEVICE or IRP_MN_CANCEL_REMOVE_DEVICE:
                return AfterBelow(box, irp, minor);
            case IRP_MN_QUERY_STOP_DEVICE or IRP_MN_QUERY_REMOVE_DEVICE:
                (box.Before, box.State) = (box.State, State.Held);
                break;
            case IRP_MN_STOP_DEVICE:
                box.State = State.Held;
                break;
            case IRP_MN_SURPRISE_REMOVAL:
                Leave(box, STATUS_NO_SUCH_DEVICE);
                break;
            case IRP_MN_REMOVE_DEVICE:
                return Remove(box, irp);
            default:
                return PassDown(box, irp);
        }
        irp.IoStatus = new IoStatusBlock(STATUS_SUCCESS, irp.IoStatus.Information);
        return PassDown(box, irp);
    }

    // First the drivers below, then this one.
    NtStatus AfterBelow(Mailbox box, Irp irp, byte minor)
    {
        if (!Nt.IoForwardIrpSynchronously(box.Below, irp)) irp.IoStatus = new IoStatusBlock(STATUS_UNSUCCESSFUL, 0);
        NtStatus status = irp.IoStatus.Status;
        if (minor == IRP_MN_START_DEVICE && status.IsSuccess)
        {
            (box.State, box.HasPower) = (State.Started, true);
            Nt.PoSetPowerState(box.Self, DevicePowerState, PowerDeviceD0);
            Nt.IoSetDeviceInterfaceState(box.X.Link, true);
            Pump(box);
        }
        else if (minor != IRP_MN_START_DEVICE && box.State == State.Held)
        {
            box.State = box.Before;
            Pump(box);
        }
        return End(box, irp, status, irp.IoStatus.Information);
    }

    NtStatus Remove(Mailbox box, Irp irp)
    {
        Leave(box, STATUS_DELETE_PENDING);
        irp.IoStatus = new IoStatusBlock(STATUS_SUCCESS, irp.IoStatus.Information);
        irp.SkipCurrentStackLocation();
        NtStatus status = Nt.IofCallDriver(box.Below, irp);
        IoReleaseRemoveLockAndWait(box.X.RemoveLock, irp.Address);
        Nt.IoDetachDevice(box.Below);
        Delete(box);
        return status;
    }

    NtStatus Power(DeviceObject device, Irp irp)
    {
        Mailbox box = _boxes[device.Address];
        IoStackLocation location = irp.CurrentStackLocation;
        bool isSet = location.MinorFunction == IRP_MN_SET_POWER, isQuery = location.MinorFunction == IRP_MN_QUERY_POWER;
        NtStatus status = IoAcquireRemoveLock(box.X.RemoveLock, irp.Address);
        if (!status.IsSuccess)
        {
            Nt.PoStartNextPowerIrp(irp);
            return Complete(irp, status);
        }
        if ((isSet || isQuery) && location.PowerStateType == SystemPowerState)
            return Down(box, irp, Routine(SystemPowered));
        if (isSet && location.PowerState == PowerDeviceD0) return Down(box, irp, Routine(PoweredUp));
        if (isSet)
        {
            // What comes from now on waits until the power is back.
            box.HasPower = false;
            Nt.PoSetPowerState(device, DevicePowerState, location.PowerState);
        }
        Nt.PoStartNextPowerIrp(irp);
        irp.SkipCurrentStackLocation();
        status = Nt.PoCallDriver(box.Below, irp);
        IoReleaseRemoveLock(box.X.RemoveLock, irp.Address);
        return status;
    }

    NtStatus Down(Mailbox box, Irp irp, Va then)
    {
        irp.MarkPending();
        irp.CopyCurrentStackLocationToNext();
        irp.SetCompletionRoutine(then, box.Self.Address);
        Nt.PoCallDriver(box.Below, irp);
        return STATUS_PENDING;
    }

    // The policy owner makes of the system's state one of its device.
    NtStatus SystemPowered(DeviceObject device, Irp irp, Va context)
    {
        Mailbox box = _boxes[context];
        IoStackLocation location = irp.CurrentStackLocation;
        if (irp.PendingReturned) irp.MarkPending();
        NtStatus status = irp.IoStatus.Status;
        if (status.IsSuccess)
            status = Nt.PoRequestPowerIrp(box.Physical, location.MinorFunction,
                location.PowerState == SystemWorking ? PowerDeviceD0 : PowerDeviceD3, Routine(DevicePowered),
                irp.Address, Va.Null);
        if (status == STATUS_PENDING) return STATUS_MORE_PROCESSING_REQUIRED;
        Nt.PoStartNextPowerIrp(irp);
        IoReleaseRemoveLock(box.X.RemoveLock, irp.Address);
        return STATUS_SUCCESS;
    }

    // The device's own power IRP is done; now the system's, for which it was asked, goes on to its end.
    void DevicePowered(DeviceObject device, byte minor, uint state, Irp irp, Va ioStatus)
    {
        Mailbox box = _boxes[irp.CurrentStackLocation.DeviceObject.Address];
        Nt.PoStartNextPowerIrp(irp);
        Nt.IofCompleteRequest(irp, IO_NO_INCREMENT);
        IoReleaseRemoveLock(box.X.RemoveLock, irp.Address);
    }

    NtStatus PoweredUp(DeviceObject device, Irp irp, Va context)
    {
        Mailbox box = _boxes[context];
        if (irp.PendingReturned) irp.MarkPending();
        Nt.PoSetPowerState(box.Self, DevicePowerState, PowerDeviceD0);
        box.HasPower = true;
        Pump(box);
        Nt.PoStartNextPowerIrp(irp);
        IoReleaseRemoveLock(box.X.RemoveLock, irp.Address);
        return STATUS_SUCCESS;
    }
}
