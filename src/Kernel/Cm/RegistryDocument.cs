using System.Globalization;
using System.Text;

namespace Ringdown.Kernel;

/// <summary>A text that is no .reg file; the message says the line.</summary>
public sealed class RegistryFormatException(int line, string message) : Exception($"line {line}: {message}");

/// <summary>What a .reg file says of one key: its values to set, or to delete where null, or all of it to
/// delete.</summary>
public sealed record RegistrySection(
    string Path, bool IsDeleted, IReadOnlyList<(string Name, RegistryValue? Value)> Values);

/// <summary>A .reg file ("Windows Registry Editor Version 5.00"): keys in order. Paths are those of the kernel
/// (<c>\Registry\Machine\...</c>).</summary>
public sealed class RegistryDocument(IReadOnlyList<RegistrySection> sections)
{
    const string Header = "Windows Registry Editor Version 5.00", OldHeader = "REGEDIT4";
    const int HexColumns = 78, MostLevels = 500;

    static readonly (string Hive, string Path)[] s_hives =
    [
        ("HKEY_LOCAL_MACHINE", @"\Registry\Machine"), ("HKLM", @"\Registry\Machine"),
        ("HKEY_USERS", @"\Registry\User"), ("HKU", @"\Registry\User"),
        ("HKEY_CURRENT_USER", @"\Registry\User\.Default"), ("HKCU", @"\Registry\User\.Default"),
        ("HKEY_CLASSES_ROOT", @"\Registry\Machine\Software\Classes"),
        ("HKCR", @"\Registry\Machine\Software\Classes"),
        ("HKEY_CURRENT_CONFIG", @"\Registry\Machine\System\CurrentControlSet\Hardware Profiles\Current"),
    ];

    public IReadOnlyList<RegistrySection> Sections { get; } = sections;

    /// <exception cref="RegistryFormatException">A line is not what the format has.</exception>
    public static RegistryDocument Parse(string text)
    {
        List<RegistrySection> sections = [];
        List<(string, RegistryValue?)> values = [];
        bool isOld = false, hasHeader = false;
        foreach ((int number, string line) in Lines(text))
        {
            if (!hasHeader)
            {
                isOld = line == OldHeader;
                if (!isOld && line != Header) throw new RegistryFormatException(number, $"\"{Header}\" comes first.");
                hasHeader = true;
            }
            else if (line[0] == '[')
            {
                if (line[^1] != ']') throw new RegistryFormatException(number, "A key ends with ].");
                bool isDeleted = line.StartsWith("[-", StringComparison.Ordinal);
                values = [];
                sections.Add(new RegistrySection(PathOf(line[(isDeleted ? 2 : 1)..^1], number), isDeleted, values));
            }
            else if (sections.Count == 0 || sections[^1].IsDeleted)
                throw new RegistryFormatException(number, "A value needs a key above it.");
            else values.Add(ParseValue(line, number, isOld));
        }
        return new RegistryDocument(sections);
    }

    // Without comments and empty lines; a backslash at the end of a hex line continues it.
    static IEnumerable<(int Number, string Line)> Lines(string text)
    {
        string joined = "";
        int number = 0, start = 0;
        foreach (string raw in text.TrimStart('\uFEFF').Split('\n'))
        {
            number++;
            string line = raw.Trim();
            if (joined.Length == 0) start = number;
            if (line.Length == 0 || line[0] == ';') continue;
            bool isHex = joined.Length > 0 || line.Contains("=hex", StringComparison.Ordinal);
            if (isHex && line.EndsWith('\\'))
            {
                joined += line[..^1];
                continue;
            }
            yield return (start, joined + line);
            joined = "";
        }
        if (joined.Length > 0) yield return (start, joined);
    }

    static string PathOf(string key, int line)
    {
        if (key.Count(c => c == '\\') > MostLevels) throw new RegistryFormatException(line,
            "So many levels no key has.");
        foreach ((string hive, string path) in s_hives)
        {
            if (key.Equals(hive, StringComparison.OrdinalIgnoreCase)) return path;
            if (key.StartsWith(hive + '\\', StringComparison.OrdinalIgnoreCase)) return path + key[hive.Length..];
        }
        throw new RegistryFormatException(line, $"\"{key}\" does not begin with a hive (HKEY_LOCAL_MACHINE ...).");
    }

    static (string, RegistryValue?) ParseValue(string line, int number, bool isOld)
    {
        string name = "";
        int at = 1;
        if (line[0] == '"') name = Quoted(line, ref at, number);
        else if (line[0] != '@') throw new RegistryFormatException(number, "A value is \"Name\"=data or @=data.");
        string rest = line[at..].TrimStart();
        if (rest.Length < 2 || rest[0] != '=') throw new RegistryFormatException(number, "= and data are missing.");
        return (name, ParseData(rest[1..].TrimStart(), number, isOld));
    }

