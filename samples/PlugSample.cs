using Ringdown.Kernel;
using Ringdown.Machine;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Samples;

/// <summary>What the function drivers of devices here share: their place in the stack, an interface by which programs
/// open them, and the answers to plug and play and power. A driver says what it does when its hardware is there
/// and when it goes.</summary>
public abstract partial class PlugSample : Sample
{
    const byte SystemWorking = 1;
    const uint PowerDeviceD0 = 1, PowerDeviceD3 = 4;

    [Layout("PLUG", Size = 0x48)]
    public readonly partial struct Extension
    {
        [Field(0x00)] public partial DeviceObject Below { get; set; }
        [Field(0x08)] public partial DeviceObject Physical { get; set; }
        [Embedded(0x10)] public partial RemoveLock RemoveLock { get; }
        [Embedded(0x38)] public partial UnicodeString Link { get; }

        /// <summary>EX_RUNDOWN_REF. Held by who uses the hardware; run down while the device is stopped, without
        /// power, or gone.</summary>
        public Va Use => Address + 0x30;
    }

    protected class Device(DeviceObject self, Extension x)
    {
        public DeviceObject Self { get; } = self;
        public Extension X { get; } = x;
        internal bool Started { get; set; }
        internal bool HasPower { get; set; }
        internal bool Usable { get; set; }
        public bool Gone { get; internal set; }
    }

    readonly Dictionary<Va, Device> _devices = [];

    protected Device DeviceOf(DeviceObject device) => _devices[device.Address];

    protected virtual Device New(DeviceObject self, Extension x) => new(self, x);

    /// <summary>Takes the resources that it was given.</summary>
    protected virtual NtStatus Start(Device x, IoStackLocation location) => STATUS_SUCCESS;

    /// <summary>Gives them back: nobody uses the hardware any more. Also after a start that failed, and, with Gone set,
    /// of a device that does not run: what still waits for it ends.</summary>
    protected virtual void Stop(Device x)
    {
    }

    /// <summary>The device has started, or has its power back; or it is about to lose that. Nobody uses the hardware
    /// meanwhile.</summary>
    protected virtual void SetPower(Device x, bool on)
    {
    }

    /// <summary>May the resources be taken away?</summary>
    protected virtual bool MayStop(Device x) => true;

    /// <summary>The last thing before the device object goes.</summary>
    protected virtual void Removed(Device x)
    {
    }

    /// <summary>A control code: only while the device runs and has power. One that is pending ends later, by
    /// PlugFinish.</summary>
    protected abstract NtStatus Control(Device x, Irp irp, IoStackLocation location, out ulong information);

    protected NtStatus PlugFinish(Device x, Irp irp, NtStatus status, ulong information = 0)
    {
        Complete(irp, status, information);
        IoReleaseRemoveLock(x.X.RemoveLock, irp.Address);
        return status;
    }

    protected NtStatus PlugPass(Device x, Irp irp)
    {
        irp.SkipCurrentStackLocation();
        NtStatus status = Nt.IofCallDriver(x.X.Below, irp);
        IoReleaseRemoveLock(x.X.RemoveLock, irp.Address);
        return status;
    }

    // Plug and play and power send one IRP at a time that comes here.
    void PlugSetUse(Device x)
    {
        bool usable = x.Started && x.HasPower;
        if (usable == x.Usable) return;
        x.Usable = usable;
        if (usable) Nt.ExReInitializeRundownProtection(x.X.Use);
        else Nt.ExWaitForRundownProtectionRelease(x.X.Use);
    }

    void PlugStop(Device x)
    {
        if (!x.Started && !x.Gone) return;
        x.Started = false;
        PlugSetUse(x);
        Stop(x);
    }

    void PlugGone(Device x)
    {
        Nt.IoSetDeviceInterfaceState(x.X.Link, false);
        x.Gone = true;
        PlugStop(x);
    }

    NtStatus PlugStart(Device x, Irp irp)
    {
        if (!Nt.IoForwardIrpSynchronously(x.X.Below, irp)) return PlugFinish(x, irp, STATUS_UNSUCCESSFUL);
        NtStatus status = irp.IoStatus.Status;
        if (!status.IsSuccess) return PlugFinish(x, irp, status);
        status = Start(x, irp.CurrentStackLocation);
        if (!status.IsSuccess)
        {
            Stop(x);
            return PlugFinish(x, irp, status);
        }
        Nt.PoSetPowerState(x.Self, DevicePowerState, PowerDeviceD0);
        x.Started = x.HasPower = true;
        SetPower(x, true);
        PlugSetUse(x);
        Nt.IoSetDeviceInterfaceState(x.X.Link, true);
        return PlugFinish(x, irp, status);
    }

