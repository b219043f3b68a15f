using System.Globalization;
using System.Text;
using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>printf as Microsoft's library formats, over arguments in guest memory.</summary>
/// <param name="wide">The format itself is UTF-16: %s and %c then mean wide ones, %S and %C narrow.</param>
sealed class Printf(NtKernel nt, VarArgs arguments, bool wide)
{
    const int MaximumWidth = 4096, MaximumLength = 1 << 24;

    /// <summary>One conversion: flags, width, precision (-1 for none given), size prefix.</summary>
    record struct Spec(bool Left, bool Plus, bool Space, bool Alternate, bool Zero, int Width, int Precision,
        string Size);

    public string Format(string format)
    {
        var text = new StringBuilder();
        for (int i = 0; i < format.Length; i++)
        {
            if (format[i] != '%')
            {
                text.Append(format[i]);
                continue;
            }
            i++;
            Spec spec = Parse(format, ref i);
            if (i >= format.Length || text.Length > MaximumLength) break;
            nt.Ke.Clock.Spend();
            text.Append(Pad(Convert(format[i], spec), spec, format[i]));
        }
        return text.ToString();
    }

    Spec Parse(string format, ref int i)
    {
        var spec = new Spec { Precision = -1, Size = "" };
        for (; i < format.Length && "-+ #0".Contains(format[i]); i++)
        {
            if (format[i] == '-') spec.Left = true;
            if (format[i] == '+') spec.Plus = true;
            if (format[i] == ' ') spec.Space = true;
            if (format[i] == '#') spec.Alternate = true;
            if (format[i] == '0') spec.Zero = true;
        }
        spec.Width = Number(format, ref i) ?? 0;
        if (spec.Width < 0) (spec.Left, spec.Width) = (true, -spec.Width);
        if (i < format.Length && format[i] == '.')
        {
            i++;
            spec.Precision = Number(format, ref i) ?? 0;
        }
        foreach (string size in (ReadOnlySpan<string>)["I64", "I32", "ll", "hh", "h", "l", "w", "I", "z", "j", "t"])
        {
            if (string.CompareOrdinal(format, i, size, 0, size.Length) != 0) continue;
            spec.Size = size;
            i += size.Length;
            break;
        }
        spec.Width = Math.Min(spec.Width, MaximumWidth);
        spec.Precision = Math.Min(spec.Precision, MaximumWidth);
        return spec;
    }

    int? Number(string format, ref int i)
    {
        if (i < format.Length && format[i] == '*')
        {
            i++;
            return (int)arguments.Next();
        }
        int start = i, value = 0;
        for (; i < format.Length && char.IsAsciiDigit(format[i]); i++)
            value = Math.Min(value * 10 + format[i] - '0', MaximumWidth);
        return i == start ? null : value;
    }

    string Convert(char conversion, Spec spec) => conversion switch
    {
        'd' or 'i' => Signed(spec),
        'u' => Digits(Unsigned(spec).ToString(CultureInfo.InvariantCulture), spec),
        'x' => Hexadecimal(spec, "0x", "x"),
        'X' => Hexadecimal(spec, "0X", "X"),
        'o' => Octal(spec),
        'p' => arguments.Next().ToString("X16"),
        'c' => Character(IsWide(spec, wide)),
        'C' => Character(IsWide(spec, !wide)),
        's' => Text(spec, IsWide(spec, wide)),
        'S' => Text(spec, IsWide(spec, !wide)),
        'Z' => Counted(spec),
        '%' => "%",
        _ => conversion.ToString(),
    };

    static bool IsWide(Spec spec, bool otherwise) => spec.Size switch
    {
        "l" or "w" or "ll" => true,
        "h" or "hh" => false,
        _ => otherwise,
    };

    string Signed(Spec spec)
    {
        ulong raw = arguments.Next();
        long value = spec.Size switch
        {
            "I64" or "ll" or "I" or "z" or "j" or "t" => (long)raw,
            "h" => (short)raw,
            "hh" => (sbyte)raw,
            _ => (int)raw,
        };
        string digits = Digits(value.ToString(CultureInfo.InvariantCulture).TrimStart('-'), spec);
        return value < 0 ? "-" + digits : spec.Plus ? "+" + digits : spec.Space ? " " + digits : digits;
    }

    ulong Unsigned(Spec spec)
    {
        ulong raw = arguments.Next();
        return spec.Size switch
        {
            "I64" or "ll" or "I" or "z" or "j" or "t" => raw,
            "h" => (ushort)raw,
            "hh" => (byte)raw,
            _ => (uint)raw,
        };
    }

    string Hexadecimal(Spec spec, string prefix, string form)
    {
        ulong value = Unsigned(spec);
        return (spec.Alternate && value != 0 ? prefix : "")
            + Digits(value.ToString(form, CultureInfo.InvariantCulture), spec);
    }

    string Octal(Spec spec)
    {
        string digits = Digits(System.Convert.ToString((long)Unsigned(spec), 8), spec);
        return spec.Alternate && !digits.StartsWith('0') ? "0" + digits : digits;
    }

    // No digits at all for a zero that need not have one.
    static string Digits(string digits, Spec spec) =>
        spec.Precision == 0 && digits == "0" ? "" : digits.PadLeft(Math.Max(0, spec.Precision), '0');

    // Text of the other width goes through the ANSI code page.
    string Transcoded(string text, bool isWide) =>
        isWide == wide ? text
        : isWide ? Encoding.Latin1.GetString(NlsCodePage.Ansi.Encode(text))
        : NlsCodePage.Ansi.Decode(Encoding.Latin1.GetBytes(text));

    string Text(Spec spec, bool isWide)
    {
        Va address = new(arguments.Next());
        if (address.IsNull) return "(null)";
        int limit = spec.Precision >= 0 ? spec.Precision : 1 << 20;
        return Transcoded(isWide ? nt.Crt.ReadWide(address, limit) : nt.Crt.ReadAnsi(address, limit), isWide);
    }

    string Character(bool isWide)
    {
        ulong raw = arguments.Next();
        return Transcoded(((char)(isWide ? (ushort)raw : (byte)raw)).ToString(), isWide);
    }

    // %wZ is a UNICODE_STRING, %Z an ANSI_STRING.
    string Counted(Spec spec)
    {
        Va address = new(arguments.Next());
        if (address.IsNull) return "(null)";
        bool isWide = IsWide(spec, false);
        string text = isWide ? UnicodeString.At(nt.Memory, address).Text
            : Encoding.Latin1.GetString(nt.Rtl.BytesOf(AnsiString.At(nt.Memory, address)));
        return Transcoded(spec.Precision >= 0 && spec.Precision < text.Length ? text[..spec.Precision] : text, isWide);
    }

    static string Pad(string text, Spec spec, char conversion)
    {
        if (text.Length >= spec.Width) return text;
        if (spec.Left) return text.PadRight(spec.Width);
        bool isNumber = "diuxXop".Contains(conversion);
        if (!spec.Zero || isNumber && spec.Precision >= 0) return text.PadLeft(spec.Width);
        // Zeros go behind a sign, and behind 0x.
        int sign = !isNumber || text.Length == 0 ? 0 : text[0] is '-' or '+' or ' ' ? 1
            : text.Length > 1 && text[1] is 'x' or 'X' ? 2 : 0;
        return text[..sign] + text[sign..].PadLeft(spec.Width - sign, '0');
    }
}
