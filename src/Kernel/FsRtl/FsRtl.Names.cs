using Ringdown.Machine;
using static Ringdown.Kernel.Irql;

namespace Ringdown.Kernel;

/// <summary>Names of files: wild cards, parts of paths, what FAT and HPFS allow.</summary>
sealed partial class FsRtl
{
    const byte FAT = 1, HPFS = 2, NTFS = 4, WILD = 8, OLE = 0x10;

    /// <summary>The address of a table of FSRTL_*_LEGAL bits, one byte for each of the 128 characters of
    /// ASCII.</summary>
    [ExportData]
    public Va FsRtlLegalAnsiCharacterArray
    {
        get
        {
            if (field.IsNull)
            {
                field = nt.Mm.Pool.Allocate(128, FsRtlTag);
                for (int i = 0; i < 128; i++) nt.Memory.Write(field + i, LegalityOf((char)i));
            }
            return field;
        }
    }

    static byte LegalityOf(char c) => c switch
    {
        '\0' or '\\' or '/' or ':' => 0,
        < ' ' or '|' => OLE,
        '*' or '?' or '<' or '>' or '"' => WILD | OLE,
        '+' or ',' or ';' or '=' or '[' or ']' => HPFS | NTFS | OLE,
        _ => FAT | HPFS | NTFS | OLE,
    };

    static bool IsLegal(byte c, byte system, bool wild) =>
        c >= 0x80 || (LegalityOf((char)c) & (system | (wild ? WILD : 0))) != 0;

    /// <summary>The expression must be in capitals if case is to be ignored.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public bool FsRtlIsNameInExpression(
        UnicodeString expression, UnicodeString name, bool ignoreCase, Va upcaseTable) =>
        NameExpression.Matches(expression.Text, Capitals(name, ignoreCase, upcaseTable), nt.Ke.Clock.Spend);

    /// <summary>Looks at the last part of a path.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public bool FsRtlDoesNameContainWildCards(UnicodeString name)
    {
        string text = name.Text;
        return text.AsSpan(text.LastIndexOf('\\') + 1).ContainsAny("*?<>\"");
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public bool FsRtlAreNamesEqual(UnicodeString name1, UnicodeString name2, bool ignoreCase, Va upcaseTable) =>
        name1.Length == name2.Length
        && Capitals(name1, ignoreCase, upcaseTable) == Capitals(name2, ignoreCase, upcaseTable);

    string Capitals(UnicodeString name, bool ignoreCase, Va upcaseTable)
    {
        if (!ignoreCase) return name.Text;
        char[] text = name.Text.ToCharArray();
        for (int i = 0; i < text.Length; i++)
            text[i] = upcaseTable.IsNull ? (char)nt.Rtl.RtlUpcaseUnicodeChar(text[i])
                : (char)nt.Memory.Read<ushort>(upcaseTable + text[i] * 2);
        return new string(text);
    }

    /// <summary>The first part of a path, and what follows its backslash. The structures may be the same.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public void FsRtlDissectName(UnicodeString path, UnicodeString firstName, UnicodeString remainingName)
    {
        (Va start, string text) = (path.Buffer, path.Text);
        (int first, int length, int rest) = Dissect(text);
        firstName.Set(length == 0 && text.Length == 0 ? Va.Null : start + first * 2, length * 2, length * 2);
        int left = Math.Max(0, text.Length - rest) * 2;
        remainingName.Set(left == 0 ? Va.Null : start + rest * 2, left, left);
    }

    static (int First, int Length, int Behind) Dissect(ReadOnlySpan<char> text)
    {
        int first = text.StartsWith("\\") ? 1 : 0;
        int length = text[first..].IndexOf('\\');
        if (length < 0) length = text.Length - first;
        return (first, length, first + length + 1);
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void FsRtlDissectDbcs(AnsiString path, AnsiString firstName, AnsiString remainingName)
    {
        (Va start, string text) = (path.Buffer, path.Text);
        (int first, int length, int rest) = Dissect(text);
        firstName.Set(length == 0 && text.Length == 0 ? Va.Null : start + first, length, length);
        int left = Math.Max(0, text.Length - rest);
        remainingName.Set(left == 0 ? Va.Null : start + rest, left, left);
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool FsRtlDoesDbcsContainWildCards(AnsiString name) => name.Text.AsSpan().ContainsAny("*?<>\"");

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool FsRtlIsDbcsInExpression(AnsiString expression, AnsiString name) =>
        NameExpression.Matches(expression.Text, name.Text, nt.Ke.Clock.Spend);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool FsRtlIsFatDbcsLegal(
        AnsiString dbcsName, bool wildCardsPermissible, bool pathNamePermissible, bool leadingBackslashPermissible) =>
        IsLegal(nt.Memory.ReadBytes(dbcsName.Buffer, dbcsName.Length), wildCardsPermissible, pathNamePermissible,
            leadingBackslashPermissible, IsFatPart);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool FsRtlIsHpfsDbcsLegal(
        AnsiString dbcsName, bool wildCardsPermissible, bool pathNamePermissible, bool leadingBackslashPermissible) =>
        IsLegal(nt.Memory.ReadBytes(dbcsName.Buffer, dbcsName.Length), wildCardsPermissible, pathNamePermissible,
            leadingBackslashPermissible, IsHpfsPart);

    delegate bool PartTest(ReadOnlySpan<byte> part, bool wild);

    static bool IsLegal(ReadOnlySpan<byte> name, bool wild, bool path, bool backslash, PartTest isPart)
    {
        if (wild && name is [(byte)'.'] or [(byte)'.', (byte)'.']) return wild;
        if (name.StartsWith("\\"u8))
        {
            if (!backslash) return false;
            name = name[1..];
            if (name.IsEmpty) return true;
        }
        if (!path) return isPart(name, wild);
        while (!name.IsEmpty)
        {
            int end = name.IndexOf((byte)'\\');
            ReadOnlySpan<byte> part = end < 0 ? name : name[..end];
            if (!isPart(part, wild)) return false;
            name = end < 0 ? default : name[(end + 1)..];
        }
        return true;
    }

    // 8.3: one dot, not at the start or the end, no space before it.
    static bool IsFatPart(ReadOnlySpan<byte> part, bool wild)
    {
        if (part.IsEmpty || part.Length > 12 && !wild) return false;
        int dot = -1;
        for (int i = 0; i < part.Length; i++)
        {
            if (!IsLegal(part[i], FAT, wild)) return false;
            if (part[i] == '.' || wild && part[i] == '"')
            {
                if (dot >= 0 || !wild && (i == 0 || part[i - 1] == ' ' || part.Length - i - 1 > 3)) return false;
                dot = i;
            }
            if (i >= 8 && dot < 0 && !wild) return false;
        }
        return part[^1] is not ((byte)' ' or (byte)'.');
    }

    static bool IsHpfsPart(ReadOnlySpan<byte> part, bool wild)
    {
        if (part.IsEmpty || part.Length > 255) return false;
        foreach (byte c in part) if (!IsLegal(c, HPFS, wild)) return false;
        return part[^1] is not ((byte)' ' or (byte)'.');
    }
}
