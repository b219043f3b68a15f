using Ringdown.Machine;
using static Ringdown.Kernel.Irql;

namespace Ringdown.Kernel;

/// <summary>Memory management: pool, stacks, MDLs, mappings of physical memory.</summary>
[NtModule("ntoskrnl.exe")]
sealed partial class Mm
{
    const uint MdlTag = 0x206C_644D;    // 'Mdl '

    readonly NtKernel _nt;
    Va _nextPte = new(0xFFFF_B800_0000_0000), _nextStack = new(0xFFFF_C000_0000_0000), _nextUser = new(0x1_0000_0000);

    public Mm(NtKernel nt)
    {
        _nt = nt;
        Pool = new Pool(nt);
    }

    public Pool Pool { get; }

    /// <summary>A kernel stack with a guard page below it. Its addresses are not used again.</summary>
    public KernelStack NewStack(int bytes)
    {
        Va guard = _nextStack, start = guard + Va.PageSize;
        _nextStack = start + bytes;
        _nt.Memory.Map(guard, Va.PageSize, Protection.Guard);
        _nt.Memory.Map(start, (ulong)bytes, Protection.ReadWrite);
        return new KernelStack(start + bytes, start);
    }

    public void FreeStack(KernelStack stack) =>
        _nt.Memory.Unmap(stack.Limit - Va.PageSize, stack.Base - stack.Limit + Va.PageSize);

    public const int StackBytes = 6 * Va.PageSize;

    /// <summary>Memory in the user half of the current process, as VirtualAlloc gives; a page that is not there follows
    /// it.</summary>
    public Va AllocateUser(ulong bytes, Protection protection = Protection.ReadWrite)
    {
        Va start = _nextUser;
        ulong size = (Math.Max(1, bytes) + 0xFFF) & ~0xFFFUL;
        _nextUser += size + Va.PageSize;
        _nt.Memory.Map(start, size, protection | Protection.User);
        return start;
    }

    public void FreeUser(Va start, ulong bytes) => _nt.Memory.Unmap(start, (Math.Max(1, bytes) + 0xFFF) & ~0xFFFUL);

    /// <summary>Free addresses for a mapping of so many pages, and one page between it and the next.</summary>
    public Va ReservePtes(int pages)
    {
        Va start = _nextPte;
        _nextPte += (ulong)(pages + 1) << 12;
        return start;
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public Va MmMapIoSpace(ulong physicalAddress, ulong numberOfBytes, uint cacheType)
    {
        if (numberOfBytes == 0 || numberOfBytes > 1UL << 30) return Va.Null;
        ulong offset = physicalAddress & 0xFFF;
        int pages = (int)((offset + numberOfBytes + 0xFFF) >> 12);
        Va start = ReservePtes(pages);
        _ioSpace.Add(start, pages);
        for (int i = 0; i < pages; i++) MapPhysical(start + i * Va.PageSize, (physicalAddress >> 12) + (ulong)i);
        return start + offset;
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public Va MmMapIoSpaceEx(ulong physicalAddress, ulong numberOfBytes, uint protect) =>
        MmMapIoSpace(physicalAddress, numberOfBytes, 0);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void MmUnmapIoSpace(Va baseAddress, ulong numberOfBytes)
    {
        if (!_ioSpace.Remove(baseAddress.PageStart, out int pages))
            throw new BugCheck(BugCheckCode.SYSTEM_PTE_MISUSE, 0x400, baseAddress.Value, numberOfBytes >> 12);
        _nt.Memory.Unmap(baseAddress.PageStart, (ulong)pages << 12);
    }

    readonly Dictionary<Va, int> _ioSpace = [];

    // An address that is neither memory nor a device reads as all ones and swallows writes, as an open bus does.
    public void MapPhysical(Va address, ulong pfn, Protection more = Protection.None)
    {
        if (pfn < int.MaxValue && _nt.Memory.Physical.Contains((int)pfn))
            _nt.Memory.MapFrame(address, (int)pfn, Protection.ReadWrite | more);
        else _nt.Memory.MapDevice(address, Va.PageSize, OpenBus.Instance, pfn << 12);
    }

    [Export]
    public ulong MmGetPhysicalAddress(Va baseAddress)
    {
        int pfn = _nt.Memory.FrameOf(baseAddress);
        return pfn == 0 ? 0 : (ulong)pfn << 12 | baseAddress.PageOffset;
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public bool MmIsAddressValid(Va virtualAddress) => _nt.Memory.CanAccess(virtualAddress, 1, Access.Read);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public Va MmAllocateContiguousMemory(ulong numberOfBytes, ulong highestAcceptableAddress)
    {
        if (numberOfBytes == 0 || numberOfBytes > 1UL << 30) return Va.Null;
        if (Pool.MayAllocate?.Invoke(numberOfBytes, 0) == false) return Va.Null;
        int pages = (int)((numberOfBytes + 0xFFF) >> 12), first = _nt.Memory.Physical.AllocateContiguous(pages);
        Va start = ReservePtes(pages);
        for (int i = 0; i < pages; i++)
        {
            _nt.Memory.MapFrame(start + i * Va.PageSize, first + i, Protection.ReadWrite);
            _nt.Memory.Release(first + i);      // the mapping holds the only reference
        }
        _contiguous.Add(start, pages);
        return start;
    }

    readonly Dictionary<Va, int> _contiguous = [];

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public Va MmAllocateContiguousMemorySpecifyCache(
        ulong numberOfBytes, ulong lowestAcceptableAddress, ulong highestAcceptableAddress, ulong boundary,
            uint cacheType) =>
        MmAllocateContiguousMemory(numberOfBytes, highestAcceptableAddress);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void MmFreeContiguousMemory(Va baseAddress)
    {
        if (!_contiguous.Remove(baseAddress, out int pages))
            throw new BugCheck(BugCheckCode.BAD_POOL_CALLER, 0x46, baseAddress.Value);
        _nt.Memory.Unmap(baseAddress, (ulong)pages << 12);
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void MmFreeContiguousMemorySpecifyCache(Va baseAddress, ulong numberOfBytes, uint cacheType) =>
        MmFreeContiguousMemory(baseAddress);

    [ExportData] public ulong MmHighestUserAddress => 0x7FFF_FFFE_FFFF;
    [ExportData] public ulong MmSystemRangeStart => 0xFFFF_8000_0000_0000;
    [ExportData] public ulong MmUserProbeAddress => 0x7FFF_FFFF_0000;
}

/// <summary>Physical addresses at which nothing answers.</summary>
sealed class OpenBus : IMmioDevice
{
    public static readonly OpenBus Instance = new();

    public ulong Read(ulong offset, int size) => ulong.MaxValue;

    public void Write(ulong offset, int size, ulong value)
    {
    }
}
