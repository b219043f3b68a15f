using Ringdown.Machine;
using static Ringdown.Kernel.BugCheckCode;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>The executive's services: pool for drivers, and what its other files hold.</summary>
[NtModule("ntoskrnl.exe")]
sealed partial class Ex(NtKernel nt)
{
    const uint NoneTag = 0x656E_6F4E;     // 'None'
    const uint BigTag = 0x2047_4942;      // 'BIG '
    const uint ProtectedTag = 0x8000_0000;

    /// <summary>Objects and services of the executive that are there from the start.</summary>
    public void Boot()
    {
        _resourceList = ListEntry.At(nt.Memory, nt.Mm.Pool.Allocate(ListEntry.Size, ResourceTag));
        _resourceList.Initialize();
        foreach (string name in (ReadOnlySpan<string>)["SetSystemTime", "PowerState", "ProcessorAdd"])
            nt.Ob.Insert(nt.Ob.Root.Entries!["Callback"], name, NewCallback(allowMultiple: true));
    }

    Va Allocate(PoolRequest request, ulong bytes, uint tag)
    {
        Check(request, bytes, tag);
        Va block = nt.Mm.Pool.Allocate(bytes, request.Kind, tag, nt.Caller, request.Zero,
            request.CacheAligned ? 64u : 16);
        NtStatus failed = block.IsNull ? STATUS_INSUFFICIENT_RESOURCES : STATUS_SUCCESS;
        if (!block.IsNull && request.Quota && !TryCharge(block))
        {
            nt.Mm.Pool.Free(block);
            (block, failed) = (Va.Null, STATUS_QUOTA_EXCEEDED);
        }
        if (block.IsNull && request.Raise) throw new GuestException(failed.Value);
        return block;
    }

    // What NT itself stops for, whether or not it is verified.
    void Check(PoolRequest request, ulong bytes, uint tag)
    {
        if (request.MustSucceed) throw new BugCheck(BAD_POOL_CALLER, 0x9A, request.Type, bytes, tag);
        if (tag == 0) throw new BugCheck(BAD_POOL_CALLER, 0x9B, request.Type, bytes, nt.Caller.Value);
        if (tag == BigTag) throw new BugCheck(BAD_POOL_CALLER, 0x9C, request.Type, bytes, nt.Caller.Value);
        if (nt.Ke.Irql > (request.Kind == PoolKind.Paged ? APC_LEVEL : DISPATCH_LEVEL))
            throw new BugCheck(BAD_POOL_CALLER, 8, (ulong)nt.Ke.Irql, request.Type, bytes);
    }

