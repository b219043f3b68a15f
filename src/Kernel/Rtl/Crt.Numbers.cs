using System.Numerics;
using System.Text;
using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>Numbers to text and back.</summary>
sealed partial class Crt
{
    const string NumberDigits = "0123456789abcdefghijklmnopqrstuvwxyz";

    // Only decimal numbers have a sign.
    static string? ToText(long value, ulong asUnsigned, uint radix)
    {
        if (radix is < 2 or > 36) return null;
        bool negative = radix == 10 && value < 0;
        ulong rest = negative ? unchecked((ulong)-value) : asUnsigned;
        var text = new StringBuilder();
        do
        {
            text.Insert(0, NumberDigits[(int)(rest % radix)]);
            rest /= radix;
        }
        while (rest > 0);
        return negative ? "-" + text : text.ToString();
    }

    static string? ToText(int value, uint radix) => ToText(value, (uint)value, radix);
    static string? ToText(uint value, uint radix) => ToText(value, (ulong)value, radix);
    static string? ToText(long value, uint radix) => ToText(value, (ulong)value, radix);
    static string? ToText(ulong value, uint radix) => ToText(0, value, radix);

    Va PutNumber(Va buffer, string? text, bool wide)
    {
        Put(buffer, text + '\0', wide);
        return buffer;
    }

    int PutNumber(Va buffer, ulong size, string? text, bool wide)
    {
        if (buffer.IsNull || size == 0) return EINVAL;
        bool fits = text is not null && (ulong)text.Length < size;
        Put(buffer, fits ? text + '\0' : "\0", wide);
        return text is null ? EINVAL : fits ? 0 : ERANGE;
    }

    [Export] public Va _itoa(int value, Va buffer, uint radix) => PutNumber(buffer, ToText(value, radix), false);
    [Export] public Va _itow(int value, Va buffer, uint radix) => PutNumber(buffer, ToText(value, radix), true);

    [Export]
    public int _itoa_s(int value, Va buffer, ulong size, uint radix) =>
        PutNumber(buffer, size, ToText(value, radix), false);

    [Export]
    public int _itow_s(int value, Va buffer, ulong size, uint radix) =>
        PutNumber(buffer, size, ToText(value, radix), true);

    [Export]
    public int _ltoa_s(int value, Va buffer, ulong size, uint radix) =>
        PutNumber(buffer, size, ToText(value, radix), false);

    [Export]
    public int _ltow_s(int value, Va buffer, ulong size, uint radix) =>
        PutNumber(buffer, size, ToText(value, radix), true);

    [Export]
    public int _ultoa_s(uint value, Va buffer, ulong size, uint radix) =>
        PutNumber(buffer, size, ToText(value, radix), false);

    [Export]
    public int _ultow_s(uint value, Va buffer, ulong size, uint radix) =>
        PutNumber(buffer, size, ToText(value, radix), true);

    [Export]
    public int _i64toa_s(long value, Va buffer, ulong size, uint radix) =>
        PutNumber(buffer, size, ToText(value, radix), false);

    [Export]
    public int _i64tow_s(long value, Va buffer, ulong size, uint radix) =>
        PutNumber(buffer, size, ToText(value, radix), true);

    [Export]
    public int _ui64toa_s(ulong value, Va buffer, ulong size, uint radix) =>
        PutNumber(buffer, size, ToText(value, radix), false);

    [Export]
    public int _ui64tow_s(ulong value, Va buffer, ulong size, uint radix) =>
        PutNumber(buffer, size, ToText(value, radix), true);

    [Export] public int atoi(Va text) => (int)Clamp(ReadAnsi(text), int.MinValue, int.MaxValue);
    [Export] public int atol(Va text) => (int)Clamp(ReadAnsi(text), int.MinValue, int.MaxValue);
    [Export] public long _atoi64(Va text) => (long)Clamp(ReadAnsi(text), long.MinValue, long.MaxValue);
    [Export] public int _wtoi(Va text) => (int)Clamp(ReadWide(text), int.MinValue, int.MaxValue);
    [Export] public int _wtol(Va text) => (int)Clamp(ReadWide(text), int.MinValue, int.MaxValue);
    [Export] public long _wtoi64(Va text) => (long)Clamp(ReadWide(text), long.MinValue, long.MaxValue);

