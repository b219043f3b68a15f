using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>What else drivers ask of plug and play. No device is enumerated, so none is a physical one and none has an
/// interface.</summary>
sealed partial class Io
{
    const string NoInterfaces = "No interface can be registered yet, so none has the name.";
    const string NoSelf = "Devices are not enumerated, so nobody listens for it.";

    /// <summary>A list of strings, from the pool, that the caller frees. There is no interface: it is empty.</summary>
    [Export(Support.Partial, "No interface can be registered yet: the list is empty.")]
    [IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoGetDeviceInterfaces(
        Va interfaceClassGuid, DeviceObject physicalDeviceObject, uint flags, Va symbolicLinkList)
    {
        nt.Memory.Read<Guid>(interfaceClassGuid);
        Va list = nt.Mm.Pool.Allocate(4, PoolKind.Paged, NotifyTag, nt.Caller, zero: true);
        if (list.IsNull) return STATUS_INSUFFICIENT_RESOURCES;
        nt.Memory.Write(symbolicLinkList, list);
        return STATUS_SUCCESS;
    }

    [Export(Support.Partial, NoInterfaces), IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoGetDeviceInterfaceAlias(
        UnicodeString symbolicLinkName, Va aliasInterfaceClassGuid, UnicodeString aliasSymbolicLinkName) =>
        STATUS_OBJECT_NAME_NOT_FOUND;

    [Export(Support.Partial, NoInterfaces), IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoOpenDeviceInterfaceRegistryKey(
        UnicodeString symbolicLinkName, uint desiredAccess, Va deviceInterfaceRegKey) => STATUS_OBJECT_NAME_NOT_FOUND;

    [Export(Support.Partial, NoInterfaces), IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoGetDeviceInterfacePropertyData(
        UnicodeString symbolicLinkName, Va propertyKey, uint lcid, uint flags, uint size, Va data, Va requiredSize,
        Va type) => STATUS_OBJECT_NAME_NOT_FOUND;

    [Export(Support.Partial, NoInterfaces), IrqlRequiresMax(APC_LEVEL)]
    public NtStatus IoSetDeviceInterfacePropertyData(
        UnicodeString symbolicLinkName, Va propertyKey, uint lcid, uint flags, uint type, uint size, Va data) =>
        STATUS_OBJECT_NAME_NOT_FOUND;

    [Export(Support.Partial, NoDevices), IrqlRequiresMax(APC_LEVEL)]
    public NtStatus IoGetDevicePropertyData(
        DeviceObject pdo, Va propertyKey, uint lcid, uint flags, uint size, Va data, Va requiredSize, Va type) =>
        STATUS_INVALID_DEVICE_REQUEST;

    [Export(Support.Partial, NoDevices), IrqlRequiresMax(APC_LEVEL)]
    public NtStatus IoSetDevicePropertyData(
        DeviceObject pdo, Va propertyKey, uint lcid, uint flags, uint type, uint size, Va data) =>
        STATUS_INVALID_DEVICE_REQUEST;

    [Export(Support.Partial, NoDevices), IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoGetDeviceNumaNode(DeviceObject pdo, Va nodeNumber) => STATUS_INVALID_DEVICE_REQUEST;

    [Export(Support.Partial, NoSelf), IrqlRequiresMax(DISPATCH_LEVEL)]
    public void IoInvalidateDeviceState(DeviceObject physicalDeviceObject)
    {
    }

    [Export(Support.Partial, NoSelf), IrqlRequiresMax(DISPATCH_LEVEL)]
    public void IoRequestDeviceEject(DeviceObject physicalDeviceObject)
    {
    }

    [Export(Support.Partial, NoDevices), IrqlRequiresMax(DISPATCH_LEVEL)]
    public NtStatus IoRequestDeviceEjectEx(
        DeviceObject physicalDeviceObject, Va callback, Va context, DriverObject driverObject) =>
        STATUS_INVALID_DEVICE_REQUEST;

    [Export(Support.Partial, NoDevices), IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoReportTargetDeviceChange(DeviceObject physicalDeviceObject, Va notificationStructure) =>
        STATUS_INVALID_DEVICE_REQUEST;

    [Export(Support.Partial, NoDevices), IrqlRequiresMax(DISPATCH_LEVEL)]
    public NtStatus IoReportTargetDeviceChangeAsynchronous(
        DeviceObject physicalDeviceObject, Va notificationStructure, Va callback, Va context) =>
        STATUS_INVALID_DEVICE_REQUEST;

    [Export(Support.Partial, "No device can be made known to plug and play yet."), IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoReportDetectedDevice(
        DriverObject driverObject, uint legacyBusType, uint busNumber, uint slotNumber, Va resourceList,
        Va resourceRequirements, bool resourceAssigned, Va deviceObject) => STATUS_NOT_SUPPORTED;

    [Export(Support.Partial, "No device can be made known to plug and play yet."), IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoReportRootDevice(DriverObject driverObject) => STATUS_NOT_SUPPORTED;

    [Export(Support.Partial, "The hardware description holds no buses, so nothing is found.")]
    [IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoQueryDeviceDescription(
        Va busType, Va busNumber, Va controllerType, Va controllerNumber, Va peripheralType, Va peripheralNumber,
        Va calloutRoutine, Va context) => STATUS_OBJECT_NAME_NOT_FOUND;

    [Export(Support.Partial, "Resources are not arbitrated: none can be assigned."), IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoAssignResources(
        UnicodeString registryPath, UnicodeString driverClassName, DriverObject driverObject,
        DeviceObject deviceObject, Va requestedResources, Va allocatedResources)
    {
        nt.Memory.Write(allocatedResources, Va.Null);
        return STATUS_NOT_SUPPORTED;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoUnregisterPlugPlayNotificationEx(Va notificationEntry) =>
        IoUnregisterPlugPlayNotification(notificationEntry);

    /// <summary>The counts of devices that drivers keep for each other. One structure for the whole system.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public ConfigurationInformation IoGetConfigurationInformation()
    {
        if (_configuration.IsNull)
        {
            _configuration = nt.Mm.Pool.Allocate(ConfigurationInformation.Size, NotifyTag);
            var made = ConfigurationInformation.At(nt.Memory, _configuration);
            made.Version = (uint)ConfigurationInformation.Size;
        }
        return ConfigurationInformation.At(nt.Memory, _configuration);
    }

    Va _configuration;

    [Export(Support.Partial, "Boot drivers are not reported: there is no boot."), IrqlRequiresMax(PASSIVE_LEVEL)]
    public Va IoRegisterBootDriverCallback(Va callbackFunction, Va callbackContext) =>
        nt.Mm.Pool.Allocate(0x20, PoolKind.NonPaged, NotifyTag, nt.Caller, zero: true);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void IoUnregisterBootDriverCallback([FreesMem] Va callbackHandle) => nt.Mm.Pool.Free(callbackHandle);

    [Export(Support.Partial, "Sessions do not change, so nothing is told."), IrqlRequiresMax(APC_LEVEL)]
    public NtStatus IoRegisterContainerNotification(
        uint notificationClass, Va callbackFunction, Va notificationInformation, uint notificationInformationLength,
        Va callbackRegistration)
    {
        if (notificationClass != 0) return STATUS_INVALID_PARAMETER;
        nt.Memory.Write(callbackRegistration,
            nt.Mm.Pool.Allocate(0x20, PoolKind.NonPaged, NotifyTag, nt.Caller, zero: true));
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void IoUnregisterContainerNotification([FreesMem] Va callbackRegistration) =>
        nt.Mm.Pool.Free(callbackRegistration);
}
