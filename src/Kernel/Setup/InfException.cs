namespace Ringdown.Kernel;

/// <summary>A text that is no INF file, or one that says what cannot be; the message says file and line.</summary>
public sealed class InfException(string file, int line, string message)
    : Exception(line > 0 ? $"{file}({line}): {message}" : $"{file}: {message}");

/// <summary>Something that a package says and that has no effect here, or another one than on Windows.</summary>
public sealed record InfNote(string File, int Line, string Text)
{
    public override string ToString() => $"{File}({Line}): {Text}";
}

/// <summary>A line of an INF file: <c>key = field, field, ...</c>, quotes removed and strings put in.</summary>
/// <param name="Number">Of the file's lines, the first of those that were joined.</param>
/// <param name="Key">Null where there is no equals sign.</param>
sealed record InfLine(string File, int Number, string? Key, IReadOnlyList<string> Fields)
{
    /// <summary>A field; empty where the line has fewer.</summary>
    public string Field(int index) => index < Fields.Count ? Fields[index] : "";

    public InfException Wrong(string message) => new(File, Number, message);

    public InfNote Note(string text) => new(File, Number, text);

    /// <summary>A field that is a number: decimal, or hexadecimal behind 0x; negative ones are two's
    /// complement.</summary>
    /// <exception cref="InfException">It is none.</exception>
    public uint NumberAt(int index, uint missing = 0)
    {
        string text = Field(index);
        if (text.Length == 0) return missing;
        return InfNumber.TryParse(text, out long value) && value is >= int.MinValue and <= uint.MaxValue
            ? (uint)value : throw Wrong($"\"{text}\" is no number.");
    }

    public bool IsKey(string name) => Key is not null && Key.Equals(name, StringComparison.OrdinalIgnoreCase);
}

/// <summary>Numbers as INF files have them.</summary>
static class InfNumber
{
    public static bool TryParse(ReadOnlySpan<char> text, out long value)
    {
        bool isNegative = text.StartsWith("-");
        if (isNegative) text = text[1..];
        bool isHex = text.StartsWith("0x", StringComparison.OrdinalIgnoreCase);
        bool isNumber = isHex
            ? long.TryParse(text[2..], System.Globalization.NumberStyles.AllowHexSpecifier, null, out value)
            : long.TryParse(text, System.Globalization.NumberStyles.None, null, out value);
        if (isNumber && isNegative) value = unchecked(-value);
        return isNumber;
    }
}