    /// <summary>The current process pays for a block, until it is freed. The System process pays nothing.</summary>
    public bool TryCharge(Va address)
    {
        Va payer = nt.Ps.CurrentProcess.Address;
        if (payer == nt.Ps.SystemProcess.Address || !nt.Mm.Pool.TryFind(address, out PoolBlock? block)) return true;
        if (!nt.Mm.Quota.TryCharge(payer, block!.Kind, block.Size)) return false;
        block.Payer = payer;
        return true;
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public Va ExAllocatePoolWithTag(uint poolType, ulong numberOfBytes, uint tag) =>
        Allocate(PoolRequest.OfType(poolType), numberOfBytes, tag);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public Va ExAllocatePool(uint poolType, ulong numberOfBytes) =>
        Allocate(PoolRequest.OfType(poolType), numberOfBytes, NoneTag);

    /// <summary>A low priority fails when memory is scarce: a quarter is left for normal ones, a sixteenth for high
    /// ones.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public Va ExAllocatePoolWithTagPriority(uint poolType, ulong numberOfBytes, uint tag, uint priority) =>
        IsScarce(priority) ? Va.Null : Allocate(PoolRequest.OfType(poolType), numberOfBytes, tag);

    bool IsScarce(uint priority)
    {
        // LowPoolPriority 0, NormalPoolPriority 16, HighPoolPriority 32, each with variants up to 15 above it.
        ulong kept = (priority & 0xFF) switch
        {
            < 16 => Mm.MemoryPages / 4,
            < 32 => Mm.MemoryPages / 16,
            _ => 0,
        };
        return nt.Mm.AvailablePages < kept;
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public Va ExAllocatePoolWithQuotaTag(uint poolType, ulong numberOfBytes, uint tag) =>
        Allocate(PoolRequest.OfQuotaType(poolType), numberOfBytes, tag);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public Va ExAllocatePoolWithQuota(uint poolType, ulong numberOfBytes) =>
        Allocate(PoolRequest.OfQuotaType(poolType), numberOfBytes, NoneTag);

    /// <summary>By POOL_FLAG_*: exactly one pool must be named; zeroed unless asked otherwise.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public Va ExAllocatePool2(ulong flags, ulong numberOfBytes, uint tag) =>
        ExAllocatePool3(flags, numberOfBytes, tag, Va.Null, 0);

    [Export(Support.Partial, "A secure pool is refused: there are no secure pools.")]
    [IrqlRequiresMax(DISPATCH_LEVEL)]
    public Va ExAllocatePool3(
        ulong flags, ulong numberOfBytes, uint tag, Va extendedParameters, uint extendedParametersCount)
    {
        PoolRequest? request = PoolRequest.OfFlags(flags);
        bool possible = request is not null && tag != 0 && numberOfBytes != 0;
        for (uint i = 0; possible && i < Math.Min(extendedParametersCount, 16); i++)
            possible = MayTake(extendedParameters + i * 16);
        if (possible) return Allocate(request!.Value, numberOfBytes, tag);
        if ((flags & PoolRequest.POOL_FLAG_RAISE_ON_FAILURE) == 0) return Va.Null;
        throw new GuestException(STATUS_INVALID_PARAMETER.Value);
    }

    // POOL_EXTENDED_PARAMETER: its type in 8 bits, then "optional", and a value behind.
    bool MayTake(Va parameter)
    {
        const uint priority = 1, numaNode = 3;
        ulong head = nt.Memory.Read<ulong>(parameter), value = nt.Memory.Read<ulong>(parameter + 8);
        bool taken = (uint)(head & 0xFF) switch
        {
            priority => !IsScarce((uint)value),
            numaNode => (uint)value is 0 or 0x8000_0000,
            _ => false,
        };
        return taken || (head & 0x100) != 0;
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void ExFreePoolWithTag([FreesMem] Va p, uint tag)
    {
        if (nt.Mm.Pool.TryFind(p, out PoolBlock? block))
        {
            bool isProtected = (block!.Tag & ProtectedTag) != 0;
            if ((tag != 0 || isProtected) && ((block.Tag ^ tag) & ~ProtectedTag) != 0)
                throw new BugCheck(BAD_POOL_CALLER, 0x0A, p.Value, block.Tag, tag);
            if (nt.Ke.Irql > (block.Kind == PoolKind.Paged ? APC_LEVEL : DISPATCH_LEVEL))
                throw new BugCheck(BAD_POOL_CALLER, 9, (ulong)nt.Ke.Irql, block.Kind == PoolKind.Paged ? 1u : 0,
                    p.Value);
        }
        nt.Mm.Pool.Free(p);
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void ExFreePool([FreesMem] Va p) => ExFreePoolWithTag(p, 0);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void ExFreePool2([FreesMem] Va p, uint tag, Va extendedParameters, uint extendedParametersCount) =>
        ExFreePoolWithTag(p, tag);

    /// <summary>The usable bytes of a block, and whether quota was charged for it.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public ulong ExQueryPoolBlockSize(Va poolBlock, Va quotaCharged)
    {
        if (!nt.Mm.Pool.TryFind(poolBlock, out PoolBlock? block))
            throw new BugCheck(BAD_POOL_CALLER, 0x46, poolBlock.Value);
        nt.Memory.Write(quotaCharged, (byte)(block!.Payer.IsNull ? 0 : 1));
        return block.Bytes;
    }
}

/// <summary>What is asked of pool, however it was said.</summary>
readonly record struct PoolRequest(uint Type, PoolKind Kind)
{
    public const ulong POOL_FLAG_USE_QUOTA = 1, POOL_FLAG_UNINITIALIZED = 2, POOL_FLAG_SESSION = 4,
        POOL_FLAG_CACHE_ALIGNED = 8, POOL_FLAG_RAISE_ON_FAILURE = 0x20, POOL_FLAG_NON_PAGED = 0x40,
        POOL_FLAG_NON_PAGED_EXECUTE = 0x80, POOL_FLAG_PAGED = 0x100;

    const ulong Pools = POOL_FLAG_NON_PAGED | POOL_FLAG_NON_PAGED_EXECUTE | POOL_FLAG_PAGED;
    const ulong Required = 0xFFFF_FFFF, Known = Pools | POOL_FLAG_USE_QUOTA | POOL_FLAG_UNINITIALIZED
        | POOL_FLAG_SESSION | POOL_FLAG_CACHE_ALIGNED | POOL_FLAG_RAISE_ON_FAILURE;
    const uint QuotaFailInsteadOfRaise = 8, RaiseIfAllocationFailure = 16, NxAllocation = 0x200,
        ZeroAllocation = 0x400;

    public bool Zero { get; init; }
    public bool CacheAligned { get; init; }
    public bool MustSucceed { get; init; }
    public bool Raise { get; init; }
    public bool Quota { get; init; }

    /// <summary>A POOL_TYPE: bit 0 paged, bit 1 must succeed, bit 2 cache aligned, 0x20 of a session.</summary>
    public static PoolRequest OfType(uint type) => new(type, (type & 1) != 0 ? PoolKind.Paged
        : (type & NxAllocation) != 0 ? PoolKind.NonPaged : PoolKind.NonPagedExecute)
    {
        MustSucceed = (type & 2) != 0,
        CacheAligned = (type & 4) != 0,
        Raise = (type & RaiseIfAllocationFailure) != 0,
        Zero = (type & ZeroAllocation) != 0,
    };

    /// <summary>The same where quota is charged: it raises, unless the type says not to.</summary>
    public static PoolRequest OfQuotaType(uint type) =>
        OfType(type) with { Quota = true, Raise = (type & QuotaFailInsteadOfRaise) == 0 };

    /// <summary>POOL_FLAG_*; null if a required flag is not known, or not exactly one pool is named.</summary>
    public static PoolRequest? OfFlags(ulong flags)
    {
        ulong pool = flags & Pools;
        if ((flags & Required & ~Known) != 0 || !ulong.IsPow2(pool)) return null;
        return new PoolRequest((uint)flags, pool switch
        {
            POOL_FLAG_PAGED => PoolKind.Paged,
            POOL_FLAG_NON_PAGED => PoolKind.NonPaged,
            _ => PoolKind.NonPagedExecute,
        })
        {
            Zero = (flags & POOL_FLAG_UNINITIALIZED) == 0,
            CacheAligned = (flags & POOL_FLAG_CACHE_ALIGNED) != 0,
            Raise = (flags & POOL_FLAG_RAISE_ON_FAILURE) != 0,
            Quota = (flags & POOL_FLAG_USE_QUOTA) != 0,
        };
    }
}
