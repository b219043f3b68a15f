using Ringdown.Kernel;
using Ringdown.Machine;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Samples;

/// <summary>A serial port: a WDM driver for a 16550 (PNP0501), driven by interrupts. \Device\SerialN, COM(N+1).</summary>
public sealed partial class Serial : NtDriver
{
    const uint RTL_REGISTRY_DEVICEMAP = 4, PLUGPLAY_REGKEY_DEVICE = 1, KEY_READ = 0x20019, REG_SZ = 1,
        KeyValuePartialInformation = 2;
    const uint PowerSystemWorking = 1, PowerDeviceD0 = 1, PowerDeviceD3 = 4;
    const uint CM_RESOURCE_INTERRUPT_LATCHED = 1;

    readonly Dictionary<Va, Port> _ports = [];
    int _devices;

    public override NtStatus DriverEntry(DriverObject driverObject, UnicodeString registryPath)
    {
        for (IrpMajor major = IRP_MJ_CREATE; major <= IRP_MJ_PNP; major++)
            driverObject.SetMajorFunction(major, Routine(Dispatch));
        driverObject.SetMajorFunction(IRP_MJ_PNP, Routine(Plug));
        driverObject.SetMajorFunction(IRP_MJ_POWER, Routine(Power));
        driverObject.SetMajorFunction(IRP_MJ_SYSTEM_CONTROL, Routine(SystemControl));
        DriverExtension extension = driverObject.DriverExtension;
        extension.AddDevice = Routine(AddDevice);
        driverObject.DriverUnload = Routine(Unload);
        return STATUS_SUCCESS;
    }

    void Unload(DriverObject driverObject)
    {
    }

    NtStatus AddDevice(DriverObject driverObject, DeviceObject physical)
    {
        string name = $@"\Device\Serial{_devices++ % 9}";
        NtStatus status = IoCreateDevice(driverObject, Extension.Size, name, FILE_DEVICE_SERIAL_PORT,
            FILE_DEVICE_SECURE_OPEN, false, out DeviceObject made);
        if (!status.IsSuccess) return status;
        var x = new Port(this, made, physical, name);
        IoInitializeRemoveLock(x.RemoveLock, Tag("Samp"), 0, 0);
        Nt.KeInitializeSpinLock(x.Extension.Lock);
        Nt.KeInitializeDpc(x.Extension.TimeOut, Routine(OnTimeOut), made.Address);
        IoInitializeDpcRequest(made, Routine(DpcForIsr));
        x.Lower = Nt.IoAttachDeviceToDeviceStack(made, physical);
        if (x.Lower.IsNull)
        {
            Nt.IoDeleteDevice(made);
            return STATUS_NO_SUCH_DEVICE;
        }
        _ports.Add(made.Address, x);
        made.Flags |= DO_BUFFERED_IO | x.Lower.Flags & DO_POWER_PAGABLE;
        made.Flags &= ~DO_DEVICE_INITIALIZING;
        return STATUS_SUCCESS;
    }

