using Ringdown.Kernel;
using static Ringdown.Kernel.IrpMajor;

namespace Ringdown.Verifier;

/// <summary>IRP_MN_*, by the major function that they belong to.</summary>
public static class MinorNames
{
    static readonly string[] s_pnp =
    [
        "START_DEVICE", "QUERY_REMOVE_DEVICE", "REMOVE_DEVICE", "CANCEL_REMOVE_DEVICE", "STOP_DEVICE",
        "QUERY_STOP_DEVICE", "CANCEL_STOP_DEVICE", "QUERY_DEVICE_RELATIONS", "QUERY_INTERFACE", "QUERY_CAPABILITIES",
        "QUERY_RESOURCES", "QUERY_RESOURCE_REQUIREMENTS", "QUERY_DEVICE_TEXT", "FILTER_RESOURCE_REQUIREMENTS", "",
        "READ_CONFIG", "WRITE_CONFIG", "EJECT", "SET_LOCK", "QUERY_ID", "QUERY_PNP_DEVICE_STATE",
        "QUERY_BUS_INFORMATION", "DEVICE_USAGE_NOTIFICATION", "SURPRISE_REMOVAL", "QUERY_LEGACY_BUS_INFORMATION",
        "DEVICE_ENUMERATED",
    ];

    static readonly string[] s_power = ["WAIT_WAKE", "POWER_SEQUENCE", "SET_POWER", "QUERY_POWER"];

    static readonly string[] s_control =
    [
        "QUERY_ALL_DATA", "QUERY_SINGLE_INSTANCE", "CHANGE_SINGLE_INSTANCE", "CHANGE_SINGLE_ITEM", "ENABLE_EVENTS",
        "DISABLE_EVENTS", "ENABLE_COLLECTION", "DISABLE_COLLECTION", "REGINFO", "EXECUTE_METHOD", "", "REGINFO_EX",
    ];

    /// <summary>The minor function's name; null for a major that has none, or a number without a name.</summary>
    public static string? Find(IrpMajor major, byte minor)
    {
        string[] names = major switch
        {
            IRP_MJ_PNP => s_pnp,
            IRP_MJ_POWER => s_power,
            IRP_MJ_SYSTEM_CONTROL => s_control,
            _ => [],
        };
        return minor < names.Length && names[minor].Length > 0 ? "IRP_MN_" + names[minor] : null;
    }
}
