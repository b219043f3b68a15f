namespace Ringdown.Machine;

/// <summary>What is mapped at one page.</summary>
readonly record struct PageEntry(int Pfn, Protection Protection, IMmioDevice? Device, ulong DeviceOffset)
{
    /// <summary>Mapped, but no frame yet: the first touch gets a zeroed one.</summary>
    public const int DemandZero = 0;

    public bool IsMapped => Protection != Protection.None || Pfn != 0 || Device is not null;
}

/// <summary>The pages of one half of an address space, by page number: tables of 64.</summary>
sealed class PageTable
{
    const int Bits = 6, Count = 1 << Bits;

    readonly Dictionary<ulong, Leaf> _leaves = [];
    Leaf _last = new(ulong.MaxValue);

    sealed class Leaf(ulong number)
    {
        public readonly ulong Number = number;
        public readonly PageEntry[] Entries = number == ulong.MaxValue ? [] : new PageEntry[Count];
        public int Mapped;
    }

    public bool TryGetValue(ulong page, out PageEntry entry)
    {
        Leaf? leaf = Find(page >> Bits);
        entry = leaf is null ? default : leaf.Entries[(int)page & (Count - 1)];
        return entry.IsMapped;
    }

    /// <summary>Sets what is mapped at a page; an entry that maps nothing takes it away.</summary>
    public void Set(ulong page, in PageEntry entry)
    {
        Leaf? leaf = Find(page >> Bits);
        if (leaf is null)
        {
            if (!entry.IsMapped) return;
            _leaves.Add(page >> Bits, leaf = new Leaf(page >> Bits));
            MakeLast(leaf);
        }
        ref PageEntry at = ref leaf.Entries[(int)page & (Count - 1)];
        leaf.Mapped += (entry.IsMapped ? 1 : 0) - (at.IsMapped ? 1 : 0);
        at = entry;
    }

    /// <summary>The lowest page that maps a frame, or null: a walk of all tables.</summary>
    public ulong? FindFrame(int pfn)
    {
        ulong? found = null;
        foreach (Leaf leaf in _leaves.Values)
        {
            if (found < leaf.Number << Bits) continue;
            int index = Array.FindIndex(leaf.Entries, e => e.Pfn == pfn && e.IsMapped);
            if (index >= 0) found = (leaf.Number << Bits) + (ulong)index;
        }
        return found;
    }

    Leaf? Find(ulong number)
    {
        if (_last.Number == number) return _last;
        if (!_leaves.TryGetValue(number, out Leaf? leaf)) return null;
        MakeLast(leaf);
        return leaf;
    }

    // A table that has become empty goes when another one is used: pool maps a page and unmaps it again and again.
    void MakeLast(Leaf leaf)
    {
        if (_last.Mapped == 0) _leaves.Remove(_last.Number);
        _last = leaf;
    }
}

/// <summary>The user half of one process. The kernel half is the same for all and belongs to <see
/// cref="Memory"/>.</summary>
public sealed class AddressSpace
{
    internal PageTable Pages { get; } = new();
}
