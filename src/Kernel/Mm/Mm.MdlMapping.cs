using Ringdown.Machine;
using static Ringdown.Kernel.BugCheckCode;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Addresses for what MDLs describe.</summary>
sealed partial class Mm
{
    const uint MdlMappingNoWrite = 0x8000_0000, MdlMappingNoExecute = 0x4000_0000;

    /// <summary>What is mapped for MDLs, in pages; a user's in the space where it is. A driver can change an MDL; only
    /// these may be unmapped by one.</summary>
    readonly Dictionary<(AddressSpace? Space, Va Start), int> _mappings = [];
    readonly Dictionary<Va, ReservedMapping> _reserved = [];

    /// <summary>How frames are cached, and what contradicted that.</summary>
    public CacheTypes Caching { get; } = new();

    /// <summary>MmAllocateMappingAddress: addresses that are kept for an MDL.</summary>
    sealed record ReservedMapping(int Pages, uint Tag)
    {
        public int Mapped { get; set; }
    }

    (AddressSpace?, Va) MappingKey(Va address) =>
        (address.Value < MmUserProbeAddress ? _nt.Memory.Current : null, address.PageStart);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public Va MmMapLockedPagesSpecifyCache(
        Mdl memoryDescriptorList, ProcessorMode accessMode, uint cacheType, Va requestedAddress,
        uint bugCheckOnFailure, uint priority)
    {
        Mdl mdl = memoryDescriptorList;
        CheckMappable(mdl, accessMode);
        int pages = mdl.PageCount;
        if (pages is 0 or > MaximumMdlPages || cacheType >= CacheTypes.Count)
            return NotMapped(bugCheckOnFailure, pages);
        Protection protection = (priority & MdlMappingNoWrite) != 0 ? Protection.Read : Protection.ReadWrite;
        if (accessMode == ProcessorMode.UserMode)
            return MapToUser(mdl, pages, requestedAddress, cacheType, protection);
        if ((priority & MdlMappingNoExecute) == 0) protection |= Protection.Execute;
        Va start = ReservePtes(pages);
        MapFrames(mdl, start, pages, cacheType, protection);
        _mappings[(null, start)] = pages;
        Va mapped = start + mdl.ByteOffset;
        mdl.MappedSystemVa = mapped;
        mdl.MdlFlags |= MdlFlags.MappedToSystemVa
            | ((mdl.MdlFlags & MdlFlags.Partial) != 0 ? MdlFlags.PartialHasBeenMapped : MdlFlags.None);
        return mapped;
    }

    static Va NotMapped(uint bugCheckOnFailure, int pages) => bugCheckOnFailure == 0 ? Va.Null
        : throw new BugCheck(NO_MORE_SYSTEM_PTES, 0, (ulong)pages);

    // Frames must be locked, or not need it; and one system mapping is all that the MDL can remember.
    static void CheckMappable(Mdl mdl, ProcessorMode mode)
    {
        const MdlFlags any = MdlFlags.PagesLocked | MdlFlags.SourceIsNonpagedPool | MdlFlags.Partial | MdlFlags.IoSpace;
        if ((mdl.MdlFlags & any) == 0) throw Misuse(0xB3, mdl, MdlFlags.PagesLocked);
        const MdlFlags mapped = MdlFlags.MappedToSystemVa | MdlFlags.PartialHasBeenMapped;
        if (mode == ProcessorMode.KernelMode && (mdl.MdlFlags & MdlFlags.Partial) == 0
            && (mdl.MdlFlags & mapped) is not MdlFlags.None and var bad)
            throw Misuse(0xB2, mdl, bad);
    }

    Va MapToUser(Mdl mdl, int pages, Va requested, uint cacheType, Protection protection)
    {
        ulong first = requested.Page, count = (ulong)pages;
        if (requested.IsNull) first = Space.FindGap(count, UserSpace.End, topDown: false) ?? 0;
        else if (requested.PageOffset != 0) throw new GuestException(STATUS_INVALID_ADDRESS.Value);
        else if (!Space.IsFree(first, first + count)) throw new GuestException(STATUS_CONFLICTING_ADDRESSES.Value);
        if (first == 0) throw new GuestException(STATUS_INSUFFICIENT_RESOURCES.Value);
        Va start = new(first << 12);
        MapFrames(mdl, start, pages, cacheType, protection | Protection.User);
        var vad = new Vad(first, first + count, VadKind.Mdl, PageProtection.From(protection));
        vad.Committed.Set(vad.Start, vad.End, vad.Protect);
        Space.Add(vad);
        _mappings[(_nt.Memory.Current, start)] = pages;
        return start + mdl.ByteOffset;
    }

