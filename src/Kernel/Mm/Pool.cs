using Ringdown.Machine;
using static Ringdown.Kernel.BugCheckCode;

namespace Ringdown.Kernel;

enum PoolKind { NonPaged, NonPagedExecute, Paged }

/// <summary>One block of pool. <see cref="Owner"/> is the return address of the driver that asked; null for the
/// kernel's own.</summary>
sealed class PoolBlock(Va address, ulong bytes, PoolKind kind, PoolTag tag, Va owner)
{
    public Va Address { get; } = address;
    public ulong Bytes { get; } = bytes;
    public PoolKind Kind { get; } = kind;
    public Va Owner { get; } = owner;
    public bool IsFree { get; set; }

    /// <summary>The process whose quota pays for it; null for none.</summary>
    public Va Payer { get; set; }

    public uint Tag => Usage.Tag;
    public string TagText => Pool.TagText(Tag);
    internal PoolTag Usage { get; } = tag;

    /// <summary>Bytes as they are counted and charged: at least 16, and a multiple of it.</summary>
    public ulong Size => Math.Max(16, (Bytes + 15) & ~15UL);
    public ulong Pages => (Size + 0xFFF) >> 12;

    /// <summary>What lies in the block and must be deleted before it is freed; null for nothing.</summary>
    public List<(Va Address, uint Subcode)>? Inside { get; set; }
}

/// <summary>Pool with tags. Every block ends where a page ends, before a page that is not there, and its addresses are
/// not used again: one byte too far, or one touch too late, is a page fault (what Windows calls special pool).
/// </summary>
sealed class Pool(NtKernel nt)
{
    const byte Fill = 0xCD, Slack = 0xFD;
    const int FreedKept = 4096;
    const ulong FreedPagesKept = 0x1_0000;
    const ulong Filled = 64 << 10;

    /// <summary>Pages that each of the two pools may have: half of the machine's memory.</summary>
    public const ulong LimitPages = 0x4_0000;

    readonly PoolRegion _nonPaged = new(new Va(0xFFFF_8A00_0000_0000)), _paged = new(new Va(0xFFFF_A800_0000_0000));
    readonly PackedPages? _packed = nt.Options.SpecialPool ? null
        : new PackedPages(nt, new Va(0xFFFF_9A00_0000_0000));
    readonly Queue<PoolBlock> _freed = new();
    readonly PoolStatistics _statistics = new();
    ulong _freedPages;

    /// <summary>Asked before each allocation for a driver; false makes it fail. For fault injection.</summary>
    public Func<ulong, uint, bool>? MayAllocate { get; set; }

    /// <summary>Blocks that are allocated now, by address.</summary>
    public IEnumerable<PoolBlock> Blocks => _nonPaged.Blocks.Concat(_paged.Blocks).Concat(_packed?.Blocks ?? []);

    public PoolStatistics Statistics => _statistics;

    /// <summary>Pages that one of the pools has now.</summary>
    public ulong LivePages(PoolKind kind) => RegionOf(kind).LivePages;

    /// <summary>A tag as four characters, first byte first.</summary>
    public static string TagText(uint tag) => string.Create(4, tag, static (text, t) =>
    {
        for (int i = 0; i < 4; i++) text[i] = (char)(byte)(t >> (8 * i)) is >= ' ' and <= '~' and var c ? c : '.';
    });

    /// <summary>A block for the kernel itself: zeroed, never refused.</summary>
    public Va Allocate(int bytes, uint tag) =>
        Place((ulong)bytes, PoolKind.NonPaged, tag, Va.Null, zero: true, 16).Address;

    /// <summary>A block for a driver, or null.</summary>
    /// <param name="alignment">16, or 64 for a line of the cache.</param>
    public Va Allocate(ulong bytes, PoolKind kind, uint tag, Va owner, bool zero, uint alignment = 16)
    {
        PoolRegion region = RegionOf(kind);
        // More than the machine has: as on a real one, that fails, and no driver may trust it.
        ulong pages = (bytes >> 12) + 1;
        if (region.LivePages + pages > LimitPages || pages > nt.Mm.AvailablePages) return Va.Null;
        if (MayAllocate?.Invoke(bytes, tag) == false) return Va.Null;
        return Place(bytes, kind, tag, owner, zero, alignment).Address;
    }

    PoolBlock Place(ulong bytes, PoolKind kind, uint tag, Va owner, bool zero, uint alignment)
    {
        ulong size = Math.Max(alignment, (bytes + alignment - 1) & ~(ulong)(alignment - 1));
        Protection protection = ProtectionOf(kind);
        if (_packed is not null && size <= PackedPages.Largest)
            return Pack(_packed.Take(size, kind, protection), bytes, kind, tag, owner, zero);
        ulong pages = (size + 0xFFF) >> 12;
        nt.Mm.Spend(pages);
        PoolRegion region = RegionOf(kind);
        Va first = region.Next;
        // A page or more starts at a page's start, as NT promises; less ends at its end.
        Va address = size < Va.PageSize ? first + (Va.PageSize - size) : first;
        var block = new PoolBlock(address, bytes, kind, _statistics.Of(tag, !owner.IsNull), owner);
        nt.Memory.Map(first, pages << 12, protection);
        region.Add(block, pages);
        nt.Mm.Commit(pages);
        ulong front = Front(block), tail = Tail(block);
        if (front > 0) nt.Memory.Fill(address - front, front, Slack);
        if (!zero) nt.Memory.Fill(address, Math.Min(bytes, Filled), Fill);
        if (tail > 0) nt.Memory.Fill(address + bytes, tail, Slack);
        block.Usage.Allocated(kind, block.Size);
        return block;
    }

