using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>The printf family.</summary>
sealed partial class Crt
{
    const ulong Truncate = ulong.MaxValue;

    VarArgs ListAt(Va arguments) => new(nt.Memory, arguments);

    [Export]
    public int _snprintf(Va buffer, ulong count, Va format, VarArgs arguments) =>
        Store(buffer, count, FormatAnsi(format, arguments), wide: false);

    [Export]
    public int _vsnprintf(Va buffer, ulong count, Va format, Va arguments) =>
        Store(buffer, count, FormatAnsi(format, ListAt(arguments)), wide: false);

    [Export]
    public int sprintf(Va buffer, Va format, VarArgs arguments) =>
        Store(buffer, int.MaxValue, FormatAnsi(format, arguments), wide: false);

    [Export]
    public int vsprintf(Va buffer, Va format, Va arguments) =>
        Store(buffer, int.MaxValue, FormatAnsi(format, ListAt(arguments)), wide: false);

    [Export]
    public int _snwprintf(Va buffer, ulong count, Va format, VarArgs arguments) =>
        Store(buffer, count, FormatWide(format, arguments), wide: true);

    [Export]
    public int _vsnwprintf(Va buffer, ulong count, Va format, Va arguments) =>
        Store(buffer, count, FormatWide(format, ListAt(arguments)), wide: true);

    /// <summary>The old swprintf of Microsoft's library: no count.</summary>
    [Export]
    public int swprintf(Va buffer, Va format, VarArgs arguments) =>
        Store(buffer, int.MaxValue, FormatWide(format, arguments), wide: true);

    [Export]
    public int _swprintf(Va buffer, Va format, VarArgs arguments) =>
        Store(buffer, int.MaxValue, FormatWide(format, arguments), wide: true);

    [Export]
    public int _vswprintf(Va buffer, Va format, Va arguments) =>
        Store(buffer, int.MaxValue, FormatWide(format, ListAt(arguments)), wide: true);

    // Text that does not fit is cut, without a zero, and -1 is returned; text that just fits gets no zero either.
    int Store(Va buffer, ulong count, string text, bool wide)
    {
        Put(buffer, (ulong)text.Length < count ? text + '\0' : text[..(int)count], wide);
        return (ulong)text.Length <= count ? text.Length : -1;
    }

    void Put(Va buffer, string text, bool wide)
    {
        if (wide) PutWide(buffer, text);
        else PutAnsi(buffer, text);
    }

    // Always a zero at the end. What is too long is cut if that was asked for, else nothing is stored.
    int StoreSafely(Va buffer, ulong size, ulong count, string text, bool wide)
    {
        if (buffer.IsNull || size == 0) return -1;
        bool cut = (ulong)text.Length > count;
        if (cut && count != Truncate) text = text[..(int)count];
        if ((ulong)text.Length < size)
        {
            Put(buffer, text + '\0', wide);
            return cut ? -1 : text.Length;
        }
        Put(buffer, count == Truncate ? text[..(int)(size - 1)] + '\0' : "\0", wide);
        return -1;
    }

    [Export]
    public int sprintf_s(Va buffer, ulong sizeOfBuffer, Va format, VarArgs arguments) =>
        StoreSafely(buffer, sizeOfBuffer, int.MaxValue, FormatAnsi(format, arguments), wide: false);

    [Export]
    public int vsprintf_s(Va buffer, ulong sizeOfBuffer, Va format, Va arguments) =>
        StoreSafely(buffer, sizeOfBuffer, int.MaxValue, FormatAnsi(format, ListAt(arguments)), wide: false);

    [Export]
    public int swprintf_s(Va buffer, ulong sizeOfBuffer, Va format, VarArgs arguments) =>
        StoreSafely(buffer, sizeOfBuffer, int.MaxValue, FormatWide(format, arguments), wide: true);

    [Export]
    public int vswprintf_s(Va buffer, ulong sizeOfBuffer, Va format, Va arguments) =>
        StoreSafely(buffer, sizeOfBuffer, int.MaxValue, FormatWide(format, ListAt(arguments)), wide: true);

    [Export]
    public int _snprintf_s(Va buffer, ulong sizeOfBuffer, ulong count, Va format, VarArgs arguments) =>
        StoreSafely(buffer, sizeOfBuffer, count, FormatAnsi(format, arguments), wide: false);

    [Export]
    public int _vsnprintf_s(Va buffer, ulong sizeOfBuffer, ulong count, Va format, Va arguments) =>
        StoreSafely(buffer, sizeOfBuffer, count, FormatAnsi(format, ListAt(arguments)), wide: false);

    [Export]
    public int _snwprintf_s(Va buffer, ulong sizeOfBuffer, ulong count, Va format, VarArgs arguments) =>
        StoreSafely(buffer, sizeOfBuffer, count, FormatWide(format, arguments), wide: true);

    [Export]
    public int _vsnwprintf_s(Va buffer, ulong sizeOfBuffer, ulong count, Va format, Va arguments) =>
        StoreSafely(buffer, sizeOfBuffer, count, FormatWide(format, ListAt(arguments)), wide: true);

    /// <summary>How many characters there would be.</summary>
    [Export] public int _scprintf(Va format, VarArgs arguments) => FormatAnsi(format, arguments).Length;
    [Export] public int _vscprintf(Va format, Va arguments) => FormatAnsi(format, ListAt(arguments)).Length;
    [Export] public int _scwprintf(Va format, VarArgs arguments) => FormatWide(format, arguments).Length;
    [Export] public int _vscwprintf(Va format, Va arguments) => FormatWide(format, ListAt(arguments)).Length;
}
