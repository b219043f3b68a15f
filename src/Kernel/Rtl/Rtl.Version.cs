using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>RTL_OSVERSIONINFOEXW: which Windows this is, or is asked for.</summary>
[Layout("_OSVERSIONINFOEXW", Size = 0x11C)]
public readonly partial struct OsVersionInfo
{
    public const int ShortSize = 0x114;

    [Field(0x000, Name = "dwOSVersionInfoSize")] public partial uint InfoSize { get; set; }
    [Field(0x004, Name = "dwMajorVersion")] public partial uint MajorVersion { get; set; }
    [Field(0x008, Name = "dwMinorVersion")] public partial uint MinorVersion { get; set; }
    [Field(0x00C, Name = "dwBuildNumber")] public partial uint BuildNumber { get; set; }
    [Field(0x010, Name = "dwPlatformId")] public partial uint PlatformId { get; set; }
    [Field(0x014, Name = "szCSDVersion[0]")] public partial ushort CsdVersion { get; set; }
    [Field(0x114, Name = "wServicePackMajor")] public partial ushort ServicePackMajor { get; set; }
    [Field(0x116, Name = "wServicePackMinor")] public partial ushort ServicePackMinor { get; set; }
    [Field(0x118, Name = "wSuiteMask")] public partial ushort SuiteMask { get; set; }
    [Field(0x11A, Name = "wProductType")] public partial byte ProductType { get; set; }
    [Field(0x11B, Name = "wReserved")] public partial byte Reserved { get; set; }
}

/// <summary>Which Windows this is.</summary>
sealed partial class Rtl
{
    const uint VER_MINORVERSION = 1, VER_MAJORVERSION = 2, VER_BUILDNUMBER = 4, VER_PLATFORMID = 8;
    const uint VER_SERVICEPACKMINOR = 0x10, VER_SERVICEPACKMAJOR = 0x20, VER_SUITENAME = 0x40, VER_PRODUCT_TYPE = 0x80;
    const uint VER_EQUAL = 1, VER_GREATER = 2, VER_GREATER_EQUAL = 3, VER_LESS = 4, VER_LESS_EQUAL = 5;
    const uint VER_AND = 6, VER_OR = 7;
    const uint PlatformNt = 2, MajorVersion = 10, MinorVersion = 0;
    const ushort VER_SUITE_SINGLEUSERTS = 0x100;
    const byte VER_NT_WORKSTATION = 1;

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus RtlGetVersion(OsVersionInfo versionInformation)
    {
        (versionInformation.MajorVersion, versionInformation.MinorVersion) = (MajorVersion, MinorVersion);
        (versionInformation.BuildNumber, versionInformation.PlatformId) = (SharedData.BuildNumber, PlatformNt);
        versionInformation.CsdVersion = 0;
        if (versionInformation.InfoSize < OsVersionInfo.Size) return STATUS_SUCCESS;
        (versionInformation.ServicePackMajor, versionInformation.ServicePackMinor) = (0, 0);
        (versionInformation.SuiteMask, versionInformation.ProductType) = (VER_SUITE_SINGLEUSERTS, VER_NT_WORKSTATION);
        versionInformation.Reserved = 0;
        return STATUS_SUCCESS;
    }

