using Ringdown.Machine;
using static Ringdown.Kernel.Irql;

namespace Ringdown.Kernel;

/// <summary>Memory descriptor lists: buffers described by their page frames.</summary>
sealed partial class Mm
{
    const int MaximumMdlPages = 0x10000;

    /// <summary>What is mapped for MDLs, in pages. A driver can change an MDL; only these may be unmapped by
    /// one.</summary>
    readonly Dictionary<Va, int> _lockedMappings = [];

    /// <summary>An MDL for a buffer, its frames not filled in; null if the buffer is too long for one.</summary>
    public Mdl CreateMdl(Va buffer, ulong length)
    {
        ulong pages = (buffer.PageOffset + length + 0xFFF) >> 12;
        if (length > uint.MaxValue || pages > MaximumMdlPages) return Mdl.At(_nt.Memory, Va.Null);
        int size = Mdl.Size + (int)pages * 8;
        Mdl mdl = Mdl.At(_nt.Memory, Pool.Allocate(size, MdlTag));
        mdl.ObjectSize = (short)size;
        mdl.StartVa = buffer.PageStart;
        mdl.ByteOffset = buffer.PageOffset;
        mdl.ByteCount = (uint)length;
        mdl.MdlFlags = MdlFlags.AllocatedFixedSize;
        return mdl;
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void MmBuildMdlForNonPagedPool(Mdl mdl)
    {
        for (int i = 0; i < mdl.PageCount; i++)
            mdl.SetFrame(i, (ulong)_nt.Memory.FrameOf(mdl.StartVa + i * Va.PageSize));
        mdl.MappedSystemVa = mdl.VirtualAddress;
        mdl.MdlFlags |= MdlFlags.SourceIsNonpagedPool;
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void MmProbeAndLockPages(Mdl mdl, ProcessorMode accessMode, uint operation)
    {
        Access access = operation == 0 ? Access.Read : Access.Write;
        bool user = mdl.StartVa.Value < MmUserProbeAddress;
        if (accessMode == ProcessorMode.UserMode
            && (!user || mdl.VirtualAddress.Value + mdl.ByteCount > MmUserProbeAddress)
            || !_nt.Memory.CanAccess(mdl.VirtualAddress, mdl.ByteCount, access))
            throw GuestException.AccessViolation(mdl.VirtualAddress, access);
        for (int i = 0; i < mdl.PageCount; i++)
        {
            int pfn = _nt.Memory.FrameOf(mdl.StartVa + i * Va.PageSize);
            if (pfn == 0) throw GuestException.AccessViolation(mdl.StartVa + i * Va.PageSize, access);
            _nt.Memory.Retain(pfn);
            mdl.SetFrame(i, (ulong)pfn);
        }
        mdl.Process = user ? _nt.Ps.CurrentProcess.Address : Va.Null;
        mdl.MdlFlags |= MdlFlags.PagesLocked | (access == Access.Write ? MdlFlags.WriteOperation : MdlFlags.None);
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void MmUnlockPages(Mdl mdl)
    {
        if ((mdl.MdlFlags & MdlFlags.PagesLocked) == 0)
            throw new BugCheck(BugCheckCode.PROCESS_HAS_LOCKED_PAGES, mdl.Address.Value);
        if ((mdl.MdlFlags & MdlFlags.MappedToSystemVa) != 0) MmUnmapLockedPages(mdl.MappedSystemVa, mdl);
        for (int i = 0; i < mdl.PageCount; i++) Unlock(mdl.Frame(i));
        mdl.MdlFlags &= ~(MdlFlags.PagesLocked | MdlFlags.WriteOperation);
    }

    // The frame numbers stand in guest memory: a driver may have scribbled over them.
    void Unlock(ulong pfn)
    {
        if (pfn > int.MaxValue || !_nt.Memory.Physical.Contains((int)pfn))
            throw new BugCheck(BugCheckCode.PFN_LIST_CORRUPT, 7, pfn);
        _nt.Memory.Release((int)pfn);
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public Va MmMapLockedPagesSpecifyCache(
        Mdl mdl, ProcessorMode accessMode, uint cacheType, Va requestedAddress, uint bugCheckOnFailure, uint priority)
    {
        int pages = mdl.PageCount;
        if (pages > MaximumMdlPages) return Va.Null;
        bool toUser = accessMode == ProcessorMode.UserMode;
        Va start = toUser ? AllocateUser((ulong)pages << 12) : ReservePtes(pages);
        for (int i = 0; i < pages; i++)
        {
            ulong pfn = mdl.Frame(i);
            if (pfn > int.MaxValue || !_nt.Memory.Physical.Contains((int)pfn))
                throw new BugCheck(BugCheckCode.PFN_LIST_CORRUPT, 1, mdl.Address.Value, pfn);
            _nt.Memory.MapFrame(start
                + i * Va.PageSize, (int)pfn, Protection.ReadWrite | (toUser ? Protection.User : 0));
        }
        Va mapped = start + mdl.ByteOffset;
        _lockedMappings[start.PageStart] = pages;
        if (toUser) return mapped;
        mdl.MappedSystemVa = mapped;
        mdl.MdlFlags |= MdlFlags.MappedToSystemVa;
        return mapped;
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public Va MmMapLockedPages(Mdl mdl, ProcessorMode accessMode) =>
        MmMapLockedPagesSpecifyCache(mdl, accessMode, 1, Va.Null, 1, 32);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void MmUnmapLockedPages(Va baseAddress, Mdl mdl)
    {
        if (!_lockedMappings.Remove(baseAddress.PageStart, out int pages))
            throw new BugCheck(BugCheckCode.SYSTEM_PTE_MISUSE, 0x400, baseAddress.Value, (ulong)mdl.PageCount);
        _nt.Memory.Unmap(baseAddress.PageStart, (ulong)pages << 12);
        if (baseAddress.Value < MmUserProbeAddress) return;
        mdl.MdlFlags &= ~(MdlFlags.MappedToSystemVa | MdlFlags.PartialHasBeenMapped);
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void IoFreeMdl(Mdl mdl)
    {
        if ((mdl.MdlFlags & MdlFlags.PartialHasBeenMapped) != 0) MmUnmapLockedPages(mdl.MappedSystemVa, mdl);
        Pool.Free(mdl.Address);
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public Mdl IoAllocateMdl(Va virtualAddress, uint length, bool secondaryBuffer, bool chargeQuota, Irp irp)
    {
        Mdl mdl = Pool.MayAllocate?.Invoke(length, MdlTag) == false
            ? Mdl.At(_nt.Memory, Va.Null) : CreateMdl(virtualAddress, length);
        if (mdl.IsNull || irp.IsNull) return mdl;
        if (!secondaryBuffer)
        {
            irp.MdlAddress = mdl;
            return mdl;
        }
        Mdl last = irp.MdlAddress;
        for (; !last.Next.IsNull; last = last.Next) _nt.Ke.Clock.Spend();
        last.Next = mdl;
        return mdl;
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void IoBuildPartialMdl(Mdl source, Mdl target, Va virtualAddress, uint length)
    {
        uint bytes = length != 0 ? length : (uint)(source.VirtualAddress + source.ByteCount - virtualAddress);
        target.Process = source.Process;
        target.StartVa = virtualAddress.PageStart;
        target.ByteOffset = virtualAddress.PageOffset;
        target.ByteCount = bytes;
        int first = (int)((virtualAddress.PageStart - source.StartVa) >> 12);
        for (int i = 0; i < target.PageCount; i++) target.SetFrame(i, source.Frame(first + i));
        target.MdlFlags = MdlFlags.Partial | (
            source.MdlFlags & (MdlFlags.SourceIsNonpagedPool | MdlFlags.MappedToSystemVa));
        if ((target.MdlFlags & ~MdlFlags.Partial) != 0)
            target.MappedSystemVa = source.MappedSystemVa + (virtualAddress - source.VirtualAddress);
    }

    [Export]
    public ulong MmSizeOfMdl(Va @base, ulong length) =>
        (ulong)Mdl.Size + ((@base.PageOffset + length + 0xFFF) >> 12) * 8;
}
