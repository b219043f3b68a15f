using Ringdown.Machine;
using static Ringdown.Kernel.Irql;

namespace Ringdown.Kernel;

/// <summary>Memory that is one piece for a device too.</summary>
sealed partial class Mm
{
    const ulong MaximumContiguous = 1UL << 30;

    readonly Dictionary<Va, (int Pages, int First, Va Owner)> _contiguous = [];
    readonly ContiguousFrames _freeRuns = new();

    /// <summary>Zeroed pages with consecutive frames below a limit; null if there are none.</summary>
    /// <param name="boundary">A power of two that the piece does not cross, or 0.</param>
    Va AllocateContiguous(
        ulong bytes, ulong lowest, ulong highest, ulong boundary, uint cacheType, Protection protection)
    {
        if (bytes is 0 or > MaximumContiguous || cacheType >= CacheTypes.Count) return Va.Null;
        if (boundary != 0 && (!ulong.IsPow2(boundary) || boundary < Va.PageSize)) return Va.Null;
        int pages = (int)((bytes + 0xFFF) >> 12);
        if ((ulong)pages > AvailablePages || Pool.MayAllocate?.Invoke(bytes, 0) == false) return Va.Null;
        Spend((ulong)pages);
        (int low, int high) = Frames(lowest, highest);
        int step = (int)Math.Min(boundary >> 12, 1UL << 30);
        int first = _freeRuns.Take(_nt.Memory, pages, low, high, step);
        if (first == 0) first = _nt.Memory.Physical.AllocateContiguous(pages, low, high, step);
        if (first == 0) return Va.Null;
        Commit((ulong)pages);
        Va start = ReservePtes(pages);
        for (int i = 0; i < pages; i++)
        {
            Caching.Set(first + i, cacheType);
            _nt.Memory.MapFrame(start + i * Va.PageSize, first + i, protection);
        }
        _contiguous.Add(start, (pages, first, _nt.Caller));
        return start;
    }

    // The frames that lie between two physical addresses, both of them inside.
    static (int Lowest, int Highest) Frames(ulong lowest, ulong highest) =>
        ((int)Math.Min(int.MaxValue, (lowest >> 12) + ((lowest & 0xFFF) != 0 ? 1UL : 0)),
            (int)Math.Min(int.MaxValue, highest == ulong.MaxValue ? ulong.MaxValue : (highest + 1) >> 12) - 1);

    /// <summary>Gives a piece back; who waits for one does not hear of it.</summary>
    /// <exception cref="BugCheck">BAD_POOL_CALLER: none begins there.</exception>
    public void FreeContiguous(Va address)
    {
        if (!_contiguous.Remove(address, out var run))
            throw new BugCheck(BugCheckCode.BAD_POOL_CALLER, 0x60, address.Value);
        _nt.Memory.Unmap(address, (ulong)run.Pages << 12);
        Uncommit((ulong)run.Pages);
        for (int i = 0; i < run.Pages; i++) Caching.Set(run.First + i, CacheTypes.MmCached);
        _freeRuns.Add(_nt.Memory, run.First, run.Pages);
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public Va MmAllocateContiguousMemory(ulong numberOfBytes, ulong highestAcceptableAddress) =>
        AllocateContiguous(numberOfBytes, 0, highestAcceptableAddress, 0, CacheTypes.MmCached, Protection.All);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public Va MmAllocateContiguousMemorySpecifyCache(
        ulong numberOfBytes, ulong lowestAcceptableAddress, ulong highestAcceptableAddress,
        ulong boundaryAddressMultiple, uint cacheType) =>
        AllocateContiguous(numberOfBytes, lowestAcceptableAddress, highestAcceptableAddress, boundaryAddressMultiple,
            cacheType, Protection.All);

    /// <summary>There is one node, so each that is asked for is near.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public Va MmAllocateContiguousMemorySpecifyCacheNode(
        ulong numberOfBytes, ulong lowestAcceptableAddress, ulong highestAcceptableAddress,
        ulong boundaryAddressMultiple, uint cacheType, uint preferredNode) =>
        AllocateContiguous(numberOfBytes, lowestAcceptableAddress, highestAcceptableAddress, boundaryAddressMultiple,
            cacheType, Protection.All);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public Va MmAllocateContiguousNodeMemory(
        ulong numberOfBytes, ulong lowestAcceptableAddress, ulong highestAcceptableAddress,
        ulong boundaryAddressMultiple, uint protect, uint preferredNode) =>
        !PageProtection.IsValid(protect) || !PageProtection.MayWrite(protect) ? Va.Null
            : AllocateContiguous(numberOfBytes, lowestAcceptableAddress, highestAcceptableAddress,
                boundaryAddressMultiple, CacheTypes.Of(protect), PageProtection.Of(protect) & ~Protection.User);

