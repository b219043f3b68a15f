namespace Ringdown.Machine;

/// <summary>A PE32+ image read from the bytes of a file: a driver, or a library that drivers import.</summary>
/// <remarks>Pure data. The bytes may be anything: <see cref="Parse"/> refuses with a <see cref="BadImageException"/>
/// what cannot be loaded; what is read later (unwind data, version, debug data) is absent when it is
/// broken.</remarks>
public sealed partial class PeImage
{
    readonly PeDirectory[] _directories;
    readonly PeSection[] _sections;
    readonly byte[] _mappedBytes;
    readonly ImageBytes _mapped;

    PeImage(ReadOnlyMemory<byte> file)
    {
        File = file;
        ImageBytes bytes = new(file, "the file");
        ulong header = FindHeader(bytes);
        ulong optional = header + 24;
        int optionalSize = bytes.U16(header + 20, "the COFF header");
        Timestamp = bytes.U32(header + 8, "the COFF header");
        Characteristics = bytes.U16(header + 22, "the COFF header");
        CheckMachine(bytes.U16(header + 4, "the COFF header"), bytes.U16(optional, "the optional header"));
        if (optionalSize < 112)
            throw new BadImageException(
                $"The optional header has {optionalSize} bytes, a 64-bit image's has at least 112.");
        bytes.Span(optional, 112, "the optional header");
        EntryPointRva = bytes.U32(optional + 16, "");
        PreferredBase = bytes.U64(optional + 24, "");
        SectionAlignment = bytes.U32(optional + 32, "");
        FileAlignment = bytes.U32(optional + 36, "");
        SizeOfImage = bytes.U32(optional + 56, "");
        SizeOfHeaders = bytes.U32(optional + 60, "");
        StoredChecksum = bytes.U32(optional + 64, "");
        ChecksumOffset = (int)optional + 64;
        Subsystem = bytes.U16(optional + 68, "");
        DllCharacteristics = bytes.U16(optional + 70, "");
        CheckHeader(bytes.Length);
        _directories = ReadDirectories(bytes, optional, optionalSize);
        int count = bytes.U16(header + 6, "the COFF header");
        SymbolTableOffset = bytes.U32(header + 12, "the COFF header");
        SymbolCount = bytes.U32(header + 16, "the COFF header");
        ulong tableEnd = optional + (ulong)optionalSize + (ulong)count * 40;
        if (tableEnd > SizeOfHeaders)
            throw new BadImageException(
                $"The headers end at {tableEnd:X}, but say that they end at {SizeOfHeaders:X}.");
        _sections = ReadSections(bytes, optional + (ulong)optionalSize, count);
        _mappedBytes = Map(file.Span);
        _mapped = new ImageBytes(_mappedBytes, "the image");
        CheckDirectories(bytes.Length);
        Exports = ReadExports();
        Imports = ReadImports();
        _relocations = ReadRelocations();
    }

    /// <summary>Reads an image.</summary>
    /// <exception cref="BadImageException">The bytes are no image that the machine can load.</exception>
    public static PeImage Parse(ReadOnlyMemory<byte> file) => new(file);

    /// <summary>The bytes it was read from.</summary>
    public ReadOnlyMemory<byte> File { get; }

    /// <summary>The address that the image was linked for.</summary>
    public ulong PreferredBase { get; }

    /// <summary>Bytes in memory.</summary>
    public uint SizeOfImage { get; }
    public uint SizeOfHeaders { get; }
    public uint SectionAlignment { get; }
    public uint FileAlignment { get; }

    /// <summary>Where the image is entered; zero when it is not.</summary>
    public uint EntryPointRva { get; }

    /// <summary>Seconds since 1970, or a hash when the build is reproducible.</summary>
    public uint Timestamp { get; }
    public ushort Subsystem { get; }
    public ushort Characteristics { get; }
    public ushort DllCharacteristics { get; }

    /// <summary>The checksum that stands in the header; zero when none does.</summary>
    public uint StoredChecksum { get; }

    public bool IsDll => (Characteristics & 0x2000) != 0;

    /// <summary>IMAGE_DLLCHARACTERISTICS_WDM_DRIVER.</summary>
    public bool IsWdm => (DllCharacteristics & 0x2000) != 0;

    /// <summary>Linked for one address, and cannot be moved from it.</summary>
    public bool IsFixed => (Characteristics & 1) != 0;

    /// <summary>A signature is appended. Whether it is good is not looked at.</summary>
    public bool HasCertificate => Directory(PeDirectoryKind.Certificate).IsPresent;

    public IReadOnlyList<PeSection> Sections => _sections;

    internal int ChecksumOffset { get; }
    internal uint SymbolTableOffset { get; }
    internal uint SymbolCount { get; }
    internal ImageBytes Mapped => _mapped;

    public PeDirectory Directory(PeDirectoryKind kind) => _directories[(int)kind];

    /// <summary>The section that holds an RVA; null for the headers and for gaps.</summary>
    public PeSection? SectionAt(uint rva)
    {
        foreach (PeSection section in _sections)
            if (section.Contains(rva)) return section;
        return null;
    }

    public PeSection? FindSection(string name) => Array.Find(_sections, s => s.Name == name);

    /// <summary>The image as it is in memory at an address: sections in place, relocations applied, imports not
    /// bound.</summary>
    /// <exception cref="BadImageException">It is fixed to another address.</exception>
    public byte[] Layout(ulong actualBase)
    {
        byte[] image = (byte[])_mappedBytes.Clone();
        if (actualBase != PreferredBase) Relocate(image, actualBase);
        return image;
    }

    byte[] Map(ReadOnlySpan<byte> file)
    {
        byte[] image = new byte[SizeOfImage];
        file[..(int)SizeOfHeaders].CopyTo(image);
        foreach (PeSection section in _sections)
            file.Slice((int)section.RawOffset, (int)section.RawSize).CopyTo(image.AsSpan((int)section.Rva));
        return image;
    }
}
