using System.Runtime.InteropServices;
using System.Text;
using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>string.h, wchar.h and the printf family.</summary>
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
        }
        return 0;
    }

    [Export] public ulong strlen(Va text) => (ulong)ReadAnsi(text).Length;
    [Export] public ulong wcslen(Va text) => (ulong)ReadWide(text).Length;
    [Export] public int strcmp(Va a, Va b) => Rtl.Compare(ReadAnsi(a), ReadAnsi(b), false);
    [Export]
    public int strncmp(Va a, Va b, ulong count) =>
        Rtl.Compare(ReadAnsi(a, Limit(count)), ReadAnsi(b, Limit(count)), false);
    [Export] public int _stricmp(Va a, Va b) => Rtl.Compare(ReadAnsi(a), ReadAnsi(b), true);
    [Export]
    public int _strnicmp(Va a, Va b, ulong count) =>
        Rtl.Compare(ReadAnsi(a, Limit(count)), ReadAnsi(b, Limit(count)), true);
    [Export] public int wcscmp(Va a, Va b) => Rtl.Compare(ReadWide(a), ReadWide(b), false);
    [Export]
    public int wcsncmp(Va a, Va b, ulong count) =>
        Rtl.Compare(ReadWide(a, Limit(count)), ReadWide(b, Limit(count)), false);
    [Export] public int _wcsicmp(Va a, Va b) => Rtl.Compare(ReadWide(a), ReadWide(b), true);
    [Export]
    public int _wcsnicmp(Va a, Va b, ulong count) =>
        Rtl.Compare(ReadWide(a, Limit(count)), ReadWide(b, Limit(count)), true);

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
    public int _snprintf(Va buffer, ulong count, Va format, VarArgs arguments) =>
        StoreAnsi(buffer, count, FormatAnsi(format, arguments));

    [Export]
    public int _vsnprintf(Va buffer, ulong count, Va format, Va arguments) =>
        StoreAnsi(buffer, count, FormatAnsi(format, new VarArgs(nt.Memory, arguments)));

    [Export]
    public int sprintf(Va buffer, Va format, VarArgs arguments) =>
        StoreAnsi(buffer, int.MaxValue, FormatAnsi(format, arguments));

    [Export]
    public int vsprintf(Va buffer, Va format, Va arguments) =>
        StoreAnsi(buffer, int.MaxValue, FormatAnsi(format, new VarArgs(nt.Memory, arguments)));

    [Export]
    public int _snwprintf(Va buffer, ulong count, Va format, VarArgs arguments) =>
        StoreWide(buffer, count, FormatWide(format, arguments));

    [Export]
    public int _vsnwprintf(Va buffer, ulong count, Va format, Va arguments) =>
        StoreWide(buffer, count, FormatWide(format, new VarArgs(nt.Memory, arguments)));

    /// <summary>The old swprintf of Microsoft's library: no count.</summary>
    [Export]
    public int swprintf(Va buffer, Va format, VarArgs arguments) =>
        StoreWide(buffer, int.MaxValue, FormatWide(format, arguments));

    static int Limit(ulong count) => (int)Math.Min(count, MaximumText);

    void PutWide(Va destination, string text) => nt.Memory.Write(destination, MemoryMarshal.AsBytes(text.AsSpan()));

    void PutAnsi(Va destination, string text) => nt.Memory.Write(destination, Encoding.Latin1.GetBytes(text));

    // Text that does not fit is cut, without a zero, and -1 is returned; text that just fits gets no zero either.
    int StoreAnsi(Va buffer, ulong count, string text)
    {
        if ((ulong)text.Length < count) PutAnsi(buffer, text + '\0');
        else PutAnsi(buffer, text[..(int)count]);
        return (ulong)text.Length <= count ? text.Length : -1;
    }

    int StoreWide(Va buffer, ulong count, string text)
    {
        if ((ulong)text.Length < count) PutWide(buffer, text + '\0');
        else PutWide(buffer, text[..(int)count]);
        return (ulong)text.Length <= count ? text.Length : -1;
    }
}
