using System.Runtime.InteropServices;

namespace Ringdown.Tests;

/// <summary>What each sector of a disk may hold: the number of the write that it had last. One that was written and not
/// flushed, or whose write has failed, may be old or new, and never anything else.</summary>
/// <remarks>Writes of the same sector are never under way at the same time.</remarks>
sealed class DiskContents(long sectors)
{
    public const int SectorBytes = 512;

    // Now: what a read may find. Kept: what may be there when the drive has lost its power; it contains the others.
    sealed class Unsure(uint certain)
    {
        public List<uint> Now { get; set; } = [certain];
        public List<uint> Kept { get; set; } = [certain];
        public bool IsWritten { get; set; }
    }

    readonly uint[] _certain = new uint[sectors];
    readonly Dictionary<long, Unsure> _unsure = [];

    // Those of them whose Now and Kept may differ.
    readonly HashSet<long> _changed = [];
    uint _writes;

    public long Sectors { get; } = sectors;

    /// <summary>A write begins; gives its number.</summary>
    public uint Begin(long sector, long count)
    {
        _writes++;
        for (long i = sector; i < sector + count; i++)
        {
            ref Unsure? at = ref CollectionsMarshal.GetValueRefOrAddDefault(_unsure, i, out _);
            at ??= new Unsure(_certain[i]);
            at.IsWritten = true;
            at.Now.Add(_writes);
            at.Kept.Add(_writes);
            _changed.Add(i);
        }
        return _writes;
    }

    /// <summary>A write has ended.</summary>
    /// <param name="isCertain">It has succeeded, and the drive has not lost power since it began.</param>
    public void End(long sector, long count, uint write, bool isCertain)
    {
        for (long i = sector; i < sector + count; i++)
        {
            Unsure at = _unsure[i];
            at.IsWritten = false;
            if (isCertain) at.Now = [write];
        }
    }

    /// <summary>The drive has put on its medium what it had: all but what is being written is safe.</summary>
    public void Settle()
    {
        foreach (long sector in _changed)
        {
            Unsure at = _unsure[sector];
            if (at.IsWritten) continue;
            at.Kept = [.. at.Now];
            _changed.Remove(sector);
            if (at.Now.Count > 1) continue;
            _certain[sector] = at.Now[0];
            _unsure.Remove(sector);
        }
    }

    /// <summary>The drive has lost its power.</summary>
    public void Lose()
    {
        foreach (long sector in _changed) _unsure[sector].Now = [.. _unsure[sector].Kept];
    }

    /// <summary>What a write puts into sectors: its number and the sector's, over and over. Before the first write
    /// there are zeros.</summary>
    public static void Fill(Span<byte> bytes, long sector, uint write)
    {
        for (; bytes.Length > 0; bytes = bytes[SectorBytes..], sector++)
            MemoryMarshal.Cast<byte, ulong>(bytes[..SectorBytes]).Fill(Stamp(sector, write));
    }

    static ulong Stamp(long sector, uint write) => write == 0 ? 0 : (ulong)write << 32 | (uint)sector;

    /// <summary>Looks at what was read; a sector whose content is certain now is so from here on.</summary>
    /// <param name="isNow">Power was not lost since the read began.</param>
    /// <returns>What is wrong; null: nothing.</returns>
    public string? Look(ReadOnlySpan<byte> bytes, long sector, bool isNow)
    {
        for (; bytes.Length > 0; bytes = bytes[SectorBytes..], sector++)
        {
            ReadOnlySpan<ulong> words = MemoryMarshal.Cast<byte, ulong>(bytes[..SectorBytes]);
            var write = (uint)(words[0] >> 32);
            if (words.IndexOfAnyExcept(Stamp(sector, write)) >= 0)
                return $"sector {sector:x} has {words[0]:x16} ... {words[^1]:x16}, which nobody has written there";
            if (!_unsure.TryGetValue(sector, out Unsure? at))
            {
                if (write == _certain[sector]) continue;
                return $"sector {sector:x} has write {write}, and write {_certain[sector]} was flushed";
            }
            List<uint> may = isNow ? at.Now : at.Kept;
            if (!may.Contains(write))
                return $"sector {sector:x} has write {write}, and may have {string.Join(", ", may)}";
            if (!isNow || at.IsWritten || at.Now.Count == 1) continue;
            at.Now = [write];
            _changed.Add(sector);
        }
        return null;
    }
}