    /// <summary>Adds how one part of a version is to be compared: three bits for each.</summary>
    [Export]
    public ulong VerSetConditionMask(ulong conditionMask, uint typeMask, byte condition)
    {
        if (typeMask == 0 || (typeMask & 0xFF) == 0) return 0;
        int part = System.Numerics.BitOperations.Log2(typeMask & 0xFF);
        return conditionMask | 1UL << 63 | (ulong)(condition & 7) << part * 3;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus RtlVerifyVersionInfo(OsVersionInfo versionInfo, uint typeMask, ulong conditionMask)
    {
        if (typeMask == 0 || conditionMask == 0) return STATUS_INVALID_PARAMETER;
        if ((typeMask & VER_SUITENAME) != 0)
        {
            uint asked = versionInfo.SuiteMask, has = asked & VER_SUITE_SINGLEUSERTS;
            uint how = Condition(conditionMask, VER_SUITENAME);
            if (how is not (VER_AND or VER_OR)) return STATUS_INVALID_PARAMETER;
            if (how == VER_AND ? has != asked : has == 0 && asked != 0) return STATUS_REVISION_MISMATCH;
        }
        bool good = IsMet(typeMask, conditionMask, VER_PRODUCT_TYPE, VER_NT_WORKSTATION, versionInfo, 0x11A)
            && IsMet(typeMask, conditionMask, VER_PLATFORMID, PlatformNt, versionInfo, 0x10)
            && IsMet(typeMask, conditionMask, VER_BUILDNUMBER, SharedData.BuildNumber, versionInfo, 0x0C)
            && IsVersionMet(versionInfo, typeMask, conditionMask);
        return good ? STATUS_SUCCESS : STATUS_REVISION_MISMATCH;
    }

    static uint Condition(ulong conditionMask, uint part) =>
        (uint)(conditionMask >> System.Numerics.BitOperations.Log2(part) * 3) & 7;

    bool IsMet(uint typeMask, ulong conditionMask, uint part, uint value, OsVersionInfo info, int offset)
    {
        if ((typeMask & part) == 0) return true;
        uint asked = part == VER_PRODUCT_TYPE ? info.ProductType : nt.Memory.Read<uint>(info.Address + offset);
        return Compare(Condition(conditionMask, part), value.CompareTo(asked));
    }

    // The parts of a version count together: a later part is looked at only where the earlier ones are equal.
    static bool IsVersionMet(OsVersionInfo info, uint typeMask, ulong conditionMask)
    {
        (uint Part, uint Value, uint Asked)[] parts =
        [
            (VER_MAJORVERSION, MajorVersion, info.MajorVersion), (VER_MINORVERSION, MinorVersion, info.MinorVersion),
            (VER_SERVICEPACKMAJOR, 0, info.ServicePackMajor), (VER_SERVICEPACKMINOR, 0, info.ServicePackMinor),
        ];
        uint condition = VER_EQUAL;
        foreach ((uint part, uint value, uint asked) in parts)
        {
            if ((typeMask & part) == 0) continue;
            if (condition == VER_EQUAL) condition = Condition(conditionMask, part);
            if (value != asked) return Compare(condition, value.CompareTo(asked));
            if (condition is VER_GREATER or VER_LESS && part == LastOf(typeMask)) return false;
        }
        return true;
    }

    static uint LastOf(uint typeMask) =>
        (typeMask & VER_SERVICEPACKMINOR) != 0 ? VER_SERVICEPACKMINOR
        : (typeMask & VER_SERVICEPACKMAJOR) != 0 ? VER_SERVICEPACKMAJOR
        : (typeMask & VER_MINORVERSION) != 0 ? VER_MINORVERSION : VER_MAJORVERSION;

    static bool Compare(uint condition, int order) => condition switch
    {
        VER_EQUAL => order == 0,
        VER_GREATER => order > 0,
        VER_GREATER_EQUAL => order >= 0,
        VER_LESS => order < 0,
        VER_LESS_EQUAL => order <= 0,
        _ => false,
    };

    /// <summary>Whether this is at least the Windows that an NTDDI_ version names.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public bool RtlIsNtDdiVersionAvailable(uint version) =>
        (version & 0xFF00) == 0
        && version <= (NtDdiVersion | NtDdiRelease);

    // NTDDI_WIN10_VB: the release within Windows 10 is its last byte, a service pack would be the one before.
    const uint NtDdiVersion = 0x0A00_0000, NtDdiRelease = 8;

    /// <summary>Whether this Windows, with its service pack, is at least what an NTDDI_ version names.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public bool RtlIsServicePackVersionInstalled(uint version) =>
        (version & 0xFFFF_0000) == NtDdiVersion && (version & 0xFF00) == 0;

    /// <summary>The product that this is: PRODUCT_PROFESSIONAL.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public bool RtlGetProductInfo(
        uint osMajorVersion, uint osMinorVersion, uint spMajorVersion, uint spMinorVersion, Va returnedProductType)
    {
        const uint PRODUCT_PROFESSIONAL = 0x30;
        bool known = osMajorVersion >= 6;
        nt.Memory.Write(returnedProductType, known ? PRODUCT_PROFESSIONAL : 0u);
        return known;
    }

    [Export] public uint RtlGetNtGlobalFlags() => 0;

    /// <summary>Only Windows's smaller editions keep state apart.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)] public bool RtlIsStateSeparationEnabled() => false;
}
