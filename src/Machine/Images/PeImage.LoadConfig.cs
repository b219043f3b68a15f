namespace Ringdown.Machine;

/// <summary>What a compiler tells the loader. An RVA is zero when there is none or it lies outside the image.</summary>
/// <param name="SecurityCookieRva">The eight bytes that the loader fills, with which functions guard their
/// stacks.</param>
/// <param name="GuardFlags">IMAGE_GUARD_*.</param>
/// <param name="GuardCheckPointerRva">The pointer to the function that checks a target of an indirect call.</param>
/// <param name="GuardDispatchPointerRva">The pointer to the function that checks it and jumps there.</param>
public sealed record LoadConfig(
    uint SecurityCookieRva, uint GuardFlags, uint GuardCheckPointerRva, uint GuardDispatchPointerRva);

public sealed partial class PeImage
{
    /// <summary>The load configuration; null when there is none or it lies outside the image.</summary>
    public LoadConfig? LoadConfig
    {
        get
        {
            PeDirectory directory = Directory(PeDirectoryKind.LoadConfig);
            if (!directory.IsPresent || !_mapped.Has(directory.Rva, 4)) return null;
            // The directory's size was a constant for long; the true one stands in the structure.
            uint size = _mapped.U32(directory.Rva, "");
            if (!_mapped.Has(directory.Rva, size)) return null;
            return new LoadConfig(
                PointerAt(directory.Rva, 0x58, size), 0x94 <= size ? _mapped.U32(directory.Rva + 0x90UL, "") : 0,
                PointerAt(directory.Rva, 0x70, size), PointerAt(directory.Rva, 0x78, size));
        }
    }

    /// <summary>The RVA of the eight bytes that a field points to; zero past the structure's end and for wild
    /// pointers.</summary>
    uint PointerAt(uint start, uint field, uint size)
    {
        if (field + 8 > size) return 0;
        ulong rva = unchecked(_mapped.U64(start + (ulong)field, "") - PreferredBase);
        return _mapped.Has(rva, 8) ? (uint)rva : 0;
    }
}