    NtStatus PlugRemove(Device x, Irp irp)
    {
        DeviceObject below = x.X.Below;
        PlugGone(x);
        irp.IoStatus = new IoStatusBlock(STATUS_SUCCESS, irp.IoStatus.Information);
        irp.SkipCurrentStackLocation();
        NtStatus status = Nt.IofCallDriver(below, irp);
        IoReleaseRemoveLockAndWait(x.X.RemoveLock, irp.Address);
        Removed(x);
        Nt.RtlFreeUnicodeString(x.X.Link);
        Nt.IoDetachDevice(below);
        _devices.Remove(x.Self.Address);
        Nt.IoDeleteDevice(x.Self);
        return status;
    }

    protected NtStatus PlugPnp(DeviceObject device, Irp irp)
    {
        Device x = DeviceOf(device);
        byte minor = irp.CurrentStackLocation.MinorFunction;
        NtStatus status = IoAcquireRemoveLock(x.X.RemoveLock, irp.Address);
        if (!status.IsSuccess) return Complete(irp, status);
        switch (minor)
        {
            case IRP_MN_START_DEVICE:
                return PlugStart(x, irp);
            case IRP_MN_QUERY_STOP_DEVICE:
                if (!MayStop(x)) return PlugFinish(x, irp, STATUS_DEVICE_BUSY);
                break;
            case IRP_MN_STOP_DEVICE:
                PlugStop(x);
                break;
            case IRP_MN_SURPRISE_REMOVAL:
                PlugGone(x);
                break;
            case IRP_MN_QUERY_REMOVE_DEVICE or IRP_MN_CANCEL_REMOVE_DEVICE or IRP_MN_CANCEL_STOP_DEVICE:
                break;
            case IRP_MN_REMOVE_DEVICE:
                return PlugRemove(x, irp);
            default:
                return PlugPass(x, irp);
        }
        irp.IoStatus = new IoStatusBlock(STATUS_SUCCESS, irp.IoStatus.Information);
        return PlugPass(x, irp);
    }

    // The device's own power IRP is done; now the system's, for which it was asked, goes on to its end.
    void PlugDevicePowered(DeviceObject device, byte minor, uint state, Irp irp, Va ioStatus)
    {
        Device x = DeviceOf(irp.CurrentStackLocation.DeviceObject);
        Nt.PoStartNextPowerIrp(irp);
        PlugFinish(x, irp, new NtStatus(Memory.Read<uint>(ioStatus)));
    }

    // The policy owner makes of the system's state one of its device.
    NtStatus PlugSystemPowered(DeviceObject device, Irp irp, Va context)
    {
        Device x = _devices[context];
        IoStackLocation location = irp.CurrentStackLocation;
        if (irp.PendingReturned) irp.MarkPending();
        NtStatus status = irp.IoStatus.Status;
        if (status.IsSuccess)
            status = Nt.PoRequestPowerIrp(x.X.Physical, location.MinorFunction,
                location.PowerState == SystemWorking ? PowerDeviceD0 : PowerDeviceD3, Routine(PlugDevicePowered),
                irp.Address, Va.Null);
        if (status == STATUS_PENDING) return STATUS_MORE_PROCESSING_REQUIRED;
        irp.IoStatus = new IoStatusBlock(status, irp.IoStatus.Information);
        Nt.PoStartNextPowerIrp(irp);
        IoReleaseRemoveLock(x.X.RemoveLock, irp.Address);
        return STATUS_SUCCESS;
    }

    NtStatus PlugPoweredUp(DeviceObject device, Irp irp, Va context)
    {
        Device x = _devices[context];
        if (irp.PendingReturned) irp.MarkPending();
        if (irp.IoStatus.Status.IsSuccess)
        {
            Nt.PoSetPowerState(x.Self, DevicePowerState, PowerDeviceD0);
            x.HasPower = true;
            if (x.Started) SetPower(x, true);
            PlugSetUse(x);
        }
        Nt.PoStartNextPowerIrp(irp);
        IoReleaseRemoveLock(x.X.RemoveLock, irp.Address);
        return STATUS_SUCCESS;
    }

    NtStatus PlugAfter(Device x, Irp irp, Va then)
    {
        irp.MarkPending();
        irp.CopyCurrentStackLocationToNext();
        irp.SetCompletionRoutine(then, x.Self.Address);
        Nt.PoCallDriver(x.X.Below, irp);
        return STATUS_PENDING;
    }

