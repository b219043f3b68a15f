using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Volumes: a disk's device has a VPB, and the first open of it asks the file systems whose it is.</summary>
/// <remarks>Who opens the device without a name and recognizes nothing gets it raw. NT's own RAW file system stands
/// between then; here the disk's driver sees the requests itself.</remarks>
sealed partial class Io
{
    const uint VpbTag = 0x2062_7056, DO_VERIFY_VOLUME = 0x02, FILE_DEVICE_IS_MOUNTED = 0x20;
    const short IO_TYPE_VPB = 10;
    /// <summary>How often recognizers may have file systems loaded for one mount.</summary>
    const int MostLoads = 32;
    const byte IRP_MN_MOUNT_VOLUME = 1, IRP_MN_VERIFY_VOLUME = 2, IRP_MN_LOAD_FILE_SYSTEM = 3;

    static bool HasVolume(uint deviceType) =>
        deviceType is FILE_DEVICE_DISK or FILE_DEVICE_CD_ROM or FILE_DEVICE_TAPE or FILE_DEVICE_VIRTUAL_DISK;

    void CreateVpb(DeviceObject device)
    {
        Vpb vpb = Vpb.At(nt.Memory, nt.Mm.Pool.Allocate(Vpb.Size, VpbTag));
        (vpb.Type, vpb.ObjectSize, vpb.RealDevice) = (IO_TYPE_VPB, (short)Vpb.Size, device);
        device.Vpb = vpb;
    }

    void FreeVpb(DeviceObject device)
    {
        Va vpb = device.Vpb.Address;
        if (nt.Mm.Pool.TryFind(vpb, out PoolBlock? block) && block!.Tag == VpbTag) nt.Mm.Pool.Free(vpb);
    }

    Va VpbLock
    {
        get
        {
            if (field.IsNull) field = nt.Mm.Pool.Allocate(8, VpbTag);
            return field;
        }
    }

