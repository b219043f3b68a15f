using Ringdown.Machine;

namespace Ringdown.Kernel;

// The parameters of IRP_MJ_PNP and IRP_MJ_POWER, by their own names.
public readonly partial struct IoStackLocation
{
    [Field(0x08, Name = "Parameters.StartDevice.AllocatedResources")]
    public partial CmResourceList AllocatedResources { get; set; }
    [Field(0x10, Name = "Parameters.StartDevice.AllocatedResourcesTranslated")]
    public partial CmResourceList AllocatedResourcesTranslated { get; set; }
    [Field(0x08, Name = "Parameters.QueryDeviceRelations.Type")]
    public partial DeviceRelationType RelationType { get; set; }
    [Field(0x08, Name = "Parameters.QueryId.IdType")] public partial BusQueryIdType IdType { get; set; }
    [Field(0x08, Name = "Parameters.DeviceCapabilities.Capabilities")]
    public partial DeviceCapabilities Capabilities { get; set; }
    [Field(0x08, Name = "Parameters.QueryInterface.InterfaceType")] public partial Va InterfaceType { get; set; }
    [Field(0x10, Name = "Parameters.QueryInterface.Size")] public partial ushort InterfaceSize { get; set; }
    [Field(0x12, Name = "Parameters.QueryInterface.Version")] public partial ushort InterfaceVersion { get; set; }
    [Field(0x18, Name = "Parameters.QueryInterface.Interface")] public partial Va Interface { get; set; }
    [Field(0x20, Name = "Parameters.QueryInterface.InterfaceSpecificData")]
    public partial Va InterfaceSpecificData { get; set; }
    [Field(0x08, Name = "Parameters.ReadWriteConfig.WhichSpace")] public partial uint WhichSpace { get; set; }
    [Field(0x10, Name = "Parameters.ReadWriteConfig.Buffer")] public partial Va ConfigBuffer { get; set; }
    [Field(0x18, Name = "Parameters.ReadWriteConfig.Offset")] public partial uint ConfigOffset { get; set; }
    [Field(0x20, Name = "Parameters.ReadWriteConfig.Length")] public partial uint ConfigLength { get; set; }
    [Field(0x08, Name = "Parameters.FilterResourceRequirements.IoResourceRequirementList")]
    public partial IoResourceRequirementsList ResourceRequirements { get; set; }
    [Field(0x08, Name = "Parameters.QueryDeviceText.DeviceTextType")]
    public partial DeviceTextType DeviceTextType { get; set; }
    [Field(0x10, Name = "Parameters.QueryDeviceText.LocaleId")] public partial uint LocaleId { get; set; }
    [Field(0x08, Name = "Parameters.UsageNotification.InPath")] public partial bool InPath { get; set; }
    [Field(0x10, Name = "Parameters.UsageNotification.Type")] public partial uint UsageType { get; set; }
    [Field(0x08, Name = "Parameters.SetLock.Lock")] public partial bool Lock { get; set; }
    [Field(0x08, Name = "Parameters.WaitWake.PowerState")] public partial uint WakeState { get; set; }
    [Field(0x08, Name = "Parameters.Power.SystemContext")] public partial uint SystemContext { get; set; }
    [Field(0x10, Name = "Parameters.Power.Type")] public partial uint PowerStateType { get; set; }
    [Field(0x18, Name = "Parameters.Power.State")] public partial uint PowerState { get; set; }
    [Field(0x20, Name = "Parameters.Power.ShutdownType")] public partial uint ShutdownType { get; set; }
}

/// <summary>DEVICE_RELATION_TYPE.</summary>
public enum DeviceRelationType
{
    BusRelations, EjectionRelations, PowerRelations, RemovalRelations, TargetDeviceRelation, SingleBusRelations,
    TransportRelations,
}

/// <summary>BUS_QUERY_ID_TYPE.</summary>
public enum BusQueryIdType
{
    BusQueryDeviceID, BusQueryHardwareIDs, BusQueryCompatibleIDs, BusQueryInstanceID, BusQueryDeviceSerialNumber,
    BusQueryContainerID,
}

/// <summary>DEVICE_TEXT_TYPE.</summary>
public enum DeviceTextType { DeviceTextDescription, DeviceTextLocationInformation }
