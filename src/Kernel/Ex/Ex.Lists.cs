using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

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

/// <summary>Interlocked lists: singly linked without a lock, and doubly or singly linked under a spin lock.</summary>
sealed partial class Ex
{
    [Export]
    public void InitializeSListHead(SListHeader listHead)
    {
        if ((listHead.Address.Value & 0xF) != 0) throw new GuestException(STATUS_DATATYPE_MISALIGNMENT.Value);
        (listHead.Alignment, listHead.Region) = (0, 0);
    }

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
        if ((listEntry.Value & 0xF) != 0) throw new GuestException(STATUS_DATATYPE_MISALIGNMENT.Value);
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

    /// <summary>Puts a chain of entries in front.</summary>
    [Export]
    public Va InterlockedPushListSList(SListHeader listHead, Va list, Va listEnd, uint count)
    {
        Va first = listHead.First;
        nt.Memory.Write(listEnd, first);
        listHead.Set(listHead.Depth + (ushort)count, list);
        return first;
    }

    [Export]
    public Va ExInterlockedPopEntrySList(SListHeader listHead, Va @lock) => ExpInterlockedPopEntrySList(listHead);

    [Export]
    public Va ExInterlockedPushEntrySList(SListHeader listHead, Va listEntry, Va @lock) =>
        ExpInterlockedPushEntrySList(listHead, listEntry);

    [Export]
    public Va ExInterlockedFlushSList(SListHeader listHead) => ExpInterlockedFlushSList(listHead);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public ushort ExQueryDepthSList(SListHeader listHead) => listHead.Depth;

    [Export]
    public Va FirstEntrySList(SListHeader listHead) => listHead.First;

    /// <summary>Does something under a spin lock, as another processor may want to do the same.</summary>
    T Interlocked<T>(Va @lock, Func<T> body)
    {
        nt.Ke.Acquire(@lock);
        try
        {
            return body();
        }
        finally
        {
            nt.Ke.Release(@lock);
        }
    }

    ListEntry NoEntry => ListEntry.At(nt.Memory, Va.Null);

    [Export]
    public ListEntry ExInterlockedInsertTailList(ListEntry listHead, ListEntry listEntry, Va @lock) =>
        Interlocked(@lock, () =>
        {
            ListEntry last = listHead.IsEmpty ? NoEntry : listHead.Blink;
            listHead.InsertTail(listEntry);
            return last;
        });

    [Export]
    public ListEntry ExInterlockedInsertHeadList(ListEntry listHead, ListEntry listEntry, Va @lock) =>
        Interlocked(@lock, () =>
        {
            ListEntry first = listHead.IsEmpty ? NoEntry : listHead.Flink;
            listHead.InsertHead(listEntry);
            return first;
        });

    [Export]
    public ListEntry ExInterlockedRemoveHeadList(ListEntry listHead, Va @lock) => Interlocked(@lock, () =>
    {
        if (listHead.IsEmpty) return NoEntry;
        ListEntry first = listHead.Flink;
        first.Remove();
        return first;
    });

    /// <summary>SINGLE_LIST_ENTRY: puts one in front and returns who was first.</summary>
    [Export]
    public Va ExInterlockedPushEntryList(Va listHead, Va listEntry, Va @lock) => Interlocked(@lock, () =>
    {
        Va first = nt.Memory.Read<Va>(listHead);
        nt.Memory.Write(listEntry, first);
        nt.Memory.Write(listHead, listEntry);
        return first;
    });

    [Export]
    public Va ExInterlockedPopEntryList(Va listHead, Va @lock) => Interlocked(@lock, () =>
    {
        Va first = nt.Memory.Read<Va>(listHead);
        if (!first.IsNull) nt.Memory.Write(listHead, nt.Memory.Read<Va>(first));
        return first;
    });

    [Export]
    public uint ExInterlockedAddUlong(Va addend, uint increment, Va @lock) => Interlocked(@lock, () =>
    {
        uint old = nt.Memory.Read<uint>(addend);
        nt.Memory.Write(addend, old + increment);
        return old;
    });

    [Export]
    public ulong ExInterlockedAddLargeInteger(Va addend, ulong increment, Va @lock) => Interlocked(@lock, () =>
    {
        ulong old = nt.Memory.Read<ulong>(addend);
        nt.Memory.Write(addend, old + increment);
        return old;
    });

    [Export]
    public uint ExInterlockedExchangeUlong(Va target, uint value, Va @lock) => Interlocked(@lock, () =>
    {
        uint old = nt.Memory.Read<uint>(target);
        nt.Memory.Write(target, value);
        return old;
    });
}
