using System.Globalization;

namespace Ringdown.Kernel;

/// <summary>The key that a change of the registry begins at.</summary>
enum InfRoot { Relative, LocalMachine, ClassesRoot, CurrentUser, Users }

/// <summary>FLG_ADDREG_ and FLG_DELREG_: what a line of AddReg does, beside the type in the upper half.</summary>
[Flags]
enum InfRegistryFlags : uint
{
    Binary = 1, NoClobber = 2, DeleteValue = 4, Append = 8, KeyOnly = 0x10, OverwriteOnly = 0x20,
    In64BitKey = 0x1000, KeyOnlyCommon = 0x2000, In32BitKey = 0x4000, DeleteString = 0x8000,
}

/// <summary>A line of AddReg, DelReg or BitReg.</summary>
/// <param name="Name">The value; empty for the key's default one; null for the key itself.</param>
sealed record InfRegistryChange(InfLine Line, InfRoot Root, string Key, string? Name)
{
    const int MostLevels = 100, LongestKey = 255, MostData = 1 << 20, LongestSubKey = 4000;

    public InfRegistryFlags Flags { get; private init; }

    /// <summary>What is set; null where something is deleted or only a key is made. Of a list, the string that goes out
    /// of it.</summary>
    public RegistryValue? Data { get; private init; }
    public bool Deletes { get; private init; }

    /// <summary>Which bits are set or cleared (BitReg); null for other lines.</summary>
    public InfBits? Bits { get; private init; }

    /// <summary>SDDL of the key, from the section's own .Security section.</summary>
    public string? Security { get; init; }

    /// <summary>A line of an AddReg section: root, subkey, value, flags, data...</summary>
    public static InfRegistryChange Add(InfLine line)
    {
        uint raw = line.NumberAt(3);
        var flags = (InfRegistryFlags)(raw & 0xFFFF);
        bool keyOnly = (flags & (InfRegistryFlags.KeyOnly | InfRegistryFlags.KeyOnlyCommon)) != 0;
        if ((flags & InfRegistryFlags.DeleteValue) != 0)
            return new(line, RootOf(line), KeyOf(line, flags), keyOnly ? null : line.Field(2))
            {
                Flags = flags,
                Deletes = true,
            };
        // With neither a value's name nor data only the key is made.
        bool noValue = keyOnly || line.Field(2).Length == 0 && line.Fields.Count <= 4 && line.Field(3).Length == 0;
        return new(line, RootOf(line), KeyOf(line, flags), noValue ? null : line.Field(2))
        {
            Flags = flags,
            Data = noValue ? null : DataOf(line, raw),
        };
    }

    /// <summary>A line of a DelReg section: root, subkey, value, flags, data.</summary>
    public static InfRegistryChange Delete(InfLine line)
    {
        uint raw = line.NumberAt(3);
        var flags = (InfRegistryFlags)(raw & 0xFFFF);
        string? name = line.Fields.Count > 2 && (line.Field(2).Length > 0 || line.Fields.Count > 3) ? line.Field(2)
            : null;
        bool isString = (flags & InfRegistryFlags.DeleteString) != 0;
        if ((flags & InfRegistryFlags.KeyOnlyCommon) != 0) name = null;
        return new(line, RootOf(line), KeyOf(line, flags), name)
        {
            Flags = flags,
            Data = isString ? RegistryValue.String(line.Field(4)) : null,
            Deletes = true,
        };
    }

    /// <summary>A line of a BitReg section: root, subkey, value, flags, mask, byte.</summary>
    public static InfRegistryChange Bit(InfLine line)
    {
        const uint set = 1, dword = 2, most = 0xFFFF;
        uint flags = line.NumberAt(3), mask = line.NumberAt(4), index = line.NumberAt(5);
        if (line.Fields.Count < 5 || (flags & dword) == 0 && (mask > 0xFF || index > most))
            throw line.Wrong("A mask of a byte, and which byte, are expected.");
        return new(line, RootOf(line), KeyOf(line, 0), line.Field(2))
        {
            Bits = new(mask, (flags & dword) != 0 ? null : (int)index, (flags & set) != 0),
        };
    }

