using System.Text;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>GENERATE_NAME_CONTEXT: what is kept from one try at a short name to the next.</summary>
[Layout("_GENERATE_NAME_CONTEXT", Size = 0x24)]
public readonly partial struct GenerateNameContext
{
    const int NameOffset = 4, ExtensionOffset = 0x18;

    [Field(0x00)] public partial ushort Checksum { get; set; }
    [Field(0x02)] public partial byte CheckSumInserted { get; set; }
    [Field(0x03)] public partial byte NameLength { get; set; }
    [Field(0x14)] public partial uint ExtensionLength { get; set; }
    [Field(0x20)] public partial uint LastIndexValue { get; set; }

    public string Name
    {
        get => Read(NameOffset, Math.Min(NameLength, 8u));
        set => NameLength = (byte)Write(NameOffset, value);
    }

    public string Extension
    {
        get => Read(ExtensionOffset, Math.Min(ExtensionLength, 4u));
        set => ExtensionLength = (uint)Write(ExtensionOffset, value);
    }

    string Read(int offset, uint count) =>
        Encoding.Unicode.GetString(_memory.ReadBytes(Address + offset, (int)count * 2));

    int Write(int offset, string text)
    {
        _memory.Write(Address + offset, Encoding.Unicode.GetBytes(text));
        return text.Length;
    }
}

/// <summary>Names of eight characters, a point and three.</summary>
static class ShortName
{
    const int LongestStem = 6, LongestName = 8, LongestExtension = 3, TriesBeforeChecksum = 4, LastIndex = 999_999;
    const string Illegal = "\"*+,/:;<=>?[\\]|";

    static bool IsLegal(char c) => c >= ' ' && !Illegal.Contains(c);

    /// <summary>Whether a name, in upper case, is one that FAT takes as it is.</summary>
    public static bool IsShort(string name, out bool hasSpaces)
    {
        hasSpaces = name.Contains(' ');
        if (name is "." or "..") return true;
        int point = name.IndexOf('.');
        string stem = point < 0 ? name : name[..point], extension = point < 0 ? "" : name[(point + 1)..];
        return stem.Length is > 0 and <= LongestName && extension.Length <= LongestExtension
            && (point < 0 || extension.Length > 0) && !stem.EndsWith(' ') && !extension.EndsWith(' ')
            && (stem + extension).All(c => IsLegal(c) && c != '.');
    }

    /// <summary>The next short name for a long one; the context remembers which were tried.</summary>
    public static NtStatus Next(string name, bool allowExtended, GenerateNameContext context, out string made)
    {
        made = "";
        if (context.NameLength == 0) Start(name, allowExtended, context);
        if (context.LastIndexValue >= LastIndex) return STATUS_FILE_SYSTEM_LIMITATION;
        if (context.LastIndexValue >= TriesBeforeChecksum && context.CheckSumInserted == 0)
        {
            string stem = context.Name;
            context.Name = stem[..Math.Min(2, stem.Length)] + context.Checksum.ToString("X4");
            (context.CheckSumInserted, context.LastIndexValue) = (1, 0);
        }
        context.LastIndexValue++;
        string tail = $"~{context.LastIndexValue}", head = context.Name;
        made = head[..Math.Min(head.Length, LongestName - tail.Length)] + tail + context.Extension;
        return STATUS_SUCCESS;
    }

    static void Start(string name, bool allowExtended, GenerateNameContext context)
    {
        string rest = name.TrimStart('.');
        int point = rest.LastIndexOf('.');
        string stem = Reduce(point < 0 ? rest : rest[..point], LongestStem, allowExtended);
        string extension = point < 0 ? "" : Reduce(rest[(point + 1)..], LongestExtension, allowExtended);
        ushort checksum = 0;
        foreach (char c in name) checksum = unchecked((ushort)(ushort.RotateLeft(checksum, 7) + c));
        context.Checksum = checksum;
        context.CheckSumInserted = 0;
        // So short a stem would soon run out of names that differ.
        if (stem.Length <= 2) (stem, context.CheckSumInserted) = (stem + checksum.ToString("X4"), 1);
        context.Name = stem;
        context.Extension = extension.Length == 0 ? "" : "." + extension;
        context.LastIndexValue = 0;
    }

    // Points and blanks go, what FAT does not know becomes an underscore.
    static string Reduce(string text, int length, bool allowExtended)
    {
        var result = new StringBuilder();
        foreach (char c in text)
        {
            if (c is '.' or ' ') continue;
            char upper = Casing.ToUpper(c);
            bool good = IsLegal(upper) && (upper < 0x7F || allowExtended && NlsCodePage.Oem.Has(upper));
            result.Append(good ? upper : '_');
            if (result.Length == length) break;
        }
        return result.ToString();
    }
}