    /// <summary>The same with a status: addresses by pointer, and a tag that leads nowhere.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public NtStatus MmAllocateContiguousMemoryEx(
        Va numberOfBytes, ulong lowestAcceptableAddress, ulong highestAcceptableAddress, ulong boundaryAddressMultiple,
        uint preferredNode, uint protect, Va partitionObject, uint tag, uint flags, Va baseAddress)
    {
        _nt.Memory.Write(baseAddress, Va.Null);
        if (!partitionObject.IsNull || flags != 0 || tag == 0) return Status.STATUS_INVALID_PARAMETER;
        if (!PageProtection.IsValid(protect) || !PageProtection.MayWrite(protect))
            return Status.STATUS_INVALID_PAGE_PROTECTION;
        ulong bytes = _nt.Memory.Read<ulong>(numberOfBytes);
        Va start = MmAllocateContiguousNodeMemory(bytes, lowestAcceptableAddress, highestAcceptableAddress,
            boundaryAddressMultiple, protect, preferredNode);
        if (start.IsNull) return Status.STATUS_INSUFFICIENT_RESOURCES;
        _nt.Memory.Write(numberOfBytes, (bytes + 0xFFF) & ~0xFFFUL);
        _nt.Memory.Write(baseAddress, start);
        return Status.STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void MmFreeContiguousMemory(Va baseAddress)
    {
        FreeContiguous(baseAddress);
        _nt.Hal.MemoryIsBack();
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void MmFreeContiguousMemorySpecifyCache(Va baseAddress, ulong numberOfBytes, uint cacheType) =>
        MmFreeContiguousMemory(baseAddress);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public Va MmAllocateNonCachedMemory(ulong numberOfBytes) =>
        AllocateContiguous(numberOfBytes, 0, ulong.MaxValue, 0, CacheTypes.MmNonCached, Protection.ReadWrite);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void MmFreeNonCachedMemory(Va baseAddress, ulong numberOfBytes)
    {
        if (_contiguous.TryGetValue(baseAddress, out var run) && run.Pages != (int)((numberOfBytes + 0xFFF) >> 12))
            throw new BugCheck(BugCheckCode.SYSTEM_PTE_MISUSE, 2, baseAddress.Value, (ulong)run.Pages,
                numberOfBytes >> 12);
        MmFreeContiguousMemory(baseAddress);
    }
}

/// <summary>Runs of frames that were one piece and are free again. They stay one, for who wants one next.</summary>
sealed class ContiguousFrames
{
    readonly SortedDictionary<int, int> _runs = [];

    public void Add(Memory memory, int first, int count)
    {
        for (int i = first; i < first + count; i++)
        {
            // A frame that a driver has locked or mapped elsewhere must not be given to another.
            if (memory.Physical.References(i) == 1) Join(i);
            else memory.Release(i);
        }
    }

    void Join(int frame)
    {
        (int start, int length) = (frame, 1);
        if (_runs.Remove(frame + 1, out int behind)) length += behind;
        foreach ((int run, int count) in _runs)
        {
            if (run + count != frame) continue;
            (start, length) = (run, length + count);
            break;
        }
        _runs[start] = length;
    }

    /// <summary>Takes frames out of the first run that has room for them; 0 if none has.</summary>
    public int Take(Memory memory, int count, int lowest, int highest, int boundary)
    {
        foreach ((int run, int length) in _runs)
        {
            long first = Math.Max(run, lowest);
            if (boundary > 0 && count <= boundary && first / boundary != (first + count - 1) / boundary)
                first = (first / boundary + 1) * boundary;
            if (boundary > 0 && count > boundary || first + count > run + length) continue;
            if (first + count - 1 > highest) continue;
            _runs.Remove(run);
            int taken = (int)first, end = run + length;
            if (taken > run) _runs[run] = taken - run;
            if (end > taken + count) _runs[taken + count] = end - taken - count;
            for (int i = 0; i < count; i++) memory.ClearFrame(taken + i);
            return taken;
        }
        return 0;
    }
}
