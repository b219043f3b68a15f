using Ringdown.Machine;
using static Ringdown.Kernel.Irql;

namespace Ringdown.Kernel;

/// <summary>SLIST_HEADER of x64: depth in bits 0-15, sequence above it; the first entry in the second word.</summary>
[Layout("_SLIST_HEADER", Size = 0x10)]
public readonly partial struct SListHeader
{
    [Field(0x00, Name = "Alignment")] public partial ulong Alignment { get; set; }
    [Field(0x08, Name = "Region")] public partial ulong Region { get; set; }

    public ushort Depth => (ushort)Alignment;
    public Va First => new(Region & ~0xFUL);

    /// <summary>Each change counts the sequence up, so that a compare-exchange of another processor fails.</summary>
    public void Set(int depth, Va first)
    {
        ulong sequence = (Alignment >> 16) + 1;
        Alignment = sequence << 16 | (ushort)depth;
        Region = first.Value;
    }
}

[Layout("_NPAGED_LOOKASIDE_LIST", Size = 0x80)]
public readonly partial struct LookasideList
{
    [Embedded(0x00, Name = "L.ListHead")] public partial SListHeader ListHead { get; }
    [Field(0x10, Name = "L.Depth")] public partial ushort Depth { get; set; }
    [Field(0x12, Name = "L.MaximumDepth")] public partial ushort MaximumDepth { get; set; }
    [Field(0x24, Name = "L.Type")] public partial uint Type { get; set; }
    [Field(0x28, Name = "L.Tag")] public partial uint Tag { get; set; }
    [Field(0x2C, Name = "L.Size")] public partial uint EntrySize { get; set; }
    [Field(0x30, Name = "L.Allocate")] public partial Va Allocate { get; set; }
    [Field(0x38, Name = "L.Free")] public partial Va Free { get; set; }
}

/// <summary>Interlocked lists and lookaside lists.</summary>
sealed partial class Ex
{
    [Export]
    public Va ExpInterlockedPopEntrySList(SListHeader listHead)
    {
        Va first = listHead.First;
        if (!first.IsNull) listHead.Set(listHead.Depth - 1, nt.Memory.Read<Va>(first));
        return first;
    }

    [Export]
    public Va ExpInterlockedPushEntrySList(SListHeader listHead, Va listEntry)
    {
        Va first = listHead.First;
        nt.Memory.Write(listEntry, first);
        listHead.Set(listHead.Depth + 1, listEntry);
        return first;
    }

    [Export]
    public Va ExpInterlockedFlushSList(SListHeader listHead)
    {
        Va first = listHead.First;
        listHead.Set(0, Va.Null);
        return first;
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public ushort ExQueryDepthSList(SListHeader listHead) => listHead.Depth;

    [Export]
    public void InitializeSListHead(SListHeader listHead) => (listHead.Alignment, listHead.Region) = (0, 0);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void ExInitializeNPagedLookasideList(
        LookasideList lookaside, Va allocate, Va free, uint flags, ulong size, uint tag, ushort depth) =>
        Initialize(lookaside, allocate, free, flags | 0x200, size, tag);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void ExInitializePagedLookasideList(
        LookasideList lookaside, Va allocate, Va free, uint flags, ulong size, uint tag, ushort depth) =>
        Initialize(lookaside, allocate, free, flags | 1, size, tag);

    void Initialize(LookasideList list, Va allocate, Va free, uint type, ulong size, uint tag)
    {
        nt.Memory.Fill(list.Address, LookasideList.Size, 0);
        // Depth 0: the inline free always gives the block back to the pool, so that touching it afterwards is noticed.
        (list.Depth, list.MaximumDepth) = (0, 256);
        (list.Type, list.Tag, list.EntrySize) = (type, tag, (uint)size);
        list.Allocate = allocate.IsNull ? nt.Loader.FindExport(nameof(ExAllocatePoolWithTag)) : allocate;
        list.Free = free.IsNull ? nt.Loader.FindExport(nameof(ExFreePool)) : free;
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void ExDeleteNPagedLookasideList(LookasideList lookaside)
    {
        for (Va entry = ExpInterlockedPopEntrySList(lookaside.ListHead); !entry.IsNull; entry =
            ExpInterlockedPopEntrySList(lookaside.ListHead))
            nt.Routines.Call(lookaside.Free, entry.Value);
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void ExDeletePagedLookasideList(LookasideList lookaside) => ExDeleteNPagedLookasideList(lookaside);

    [Export]
    public ListEntry ExInterlockedInsertTailList(ListEntry listHead, ListEntry listEntry, Va @lock)
    {
        ListEntry last = listHead.IsEmpty ? ListEntry.At(nt.Memory, Va.Null) : listHead.Blink;
        listHead.InsertTail(listEntry);
        return last;
    }

    [Export]
    public ListEntry ExInterlockedInsertHeadList(ListEntry listHead, ListEntry listEntry, Va @lock)
    {
        ListEntry first = listHead.IsEmpty ? ListEntry.At(nt.Memory, Va.Null) : listHead.Flink;
        listHead.InsertHead(listEntry);
        return first;
    }

    [Export]
    public ListEntry ExInterlockedRemoveHeadList(ListEntry listHead, Va @lock)
    {
        if (listHead.IsEmpty) return ListEntry.At(nt.Memory, Va.Null);
        ListEntry first = listHead.Flink;
        first.Remove();
        return first;
    }
}
