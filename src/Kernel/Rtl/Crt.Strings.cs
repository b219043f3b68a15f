using System.Runtime.InteropServices;
using System.Text;
using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>string.h and wchar.h as they were before lengths were checked.</summary>
sealed partial class Crt
{
    [Export]
    public Va memset(Va destination, int value, ulong count)
    {
        nt.Memory.Fill(destination, count, (byte)value);
        return destination;
    }

    [Export]
    public Va memcpy(Va destination, Va source, ulong count) => memmove(destination, source, count);

    [Export]
    public Va memmove(Va destination, Va source, ulong count)
    {
        // By pieces of a page, from the end if the areas overlap so that the start would be overwritten first.
        bool backwards = destination > source && destination - source < count;
        byte[] piece = new byte[Va.PageSize];
        for (ulong done = 0; done < count;)
        {
            int size = (int)Math.Min((ulong)piece.Length, count - done);
            ulong at = backwards ? count - done - (ulong)size : done;
            nt.Memory.Read(source + at, piece.AsSpan(0, size));
            nt.Memory.Write(destination + at, piece.AsSpan(0, size));
            done += (ulong)size;
        }
        return destination;
    }

    [Export]
    public int memcmp(Va a, Va b, ulong count)
    {
        for (ulong i = 0; i < count; i++)
        {
            int difference = nt.Memory.Read<byte>(a + i) - nt.Memory.Read<byte>(b + i);
            if (difference != 0) return difference;
            if ((i & 0x3FF) == 0) nt.Ke.Clock.Spend();
        }
        return 0;
    }

    [Export] public ulong strlen(Va text) => (ulong)ReadAnsi(text).Length;
    [Export] public ulong wcslen(Va text) => (ulong)ReadWide(text).Length;
    [Export] public ulong strnlen(Va text, ulong count) => (ulong)ReadAnsi(text, Limit(count)).Length;
    [Export] public ulong wcsnlen(Va text, ulong count) => (ulong)ReadWide(text, Limit(count)).Length;
    [Export] public int strcmp(Va a, Va b) => Compare(ReadAnsi(a), ReadAnsi(b));
    [Export] public int wcscmp(Va a, Va b) => Compare(ReadWide(a), ReadWide(b));
    [Export] public int _stricmp(Va a, Va b) => Compare(ToLower(ReadAnsi(a)), ToLower(ReadAnsi(b)));
    [Export] public int _wcsicmp(Va a, Va b) => Compare(Casing.ToLower(ReadWide(a)), Casing.ToLower(ReadWide(b)));

    [Export]
    public int strncmp(Va a, Va b, ulong count) => Compare(ReadAnsi(a, Limit(count)), ReadAnsi(b, Limit(count)));

    [Export]
    public int wcsncmp(Va a, Va b, ulong count) => Compare(ReadWide(a, Limit(count)), ReadWide(b, Limit(count)));

    [Export]
    public int _strnicmp(Va a, Va b, ulong count) =>
        Compare(ToLower(ReadAnsi(a, Limit(count))), ToLower(ReadAnsi(b, Limit(count))));

    [Export]
    public int _wcsnicmp(Va a, Va b, ulong count) =>
        Compare(Casing.ToLower(ReadWide(a, Limit(count))), Casing.ToLower(ReadWide(b, Limit(count))));

    // By the first characters that differ; the end of a text is a zero.
    static int Compare(string a, string b)
    {
        for (int i = 0; i < Math.Min(a.Length, b.Length); i++)
            if (a[i] != b[i]) return a[i] - b[i];
        return a.Length > b.Length ? a[b.Length] : a.Length < b.Length ? -b[a.Length] : 0;
    }

    // Bytes have the C locale's case: ASCII alone.
    static string ToLower(string text) => string.Create(text.Length, text, static (all, from) =>
    {
        for (int i = 0; i < all.Length; i++) all[i] = from[i] is >= 'A' and <= 'Z' ? (char)(from[i] + 32) : from[i];
    });

    [Export]
    public Va wcschr(Va text, ushort c)
    {
        string whole = ReadWide(text);
        int at = c == 0 ? whole.Length : whole.IndexOf((char)c);
        return at < 0 ? Va.Null : text + at * 2;
    }

    [Export]
    public Va wcsrchr(Va text, ushort c)
    {
        string whole = ReadWide(text);
        int at = c == 0 ? whole.Length : whole.LastIndexOf((char)c);
        return at < 0 ? Va.Null : text + at * 2;
    }