    static InfRoot RootOf(InfLine line) => line.Field(0).ToUpperInvariant() switch
    {
        "HKR" or "" => InfRoot.Relative,
        "HKLM" => InfRoot.LocalMachine,
        "HKCR" => InfRoot.ClassesRoot,
        "HKCU" => InfRoot.CurrentUser,
        "HKU" => InfRoot.Users,
        _ => throw line.Wrong($"\"{line.Field(0)}\" is no root: HKR, HKLM, HKCR, HKCU or HKU."),
    };

    static string KeyOf(InfLine line, InfRegistryFlags flags)
    {
        string key = line.Field(1).Trim('\\');
        string[] parts = key.Split('\\', StringSplitOptions.RemoveEmptyEntries);
        if (parts.Length > MostLevels || key.Length > LongestSubKey || parts.Any(p => p.Length > LongestKey))
            throw line.Wrong("The key has too many levels, or too long a name.");
        const string software = "SOFTWARE";
        bool isSoftware = parts.Length > 0 && parts[0].Equals(software, StringComparison.OrdinalIgnoreCase);
        return (flags & InfRegistryFlags.In32BitKey) != 0 && isSoftware && line.Field(0).ToUpperInvariant() == "HKLM"
            ? string.Join('\\', [software, "WOW6432Node", .. parts.Skip(1)]) : string.Join('\\', parts);
    }

    static RegistryValue DataOf(InfLine line, uint flags)
    {
        uint high = flags >> 16;
        if ((flags & (uint)InfRegistryFlags.Binary) == 0)
            return high switch
            {
                0 => RegistryValue.String(line.Field(4)),
                1 => RegistryValue.MultiString([.. line.Fields.Skip(4).Where(f => f.Length > 0)]),
                2 => RegistryValue.ExpandString(line.Field(4)),
                _ => throw line.Wrong($"0x{flags:X8} is no type of values."),
            };
        return high switch
        {
            0 => new RegistryValue(RegistryValue.REG_BINARY, Bytes(line)),
            1 => Number(line),
            2 => new RegistryValue(RegistryValue.REG_NONE, Bytes(line)),
            _ => new RegistryValue(high, Bytes(line)),
        };
    }

    // One number, or its four bytes.
    static RegistryValue Number(InfLine line) => line.Fields.Count > 5 && Bytes(line) is { Length: 4 } bytes
        ? new RegistryValue(RegistryValue.REG_DWORD, bytes) : RegistryValue.Dword(line.NumberAt(4));

    static byte[] Bytes(InfLine line)
    {
        if (line.Fields.Count - 4 > MostData) throw line.Wrong("A value has at most a megabyte.");
        List<byte> bytes = [];
        foreach (string field in line.Fields.Skip(4))
        {
            if (field.Length == 0) continue;
            string text = field.StartsWith("0x", StringComparison.OrdinalIgnoreCase) ? field[2..] : field;
            if (!byte.TryParse(text, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out byte value))
                throw line.Wrong($"\"{field}\" is no byte of two hexadecimal digits.");
            bytes.Add(value);
        }
        return [.. bytes];
    }
}

/// <summary>Bits of a byte of a binary value, or of a REG_DWORD where no byte is named.</summary>
sealed record InfBits(uint Mask, int? Byte, bool Set)
{
    /// <summary>A value with these bits changed; null for one that has no such bits.</summary>
    public RegistryValue? Change(RegistryValue value)
    {
        byte[] data = [.. value.Data];
        if (Byte is { } at)
        {
            if (at >= data.Length) return null;
            data[at] = (byte)(Set ? data[at] | Mask : data[at] & ~Mask);
            return value with { Data = data };
        }
        if (data.Length != 4) return null;
        uint old = BitConverter.ToUInt32(data);
        return value with { Data = BitConverter.GetBytes(Set ? old | Mask : old & ~Mask) };
    }
}
