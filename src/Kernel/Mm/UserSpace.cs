using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>What a piece of a process's addresses is.</summary>
enum VadKind { Private, Section, Mdl, Fixed }

/// <summary>A piece of a process's addresses that somebody has: a VAD. Pages are numbers; the end is not one of
/// them.</summary>
sealed class Vad(ulong start, ulong end, VadKind kind, uint protect)
{
    public ulong Start { get; } = start;
    public ulong End { get; } = end;
    public VadKind Kind { get; } = kind;

    /// <summary>PAGE_* that it was made with.</summary>
    public uint Protect { get; } = protect;

    /// <summary>PAGE_* of the pages that are committed.</summary>
    public PageRuns Committed { get; init; } = new();
    public Section? Section { get; init; }

    /// <summary>Pages whose commitment this piece pays for: private ones.</summary>
    public ulong Charge => Kind == VadKind.Private ? Committed.Count : 0;
}

/// <summary>A range that a driver relies on: its pages may not be freed, nor lose what the mode needs.</summary>
sealed record SecuredRange(ulong Start, ulong End, bool Write, ulong Handle);

/// <summary>The user half of one process: who has which addresses, and which pages of them are committed.</summary>
/// <remarks>Its pages change only while the space is the current one.</remarks>
sealed partial class UserSpace
{
    /// <summary>Pages between the addresses at which new pieces may begin: 64 KiB.</summary>
    public const ulong Granularity = 16;

    /// <summary>The first page and the one behind the last that users can have.</summary>
    public const ulong First = 0x10, End = 0x7_FFFF_FFF0;

    const ulong SharedDataPage = 0x7FFE0;

    readonly NtKernel _nt;
    readonly List<Vad> _vads = [];
    readonly List<SecuredRange> _secured = [];
    readonly Dictionary<ulong, int> _locked = [];
    ulong _nextHandle = 1;

    public UserSpace(NtKernel nt)
    {
        _nt = nt;
        var shared = new Vad(SharedDataPage, SharedDataPage + 1, VadKind.Fixed, PageProtection.PAGE_READONLY);
        shared.Committed.Set(shared.Start, shared.End, PageProtection.PAGE_READONLY);
        _vads.Add(shared);
    }

    /// <summary>All pieces, by address.</summary>
    public IReadOnlyList<Vad> Vads => _vads;

    public Vad? Find(ulong page)
    {
        int index = IndexBehind(page) - 1;
        return index >= 0 && page < _vads[index].End ? _vads[index] : null;
    }

    /// <summary>The lowest piece that has a page of a range, or null.</summary>
    public Vad? FirstIn(ulong start, ulong end)
    {
        int behind = IndexBehind(start);
        if (behind > 0 && _vads[behind - 1].End > start) return _vads[behind - 1];
        return behind < _vads.Count && _vads[behind].Start < end ? _vads[behind] : null;
    }

    public bool IsFree(ulong start, ulong end)
    {
        if (start < First || end > End || start >= end) return false;
        return FirstIn(start, end) is null;
    }

    public void Add(Vad vad)
    {
        Invariant.Holds(IsFree(vad.Start, vad.End));
        _vads.Insert(IndexBehind(vad.Start), vad);
    }

    /// <summary>The lowest or highest free place for so many pages, below a limit; null if there is none.</summary>
    public ulong? FindGap(ulong pages, ulong limit, bool topDown)
    {
        limit = Math.Min(limit, End);
        if (pages == 0 || pages > limit - First) return null;
        return topDown ? GapFromTop(pages, limit) : GapFromBottom(pages, limit);
    }

    ulong? GapFromBottom(ulong pages, ulong limit)
    {
        ulong at = First;
        foreach (Vad vad in _vads)
        {
            if (at + pages <= vad.Start) break;
            at = Math.Max(at, (vad.End + Granularity - 1) & ~(Granularity - 1));
        }
        return at + pages <= limit ? at : null;
    }

    ulong? GapFromTop(ulong pages, ulong limit)
    {
        ulong top = limit;
        for (int i = _vads.Count - 1; i >= -1; i--)
        {
            ulong floor = i >= 0 ? _vads[i].End : First;
            if (top >= floor + pages && ((top - pages) & ~(Granularity - 1)) is var at && at >= floor) return at;
            if (i >= 0) top = Math.Min(top, _vads[i].Start);
        }
        return null;
    }

