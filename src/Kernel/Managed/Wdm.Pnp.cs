namespace Ringdown.Kernel;

// Plug and play, and power.
public static partial class Wdm
{
    /// <summary>Minor functions of IRP_MJ_PNP.</summary>
    public const byte IRP_MN_START_DEVICE = 0x00, IRP_MN_QUERY_REMOVE_DEVICE = 0x01, IRP_MN_REMOVE_DEVICE = 0x02,
        IRP_MN_CANCEL_REMOVE_DEVICE = 0x03, IRP_MN_STOP_DEVICE = 0x04, IRP_MN_QUERY_STOP_DEVICE = 0x05,
        IRP_MN_CANCEL_STOP_DEVICE = 0x06, IRP_MN_QUERY_DEVICE_RELATIONS = 0x07, IRP_MN_QUERY_INTERFACE = 0x08,
        IRP_MN_QUERY_CAPABILITIES = 0x09, IRP_MN_QUERY_RESOURCES = 0x0A, IRP_MN_QUERY_RESOURCE_REQUIREMENTS = 0x0B,
        IRP_MN_QUERY_DEVICE_TEXT = 0x0C, IRP_MN_FILTER_RESOURCE_REQUIREMENTS = 0x0D, IRP_MN_READ_CONFIG = 0x0F,
        IRP_MN_WRITE_CONFIG = 0x10, IRP_MN_EJECT = 0x11, IRP_MN_SET_LOCK = 0x12, IRP_MN_QUERY_ID = 0x13,
        IRP_MN_QUERY_PNP_DEVICE_STATE = 0x14, IRP_MN_QUERY_BUS_INFORMATION = 0x15,
        IRP_MN_DEVICE_USAGE_NOTIFICATION = 0x16, IRP_MN_SURPRISE_REMOVAL = 0x17,
        IRP_MN_QUERY_LEGACY_BUS_INFORMATION = 0x18, IRP_MN_DEVICE_ENUMERATED = 0x19;

    /// <summary>Minor functions of IRP_MJ_POWER.</summary>
    public const byte IRP_MN_WAIT_WAKE = 0, IRP_MN_POWER_SEQUENCE = 1, IRP_MN_SET_POWER = 2, IRP_MN_QUERY_POWER = 3;

    /// <summary>POWER_STATE_TYPE.</summary>
    public const uint SystemPowerState = 0, DevicePowerState = 1;

    /// <summary>PNP_DEVICE_STATE: what IRP_MN_QUERY_PNP_DEVICE_STATE answers.</summary>
    public const uint PNP_DEVICE_DISABLED = 0x01, PNP_DEVICE_DONT_DISPLAY_IN_UI = 0x02, PNP_DEVICE_FAILED = 0x04,
        PNP_DEVICE_REMOVED = 0x08, PNP_DEVICE_RESOURCE_REQUIREMENTS_CHANGED = 0x10, PNP_DEVICE_NOT_DISABLEABLE = 0x20;

    /// <summary>INTERFACE_TYPE.</summary>
    public const uint Internal = 0, Isa = 1, PCIBus = 5, PNPBus = 15, ACPIBus = 17;

    /// <summary>CM_RESOURCE_*: flags of memory, ports and interrupts.</summary>
    public const ushort CM_RESOURCE_MEMORY_READ_WRITE = 0, CM_RESOURCE_PORT_IO = 1,
        CM_RESOURCE_PORT_16_BIT_DECODE = 0x10,
        CM_RESOURCE_INTERRUPT_LEVEL_SENSITIVE = 0, CM_RESOURCE_INTERRUPT_LATCHED = 1, CM_RESOURCE_INTERRUPT_MESSAGE = 2;

    /// <summary>EVENT_CATEGORY of IoRegisterPlugPlayNotification.</summary>
    public const uint EventCategoryHardwareProfileChange = 1, EventCategoryDeviceInterfaceChange = 2,
        EventCategoryTargetDeviceChange = 3, PNPNOTIFY_DEVICE_INTERFACE_INCLUDE_EXISTING_INTERFACES = 1;
}
