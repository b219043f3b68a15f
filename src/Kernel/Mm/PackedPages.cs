using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>Small blocks of pool that share pages, as on a Windows without special pool: little memory each, and no
/// touch past an end or too late is noticed.</summary>
/// <remarks>A page has blocks of one size; a freed place is the next to be used again.</remarks>
sealed class PackedPages(NtKernel nt, Va start)
{
    public const ulong Largest = 1024;

    static readonly int[] s_sizes = [32, 64, 128, 192, 256, 320, 384, 512, 768, 1024];

    readonly List<Page> _pages = [];
    readonly Dictionary<(PoolKind Kind, int Size), Stack<Va>> _free = [];

    sealed class Page(int size)
    {
        public readonly int Size = size;
        public readonly PoolBlock?[] Blocks = new PoolBlock?[Va.PageSize / size];
    }

    public IEnumerable<PoolBlock> Blocks =>
        [.. _pages.SelectMany(p => p.Blocks).Where(b => b is { IsFree: false }).Select(b => b!)];

    /// <summary>A place for a block.</summary>
    /// <param name="bytes">At most <see cref="Largest"/>.</param>
    /// <param name="protection">Of the page, if a new one is needed.</param>
    public Va Take(ulong bytes, PoolKind kind, Protection protection)
    {
        int size = Array.Find(s_sizes, s => (ulong)s >= bytes);
        if (!_free.TryGetValue((kind, size), out Stack<Va>? free)) _free.Add((kind, size), free = new Stack<Va>());
        if (free.Count == 0) AddPage(size, protection, free);
        return free.Pop();
    }

    void AddPage(int size, Protection protection, Stack<Va> free)
    {
        nt.Mm.Spend(1);
        nt.Mm.Commit(1);
        Va first = start + ((ulong)_pages.Count << 12);
        nt.Memory.Map(first, Va.PageSize, protection);
        var page = new Page(size);
        _pages.Add(page);
        for (int i = page.Blocks.Length - 1; i >= 0; i--) free.Push(first + i * size);
    }

    public void Add(PoolBlock block)
    {
        (Page page, int slot) = PlaceOf(block.Address)!.Value;
        page.Blocks[slot] = block;
    }

    /// <summary>A freed block is known until its place is used again.</summary>
    public void Free(PoolBlock block) =>
        _free[(block.Kind, PlaceOf(block.Address)!.Value.Page.Size)].Push(block.Address);

    /// <summary>The block in whose place an address lies.</summary>
    public PoolBlock? At(Va address) => PlaceOf(address) is var (page, slot) ? page.Blocks[slot] : null;

    (Page Page, int Slot)? PlaceOf(Va address)
    {
        ulong number = (address - start) >> 12;
        if (address < start || number >= (ulong)_pages.Count) return null;
        Page page = _pages[(int)number];
        int slot = (int)address.PageOffset / page.Size;
        return slot < page.Blocks.Length ? (page, slot) : null;
    }
}
