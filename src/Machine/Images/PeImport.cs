namespace Ringdown.Machine;

/// <summary>What an image wants of another: a function of a library, by name or by ordinal.</summary>
/// <param name="Name">Null when it is imported by ordinal.</param>
/// <param name="Ordinal">Zero when it is imported by name.</param>
/// <param name="SlotRva">The eight bytes of the import address table that take the function's address.</param>
/// <param name="IsDelayed">Bound at the first call, not at load.</param>
public sealed record PeImport(string Library, string? Name, ushort Ordinal, ushort Hint, uint SlotRva, bool IsDelayed)
{
    public override string ToString() => $"{Library}!{Name ?? $"#{Ordinal}"}";
}

/// <summary>What an image gives to others.</summary>
/// <param name="Name">Null when it has only an ordinal.</param>
/// <param name="Rva">Where it is. For a forwarder, where the forwarder's text is.</param>
/// <param name="Forwarder">"library.function" when the real one is elsewhere.</param>
public sealed record PeExport(string? Name, uint Ordinal, uint Rva, string? Forwarder);
