using System.Text;
using Ringdown.Machine;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>SYSTEM_FIRMWARE_TABLE_INFORMATION: the machine has an SMBIOS of three structures, and no ACPI
/// tables.</summary>
sealed class FirmwareTables(NtKernel nt)
{
    const uint Smbios = 0x5253_4D42, Acpi = 0x4143_5049, Firmware = 0x4649_524D;      // 'RSMB', 'ACPI', 'FIRM'
    const int HeaderSize = 16;

    public NtStatus Query(Va buffer, uint length, out byte[] bytes, out uint needed)
    {
        (bytes, needed) = ([], HeaderSize);
        if (length < HeaderSize) return STATUS_INFO_LENGTH_MISMATCH;
        byte[] header = nt.Memory.ReadBytes(buffer, HeaderSize);
        uint provider = BitConverter.ToUInt32(header, 0), action = BitConverter.ToUInt32(header, 4);
        uint table = BitConverter.ToUInt32(header, 8), room = BitConverter.ToUInt32(header, 12);
        if (provider is not (Smbios or Acpi or Firmware)) return STATUS_NOT_IMPLEMENTED;
        if (action > 1) return STATUS_INVALID_INFO_CLASS;
        byte[] found = provider != Smbios ? [] : action == 0 ? new byte[4] : RawSmbios();
        if (action == 1 && (provider != Smbios || table != 0)) return STATUS_NOT_FOUND;
        needed += (uint)found.Length;
        SystemInformation.Put(header, 12, (uint)found.Length);
        if (length < needed || room < found.Length)
        {
            nt.Memory.Write(buffer, header);
            return STATUS_BUFFER_TOO_SMALL;
        }
        bytes = [.. header, .. found];
        return STATUS_SUCCESS;
    }

    // RawSMBIOSData: version 3.0, then the structures.
    static byte[] RawSmbios()
    {
        byte[] tables = [.. Structure(0, 0x18, [(4, 1), (5, 2), (8, 3)], "Ringdown", "1.0", "01/01/2024"),
            .. Structure(1, 0x1B, [(4, 1), (5, 2)], "Ringdown", "Ringdown machine"), .. Structure(127, 4, [])];
        return [0, 3, 0, 0, .. BitConverter.GetBytes(tables.Length), .. tables];
    }

    // A structure: type, length, handle, fields that number the strings behind it, and an empty string at the end.
    static byte[] Structure(byte type, byte length, (int Offset, byte String)[] fields, params string[] strings)
    {
        byte[] head = new byte[length];
        (head[0], head[1], head[2]) = (type, length, type);
        foreach ((int offset, byte number) in fields) head[offset] = number;
        byte[] text = [.. strings.SelectMany(s => Encoding.ASCII.GetBytes(s + "\0")), 0];
        return strings.Length == 0 ? [.. head, 0, 0] : [.. head, .. text];
    }
}