    [Export]
    public Va strchr(Va text, int c)
    {
        string whole = ReadAnsi(text);
        int at = (byte)c == 0 ? whole.Length : whole.IndexOf((char)(byte)c);
        return at < 0 ? Va.Null : text + at;
    }

    [Export]
    public Va wcsstr(Va text, Va part)
    {
        int at = ReadWide(text).IndexOf(ReadWide(part), StringComparison.Ordinal);
        return at < 0 ? Va.Null : text + at * 2;
    }

    [Export]
    public Va strstr(Va text, Va part)
    {
        int at = ReadAnsi(text).IndexOf(ReadAnsi(part), StringComparison.Ordinal);
        return at < 0 ? Va.Null : text + at;
    }

    [Export]
    public Va wcscpy(Va destination, Va source)
    {
        PutWide(destination, ReadWide(source) + '\0');
        return destination;
    }

    [Export]
    public Va wcsncpy(Va destination, Va source, ulong count)
    {
        PutWide(destination, ReadWide(source, Limit(count)).PadRight(Limit(count), '\0'));
        return destination;
    }

    [Export]
    public Va wcscat(Va destination, Va source)
    {
        PutWide(destination + ReadWide(destination).Length * 2, ReadWide(source) + '\0');
        return destination;
    }

    [Export]
    public Va strcpy(Va destination, Va source)
    {
        PutAnsi(destination, ReadAnsi(source) + '\0');
        return destination;
    }

    [Export]
    public Va strncpy(Va destination, Va source, ulong count)
    {
        PutAnsi(destination, ReadAnsi(source, Limit(count)).PadRight(Limit(count), '\0'));
        return destination;
    }

    [Export]
    public Va strcat(Va destination, Va source)
    {
        PutAnsi(destination + ReadAnsi(destination).Length, ReadAnsi(source) + '\0');
        return destination;
    }

    [Export]
    public Va strncat(Va destination, Va source, ulong count)
    {
        PutAnsi(destination + ReadAnsi(destination).Length, ReadAnsi(source, Limit(count)) + '\0');
        return destination;
    }

    [Export]
    public Va wcsncat(Va destination, Va source, ulong count)
    {
        PutWide(destination + ReadWide(destination).Length * 2, ReadWide(source, Limit(count)) + '\0');
        return destination;
    }

    [Export]
    public Va strrchr(Va text, int c)
    {
        string whole = ReadAnsi(text);
        int at = (byte)c == 0 ? whole.Length : whole.LastIndexOf((char)(byte)c);
        return at < 0 ? Va.Null : text + at;
    }

    /// <summary>How many characters at the start are of a set.</summary>
    [Export] public ulong strspn(Va text, Va set) => Span(ReadAnsi(text), ReadAnsi(set), inside: true);
    [Export] public ulong wcsspn(Va text, Va set) => Span(ReadWide(text), ReadWide(set), inside: true);
    [Export] public ulong strcspn(Va text, Va set) => Span(ReadAnsi(text), ReadAnsi(set), inside: false);
    [Export] public ulong wcscspn(Va text, Va set) => Span(ReadWide(text), ReadWide(set), inside: false);

    static ulong Span(string text, string set, bool inside)
    {
        int at = inside ? text.AsSpan().IndexOfAnyExcept(set) : text.AsSpan().IndexOfAny(set);
        return (ulong)(at < 0 ? text.Length : at);
    }

    [Export] public Va strpbrk(Va text, Va set) => FirstOf(text, ReadAnsi(text).AsSpan().IndexOfAny(ReadAnsi(set)), 1);
    [Export] public Va wcspbrk(Va text, Va set) => FirstOf(text, ReadWide(text).AsSpan().IndexOfAny(ReadWide(set)), 2);

    static Va FirstOf(Va text, int at, int unit) => at < 0 ? Va.Null : text + at * unit;

    [Export]
    public Va memchr(Va buffer, int c, ulong count)
    {
        for (ulong i = 0; i < count; i++)
        {
            if (nt.Memory.Read<byte>(buffer + i) == (byte)c) return buffer + i;
            if ((i & 0x3FF) == 0) nt.Ke.Clock.Spend();
        }
        return Va.Null;
    }

    static int Limit(ulong count) => (int)Math.Min(count, MaximumText);

    void PutWide(Va destination, string text) => nt.Memory.Write(destination, MemoryMarshal.AsBytes(text.AsSpan()));

    void PutAnsi(Va destination, string text) => nt.Memory.Write(destination, Encoding.Latin1.GetBytes(text));
}