    // The place of the first piece that begins behind a page.
    int IndexBehind(ulong page)
    {
        int low = 0, high = _vads.Count;
        while (low < high)
        {
            int middle = (low + high) / 2;
            if (_vads[middle].Start <= page) low = middle + 1;
            else high = middle;
        }
        return low;
    }

    /// <summary>Commits pages of a piece, or changes those that are; private ones are mapped, zeroed.</summary>
    public void Commit(Vad vad, ulong start, ulong end, uint protect)
    {
        _nt.Mm.Spend(end - start);
        ulong before = vad.Charge;
        for (ulong page = start; page < end;)
        {
            (_, ulong runEnd, uint old) = vad.Committed.At(page, start, end);
            Va address = new(page << 12);
            if (old == 0) _nt.Memory.Map(address, (runEnd - page) << 12, PageProtection.Of(protect));
            else _nt.Memory.Protect(address, (runEnd - page) << 12, PageProtection.Of(protect));
            page = runEnd;
        }
        vad.Committed.Set(start, end, protect);
        _nt.Mm.Commit(vad.Charge - before);
    }

    public void Decommit(Vad vad, ulong start, ulong end)
    {
        ulong before = vad.Charge;
        foreach ((ulong runStart, ulong runEnd, _) in vad.Committed.Between(start, end))
            _nt.Memory.Unmap(new Va(runStart << 12), (runEnd - runStart) << 12);
        vad.Committed.Set(start, end, 0);
        _nt.Mm.Uncommit(before - vad.Charge);
    }

    /// <summary>Takes a range out of a piece: what is left of it stays, in one part or two.</summary>
    public void Remove(Vad vad, ulong start, ulong end)
    {
        Decommit(vad, start, end);
        _vads.Remove(vad);
        if (vad.Start < start) _vads.Insert(IndexBehind(vad.Start), Part(vad, vad.Start, start));
        if (end < vad.End) _vads.Insert(IndexBehind(end), Part(vad, end, vad.End));
    }

    static Vad Part(Vad whole, ulong start, ulong end)
    {
        var part = new Vad(start, end, whole.Kind, whole.Protect) { Section = whole.Section };
        foreach ((ulong runStart, ulong runEnd, uint protect) in whole.Committed.Between(start, end))
            part.Committed.Set(runStart, runEnd, protect);
        return part;
    }

    /// <summary>MmSecureVirtualMemory: a handle, or 0 if not all is committed and accessible so.</summary>
    public ulong Secure(ulong start, ulong end, bool write)
    {
        if (Find(start) is not { } vad || end > vad.End || !vad.Committed.Covers(start, end)) return 0;
        foreach ((_, _, uint protect) in vad.Committed.Between(start, end))
            if (!(write ? PageProtection.MayWrite(protect) : PageProtection.MayRead(protect))) return 0;
        _secured.Add(new SecuredRange(start, end, write, _nextHandle));
        return _nextHandle++;
    }

    public bool Unsecure(ulong handle) => _secured.RemoveAll(s => s.Handle == handle) > 0;

    /// <summary>Whether pages may get a protection, or be freed (PAGE_NOACCESS), as far as drivers rely on
    /// them.</summary>
    public bool MayChange(ulong start, ulong end, uint protect) =>
        !_secured.Exists(s => s.Start < end && start < s.End
            && !(s.Write ? PageProtection.MayWrite(protect) : PageProtection.MayRead(protect)));

    /// <summary>A first touch of a guard page: it is an ordinary page from now on.</summary>
    public bool TryTouchGuard(Va address)
    {
        ulong page = address.Page;
        if (Find(page) is not { } vad) return false;
        uint protect = vad.Committed.At(page, vad.Start, vad.End).Value;
        if ((protect & PageProtection.PAGE_GUARD) == 0) return false;
        Commit(vad, page, page + 1, protect & ~PageProtection.PAGE_GUARD);
        return true;
    }

    /// <summary>Counts locks of pages by ZwLockVirtualMemory: up, or down.</summary>
    /// <returns>False if a page is not locked and was to be unlocked.</returns>
    public bool Lock(ulong start, ulong end, int by)
    {
        _nt.Mm.Spend(end - start);
        for (ulong page = start; page < end && by < 0; page++) if (!_locked.ContainsKey(page)) return false;
        for (ulong page = start; page < end; page++)
        {
            int count = _locked.GetValueOrDefault(page) + by;
            if (count == 0) _locked.Remove(page);
            else _locked[page] = count;
        }
        return true;
    }

    public bool IsLocked(ulong page) => _locked.ContainsKey(page);
}
