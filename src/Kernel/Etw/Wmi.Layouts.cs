using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>WNODE_HEADER: the start of every block of WMI's.</summary>
[Layout("_WNODE_HEADER", Size = 0x30)]
public readonly partial struct WnodeHeader
{
    [Field(0x00)] public partial uint BufferSize { get; set; }
    [Field(0x04)] public partial uint ProviderId { get; set; }
    [Field(0x10)] public partial long TimeStamp { get; set; }
    [Field(0x18)] public partial Guid Guid { get; set; }
    [Field(0x2C)] public partial WnodeFlags Flags { get; set; }
}

/// <summary>WNODE_FLAG_*.</summary>
[Flags]
public enum WnodeFlags : uint
{
    None = 0,
    AllData = 0x01,
    SingleInstance = 0x02,
    SingleItem = 0x04,
    EventItem = 0x08,
    FixedInstanceSize = 0x10,
    TooSmall = 0x20,
    InstancesSame = 0x40,
    StaticInstanceNames = 0x80,
    EventReference = 0x2000,
    MethodItem = 0x8000,
    PdoInstanceNames = 0x1_0000,
    TracedGuid = 0x2_0000,
}

/// <summary>WNODE_ALL_DATA. Behind it stand the offset and the length of each instance, 8 bytes together.</summary>
[Layout("tagWNODE_ALL_DATA", Size = 0x48)]
public readonly partial struct WnodeAllData
{
    /// <summary>Where OffsetInstanceDataAndLength is; FixedInstanceSize is there too.</summary>
    public const uint Instances = 0x3C;

    [Field(0x30)] public partial uint DataBlockOffset { get; set; }
    [Field(0x34)] public partial uint InstanceCount { get; set; }
    [Field(0x38)] public partial uint OffsetInstanceNameOffsets { get; set; }
    [Field(0x3C)] public partial uint FixedInstanceSize { get; set; }
}

[Layout("tagWNODE_SINGLE_INSTANCE", Size = 0x40)]
public readonly partial struct WnodeSingleInstance
{
    [Field(0x30)] public partial uint OffsetInstanceName { get; set; }
    [Field(0x34)] public partial uint InstanceIndex { get; set; }
    [Field(0x38)] public partial uint DataBlockOffset { get; set; }
    [Field(0x3C)] public partial uint SizeDataBlock { get; set; }
}

/// <summary>WNODE_SINGLE_ITEM and WNODE_METHOD_ITEM, which have the same shape.</summary>
[Layout("tagWNODE_METHOD_ITEM", Size = 0x48)]
public readonly partial struct WnodeMethodItem
{
    /// <summary>Where VariableData begins.</summary>
    public const uint VariableData = 0x44;

    [Field(0x30)] public partial uint OffsetInstanceName { get; set; }
    [Field(0x34)] public partial uint InstanceIndex { get; set; }

    /// <summary>ItemId of a WNODE_SINGLE_ITEM.</summary>
    [Field(0x38)] public partial uint MethodId { get; set; }
    [Field(0x3C)] public partial uint DataBlockOffset { get; set; }

    /// <summary>SizeDataItem of a WNODE_SINGLE_ITEM.</summary>
    [Field(0x40)] public partial uint SizeDataBlock { get; set; }
}

[Layout("tagWNODE_TOO_SMALL", Size = 0x38)]
public readonly partial struct WnodeTooSmall
{
    [Field(0x30)] public partial uint SizeNeeded { get; set; }
}

[Layout("WMIREGINFOW", Size = 0x18)]
public readonly partial struct WmiRegInfo
{
    [Field(0x00)] public partial uint BufferSize { get; set; }
    [Field(0x04)] public partial uint NextWmiRegInfo { get; set; }
    [Field(0x08)] public partial uint RegistryPath { get; set; }
    [Field(0x0C)] public partial uint MofResourceName { get; set; }
    [Field(0x10)] public partial uint GuidCount { get; set; }

    public static uint SizeOf(uint guids) => (uint)Size + guids * (uint)WmiRegGuid.Size;
    public WmiRegGuid Entry(int n) => WmiRegGuid.At(_memory, Address + Size + n * WmiRegGuid.Size);
}

[Layout("WMIREGGUIDW", Size = 0x20)]
public readonly partial struct WmiRegGuid
{
    [Field(0x00)] public partial Guid Guid { get; set; }
    [Field(0x10)] public partial WmiRegFlags Flags { get; set; }
    [Field(0x14)] public partial uint InstanceCount { get; set; }

    /// <summary>The names: an offset in the WMIREGINFO, or a physical device object.</summary>
    [Field(0x18)] public partial ulong InstanceInfo { get; set; }
}

