using System.Text;
using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>ctype.h in the C locale, case and filling of whole texts, characters of the ANSI code page.</summary>
sealed partial class Crt
{
    [Export] public int isdigit(int c) => c is >= '0' and <= '9' ? 4 : 0;
    [Export] public int isxdigit(int c) => c is >= 0 and < 128 && char.IsAsciiHexDigit((char)c) ? 0x80 : 0;
    [Export] public int isupper(int c) => c is >= 'A' and <= 'Z' ? 1 : 0;
    [Export] public int islower(int c) => c is >= 'a' and <= 'z' ? 2 : 0;
    [Export] public int isalpha(int c) => isupper(c) | islower(c);
    [Export] public int isalnum(int c) => isalpha(c) | isdigit(c);
    [Export] public int isspace(int c) => c is ' ' or >= 9 and <= 13 ? 8 : 0;
    [Export] public int isprint(int c) => c is >= ' ' and < 127 ? 1 : 0;

    [Export] public int toupper(int c) => c is >= 'a' and <= 'z' ? c - 32 : c;
    [Export] public int tolower(int c) => c is >= 'A' and <= 'Z' ? c + 32 : c;
    [Export] public ushort towupper(ushort c) => Casing.ToUpper((char)c);
    [Export] public ushort towlower(ushort c) => Casing.ToLower((char)c);

    [Export] public Va _strupr(Va text) => Change(text, false, c => (char)toupper(c));
    [Export] public Va _strlwr(Va text) => Change(text, false, c => (char)tolower(c));
    [Export] public Va _wcsupr(Va text) => Change(text, true, Casing.ToUpper);
    [Export] public Va _wcslwr(Va text) => Change(text, true, Casing.ToLower);

    Va Change(Va text, bool wide, Func<char, char> map)
    {
        Put(text, string.Concat(Read(text, MaximumText, wide).Select(map)), wide);
        return text;
    }

    [Export] public Va _strset(Va text, int c) => Fill(text, c, MaximumText, false);
    [Export] public Va _strnset(Va text, int c, ulong count) => Fill(text, c, count, false);
    [Export] public Va _wcsnset(Va text, ushort c, ulong count) => Fill(text, c, count, true);
    [Export] public int _strset_s(Va text, ulong size, int c) => FillSafely(text, size, c, size, false);
    [Export] public int _wcsset_s(Va text, ulong size, ushort c) => FillSafely(text, size, c, size, true);
    [Export] public int _strnset_s(Va text, ulong size, int c, ulong count) => FillSafely(text, size, c, count, false);

    [Export]
    public int _wcsnset_s(Va text, ulong size, ushort c, ulong count) => FillSafely(text, size, c, count, true);

    Va Fill(Va text, int c, ulong count, bool wide)
    {
        Put(text, new string(wide ? (char)c : (char)(byte)c, Read(text, count, wide).Length), wide);
        return text;
    }

    int FillSafely(Va text, ulong size, int c, ulong count, bool wide)
    {
        if (text.IsNull || size == 0) return EINVAL;
        if ((ulong)Read(text, size, wide).Length == size)
        {
            Put(text, "\0", wide);
            return EINVAL;
        }
        Fill(text, c, count, wide);
        return 0;
    }

    [Export] public Va _strrev(Va text) => Reverse(text, false);
    [Export] public Va _wcsrev(Va text) => Reverse(text, true);

    Va Reverse(Va text, bool wide)
    {
        char[] units = Read(text, MaximumText, wide).ToCharArray();
        Array.Reverse(units);
        Put(text, new string(units), wide);
        return text;
    }

    /// <summary>Without a target, how long the text would be.</summary>
    [Export]
    public ulong mbstowcs(Va target, Va source, ulong count)
    {
        string text = NlsCodePage.Ansi.Decode(
            Encoding.Latin1.GetBytes(ReadAnsi(source, target.IsNull ? MaximumText : Limit(count))));
        if (!target.IsNull) PutWide(target, (ulong)text.Length < count ? text + '\0' : text);
        return (ulong)text.Length;
    }

    [Export]
    public ulong wcstombs(Va target, Va source, ulong count)
    {
        byte[] bytes = NlsCodePage.Ansi.Encode(ReadWide(source, target.IsNull ? MaximumText : Limit(count)));
        if (target.IsNull) return (ulong)bytes.Length;
        nt.Memory.Write(target, bytes);
        if ((ulong)bytes.Length < count) nt.Memory.Write<byte>(target + bytes.Length, 0);
        return (ulong)bytes.Length;
    }

    [Export]
    public int mbtowc(Va target, Va source, ulong count)
    {
        if (source.IsNull || count == 0) return 0;
        byte c = nt.Memory.Read<byte>(source);
        if (!target.IsNull) nt.Memory.Write(target, NlsCodePage.Ansi.ToUnicode(c));
        return c == 0 ? 0 : 1;
    }

    /// <summary>-1 for a character that the code page does not have.</summary>
    [Export]
    public int wctomb(Va target, ushort c)
    {
        if (target.IsNull) return 0;
        if (!NlsCodePage.Ansi.Has((char)c)) return -1;
        nt.Memory.Write(target, NlsCodePage.Ansi.ToByte((char)c));
        return 1;
    }
}
