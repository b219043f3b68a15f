using System.Buffers.Binary;
using System.Text;

namespace Ringdown.Machine;

/// <summary>A file that is no driver image, or a damaged one. The message says what is wrong with it.</summary>
public sealed class BadImageException(string message) : Exception(message);

/// <param name="FileOffset">Where its content starts in the file; <paramref name="FileSize"/> bytes of it, the rest is zero.</param>
public sealed record PeSection(
    string Name, uint Rva, uint VirtualSize, uint FileOffset, uint FileSize, uint Characteristics, Protection Protection);

/// <param name="Name">Null for an import by ordinal.</param>
/// <param name="AddressRva">Where the loader writes the address.</param>
public sealed record PeImport(string Module, string? Name, ushort Ordinal, uint AddressRva, bool Delayed);

/// <param name="Forwarder"><c>MODULE.Function</c> if another image has it; then there is no RVA.</param>
public sealed record PeExport(string? Name, uint Ordinal, uint Rva, string? Forwarder);

/// <summary>A directory of the optional header.</summary>
public readonly record struct PeDirectory(uint Rva, uint Size);

/// <summary>A PE32+ image for x64: what its headers say, checked, over the bytes of the file.</summary>
/// <remarks>The bytes may be anything: all that is wrong with them comes out as a <see cref="BadImageException"/>.</remarks>
public sealed partial class PeImage
{
    public const ushort SubsystemNative = 1;
    const int MaximumImage = 256 << 20;

    readonly byte[] _file;
    readonly int _headers;

    PeImage(byte[] file)
    {
        _file = file;
        _headers = FindHeaders();
        ReadHeaders();
        Sections = ReadSections();
        CheckSections();
        ExceptionDirectory = Directory(3, "exception");
        Imports = [.. ReadImports(), .. ReadDelayImports()];
        Exports = ReadExports();
        SecurityCookieRva = ReadCookie();
        CheckRelocations();
    }

    /// <exception cref="BadImageException">The bytes are not a native x64 image.</exception>
    public static PeImage Parse(byte[] file)
    {
        ArgumentNullException.ThrowIfNull(file);
        return new PeImage(file);
    }

    public ulong PreferredBase { get; private set; }
    public uint SizeOfImage { get; private set; }
    public uint SizeOfHeaders { get; private set; }
    public uint EntryPointRva { get; private set; }
    public uint TimeDateStamp { get; private set; }
    public ushort Characteristics { get; private set; }
    public ushort DllCharacteristics { get; private set; }
    public ushort Subsystem { get; private set; }
    public uint CheckSum { get; private set; }

    /// <summary>COFF symbols: the file offset of the table and how many records.</summary>
    public (uint Offset, uint Count) SymbolTable { get; private set; }
    public IReadOnlyList<PeSection> Sections { get; }
    public IReadOnlyList<PeImport> Imports { get; }
    public IReadOnlyList<PeExport> Exports { get; }

    /// <summary>.pdata: RUNTIME_FUNCTIONs in the order of their addresses.</summary>
    public PeDirectory ExceptionDirectory { get; }

    /// <summary>Where the load configuration says that the stack cookie lies.</summary>
    public uint? SecurityCookieRva { get; }

    public ReadOnlySpan<byte> File => _file;

    int FindHeaders()
    {
        if (_file.Length < 0x40) throw Bad($"The file has {_file.Length} bytes, too few for an image.");
        if (U16(0) != 0x5A4D) throw Bad("The file does not start with MZ: it is no Windows image.");
        uint at = U32(0x3C);
        if (at > _file.Length - 24 || U32((int)at) != 0x4550) throw Bad("There is no PE header where the MZ header says.");
        return (int)at;
    }