/// <summary>WMIREG_FLAG_*.</summary>
[Flags]
public enum WmiRegFlags : uint
{
    None = 0,
    Expensive = 0x01,
    InstanceList = 0x04,
    InstanceBasename = 0x08,
    InstancePdo = 0x20,
    EventOnlyGuid = 0x40,

    /// <summary>By this GUID tracing is turned on.</summary>
    TraceControlGuid = 0x1000,
    RemoveGuid = 0x1_0000,
    TracedGuid = 0x8_0000,
}

/// <summary>WMIGUIDREGINFO: a block that a driver of wmilib's has.</summary>
[Layout("_WMIGUIDREGINFO", Size = 0x10)]
public readonly partial struct WmiGuidRegInfo
{
    [Field(0x00)] public partial Va Guid { get; set; }
    [Field(0x08)] public partial uint InstanceCount { get; set; }
    [Field(0x0C)] public partial WmiRegFlags Flags { get; set; }
}

/// <summary>WMILIB_CONTEXT: the blocks of a driver, and its routines for them.</summary>
[Layout("_WMILIB_CONTEXT", Size = 0x40)]
public readonly partial struct WmiLibContext
{
    [Field(0x00)] public partial uint GuidCount { get; set; }
    [Field(0x08)] public partial Va GuidList { get; set; }
    [Field(0x10)] public partial Va QueryWmiRegInfo { get; set; }
    [Field(0x18)] public partial Va QueryWmiDataBlock { get; set; }
    [Field(0x20)] public partial Va SetWmiDataBlock { get; set; }
    [Field(0x28)] public partial Va SetWmiDataItem { get; set; }
    [Field(0x30)] public partial Va ExecuteWmiMethod { get; set; }
    [Field(0x38)] public partial Va WmiFunctionControl { get; set; }

    public WmiGuidRegInfo Entry(uint n) => WmiGuidRegInfo.At(_memory, GuidList + n * (ulong)WmiGuidRegInfo.Size);
}

// The parameters of IRP_MJ_SYSTEM_CONTROL.
public readonly partial struct IoStackLocation
{
    [Field(0x08, Name = "Parameters.WMI.ProviderId")] public partial Va ProviderId { get; set; }
    [Field(0x10, Name = "Parameters.WMI.DataPath")] public partial Va DataPath { get; set; }
    [Field(0x18, Name = "Parameters.WMI.BufferSize")] public partial uint WmiBufferSize { get; set; }
    [Field(0x20, Name = "Parameters.WMI.Buffer")] public partial Va WmiBuffer { get; set; }
}

public static partial class Wdm
{
    /// <summary>Minor functions of IRP_MJ_SYSTEM_CONTROL.</summary>
    public const byte IRP_MN_QUERY_ALL_DATA = 0, IRP_MN_QUERY_SINGLE_INSTANCE = 1, IRP_MN_CHANGE_SINGLE_INSTANCE = 2,
        IRP_MN_CHANGE_SINGLE_ITEM = 3, IRP_MN_ENABLE_EVENTS = 4, IRP_MN_DISABLE_EVENTS = 5,
        IRP_MN_ENABLE_COLLECTION = 6, IRP_MN_DISABLE_COLLECTION = 7, IRP_MN_REGINFO = 8, IRP_MN_EXECUTE_METHOD = 9,
        IRP_MN_REGINFO_EX = 0x0B;

    /// <summary>Actions of IoWMIRegistrationControl.</summary>
    public const uint WMIREG_ACTION_REGISTER = 1, WMIREG_ACTION_DEREGISTER = 2, WMIREG_ACTION_REREGISTER = 3,
        WMIREG_ACTION_UPDATE_GUIDS = 4, WMIREG_ACTION_BLOCK_IRPS = 5;

    /// <summary>With an action: what is registered is a routine, or a block for tracing that begins with
    /// one.</summary>
    public const uint WMIREG_FLAG_CALLBACK = 0x8000_0000, WMIREG_FLAG_TRACE_PROVIDER = 0x1_0000;

    /// <summary>SYSCTL_IRP_DISPOSITION: what WmiSystemControl has done with the IRP.</summary>
    public const uint IrpProcessed = 0, IrpNotCompleted = 1, IrpNotWmi = 2, IrpForward = 3;

    /// <summary>WMIENABLEDISABLECONTROL.</summary>
    public const uint WmiEventControl = 0, WmiDataBlockControl = 1;
}
