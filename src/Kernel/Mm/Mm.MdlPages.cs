using Ringdown.Machine;
using static Ringdown.Kernel.BugCheckCode;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Pages without addresses, in an MDL.</summary>
sealed partial class Mm
{
    const uint MM_ALLOCATE_FULLY_REQUIRED = 4, MM_ALLOCATE_REQUIRE_CONTIGUOUS_CHUNKS = 0x20,
        MM_ALLOCATE_CONTIGUOUS = 0x60;

    /// <summary>Frames that were given out in MDLs: only these can come back by one.</summary>
    readonly HashSet<int> _mdlFrames = [];

    Mdl NoMdl => Mdl.At(_nt.Memory, Va.Null);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public Mdl MmAllocatePagesForMdl(ulong lowAddress, ulong highAddress, ulong skipBytes, ulong totalBytes) =>
        MmAllocatePagesForMdlEx(lowAddress, highAddress, skipBytes, totalBytes, CacheTypes.MmCached, 0);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public Mdl MmAllocateNodePagesForMdlEx(
        ulong lowAddress, ulong highAddress, ulong skipBytes, ulong totalBytes, uint cacheType, uint idealNode,
        uint flags) =>
        MmAllocatePagesForMdlEx(lowAddress, highAddress, skipBytes, totalBytes, cacheType, flags);

    /// <summary>Zeroed pages between two physical addresses: as many as there are, or, if the flags say so, all or
    /// none. The MDL is the caller's to free with ExFreePool.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public Mdl MmAllocatePagesForMdlEx(
        ulong lowAddress, ulong highAddress, ulong skipBytes, ulong totalBytes, uint cacheType, uint flags)
    {
        ulong wanted = (totalBytes >> 12) + ((totalBytes & 0xFFF) != 0 ? 1UL : 0);
        if (wanted is 0 || cacheType >= CacheTypes.Count) return NoMdl;
        bool all = (flags & MM_ALLOCATE_FULLY_REQUIRED) != 0;
        ulong pages = Math.Min(Math.Min(wanted, MaximumMdlPages), AvailablePages);
        if (pages == 0 || all && pages < wanted) return NoMdl;
        if (Pool.MayAllocate?.Invoke(totalBytes, MdlTag) == false) return NoMdl;
        Spend(pages);
        (int low, int high) = Frames(lowAddress, highAddress);
        ulong chunk = (flags & MM_ALLOCATE_CONTIGUOUS) != 0
            ? (flags & MM_ALLOCATE_REQUIRE_CONTIGUOUS_CHUNKS) != 0 && skipBytes != 0 ? skipBytes >> 12 : pages : 1;
        if (chunk == 0 || pages % chunk != 0) return NoMdl;
        List<int> frames = TakeFrames(pages, chunk, low, high);
        if (frames.Count == 0 || all && (ulong)frames.Count < wanted)
        {
            foreach (int pfn in frames) _nt.Memory.Release(pfn);
            return NoMdl;
        }
        return Describe(frames, cacheType);
    }

    List<int> TakeFrames(ulong pages, ulong chunk, int low, int high)
    {
        List<int> frames = [];
        while ((ulong)frames.Count < pages)
        {
            int first = chunk == 1 ? _nt.Memory.Physical.Allocate(low, high)
                : _nt.Memory.Physical.AllocateContiguous((int)chunk, low, high, 0);
            if (first == 0) break;
            for (int i = 0; i < (int)chunk; i++) frames.Add(first + i);
        }
        return frames;
    }

    Mdl Describe(List<int> frames, uint cacheType)
    {
        Mdl mdl = Mdl.At(_nt.Memory, Pool.Allocate((ulong)(Mdl.Size + frames.Count * 8), PoolKind.NonPaged, MdlTag,
            _nt.Caller, zero: true));
        if (mdl.IsNull)
        {
            foreach (int pfn in frames) _nt.Memory.Release(pfn);
            return mdl;
        }
        Initialize(mdl, Va.Null, (ulong)frames.Count << 12);
        mdl.MdlFlags = MdlFlags.PagesLocked;
        for (int i = 0; i < frames.Count; i++)
        {
            mdl.SetFrame(i, (ulong)frames[i]);
            _mdlFrames.Add(frames[i]);
            Caching.Set(frames[i], cacheType);
        }
        Commit((ulong)frames.Count);
        return mdl;
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void MmFreePagesFromMdl(Mdl memoryDescriptorList) => MmFreePagesFromMdlEx(memoryDescriptorList, 0);

    /// <summary>Gives the pages back; the MDL itself stays the caller's.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void MmFreePagesFromMdlEx(Mdl memoryDescriptorList, uint flags)
    {
        Mdl mdl = memoryDescriptorList;
        if ((mdl.MdlFlags & MdlFlags.MappedToSystemVa) != 0)
            MmUnmapLockedPages(mdl.MappedSystemVa, mdl);
        for (int i = 0, pages = mdl.PageCount; i < pages; i++)
        {
            ulong pfn = mdl.Frame(i);
            if (pfn > int.MaxValue || !_mdlFrames.Remove((int)pfn)) throw new BugCheck(PFN_LIST_CORRUPT, 7, pfn);
            Caching.Set((int)pfn, CacheTypes.MmCached);
            _nt.Memory.Release((int)pfn);
            Uncommit(1);
        }
        (mdl.ByteCount, mdl.ByteOffset) = (0, 0);
        mdl.MdlFlags &= ~MdlFlags.PagesLocked;
    }

    /// <summary>An MDL over device memory: MM_PHYSICAL_ADDRESS_LISTs of an address and a length, whole pages.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public NtStatus MmAllocateMdlForIoSpace(Va physicalAddressList, ulong numberOfEntries, Va newMdl)
    {
        if (numberOfEntries is 0 or > MaximumMdlPages) return STATUS_INVALID_PARAMETER_2;
        List<ulong> frames = [];
        for (ulong i = 0; i < numberOfEntries; i++)
        {
            ulong address = _nt.Memory.Read<ulong>(physicalAddressList + i * 16);
            ulong bytes = _nt.Memory.Read<ulong>(physicalAddressList + i * 16 + 8);
            if (((address | bytes) & 0xFFF) != 0 || bytes == 0 || address + bytes < address
                || (bytes >> 12) > MaximumMdlPages - (ulong)frames.Count)
                return STATUS_INVALID_PARAMETER_1;
            // Memory is no device's.
            for (ulong page = address >> 12; page < (address + bytes) >> 12; page++)
            {
                if (page is >= PhysicalMemory.FirstFrame and < PhysicalMemory.EndFrame)
                    return STATUS_INVALID_PARAMETER_1;
                frames.Add(page);
            }
        }
        Mdl mdl = CreateMdl(Va.Null, (ulong)frames.Count << 12);
        if (mdl.IsNull) return STATUS_INSUFFICIENT_RESOURCES;
        mdl.MdlFlags |= MdlFlags.IoSpace;
        for (int i = 0; i < frames.Count; i++) mdl.SetFrame(i, frames[i]);
        _nt.Memory.Write(newMdl, mdl.Address);
        return STATUS_SUCCESS;
    }
}