    static RegistryValue? ParseData(string text, int line, bool isOld)
    {
        if (text == "-") return null;
        if (text[0] == '"')
        {
            int at = 1;
            string quoted = Quoted(text, ref at, line);
            return at == text.Length ? RegistryValue.String(quoted)
                : throw new RegistryFormatException(line, "Something follows the string.");
        }
        if (text.StartsWith("dword:", StringComparison.OrdinalIgnoreCase))
            return uint.TryParse(text.AsSpan(6), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture,
                out uint number) ? RegistryValue.Dword(number)
                : throw new RegistryFormatException(line, "dword: needs up to eight hexadecimal digits.");
        if (!text.StartsWith("hex", StringComparison.OrdinalIgnoreCase))
            throw new RegistryFormatException(line, "Data is a string, dword:, hex: or hex(type):.");
        int colon = text.IndexOf(':');
        if (colon < 0) throw new RegistryFormatException(line, "hex needs a colon.");
        uint type = TypeOf(text[3..colon], line);
        byte[] data = Bytes(text[(colon + 1)..], line);
        // The old format has strings of one byte a character.
        bool isText = type is RegistryValue.REG_SZ or RegistryValue.REG_EXPAND_SZ or RegistryValue.REG_MULTI_SZ;
        return new RegistryValue(
            type, isOld && isText ? Encoding.Unicode.GetBytes(NlsCodePage.Ansi.Decode(data)) : data);
    }

    static uint TypeOf(string text, int line)
    {
        if (text.Length == 0) return RegistryValue.REG_BINARY;
        return text is ['(', .. var digits, ')'] && uint.TryParse(
            digits, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out uint type)
            ? type : throw new RegistryFormatException(line, "The type is a hexadecimal number in brackets.");
    }

    static byte[] Bytes(string text, int line)
    {
        string compact = string.Concat(text.Where(c => !char.IsWhiteSpace(c))).TrimEnd(',');
        if (compact.Length == 0) return [];
        string[] parts = compact.Split(',');
        byte[] data = new byte[parts.Length];
        for (int i = 0; i < parts.Length; i++)
            if (!byte.TryParse(
                parts[i], NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out data[i]))
                throw new RegistryFormatException(line, $"\"{parts[i]}\" is no byte.");
        return data;
    }

    // From behind the opening quote to behind the closing one.
    static string Quoted(string text, ref int at, int line)
    {
        var result = new StringBuilder();
        for (; at < text.Length; at++)
        {
            if (text[at] == '"')
            {
                at++;
                return result.ToString();
            }
            if (text[at] == '\\' && at + 1 < text.Length) at++;
            result.Append(text[at]);
        }
        throw new RegistryFormatException(line, "A string has no end.");
    }

    /// <summary>The text of the file.</summary>
    public override string ToString()
    {
        var text = new StringBuilder(Header).Append("\r\n");
        foreach (RegistrySection section in Sections)
        {
            text.Append("\r\n[").Append(section.IsDeleted ? "-" : "").Append(HiveOf(section.Path)).Append("]\r\n");
            foreach ((string name, RegistryValue? value) in section.Values)
                text.Append(Line(name.Length == 0 ? "@" : $"\"{Escape(name)}\"", value)).Append("\r\n");
        }
        return text.ToString();
    }

    static string HiveOf(string path)
    {
        foreach ((string hive, string root) in s_hives)
        {
            if (path.Equals(root, StringComparison.OrdinalIgnoreCase)) return hive;
            if (path.StartsWith(root + '\\', StringComparison.OrdinalIgnoreCase)) return hive + path[root.Length..];
        }
        return path.TrimStart('\\');
    }

    static string Escape(string text) => text.Replace(@"\", @"\\").Replace("\"", "\\\"");

    static string Line(string name, RegistryValue? value)
    {
        if (value is null) return name + "=-";
        if (value.Type == RegistryValue.REG_DWORD && value.Data.Length == 4)
            return $"{name}=dword:{BitConverter.ToUInt32(value.Data):x8}";
        if (value.Type == RegistryValue.REG_SZ && IsPlain(value)) return $"{name}=\"{Escape(value.Text)}\"";
        var line = new StringBuilder(name).Append("=hex");
        if (value.Type != RegistryValue.REG_BINARY) line.Append(CultureInfo.InvariantCulture, $"({value.Type:x})");
        line.Append(':');
        int column = line.Length;
        for (int i = 0; i < value.Data.Length; i++)
        {
            if (column + 4 > HexColumns)
            {
                line.Append("\\\r\n  ");
                column = 2;
            }
            line.Append(CultureInfo.InvariantCulture, $"{value.Data[i]:x2}").Append(
                i + 1 < value.Data.Length ? "," : "");
            column += 3;
        }
        return line.ToString();
    }

    // One string with one zero, and nothing in it that a line of text cannot hold.
    static bool IsPlain(RegistryValue value) =>
        (value.Data.Length & 1) == 0 && value.RawText is [.. var text, '\0'] && !text.Any(char.IsControl)
            && RegistryValue.String(text).Data.AsSpan().SequenceEqual(value.Data);
}
