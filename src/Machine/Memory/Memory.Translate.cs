namespace Ringdown.Machine;

/// <summary>Why a translation gave no host address.</summary>
enum Miss : byte
{
    None,

    /// <summary>A page fault: <see cref="FaultCause"/> says which.</summary>
    Fault,

    /// <summary>The page is a device's registers.</summary>
    Device,

    /// <summary>A write to a page with decoded code: drop the code with <see cref="Memory.WriteToCode"/> and try
    /// again.</summary>
    Code,
}

public sealed unsafe partial class Memory
{
    /// <summary>The slow path behind a TLB: translates an access that lies in one page, and fills the line if it
    /// may.</summary>
    /// <returns>The host address, or null and the reason.</returns>
    internal byte* Translate(Tlb tlb, Va address, Access access, out Miss miss, out FaultCause cause)
    {
        cause = CauseOf(address, access, out PageEntry entry);
        miss = Miss.Fault;
        // A page that was promised, and more locked frames than that left for it: it cannot be brought in.
        if (cause == FaultCause.None && entry.Pfn == 0 && entry.Device is null && Physical.IsExhausted)
            cause = FaultCause.NotPresent;
        if (cause != FaultCause.None) return null;
        miss = Miss.Device;
        if (entry.Device is not null) return null;

        int pfn = Populate(address.Page, ref entry);
        ref Frame frame = ref Physical[pfn];
        miss = Miss.Code;
        if (access == Access.Write && frame.HasCode) return null;
        miss = Miss.None;
        if (access == Access.Write) SavePage(pfn);

        byte* host = Physical.Host(pfn);
        _pagedInTlb |= (entry.Protection & Protection.Paged) != 0;
        _userInTlb |= (long)address.Value >= 0;
        Fill(tlb, address, entry.Protection, host, writable: !frame.HasCode && frame.Layer == _layer);
        return host + address.PageOffset;
    }

    /// <summary>Before a write to a page with decoded code: drops what was decoded, so that the write may go
    /// on.</summary>
    internal void WriteToCode(Va address)
    {
        int pfn = FrameOf(address);
        CodeChanged?.Invoke(pfn);
        SaveFrameState(pfn);
        Physical[pfn].HasCode = false;
    }

    /// <summary>Why a page cannot be accessed so, or None.</summary>
    internal FaultCause CauseOf(Va address, Access access, out PageEntry entry)
    {
        entry = default;
        if (!address.IsCanonical) return FaultCause.NonCanonical;
        if (!TryEntry(address.Page, out entry)) return FaultCause.NotPresent;
        if ((entry.Protection & Protection.Guard) != 0) return FaultCause.Guard;
        if ((entry.Protection & Protection.Paged) != 0 && PagedIsOut?.Invoke() == true) return FaultCause.NotPresent;
        Protection needed = access switch
        {
            Access.Write => Protection.Write,
            Access.Execute => Protection.Execute,
            _ => Protection.Read,
        };
        // The kernel may not run code of the user half (SMEP).
        if (access == Access.Execute && (entry.Protection & Protection.User) != 0) return FaultCause.Protection;
        return (entry.Protection & needed) != 0 ? FaultCause.None : FaultCause.Protection;
    }

    static void Fill(Tlb tlb, Va address, Protection protection, byte* host, bool writable)
    {
        TlbEntry* line = Tlb.Line(tlb.Entries, address.Value);
        ulong none = Tlb.NoTag((int)(address.Page & (Tlb.Count - 1))), tag = address.PageStart.Value;
        line->Host = host;
        line->TagRead = (protection & Protection.Read) != 0 ? tag : none;
        line->TagWrite = writable && (protection & Protection.Write) != 0 ? tag : none;
    }
}
