using System.Text;
using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>What is known of a device, for drivers that ask.</summary>
sealed partial class Pnp
{
    const uint MostPropertyBytes = 1 << 20;

    /// <summary>DEVICE_REGISTRY_PROPERTY 0 to 22.</summary>
    [Export(Support.Partial, "The container id is not known, and the removal policy is by what the bus says.")]
    [IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoGetDeviceProperty(
        DeviceObject deviceObject, uint deviceProperty, uint bufferLength, Va propertyBuffer, Va resultLength)
    {
        if (Find(deviceObject) is not { InstancePath.Length: > 0 } node) return STATUS_INVALID_DEVICE_REQUEST;
        const uint last = 22;
        if (deviceProperty > last) return STATUS_INVALID_PARAMETER_2;
        if (PropertyOf(node, deviceProperty) is not { } bytes) return STATUS_OBJECT_NAME_NOT_FOUND;
        nt.Memory.Write(resultLength, bytes.Length);
        if (bufferLength < bytes.Length) return STATUS_BUFFER_TOO_SMALL;
        nt.Memory.Write(propertyBuffer, bytes);
        return STATUS_SUCCESS;
    }

    byte[]? PropertyOf(DeviceNode node, uint property) => property switch
    {
        0 => FromKey(node, "DeviceDesc") ?? Encoding.Unicode.GetBytes(node.Description + '\0'),
        1 => FromKey(node, "HardwareID"),
        2 => FromKey(node, "CompatibleIDs"),
        3 => ListBytes(node, node.BootResources, translated: false),
        4 => ListBytes(node, node.BootResources, translated: true),
        5 => FromKey(node, "Class"),
        6 => FromKey(node, "ClassGUID"),
        7 => FromKey(node, "Driver"),
        8 => FromKey(node, "Mfg"),
        9 => FromKey(node, "FriendlyName"),
        10 => FromKey(node, "LocationInformation"),
        11 => Encoding.Unicode.GetBytes(nt.NameOf(node.PhysicalDevice) + '\0'),
        12 => node.Bus?.Type.ToByteArray(),
        13 => node.Bus is { } bus ? BitConverter.GetBytes(bus.Legacy) : null,
        14 => node.Bus is { } bus ? BitConverter.GetBytes(bus.Number) : null,
        15 => Encoding.Unicode.GetBytes(node.InstancePath.Split('\\')[0] + '\0'),
        16 => node.Address == uint.MaxValue ? null : BitConverter.GetBytes(node.Address),
        17 => node.UINumber == uint.MaxValue ? null : BitConverter.GetBytes(node.UINumber),
        18 => BitConverter.GetBytes(0),     // InstallStateInstalled
        19 => BitConverter.GetBytes(RemovalPolicyOf(node)),
        20 => node.Requirements is { Length: > 0 } wanted ? wanted : null,
        21 => ListBytes(node, node.Resources, translated: false),
        _ => null,
    };

    byte[]? FromKey(DeviceNode node, string value) => KeyOf(node).Node.FindValue(value)?.Data;

    // RemovalPolicyExpectNoRemoval, OrderlyRemoval, SurpriseRemoval.
    static int RemovalPolicyOf(DeviceNode node) =>
        (node.Capabilities & CapabilityFlags.SurpriseRemovalOK) != 0 ? 3
            : (node.Capabilities & (CapabilityFlags.Removable | CapabilityFlags.EjectSupported)) != 0 ? 2 : 1;

    byte[]? ListBytes(DeviceNode node, IReadOnlyList<Resource> resources, bool translated)
    {
        CmResourceList list = ResourceLists.Make(
            nt, resources, node.Bus?.Legacy ?? Wdm.Internal, node.Bus?.Number ?? 0, translated);
        if (list.IsNull) return null;
        byte[] bytes = nt.Memory.ReadBytes(list.Address, CmResourceList.SizeOf(resources.Count));
        nt.Mm.Pool.Free(list.Address);
        return bytes;
    }

    /// <summary>A key of the device's own, or of its driver.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoOpenDeviceRegistryKey(
        DeviceObject deviceObject, uint devInstKeyType, uint desiredAccess, Va deviceRegKey)
    {
        const uint deviceKey = 1, driverKey = 2;
        if (Find(deviceObject) is not { InstancePath.Length: > 0 } node) return STATUS_INVALID_DEVICE_REQUEST;
        string? path = (devInstKeyType & 3) switch
        {
            deviceKey => $@"{EnumPath}\{node.InstancePath}\Device Parameters",
            driverKey => KeyOf(node).Node.FindValue("Driver") is { } driver ? $@"{ClassPath}\{driver.Text}" : null,
            _ => null,
        };
        if (path is null) return STATUS_OBJECT_NAME_NOT_FOUND;
        Handle handle = nt.Cm.OpenKey(nt.Cm.Create(path), desiredAccess, ObjectRequest.OBJ_KERNEL_HANDLE);
        nt.Memory.Write(deviceRegKey, handle);
        return STATUS_SUCCESS;
    }

    [Export(Support.Partial, "Properties that drivers have set; the system's own are not among them.")]
    [IrqlRequiresMax(APC_LEVEL)]
    public NtStatus IoGetDevicePropertyData(
        DeviceObject pdo, Va propertyKey, uint lcid, uint flags, uint size, Va data, Va requiredSize, Va type) =>
        Find(pdo) is { } node ? ReadProperty(node.Properties, propertyKey, size, data, requiredSize, type)
            : STATUS_INVALID_DEVICE_REQUEST;

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus IoSetDevicePropertyData(
        DeviceObject pdo, Va propertyKey, uint lcid, uint flags, uint type, uint size, Va data) =>
        Find(pdo) is { } node ? WriteProperty(node.Properties, propertyKey, type, size, data)
            : STATUS_INVALID_DEVICE_REQUEST;

    // DEVPROPKEY: a GUID and a number.
    (Guid, uint) KeyAt(Va propertyKey) =>
        (nt.Memory.Read<Guid>(propertyKey), nt.Memory.Read<uint>(propertyKey + 0x10));

    NtStatus ReadProperty(Dictionary<(Guid, uint), (uint Type, byte[] Data)> properties, Va propertyKey, uint size,
        Va data, Va requiredSize, Va type)
    {
        if (!properties.TryGetValue(KeyAt(propertyKey), out var found)) return STATUS_OBJECT_NAME_NOT_FOUND;
        nt.Memory.Write(requiredSize, found.Data.Length);
        nt.Memory.Write(type, found.Type);
        if (size < found.Data.Length) return STATUS_BUFFER_TOO_SMALL;
        nt.Memory.Write(data, found.Data);
        return STATUS_SUCCESS;
    }

    NtStatus WriteProperty(Dictionary<(Guid, uint), (uint Type, byte[] Data)> properties, Va propertyKey, uint type,
        uint size, Va data)
    {
        if (size > MostPropertyBytes) return STATUS_INVALID_PARAMETER;
        (Guid, uint) key = KeyAt(propertyKey);
        if (data.IsNull) properties.Remove(key);
        else properties[key] = (type, nt.Memory.ReadBytes(data, (int)size));
        return STATUS_SUCCESS;
    }

    /// <summary>There is one node, 0.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoGetDeviceNumaNode(DeviceObject pdo, Va nodeNumber)
    {
        if (Find(pdo) is null) return STATUS_INVALID_DEVICE_REQUEST;
        nt.Memory.Write(nodeNumber, (ushort)0);
        return STATUS_SUCCESS;
    }
}
