using System.Buffers.Binary;

namespace Ringdown.Machine;

public sealed partial class PeImage
{
    // The largest drivers that are sold have some 100 MiB; what claims more is a broken file, not memory to be
    // reserved.
    const uint LargestImage = 256 << 20;
    const int MostSections = 96;
    const ushort Native = 1;

    /// <summary>The checksum that the header should have: the file's 16-bit words with carry, plus its
    /// length.</summary>
    public uint ComputeChecksum()
    {
        ReadOnlySpan<byte> file = File.Span;
        uint sum = 0;
        for (int i = 0; i < file.Length; i += 2)
        {
            if (i == (ChecksumOffset & ~1) || i == (ChecksumOffset & ~1) + 2) continue;
            uint word = i + 1 < file.Length ? BinaryPrimitives.ReadUInt16LittleEndian(file[i..]) : file[i];
            sum += word;
            sum = (sum & 0xFFFF) + (sum >> 16);
        }
        return ((sum & 0xFFFF) + (sum >> 16)) + (uint)file.Length;
    }

    static ulong FindHeader(ImageBytes bytes)
    {
        if (bytes.Length < 2 || bytes.U16(0, "") != 0x5A4D)
            throw new BadImageException("This is not an image: it does not begin with \"MZ\".");
        uint header = bytes.U32(0x3C, "the DOS header");
        if (bytes.U32(header, "the PE header") != 0x4550)
            throw new BadImageException($"This is not an image: there is no \"PE\" at {header:X}.");
        bytes.Span(header, 24, "the COFF header");
        return header;
    }

    static void CheckMachine(ushort machine, ushort magic)
    {
        string? other = machine switch
        {
            0x8664 => null,
            0x014C => "a 32-bit x86 image",
            0xAA64 => "an ARM64 image",
            0x01C0 or 0x01C4 => "a 32-bit ARM image",
            0x0200 => "an Itanium image",
            _ => $"an image for machine {machine:X4}",
        };
        if (other is not null) throw new BadImageException($"This is {other}; only x64 images can be loaded.");
        if (magic != 0x20B) throw new BadImageException($"The optional header has magic {magic:X}, not 20B (PE32+).");
    }

    void CheckHeader(int fileLength)
    {
        if (Subsystem != Native)
            throw new BadImageException($"The image's subsystem is {SubsystemName()}, a driver's is native (1).");
        if (!IsPowerOfTwo(SectionAlignment) || !IsPowerOfTwo(FileAlignment) || SectionAlignment < FileAlignment)
            throw new BadImageException(
                $"The alignments are wrong: {SectionAlignment:X} in memory, {FileAlignment:X} in the file.");
        if (SizeOfImage is 0 or > LargestImage)
            throw new BadImageException($"The image claims to have {SizeOfImage:X} bytes.");
        if (SizeOfHeaders > fileLength)
            throw new BadImageException(
                $"The file is truncated: its headers end at {SizeOfHeaders:X}, it at {fileLength:X}.");
        if (SizeOfHeaders > SizeOfImage)
            throw new BadImageException(
                $"The headers end at {SizeOfHeaders:X}, past the image's end at {SizeOfImage:X}.");
        if (EntryPointRva >= SizeOfImage)
            throw new BadImageException(
                $"The entry point {EntryPointRva:X} lies past the image's end at {SizeOfImage:X}.");
        if ((PreferredBase & 0xFFFF) != 0)
            throw new BadImageException($"The image's base {PreferredBase:X} is not a multiple of 64 KiB.");
    }

    string SubsystemName() => Subsystem switch
    {
        2 => "Windows GUI (2)",
        3 => "Windows console (3)",
        10 or 11 or 12 or 13 => $"EFI ({Subsystem})",
        16 => "boot application (16)",
        _ => $"{Subsystem}",
    };

    static bool IsPowerOfTwo(uint n) => n != 0 && (n & (n - 1)) == 0;

    static PeDirectory[] ReadDirectories(ImageBytes bytes, ulong optional, int optionalSize)
    {
        PeDirectory[] all = new PeDirectory[16];
        uint count = Math.Min(bytes.U32(optional + 108, "the optional header"), 16);
        if (112 + count * 8 > optionalSize)
            throw new BadImageException(
                $"The optional header of {optionalSize} bytes has no room for {count} directories.");
        for (uint i = 0; i < count; i++)
        {
            ulong at = optional + 112 + i * 8;
            all[i] = new PeDirectory(bytes.U32(at, "a directory"), bytes.U32(at + 4, "a directory"));
        }
        return all;
    }

