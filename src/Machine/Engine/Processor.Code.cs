namespace Ringdown.Machine;

/// <summary>From an address to its decoded block.</summary>
public sealed unsafe partial class Processor
{
    // One byte more than the longest instruction, so that a longer one is seen to be invalid and not to be cut off.
    const int StraddlerBytes = 16;

    // The top bit of a page number: clear in the user half.
    const ulong UserMask = 1UL << 51;

    readonly record struct PageCode(CodePage Code, int Pfn, Protection Protection);

    readonly Dictionary<ulong, PageCode> _pages = [];
    readonly Dictionary<ulong, nint> _straddlers = [];
    readonly List<CodePage> _dropped = [];
    bool _codeDropped, _hasPagedCode, _hasUserCode;

    /// <summary>Enters the block at RIP, after making it known; null with an exit set if it cannot be.</summary>
    Uop* Resolve()
    {
        CpuState* s = State;
        // Nothing of the old code is being executed here.
        if (_dropped.Count > 0) ReleaseDropped();
        Block* block = FindBlock(s->Rip, single: false);
        if (block == null) return null;
        if (s->Pending != null) s->Pending->Block = block;
        s->Pending = null;
        *Flow.Entry(s, s->Rip) = new JumpEntry { Rip = s->Rip, Block = block };
        return Flow.Enter(s, block);
    }

    Block* FindBlock(ulong rip, bool single)
    {
        CodePage? page = PageAt(rip >> 12, rip);
        if (page is null) return null;
        int offset = (int)(rip & 0xFFF);
        Block* block = single ? _code.FindSingle(page, offset) : _code.Find(page, offset);
        return block != null ? block : FindStraddler(page, rip);
    }

    Block* FindStraddler(CodePage page, ulong rip)
    {
        if (_straddlers.TryGetValue(rip, out nint known)) return (Block*)known;
        ulong next = (rip | 0xFFF) + 1;
        // Its first bytes may be in a page that ends the address space's half.
        if (PageAt(next >> 12, next) is null) return null;
        byte[] bytes = new byte[StraddlerBytes];
        if (!_memory.TryPeek(new Va(rip), bytes))
        {
            FetchFault(rip, FaultCause.NotPresent);
            return null;
        }
        // The link of a branch to here must not be set: it is valid only as long as both pages are.
        State->Pending = null;
        Block* block = _code.FindStraddler(rip, bytes);
        _straddlers[rip] = (nint)block;
        return block;
    }

    /// <summary>The decoded page, or null and a fetch fault at the address.</summary>
    CodePage? PageAt(ulong page, ulong address)
    {
        if (_pages.TryGetValue(page, out PageCode known))
        {
            if ((known.Protection & Protection.Paged) == 0) return known.Code;
            _hasPagedCode = true;
            if (_memory.PagedIsOut?.Invoke() != true) return known.Code;
            FetchFault(address, FaultCause.NotPresent);
            return null;
        }
        var start = new Va(page << 12);
        Protection protection = _memory.ProtectionOf(start);
        bool host = (protection & Protection.Host) != 0;
        FaultCause cause = host ? FaultCause.None : _memory.CauseOf(new Va(address), Access.Execute, out _);
        if (cause == FaultCause.None && _memory.DeviceAt(start, out _) is not null) cause = FaultCause.Protection;
        if (cause != FaultCause.None)
        {
            FetchFault(address, cause);
            return null;
        }
        int pfn = _memory.FrameOf(start);
        _memory.MarkCode(pfn);
        var content = new ReadOnlySpan<byte>(_memory.Physical.Host(pfn), Va.PageSize);
        CodePage code = _code.Acquire(page, content, host);
        _pages[page] = new PageCode(code, pfn, protection);
        _hasPagedCode |= (protection & Protection.Paged) != 0;
        _hasUserCode |= (page & UserMask) == 0;
        return code;
    }

    void FetchFault(ulong address, FaultCause cause)
    {
        CpuState* s = State;
        s->Exit = Exit.Fetch;
        bool canonical = cause != FaultCause.NonCanonical;
        s->ExceptionVector = (byte)(canonical ? Fault.PageFault : Fault.GeneralProtection);
        s->ErrorCode = canonical ? 0x10u | (cause == FaultCause.Protection ? 1u : 0) : 0;
        (s->FaultAddress, s->FaultCause) = (address, cause);
        if (canonical) s->Cr2 = address;
    }

    void OnCodeChanged(int pfn)
    {
        foreach ((ulong page, PageCode code) in _pages)
        {
            if (code.Pfn != pfn) continue;
            _dropped.Add(code.Code);
            _pages.Remove(page);
            _codeDropped = true;
        }
        ForgetJumps();
    }

    // Code that ran in the user half would run again at its addresses, whoever's they are now.
    void OnUserHalfChanged()
    {
        if (!_hasUserCode) return;
        _hasUserCode = false;
        Revalidate(UserMask);
    }

    void OnMappingsChanged() => Revalidate(0);

    // Keeps what is still mapped the same way.
    void Revalidate(ulong except)
    {
        foreach ((ulong page, PageCode code) in _pages)
        {
            if ((page & except) != 0) continue;
            _hasUserCode |= (page & UserMask) == 0;
            var start = new Va(page << 12);
            if (_memory.ProtectionOf(start) == code.Protection && _memory.FrameOf(start) == code.Pfn) continue;
            _dropped.Add(code.Code);
            _pages.Remove(page);
            _codeDropped = true;
        }
        ForgetJumps();
    }

    // Code that counts as paged out is found again by way of PageAt, which refuses it.
    void OnPagedOut()
    {
        if (!_hasPagedCode) return;
        ForgetJumps();
        _hasPagedCode = false;
    }

    void ForgetJumps()
    {
        JumpEntry* entries = (JumpEntry*)((byte*)State + CpuState.JumpOffset);
        // 1 in the line of another address: no RIP has it there.
        for (int i = 0; i < CpuState.JumpCount; i++) entries[i] = new JumpEntry { Rip = i == 0 ? 1UL : 0 };
        State->Pending = null;
        _straddlers.Clear();
    }

    void ReleaseDropped()
    {
        foreach (CodePage page in _dropped) _code.Release(page);
        _dropped.Clear();
    }
}
