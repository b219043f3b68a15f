using Ringdown.Machine;
using static Ringdown.Kernel.Irql;

namespace Ringdown.Kernel;

/// <summary>Pageable code and data of drivers.</summary>
sealed partial class Mm
{
    /// <summary>Locks the section in which an address lies; the handle unlocks it, or locks it again.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public Va MmLockPagableDataSection(Va addressWithinSection)
    {
        Va handle = Paging.Lock(addressWithinSection);
        if (handle.IsNull) throw new BugCheck(BugCheckCode.MEMORY_MANAGEMENT, 0x1235, addressWithinSection.Value);
        return handle;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public Va MmLockPagableImageSection(Va addressWithinSection) => MmLockPagableDataSection(addressWithinSection);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void MmLockPagableSectionByHandle(Va imageSectionHandle) => MmLockPagableDataSection(imageSectionHandle);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void MmUnlockPagableImageSection(Va imageSectionHandle)
    {
        if (!Paging.Unlock(imageSectionHandle))
            throw new BugCheck(BugCheckCode.MEMORY_MANAGEMENT, 0x1010, imageSectionHandle.Value);
    }

    /// <summary>Takes the right to write a section away for good; its length may be left out, as it is protected
    /// whole.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus MmProtectDriverSection(Va addressWithinSection, ulong size, uint flags)
    {
        const uint allowUnload = 1;
        if ((flags & ~allowUnload) != 0) return Status.STATUS_INVALID_PARAMETER_3;
        return Paging.MakeReadOnly(addressWithinSection) ? Status.STATUS_SUCCESS : Status.STATUS_INVALID_PARAMETER_1;
    }

    /// <summary>Returns where the driver begins.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public Va MmPageEntireDriver(Va addressWithinSection) => Paging.PageAll(addressWithinSection);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void MmResetDriverPaging(Va addressWithinSection) => Paging.Reset(addressWithinSection);
}