    static Protection ProtectionOf(PoolKind kind) => kind switch
    {
        PoolKind.NonPagedExecute => Protection.All,
        PoolKind.Paged => Protection.ReadWrite | Protection.Paged,
        _ => Protection.ReadWrite,
    };

    PoolBlock Pack(Va address, ulong bytes, PoolKind kind, uint tag, Va owner, bool zero)
    {
        var block = new PoolBlock(address, bytes, kind, _statistics.Of(tag, !owner.IsNull), owner);
        _packed!.Add(block);
        nt.Memory.Fill(address, bytes, zero ? (byte)0 : Fill);
        block.Usage.Allocated(kind, block.Size);
        return block;
    }

    public void Free(Va address)
    {
        if (!TryFind(address, out PoolBlock? block)) throw BadFree(address);
        if (block!.Inside is [var (inside, subcode), ..])
            throw new BugCheck(DRIVER_VERIFIER_DETECTED_VIOLATION, subcode, inside.Value, address.Value, block.Bytes);
        bool isPacked = _packed?.At(address) is not null;
        if (!isPacked) CheckSlack(block);
        block.IsFree = true;
        if (isPacked)
        {
            _packed!.Free(block);
            Settle(block);
            return;
        }
        ulong pages = RegionOf(block.Kind).Freed(block);
        nt.Memory.Unmap(address.PageStart, pages << 12);
        nt.Mm.Uncommit(pages);
        Settle(block);
        _freed.Enqueue(block);
        _freedPages += pages;
        while (_freed.Count > FreedKept || _freedPages > FreedPagesKept)
        {
            PoolBlock oldest = _freed.Dequeue();
            _freedPages -= oldest.Pages;
            RegionOf(oldest.Kind).Forget(oldest);
        }
    }

    void Settle(PoolBlock block)
    {
        block.Usage.Freed(block.Kind, block.Size);
        if (!block.Payer.IsNull) nt.Mm.Quota.Return(block.Payer, block.Kind, block.Size);
    }

    /// <summary>The block, allocated or freed not long ago, in whose pages an address lies, or else the nearer of those
    /// beside it.</summary>
    public PoolBlock? Near(Va address)
    {
        if (At(address) is { } block) return block;
        PoolBlock? before = AtPage(address.Page - 1), after = AtPage(address.Page + 1);
        if (before is null || after is null) return before ?? after;
        return address - (before.Address + before.Bytes) <= after.Address - address ? before : after;
    }

    /// <summary>Maps the page of a freed block again, zeroed, so that a late touch of it does not end the
    /// run.</summary>
    public void Revive(PoolBlock block) =>
        nt.Memory.Map(block.Address.PageStart, block.Pages << 12, Protection.ReadWrite);

    public bool TryFind(Va address, out PoolBlock? block)
    {
        block = At(address);
        if (block is { IsFree: false } && block.Address == address) return true;
        block = null;
        return false;
    }

    /// <summary>Notes that a system structure lies at an address: if that is in pool, freeing it too early ends the
    /// machine.</summary>
    /// <param name="subcode">That of DRIVER_VERIFIER_DETECTED_VIOLATION.</param>
    public void Mark(Va address, uint subcode)
    {
        if (At(address) is not { IsFree: false } block || address < block.Address) return;
        Unmark(address);
        (block.Inside ??= []).Add((address, subcode));
    }

    public void Unmark(Va address) => At(address)?.Inside?.RemoveAll(i => i.Address == address);

    PoolRegion RegionOf(PoolKind kind) => kind == PoolKind.Paged ? _paged : _nonPaged;

    PoolBlock? At(Va address) => _packed?.At(address) ?? AtPage(address.Page);

    PoolBlock? AtPage(ulong page) => _nonPaged.AtPage(page) ?? _paged.AtPage(page);

    // Bytes before a block that are looked at when it is freed: those of its page, at most 64.
    static ulong Front(PoolBlock block) =>
        block.Owner.IsNull ? 0 : Math.Min(64, (ulong)block.Address.PageOffset);

    // And those behind it, up to the end of its last page.
    static ulong Tail(PoolBlock block) => (ulong)-(long)(block.Address.Value + block.Bytes) & 0xFFF;

    // Before the block, and in what is left of the page behind it: a small underrun or overrun has changed them.
    void CheckSlack(PoolBlock block)
    {
        ulong front = Front(block);
        if (Changed(block.Address - front, front) >= 0)
            throw new BugCheck(SPECIAL_POOL_DETECTED_MEMORY_CORRUPTION, block.Address.Value, 0, 0, 0x23);
        int bad = Changed(block.Address + block.Bytes, Tail(block));
        if (bad < 0) return;
        throw new BugCheck(SPECIAL_POOL_DETECTED_MEMORY_CORRUPTION, block.Address.Value, block.Bytes + (ulong)bad, 0,
            0x24);
    }

    int Changed(Va address, ulong count)
    {
        if (count == 0) return -1;
        Span<byte> bytes = count <= 64 ? stackalloc byte[(int)count] : new byte[count];
        nt.Memory.Read(address, bytes);
        return bytes.IndexOfAnyExcept(Slack);
    }

    BugCheck BadFree(Va address) => Near(address) is { IsFree: true } freed && freed.Address == address
        ? new BugCheck(BAD_POOL_CALLER, 0x07, 0, freed.Tag, address.Value)      // freed a second time
        : (long)address.Value >= 0
            ? new BugCheck(BAD_POOL_CALLER, 0x40, address.Value, nt.Mm.MmSystemRangeStart)
            : new BugCheck(BAD_POOL_CALLER, 0x46, address.Value);               // not an address that was allocated
}
