using System.Buffers.Binary;
using System.Text;

namespace Ringdown.Machine;

/// <summary>A function's name and where it starts.</summary>
public readonly record struct Symbol(string Name, uint Rva);

/// <summary>A line of source code.</summary>
/// <param name="File">The file's name without its folder.</param>
/// <param name="Line">Counted from one.</param>
public sealed record SourceLine(string File, int Line);

/// <summary>Names of an image's code, from its .pdb, COFF symbols, exports and .pdata, and its lines, from DWARF and
/// the .pdb; each read at the first question.</summary>
/// <remarks>Broken symbols are no symbols, and so is the .pdb of another build: nothing here throws.</remarks>
public sealed class Symbols
{
    public static readonly Symbols None = new(null, null);

    readonly PeImage? _image;
    readonly Lazy<Symbol[]> _functions;
    readonly Lazy<LineTable?> _lines;
    readonly Lazy<PdbReader?> _pdb;

    public Symbols(PeImage? image, byte[]? pdb)
    {
        _image = image;
        Pdb = pdb;
        _functions = new Lazy<Symbol[]>(Read);
        _lines = new Lazy<LineTable?>(ReadLines);
        _pdb = new Lazy<PdbReader?>(OpenPdb);
    }

    /// <summary>The bytes of the .pdb beside the image.</summary>
    public byte[]? Pdb { get; }

    /// <summary>The .pdb was made with the image, and is read.</summary>
    public bool HasPdb => _pdb.Value is not null;

    /// <summary>The function that an RVA is in: the last one that starts at or before it, in the same
    /// section.</summary>
    public Symbol? FunctionAt(uint rva)
    {
        if (_image?.SectionAt(rva) is not { IsExecutable: true } section) return null;
        Symbol[] all = _functions.Value;
        int low = 0, high = all.Length;
        while (low < high)
        {
            int middle = (low + high) / 2;
            if (all[middle].Rva <= rva) low = middle + 1;
            else high = middle;
        }
        return low > 0 && section.Contains(all[low - 1].Rva) ? all[low - 1] : null;
    }

    /// <summary>The source line of an RVA; null when nothing tells it, or when the code there is of no line.</summary>
    public SourceLine? LineAt(uint rva) => _lines.Value?.Find(rva);

    PdbReader? OpenPdb()
    {
        if (Pdb is null || _image?.CodeView is not { } wanted || PdbReader.Open(Pdb) is not { } pdb) return null;
        return pdb.Guid == wanted.Guid && pdb.Age == wanted.Age ? pdb : null;
    }

    LineTable? ReadLines()
    {
        if (_image is null) return null;
        LineTable.Builder lines = new(_image);
        DwarfLines.Read(_image, lines);
        _pdb.Value?.AddLines(lines);
        return lines.Build();
    }

    Symbol[] Read()
    {
        if (_image is null) return [];
        // The best source is added last and so replaces what is at the same address.
        Dictionary<uint, string> names = [];
        foreach (uint start in FunctionStarts(_image)) names[start] = $"sub_{start:x}";
        foreach (PeExport export in _image.Exports)
            if (export is { Name: { } name, Forwarder: null }) names[export.Rva] = name;
        AddCoff(_image, names);
        _pdb.Value?.AddFunctions(_image, names);
        Symbol[] all = new Symbol[names.Count];
        int i = 0;
        foreach ((uint rva, string name) in names) all[i++] = new Symbol(name, rva);
        Array.Sort(all, static (a, b) => a.Rva.CompareTo(b.Rva));
        return all;
    }

    static IEnumerable<uint> FunctionStarts(PeImage image)
    {
        PeDirectory table = image.Directory(PeDirectoryKind.Exception);
        for (uint i = 0; i + 12 <= table.Size; i += 12)
            if (image.Mapped.Has((ulong)table.Rva + i, 12)) yield return image.Mapped.U32((ulong)table.Rva + i, "");
    }

    static void AddCoff(PeImage image, Dictionary<uint, string> names)
    {
        ImageBytes file = new(image.File, "the file");
        ulong strings = image.SymbolTableOffset + image.SymbolCount * 18UL;
        if (image.SymbolTableOffset == 0 || !file.Has(image.SymbolTableOffset, image.SymbolCount * 18UL)) return;
        for (uint i = 0; i < image.SymbolCount; i++)
        {
            ReadOnlySpan<byte> entry = file.Span(image.SymbolTableOffset + i * 18UL, 18, "");
            i += entry[17];
            int section = BinaryPrimitives.ReadInt16LittleEndian(entry[12..]) - 1;
            bool isFunction = BinaryPrimitives.ReadUInt16LittleEndian(entry[14..]) >> 4 == 2;
            if (!isFunction || section < 0 || section >= image.Sections.Count) continue;
            uint offset = BinaryPrimitives.ReadUInt32LittleEndian(entry[8..]);
            if (Name(file, entry, strings) is { Length: > 0 } name && offset < image.Sections[section].VirtualSize)
                names[image.Sections[section].Rva + offset] = name;
        }
    }

    static string? Name(ImageBytes file, ReadOnlySpan<byte> entry, ulong strings)
    {
        ReadOnlySpan<byte> text = entry[..8];
        if (BinaryPrimitives.ReadUInt32LittleEndian(entry) == 0)
        {
            ulong at = strings + BinaryPrimitives.ReadUInt32LittleEndian(entry[4..]);
            if (!file.Has(at, 1)) return null;
            text = file.All[(int)at..];
            if (text.Length > 512) text = text[..512];
        }
        int end = text.IndexOf((byte)0);
        return Encoding.Latin1.GetString(end < 0 ? text : text[..end]);
    }
}
