using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>GENERAL_LOOKASIDE, under whatever name: inline code of drivers takes entries from it, and calls what it
/// names when it is empty.</summary>
[Layout("_NPAGED_LOOKASIDE_LIST", Size = 0x80)]
public readonly partial struct LookasideList
{
    [Embedded(0x00, Name = "L.ListHead")] public partial SListHeader ListHead { get; }
    [Field(0x10, Name = "L.Depth")] public partial ushort Depth { get; set; }
    [Field(0x12, Name = "L.MaximumDepth")] public partial ushort MaximumDepth { get; set; }
    [Field(0x14, Name = "L.TotalAllocates")] public partial uint TotalAllocates { get; set; }
    [Field(0x1C, Name = "L.TotalFrees")] public partial uint TotalFrees { get; set; }
    [Field(0x24, Name = "L.Type")] public partial uint Type { get; set; }
    [Field(0x28, Name = "L.Tag")] public partial uint Tag { get; set; }
    [Field(0x2C, Name = "L.Size")] public partial uint EntrySize { get; set; }
    [Field(0x30, Name = "L.Allocate")] public partial Va Allocate { get; set; }
    [Field(0x38, Name = "L.Free")] public partial Va Free { get; set; }
    [Embedded(0x40, Name = "L.ListEntry")] public partial ListEntry ListEntry { get; }
}

/// <summary>Lookaside lists.</summary>
sealed partial class Ex
{
    /// <summary>LOOKASIDE_LIST_EX: the same without what rounds it up to cache lines.</summary>
    const int LookasideExSize = 0x60;
    const uint LookasideInPool = 0xCC;

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void ExInitializeNPagedLookasideList(
        LookasideList lookaside, Va allocate, Va free, uint flags, ulong size, uint tag, ushort depth) =>
        Initialize(lookaside, LookasideList.Size, allocate, free, flags, size, tag);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void ExInitializePagedLookasideList(
        LookasideList lookaside, Va allocate, Va free, uint flags, ulong size, uint tag, ushort depth) =>
        Initialize(lookaside, LookasideList.Size, allocate, free, flags | 1, size, tag);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public NtStatus ExInitializeLookasideListEx(
        LookasideList lookaside, Va allocate, Va free, uint poolType, uint flags, ulong size, uint tag, ushort depth)
    {
        const uint raiseOnFail = 1, failNoRaise = 2, maximumDepth = 1024;
        const uint quotaFailInsteadOfRaise = 8, raiseIfFailure = 16;
        if (size > uint.MaxValue || (flags & ~(raiseOnFail | failNoRaise)) != 0) return STATUS_INVALID_PARAMETER;
        if (flags == (raiseOnFail | failNoRaise)) return STATUS_INVALID_PARAMETER_4;
        if (depth > maximumDepth) return STATUS_INVALID_PARAMETER_7;
        uint type = poolType | (flags == raiseOnFail ? raiseIfFailure : 0)
            | (flags == failNoRaise ? quotaFailInsteadOfRaise : 0);
        Initialize(lookaside, LookasideExSize, allocate, free, type, size, tag);
        return STATUS_SUCCESS;
    }

    void Initialize(LookasideList list, int bytes, Va allocate, Va free, uint type, ulong size, uint tag)
    {
        nt.Memory.Fill(list.Address, (ulong)bytes, 0);
        // Depth 0: the inline free always gives the block back to the pool, so that touching it afterwards is noticed.
        (list.Depth, list.MaximumDepth) = (0, 256);
        (list.Type, list.Tag, list.EntrySize) = (type, tag, (uint)Math.Max(size, 8));
        list.Allocate = allocate.IsNull ? nt.Loader.FindExport(nameof(ExAllocatePoolWithTag)) : allocate;
        list.Free = free.IsNull ? nt.Loader.FindExport(nameof(ExFreePool)) : free;
        list.ListEntry.Initialize();
        nt.Mm.Pool.Mark(list.Address, LookasideInPool);
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void ExDeleteNPagedLookasideList(LookasideList lookaside)
    {
        nt.Mm.Pool.Unmark(lookaside.Address);
        FreeEntries(lookaside);
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void ExDeletePagedLookasideList(LookasideList lookaside) => ExDeleteNPagedLookasideList(lookaside);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void ExDeleteLookasideListEx(LookasideList lookaside) => ExDeleteNPagedLookasideList(lookaside);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void ExFlushLookasideListEx(LookasideList lookaside) => FreeEntries(lookaside);

    // FreeEx takes the list as well; Free does not look at it.
    void FreeEntries(LookasideList list)
    {
        for (Va entry = ExpInterlockedPopEntrySList(list.ListHead); !entry.IsNull;
            entry = ExpInterlockedPopEntrySList(list.ListHead))
        {
            nt.Ke.Clock.Spend();
            nt.Routines.Call(list.Free, entry.Value, list.Address.Value);
        }
    }
}