    [Export, AcquiresLock, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void IoAcquireVpbSpinLock(Va irql) =>
        nt.Memory.Write(irql, (byte)nt.Ke.KeAcquireSpinLockRaiseToDpc(VpbLock));

    [Export, ReleasesLock, IrqlRequiresMin(DISPATCH_LEVEL), IrqlRequiresMax(DISPATCH_LEVEL)]
    public void IoReleaseVpbSpinLock(Irql irql) => nt.Ke.KeReleaseSpinLock(VpbLock, irql);

    /// <summary>The device that an open of a disk's device goes to: the one of the file system that has its
    /// volume.</summary>
    NtStatus Mounted(DeviceObject device, bool allowRaw, out Vpb vpb)
    {
        vpb = device.Vpb;
        if (vpb.Has(Vpb.Locked)) return STATUS_ACCESS_DENIED;
        if (!vpb.Has(Vpb.Mounted))
        {
            // Another one may have mounted it meanwhile.
            NtStatus status = Locked(device, () =>
                device.Vpb.Has(Vpb.Mounted) ? STATUS_SUCCESS : Mount(device, allowRaw));
            if (!status.IsSuccess) return status;
            vpb = device.Vpb;
        }
        return vpb.Has(Vpb.RawMount) && !allowRaw ? STATUS_UNRECOGNIZED_VOLUME : STATUS_SUCCESS;
    }

    /// <summary>One thread at a time mounts or verifies the volume of a device.</summary>
    NtStatus Locked(DeviceObject device, Func<NtStatus> body)
    {
        nt.Ke.WaitFor([device.DeviceLock.Header], all: false, deadline: null);
        try
        {
            return body();
        }
        finally
        {
            nt.Ke.KeSetEvent(device.DeviceLock, 0, false);
        }
    }

    NtStatus Mount(DeviceObject device, bool allowRaw)
    {
        if (_mounts++ == 0) nt.Ke.KeResetEvent(NoMounts);
        try
        {
            return OfferToAll(device, allowRaw);
        }
        finally
        {
            if (--_mounts == 0) nt.Ke.KeSetEvent(NoMounts, 0, false);
        }
    }

    int _mounts;

    // Signaled while no mount is under way.
    KEvent NoMounts
    {
        get
        {
            if (!field.Address.IsNull) return field;
            field = KEvent.At(nt.Memory, nt.Mm.Pool.Allocate(KEvent.Size, VpbTag));
            field.Header.Initialize(DispatcherType.NotificationEvent, KEvent.Size, 1);
            return field;
        }
    }

    void WaitForMounts()
    {
        while (_mounts > 0)
        {
            nt.Ke.Clock.Spend();
            nt.Ke.WaitFor([NoMounts.Header], all: false, deadline: null);
        }
    }

    NtStatus OfferToAll(DeviceObject device, bool allowRaw)
    {
        uint type = FileSystemTypeOf(device.DeviceType);
        int loads = 0;
        for (int i = 0; i < _fileSystems.Count; i++)
        {
            nt.Ke.Clock.Spend();
            DeviceObject fileSystem = _fileSystems[i];
            if (fileSystem.DeviceType != type) continue;
            NtStatus status = Offer(fileSystem, device);
            if (status.IsSuccess) return SetMounted(device);
            // It only recognizes the volume: the file system itself is loaded, and stands first then.
            if (status == STATUS_FS_DRIVER_REQUIRED && loads++ < MostLoads
                && SendVolume(fileSystem, device, IRP_MN_LOAD_FILE_SYSTEM).IsSuccess) i = -1;
            else if (status != STATUS_UNRECOGNIZED_VOLUME && IsUserInduced(status)) return status;
        }
        if (!allowRaw) return STATUS_UNRECOGNIZED_VOLUME;
        Vpb raw = device.Vpb;
        raw.Flags |= Vpb.Mounted | Vpb.RawMount;
        raw.DeviceObject = device;
        return STATUS_SUCCESS;
    }

    NtStatus SetMounted(DeviceObject device)
    {
        Vpb vpb = device.Vpb;
        DeviceObject volume = vpb.DeviceObject;
        if (volume.IsNull) return STATUS_UNRECOGNIZED_VOLUME;
        vpb.Flags |= Vpb.Mounted;
        vpb.ReferenceCount++;
        // Requests go on from the volume to the disk's stack.
        volume.StackSize = (sbyte)(TopOf(device).StackSize + 1);
        DevobjExtension extension = volume.DeviceObjectExtension;
        extension.Vpb = vpb;
        return STATUS_SUCCESS;
    }

    // IoIsErrorUserInduced: somebody can put it right, so nobody else is asked.
    static bool IsUserInduced(NtStatus status) =>
        status == STATUS_DEVICE_NOT_READY || status == STATUS_IO_TIMEOUT || status == STATUS_MEDIA_WRITE_PROTECTED
        || status == STATUS_NO_MEDIA_IN_DEVICE || status == STATUS_VERIFY_REQUIRED
        || status == STATUS_UNRECOGNIZED_MEDIA || status == STATUS_WRONG_VOLUME;

    NtStatus Offer(DeviceObject fileSystem, DeviceObject device) =>
        SendVolume(fileSystem, device, IRP_MN_MOUNT_VOLUME);

    /// <summary>IRP_MJ_FILE_SYSTEM_CONTROL of the system's own to a file system, waited for.</summary>
    NtStatus SendVolume(DeviceObject fileSystem, DeviceObject device, byte minor)
    {
        DeviceObject top = TopOf(fileSystem);
        return SendTo(top, location =>
        {
            (location.MajorFunction, location.MinorFunction) = (IRP_MJ_FILE_SYSTEM_CONTROL, minor);
            if (minor == IRP_MN_LOAD_FILE_SYSTEM) return;
            (location.Parameter1, location.Parameter2) = (device.Vpb.Address.Value, TopOf(device).Address.Value);
        });
    }

    NtStatus SendTo(DeviceObject device, Action<IoStackLocation> fill) => SendTo(device, (_, location) =>
    {
        fill(location);
        return STATUS_SUCCESS;
    });

    /// <summary>An IRP of the system's own, without a file, to one device; waits until it is complete.</summary>
    NtStatus SendTo(DeviceObject device, Func<Irp, IoStackLocation, NtStatus> fill)
    {
        Irp irp = AllocateIrp(device.StackSize, Va.Null);
        NtStatus ready = fill(irp, irp.CurrentStackLocation.Below);
        if (!ready.IsSuccess)
        {
            FreeIrp(irp);
            return ready;
        }
        Va block = nt.Mm.Pool.Allocate(KEvent.Size + 16, IrpTag);
        KEvent done = KEvent.At(nt.Memory, block + 16);
        done.Header.Initialize(DispatcherType.NotificationEvent, KEvent.Size, 0);
        (irp.Thread, irp.UserEvent, irp.UserIosb) = (nt.Ke.CurrentThread, done, block);
        irp.Flags |= IRP_SYNCHRONOUS_API;
        IofCallDriver(device, irp);
        bool isOver = nt.Ke.WaitFor(
            [done.Header], all: false, nt.Ke.Clock.Now + PatienceTicks, idle: STATUS_PENDING) == STATUS_SUCCESS;
        // One that never ends keeps the place where it will write.
        if (!isOver) return STATUS_IO_TIMEOUT;
        NtStatus status = nt.Memory.Read<IoStatusBlock>(block).Status;
        nt.Mm.Pool.Free(block);
        return status;
    }

    /// <summary>Asks the file system whether the volume is still the one that it mounted; if not, it is offered
    /// anew.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus IoVerifyVolume(DeviceObject deviceObject, bool allowRawMount) =>
        deviceObject.Vpb.IsNull ? STATUS_INVALID_DEVICE_REQUEST
            : Locked(deviceObject, () => Verify(deviceObject, allowRawMount));

    NtStatus Verify(DeviceObject deviceObject, bool allowRawMount)
    {
        Vpb vpb = deviceObject.Vpb;
        NtStatus status = STATUS_SUCCESS;
        if (vpb.Has(Vpb.Mounted) && !vpb.Has(Vpb.RawMount))
            status = SendVolume(vpb.DeviceObject, deviceObject, IRP_MN_VERIFY_VOLUME);
        else if (!vpb.Has(Vpb.Mounted)) status = Mount(deviceObject, allowRawMount);
        if (status == STATUS_WRONG_VOLUME)
        {
            // The files of the old volume keep its VPB.
            CreateVpb(deviceObject);
            status = Mount(deviceObject, allowRawMount);
            if (status.IsSuccess) status = STATUS_WRONG_VOLUME;
        }
        deviceObject.Flags &= ~DO_VERIFY_VOLUME;
        return status;
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public DeviceObject IoGetDeviceToVerify(KThread thread) => thread.DeviceToVerify;

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void IoSetDeviceToVerify(KThread thread, DeviceObject deviceObject) => thread.DeviceToVerify = deviceObject;

    /// <summary>The device that failed, for who asked: the thread of the IRP.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void IoSetHardErrorOrVerifyDevice(Irp irp, DeviceObject deviceObject)
    {
        KThread thread = irp.Thread;
        if (!thread.IsNull) thread.DeviceToVerify = deviceObject;
    }

    /// <returns>Whether they were enabled.</returns>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public bool IoSetThreadHardErrorMode(bool enableHardErrors)
    {
        KThread thread = nt.Ke.CurrentThread;
        uint flags = thread.CrossThreadFlags;
        thread.CrossThreadFlags = enableHardErrors ? flags & ~KThread.HardErrorsAreDisabled
            : flags | KThread.HardErrorsAreDisabled;
        return (flags & KThread.HardErrorsAreDisabled) == 0;
    }

    [Export(Support.Partial, "There is no user to ask: the IRP is completed with its status, as if he gave up.")]
    [IrqlRequiresMax(APC_LEVEL)]
    public void IoRaiseHardError(Irp irp, Vpb vpb, DeviceObject realDeviceObject)
    {
        NtStatus status = irp.IoStatus.Status;
        nt.Dbg.PrintLine($"hard error: {status}");
        irp.IoStatus = new(status, 0);
        IofCompleteRequest(irp, 0);
    }

    [Export(Support.Partial, "There is no user to tell: it is a line of the debug output.")]
    [IrqlRequiresMax(APC_LEVEL)]
    public bool IoRaiseInformationalHardError(NtStatus errorStatus, UnicodeString @string, KThread thread)
    {
        KThread target = thread.IsNull ? nt.Ke.CurrentThread : thread;
        if ((target.CrossThreadFlags & KThread.HardErrorsAreDisabled) != 0) return false;
        nt.Dbg.PrintLine($"hard error: {errorStatus} {@string.Text}");
        return true;
    }
}
