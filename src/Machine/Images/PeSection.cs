namespace Ringdown.Machine;

/// <summary>A section of an image: where it is in the file and in memory, and what may be done with it.</summary>
/// <param name="Rva">Where it begins, from the start of the image.</param>
/// <param name="VirtualSize">Bytes in memory. What the file does not fill is zero.</param>
/// <param name="RawOffset">Where its bytes begin in the file.</param>
/// <param name="RawSize">Bytes of it in the file that reach memory; more than these are padding.</param>
/// <param name="Characteristics">IMAGE_SCN_* flags as they stand in the file.</param>
public sealed record PeSection(
    string Name, uint Rva, uint VirtualSize, uint RawOffset, uint RawSize, uint Characteristics)
{
    public bool IsExecutable => (Characteristics & 0x2000_0000) != 0;
    public bool IsReadable => (Characteristics & 0x4000_0000) != 0;
    public bool IsWritable => (Characteristics & 0x8000_0000) != 0;

    /// <summary>The memory is given back after DriverEntry.</summary>
    public bool IsDiscardable => (Characteristics & 0x0200_0000) != 0;

    public bool IsCode => (Characteristics & 0x20) != 0;

    /// <summary>NT pages out what stands in sections with names that begin with PAGE.</summary>
    public bool IsPageable => Name.StartsWith("PAGE", StringComparison.Ordinal);

    /// <summary>What may be done with its pages. Writable code is readable too, as the processor cannot do
    /// otherwise.</summary>
    public Protection Protection =>
        (IsReadable ? Protection.Read : 0) | (IsWritable ? Protection.ReadWrite : 0)
        | (IsExecutable ? Protection.ReadExecute : 0);

    public bool Contains(uint rva) => rva >= Rva && rva - Rva < VirtualSize;
}
