using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>What a device may reach of memory by its adapter: common buffers, and what is mapped for it until it is
/// flushed. It counts where the computer has an IOMMU that is on.</summary>
/// <param name="chip">The device; null: nobody knows which one, and all may.</param>
sealed class DmaGrants(Iommu iommu, object? chip)
{
    /// <summary>A part of an MDL's memory, and where the device finds it.</summary>
    sealed record Piece(Va Registers, Va Mdl, Va Current, ulong Address, uint Length);

    readonly List<Piece> _mapped = [];

    /// <summary>Common buffers: where they begin, and their bytes.</summary>
    readonly SortedDictionary<ulong, ulong> _shared = [];

    public object? Chip => chip;

    public bool AreUsed => _shared.Count > 0 || _mapped.Count > 0;

    /// <summary>The last address of the highest common buffer; 0: there is none.</summary>
    public ulong HighestShared => _shared.Count == 0 ? 0 : _shared.Max(s => s.Key + s.Value - 1);

    public void Share(ulong address, ulong bytes)
    {
        _shared.Add(address, bytes);
        iommu.Grant(chip, address, bytes);
    }

    public void Unshare(ulong address, ulong bytes)
    {
        _shared.Remove(address);
        iommu.Revoke(chip, address, bytes);
    }

    public void Map(Va registers, Va mdl, Va current, ulong address, uint length)
    {
        _mapped.Add(new Piece(registers, mdl, current, address, length));
        iommu.Grant(chip, address, length);
    }

    /// <summary>What lies in a part of the MDL's memory is no longer mapped.</summary>
    public void Flush(Va registers, Va mdl, Va current, uint length) => Remove(p => p.Registers == registers
        && p.Mdl == mdl && p.Current < current + length && current < p.Current + p.Length);

    /// <summary>Nothing is mapped by these map registers any more.</summary>
    public void Give(Va registers) => Remove(p => p.Registers == registers);

    public void GiveAll() => Remove(_ => true);

    void Remove(Predicate<Piece> isGone)
    {
        foreach (Piece piece in _mapped.FindAll(isGone)) iommu.Revoke(chip, piece.Address, piece.Length);
        _mapped.RemoveAll(isGone);
    }
}