    NtStatus Dispatch(DeviceObject device, Irp irp)
    {
        Port x = _ports[device.Address];
        IoStackLocation at = irp.CurrentStackLocation;
        NtStatus status = IoAcquireRemoveLock(x.RemoveLock, irp.Address);
        if (!status.IsSuccess) return Complete(irp, status);
        switch (at.MajorFunction)
        {
            case IRP_MJ_CREATE:
                return x.End(irp, x.Open(), 0);
            case IRP_MJ_CLEANUP:
                x.Cleanup();
                return x.End(irp, STATUS_SUCCESS, 0);
            case IRP_MJ_CLOSE:
                x.Close();
                return x.End(irp, STATUS_SUCCESS, 0);
            case IRP_MJ_READ:
                return at.Length == 0 ? x.End(irp, STATUS_SUCCESS, 0) : x.Enqueue(x.Reads, irp);
            case IRP_MJ_WRITE:
                return at.Length == 0 ? x.End(irp, STATUS_SUCCESS, 0) : x.Enqueue(x.Writes, irp);
            case IRP_MJ_FLUSH_BUFFERS:
                return x.Enqueue(x.Writes, irp);
            case IRP_MJ_DEVICE_CONTROL:
                return x.Gone ? x.End(irp, STATUS_DEVICE_REMOVED, 0) : x.DeviceControl(irp, at);
            default:
                return x.End(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
        }
    }

    NtStatus SystemControl(DeviceObject device, Irp irp)
    {
        irp.SkipCurrentStackLocation();
        return Nt.IofCallDriver(_ports[device.Address].Lower, irp);
    }

    NtStatus Plug(DeviceObject device, Irp irp)
    {
        Port x = _ports[device.Address];
        IoStackLocation at = irp.CurrentStackLocation;
        NtStatus status = IoAcquireRemoveLock(x.RemoveLock, irp.Address);
        if (!status.IsSuccess) return Complete(irp, status);
        switch (at.MinorFunction)
        {
            case IRP_MN_START_DEVICE:
                status = Nt.IoForwardIrpSynchronously(x.Lower, irp) ? irp.IoStatus.Status : STATUS_UNSUCCESSFUL;
                if (status.IsSuccess) status = x.Start(at.AllocatedResourcesTranslated);
                return x.End(irp, status, 0);
            case IRP_MN_STOP_DEVICE:
                x.Halt();
                break;
            case IRP_MN_SURPRISE_REMOVAL:
                x.SetGone();
                break;
            case IRP_MN_REMOVE_DEVICE:
                return Remove(x, irp);
            case IRP_MN_QUERY_STOP_DEVICE or IRP_MN_CANCEL_STOP_DEVICE or IRP_MN_QUERY_REMOVE_DEVICE
                or IRP_MN_CANCEL_REMOVE_DEVICE:
                break;
            default:
                irp.SkipCurrentStackLocation();
                status = Nt.IofCallDriver(x.Lower, irp);
                IoReleaseRemoveLock(x.RemoveLock, irp.Address);
                return status;
        }
        irp.IoStatus = new IoStatusBlock(STATUS_SUCCESS, irp.IoStatus.Information);
        irp.SkipCurrentStackLocation();
        status = Nt.IofCallDriver(x.Lower, irp);
        IoReleaseRemoveLock(x.RemoveLock, irp.Address);
        return status;
    }

    NtStatus Remove(Port x, Irp irp)
    {
        x.SetGone();
        IoReleaseRemoveLockAndWait(x.RemoveLock, irp.Address);
        Nt.KeCancelTimer(x.Reads.Timer);
        Nt.KeCancelTimer(x.Writes.Timer);
        Nt.KeFlushQueuedDpcs();
        irp.IoStatus = new IoStatusBlock(STATUS_SUCCESS, irp.IoStatus.Information);
        irp.SkipCurrentStackLocation();
        NtStatus status = Nt.IofCallDriver(x.Lower, irp);
        Nt.IoDetachDevice(x.Lower);
        _ports.Remove(x.Self.Address);
        Nt.IoDeleteDevice(x.Self);
        return status;
    }

    NtStatus Power(DeviceObject device, Irp irp)
    {
        Port x = _ports[device.Address];
        IoStackLocation at = irp.CurrentStackLocation;
        NtStatus status = IoAcquireRemoveLock(x.RemoveLock, irp.Address);
        if (!status.IsSuccess)
        {
            Nt.PoStartNextPowerIrp(irp);
            return Complete(irp, status);
        }
        bool isSet = at.MinorFunction == IRP_MN_SET_POWER, isQuery = at.MinorFunction == IRP_MN_QUERY_POWER;
        bool isSystem = (isSet || isQuery) && at.PowerStateType == SystemPowerState;
        if (isSystem || isSet && at.PowerState == PowerDeviceD0)
        {
            irp.CopyCurrentStackLocationToNext();
            irp.SetCompletionRoutine(isSystem ? Routine(SystemPowered) : Routine(PoweredUp), device.Address);
            irp.MarkPending();
            Nt.PoCallDriver(x.Lower, irp);
            return STATUS_PENDING;
        }
        if (isSet) x.PowerDown(at.PowerState);
        Nt.PoStartNextPowerIrp(irp);
        irp.SkipCurrentStackLocation();
        status = Nt.PoCallDriver(x.Lower, irp);
        IoReleaseRemoveLock(x.RemoveLock, irp.Address);
        return status;
    }

    // Power has come back below: the chip has forgotten everything.
    NtStatus PoweredUp(DeviceObject device, Irp irp, Va context)
    {
        Port x = _ports[context];
        if (irp.PendingReturned) irp.MarkPending();
        if (irp.IoStatus.Status.IsSuccess) x.PowerUp();
        Nt.PoStartNextPowerIrp(irp);
        IoReleaseRemoveLock(x.RemoveLock, irp.Address);
        return STATUS_SUCCESS;
    }

    // The system's power is known below: the device follows, and then the system's request ends.
    NtStatus SystemPowered(DeviceObject device, Irp irp, Va context)
    {
        Port x = _ports[context];
        IoStackLocation at = irp.CurrentStackLocation;
        uint state = at.PowerState == PowerSystemWorking ? PowerDeviceD0 : PowerDeviceD3;
        if (irp.IoStatus.Status.IsSuccess)
        {
            irp.MarkPending();
            if (Nt.PoRequestPowerIrp(
                x.Physical, at.MinorFunction, state, Routine(DevicePowered), irp.Address, Va.Null).IsSuccess)
                return STATUS_MORE_PROCESSING_REQUIRED;
        }
        else if (irp.PendingReturned) irp.MarkPending();
        Nt.PoStartNextPowerIrp(irp);
        IoReleaseRemoveLock(x.RemoveLock, irp.Address);
        return STATUS_SUCCESS;
    }

    void DevicePowered(DeviceObject device, ulong minor, ulong state, Va context, Va result)
    {
        Irp irp = At<Irp>(context);
        Port x = _ports[irp.CurrentStackLocation.DeviceObject.Address];
        Nt.PoStartNextPowerIrp(irp);
        Complete(irp, Memory.Read<IoStatusBlock>(result).Status, irp.IoStatus.Information);
        IoReleaseRemoveLock(x.RemoveLock, irp.Address);
    }

    void DpcForIsr(KDpc dpc, DeviceObject device, Irp irp, Va context) => _ports[device.Address].Service();

    void OnTimeOut(KDpc dpc, Va context, Va argument1, Va argument2) => _ports[context].Service();

    void CancelIrp(DeviceObject device, Irp irp) => _ports[device.Address].Cancel(irp);

    byte Isr(KInterrupt interrupt, Va context) => _ports[context].Isr() ? (byte)1 : (byte)0;
}
