using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>The addresses of one pool: given out upwards, a page free between blocks, and who has which page.</summary>
/// <remarks>Pages are looked up in tables of 256, which go when all their blocks are forgotten.</remarks>
sealed class PoolRegion(Va start)
{
    const int Bits = 8, Count = 1 << Bits;

    readonly List<Table?> _tables = [];
    ulong _pages;

    sealed class Table
    {
        public readonly PoolBlock?[] Blocks = new PoolBlock?[Count];
        public int Used;
    }

    /// <summary>Where the next block's pages begin.</summary>
    public Va Next => start + (_pages << 12);

    /// <summary>Pages of blocks that are not freed.</summary>
    public ulong LivePages { get; private set; }

    /// <summary>Blocks that are not freed, by address.</summary>
    public IEnumerable<PoolBlock> Blocks
    {
        get
        {
            // A copy: who looks at them may free some.
            List<PoolBlock> live = [];
            foreach (Table? table in _tables)
                foreach (PoolBlock? block in table?.Blocks ?? [])
                    if (block is { IsFree: false } && (live.Count == 0 || live[^1] != block)) live.Add(block);
            return live;
        }
    }

    public void Add(PoolBlock block, ulong pages)
    {
        for (ulong page = _pages; page < _pages + pages; page++)
        {
            int index = (int)(page >> Bits);
            while (_tables.Count <= index) _tables.Add(null);
            Table table = _tables[index] ??= new Table();
            table.Blocks[(int)page & (Count - 1)] = block;
            table.Used++;
        }
        _pages += pages + 1;
        LivePages += pages;
    }

    /// <summary>Counts a block's pages as free; it is remembered.</summary>
    /// <returns>How many pages it had.</returns>
    public ulong Freed(PoolBlock block)
    {
        ulong pages = block.Pages;
        LivePages -= pages;
        return pages;
    }

    public void Forget(PoolBlock block)
    {
        ulong first = (block.Address - start) >> 12;
        for (ulong page = first; page < first + block.Pages; page++)
        {
            int index = (int)(page >> Bits);
            if (_tables[index] is not { } table) continue;
            table.Blocks[(int)page & (Count - 1)] = null;
            if (--table.Used == 0) _tables[index] = null;
        }
    }

    /// <summary>The block that has a page of the machine, or had it not long ago.</summary>
    public PoolBlock? AtPage(ulong page)
    {
        ulong number = page - start.Page;
        return number < _pages && _tables[(int)(number >> Bits)] is { } table
            ? table.Blocks[(int)number & (Count - 1)] : null;
    }
}
