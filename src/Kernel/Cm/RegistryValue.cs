using System.Globalization;
using System.Text;

namespace Ringdown.Kernel;

/// <summary>A value: its type (REG_SZ 1, REG_EXPAND_SZ 2, REG_BINARY 3, REG_DWORD 4, REG_MULTI_SZ 7, REG_QWORD 11) and
/// its bytes, which nobody changes.</summary>
public sealed record RegistryValue(uint Type, byte[] Data)
{
    public const uint REG_NONE = 0, REG_SZ = 1, REG_EXPAND_SZ = 2, REG_BINARY = 3, REG_DWORD = 4, REG_LINK = 6;
    public const uint REG_MULTI_SZ = 7, REG_QWORD = 11;

    public static RegistryValue String(string text) => new(REG_SZ, Encoding.Unicode.GetBytes(text + '\0'));

    public static RegistryValue ExpandString(string text) => new(REG_EXPAND_SZ, Encoding.Unicode.GetBytes(text + '\0'));

    public static RegistryValue MultiString(params ReadOnlySpan<string> texts) =>
        new(REG_MULTI_SZ, Encoding.Unicode.GetBytes(string.Concat(texts.ToArray().Select(t => t + '\0')) + '\0'));

    public static RegistryValue Dword(uint value) => new(REG_DWORD, BitConverter.GetBytes(value));

    public static RegistryValue Qword(ulong value) => new(REG_QWORD, BitConverter.GetBytes(value));

    public static RegistryValue Binary(params byte[] data) => new(REG_BINARY, data);

    /// <summary>The path of a key for which a link stands: no zero at the end.</summary>
    public static RegistryValue Link(string path) => new(REG_LINK, Encoding.Unicode.GetBytes(path));

    /// <summary>All of it as UTF-16.</summary>
    public string RawText => Encoding.Unicode.GetString(Data, 0, Data.Length & ~1);

    /// <summary>A string up to its first zero.</summary>
    public string Text => RawText.Split('\0')[0];

    /// <summary>A value as a command line gives it: a number (decimal or 0x) is a REG_DWORD, anything else a
    /// REG_SZ.</summary>
    public static RegistryValue Parse(string text)
    {
        if (uint.TryParse(text, CultureInfo.InvariantCulture, out uint number)) return Dword(number);
        return text.StartsWith("0x", StringComparison.OrdinalIgnoreCase)
            && uint.TryParse(text.AsSpan(2), NumberStyles.HexNumber, CultureInfo.InvariantCulture, out number)
                ? Dword(number) : String(text);
    }
}
