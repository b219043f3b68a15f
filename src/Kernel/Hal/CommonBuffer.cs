using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>Memory in one piece that a driver and its device use at the same time. A page before it and one behind it
/// are nobody's: the processor cannot touch them, and what a device has written there is seen.</summary>
sealed class CommonBuffer
{
    const byte Filler = 0x0F;
    const ulong MostBytes = 1UL << 30;
    const ulong Tag = 0x3079_6672_5661_6D44;        // 'DmaVrfy0'

    readonly NtKernel _nt;
    readonly DmaGrants _grants;
    readonly Va _block;
    readonly bool _hasGuards;

    CommonBuffer(NtKernel nt, DmaGrants grants, Va block, ulong bytes, bool hasGuards)
    {
        (_nt, _grants, _block, _hasGuards, Bytes) = (nt, grants, block, hasGuards, bytes);
        Start = hasGuards ? block + Va.PageSize : block;
        Physical = nt.Mm.MmGetPhysicalAddress(Start);
        grants.Share(Physical, Bytes);
    }

    public Va Start { get; }
    public ulong Physical { get; }
    public ulong Bytes { get; }

    // From its end to that of its last page.
    ulong Padding => PagedBytes(Bytes) - Bytes;

    /// <summary>Memory that the device of an adapter reaches, between two addresses; null if there is none.</summary>
    /// <param name="isGuarded">With a page before it and one behind it, if there is room for them.</param>
    public static CommonBuffer? Make(
        NtKernel nt, DmaAdapter adapter, ulong bytes, ulong lowest, ulong highest, bool isGuarded = true)
    {
        if (bytes is 0 or > MostBytes) return null;
        highest = Math.Min(highest, adapter.Reach.Highest);
        // What a slave's channel counts through must lie as it can count: there is no room for pages around it.
        ulong boundary = adapter.Channel?.Boundary ?? 0;
        foreach (bool hasGuards in (ReadOnlySpan<bool>)[isGuarded && boundary == 0, false])
        {
            ulong all = hasGuards ? PagedBytes(bytes) + 2 * Va.PageSize : bytes;
            Va block = nt.Mm.MmAllocateContiguousMemorySpecifyCache(
                all, lowest, highest, boundary, CacheTypes.MmCached);
            if (block.IsNull) continue;
            var made = new CommonBuffer(nt, adapter.Grants, block, bytes, hasGuards);
            made.SetGuards();
            return made;
        }
        return null;
    }

    static ulong PagedBytes(ulong bytes) => bytes + Va.PageSize - 1 & ~(Va.PageSize - 1UL);

    void SetGuards()
    {
        _nt.Memory.Fill(Start + Bytes, Padding, Filler);
        if (!_hasGuards) return;
        foreach (Va guard in (ReadOnlySpan<Va>)[_block, Start + PagedBytes(Bytes)])
        {
            for (int i = 0; i < Va.PageSize; i += 8) _nt.Memory.Write(guard + i, Tag);
            _nt.Memory.Protect(guard, Va.PageSize, Protection.None);
        }
    }

    /// <summary>What was written where nobody may write.</summary>
    public DmaHarm FindHarm()
    {
        if (_hasGuards && !IsWhole(Physical - Va.PageSize)) return DmaHarm.Before;
        if (_hasGuards && !IsWhole(Physical + PagedBytes(Bytes))) return DmaHarm.Behind;
        Span<byte> padding = stackalloc byte[(int)Padding];
        return !_nt.Memory.TryReadPhysical(Physical + Bytes, padding) || padding.IndexOfAnyExcept(Filler) < 0
            ? DmaHarm.None : DmaHarm.Padding;
    }

    bool IsWhole(ulong physical)
    {
        Span<byte> page = stackalloc byte[Va.PageSize];
        return !_nt.Memory.TryReadPhysical(physical, page)
            || System.Runtime.InteropServices.MemoryMarshal.Cast<byte, ulong>(page).IndexOfAnyExcept(Tag) < 0;
    }

    /// <summary>Gives the memory back; who waits for some does not hear of it.</summary>
    public void Free()
    {
        _grants.Unshare(Physical, Bytes);
        _nt.Mm.FreeContiguous(_block);
    }
}
