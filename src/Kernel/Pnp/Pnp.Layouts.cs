using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>CM_PARTIAL_RESOURCE_DESCRIPTOR: a resource that a device has. Packed to 4 bytes.</summary>
[Layout("_CM_PARTIAL_RESOURCE_DESCRIPTOR", Size = 0x14)]
public readonly partial struct CmPartialResourceDescriptor
{
    [Field(0x00)] public partial ResourceType Type { get; set; }
    [Field(0x01)] public partial ShareDisposition ShareDisposition { get; set; }
    [Field(0x02)] public partial ushort Flags { get; set; }
    [Field(0x04, Name = "u.Generic.Start")] public partial ulong Start { get; set; }
    [Field(0x0C, Name = "u.Generic.Length")] public partial uint Length { get; set; }
    [Field(0x04, Name = "u.Interrupt.Level")] public partial uint Level { get; set; }
    [Field(0x08, Name = "u.Interrupt.Vector")] public partial uint Vector { get; set; }
    [Field(0x0C, Name = "u.Interrupt.Affinity")] public partial ulong Affinity { get; set; }
    [Field(0x06, Name = "u.MessageInterrupt.Raw.MessageCount")] public partial ushort MessageCount { get; set; }
    [Field(0x04, Name = "u.Dma.Channel")] public partial uint Channel { get; set; }
    [Field(0x04, Name = "u.BusNumber.Start")] public partial uint BusStart { get; set; }
    [Field(0x08, Name = "u.BusNumber.Length")] public partial uint BusLength { get; set; }
}

/// <summary>CM_RESOURCE_LIST with one full descriptor, as every driver that is not for a bridge of old gets
/// it.</summary>
[Layout("_CM_RESOURCE_LIST", Size = 0x28)]
public readonly partial struct CmResourceList
{
    const int FirstDescriptor = 0x14;

    [Field(0x00)] public partial uint Count { get; set; }
    [Field(0x04, Name = "List[0].InterfaceType")] public partial uint InterfaceType { get; set; }
    [Field(0x08, Name = "List[0].BusNumber")] public partial uint BusNumber { get; set; }
    [Field(0x0C, Name = "List[0].PartialResourceList.Version")] public partial ushort Version { get; set; }
    [Field(0x0E, Name = "List[0].PartialResourceList.Revision")] public partial ushort Revision { get; set; }
    [Field(0x10, Name = "List[0].PartialResourceList.Count")] public partial uint DescriptorCount { get; set; }

    public CmPartialResourceDescriptor Descriptor(int n) => CmPartialResourceDescriptor.At(
        _memory, Address + FirstDescriptor + n * CmPartialResourceDescriptor.Size);

    /// <summary>The size in bytes of a list of so many descriptors.</summary>
    public static int SizeOf(int descriptors) => FirstDescriptor + descriptors * CmPartialResourceDescriptor.Size;
}

/// <summary>IO_RESOURCE_DESCRIPTOR: a resource that a device can do with.</summary>
[Layout("_IO_RESOURCE_DESCRIPTOR", Size = 0x20)]
public readonly partial struct IoResourceDescriptor
{
    [Field(0x00)] public partial ResourceOption Option { get; set; }
    [Field(0x01)] public partial ResourceType Type { get; set; }
    [Field(0x02)] public partial ShareDisposition ShareDisposition { get; set; }
    [Field(0x04)] public partial ushort Flags { get; set; }
    [Field(0x08, Name = "u.Generic.Length")] public partial uint Length { get; set; }
    [Field(0x0C, Name = "u.Generic.Alignment")] public partial uint Alignment { get; set; }
    [Field(0x10, Name = "u.Generic.MinimumAddress")] public partial ulong MinimumAddress { get; set; }
    [Field(0x18, Name = "u.Generic.MaximumAddress")] public partial ulong MaximumAddress { get; set; }
    [Field(0x08, Name = "u.Interrupt.MinimumVector")] public partial uint MinimumVector { get; set; }
    [Field(0x0C, Name = "u.Interrupt.MaximumVector")] public partial uint MaximumVector { get; set; }
    [Field(0x08, Name = "u.Dma.MinimumChannel")] public partial uint MinimumChannel { get; set; }
    [Field(0x0C, Name = "u.Dma.MaximumChannel")] public partial uint MaximumChannel { get; set; }
    [Field(0x08, Name = "u.BusNumber.Length")] public partial uint BusLength { get; set; }
    [Field(0x0C, Name = "u.BusNumber.MinBusNumber")] public partial uint MinBusNumber { get; set; }
    [Field(0x10, Name = "u.BusNumber.MaxBusNumber")] public partial uint MaxBusNumber { get; set; }
    [Field(0x08, Name = "u.ConfigData.Priority")] public partial uint Priority { get; set; }
}

