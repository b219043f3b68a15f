using System.Buffers.Binary;

namespace Ringdown.Machine;

public sealed partial class PeImage
{
    const int MostImports = 65536, MostExports = 65536;

    readonly uint[] _relocations;
    Dictionary<string, PeExport>? _exportsByName;
    Dictionary<uint, PeExport>? _exportsByOrdinal;

    /// <summary>What the image imports, in the order of its tables; delayed imports last.</summary>
    public IReadOnlyList<PeImport> Imports { get; }

    /// <summary>What the image exports, by ordinal; a function with two names stands there twice.</summary>
    public IReadOnlyList<PeExport> Exports { get; }

    /// <summary>The name in the export directory; null without one.</summary>
    public string? ExportName { get; private set; }

    /// <summary>The RVAs of the 64-bit addresses that move with the image.</summary>
    public IReadOnlyList<uint> Relocations => _relocations;

    public PeExport? FindExport(string name)
    {
        if (_exportsByName is null)
        {
            Dictionary<string, PeExport> map = new(Exports.Count, StringComparer.Ordinal);
            foreach (PeExport export in Exports)
                if (export.Name is not null) map.TryAdd(export.Name, export);
            _exportsByName = map;
        }
        return _exportsByName.GetValueOrDefault(name);
    }

    public PeExport? FindExport(uint ordinal)
    {
        if (_exportsByOrdinal is null)
        {
            Dictionary<uint, PeExport> map = new(Exports.Count);
            foreach (PeExport export in Exports) map.TryAdd(export.Ordinal, export);
            _exportsByOrdinal = map;
        }
        return _exportsByOrdinal.GetValueOrDefault(ordinal);
    }

    PeImport[] ReadImports()
    {
        List<PeImport> imports = [];
        PeDirectory table = Directory(PeDirectoryKind.Import);
        if (table.IsPresent)
            for (ulong at = table.Rva; ; at += 20)
            {
                string what = "the import table, which is not terminated,";
                uint names = _mapped.U32(at, what), library = _mapped.U32(at + 12, what);
                uint slots = _mapped.U32(at + 16, what);
                if (library == 0 || slots == 0) break;
                // Old linkers leave the table of names empty: the slots hold the names until they are bound.
                ReadThunks(imports, library, names == 0 ? slots : names, slots, false);
            }
        PeDirectory delayed = Directory(PeDirectoryKind.DelayImport);
        if (delayed.IsPresent)
            for (ulong at = delayed.Rva; ; at += 32)
            {
                string what = "the table of delayed imports, which is not terminated,";
                uint library = _mapped.U32(at + 4, what), slots = _mapped.U32(at + 12, what);
                if (library == 0 || slots == 0) break;
                ReadThunks(imports, library, _mapped.U32(at + 16, what), slots, true);
            }
        return [.. imports];
    }

    void ReadThunks(List<PeImport> imports, uint libraryRva, uint names, uint slots, bool delayed)
    {
        string library = _mapped.Text(libraryRva, "the name of an imported library", 256);
        string what = $"the import table of {library}, which is not terminated,";
        for (ulong i = 0; ; i += 8)
        {
            ulong thunk = _mapped.U64(names + i, what);
            if (thunk == 0) return;
            if (imports.Count == MostImports)
                throw new BadImageException($"The import table is not terminated after {MostImports} functions.");
            uint slot = (uint)(slots + i);
            if (!_mapped.Has(slots + i, 8))
                throw new BadImageException(
                    $"An import of {library} has its slot at {slots + i:X}, outside the image.");
            if (thunk >> 63 != 0)
            {
                imports.Add(new PeImport(library, null, (ushort)thunk, 0, slot, delayed));
                continue;
            }
            uint at = (uint)thunk & 0x7FFF_FFFF;
            ushort hint = _mapped.U16(at, $"the name of a function imported from {library}");
            string name = _mapped.Text((ulong)at + 2, $"the name of a function imported from {library}");
            imports.Add(new PeImport(library, name, 0, hint, slot, delayed));
        }
    }

