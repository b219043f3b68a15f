using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>Dynamic hash tables.</summary>
sealed partial class Rtl
{
    const uint HashTableTag = 0x6C62_5448, RTL_HASH_ALLOCATED_HEADER = 1;

    HashTable Open(RtlDynamicHashTable table) => new(nt, table);

    /// <summary>Sets up the table that a pointer points at; makes one where it is null.</summary>
    [Export]
    public bool RtlCreateHashTable(Va hashTable, uint shift, uint flags)
    {
        Va given = nt.Memory.Read<Va>(hashTable), made = given;
        if (given.IsNull)
            made = nt.Mm.Pool.Allocate(
                RtlDynamicHashTable.Size, PoolKind.NonPaged, HashTableTag, nt.Caller, zero: true);
        Va directory = made.IsNull ? Va.Null : nt.Mm.Pool.Allocate(
            HashTable.DirectoryBytes, PoolKind.NonPaged, HashTableTag, nt.Caller, zero: true);
        if (directory.IsNull) return false;
        var table = RtlDynamicHashTable.At(nt.Memory, made);
        nt.Memory.Fill(made, RtlDynamicHashTable.Size, 0);
        (table.Flags, table.Shift) = (given.IsNull ? RTL_HASH_ALLOCATED_HEADER : 0, shift);
        (table.TableSize, table.DivisorMask) = (HashTable.BaseSize, HashTable.BaseSize - 1);
        table.Directory = directory;
        if (!Open(table).AddLevel(0)) return false;
        nt.Memory.Write(hashTable, made);
        return true;
    }

    [Export]
    public void RtlDeleteHashTable(RtlDynamicHashTable hashTable)
    {
        Open(hashTable).FreeAll();
        if ((hashTable.Flags & RTL_HASH_ALLOCATED_HEADER) != 0) nt.Mm.Pool.Free(hashTable.Address);
    }

    [Export]
    public bool RtlInsertEntryHashTable(
        RtlDynamicHashTable hashTable, HashTableEntry entry, ulong signature, HashTableContext context)
    {
        HashTable open = Open(hashTable);
        using var own = new ScratchContext(nt, ref context);
        if (own.IsUsed || context.ChainHead.IsNull) open.Populate(context, signature);
        open.Insert(entry, context);
        return true;
    }

    [Export]
    public bool RtlRemoveEntryHashTable(RtlDynamicHashTable hashTable, HashTableEntry entry, HashTableContext context)
    {
        Open(hashTable).Remove(entry);
        if (!context.IsNull) Open(hashTable).Populate(context, entry.Signature);
        return true;
    }

    [Export]
    public HashTableEntry RtlLookupEntryHashTable(
        RtlDynamicHashTable hashTable, ulong signature, HashTableContext context)
    {
        HashTable open = Open(hashTable);
        using var own = new ScratchContext(nt, ref context);
        open.Populate(context, signature);
        return open.Next(context, first: true);
    }

    /// <summary>The next entry with the signature that the context was looked up with.</summary>
    [Export]
    public HashTableEntry RtlGetNextEntryHashTable(RtlDynamicHashTable hashTable, HashTableContext context) =>
        Open(hashTable).Next(context, first: false);

    /// <summary>While it runs the table keeps its size.</summary>
    [Export]
    public bool RtlInitEnumerationHashTable(RtlDynamicHashTable hashTable, HashTableEnumerator enumerator)
    {
        Open(hashTable).Start(enumerator);
        hashTable.NumEnumerators++;
        return true;
    }

    [Export]
    public HashTableEntry RtlEnumerateEntryHashTable(RtlDynamicHashTable hashTable, HashTableEnumerator enumerator) =>
        Open(hashTable).Enumerate(enumerator);

    [Export]
    public void RtlEndEnumerationHashTable(RtlDynamicHashTable hashTable, HashTableEnumerator enumerator)
    {
        HashTable.Stop(enumerator);
        hashTable.NumEnumerators--;
    }

    /// <summary>The table may change its size meanwhile: then entries may be seen twice or not at all.</summary>
    [Export]
    public bool RtlInitWeakEnumerationHashTable(RtlDynamicHashTable hashTable, HashTableEnumerator enumerator)
    {
        Open(hashTable).Start(enumerator);
        return true;
    }

    [Export]
    public HashTableEntry RtlWeaklyEnumerateEntryHashTable(
        RtlDynamicHashTable hashTable, HashTableEnumerator enumerator) => Open(hashTable).Enumerate(enumerator);

    [Export]
    public void RtlEndWeakEnumerationHashTable(RtlDynamicHashTable hashTable, HashTableEnumerator enumerator) =>
        HashTable.Stop(enumerator);

    [Export] public bool RtlExpandHashTable(RtlDynamicHashTable hashTable) => Open(hashTable).Expand();

    [Export] public bool RtlContractHashTable(RtlDynamicHashTable hashTable) => Open(hashTable).Contract();

    // The context is optional: without one, a search still needs a place to stand.
    readonly ref struct ScratchContext
    {
        readonly NtKernel _nt;
        readonly Va _block;

        public ScratchContext(NtKernel nt, ref HashTableContext context)
        {
            _nt = nt;
            if (!context.IsNull) return;
            _block = nt.Mm.Pool.Allocate(HashTableContext.Size, HashTableTag);
            context = HashTableContext.At(nt.Memory, _block);
        }

        public bool IsUsed => !_block.IsNull;

        public void Dispose()
        {
            if (IsUsed) _nt.Mm.Pool.Free(_block);
        }
    }
}
