using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>File systems that are registered, by the kind of volume, and who wants to hear of them.</summary>
sealed partial class Io
{
    const uint FILE_DEVICE_CD_ROM = 2, FILE_DEVICE_CD_ROM_FILE_SYSTEM = 3, FILE_DEVICE_DISK = 7,
        FILE_DEVICE_DISK_FILE_SYSTEM = 8, FILE_DEVICE_NETWORK_FILE_SYSTEM = 0x14, FILE_DEVICE_TAPE = 0x1F,
        FILE_DEVICE_TAPE_FILE_SYSTEM = 0x20, FILE_DEVICE_VIRTUAL_DISK = 0x24;
    const uint DO_LOW_PRIORITY_FILESYSTEM = 0x1_0000;

    /// <summary>In the order in which a new volume is offered to them: the last that came is asked first, those of low
    /// priority after all others.</summary>
    readonly List<DeviceObject> _fileSystems = [];
    readonly List<(DriverObject Driver, Va Routine)> _fsNotifications = [];

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void IoRegisterFileSystem(DeviceObject deviceObject)
    {
        NtObject device = nt.Ob.At(deviceObject.Address);
        if (_fileSystems.Contains(deviceObject)) return;
        deviceObject.Flags &= ~DO_DEVICE_INITIALIZING;
        if ((deviceObject.Flags & DO_LOW_PRIORITY_FILESYSTEM) != 0) _fileSystems.Add(deviceObject);
        else _fileSystems.Insert(0, deviceObject);
        deviceObject.ReferenceCount++;
        nt.Ob.Reference(device);
        TellOf(deviceObject, isActive: true);
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void IoUnregisterFileSystem(DeviceObject deviceObject)
    {
        if (!_fileSystems.Remove(deviceObject)) return;
        TellOf(deviceObject, isActive: false);
        ReleaseDevice(deviceObject);
        nt.Ob.Dereference(nt.Ob.At(deviceObject.Address));
    }

    void TellOf(DeviceObject fileSystem, bool isActive)
    {
        foreach ((_, Va routine) in _fsNotifications.ToArray())
            nt.Routines.Call(routine, fileSystem.Address.Value, isActive ? 1UL : 0);
    }

    /// <summary>The routine is called at once for each file system that is there, and for each that comes or
    /// goes.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus IoRegisterFsRegistrationChange(DriverObject driverObject, Va driverNotificationRoutine)
    {
        if (_fsNotifications.Contains((driverObject, driverNotificationRoutine)))
            return STATUS_DEVICE_ALREADY_ATTACHED;
        if (nt.Ob.Find(driverObject.Address)?.Type != nt.Ob.DriverType) return STATUS_INVALID_PARAMETER;
        _fsNotifications.Add((driverObject, driverNotificationRoutine));
        foreach (DeviceObject fileSystem in _fileSystems.ToArray())
            nt.Routines.Call(driverNotificationRoutine, fileSystem.Address.Value, 1);
        return STATUS_SUCCESS;
    }

    /// <summary>The same. Synchronized with mounts, it first waits for those that are under way, so that the caller
    /// misses none: each volume is mounted before, or after it has registered.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus IoRegisterFsRegistrationChangeMountAware(
        DriverObject driverObject, Va driverNotificationRoutine, bool synchronizeWithMounts)
    {
        if (synchronizeWithMounts) WaitForMounts();
        return IoRegisterFsRegistrationChange(driverObject, driverNotificationRoutine);
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void IoUnregisterFsRegistrationChange(DriverObject driverObject, Va driverNotificationRoutine) =>
        _fsNotifications.Remove((driverObject, driverNotificationRoutine));

    /// <summary>The drivers that want to hear of file systems, each referenced.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus IoEnumerateRegisteredFiltersList(
        Va driverObjectList, uint driverObjectListSize, Va actualNumberDriverObjects) =>
        GiveList([.. _fsNotifications.Select(n => n.Driver.Address)], driverObjectList, driverObjectListSize,
            actualNumberDriverObjects);

    /// <summary>The devices of a driver, each referenced; none if the list has not room for all.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public NtStatus IoEnumerateDeviceObjectList(
        DriverObject driverObject, Va deviceObjectList, uint deviceObjectListSize, Va actualNumberDeviceObjects) =>
        GiveList([.. Devices(driverObject).Select(d => d.Address)], deviceObjectList, deviceObjectListSize,
            actualNumberDeviceObjects);

    NtStatus GiveList(Va[] objects, Va list, uint bytes, Va actual)
    {
        NtObject[] known = [.. objects.Select(nt.Ob.Find).OfType<NtObject>()];
        nt.Memory.Write(actual, (uint)known.Length);
        if (bytes / 8 < known.Length) return STATUS_BUFFER_TOO_SMALL;
        for (int i = 0; i < known.Length; i++)
        {
            nt.Memory.Write(list + i * 8, known[i].Body);
            nt.Ob.Reference(known[i]);
        }
        return STATUS_SUCCESS;
    }

    static uint FileSystemTypeOf(uint deviceType) => deviceType switch
    {
        FILE_DEVICE_CD_ROM => FILE_DEVICE_CD_ROM_FILE_SYSTEM,
        FILE_DEVICE_TAPE => FILE_DEVICE_TAPE_FILE_SYSTEM,
        _ => FILE_DEVICE_DISK_FILE_SYSTEM,
    };
}