/// <summary>IO_RESOURCE_REQUIREMENTS_LIST, up to its first alternative list.</summary>
[Layout("_IO_RESOURCE_REQUIREMENTS_LIST", Size = 0x48)]
public readonly partial struct IoResourceRequirementsList
{
    [Field(0x00)] public partial uint ListSize { get; set; }
    [Field(0x04)] public partial uint InterfaceType { get; set; }
    [Field(0x08)] public partial uint BusNumber { get; set; }
    [Field(0x0C)] public partial uint SlotNumber { get; set; }
    [Field(0x1C)] public partial uint AlternativeLists { get; set; }
    [Field(0x20, Name = "List[0].Version")] public partial ushort Version { get; set; }
    [Field(0x22, Name = "List[0].Revision")] public partial ushort Revision { get; set; }
    [Field(0x24, Name = "List[0].Count")] public partial uint DescriptorCount { get; set; }

    public const int FirstList = 0x20, ListHeader = 8;

    public IoResourceDescriptor Descriptor(int n) => IoResourceDescriptor.At(
        _memory, Address + FirstList + ListHeader + n * IoResourceDescriptor.Size);

    /// <summary>The size in bytes of a list with one alternative of so many descriptors.</summary>
    public static int SizeOf(int descriptors) => FirstList + ListHeader + descriptors * IoResourceDescriptor.Size;
}

/// <summary>CM_RESOURCE_TYPE, CmResourceType*.</summary>
public enum ResourceType : byte
{
    Null = 0, Port = 1, Interrupt = 2, Memory = 3, Dma = 4, DeviceSpecific = 5, BusNumber = 6, MemoryLarge = 7,
    ConfigData = 128, DevicePrivate = 129,
}

/// <summary>CM_SHARE_DISPOSITION, CmResourceShare*.</summary>
public enum ShareDisposition : byte { Undetermined = 0, DeviceExclusive = 1, DriverExclusive = 2, Shared = 3 }

/// <summary>IO_RESOURCE_* in IO_RESOURCE_DESCRIPTOR.Option.</summary>
[Flags]
public enum ResourceOption : byte { None = 0, Preferred = 1, Default = 2, Alternative = 8 }

/// <summary>DEVICE_RELATIONS: so many pointers to device objects follow the count.</summary>
[Layout("_DEVICE_RELATIONS", Size = 0x10)]
public readonly partial struct DeviceRelations
{
    const int FirstObject = 8;

    [Field(0x00)] public partial uint Count { get; set; }

    public DeviceObject Object(int n) => DeviceObject.At(_memory, _memory.Read<Va>(Address + FirstObject + n * 8));
    public void SetObject(int n, DeviceObject device) =>
        _memory.Write(Address + FirstObject + n * 8, device.Address);

    /// <summary>The size in bytes of a list of so many objects.</summary>
    public static int SizeOf(int objects) => FirstObject + objects * 8;
}

[Layout("_DEVICE_CAPABILITIES", Size = 0x40)]
public readonly partial struct DeviceCapabilities
{
    const int DeviceStateOffset = 0x10;

    [Field(0x00, Name = "Size")] public partial ushort ObjectSize { get; set; }
    [Field(0x02)] public partial ushort Version { get; set; }

    /// <summary>The bits that follow the version.</summary>
    [Field(0x04)] public partial CapabilityFlags Flags { get; set; }
    [Field(0x08, Name = "Address")] public partial uint BusAddress { get; set; }
    [Field(0x0C)] public partial uint UINumber { get; set; }
    [Field(0x2C)] public partial uint SystemWake { get; set; }
    [Field(0x30)] public partial uint DeviceWake { get; set; }
    [Field(0x34)] public partial uint D1Latency { get; set; }
    [Field(0x38)] public partial uint D2Latency { get; set; }
    [Field(0x3C)] public partial uint D3Latency { get; set; }

    /// <summary>The highest power that the device can have in a state of the system: DEVICE_POWER_STATE for
    /// SYSTEM_POWER_STATE 0 to 6.</summary>
    public uint DeviceState(int systemState) => _memory.Read<uint>(Address + DeviceStateOffset + systemState * 4);
    public void SetDeviceState(int systemState, uint deviceState) =>
        _memory.Write(Address + DeviceStateOffset + systemState * 4, deviceState);
}

/// <summary>The bits of DEVICE_CAPABILITIES.</summary>
[Flags]
public enum CapabilityFlags : uint
{
    None = 0, DeviceD1 = 1, DeviceD2 = 2, LockSupported = 4, EjectSupported = 8, Removable = 0x10, DockDevice = 0x20,
    UniqueId = 0x40, SilentInstall = 0x80, RawDeviceOK = 0x100, SurpriseRemovalOK = 0x200, WakeFromD0 = 0x400,
    WakeFromD1 = 0x800, WakeFromD2 = 0x1000, WakeFromD3 = 0x2000, HardwareDisabled = 0x4000, NonDynamic = 0x8000,
    WarmEjectSupported = 0x1_0000, NoDisplayInUI = 0x2_0000,
}

[Layout("_PNP_BUS_INFORMATION", Size = 0x18)]
public readonly partial struct PnpBusInformation
{
    [Field(0x00)] public partial Guid BusTypeGuid { get; set; }
    [Field(0x10)] public partial uint LegacyBusType { get; set; }
    [Field(0x14)] public partial uint BusNumber { get; set; }
}
