using Ringdown.Machine;
using static Ringdown.Kernel.PageProtection;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>What the services for virtual memory do, on the current space.</summary>
sealed partial class UserSpace
{
    public const uint MEM_COMMIT = 0x1000, MEM_RESERVE = 0x2000, MEM_DECOMMIT = 0x4000, MEM_RELEASE = 0x8000,
        MEM_FREE = 0x1_0000, MEM_PRIVATE = 0x2_0000, MEM_MAPPED = 0x4_0000, MEM_RESET = 0x8_0000,
        MEM_TOP_DOWN = 0x10_0000, MEM_RESET_UNDO = 0x100_0000;

    const uint MEM_WRITE_WATCH = 0x20_0000, MEM_PHYSICAL = 0x40_0000, MEM_LARGE_PAGES = 0x2000_0000;

    /// <summary>Reserves, commits, or both.</summary>
    /// <param name="start">The address that is wanted, or null; then the one that was given.</param>
    /// <param name="limit">The first page that may not be used.</param>
    public NtStatus Allocate(ref Va start, ref ulong bytes, uint type, uint protect, ulong limit)
    {
        if ((type & (MEM_WRITE_WATCH | MEM_PHYSICAL | MEM_LARGE_PAGES)) != 0) return STATUS_NOT_SUPPORTED;
        const uint known = MEM_COMMIT | MEM_RESERVE | MEM_RESET | MEM_RESET_UNDO | MEM_TOP_DOWN;
        uint reset = type & (MEM_RESET | MEM_RESET_UNDO);
        if ((type & ~known) != 0 || (type & known & ~MEM_TOP_DOWN) == 0 || reset != 0 && type != reset)
            return STATUS_INVALID_PARAMETER_5;
        if (!IsValid(protect) || (protect & (PAGE_WRITECOPY | PAGE_EXECUTE_WRITECOPY)) != 0)
            return STATUS_INVALID_PAGE_PROTECTION;
        if (start.Page >= End) return STATUS_INVALID_PARAMETER_2;
        if (bytes == 0 || bytes > (End << 12) - start.Value) return STATUS_INVALID_PARAMETER_4;
        if (reset != 0) return Reset(ref start, ref bytes);
        if ((type & MEM_RESERVE) == 0 && !start.IsNull) return CommitMore(ref start, ref bytes, protect);
        return Reserve(ref start, ref bytes, type, protect, limit);
    }

    NtStatus Reserve(ref Va start, ref ulong bytes, uint type, uint protect, ulong limit)
    {
        ulong first = start.Page & ~(Granularity - 1), end = (start.Value + bytes + 0xFFF) >> 12;
        if (start.IsNull)
        {
            ulong pages = (bytes + 0xFFF) >> 12;
            if (FindGap(pages, limit, (type & MEM_TOP_DOWN) != 0) is not { } gap) return STATUS_NO_MEMORY;
            (first, end) = (gap, gap + pages);
        }
        else if (!IsFree(first, end)) return STATUS_CONFLICTING_ADDRESSES;
        bool commit = (type & MEM_COMMIT) != 0;
        if (commit && end - first > _nt.Mm.AvailablePages) return STATUS_COMMITMENT_LIMIT;
        var vad = new Vad(first, end, VadKind.Private, protect);
        Add(vad);
        if (commit) Commit(vad, first, end, protect);
        (start, bytes) = (new Va(first << 12), (end - first) << 12);
        return STATUS_SUCCESS;
    }

    NtStatus CommitMore(ref Va start, ref ulong bytes, uint protect)
    {
        ulong first = start.Page, end = (start.Value + bytes + 0xFFF) >> 12;
        if (Find(first) is not { } vad || end > vad.End) return STATUS_CONFLICTING_ADDRESSES;
        if (vad.Kind != VadKind.Private) return STATUS_ALREADY_COMMITTED;
        if (!MayChange(first, end, protect)) return STATUS_INVALID_PAGE_PROTECTION;
        if (end - first > _nt.Mm.AvailablePages) return STATUS_COMMITMENT_LIMIT;
        Commit(vad, first, end, protect);
        (start, bytes) = (new Va(first << 12), (end - first) << 12);
        return STATUS_SUCCESS;
    }