    // At PASSIVE_LEVEL: the devices here are pageable ones.
    protected NtStatus PlugPower(DeviceObject device, Irp irp)
    {
        Device x = DeviceOf(device);
        IoStackLocation location = irp.CurrentStackLocation;
        bool isSet = location.MinorFunction == IRP_MN_SET_POWER, isQuery = location.MinorFunction == IRP_MN_QUERY_POWER;
        NtStatus status = IoAcquireRemoveLock(x.X.RemoveLock, irp.Address);
        if (!status.IsSuccess)
        {
            Nt.PoStartNextPowerIrp(irp);
            return Complete(irp, status);
        }
        if ((isSet || isQuery) && location.PowerStateType == SystemPowerState)
            return PlugAfter(x, irp, Routine(PlugSystemPowered));
        if (isSet && location.PowerState == PowerDeviceD0) return PlugAfter(x, irp, Routine(PlugPoweredUp));
        if (isSet)
        {
            x.HasPower = false;
            PlugSetUse(x);
            if (x.Started) SetPower(x, false);
            Nt.PoSetPowerState(device, DevicePowerState, location.PowerState);
        }
        Nt.PoStartNextPowerIrp(irp);
        irp.SkipCurrentStackLocation();
        status = Nt.PoCallDriver(x.X.Below, irp);
        IoReleaseRemoveLock(x.X.RemoveLock, irp.Address);
        return status;
    }

    protected NtStatus PlugSystemControl(DeviceObject device, Irp irp)
    {
        Device x = DeviceOf(device);
        NtStatus status = IoAcquireRemoveLock(x.X.RemoveLock, irp.Address);
        return status.IsSuccess ? PlugPass(x, irp) : Complete(irp, status);
    }

    protected NtStatus PlugCreate(DeviceObject device, Irp irp) =>
        Complete(irp, DeviceOf(device).Started ? STATUS_SUCCESS : STATUS_DEVICE_NOT_READY);

    // The end of the hardware's use waits for whoever is in here.
    protected NtStatus PlugControl(DeviceObject device, Irp irp)
    {
        Device x = DeviceOf(device);
        NtStatus status = IoAcquireRemoveLock(x.X.RemoveLock, irp.Address);
        if (!status.IsSuccess) return Complete(irp, status);
        if (!Nt.ExAcquireRundownProtection(x.X.Use)) return PlugFinish(x, irp, STATUS_DEVICE_NOT_READY);
        status = Control(x, irp, irp.CurrentStackLocation, out ulong information);
        Nt.ExReleaseRundownProtection(x.X.Use);
        return status == STATUS_PENDING ? status : PlugFinish(x, irp, status, information);
    }

    /// <summary>A device object on top of the stack, with an interface. The driver finishes it, and takes
    /// DO_DEVICE_INITIALIZING off.</summary>
    protected NtStatus PlugAdd(
        DriverObject driverObject, DeviceObject physical, int extension, uint type, Guid guid, out DeviceObject made)
    {
        NtStatus status = IoCreateDevice(driverObject, extension, "", type, FILE_DEVICE_SECURE_OPEN, false, out made);
        if (!status.IsSuccess) return status;
        var x = At<Extension>(made.DeviceExtension);
        x.Physical = physical;
        IoInitializeRemoveLock(x.RemoveLock, Tag("Samp"), 0, 0);
        Nt.ExInitializeRundownProtection(x.Use);
        Nt.ExWaitForRundownProtectionRelease(x.Use);
        Va id = Local(16);
        Memory.Write(id, guid);
        status = Nt.IoRegisterDeviceInterface(physical, id, default, x.Link);
        if (status.IsSuccess)
        {
            x.Below = Nt.IoAttachDeviceToDeviceStack(made, physical);
            if (!x.Below.IsNull)
            {
                _devices.Add(made.Address, New(made, x));
                made.Flags |= DO_BUFFERED_IO | x.Below.Flags & DO_POWER_PAGABLE;
                return STATUS_SUCCESS;
            }
            Nt.RtlFreeUnicodeString(x.Link);
            status = STATUS_NO_SUCH_DEVICE;
        }
        Nt.IoDeleteDevice(made);
        return status;
    }

    void PlugUnload(DriverObject driverObject)
    {
    }

    protected void PlugSet(DriverObject driverObject, Va addDevice)
    {
        SetOpenClose(driverObject);
        driverObject.SetMajorFunction(IRP_MJ_CREATE, Routine(PlugCreate));
        driverObject.SetMajorFunction(IRP_MJ_DEVICE_CONTROL, Routine(PlugControl));
        driverObject.SetMajorFunction(IRP_MJ_PNP, Routine(PlugPnp));
        driverObject.SetMajorFunction(IRP_MJ_POWER, Routine(PlugPower));
        driverObject.SetMajorFunction(IRP_MJ_SYSTEM_CONTROL, Routine(PlugSystemControl));
        DriverExtension extension = driverObject.DriverExtension;
        extension.AddDevice = addDevice;
        driverObject.DriverUnload = Routine(PlugUnload);
    }
}
