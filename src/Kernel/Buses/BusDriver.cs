using Ringdown.Machine;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Kernel;

/// <summary>What the drivers of buses have in common: a functional device object for the bus, and a physical one for
/// each device on it.</summary>
public abstract partial class BusDriver : NtDriver
{
    const uint BusTag = 0x2073_7542;      // 'Bus '

    readonly Dictionary<Va, Bus> _buses = [];
    readonly Dictionary<Va, BusChild> _children = [];
    DriverObject _driver;

    /// <summary>A bus: its two device objects, and the devices that are on it now.</summary>
    sealed class Bus(DeviceObject device, DeviceObject physical, DeviceObject lower)
    {
        public DeviceObject Device { get; } = device;
        public DeviceObject Physical { get; } = physical;
        public DeviceObject Lower { get; } = lower;

        /// <summary>In the order in which they were found.</summary>
        public List<BusChild> Children { get; } = [];
        public bool IsStarted { get; set; }
        public Action? Unwatch { get; set; }

        /// <summary>Who wants to be ejected, or has woken the system, since the DPC has looked.</summary>
        public List<BusChild> Ejects { get; } = [];
        public List<BusChild> Wakes { get; } = [];
        public bool HasChanged { get; set; }

        public KDpc Dpc => KDpc.At(Nt.Memory, Device.DeviceExtension);
        public required NtKernel Nt { get; init; }
    }

    internal BusDriver()
    {
    }

    /// <summary>What is on a bus now, in order: by what it is told apart.</summary>
    /// <param name="bus">The physical device of the bus.</param>
    private protected abstract IEnumerable<object> Present(DeviceObject bus);

    /// <summary>Describes a device that has appeared.</summary>
    private protected abstract BusChild Describe(object device);

    /// <summary>Calls back when something has come or gone, when a device is to be ejected, and when one wakes the
    /// system; at any IRQL.</summary>
    /// <returns>Ends that.</returns>
    private protected abstract Action Watch(Action changed, Action<object> eject, Action<object> wake);

    public override NtStatus DriverEntry(DriverObject driverObject, UnicodeString registryPath)
    {
        _driver = driverObject;
        driverObject.SetMajorFunction(IRP_MJ_PNP, Routine(DispatchPnp));
        driverObject.SetMajorFunction(IRP_MJ_POWER, Routine(DispatchPower));
        driverObject.SetMajorFunction(IRP_MJ_SYSTEM_CONTROL, Routine(DispatchSystemControl));
        DriverExtension extension = driverObject.DriverExtension;
        extension.AddDevice = Routine(AddDevice);
        driverObject.DriverUnload = Routine(Unload);
        return STATUS_SUCCESS;
    }

    void Unload(DriverObject driverObject)
    {
    }

    NtStatus AddDevice(DriverObject driverObject, DeviceObject physicalDeviceObject)
    {
        NtStatus status = IoCreateDevice(driverObject, KDpc.Size, "", FILE_DEVICE_BUS_EXTENDER, FILE_DEVICE_SECURE_OPEN,
            false, out DeviceObject made);
        if (!status.IsSuccess) return status;
        DeviceObject lower = Nt.IoAttachDeviceToDeviceStack(made, physicalDeviceObject);
        if (lower.IsNull)
        {
            Nt.IoDeleteDevice(made);
            return STATUS_NO_SUCH_DEVICE;
        }
        var bus = new Bus(made, physicalDeviceObject, lower) { Nt = Nt };
        Nt.KeInitializeDpc(bus.Dpc, Routine(OnChange), made.Address);
        _buses.Add(made.Address, bus);
        made.Flags = made.Flags & ~DO_DEVICE_INITIALIZING | lower.Flags & DO_POWER_PAGABLE;
        return STATUS_SUCCESS;
    }

    NtStatus DispatchPnp(DeviceObject device, Irp irp)
    {
        if (_buses.TryGetValue(device.Address, out Bus? bus)) return BusPnp(bus, irp);
        return _children.TryGetValue(device.Address, out BusChild? child) ? ChildPnp(child, irp)
            : Complete(irp, STATUS_NO_SUCH_DEVICE);
    }

    NtStatus DispatchPower(DeviceObject device, Irp irp)
    {
        if (!_buses.TryGetValue(device.Address, out Bus? bus))
            return _children.TryGetValue(device.Address, out BusChild? child) ? ChildPower(child, irp)
                : Complete(irp, STATUS_NO_SUCH_DEVICE);
        Nt.PoStartNextPowerIrp(irp);
        irp.SkipCurrentStackLocation();
        return Nt.PoCallDriver(bus.Lower, irp);
    }

    NtStatus DispatchSystemControl(DeviceObject device, Irp irp) => _buses.TryGetValue(device.Address, out Bus? bus)
        ? PassDown(bus, irp) : Complete(irp, irp.IoStatus.Status, irp.IoStatus.Information);

    NtStatus PassDown(Bus bus, Irp irp)
    {
        irp.SkipCurrentStackLocation();
        return Nt.IofCallDriver(bus.Lower, irp);
    }

    NtStatus PassDown(Bus bus, Irp irp, NtStatus status)
    {
        irp.IoStatus = new IoStatusBlock(status, irp.IoStatus.Information);
        return PassDown(bus, irp);
    }

    // From outside, at whatever IRQL: a DPC does the rest.
    void Tell(Bus bus) => Nt.Ke.Scheduler.Active.Dpcs.Insert(bus.Dpc, Va.Null, Va.Null);

    BusChild? Find(Bus bus, object device) => bus.Children.Find(c => c.Device == device);

    void StartWatching(Bus bus) => bus.Unwatch = Watch(
        () =>
        {
            NoteGone(bus);
            bus.HasChanged = true;
            Tell(bus);
        },
        device =>
        {
            if (Find(bus, device) is not { } child) return;
            bus.Ejects.Add(child);
            Tell(bus);
        },
        device =>
        {
            if (Find(bus, device) is not { } child) return;
            bus.Wakes.Add(child);
            Tell(bus);
        });

    // Who comes back is somebody else, even before the system has looked.
    void NoteGone(Bus bus)
    {
        HashSet<object> present = [.. Present(bus.Physical)];
        foreach (BusChild child in bus.Children.Where(c => !present.Contains(c.Device))) child.IsGone = true;
        bus.Children.RemoveAll(c => c.IsGone);
    }

    void OnChange(KDpc dpc, Va context, Va argument1, Va argument2)
    {
        if (!_buses.TryGetValue(context, out Bus? bus)) return;
        foreach (BusChild child in bus.Wakes.ToArray())
            if (!child.IsGone) CompleteWaitWake(child, STATUS_SUCCESS);
        bus.Wakes.Clear();
        foreach (BusChild child in bus.Ejects.ToArray())
            if (!child.IsGone) Nt.IoRequestDeviceEject(child.PhysicalDevice);
        bus.Ejects.Clear();
        if (bus.HasChanged) Nt.IoInvalidateDeviceRelations(bus.Physical, (uint)DeviceRelationType.BusRelations);
        bus.HasChanged = false;
    }
}