    void MapFrames(Mdl mdl, Va start, int pages, uint cacheType, Protection protection)
    {
        Spend((ulong)pages);
        bool io = (mdl.MdlFlags & MdlFlags.IoSpace) != 0;
        for (int i = 0; i < pages; i++)
        {
            ulong pfn = mdl.Frame(i);
            if (!io && (pfn > int.MaxValue || !_nt.Memory.Physical.Contains((int)pfn)))
            {
                _nt.Memory.Unmap(start, (ulong)i << 12);
                throw new BugCheck(PFN_LIST_CORRUPT, 1, mdl.Address.Value, pfn);
            }
            MapPhysical(start + i * Va.PageSize, pfn, protection, cacheType);
        }
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public Va MmMapLockedPages(Mdl memoryDescriptorList, ProcessorMode accessMode) =>
        MmMapLockedPagesSpecifyCache(memoryDescriptorList, accessMode, CacheTypes.MmCached, Va.Null, 1, 32);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void MmUnmapLockedPages(Va baseAddress, Mdl memoryDescriptorList)
    {
        Mdl mdl = memoryDescriptorList;
        if (!_mappings.Remove(MappingKey(baseAddress), out int pages))
            throw new BugCheck(SYSTEM_PTE_MISUSE, 0x400, baseAddress.Value, (ulong)mdl.PageCount);
        _nt.Memory.Unmap(baseAddress.PageStart, (ulong)pages << 12);
        if (baseAddress.Value < MmUserProbeAddress)
        {
            if (Space.Find(baseAddress.Page) is { Kind: VadKind.Mdl } vad) Space.Remove(vad, vad.Start, vad.End);
            return;
        }
        mdl.MdlFlags &= ~(MdlFlags.MappedToSystemVa | MdlFlags.PartialHasBeenMapped);
    }

    /// <summary>Changes what may be done with an MDL's system mapping.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public NtStatus MmProtectMdlSystemAddress(Mdl memoryDescriptorList, uint newProtect)
    {
        Mdl mdl = memoryDescriptorList;
        if (!PageProtection.IsValid(newProtect)) return STATUS_INVALID_PAGE_PROTECTION;
        if ((mdl.MdlFlags & MdlFlags.MappedToSystemVa) == 0
            || !_mappings.TryGetValue((null, mdl.MappedSystemVa.PageStart), out int pages))
            return STATUS_NOT_MAPPED_VIEW;
        Protection protection = PageProtection.Of(newProtect) & ~Protection.User;
        // A mapping that nobody may touch is still one.
        if (protection == Protection.None) protection = Protection.User;
        _nt.Memory.Protect(mdl.MappedSystemVa.PageStart, (ulong)pages << 12, protection);
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public Va MmAllocateMappingAddress(ulong numberOfBytes, uint poolTag)
    {
        ulong pages = (numberOfBytes >> 12) + ((numberOfBytes & 0xFFF) != 0 ? 1UL : 0);
        if (pages is 0 or > MaximumMdlPages || poolTag == 0) return Va.Null;
        Va start = ReservePtes((int)pages);
        _reserved.Add(start, new ReservedMapping((int)pages, poolTag));
        return start;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public Va MmAllocateMappingAddressEx(ulong numberOfBytes, uint poolTag, uint flags) =>
        flags != 0 ? Va.Null : MmAllocateMappingAddress(numberOfBytes, poolTag);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void MmFreeMappingAddress([FreesMem] Va baseAddress, uint poolTag)
    {
        if (ReservedAt(baseAddress, poolTag).Mapped > 0)
            throw new BugCheck(SYSTEM_PTE_MISUSE, 0x103, baseAddress.Value, poolTag);
        _reserved.Remove(baseAddress);
    }

    // What is not there, or somebody else's, ends the machine.
    ReservedMapping ReservedAt(Va address, uint tag) =>
        !_reserved.TryGetValue(address, out ReservedMapping? reserved)
            ? throw new BugCheck(SYSTEM_PTE_MISUSE, 0x100, address.Value, tag)
            : reserved.Tag == tag ? reserved
            : throw new BugCheck(SYSTEM_PTE_MISUSE, 0x101, address.Value, tag, reserved.Tag);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public Va MmMapLockedPagesWithReservedMapping(
        Va mappingAddress, uint poolTag, Mdl memoryDescriptorList, uint cacheType)
    {
        Mdl mdl = memoryDescriptorList;
        ReservedMapping reserved = ReservedAt(mappingAddress, poolTag);
        CheckMappable(mdl, ProcessorMode.KernelMode);
        int pages = mdl.PageCount;
        if (pages is 0 || pages > reserved.Pages || cacheType >= CacheTypes.Count) return Va.Null;
        if (reserved.Mapped > 0) throw new BugCheck(SYSTEM_PTE_MISUSE, 1, mappingAddress.Value, poolTag);
        MapFrames(mdl, mappingAddress, pages, cacheType, Protection.All);
        reserved.Mapped = pages;
        mdl.MappedSystemVa = mappingAddress + mdl.ByteOffset;
        mdl.MdlFlags |= MdlFlags.MappedToSystemVa;
        return mdl.MappedSystemVa;
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void MmUnmapReservedMapping(Va baseAddress, uint poolTag, Mdl memoryDescriptorList)
    {
        ReservedMapping reserved = ReservedAt(baseAddress.PageStart, poolTag);
        if (reserved.Mapped == 0) throw new BugCheck(SYSTEM_PTE_MISUSE, 0x102, baseAddress.Value, poolTag);
        _nt.Memory.Unmap(baseAddress.PageStart, (ulong)reserved.Mapped << 12);
        reserved.Mapped = 0;
        memoryDescriptorList.MdlFlags &= ~MdlFlags.MappedToSystemVa;
    }

    /// <summary>Maps for the time of one call: the routine gets the address and its context.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public NtStatus MmMapMdl(Mdl memoryDescriptorList, uint protection, Va driverRoutine, Va driverContext)
    {
        Mdl mdl = memoryDescriptorList;
        if (!PageProtection.IsValid(protection)) return STATUS_INVALID_PAGE_PROTECTION;
        const MdlFlags any = MdlFlags.PagesLocked | MdlFlags.SourceIsNonpagedPool | MdlFlags.Partial;
        int pages = mdl.PageCount;
        if ((mdl.MdlFlags & any) == 0 || pages is 0 or > MaximumMdlPages) return STATUS_INVALID_PARAMETER_1;
        Va start = ReservePtes(pages);
        MapFrames(mdl, start, pages, CacheTypes.Of(protection), PageProtection.Of(protection) & ~Protection.User);
        _nt.Routines.Call(driverRoutine, (start + mdl.ByteOffset).Value, driverContext.Value);
        _nt.Memory.Unmap(start, (ulong)pages << 12);
        return STATUS_SUCCESS;
    }
}
