using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Physical memory: mapped, looked up, copied.</summary>
sealed partial class Mm
{
    const uint RangesTag = 0x6E52_6D4D;      // 'MmRn'
    const ulong MaximumIoSpace = 1UL << 30;

    readonly Dictionary<Va, (int Pages, Va Owner)> _ioSpace = [];

    Va MapIoSpace(ulong physicalAddress, ulong bytes, Protection protection, uint cacheType)
    {
        if (bytes is 0 or > MaximumIoSpace || physicalAddress + bytes < physicalAddress) return Va.Null;
        ulong offset = physicalAddress & 0xFFF;
        int pages = (int)((offset + bytes + 0xFFF) >> 12);
        Spend((ulong)pages);
        Va start = ReservePtes(pages);
        _ioSpace.Add(start, (pages, _nt.Caller));
        for (int i = 0; i < pages; i++)
            MapPhysical(start + i * Va.PageSize, (physicalAddress >> 12) + (ulong)i, protection, cacheType);
        return start + offset;
    }

    /// <summary>Maps one page. An address that is neither memory nor a device reads as all ones and swallows writes, as
    /// an open bus does.</summary>
    public void MapPhysical(Va address, ulong pfn, Protection protection, uint cacheType = CacheTypes.MmCached)
    {
        if (pfn < int.MaxValue && _nt.Memory.Physical.Contains((int)pfn))
        {
            Caching.Note((int)pfn, cacheType);
            _nt.Memory.MapFrame(address, (int)pfn, protection);
        }
        else _nt.Memory.MapDevice(address, Va.PageSize, _nt.Computer.Registers, pfn << 12);
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public Va MmMapIoSpace(ulong physicalAddress, ulong numberOfBytes, uint cacheType) =>
        cacheType >= CacheTypes.Count ? Va.Null
            : MapIoSpace(physicalAddress, numberOfBytes, Protection.All, cacheType);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public Va MmMapIoSpaceEx(ulong physicalAddress, ulong numberOfBytes, uint protect)
    {
        if (!PageProtection.IsValid(protect) || !PageProtection.MayRead(protect)) return Va.Null;
        return MapIoSpace(physicalAddress, numberOfBytes, PageProtection.Of(protect) & ~Protection.User,
            CacheTypes.Of(protect));
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void MmUnmapIoSpace(Va baseAddress, ulong numberOfBytes)
    {
        if (!_ioSpace.Remove(baseAddress.PageStart, out var mapping))
            throw new BugCheck(BugCheckCode.SYSTEM_PTE_MISUSE, 0x400, baseAddress.Value, numberOfBytes >> 12);
        _nt.Memory.Unmap(baseAddress.PageStart, (ulong)mapping.Pages << 12);
    }

    /// <summary>What a driver has not given back of physical memory, a line each.</summary>
    public IReadOnlyList<string> LeftBy(Func<Va, bool> isOwner) =>
        [.. _contiguous.OrderBy(c => c.Key).Select(c => c.Value).Where(c => isOwner(c.Owner)).Select(
            c => $"{c.Pages << 12} bytes of contiguous memory, allocated by {_nt.Loader.Describe(c.Owner)}"),
            .. _ioSpace.OrderBy(m => m.Key).Select(m => m.Value).Where(m => isOwner(m.Owner)).Select(
            m => $"a mapping of {m.Pages} page(s) of I/O space, made by {_nt.Loader.Describe(m.Owner)}")];

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public Va MmMapVideoDisplay(ulong physicalAddress, ulong numberOfBytes, uint cacheType) =>
        MmMapIoSpace(physicalAddress, numberOfBytes, cacheType);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void MmUnmapVideoDisplay(Va baseAddress, ulong numberOfBytes) => MmUnmapIoSpace(baseAddress, numberOfBytes);

    [Export]
    public ulong MmGetPhysicalAddress(Va baseAddress)
    {
        if (_nt.Memory.DeviceAt(baseAddress, out ulong offset) is PhysicalDevices) return offset;
        int pfn = baseAddress.IsCanonical ? _nt.Memory.FrameOf(baseAddress) : 0;
        return pfn == 0 ? 0 : (ulong)pfn << 12 | baseAddress.PageOffset;
    }

    /// <summary>The lowest kernel address that shows a physical one, or null.</summary>
    [Export]
    public Va MmGetVirtualForPhysical(ulong physicalAddress)
    {
        ulong pfn = physicalAddress >> 12;
        if (pfn >= PhysicalMemory.EndFrame || !_nt.Memory.Physical.Contains((int)pfn)) return Va.Null;
        Spend(CommittedPages);
        return _nt.Memory.KernelMappingOf((int)pfn) is { } page ? page + (physicalAddress & 0xFFF) : Va.Null;
    }

    /// <summary>PHYSICAL_MEMORY_RANGEs, ended by an empty one; the caller frees them. There is one: from 1 MiB on.
    /// </summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public Va MmGetPhysicalMemoryRanges()
    {
        Va ranges = Pool.Allocate(32, PoolKind.NonPaged, RangesTag, _nt.Caller, zero: true);
        if (ranges.IsNull) return ranges;
        _nt.Memory.Write(ranges, (ulong)PhysicalMemory.FirstFrame << 12);
        _nt.Memory.Write(ranges + 8, MemoryPages << 12);
        return ranges;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public Va MmGetPhysicalMemoryRangesEx(Va partitionObject) =>
        partitionObject.IsNull ? MmGetPhysicalMemoryRanges() : Va.Null;

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public Va MmGetPhysicalMemoryRangesEx2(Va partitionObject, uint flags) =>
        MmGetPhysicalMemoryRangesEx(partitionObject);

    /// <summary>Refused, as on every machine to which no memory can be added while it runs.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus MmAddPhysicalMemory(Va startAddress, Va numberOfBytes) => STATUS_NOT_SUPPORTED;

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus MmRemovePhysicalMemory(Va startAddress, Va numberOfBytes) => STATUS_NOT_SUPPORTED;

    /// <summary>Copies from a physical (flag 1) or virtual address (flag 2); what is not there ends it with a
    /// status.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus MmCopyMemory(
        Va targetAddress, ulong sourceAddress, ulong numberOfBytes, uint flags, Va numberOfBytesTransferred)
    {
        const uint physical = 1, @virtual = 2;
        _nt.Memory.Write(numberOfBytesTransferred, 0UL);
        if (flags is not (physical or @virtual)) return STATUS_INVALID_PARAMETER_4;
        for (ulong done = 0; done < numberOfBytes;)
        {
            Va source = new(sourceAddress + done);
            int count = (int)Math.Min(numberOfBytes - done, Va.PageSize - (ulong)source.PageOffset);
            if (!TryRead(source, count, flags == physical, out byte[] bytes))
                return flags == physical ? STATUS_INVALID_ADDRESS : STATUS_ACCESS_VIOLATION;
            _nt.Memory.Write(targetAddress + done, bytes);
            done += (ulong)count;
            _nt.Memory.Write(numberOfBytesTransferred, done);
            _nt.Ke.Clock.Spend();
        }
        return STATUS_SUCCESS;
    }

    bool TryRead(Va source, int count, bool isPhysical, out byte[] bytes)
    {
        bytes = new byte[count];
        if (!isPhysical)
        {
            if (!_nt.Memory.CanAccess(source, (ulong)count, Access.Read)) return false;
            _nt.Memory.Read(source, bytes);
            return true;
        }
        ulong pfn = source.Value >> 12;
        if (pfn is < PhysicalMemory.FirstFrame or >= PhysicalMemory.EndFrame) return false;
        // Memory that nobody was given is zero.
        if (_nt.Memory.Physical.Contains((int)pfn)) ReadFrame((int)pfn, (int)source.PageOffset, bytes);
        return true;
    }

    unsafe void ReadFrame(int pfn, int offset, Span<byte> bytes) =>
        new ReadOnlySpan<byte>(_nt.Memory.Physical.Host(pfn) + offset, bytes.Length).CopyTo(bytes);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public bool MmIsAddressValid(Va virtualAddress) => _nt.Memory.CanAccess(virtualAddress, 1, Access.Read);

    /// <summary>Whether an address of the kernel's half is there and will stay there.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public bool MmIsNonPagedSystemAddressValid(Va virtualAddress) =>
        virtualAddress.Value >= MmSystemRangeStart && _nt.Memory.CanAccess(virtualAddress, 1, Access.Read)
        && (_nt.Memory.ProtectionOf(virtualAddress) & Protection.Paged) == 0;

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public bool MmIsIoSpaceActive(ulong startAddress, ulong numberOfBytes) =>
        _ioSpace.Any(m => MmGetPhysicalAddress(m.Key) is var start && start < startAddress + numberOfBytes
            && startAddress < start + ((ulong)m.Value.Pages << 12));
}
