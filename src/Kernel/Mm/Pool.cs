using Ringdown.Machine;
using static Ringdown.Kernel.BugCheckCode;

namespace Ringdown.Kernel;

enum PoolKind { NonPaged, NonPagedExecute, Paged }

/// <summary>One block of pool. <see cref="Owner"/> is the return address of the driver that asked; null for the
/// kernel's own.</summary>
sealed record PoolBlock(Va Address, ulong Bytes, PoolKind Kind, uint Tag, Va Owner)
{
    public bool IsFree { get; set; }

    public string TagText => Pool.TagText(Tag);
}

/// <summary>Pool with tags. Every block ends where a page ends, before a page that is not there, and its addresses are
/// not
/// used again: one byte too far, or one touch too late, is a page fault (what Windows calls special pool).</summary>
sealed class Pool(NtKernel nt)
{
    const byte Fill = 0xCD, Slack = 0xFD;
    const int FreedKept = 4096;

    static readonly Va s_nonPaged = new(0xFFFF_8A00_0000_0000), s_paged = new(0xFFFF_A800_0000_0000);

    readonly Dictionary<Va, PoolBlock> _blocks = [];
    readonly Dictionary<ulong, PoolBlock> _byPage = [];
    readonly Queue<PoolBlock> _freed = new();
    Va _nextNonPaged = s_nonPaged, _nextPaged = s_paged;

    /// <summary>Asked before each allocation for a driver; false makes it fail. For fault injection.</summary>
    public Func<ulong, uint, bool>? MayAllocate { get; set; }

    /// <summary>Blocks that are allocated now, by address.</summary>
    public IEnumerable<PoolBlock> Blocks => _blocks.Values.OrderBy(b => b.Address);

    /// <summary>A tag as four characters, first byte first.</summary>
    public static string TagText(uint tag) => string.Create(4, tag, static (text, t) =>
    {
        for (int i = 0; i < 4; i++) text[i] = (char)(byte)(t >> (8 * i)) is >= ' ' and <= '~' and var c ? c : '.';
    });

    /// <summary>A block for the kernel itself: zeroed, never refused.</summary>
    public Va Allocate(int bytes, uint tag) => Place((ulong)bytes, PoolKind.NonPaged, tag, Va.Null, zero: true).Address;

    /// <summary>A block for a driver, or null.</summary>
    public Va Allocate(ulong bytes, PoolKind kind, uint tag, Va owner, bool zero)
    {
        // More than the machine has: as on a real one, that fails, and no driver may trust it.
        if (bytes > 1UL << 30 || MayAllocate?.Invoke(bytes, tag) == false) return Va.Null;
        return Place(bytes, kind, tag, owner, zero).Address;
    }

    PoolBlock Place(ulong bytes, PoolKind kind, uint tag, Va owner, bool zero)
    {
        ulong size = Math.Max(16, (bytes + 15) & ~15UL), pages = (size + 0xFFF) >> 12;
        ref Va next = ref kind == PoolKind.Paged ? ref _nextPaged : ref _nextNonPaged;
        Va first = next;
        next += (pages + 1) << 12;
        Protection protection = kind switch
        {
            PoolKind.NonPagedExecute => Protection.All,
            PoolKind.Paged => Protection.ReadWrite | Protection.Paged,
            _ => Protection.ReadWrite,
        };
        nt.Memory.Map(first, pages << 12, protection);
        // A page or more starts at a page's start, as NT promises; less ends at its end.
        Va address = size < Va.PageSize ? first + (Va.PageSize - size) : first;
        ulong front = Front(address);
        if (front > 0 && !owner.IsNull) nt.Memory.Fill(address - front, front, Slack);
        if (!zero) nt.Memory.Fill(address, bytes, Fill);
        if (size > bytes) nt.Memory.Fill(address + bytes, size - bytes, Slack);

        var block = new PoolBlock(address, bytes, kind, tag, owner);
        _blocks.Add(address, block);
        for (ulong page = 0; page < pages; page++) _byPage[first.Page + page] = block;
        return block;
    }

    public void Free(Va address)
    {
        if (!_blocks.Remove(address, out PoolBlock? block)) throw BadFree(address);
        CheckSlack(block);
        block.IsFree = true;
        nt.Memory.Unmap(address.PageStart, block.Bytes + address.PageOffset);
        _freed.Enqueue(block);
        if (_freed.Count > FreedKept) Forget(_freed.Dequeue());
    }

    /// <summary>The block, allocated or freed not long ago, in whose pages an address lies, or else the nearer of those
    /// beside it.</summary>
    public PoolBlock? Near(Va address)
    {
        if (_byPage.TryGetValue(address.Page, out PoolBlock? block)) return block;
        PoolBlock? before = _byPage.GetValueOrDefault(address.Page - 1),
            after = _byPage.GetValueOrDefault(address.Page + 1);
        if (before is null || after is null) return before ?? after;
        return address - (before.Address + before.Bytes) <= after.Address - address ? before : after;
    }

    /// <summary>Maps the page of a freed block again, zeroed, so that a late touch of it does not end the
    /// run.</summary>
    public void Revive(PoolBlock block) =>
        nt.Memory.Map(block.Address.PageStart, PageCount(block) << 12, Protection.ReadWrite);

    public bool TryFind(Va address, out PoolBlock? block) => _blocks.TryGetValue(address, out block);

    static ulong PageCount(PoolBlock block) => (Math.Max(16, (block.Bytes + 15) & ~15UL) + 0xFFF) >> 12;

    void Forget(PoolBlock block)
    {
        for (ulong page = 0; page < PageCount(block); page++) _byPage.Remove(block.Address.Page + page);
    }

    // Bytes before a block that are looked at when it is freed: those of its page, at most 64.
    static ulong Front(Va address) => Math.Min(64, (ulong)address.PageOffset);

    // Before the block, and what rounding up to 16 left over behind it: a small underrun or overrun has changed them.
    void CheckSlack(PoolBlock block)
    {
        ulong front = block.Owner.IsNull ? 0 : Front(block.Address);
        if (nt.Memory.ReadBytes(block.Address - front, (int)front).AsSpan().IndexOfAnyExcept(Slack) >= 0)
            throw new BugCheck(SPECIAL_POOL_DETECTED_MEMORY_CORRUPTION, block.Address.Value, 0, 0, 0x23);
        ulong size = Math.Max(16, (block.Bytes + 15) & ~15UL);
        byte[] slack = nt.Memory.ReadBytes(block.Address + block.Bytes, (int)(size - block.Bytes));
        int bad = slack.AsSpan().IndexOfAnyExcept(Slack);
        if (bad >= 0)
            throw new BugCheck(SPECIAL_POOL_DETECTED_MEMORY_CORRUPTION, block.Address.Value, block.Bytes
                + (ulong)bad, 0, 0x24);
    }

    BugCheck BadFree(Va address) => Near(address) is { IsFree: true } freed && freed.Address == address
        ? new BugCheck(BAD_POOL_CALLER, 0x07, 0, freed.Tag, address.Value)      // freed a second time
        : new BugCheck(BAD_POOL_CALLER, 0x46, address.Value);                   // not an address that was allocated
}
