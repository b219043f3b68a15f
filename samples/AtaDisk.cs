using Ringdown.Kernel;
using Ringdown.Machine;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Samples;

/// <summary>A disk: a WDM driver for the first drive of an ATA channel (PNP0600). One request at a time by StartIo, data
/// by the bus master's DMA where there is one, else by programmed I/O. \Device\AtaDiskN.</summary>
public sealed partial class AtaDisk : NtDriver
{
    const uint PowerSystemWorking = 1, PowerDeviceD0 = 1, PowerDeviceD3 = 4;

    [Layout("ATADISK_EXTENSION", Size = 0xA0)]
    public readonly partial struct Extension
    {
        [Embedded(0x00)] public partial RemoveLock RemoveLock { get; }
        [Embedded(0x20)] public partial KTimer Timer { get; }
        [Embedded(0x60)] public partial KDpc TimeOut { get; }
    }

    readonly Dictionary<Va, Disk> _disks = [];
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
        driverObject.DriverStartIo = Routine(StartIo);
        driverObject.DriverUnload = Routine(Unload);
        return STATUS_SUCCESS;
    }

    void Unload(DriverObject driverObject)
    {
    }

    NtStatus AddDevice(DriverObject driverObject, DeviceObject physical)
    {
        string name = $"AtaDisk{_devices++ % 10}";
        NtStatus status = IoCreateDevice(driverObject, Extension.Size, @"\Device\" + name, FILE_DEVICE_DISK,
            FILE_DEVICE_SECURE_OPEN, false, out DeviceObject made);
        if (!status.IsSuccess) return status;
        var x = new Disk(this, made, physical, name);
        IoInitializeRemoveLock(x.RemoveLock, Tag("Samp"), 0, 0);
        IoInitializeDpcRequest(made, Routine(DpcForIsr));
        Nt.KeInitializeTimer(x.Extension.Timer);
        Nt.KeInitializeDpc(x.Extension.TimeOut, Routine(OnTimeOut), made.Address);
        // Requests that end at once one after the other must not nest.
        Nt.IoSetStartIoAttributes(made, true, false);
        x.Lower = Nt.IoAttachDeviceToDeviceStack(made, physical);
        if (x.Lower.IsNull)
        {
            Nt.IoDeleteDevice(made);
            return STATUS_NO_SUCH_DEVICE;
        }
        _disks.Add(made.Address, x);
        made.Flags |= DO_DIRECT_IO | x.Lower.Flags & DO_POWER_PAGABLE;
        made.Flags &= ~DO_DEVICE_INITIALIZING;
        return STATUS_SUCCESS;
    }

    NtStatus Finish(Disk x, Irp irp, NtStatus status, ulong information = 0)
    {
        Complete(irp, status, information);
        IoReleaseRemoveLock(x.RemoveLock, irp.Address);
        return status;
    }

    NtStatus Dispatch(DeviceObject device, Irp irp)
    {
        Disk x = _disks[device.Address];
        IoStackLocation at = irp.CurrentStackLocation;
        NtStatus status = IoAcquireRemoveLock(x.RemoveLock, irp.Address);
        if (!status.IsSuccess) return Complete(irp, status);
        switch (at.MajorFunction)
        {
            case IRP_MJ_CREATE:
                return Finish(x, irp, x.IsStarted && !x.Gone ? STATUS_SUCCESS : STATUS_DEVICE_NOT_READY);
            case IRP_MJ_CLEANUP or IRP_MJ_CLOSE:
                return Finish(x, irp, STATUS_SUCCESS);
        }
        if (x.Gone) return Finish(x, irp, STATUS_DEVICE_REMOVED);
        switch (at.MajorFunction)
        {
            case IRP_MJ_READ or IRP_MJ_WRITE:
                if (!x.IsOnDisk(at.ByteOffset, at.Length)) return Finish(x, irp, STATUS_INVALID_PARAMETER);
                return at.Length == 0 ? Finish(x, irp, STATUS_SUCCESS) : Queue(device, irp);
            case IRP_MJ_FLUSH_BUFFERS or IRP_MJ_SHUTDOWN:
                return Queue(device, irp);
            case IRP_MJ_DEVICE_CONTROL:
                return x.Control(irp, at) is { } done ? Finish(x, irp, done.Status, done.Information)
                    : Queue(device, irp);
            default:
                return Finish(x, irp, STATUS_INVALID_DEVICE_REQUEST);
        }
    }

    NtStatus Queue(DeviceObject device, Irp irp)
    {
        irp.MarkPending();
        Nt.IoStartPacket(device, irp, Va.Null, Routine(Cancel));
        return STATUS_PENDING;
    }

    void Cancel(DeviceObject device, Irp irp)
    {
        if (irp == device.CurrentIrp)
        {
            // StartIo is about to take the routine back, and sees the flag.
            Nt.IoReleaseCancelSpinLock(irp.CancelIrql);
            return;
        }
        Nt.KeRemoveEntryDeviceQueue(device.DeviceQueue, irp.DeviceQueueEntry);
        Nt.IoReleaseCancelSpinLock(irp.CancelIrql);
        Finish(_disks[device.Address], irp, STATUS_CANCELLED);
    }

    void StartIo(DeviceObject device, Irp irp)
    {
        Irql irql = IoAcquireCancelSpinLock();
        irp.SetCancelRoutine(Va.Null);
        bool cancelled = irp.Cancel;
        Nt.IoReleaseCancelSpinLock(irql);
        _disks[device.Address].StartIo(irp, cancelled);
    }

    NtStatus SystemControl(DeviceObject device, Irp irp)
    {
        irp.SkipCurrentStackLocation();
        return Nt.IofCallDriver(_disks[device.Address].Lower, irp);
    }

    NtStatus Plug(DeviceObject device, Irp irp)
    {
        Disk x = _disks[device.Address];
        IoStackLocation at = irp.CurrentStackLocation;
        NtStatus status = IoAcquireRemoveLock(x.RemoveLock, irp.Address);
        if (!status.IsSuccess) return Complete(irp, status);
        switch (at.MinorFunction)
        {
            case IRP_MN_START_DEVICE:
                status = Nt.IoForwardIrpSynchronously(x.Lower, irp) ? irp.IoStatus.Status : STATUS_UNSUCCESSFUL;
                if (status.IsSuccess) status = x.Start(at.AllocatedResourcesTranslated);
                return Finish(x, irp, status);
            case IRP_MN_QUERY_STOP_DEVICE:
                // Requests cannot be held up for other resources: it stays where it is.
                return Finish(x, irp, STATUS_UNSUCCESSFUL);
            case IRP_MN_SURPRISE_REMOVAL:
                x.SetGone();
                break;
            case IRP_MN_REMOVE_DEVICE:
                return Remove(x, irp);
            case IRP_MN_CANCEL_STOP_DEVICE or IRP_MN_QUERY_REMOVE_DEVICE or IRP_MN_CANCEL_REMOVE_DEVICE:
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

    NtStatus Remove(Disk x, Irp irp)
    {
        x.SetGone();
        IoReleaseRemoveLockAndWait(x.RemoveLock, irp.Address);
        Nt.KeFlushQueuedDpcs();
        x.FreeAdapter();
        irp.IoStatus = new IoStatusBlock(STATUS_SUCCESS, irp.IoStatus.Information);
        irp.SkipCurrentStackLocation();
        NtStatus status = Nt.IofCallDriver(x.Lower, irp);
        Nt.IoDetachDevice(x.Lower);
        _disks.Remove(x.Self.Address);
        Nt.IoDeleteDevice(x.Self);
        return status;
    }

    NtStatus Power(DeviceObject device, Irp irp)
    {
        Disk x = _disks[device.Address];
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

    // Power has come back below: what waited begins.
    NtStatus PoweredUp(DeviceObject device, Irp irp, Va context)
    {
        Disk x = _disks[context];
        if (irp.PendingReturned) irp.MarkPending();
        if (irp.IoStatus.Status.IsSuccess) x.PowerUp();
        Nt.PoStartNextPowerIrp(irp);
        IoReleaseRemoveLock(x.RemoveLock, irp.Address);
        return STATUS_SUCCESS;
    }

    // The system's power is known below: the device follows, and then the system's request ends.
    NtStatus SystemPowered(DeviceObject device, Irp irp, Va context)
    {
        Disk x = _disks[context];
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
        Disk x = _disks[irp.CurrentStackLocation.DeviceObject.Address];
        Nt.PoStartNextPowerIrp(irp);
        Complete(irp, Memory.Read<IoStatusBlock>(result).Status, irp.IoStatus.Information);
        IoReleaseRemoveLock(x.RemoveLock, irp.Address);
    }

    void DpcForIsr(KDpc dpc, DeviceObject device, Irp irp, Va context) => _disks[device.Address].OnInterrupt();

    void OnTimeOut(KDpc dpc, Va context, Va argument1, Va argument2) => _disks[context].OnTimeOut();

    void OnList(DeviceObject device, Irp irp, Va list, Va context) => _disks[context].OnList(list);

    byte Isr(KInterrupt interrupt, Va context) => _disks[context].Isr() ? (byte)1 : (byte)0;
}
