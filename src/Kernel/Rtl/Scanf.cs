using System.Numerics;
using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>scanf in its safe form: each %s, %c and %[ is followed by the size of its buffer.</summary>
/// <param name="wide">The input is UTF-16; %s, %c and %[ then store wide characters.</param>
sealed class Scanf(NtKernel nt, VarArgs arguments, string input, bool wide)
{
    const int Failed = -1;

    int _at;

    /// <summary>How many conversions were stored; -1 if the input ended before the first.</summary>
    public int Scan(string format)
    {
        int stored = 0;
        for (int i = 0; i < format.Length; i++)
        {
            nt.Ke.Clock.Spend();
            if (char.IsWhiteSpace(format[i]))
            {
                SkipBlanks();
                continue;
            }
            if (format[i] != '%' || i + 1 < format.Length && format[i + 1] == '%')
            {
                if (format[i] == '%')
                {
                    SkipBlanks();
                    i++;
                }
                if (_at >= input.Length || input[_at] != format[i]) break;
                _at++;
                continue;
            }
            i++;
            bool atEnd = input.AsSpan(_at).IsWhiteSpace();
            int result = Convert(format, ref i);
            if (result < 0) return stored == 0 && atEnd ? Failed : stored;
            stored += result;
        }
        return stored;
    }

    void SkipBlanks()
    {
        while (_at < input.Length && char.IsWhiteSpace(input[_at])) _at++;
    }

    // 1 stored, 0 read but not stored, -1 no match.
    int Convert(string format, ref int i)
    {
        bool store = true;
        if (i < format.Length && format[i] == '*') (store, i) = (false, i + 1);
        int width = 0;
        for (; i < format.Length && char.IsAsciiDigit(format[i]); i++)
            width = Math.Min(width * 10 + format[i] - '0', 1 << 20);
        string size = "";
        foreach (string each in (ReadOnlySpan<string>)["I64", "I32", "ll", "hh", "h", "l", "w", "I", "L"])
        {
            if (string.CompareOrdinal(format, i, each, 0, each.Length) != 0) continue;
            (size, i) = (each, i + each.Length);
            break;
        }
        if (i >= format.Length) return Failed;
        switch (format[i])
        {
            case 'd' or 'u': return Number(10, width, size, store);
            case 'i': return Number(0, width, size, store);
            case 'x' or 'X': return Number(16, width, size, store);
            case 'p': return Number(16, width, "I64", store);
            case 'o': return Number(8, width, size, store);
            case 'c': return Characters(width == 0 ? 1 : width, size, store);
            case 's':
                SkipBlanks();
                return Text(static c => !char.IsWhiteSpace(c), width, size, store);
            case '[': return Text(SetOf(format, ref i), width, size, store);
            case 'n':
                if (store) Write(_at, size);
                return 0;
            default: return Failed;
        }
    }

    int Number(uint @base, int width, string size, bool store)
    {
        SkipBlanks();
        ReadOnlySpan<char> rest = input.AsSpan(_at);
        if (width > 0 && width < rest.Length) rest = rest[..width];
        ParsedNumber number = ParsedNumber.Read(rest, @base);
        if (number.Length == 0) return Failed;
        _at += number.Length;
        if (!store) return 0;
        Write(number.Value, size);
        return 1;
    }

    void Write(BigInteger value, string size)
    {
        int bytes = size switch { "I64" or "ll" or "I" => 8, "h" => 2, "hh" => 1, _ => 4 };
        Span<byte> target = stackalloc byte[8];
        BitConverter.TryWriteBytes(target, (ulong)(value & ulong.MaxValue));
        nt.Memory.Write(new Va(arguments.Next()), target[..bytes]);
    }

    bool IsWide(string size) => size switch { "l" or "w" => true, "h" => false, _ => wide };

    int Characters(int count, string size, bool store)
    {
        if (input.Length - _at < count) return Failed;
        string text = input.Substring(_at, count);
        _at += count;
        return store ? Put(text, size, terminate: false) : 0;
    }

    int Text(Func<char, bool> accept, int width, string size, bool store)
    {
        int start = _at;
        while (_at < input.Length && accept(input[_at]) && (width == 0 || _at - start < width)) _at++;
        if (_at == start) return Failed;
        return store ? Put(input[start.._at], size, terminate: true) : 0;
    }

    int Put(string text, string size, bool terminate)
    {
        Va target = new(arguments.Next());
        uint room = (uint)arguments.Next();
        if (terminate) text += '\0';
        bool isWide = IsWide(size);
        if ((uint)text.Length > room)
        {
            if (room > 0) nt.Memory.Fill(target, isWide ? 2u : 1u, 0);
            return Failed;
        }
        foreach (char c in text)
        {
            if (isWide) nt.Memory.Write(target, c);
            else nt.Memory.Write(target, wide ? NlsCodePage.Ansi.ToByte(c) : (byte)c);
            target += isWide ? 2 : 1;
        }
        return 1;
    }

    static Func<char, bool> SetOf(string format, ref int i)
    {
        int start = i + 1;
        bool negated = start < format.Length && format[start] == '^';
        if (negated) start++;
        // A bracket that comes first is one of the set.
        int end = start < format.Length ? format.IndexOf(']', start + 1) : -1;
        if (end < 0) end = format.Length;
        string set = start < end ? format[start..end] : "";
        i = end;
        return c => Contains(set, c) != negated;
    }

    static bool Contains(string set, char c)
    {
        for (int k = 0; k < set.Length; k++)
        {
            bool isRange = k + 2 < set.Length && set[k + 1] == '-';
            if (isRange ? c >= set[k] && c <= set[k + 2] : c == set[k]) return true;
            if (isRange) k += 2;
        }
        return false;
    }
}

/// <summary>The scanf family, which the kernel exports in its safe form.</summary>
sealed partial class Crt
{
    [Export]
    public int sscanf_s(Va buffer, Va format, VarArgs arguments) =>
        new Scanf(nt, arguments, ReadAnsi(buffer), wide: false).Scan(ReadAnsi(format));

    [Export]
    public int swscanf_s(Va buffer, Va format, VarArgs arguments) =>
        new Scanf(nt, arguments, ReadWide(buffer), wide: true).Scan(ReadWide(format));

    [Export]
    public int _snscanf_s(Va buffer, ulong length, Va format, VarArgs arguments) =>
        new Scanf(nt, arguments, ReadAnsi(buffer, Limit(length)), wide: false).Scan(ReadAnsi(format));

    [Export]
    public int _snwscanf_s(Va buffer, ulong length, Va format, VarArgs arguments) =>
        new Scanf(nt, arguments, ReadWide(buffer, Limit(length)), wide: true).Scan(ReadWide(format));
}
