using System.Globalization;
using System.Text;
using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Numbers and GUIDs as text.</summary>
sealed partial class Rtl
{
    const int GuidTextLength = 38;

    // Bases 0 (which is 10), 2, 8, 10 and 16; anything else has no digits.
    static string? Digits(ulong value, uint @base) => @base switch
    {
        2 => value.ToString("B", CultureInfo.InvariantCulture),
        8 => Convert.ToString(unchecked((long)value), 8),
        0 or 10 => value.ToString(CultureInfo.InvariantCulture),
        16 => value.ToString("X", CultureInfo.InvariantCulture),
        _ => null,
    };

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus RtlIntegerToUnicodeString(uint value, uint @base, UnicodeString destination) =>
        RtlInt64ToUnicodeString(value, @base, destination);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus RtlInt64ToUnicodeString(ulong value, uint @base, UnicodeString destination) =>
        Digits(value, @base) is { } digits
            ? Store(destination, Encoding.Unicode.GetBytes(digits), 2, allocate: false) : STATUS_INVALID_PARAMETER;

    /// <summary>A zero follows where there is room for one.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus RtlIntegerToChar(uint value, uint @base, int outputLength, Va @string)
    {
        if (Digits(value, @base) is not { } digits) return STATUS_INVALID_PARAMETER;
        if (outputLength < 0 || digits.Length > outputLength) return STATUS_BUFFER_OVERFLOW;
        nt.Memory.Write(@string, Encoding.ASCII.GetBytes(digits));
        if (digits.Length < outputLength) nt.Memory.Write<byte>(@string + digits.Length, 0);
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus RtlUnicodeStringToInteger(UnicodeString source, uint @base, Va value) =>
        ToInteger(source.Text, @base, value);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus RtlCharToInteger(Va @string, uint @base, Va value) =>
        ToInteger(nt.Crt.ReadAnsi(@string, 0x1000), @base, value);

    // Blanks, a sign, a prefix (0x, 0o, 0b) when no base is given; then digits up to the first character that is none.
    NtStatus ToInteger(string text, uint @base, Va value)
    {
        int at = 0;
        while (at < text.Length && text[at] <= ' ') at++;
        bool negative = at < text.Length && text[at] == '-';
        if (at < text.Length && text[at] is '-' or '+') at++;
        if (@base == 0)
        {
            string prefix = text[at..Math.Min(text.Length, at + 2)];
            @base = prefix switch { "0x" => 16u, "0o" => 8, "0b" => 2, _ => 10 };
            if (@base != 10) at += 2;
        }
        if (@base is not (2 or 8 or 10 or 16)) return STATUS_INVALID_PARAMETER;
        uint result = 0;
        for (; at < text.Length && char.IsAsciiHexDigit(text[at]); at++)
        {
            int digit = Convert.ToInt32(text[at].ToString(), 16);
            if (digit >= @base) break;
            result = unchecked(result * @base + (uint)digit);
        }
        nt.Memory.Write(value, negative ? unchecked((uint)-result) : result);
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus RtlStringFromGUID(Va guid, UnicodeString guidString)
    {
        string text = new Guid(nt.Memory.ReadBytes(guid, 16)).ToString("B").ToUpperInvariant();
        return Store(guidString, Encoding.Unicode.GetBytes(text), 2, allocate: true);
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus RtlGUIDFromString(UnicodeString guidString, Va guid)
    {
        string text = guidString.Text;
        if (text.Length < GuidTextLength || text.AsSpan(0, GuidTextLength).ContainsAny(' ', '+')
            || !Guid.TryParseExact(text.AsSpan(0, GuidTextLength), "B", out Guid value))
            return STATUS_INVALID_PARAMETER;
        nt.Memory.Write(guid, value.ToByteArray());
        return STATUS_SUCCESS;
    }

    /// <summary>Altitudes of callbacks and filters: decimal numbers of any length, with a fraction or
    /// without.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public int RtlCompareAltitudes(UnicodeString altitude1, UnicodeString altitude2) =>
        Altitude.Compare(altitude1.Text, altitude2.Text);
}

/// <summary>An altitude: where among others of its kind a callback stands.</summary>
static class Altitude
{
    /// <summary>Negative, zero or positive, as the first lies lower, equally high or higher.</summary>
    public static int Compare(string a, string b)
    {
        (string wholeA, string partA) = Split(a);
        (string wholeB, string partB) = Split(b);
        if (wholeA.Length != wholeB.Length) return wholeA.Length - wholeB.Length;
        int whole = string.CompareOrdinal(wholeA, wholeB);
        return whole != 0 ? whole : string.CompareOrdinal(partA, partB);
    }

    public static bool IsValid(string text)
    {
        (string whole, string part) = Split(text);
        return text.Length > 0 && (whole + part).All(char.IsAsciiDigit);
    }

    static (string Whole, string Part) Split(string text)
    {
        int point = text.IndexOf('.');
        return point < 0 ? (text.TrimStart('0'), "")
            : (text[..point].TrimStart('0'), text[(point + 1)..].TrimEnd('0'));
    }
}
