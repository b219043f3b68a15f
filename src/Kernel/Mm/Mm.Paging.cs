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

    /// <summary>Returns where the driver begins.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public Va MmPageEntireDriver(Va addressWithinSection) => Paging.PageAll(addressWithinSection);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void MmResetDriverPaging(Va addressWithinSection) => Paging.Reset(addressWithinSection);
}
