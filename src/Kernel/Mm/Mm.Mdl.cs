using Ringdown.Machine;
using static Ringdown.Kernel.BugCheckCode;
using static Ringdown.Kernel.Irql;

namespace Ringdown.Kernel;

/// <summary>Memory descriptor lists: buffers described by their page frames, made and locked.</summary>
sealed partial class Mm
{
    const int MaximumMdlPages = 0x10000;

    /// <summary>How often MDLs hold each frame: frame numbers in an MDL are a driver's to change, these are
    /// not.</summary>
    readonly Dictionary<int, int> _frameLocks = [];
    readonly Dictionary<Va, long> _lockedOf = [];

    /// <summary>Pages of a process that MDLs hold locked.</summary>
    public long LockedPagesOf(Va process) => _lockedOf.GetValueOrDefault(process);

    static BugCheck Misuse(ulong subcode, Mdl mdl, MdlFlags bad) =>
        new(DRIVER_VERIFIER_DETECTED_VIOLATION, subcode, mdl.Address.Value, (ushort)mdl.MdlFlags, (ushort)bad);

    /// <summary>An MDL for a buffer, its frames not filled in; null if the buffer is too long for one.</summary>
    /// <param name="owner">The return address of the driver that asks; null for the kernel's own.</param>
    public Mdl CreateMdl(Va buffer, ulong length, Va owner = default)
    {
        ulong pages = (buffer.PageOffset + length + 0xFFF) >> 12;
        if (length > uint.MaxValue || pages > MaximumMdlPages) return Mdl.At(_nt.Memory, Va.Null);
        int size = Mdl.Size + (int)pages * 8;
        Mdl mdl = Mdl.At(_nt.Memory, owner.IsNull ? Pool.Allocate(size, MdlTag)
            : Pool.Allocate((ulong)size, PoolKind.NonPaged, MdlTag, owner, zero: true));
        if (mdl.IsNull) return mdl;
        Initialize(mdl, buffer, length);
        mdl.MdlFlags = MdlFlags.AllocatedFixedSize;
        return mdl;
    }

    // MmInitializeMdl, with a size that wraps as the short field does.
    static void Initialize(Mdl mdl, Va buffer, ulong length)
    {
        mdl.Next = default;
        mdl.ObjectSize = unchecked((short)(Mdl.Size + (int)((buffer.PageOffset + length + 0xFFF) >> 12) * 8));
        mdl.MdlFlags = MdlFlags.None;
        mdl.StartVa = buffer.PageStart;
        mdl.ByteOffset = buffer.PageOffset;
        mdl.ByteCount = (uint)length;
    }

    [Export]
    public ulong MmSizeOfMdl(Va @base, ulong length) =>
        (ulong)Mdl.Size + ((@base.PageOffset + length + 0xFFF) >> 12) * 8;