    PeExport[] ReadExports()
    {
        PeDirectory directory = Directory(PeDirectoryKind.Export);
        if (!directory.IsPresent) return [];
        const string What = "the export directory";
        ulong at = directory.Rva;
        _mapped.Span(at, 40, What);
        uint nameRva = _mapped.U32(at + 12, What), first = _mapped.U32(at + 16, What);
        uint functionCount = _mapped.U32(at + 20, What), nameCount = _mapped.U32(at + 24, What);
        uint functions = _mapped.U32(at + 28, What), names = _mapped.U32(at + 32, What);
        uint ordinals = _mapped.U32(at + 36, What);
        if (nameRva != 0) ExportName = _mapped.Text(nameRva, "the image's name in the export directory", 256);
        if (functionCount > MostExports || nameCount > MostExports)
            throw new BadImageException(
                $"The export directory claims {functionCount} functions and {nameCount} names.");
        _mapped.Span(functions, functionCount * 4UL, "the table of exported functions");
        _mapped.Span(names, nameCount * 4UL, "the table of exported names");
        _mapped.Span(ordinals, nameCount * 2UL, "the table of exported ordinals");
        List<PeExport> exports = new((int)Math.Max(functionCount, nameCount));
        bool[] named = new bool[functionCount];
        for (uint i = 0; i < nameCount; i++)
        {
            ushort index = _mapped.U16(ordinals + i * 2UL, What);
            if (index >= functionCount)
                throw new BadImageException($"Exported name {i} is for function {index} of {functionCount}.");
            named[index] = true;
            string name = _mapped.Text(_mapped.U32(names + i * 4UL, What), "an exported name");
            exports.Add(ReadExport(name, first + index, _mapped.U32(functions + index * 4UL, What), directory));
        }
        for (uint i = 0; i < functionCount; i++)
        {
            uint rva = _mapped.U32(functions + i * 4UL, What);
            if (!named[i] && rva != 0) exports.Add(ReadExport(null, first + i, rva, directory));
        }
        PeExport[] result = [.. exports];
        Array.Sort(result, static (a, b) => a.Ordinal != b.Ordinal
            ? a.Ordinal.CompareTo(b.Ordinal)
            : string.CompareOrdinal(a.Name, b.Name));
        return result;
    }

    PeExport ReadExport(string? name, uint ordinal, uint rva, PeDirectory directory)
    {
        if (rva >= SizeOfImage)
            throw new BadImageException(
                $"Export {name ?? $"#{ordinal}"} is at {rva:X}, past the end at {SizeOfImage:X}.");
        // What points into the export directory itself is text: the function's real place.
        bool forwards = rva >= directory.Rva && rva - directory.Rva < directory.Size;
        return new PeExport(name, ordinal, rva, forwards ? _mapped.Text(rva, "a forwarder", 512) : null);
    }

    uint[] ReadRelocations()
    {
        PeDirectory directory = Directory(PeDirectoryKind.BaseRelocation);
        if (!directory.IsPresent) return [];
        List<uint> all = [];
        ulong at = directory.Rva, end = at + directory.Size;
        while (at + 8 <= end)
        {
            uint page = _mapped.U32(at, "a block of relocations"), size = _mapped.U32(at + 4, "a block of relocations");
            if (size == 0 && page == 0) break;
            if (size < 8 || size > end - at)
                throw new BadImageException($"The block of relocations at {at:X} claims {size:X} bytes.");
            for (ulong entry = at + 8; entry + 2 <= at + size; entry += 2)
            {
                ushort value = _mapped.U16(entry, "a relocation");
                int type = value >> 12;
                ulong rva = page + (ulong)(value & 0xFFF);
                if (type == 0) continue;
                if (type != 10)
                    throw new BadImageException(
                        $"The relocation at {entry:X} has type {type}; an x64 image has only 10.");
                if (!_mapped.Has(rva, 8))
                    throw new BadImageException($"The relocation at {entry:X} is for {rva:X}, outside the image.");
                all.Add((uint)rva);
            }
            at += size;
        }
        return [.. all];
    }

    void Relocate(byte[] image, ulong actualBase)
    {
        if (IsFixed)
            throw new BadImageException($"The image can be loaded only at {PreferredBase:X}: it has no relocations.");
        ulong delta = unchecked(actualBase - PreferredBase);
        foreach (uint rva in _relocations)
        {
            Span<byte> slot = image.AsSpan((int)rva, 8);
            ulong address = BinaryPrimitives.ReadUInt64LittleEndian(slot);
            BinaryPrimitives.WriteUInt64LittleEndian(slot, unchecked(address + delta));
        }
        // The header says where the image is; NT writes that too.
        uint header = BinaryPrimitives.ReadUInt32LittleEndian(image.AsSpan(0x3C));
        if (_mapped.Has(header + 48UL, 8))
            BinaryPrimitives.WriteUInt64LittleEndian(image.AsSpan((int)header + 48), actualBase);
    }
}
