namespace Ringdown.Machine;

/// <summary>What is mapped at one page.</summary>
readonly record struct PageEntry(int Pfn, Protection Protection, IMmioDevice? Device, ulong DeviceOffset)
{
    /// <summary>Mapped, but no frame yet: the first touch gets a zeroed one.</summary>
    public const int DemandZero = 0;

    public bool IsMapped => Protection != Protection.None || Pfn != 0 || Device is not null;
}

/// <summary>The user half of one process. The kernel half is the same for all and belongs to <see
/// cref="Memory"/>.</summary>
public sealed class AddressSpace
{
    internal Dictionary<ulong, PageEntry> Pages { get; } = [];
}