    /// <summary>In memory of the caller's, or in pool if that is null.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public Mdl MmCreateMdl(Mdl memoryDescriptorList, Va @base, ulong length)
    {
        if (memoryDescriptorList.IsNull) return CreateMdl(@base, length);
        Initialize(memoryDescriptorList, @base, length);
        return memoryDescriptorList;
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public Mdl IoAllocateMdl(Va virtualAddress, uint length, bool secondaryBuffer, bool chargeQuota, Irp irp)
    {
        // A driver's own is asked about where it is allocated.
        Mdl mdl = _nt.Caller.IsNull && Pool.MayAllocate?.Invoke(length, MdlTag) == false
            ? Mdl.At(_nt.Memory, Va.Null) : CreateMdl(virtualAddress, length, _nt.Caller);
        if (mdl.IsNull || irp.IsNull) return mdl;
        if (!secondaryBuffer || irp.MdlAddress.IsNull)
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
    public void IoFreeMdl(Mdl mdl)
    {
        if ((mdl.MdlFlags & MdlFlags.PartialHasBeenMapped) != 0) MmUnmapLockedPages(mdl.MappedSystemVa, mdl);
        Pool.Free(mdl.Address);
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void IoBuildPartialMdl(Mdl sourceMdl, Mdl targetMdl, Va virtualAddress, uint length)
    {
        uint bytes = length != 0 ? length : (uint)(sourceMdl.VirtualAddress + sourceMdl.ByteCount - virtualAddress);
        targetMdl.Process = sourceMdl.Process;
        targetMdl.StartVa = virtualAddress.PageStart;
        targetMdl.ByteOffset = virtualAddress.PageOffset;
        targetMdl.ByteCount = bytes;
        int first = (int)((virtualAddress.PageStart - sourceMdl.StartVa) >> 12);
        for (int i = 0; i < targetMdl.PageCount; i++) targetMdl.SetFrame(i, sourceMdl.Frame(first + i));
        const MdlFlags inherited = MdlFlags.SourceIsNonpagedPool | MdlFlags.MappedToSystemVa | MdlFlags.IoPageRead
            | MdlFlags.IoSpace;
        MdlFlags from = sourceMdl.MdlFlags & inherited;
        targetMdl.MdlFlags = targetMdl.MdlFlags & MdlFlags.AllocatedFixedSize | MdlFlags.Partial | from;
        if ((from & (MdlFlags.SourceIsNonpagedPool | MdlFlags.MappedToSystemVa)) != 0)
            targetMdl.MappedSystemVa = sourceMdl.MappedSystemVa + (virtualAddress - sourceMdl.VirtualAddress);
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void MmBuildMdlForNonPagedPool(Mdl memoryDescriptorList)
    {
        Mdl mdl = memoryDescriptorList;
        for (int i = 0; i < mdl.PageCount; i++)
        {
            Va page = mdl.StartVa + i * Va.PageSize;
            if ((_nt.Memory.ProtectionOf(page) & Protection.Paged) != 0)
                throw new BugCheck(DRIVER_VERIFIER_DETECTED_VIOLATION, 0x7F, (ulong)_nt.Ke.Irql, mdl.Address.Value,
                    (ushort)mdl.MdlFlags);
            mdl.SetFrame(i, (ulong)_nt.Memory.FrameOf(page));
        }
        mdl.Process = Va.Null;
        mdl.MappedSystemVa = mdl.VirtualAddress;
        mdl.MdlFlags |= MdlFlags.SourceIsNonpagedPool;
    }

    /// <summary>Makes pages stay, and notes their frames. All of them, or none and an exception in the caller.
    /// </summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void MmProbeAndLockPages(Mdl memoryDescriptorList, ProcessorMode accessMode, uint operation)
    {
        Mdl mdl = memoryDescriptorList;
        const MdlFlags wrong = MdlFlags.PagesLocked | MdlFlags.MappedToSystemVa | MdlFlags.SourceIsNonpagedPool
            | MdlFlags.Partial | MdlFlags.IoSpace;
        if ((mdl.MdlFlags & wrong) is not MdlFlags.None and var bad) throw Misuse(0xB0, mdl, bad);
        Access access = operation == 0 ? Access.Read : Access.Write;
        bool user = mdl.StartVa.Value < MmUserProbeAddress;
        if (accessMode == ProcessorMode.UserMode
            && (!user || mdl.VirtualAddress.Value + mdl.ByteCount > MmUserProbeAddress))
            throw GuestException.AccessViolation(mdl.VirtualAddress, access);
        Probe(mdl.VirtualAddress, mdl.ByteCount, access);
        for (int i = 0; i < mdl.PageCount; i++) LockPage(mdl, i, mdl.StartVa + i * Va.PageSize, access);
        Locked(mdl, user, access);
    }

    // At DISPATCH_LEVEL a page that is away cannot be fetched: no exception then, but the end.
    void Probe(Va start, ulong bytes, Access access)
    {
        for (Va page = start; page < start + bytes; page = page.PageStart + Va.PageSize)
        {
            if (_nt.Memory.CanAccess(page, 1, access)) continue;
            if (page.Value < MmUserProbeAddress && Space.TryTouchGuard(page))
                throw new GuestException(Status.STATUS_GUARD_PAGE_VIOLATION.Value);
            if (_nt.Ke.Irql >= DISPATCH_LEVEL) throw new PageFault(page, access, FaultCause.NotPresent);
            throw GuestException.AccessViolation(page, access);
        }
        if (start + bytes < start) throw GuestException.AccessViolation(start, access);
    }

    void LockPage(Mdl mdl, int index, Va page, Access access)
    {
        int pfn = _nt.Memory.FrameOf(page);
        if (pfn == 0)
        {
            for (int i = 0; i < index; i++) Unlock(mdl.Frame(i));
            throw GuestException.AccessViolation(page, access);
        }
        mdl.SetFrame(index, (ulong)pfn);
        _nt.Memory.Retain(pfn);
        _frameLocks[pfn] = _frameLocks.GetValueOrDefault(pfn) + 1;
    }

    void Locked(Mdl mdl, bool user, Access access)
    {
        Va process = user ? _nt.Ps.CurrentProcess.Address : Va.Null;
        mdl.Process = process;
        if (user) _lockedOf[process] = LockedPagesOf(process) + mdl.PageCount;
        mdl.MdlFlags |= MdlFlags.PagesLocked | (access == Access.Write ? MdlFlags.WriteOperation : MdlFlags.None);
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void MmProbeAndLockProcessPages(
        Mdl memoryDescriptorList, EProcess process, ProcessorMode accessMode, uint operation) =>
        InProcess(process, () =>
        {
            MmProbeAndLockPages(memoryDescriptorList, accessMode, operation);
            return true;
        });

    /// <summary>Locks pages that need not lie in a row: FILE_SEGMENT_ELEMENTs of 8 bytes, one a page.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void MmProbeAndLockSelectedPages(
        Mdl memoryDescriptorList, Va segmentArray, ProcessorMode accessMode, uint operation)
    {
        Mdl mdl = memoryDescriptorList;
        if ((mdl.MdlFlags & MdlFlags.PagesLocked) != 0) throw Misuse(0xB0, mdl, MdlFlags.PagesLocked);
        Access access = operation == 0 ? Access.Read : Access.Write;
        int pages = mdl.PageCount;
        for (int i = 0; i < pages; i++)
        {
            Va page = _nt.Memory.Read<Va>(segmentArray + i * 8).PageStart;
            if (accessMode == ProcessorMode.UserMode && page.Value >= MmUserProbeAddress)
                throw GuestException.AccessViolation(page, access);
            Probe(page, Va.PageSize, access);
        }
        for (int i = 0; i < pages; i++) LockPage(mdl, i, _nt.Memory.Read<Va>(segmentArray + i * 8).PageStart, access);
        mdl.StartVa = _nt.Memory.Read<Va>(segmentArray).PageStart;
        Locked(mdl, mdl.StartVa.Value < MmUserProbeAddress, access);
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void MmUnlockPages(Mdl memoryDescriptorList)
    {
        Mdl mdl = memoryDescriptorList;
        if ((mdl.MdlFlags & MdlFlags.PagesLocked) == 0) throw Misuse(0x7C, mdl, MdlFlags.PagesLocked);
        if ((mdl.MdlFlags & MdlFlags.SourceIsNonpagedPool) != 0)
            throw Misuse(0x7D, mdl, MdlFlags.SourceIsNonpagedPool);
        if ((mdl.MdlFlags & MdlFlags.Partial) != 0) throw Misuse(0xB4, mdl, MdlFlags.Partial);
        if ((mdl.MdlFlags & MdlFlags.MappedToSystemVa) != 0) MmUnmapLockedPages(mdl.MappedSystemVa, mdl);
        int pages = mdl.PageCount;
        for (int i = 0; i < pages; i++) Unlock(mdl.Frame(i));
        CountUnlocked(mdl, pages);
        mdl.MdlFlags &= ~(MdlFlags.PagesLocked | MdlFlags.WriteOperation);
    }

    void CountUnlocked(Mdl mdl, int pages)
    {
        if (_lockedOf.TryGetValue(mdl.Process, out long locked))
            _lockedOf[mdl.Process] = Math.Max(0, locked - pages);
    }

    // The frame numbers stand in guest memory: a driver may have scribbled over them.
    void Unlock(ulong pfn)
    {
        if (pfn > int.MaxValue || !_frameLocks.TryGetValue((int)pfn, out int locks))
            throw new BugCheck(PFN_LIST_CORRUPT, 7, pfn);
        if (locks == 1) _frameLocks.Remove((int)pfn);
        else _frameLocks[(int)pfn] = locks - 1;
        _nt.Memory.Release((int)pfn);
    }

    /// <summary>Lets go of the first bytes of a locked buffer: the MDL describes the rest.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public NtStatus MmAdvanceMdl(Mdl mdl, uint numberOfBytes)
    {
        const MdlFlags needed = MdlFlags.PagesLocked, wrong = MdlFlags.Partial | MdlFlags.SourceIsNonpagedPool
            | MdlFlags.IoSpace;
        if (numberOfBytes > mdl.ByteCount) return Status.STATUS_INVALID_PARAMETER_2;
        if ((mdl.MdlFlags & needed) == 0 || (mdl.MdlFlags & wrong) != 0) return Status.STATUS_INVALID_PARAMETER_1;
        int pages = mdl.PageCount, gone = (int)(((ulong)mdl.ByteOffset + numberOfBytes) >> 12);
        if (gone > 0 && (mdl.MdlFlags & MdlFlags.MappedToSystemVa) != 0) MmUnmapLockedPages(mdl.MappedSystemVa, mdl);
        for (int i = 0; i < gone; i++) Unlock(mdl.Frame(i));
        for (int i = gone; i < pages; i++) mdl.SetFrame(i - gone, mdl.Frame(i));
        CountUnlocked(mdl, gone);
        uint offset = (uint)(((ulong)mdl.ByteOffset + numberOfBytes) & 0xFFF);
        if ((mdl.MdlFlags & MdlFlags.MappedToSystemVa) != 0) mdl.MappedSystemVa += numberOfBytes;
        mdl.StartVa += gone * Va.PageSize;
        (mdl.ByteOffset, mdl.ByteCount) = (offset, mdl.ByteCount - numberOfBytes);
        return Status.STATUS_SUCCESS;
    }
}
