using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>What drivers report to plug and play: changes, and devices that they have found themselves.</summary>
sealed partial class Pnp
{
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void IoInvalidateDeviceRelations(DeviceObject deviceObject, uint type)
    {
        var relation = (DeviceRelationType)type;
        bool isBus = relation is DeviceRelationType.BusRelations or DeviceRelationType.SingleBusRelations;
        if (Find(deviceObject) is { } node && isBus) Queue(() => Enumerate(node));
    }

    /// <summary>The device's drivers are asked for its state.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void IoInvalidateDeviceState(DeviceObject physicalDeviceObject)
    {
        if (Find(physicalDeviceObject) is { } node)
            Queue(() =>
            {
                if (node.IsStarted) CheckState(node);
            });
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void IoRequestDeviceEject(DeviceObject physicalDeviceObject)
    {
        if (Find(physicalDeviceObject) is { } node) Queue(() => Eject(node));
    }

    /// <summary>The callback hears what came of it.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public NtStatus IoRequestDeviceEjectEx(
        DeviceObject physicalDeviceObject, Va callback, Va context, DriverObject driverObject)
    {
        if (Find(physicalDeviceObject) is not { } node) return STATUS_INVALID_DEVICE_REQUEST;
        Queue(() =>
        {
            NtStatus status = Eject(node);
            if (!callback.IsNull) nt.Routines.Call(callback, status.Value, context.Value);
        });
        return STATUS_PENDING;
    }

    /// <summary>An event of the device's own, for those who have it open. Those of removal are the system's to
    /// report.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoReportTargetDeviceChange(DeviceObject physicalDeviceObject, Va notificationStructure)
    {
        NtStatus status = CheckReport(physicalDeviceObject, notificationStructure, out DeviceNode? node);
        return status.IsSuccess ? NotifyTarget(node!, nt.Memory.Read<Guid>(notificationStructure + 4),
            notificationStructure) : status;
    }

    NtStatus CheckReport(DeviceObject device, Va structure, out DeviceNode? node)
    {
        node = Find(device);
        if (node is null) return STATUS_INVALID_DEVICE_REQUEST;
        Guid what = nt.Memory.Read<Guid>(structure + 4);
        return what == s_queryRemove || what == s_removeCancelled || what == s_removeComplete
            ? STATUS_INVALID_DEVICE_REQUEST : STATUS_SUCCESS;
    }

    /// <summary>The structure is copied; the callback, if there is one, is called when all were told.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public NtStatus IoReportTargetDeviceChangeAsynchronous(
        DeviceObject physicalDeviceObject, Va notificationStructure, Va callback, Va context)
    {
        NtStatus status = CheckReport(physicalDeviceObject, notificationStructure, out DeviceNode? node);
        if (!status.IsSuccess) return status;
        ushort size = nt.Memory.Read<ushort>(notificationStructure + 2);
        byte[] copy = nt.Memory.ReadBytes(notificationStructure, Math.Max(size, (ushort)0x20));
        Queue(() =>
        {
            Va block = nt.Mm.Pool.Allocate(copy.Length, PnpTag);
            nt.Memory.Write(block, copy);
            NotifyTarget(node!, nt.Memory.Read<Guid>(block + 4), block);
            nt.Mm.Pool.Free(block);
            if (!callback.IsNull) nt.Routines.Call(callback, context.Value);
        });
        return STATUS_PENDING;
    }

    /// <summary>A device that the driver has found by itself: a root-enumerated one, which it may attach to at
    /// once.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoReportDetectedDevice(
        DriverObject driverObject, uint legacyBusType, uint busNumber, uint slotNumber, Va resourceList,
        Va resourceRequirements, bool resourceAssigned, Va deviceObject)
    {
        Driver? driver = nt.Loader.Drivers.FirstOrDefault(d => d.Object == driverObject);
        if (driver is null) return STATUS_INVALID_PARAMETER;
        IReadOnlyList<Resource> resources = ResourceLists.Read(CmResourceList.At(nt.Memory, resourceList));
        byte[] wanted = resourceRequirements.IsNull ? [] : ReadRequirements(resourceRequirements);
        DeviceObject made = AddRootDevice($@"ROOT\{driver.Name}", [$@"DETECTED\{driver.Name}"], wanted);
        DeviceNode node = NewNode(made, Root!);
        nt.Ob.Reference(nt.Ob.At(made.Address));
        Initialize(node);
        KeyOf(node).Set("Service", RegistryValue.String(driver.Name));
        // Its driver is there already: AddDevice is not called for it now.
        (node.Service, node.BootResources) = (driver.Name, resources);
        (node.State, node.WasStarted) = (DeviceNodeState.Started, true);
        if (resources.Count > 0) Give(node, resources);
        nt.Memory.Write(deviceObject, made.Address);
        return STATUS_SUCCESS;
    }

    /// <summary>A device of a driver that has no hardware: AddDevice is called for it.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoReportRootDevice(DriverObject driverObject)
    {
        Driver? driver = nt.Loader.Drivers.FirstOrDefault(d => d.Object == driverObject);
        if (driver is null) return STATUS_INVALID_PARAMETER;
        AddRootDevice($@"ROOT\{driver.Name}", [$@"ROOT\{driver.Name}"], []);
        nt.Cm.Create($@"{EnumPath}\ROOT\{driver.Name}\0000").Set("Service", RegistryValue.String(driver.Name));
        Queue(() => Enumerate(Root!));
        return STATUS_SUCCESS;
    }
}
