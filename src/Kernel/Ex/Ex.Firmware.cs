using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>The firmware's variables: a small store that begins empty, as on a machine with UEFI.</summary>
sealed partial class Ex
{
    const uint FirmwareTypeUefi = 2, AppendWrite = 0x40;
    const int FirmwareStoreBytes = 64 << 10;

    readonly Dictionary<(Guid Vendor, string Name), (byte[] Value, uint Attributes)> _firmware = [];

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus ExGetFirmwareType(Va firmwareType)
    {
        nt.Memory.Write(firmwareType, FirmwareTypeUefi);
        return STATUS_SUCCESS;
    }

    /// <summary>The machine was booted by its firmware.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool ExIsSoftBoot() => false;

    (Guid, string) KeyOf(UnicodeString name, Va vendor) =>
        (new Guid(nt.Memory.ReadBytes(vendor, 16)), name.Text);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ExGetFirmwareEnvironmentVariable(
        UnicodeString variableName, Va vendorGuid, Va value, Va valueLength, Va attributes)
    {
        if (!_firmware.TryGetValue(KeyOf(variableName, vendorGuid), out var found)) return STATUS_VARIABLE_NOT_FOUND;
        uint room = nt.Memory.Read<uint>(valueLength);
        nt.Memory.Write(valueLength, (uint)found.Value.Length);
        if (room < found.Value.Length) return STATUS_BUFFER_TOO_SMALL;
        nt.Memory.Write(value, found.Value);
        if (!attributes.IsNull) nt.Memory.Write(attributes, found.Attributes);
        return STATUS_SUCCESS;
    }

    /// <summary>Sets a variable, appends to it (attribute 0x40), or deletes it (length 0).</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ExSetFirmwareEnvironmentVariable(
        UnicodeString variableName, Va vendorGuid, Va value, uint valueLength, uint attributes)
    {
        var key = KeyOf(variableName, vendorGuid);
        if (key.Item2.Length == 0) return STATUS_INVALID_PARAMETER;
        bool exists = _firmware.TryGetValue(key, out var old), append = (attributes & AppendWrite) != 0;
        if (valueLength == 0 && !append)
        {
            _firmware.Remove(key);
            return exists ? STATUS_SUCCESS : STATUS_VARIABLE_NOT_FOUND;
        }
        long used = _firmware.Sum(v => v.Key.Name.Length * 2L + v.Value.Value.Length);
        if (used + valueLength + key.Item2.Length * 2L > FirmwareStoreBytes) return STATUS_INSUFFICIENT_RESOURCES;
        byte[] bytes = nt.Memory.ReadBytes(value, (int)valueLength);
        _firmware[key] = (append && exists ? [.. old.Value, .. bytes] : bytes, attributes & ~AppendWrite);
        return STATUS_SUCCESS;
    }
}
