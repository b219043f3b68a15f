namespace Ringdown.Kernel;

/// <summary>A code page of single bytes: which character each byte is, and back.</summary>
sealed partial class NlsCodePage
{
    const byte DefaultByte = (byte)'?';

    readonly string _high;
    readonly Dictionary<char, byte> _bytes = [];

    NlsCodePage(ushort number, string high)
    {
        (Number, _high) = (number, high);
        for (int i = 0; i < 128; i++) _bytes[high[i]] = (byte)(0x80 + i);
    }

    /// <summary>What NT calls ANSI: 1252.</summary>
    public static NlsCodePage Ansi { get; } = new(1252, Ansi1252 + Latin1());

    /// <summary>What NT calls OEM: 437.</summary>
    public static NlsCodePage Oem { get; } = new(437, Oem437);

    public ushort Number { get; }

    static string Latin1() => string.Create(96, 0, static (text, _) =>
    {
        for (int i = 0; i < text.Length; i++) text[i] = (char)(0xA0 + i);
    });

    public char ToUnicode(byte value) => value < 0x80 ? (char)value : _high[value - 0x80];

    /// <summary>The byte of a character, or of the one that looks most like it; a question mark where there is
    /// none.</summary>
    public byte ToByte(char c)
    {
        if (c < 0x80) return (byte)c;
        if (_bytes.TryGetValue(c, out byte value)) return value;
        if (c is >= '\u00C0' and <= '\u017F') return (byte)BestFit[c - 0xC0];
        return c is >= '\uFF01' and <= '\uFF5E' ? (byte)(c - 0xFEE0) : DefaultByte;
    }

    /// <summary>Whether a character has a byte of its own.</summary>
    public bool Has(char c) => c < 0x80 || _bytes.ContainsKey(c);

    public string Decode(ReadOnlySpan<byte> bytes)
    {
        char[] text = new char[bytes.Length];
        for (int i = 0; i < text.Length; i++) text[i] = ToUnicode(bytes[i]);
        return new string(text);
    }

    public byte[] Encode(ReadOnlySpan<char> text)
    {
        byte[] bytes = new byte[text.Length];
        for (int i = 0; i < bytes.Length; i++) bytes[i] = ToByte(text[i]);
        return bytes;
    }

    /// <summary>RtlUpperChar: the upper case of a byte, itself where the page has none.</summary>
    public byte ToUpper(byte value)
    {
        char upper = Casing.ToUpper(ToUnicode(value));
        return Has(upper) ? ToByte(upper) : value;
    }
}

/// <summary>Upper and lower case as NT's tables have them: one character for one, and no language's rules.</summary>
static class Casing
{
    // Characters that Unicode maps and NT's table leaves alone: each is a variant of a letter that has its own pair.
    const string Unmapped = "\u00B5\u0131\u017F\u0345\u03D0\u03D1\u03D5\u03D6\u03F0\u03F1\u03F5\u1E9B\u1FBE\u1E9E";

    public static char ToUpper(char c) =>
        c < 0x80 ? c is >= 'a' and <= 'z' ? (char)(c - 32) : c : Unmapped.Contains(c) ? c : char.ToUpperInvariant(c);

    public static char ToLower(char c) =>
        c < 0x80 ? c is >= 'A' and <= 'Z' ? (char)(c + 32) : c : Unmapped.Contains(c) ? c : char.ToLowerInvariant(c);

    public static string ToUpper(string text) => Map(text, ToUpper);

    public static string ToLower(string text) => Map(text, ToLower);

    static string Map(string text, Func<char, char> map) =>
        string.Create(text.Length, (text, map), static (all, from) =>
    {
        for (int i = 0; i < all.Length; i++) all[i] = from.map(from.text[i]);
    });

    /// <summary>The order of NT's name tables: by upper-case characters.</summary>
    public static IComparer<string> NameOrder { get; } = Comparer<string>.Create(
        static (a, b) => Rtl.Compare(a, b, ignoreCase: true));
}
