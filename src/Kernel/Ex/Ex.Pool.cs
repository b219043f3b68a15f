using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>The executive's services: pool for drivers, and what its other files hold.</summary>
[NtModule("ntoskrnl.exe")]
sealed partial class Ex(NtKernel nt)
{
    const uint NoneTag = 0x656E_6F4E;     // 'None'
    const uint POOL_COLD_ALLOCATION = 0x100, POOL_QUOTA_FAIL_INSTEAD_OF_RAISE = 8,
        POOL_RAISE_IF_ALLOCATION_FAILURE = 16;

    Va Allocate(uint poolType, ulong bytes, uint tag, bool zero = false)
    {
        PoolKind kind = (poolType & 1) != 0 ? PoolKind.Paged
            : (poolType & 0x200) != 0 ? PoolKind.NonPaged : PoolKind.NonPagedExecute;
        Va block = nt.Mm.Pool.Allocate(bytes, kind, tag, nt.Caller, zero);
        if (block.IsNull && (poolType & POOL_RAISE_IF_ALLOCATION_FAILURE) != 0)
            throw new GuestException(STATUS_INSUFFICIENT_RESOURCES.Value);
        return block;
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public Va ExAllocatePoolWithTag(uint poolType, ulong numberOfBytes, uint tag) =>
        Allocate(poolType, numberOfBytes, tag);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public Va ExAllocatePool(uint poolType, ulong numberOfBytes) => Allocate(poolType, numberOfBytes, NoneTag);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public Va ExAllocatePoolWithTagPriority(uint poolType, ulong numberOfBytes, uint tag, uint priority) =>
        Allocate(poolType, numberOfBytes, tag);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public Va ExAllocatePoolWithQuotaTag(uint poolType, ulong numberOfBytes, uint tag)
    {
        Va block = Allocate(poolType & ~POOL_QUOTA_FAIL_INSTEAD_OF_RAISE, numberOfBytes, tag);
        if (block.IsNull && (poolType & POOL_QUOTA_FAIL_INSTEAD_OF_RAISE) == 0)
            throw new GuestException(STATUS_INSUFFICIENT_RESOURCES.Value);
        return block;
    }

    /// <summary>ExAllocatePool2: the flags say zeroed unless asked otherwise (2), paged (0x100) or executable
    /// (0x80).</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public Va ExAllocatePool2(ulong flags, ulong numberOfBytes, uint tag)
    {
        uint type = (flags & 0x100) != 0 ? 1u : (flags & 0x80) != 0 ? 0u : 0x200u;
        Va block = Allocate(type, numberOfBytes, tag, zero: (flags & 2) == 0);
        if (block.IsNull && (flags & 0x20) != 0) throw new GuestException(STATUS_INSUFFICIENT_RESOURCES.Value);
        return block;
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void ExFreePoolWithTag([FreesMem] Va p, uint tag)
    {
        const uint protectedTag = 0x8000_0000;
        if (tag != 0 && nt.Mm.Pool.TryFind(p, out PoolBlock? block) && ((block!.Tag ^ tag) & ~protectedTag) != 0)
            throw new BugCheck(BugCheckCode.BAD_POOL_CALLER, 0x0A, p.Value, block.Tag, tag);
        nt.Mm.Pool.Free(p);
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void ExFreePool([FreesMem] Va p) => nt.Mm.Pool.Free(p);
}