    static BigInteger Clamp(string text, BigInteger low, BigInteger high) =>
        BigInteger.Clamp(ParsedNumber.Read(text, 10).Value, low, high);

    [Export] public int strtol(Va text, Va end, uint @base) => (int)Signed(text, end, @base, false);
    [Export] public int wcstol(Va text, Va end, uint @base) => (int)Signed(text, end, @base, true);
    [Export] public uint strtoul(Va text, Va end, uint @base) => (uint)Unsigned(text, end, @base, uint.MaxValue, false);
    [Export] public uint wcstoul(Va text, Va end, uint @base) => (uint)Unsigned(text, end, @base, uint.MaxValue, true);
    [Export] public ulong _strtoui64(Va text, Va end, uint @base) => Unsigned(text, end, @base, ulong.MaxValue, false);
    [Export] public ulong _wcstoui64(Va text, Va end, uint @base) => Unsigned(text, end, @base, ulong.MaxValue, true);

    ParsedNumber Parse(Va text, Va end, uint @base, bool wide)
    {
        ParsedNumber number = ParsedNumber.Read(Read(text, MaximumText, wide), @base);
        if (!end.IsNull) nt.Memory.Write(end, text + number.Length * (wide ? 2 : 1));
        return number;
    }

    long Signed(Va text, Va end, uint @base, bool wide) =>
        (long)BigInteger.Clamp(Parse(text, end, @base, wide).Value, int.MinValue, int.MaxValue);

    // What is too large becomes the largest; a minus turns what is left around.
    ulong Unsigned(Va text, Va end, uint @base, ulong maximum, bool wide)
    {
        BigInteger value = Parse(text, end, @base, wide).Value;
        if (BigInteger.Abs(value) > maximum) return maximum;
        return value.Sign < 0 ? unchecked(0 - (ulong)-value) & maximum : (ulong)value;
    }
}

/// <summary>A number at the start of a text, and how many characters it took; none is zero of no length.</summary>
readonly record struct ParsedNumber(BigInteger Value, int Length)
{
    const int MostDigits = 64;

    /// <summary>Blanks, a sign, 0x where the base is 16 or 0, digits. Base 0 lets the text say.</summary>
    public static ParsedNumber Read(ReadOnlySpan<char> text, uint @base)
    {
        if (@base is 1 or > 36) return default;
        int at = 0;
        while (at < text.Length && text[at] is ' ' or >= '\t' and <= '\r') at++;
        bool negative = at < text.Length && text[at] == '-';
        if (at < text.Length && text[at] is '-' or '+') at++;
        bool hasPrefix = at + 2 < text.Length && text[at] == '0' && text[at + 1] is 'x' or 'X'
            && char.IsAsciiHexDigit(text[at + 2]);
        if (@base == 0) @base = hasPrefix ? 16u : at < text.Length && text[at] == '0' ? 8u : 10u;
        if (@base == 16 && hasPrefix) at += 2;
        BigInteger value = 0;
        int digits = 0, used = 0;
        for (; at < text.Length && DigitOf(text[at]) < @base; at++, digits++)
        {
            // So many that count are too large for anybody: more would only take time.
            if (!value.IsZero && ++used > MostDigits) continue;
            value = value * @base + DigitOf(text[at]);
        }
        return digits == 0 ? default : new ParsedNumber(negative ? -value : value, at);
    }

    static uint DigitOf(char c) => c switch
    {
        >= '0' and <= '9' => (uint)(c - '0'),
        >= 'a' and <= 'z' => (uint)(c - 'a' + 10),
        >= 'A' and <= 'Z' => (uint)(c - 'A' + 10),
        _ => uint.MaxValue,
    };
}
