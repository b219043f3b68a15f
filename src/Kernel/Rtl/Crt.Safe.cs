using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>The functions with _s: they know the size of what they write, and return 0 or an errno.</summary>
sealed partial class Crt
{
    const int EINVAL = 22, ERANGE = 34, STRUNCATE = 80;

    string Read(Va text, ulong maximum, bool wide) =>
        wide ? ReadWide(text, Limit(maximum)) : ReadAnsi(text, Limit(maximum));

    // Copies or appends at most so many characters; without room for all, nothing, unless cutting was asked for.
    int Join(Va target, ulong size, Va source, ulong count, bool append, bool wide)
    {
        if (target.IsNull || size == 0) return EINVAL;
        string old = append ? Read(target, size, wide) : "";
        if (append && (ulong)old.Length == size) return EINVAL;
        if (source.IsNull)
        {
            if (count == 0) return 0;
            Put(target, "\0", wide);
            return EINVAL;
        }
        string text = old + Read(source, count == Truncate ? size : count, wide);
        if ((ulong)text.Length < size)
        {
            Put(target, text + '\0', wide);
            return 0;
        }
        Put(target, count == Truncate ? text[..(int)(size - 1)] + '\0' : "\0", wide);
        return count == Truncate ? STRUNCATE : ERANGE;
    }

    [Export]
    public int strcpy_s(Va target, ulong size, Va source) =>
        Join(target, size, source, MaximumText, false, false);
    [Export]
    public int wcscpy_s(Va target, ulong size, Va source) =>
        Join(target, size, source, MaximumText, false, true);
    [Export]
    public int strcat_s(Va target, ulong size, Va source) =>
        Join(target, size, source, MaximumText, true, false);
    [Export]
    public int wcscat_s(Va target, ulong size, Va source) =>
        Join(target, size, source, MaximumText, true, true);

    [Export]
    public int strncpy_s(Va target, ulong size, Va source, ulong count) =>
        Join(target, size, source, count, false, false);

    [Export]
    public int wcsncpy_s(Va target, ulong size, Va source, ulong count) =>
        Join(target, size, source, count, false, true);

    [Export]
    public int strncat_s(Va target, ulong size, Va source, ulong count) =>
        Join(target, size, source, count, true, false);

    [Export]
    public int wcsncat_s(Va target, ulong size, Va source, ulong count) =>
        Join(target, size, source, count, true, true);

    [Export]
    public int memcpy_s(Va destination, ulong size, Va source, ulong count)
    {
        if (count == 0) return 0;
        if (destination.IsNull) return EINVAL;
        if (source.IsNull || size < count)
        {
            nt.Memory.Fill(destination, size, 0);
            return source.IsNull ? EINVAL : ERANGE;
        }
        memmove(destination, source, count);
        return 0;
    }

    [Export]
    public int memmove_s(Va destination, ulong size, Va source, ulong count)
    {
        if (count == 0) return 0;
        if (destination.IsNull || source.IsNull) return EINVAL;
        if (size < count) return ERANGE;
        memmove(destination, source, count);
        return 0;
    }

    [Export] public Va strtok_s(Va text, Va delimiters, Va context) => Token(text, delimiters, context, wide: false);
    [Export] public Va wcstok_s(Va text, Va delimiters, Va context) => Token(text, delimiters, context, wide: true);

    // The next piece between delimiters gets its zero; the context is where to go on.
    Va Token(Va text, Va delimiters, Va context, bool wide)
    {
        int unit = wide ? 2 : 1;
        Va start = text.IsNull ? nt.Memory.Read<Va>(context) : text;
        if (start.IsNull) return Va.Null;
        string rest = Read(start, MaximumText, wide), set = Read(delimiters, MaximumText, wide);
        int first = rest.AsSpan().IndexOfAnyExcept(set);
        if (first < 0)
        {
            nt.Memory.Write(context, start + rest.Length * unit);
            return Va.Null;
        }
        int length = rest.AsSpan(first).IndexOfAny(set);
        Va end = start + (length < 0 ? rest.Length : first + length) * unit;
        if (length >= 0) Put(end, "\0", wide);
        nt.Memory.Write(context, length < 0 ? end : end + unit);
        return start + first * unit;
    }

    [Export]
    public int _splitpath_s(Va path, Va drive, ulong driveSize, Va dir, ulong dirSize, Va name, ulong nameSize,
        Va ext, ulong extSize) =>
        Split(path, [(drive, driveSize), (dir, dirSize), (name, nameSize), (ext, extSize)], wide: false);

    [Export]
    public int _wsplitpath_s(Va path, Va drive, ulong driveSize, Va dir, ulong dirSize, Va name,
        ulong nameSize,
        Va ext, ulong extSize) =>
        Split(path, [(drive, driveSize), (dir, dirSize), (name, nameSize), (ext, extSize)], wide: true);

    int Split(Va path, ReadOnlySpan<(Va Buffer, ulong Size)> targets, bool wide)
    {
        if (path.IsNull) return EINVAL;
        string text = Read(path, MaximumText, wide);
        string drive = text.Length > 1 && text[1] == ':' ? text[..2] : "", rest = text[drive.Length..];
        int slash = rest.AsSpan().LastIndexOfAny('\\', '/'), point = rest.LastIndexOf('.');
        if (point <= slash) point = rest.Length;
        ReadOnlySpan<string> parts =
            [drive, rest[..(slash + 1)], rest[(slash + 1)..point], rest[point..]];
        for (int i = 0; i < parts.Length; i++)
        {
            if (targets[i].Buffer.IsNull && targets[i].Size == 0) continue;
            if (targets[i].Buffer.IsNull || targets[i].Size == 0) return EINVAL;
            if ((ulong)parts[i].Length >= targets[i].Size) return ERANGE;
        }
        for (int i = 0; i < parts.Length; i++)
            if (!targets[i].Buffer.IsNull) Put(targets[i].Buffer, parts[i] + '\0', wide);
        return 0;
    }

    [Export]
    public int _makepath_s(Va path, ulong size, Va drive, Va dir, Va name, Va ext) =>
        Make(path, size, drive, dir, name, ext, wide: false);

    [Export]
    public int _wmakepath_s(Va path, ulong size, Va drive, Va dir, Va name, Va ext) =>
        Make(path, size, drive, dir, name, ext, wide: true);

    int Make(Va path, ulong size, Va drive, Va dir, Va name, Va ext, bool wide)
    {
        if (path.IsNull || size == 0) return EINVAL;
        string text = Part(drive), folder = Part(dir), extension = Part(ext);
        if (text.Length > 0) text = $"{text[0]}:";
        if (folder.Length > 0) text += folder[^1] is '\\' or '/' ? folder : folder + '\\';
        text += Part(name);
        if (extension.Length > 0) text += extension[0] == '.' ? extension : '.' + extension;
        bool fits = (ulong)text.Length < size;
        Put(path, fits ? text + '\0' : "\0", wide);
        return fits ? 0 : ERANGE;

        string Part(Va at) => at.IsNull ? "" : Read(at, MaximumText, wide);
    }
}
