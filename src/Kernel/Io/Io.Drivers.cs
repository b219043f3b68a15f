using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Drivers without an image of their own, and what all of them are told when the system ends.</summary>
sealed partial class Io
{
    const uint DO_SHUTDOWN_REGISTERED = 0x800;

    readonly List<DeviceObject> _shutdown = [], _lastChance = [];
    int _nextDriverName;

    /// <summary>A driver object whose initialization routine is in an image that is loaded already.</summary>
    /// <returns>What the routine returned; else why there is no such object.</returns>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoCreateDriver(UnicodeString driverName, Va initializationFunction)
    {
        string path = driverName.IsNull || driverName.Length == 0 ? $@"\Driver\{++_nextDriverName:X8}"
            : driverName.Text;
        NtStatus status = NameOfDriver(path, out string name);
        if (!status.IsSuccess) return status;
        DriverObject driver = CreateDriver(name, Va.Null, 0, initializationFunction, Va.Null);
        status = new NtStatus((uint)nt.Routines.Call(initializationFunction, driver.Address.Value, 0));
        if (status.IsSuccess) MakeReady(driver);
        else IoDeleteDriver(driver);
        return status;
    }

    NtStatus NameOfDriver(string path, out string name)
    {
        const string directory = @"\Driver\";
        name = "";
        if (!path.StartsWith(directory, StringComparison.OrdinalIgnoreCase)) return STATUS_OBJECT_PATH_SYNTAX_BAD;
        if (nt.Ob.Lookup(path, out _, out _) is { IsSuccess: true }) return STATUS_OBJECT_NAME_COLLISION;
        name = path[directory.Length..];
        return name.Length is 0 or > 255 || name.Contains('\\') ? STATUS_OBJECT_NAME_INVALID : STATUS_SUCCESS;
    }

    /// <summary>What a driver's entry point has created may be opened from now on.</summary>
    public static void MakeReady(DriverObject driver)
    {
        foreach (DeviceObject device in Devices(driver).ToArray()) Ready(device);
    }

    static void Ready(DeviceObject device) => device.Flags &= ~DO_DEVICE_INITIALIZING;

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public void IoDeleteDriver(DriverObject driverObject)
    {
        NtObject driver = nt.Ob.At(driverObject.Address);
        if (driver.Type != nt.Ob.DriverType) throw new BugCheck(
            BugCheckCode.REFERENCE_BY_POINTER, 0, driverObject.Address.Value);
        if (driver.Parent is not null) nt.Ob.Remove(driver);
        nt.Ob.Dereference(driver);
    }

    /// <summary>The device gets IRP_MJ_SHUTDOWN when the system ends: the last registered first.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoRegisterShutdownNotification(DeviceObject deviceObject) => Register(_shutdown, deviceObject);

    /// <summary>The same, after all file systems have been told.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoRegisterLastChanceShutdownNotification(DeviceObject deviceObject) =>
        Register(_lastChance, deviceObject);

    NtStatus Register(List<DeviceObject> list, DeviceObject device)
    {
        NtObject target = nt.Ob.At(device.Address);
        if (target.Type != nt.Ob.DeviceType)
            throw new BugCheck(BugCheckCode.REFERENCE_BY_POINTER, 0, device.Address.Value);
        nt.Ob.Reference(target);
        device.Flags |= DO_SHUTDOWN_REGISTERED;
        list.Insert(0, device);
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public void IoUnregisterShutdownNotification(DeviceObject deviceObject)
    {
        int count = _shutdown.RemoveAll(d => d == deviceObject) + _lastChance.RemoveAll(d => d == deviceObject);
        if (count == 0) return;
        deviceObject.Flags &= ~DO_SHUTDOWN_REGISTERED;
        for (int i = 0; i < count; i++) nt.Ob.Dereference(nt.Ob.At(deviceObject.Address));
    }

    /// <summary>Tells all who want to hear of it that the system ends.</summary>
    public void Shutdown()
    {
        nt.Po.RunShutdownItems();
        Tell(_shutdown);
        foreach (DeviceObject fileSystem in _fileSystems.ToArray()) SendShutdown(fileSystem);
        Tell(_lastChance);
    }

    void Tell(List<DeviceObject> list)
    {
        while (list.Count > 0)
        {
            DeviceObject device = list[0];
            list.RemoveAt(0);
            SendShutdown(device);
            if (nt.Ob.Find(device.Address) is { } target) nt.Ob.Dereference(target);
        }
    }

    void SendShutdown(DeviceObject device) =>
        SendTo(TopOf(device), static location => location.MajorFunction = IRP_MJ_SHUTDOWN);
}