    // The content may be kept, so it is.
    NtStatus Reset(ref Va start, ref ulong bytes)
    {
        ulong first = start.Page, end = (start.Value + bytes + 0xFFF) >> 12;
        if (Find(first) is not { Kind: VadKind.Private } vad || end > vad.End) return STATUS_CONFLICTING_ADDRESSES;
        if (!vad.Committed.Covers(first, end)) return STATUS_NOT_COMMITTED;
        (start, bytes) = (new Va(first << 12), (end - first) << 12);
        return STATUS_SUCCESS;
    }

    /// <summary>Decommits or releases; no length means the whole piece.</summary>
    public NtStatus Free(ref Va start, ref ulong bytes, uint type)
    {
        if (type is not (MEM_DECOMMIT or MEM_RELEASE)) return STATUS_INVALID_PARAMETER_4;
        if (start.Page >= End) return STATUS_INVALID_PARAMETER_2;
        if (bytes > (End << 12) - start.Value) return STATUS_INVALID_PARAMETER_3;
        ulong first = start.Page, end = (start.Value + bytes + 0xFFF) >> 12;
        if (Find(first) is not { } vad) return STATUS_MEMORY_NOT_ALLOCATED;
        if (vad.Kind != VadKind.Private) return STATUS_UNABLE_TO_DELETE_SECTION;
        if (bytes == 0)
        {
            if (first != vad.Start) return STATUS_FREE_VM_NOT_AT_BASE;
            end = vad.End;
        }
        if (end > vad.End) return STATUS_UNABLE_TO_FREE_VM;
        if (!MayChange(first, end, PAGE_NOACCESS)) return STATUS_INVALID_PAGE_PROTECTION;
        if (type == MEM_RELEASE) Remove(vad, first, end);
        else Decommit(vad, first, end);
        (start, bytes) = (new Va(first << 12), (end - first) << 12);
        return STATUS_SUCCESS;
    }

    public NtStatus Protect(ref Va start, ref ulong bytes, uint protect, out uint old)
    {
        old = 0;
        if (!IsValid(protect)) return STATUS_INVALID_PAGE_PROTECTION;
        if (start.Page >= End) return STATUS_INVALID_PARAMETER_2;
        if (bytes == 0 || bytes > (End << 12) - start.Value) return STATUS_INVALID_PARAMETER_3;
        ulong first = start.Page, end = (start.Value + bytes + 0xFFF) >> 12;
        if (Find(first) is not { } vad || end > vad.End || vad.Kind == VadKind.Fixed)
            return STATUS_CONFLICTING_ADDRESSES;
        if (vad.Kind == VadKind.Section ? !Allows(vad.Section!.Protect, protect)
            : (protect & (PAGE_WRITECOPY | PAGE_EXECUTE_WRITECOPY)) != 0)
            return vad.Kind == VadKind.Section ? STATUS_SECTION_PROTECTION : STATUS_INVALID_PAGE_PROTECTION;
        if (!vad.Committed.Covers(first, end)) return STATUS_NOT_COMMITTED;
        if (!MayChange(first, end, protect)) return STATUS_INVALID_PAGE_PROTECTION;
        old = vad.Committed.At(first, first, end).Value;
        Commit(vad, first, end, protect);
        (start, bytes) = (new Va(first << 12), (end - first) << 12);
        return STATUS_SUCCESS;
    }

    /// <summary>MEMORY_BASIC_INFORMATION of the run of equal pages that begins at an address.</summary>
    public byte[] Query(Va address)
    {
        byte[] bytes = new byte[0x30];
        ulong page = address.Page;
        SystemInformation.Put(bytes, 0x00, page << 12);
        if (Find(page) is not { } vad)
        {
            int next = IndexBehind(page);
            ulong end = next < _vads.Count ? _vads[next].Start : End;
            SystemInformation.Put(bytes, 0x18, (end - page) << 12);
            SystemInformation.Put(bytes, 0x20, MEM_FREE);
            SystemInformation.Put(bytes, 0x24, PAGE_NOACCESS);
            return bytes;
        }
        (_, ulong runEnd, uint protect) = vad.Committed.At(page, vad.Start, vad.End);
        SystemInformation.Put(bytes, 0x08, vad.Start << 12);
        SystemInformation.Put(bytes, 0x10, vad.Protect);
        SystemInformation.Put(bytes, 0x18, (runEnd - page) << 12);
        SystemInformation.Put(bytes, 0x20, protect != 0 ? MEM_COMMIT : MEM_RESERVE);
        SystemInformation.Put(bytes, 0x24, protect);
        SystemInformation.Put(bytes, 0x28, vad.Kind == VadKind.Section ? MEM_MAPPED : MEM_PRIVATE);
        return bytes;
    }
}