    PeSection[] ReadSections(ImageBytes bytes, ulong table, int count)
    {
        if (count is 0 or > MostSections) throw new BadImageException($"The image has {count} sections.");
        PeSection[] sections = new PeSection[count];
        uint end = 0;
        for (int i = 0; i < count; i++)
        {
            PeSection section = ReadSection(bytes, table + (ulong)i * 40, i);
            if (section.Rva < end)
                throw new BadImageException(
                    $"The sections overlap: {section.Name} begins at {section.Rva:X}, "
                    + $"what is before it ends at {end:X}.");
            end = section.Rva + section.VirtualSize;
            sections[i] = section;
        }
        return sections;
    }

    PeSection ReadSection(ImageBytes bytes, ulong at, int index)
    {
        ReadOnlySpan<byte> entry = bytes.Span(at, 40, $"the header of section {index}");
        uint Field(ReadOnlySpan<byte> e, int offset) => BinaryPrimitives.ReadUInt32LittleEndian(e[offset..]);
        string name = SectionName(bytes, entry[..8]);
        uint virtualSize = Field(entry, 8), rva = Field(entry, 12), rawSize = Field(entry, 16), raw = Field(entry, 20);
        if (virtualSize == 0) virtualSize = rawSize;
        if (rva < SizeOfHeaders && SectionAlignment >= 0x1000)
            throw new BadImageException(
                $"Section {name} at {rva:X} overlaps the headers, which end at {SizeOfHeaders:X}.");
        if ((rva & (SectionAlignment - 1)) != 0)
            throw new BadImageException($"Section {name} at {rva:X} is not aligned to {SectionAlignment:X}.");
        if (rva > SizeOfImage || virtualSize > SizeOfImage - rva)
            throw new BadImageException(
                $"Section {name} at {rva:X} with {virtualSize:X} bytes passes the image's end at {SizeOfImage:X}.");
        // A section without bytes in the file often has a wild pointer to them.
        if (rawSize == 0) raw = 0;
        if (!bytes.Has(raw, Math.Min(rawSize, virtualSize)))
            throw new BadImageException(
                $"The file is truncated: section {name} has {rawSize:X} bytes at {raw:X}, "
                + $"the file ends at {bytes.Length:X}.");
        return new PeSection(name, rva, virtualSize, raw, Math.Min(rawSize, virtualSize), Field(entry, 36));
    }

    /// <summary>Eight characters, or "/n": the text at n of the COFF string table, behind the symbols.</summary>
    string SectionName(ImageBytes bytes, ReadOnlySpan<byte> name)
    {
        int end = name.IndexOf((byte)0);
        string text = System.Text.Encoding.Latin1.GetString(end < 0 ? name : name[..end]);
        if (text.Length < 2 || text[0] != '/' || SymbolTableOffset == 0) return text;
        if (!uint.TryParse(text.AsSpan(1), out uint offset)) return text;
        ulong at = SymbolTableOffset + (ulong)SymbolCount * 18 + offset;
        return bytes.Has(at, 1) && bytes.All[(int)at..].IndexOf((byte)0) is > 0 and < 256 ? bytes.Text(at, "") : text;
    }

    void CheckDirectories(int fileLength)
    {
        for (int i = 0; i < _directories.Length; i++)
        {
            PeDirectory d = _directories[i];
            if (!d.IsPresent) continue;
            PeDirectoryKind kind = (PeDirectoryKind)i;
            // The certificate is not mapped; signed drivers that lost its end are still run.
            uint limit = kind == PeDirectoryKind.Certificate ? (uint)fileLength : SizeOfImage;
            if (kind is PeDirectoryKind.GlobalPointer or PeDirectoryKind.Architecture or PeDirectoryKind.Reserved)
                continue;
            if (d.Rva >= limit || d.Size > limit - d.Rva)
                throw new BadImageException(
                    $"The {kind} directory is wild: {d.Size:X} bytes at {d.Rva:X}, the end is at {limit:X}.");
        }
    }
}