    void ReadHeaders()
    {
        ushort machine = U16(_headers + 4);
        if (machine != 0x8664)
        {
            string what = machine switch
            {
                0x14C => "32-bit x86",
                0xAA64 => "ARM64",
                0x1C4 => "32-bit ARM",
                0x200 => "Itanium",
                _ => $"a machine with the number 0x{machine:x}",
            };
            throw Bad($"The image is for {what}; Ringdown runs x64 drivers.");
        }
        TimeDateStamp = U32(_headers + 8);
        SymbolTable = (U32(_headers + 12), U32(_headers + 16));
        Characteristics = U16(_headers + 22);
        int optional = _headers + 24, size = U16(_headers + 20);
        if (size < 112 || optional + size > _file.Length) throw Bad("The optional header is cut off.");
        if (U16(optional) != 0x20B) throw Bad("The optional header is not that of a 64-bit image (PE32+).");
        EntryPointRva = U32(optional + 16);
        PreferredBase = U64(optional + 24);
        SizeOfImage = U32(optional + 56);
        SizeOfHeaders = U32(optional + 60);
        CheckSum = U32(optional + 64);
        Subsystem = U16(optional + 68);
        DllCharacteristics = U16(optional + 70);
        if (Subsystem != SubsystemNative)
            throw Bad($"The image's subsystem is {Subsystem}, not 1 (native): it is a program or a library, no driver.");
        if (SizeOfImage is 0 or > MaximumImage) throw Bad($"The image says that it takes {SizeOfImage} bytes in memory.");
        if (SizeOfHeaders > SizeOfImage || SizeOfHeaders > _file.Length) throw Bad("The headers do not fit into the image.");
        if (EntryPointRva >= SizeOfImage) throw Bad($"The entry point 0x{EntryPointRva:x} lies outside the image.");
    }

    PeSection[] ReadSections()
    {
        int count = U16(_headers + 6), table = _headers + 24 + U16(_headers + 20);
        if (count is 0 or > 96) throw Bad($"The image has {count} sections.");
        if (table + count * 40 > _file.Length) throw Bad("The section table is cut off.");
        var sections = new PeSection[count];
        for (int i = 0; i < count; i++)
        {
            int at = table + i * 40;
            uint flags = U32(at + 36), rawSize = U32(at + 16), virtualSize = U32(at + 8);
            if (virtualSize == 0) virtualSize = rawSize;
            sections[i] = new PeSection(SectionName(at), U32(at + 12), virtualSize, U32(at + 20), Math.Min(rawSize, virtualSize), flags,
                ProtectionOf(flags));
        }
        return sections;
    }

    // COFF: /123 names a string in the table behind the symbols.
    string SectionName(int at)
    {
        string name = Encoding.Latin1.GetString(_file.AsSpan(at, 8)).TrimEnd('\0');
        if (name.Length < 2 || name[0] != '/' || !int.TryParse(name[1..], out int offset)) return name;
        ulong start = SymbolTable.Offset + (ulong)SymbolTable.Count * 18 + (ulong)offset;
        return start < (ulong)_file.Length ? ZeroTerminated((int)start, 256) ?? name : name;
    }

    static Protection ProtectionOf(uint flags)
    {
        Protection protection = Protection.None;
        if ((flags & 0x4000_0000) != 0) protection |= Protection.Read;
        if ((flags & 0x8000_0000) != 0) protection |= Protection.ReadWrite;
        if ((flags & 0x2000_0000) != 0) protection |= Protection.ReadExecute;
        return protection;
    }

    void CheckSections()
    {
        ulong end = SizeOfHeaders;
        foreach (PeSection section in Sections)
        {
            if (section.Rva < end) throw Bad($"Section {section.Name} overlaps what is before it (0x{section.Rva:x}).");
            end = (ulong)section.Rva + section.VirtualSize;
            if (end > SizeOfImage) throw Bad($"Section {section.Name} ends at 0x{end:x}, behind the image's end.");
            if (section.FileSize > 0 && (ulong)section.FileOffset + section.FileSize > (ulong)_file.Length)
                throw Bad($"Section {section.Name} is cut off: the file ends before it.");
        }
    }

    PeDirectory Directory(int index, string name)
    {
        int optional = _headers + 24;
        uint count = U32(optional + 108);
        if (index >= count || 112 + index * 8 + 8 > U16(_headers + 20)) return default;
        var directory = new PeDirectory(U32(optional + 112 + index * 8), U32(optional + 116 + index * 8));
        if (directory.Rva == 0 || directory.Size == 0) return default;
        if ((ulong)directory.Rva + directory.Size > SizeOfImage) throw Bad($"The {name} directory lies outside the image.");
        return directory;
    }

