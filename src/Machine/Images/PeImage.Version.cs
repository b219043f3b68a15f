using System.Text;

namespace Ringdown.Machine;

/// <summary>What the version resource says of an image.</summary>
/// <param name="Strings">Names and values of the first table of texts: CompanyName, FileDescription.</param>
public sealed record ImageVersion(
    Version FileVersion, Version ProductVersion, IReadOnlyList<(string Name, string Value)> Strings)
{
    /// <summary>The text of a name; null without one.</summary>
    public string? Find(string name)
    {
        foreach ((string other, string value) in Strings)
            if (other == name) return value;
        return null;
    }
}

public sealed partial class PeImage
{
    /// <summary>The version resource; null when there is none or it is damaged.</summary>
    public ImageVersion? Version
    {
        get
        {
            const uint TypeVersion = 16, Signature = 0xFEEF04BD;
            VersionBlock root = new(FindResource(TypeVersion));
            if (root.Key != "VS_VERSION_INFO") return null;
            ByteCursor value = new(root.Value);
            if (value.U32() != Signature) return null;
            value.Skip(4);
            Version file = ReadVersion(ref value), product = ReadVersion(ref value);
            return value.Failed ? null : new ImageVersion(file, product, ReadStrings(root));
        }
    }

    static Version ReadVersion(ref ByteCursor from)
    {
        uint high = from.U32(), low = from.U32();
        return new Version((int)(high >> 16), (int)(high & 0xFFFF), (int)(low >> 16), (int)(low & 0xFFFF));
    }

    static List<(string Name, string Value)> ReadStrings(VersionBlock root)
    {
        List<(string Name, string Value)> strings = [];
        ByteCursor all = new(root.Children);
        while (!all.AtEnd)
        {
            VersionBlock info = VersionBlock.Next(ref all);
            if (info.Key != "StringFileInfo") continue;
            ByteCursor tables = new(info.Children);
            ByteCursor table = new(VersionBlock.Next(ref tables).Children);
            while (!table.AtEnd)
            {
                VersionBlock text = VersionBlock.Next(ref table);
                if (text.Key.Length > 0) strings.Add((text.Key, text.Text));
            }
            break;
        }
        return strings;
    }

    /// <summary>The first resource of a type, in its first language.</summary>
    ReadOnlySpan<byte> FindResource(uint type)
    {
        PeDirectory directory = Directory(PeDirectoryKind.Resource);
        if (!directory.IsPresent || !_mapped.Has(directory.Rva, directory.Size)) return default;
        ReadOnlySpan<byte> tree = _mapped.Span(directory.Rva, directory.Size, "");
        if (FindEntry(tree, 0, type) is not { } names) return default;
        if (FindEntry(tree, names, null) is not { } languages) return default;
        if (FindEntry(tree, languages, null) is not { } entry || (entry & SubDirectory) != 0) return default;
        ByteCursor leaf = new(tree);
        leaf.Skip(entry);
        uint rva = leaf.U32(), size = leaf.U32();
        return !leaf.Failed && _mapped.Has(rva, size) ? _mapped.Span(rva, size, "") : default;
    }

    const uint SubDirectory = 0x8000_0000;

    /// <summary>Where the entry with a number is, or the first one; null when there is none.</summary>
    static uint? FindEntry(ReadOnlySpan<byte> tree, uint directory, uint? id)
    {
        ByteCursor cursor = new(tree);
        cursor.Skip(directory & ~SubDirectory);
        cursor.Skip(12);
        for (int count = cursor.U16() + cursor.U16(); count > 0; count--)
        {
            uint number = cursor.U32(), offset = cursor.U32();
            if (cursor.Failed) return null;
            if (id is null || number == id) return offset;
        }
        return null;
    }

    /// <summary>A block of the version resource: a key, a value, and blocks inside.</summary>
    readonly ref struct VersionBlock
    {
        public readonly string Key = "";
        public readonly ReadOnlySpan<byte> Value, Children;

        public VersionBlock(ReadOnlySpan<byte> bytes)
        {
            ByteCursor cursor = new(bytes);
            uint length = cursor.U16(), valueLength = cursor.U16();
            bool isText = cursor.U16() == 1;
            if (length < 6 || length > bytes.Length) return;
            cursor = new(bytes[..(int)length]);
            cursor.Skip(6);
            string key = WideText(ref cursor);
            cursor.Align(4);
            // A text's length is in characters, but some compilers write bytes: it ends at its zero anyway.
            Value = isText && valueLength > 0 ? cursor.Rest() : cursor.Take(valueLength);
            cursor.Align(4);
            Children = cursor.Rest();
            if (!cursor.Failed) Key = key;
        }

        public string Text
        {
            get
            {
                ByteCursor cursor = new(Value);
                return WideText(ref cursor);
            }
        }

        /// <summary>The block that comes next; without a key when it is broken, and then nothing is left.</summary>
        public static VersionBlock Next(ref ByteCursor from)
        {
            ReadOnlySpan<byte> rest = from.Peek();
            VersionBlock block = new(rest);
            if (block.Key.Length == 0) from.Fail();
            else from.Skip((ulong)(rest[0] | rest[1] << 8));
            from.Align(4);
            return block;
        }

        static string WideText(ref ByteCursor from)
        {
            StringBuilder text = new();
            while (!from.AtEnd && from.U16() is not 0 and var c) text.Append((char)c);
            return text.ToString();
        }
    }
}
