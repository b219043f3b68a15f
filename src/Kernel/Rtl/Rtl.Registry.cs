using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>The registry by relative paths.</summary>
sealed partial class Rtl
{
    const uint RTL_REGISTRY_HANDLE = 0x4000_0000, RTL_REGISTRY_OPTIONAL = 0x8000_0000;

    static string? RegistryRoot(uint relativeTo) => relativeTo switch
    {
        0 => "",
        1 => @"\Registry\Machine\System\CurrentControlSet\Services\",
        2 => @"\Registry\Machine\System\CurrentControlSet\Control\",
        3 => @"\Registry\Machine\Software\Microsoft\Windows NT\CurrentVersion\",
        4 => @"\Registry\Machine\Hardware\DeviceMap\",
        5 => @"\Registry\User\.Default\",
        _ => null,
    };

    // The last key of a path is made if that is asked for; those above it must be there.
    NtStatus KeyAt(uint relativeTo, Va path, bool create, out RegistryKey? key)
    {
        key = null;
        if ((relativeTo & RTL_REGISTRY_HANDLE) != 0)
        {
            key = nt.Cm.KeyAt(new Handle(path.Value));
            return key is null ? STATUS_INVALID_HANDLE : key.IsDeleted ? STATUS_KEY_DELETED : STATUS_SUCCESS;
        }
        if (RegistryRoot(relativeTo & ~RTL_REGISTRY_OPTIONAL) is not { } root) return STATUS_INVALID_PARAMETER;
        string full = root + (path.IsNull ? "" : nt.Crt.ReadWide(path, 0x4000));
        NtStatus status = nt.Cm.Walk(full, out key, out string rest);
        if (!create || status != STATUS_OBJECT_NAME_NOT_FOUND || rest.Contains('\\')) return status;
        key = nt.Cm.Make(key, rest);
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus RtlCheckRegistryKey(uint relativeTo, Va path) => KeyAt(relativeTo, path, create: false, out _);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus RtlCreateRegistryKey(uint relativeTo, Va path) => KeyAt(relativeTo, path, create: true, out _);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus RtlWriteRegistryValue(
        uint relativeTo, Va path, Va valueName, uint valueType, Va valueData, uint valueLength)
    {
        NtStatus status = KeyAt(relativeTo, path, create: true, out RegistryKey? key);
        return !status.IsSuccess ? status
            : nt.Cm.SetValue(key!, NameAt(valueName), valueType, valueData, valueLength);
    }

    string NameAt(Va name) => name.IsNull ? "" : nt.Crt.ReadWide(name, 0x4000);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus RtlDeleteRegistryValue(uint relativeTo, Va path, Va valueName)
    {
        NtStatus status = KeyAt(relativeTo, path, create: false, out RegistryKey? key);
        return !status.IsSuccess ? status
            : key!.RemoveValue(NameAt(valueName)) ? STATUS_SUCCESS : STATUS_OBJECT_NAME_NOT_FOUND;
    }

    /// <summary>Values by a table that ends with an entry of no routine and no name.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus RtlQueryRegistryValues(uint relativeTo, Va path, Va queryTable, Va context, Va environment)
    {
        NtStatus status = KeyAt(relativeTo, path, create: false, out RegistryKey? top);
        return !status.IsSuccess ? status
            : new RegistryQuery(nt, top!, context, environment).Run(queryTable);
    }

    /// <summary>Where the keys of the user are for whom a driver works: the system's.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus RtlFormatCurrentUserKeyPath(UnicodeString currentUserKeyPath) =>
        Store(currentUserKeyPath, System.Text.Encoding.Unicode.GetBytes(@"\REGISTRY\USER\S-1-5-18"), 2, allocate: true);
}