    /// <summary>The image as it lies in memory at a base: sections in their places, relocations applied, imports not bound.</summary>
    public byte[] Layout(ulong actualBase)
    {
        byte[] image = new byte[(SizeOfImage + 0xFFF) & ~0xFFFu];
        _file.AsSpan(0, (int)SizeOfHeaders).CopyTo(image);
        foreach (PeSection section in Sections)
            if (section.FileSize > 0) _file.AsSpan((int)section.FileOffset, (int)section.FileSize).CopyTo(image.AsSpan((int)section.Rva));
        ulong delta = unchecked(actualBase - PreferredBase);
        foreach (uint rva in Relocations())
        {
            Span<byte> at = image.AsSpan((int)rva, 8);
            BinaryPrimitives.WriteUInt64LittleEndian(at, BinaryPrimitives.ReadUInt64LittleEndian(at) + delta);
        }
        BinaryPrimitives.WriteUInt64LittleEndian(image.AsSpan(_headers + 24 + 24), actualBase);
        return image;
    }

    /// <summary>The RVAs of 64-bit addresses that move with the image.</summary>
    public IEnumerable<uint> Relocations()
    {
        PeDirectory directory = Directory(5, "relocation");
        for (uint at = 0; at + 8 <= directory.Size;)
        {
            uint page = Rva32(directory.Rva + at), size = Rva32(directory.Rva + at + 4);
            if (size < 8 || at + size > directory.Size) throw Bad($"The relocation block at 0x{directory.Rva + at:x} has a wrong size.");
            for (uint entry = 8; entry + 2 <= size; entry += 2)
            {
                ushort value = Rva16(directory.Rva + at + entry);
                int type = value >> 12;
                if (type == 0) continue;
                if (type != 10) throw Bad($"A relocation of type {type} is not one of x64.");
                uint rva = page + (value & 0xFFFu);
                if ((ulong)rva + 8 > SizeOfImage) throw Bad($"A relocation at 0x{rva:x} lies outside the image.");
                yield return rva;
            }
            at += size;
        }
    }

    void CheckRelocations()
    {
        foreach (uint _ in Relocations())
        {
        }
    }

    /// <summary>Bytes of the image by RVA, from the file; what the file does not hold is zero.</summary>
    public ReadOnlySpan<byte> At(uint rva, int count)
    {
        if ((ulong)rva + (ulong)count > SizeOfImage) throw Bad($"0x{rva:x} lies outside the image.");
        if (rva + count <= SizeOfHeaders) return _file.AsSpan((int)rva, count);
        foreach (PeSection section in Sections)
        {
            if (rva < section.Rva || rva >= section.Rva + section.VirtualSize) continue;
            uint offset = rva - section.Rva;
            if (offset + count <= section.FileSize) return _file.AsSpan((int)(section.FileOffset + offset), count);
            byte[] part = new byte[count];
            if (offset < section.FileSize)
                _file.AsSpan((int)(section.FileOffset + offset), (int)(section.FileSize - offset)).CopyTo(part);
            return part;
        }
        return new byte[count];
    }

    static BadImageException Bad(string message) => new(message);

    ushort U16(int at) => BinaryPrimitives.ReadUInt16LittleEndian(_file.AsSpan(at));
    uint U32(int at) => BinaryPrimitives.ReadUInt32LittleEndian(_file.AsSpan(at));
    ulong U64(int at) => BinaryPrimitives.ReadUInt64LittleEndian(_file.AsSpan(at));
    ushort Rva16(uint rva) => BinaryPrimitives.ReadUInt16LittleEndian(At(rva, 2));
    uint Rva32(uint rva) => BinaryPrimitives.ReadUInt32LittleEndian(At(rva, 4));
    ulong Rva64(uint rva) => BinaryPrimitives.ReadUInt64LittleEndian(At(rva, 8));

    string? ZeroTerminated(int offset, int maximum)
    {
        ReadOnlySpan<byte> text = _file.AsSpan(offset, Math.Min(maximum, _file.Length - offset));
        int end = text.IndexOf((byte)0);
        return end < 0 ? null : Encoding.Latin1.GetString(text[..end]);
    }
}
