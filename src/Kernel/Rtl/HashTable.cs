using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>RTL_DYNAMIC_HASH_TABLE: grows and shrinks a bucket at a time, when its owner says so.</summary>
[Layout("_RTL_DYNAMIC_HASH_TABLE", Size = 0x28)]
public readonly partial struct RtlDynamicHashTable
{
    [Field(0x00)] public partial uint Flags { get; set; }
    [Field(0x04)] public partial uint Shift { get; set; }
    [Field(0x08)] public partial uint TableSize { get; set; }
    [Field(0x0C)] public partial uint Pivot { get; set; }
    [Field(0x10)] public partial uint DivisorMask { get; set; }
    [Field(0x14)] public partial uint NumEntries { get; set; }
    [Field(0x18)] public partial uint NonEmptyBuckets { get; set; }
    [Field(0x1C)] public partial uint NumEnumerators { get; set; }
    [Field(0x20)] public partial Va Directory { get; set; }
}

/// <summary>RTL_DYNAMIC_HASH_TABLE_ENTRY: lies inside the driver's element.</summary>
[Layout("_RTL_DYNAMIC_HASH_TABLE_ENTRY", Size = 0x18)]
public readonly partial struct HashTableEntry
{
    [Embedded(0x00)] public partial ListEntry Linkage { get; }
    [Field(0x10)] public partial ulong Signature { get; set; }
}

/// <summary>RTL_DYNAMIC_HASH_TABLE_CONTEXT: where in a chain a search stands.</summary>
[Layout("_RTL_DYNAMIC_HASH_TABLE_CONTEXT", Size = 0x18)]
public readonly partial struct HashTableContext
{
    [Field(0x00)] public partial ListEntry ChainHead { get; set; }
    [Field(0x08)] public partial ListEntry PrevLinkage { get; set; }
    [Field(0x10)] public partial ulong Signature { get; set; }
}

/// <summary>RTL_DYNAMIC_HASH_TABLE_ENUMERATOR: an entry of its own that moves through the chains.</summary>
[Layout("_RTL_DYNAMIC_HASH_TABLE_ENUMERATOR", Size = 0x28)]
public readonly partial struct HashTableEnumerator
{
    [Embedded(0x00)] public partial HashTableEntry HashEntry { get; }
    [Field(0x18)] public partial ListEntry ChainHead { get; set; }
    [Field(0x20)] public partial uint BucketIndex { get; set; }
}

/// <summary>A dynamic hash table at work (linear hashing). Entries of one signature stand together in their chain;
/// signature 0 is an enumerator's.</summary>
sealed class HashTable(NtKernel nt, RtlDynamicHashTable table)
{
    public const uint BaseSize = 128, MaximumSize = BaseSize << (Levels - 1);
    public const int DirectoryBytes = Levels * 8;
    const int Levels = 16, BucketBytes = 16;
    const ulong EnumeratorSignature = 0, AlternativeSignature = 1;
    const uint HashTag = 0x6C62_5448;   // 'HTbl'

    /// <summary>Buckets of a level of the directory: the first has 128, each other as many as all before it.</summary>
    static uint LevelSize(int level) => level == 0 ? BaseSize : BaseSize << (level - 1);

    static (int Level, uint Offset) Locate(uint bucket)
    {
        int level = bucket < BaseSize ? 0 : System.Numerics.BitOperations.Log2(bucket / BaseSize) + 1;
        return (level, level == 0 ? bucket : bucket - LevelSize(level));
    }

    ListEntry Bucket(uint index)
    {
        (int level, uint offset) = Locate(index);
        Va buckets = nt.Memory.Read<Va>(table.Directory + level * 8);
        return ListEntry.At(nt.Memory, buckets + offset * (ulong)BucketBytes);
    }

    public bool AddLevel(int level)
    {
        uint size = LevelSize(level);
        Va buckets = nt.Mm.Pool.Allocate(size * (ulong)BucketBytes, PoolKind.NonPaged, HashTag, nt.Caller, zero: false);
        if (buckets.IsNull) return false;
        for (uint i = 0; i < size; i++) ListEntry.At(nt.Memory, buckets + i * (ulong)BucketBytes).Initialize();
        nt.Memory.Write(table.Directory + level * 8, buckets);
        return true;
    }

    void RemoveLevel(int level)
    {
        Va buckets = nt.Memory.Read<Va>(table.Directory + level * 8);
        if (!buckets.IsNull) nt.Mm.Pool.Free(buckets);
        nt.Memory.Write(table.Directory + level * 8, Va.Null);
    }

    public void FreeAll()
    {
        if (table.Directory.IsNull) return;
        for (int level = 0; level < Levels; level++) RemoveLevel(level);
        nt.Mm.Pool.Free(table.Directory);
        table.Directory = Va.Null;
    }

    // Buckets below the pivot are split already: the longer mask holds for them.
    uint IndexOf(ulong signature)
    {
        uint key = unchecked((uint)(signature >> (int)(table.Shift & 63)));
        uint index = key & table.DivisorMask;
        return index < table.Pivot ? key & (table.DivisorMask << 1 | 1) : index;
    }

    static ulong Proper(ulong signature) => signature == EnumeratorSignature ? AlternativeSignature : signature;

    HashTableEntry EntryOf(ListEntry link) => HashTableEntry.At(nt.Memory, link.Address);

    /// <summary>Sets a context in front of the first entry of a signature, or where it would stand.</summary>
    public void Populate(HashTableContext context, ulong signature)
    {
        signature = Proper(signature);
        ListEntry head = Bucket(IndexOf(signature)), last = head;
        for (ListEntry link = head.Flink; link != head; link = link.Flink)
        {
            nt.Ke.Clock.Spend();
            ulong found = EntryOf(link).Signature;
            if (found != EnumeratorSignature && found >= signature) break;
            last = link;
        }
        (context.ChainHead, context.PrevLinkage, context.Signature) = (head, last, signature);
    }

    public void Insert(HashTableEntry entry, HashTableContext context)
    {
        ListEntry head = context.ChainHead;
        if (IsEmpty(head)) table.NonEmptyBuckets++;
        entry.Signature = context.Signature;
        context.PrevLinkage.InsertHead(entry.Linkage);
        table.NumEntries++;
    }

    /// <summary>The entry of the context's signature behind where it stands, which becomes where it stands.</summary>
    public HashTableEntry Next(HashTableContext context, bool first)
    {
        ListEntry head = context.ChainHead, link = context.PrevLinkage.Flink;
        // The entry that was found last stands right behind; the next one behind that.
        if (!first && link != head)
        {
            context.PrevLinkage = link;
            link = link.Flink;
        }
        while (link != head && EntryOf(link).Signature == EnumeratorSignature)
        {
            nt.Ke.Clock.Spend();
            context.PrevLinkage = link;
            link = link.Flink;
        }
        return link != head && EntryOf(link).Signature == context.Signature ? EntryOf(link)
            : HashTableEntry.At(nt.Memory, Va.Null);
    }

    public void Remove(HashTableEntry entry)
    {
        ListEntry head = Bucket(IndexOf(entry.Signature));
        entry.Linkage.Remove();
        table.NumEntries--;
        if (IsEmpty(head)) table.NonEmptyBuckets--;
    }

    // Enumerators do not count.
    bool IsEmpty(ListEntry head)
    {
        for (ListEntry link = head.Flink; link != head; link = link.Flink)
        {
            nt.Ke.Clock.Spend();
            if (EntryOf(link).Signature != EnumeratorSignature) return false;
        }
        return true;
    }

    public void Start(HashTableEnumerator enumerator)
    {
        HashTableEntry entry = enumerator.HashEntry;
        entry.Signature = EnumeratorSignature;
        ListEntry head = Bucket(0);
        head.InsertHead(entry.Linkage);
        (enumerator.ChainHead, enumerator.BucketIndex) = (head, 0);
    }

    /// <summary>The next entry, and the enumerator stands behind it; null at the end.</summary>
    public HashTableEntry Enumerate(HashTableEnumerator enumerator)
    {
        ListEntry own = enumerator.HashEntry.Linkage, link = own.Flink, head = enumerator.ChainHead;
        for (uint bucket = enumerator.BucketIndex; ; link = head.Flink)
        {
            for (; link != head; link = link.Flink)
            {
                nt.Ke.Clock.Spend();
                if (EntryOf(link).Signature == EnumeratorSignature) continue;
                own.Remove();
                link.InsertHead(own);
                (enumerator.ChainHead, enumerator.BucketIndex) = (head, bucket);
                return EntryOf(link);
            }
            nt.Ke.Clock.Spend();
            if (++bucket >= table.TableSize) return HashTableEntry.At(nt.Memory, Va.Null);
            head = Bucket(bucket);
        }
    }

    public static void Stop(HashTableEnumerator enumerator) => enumerator.HashEntry.Linkage.Remove();

    /// <summary>One bucket more: the one at the pivot is split.</summary>
    public bool Expand()
    {
        uint size = table.TableSize;
        if (table.NumEnumerators > 0 || size < BaseSize || size >= MaximumSize) return false;
        (int level, uint offset) = Locate(size);
        if (offset == 0 && !AddLevel(level)) return false;
        ListEntry from = Bucket(table.Pivot), to = Bucket(size);
        table.TableSize = size + 1;
        table.Pivot++;
        bool wasEmpty = IsEmpty(from);
        Move(from, to, size);
        if (!wasEmpty && !IsEmpty(to) && !IsEmpty(from)) table.NonEmptyBuckets++;
        if (table.Pivot == table.DivisorMask + 1)
            (table.DivisorMask, table.Pivot) = (table.DivisorMask << 1 | 1, 0);
        return true;
    }

    // Entries that belong to the bucket, in their order; an enumerator stays.
    void Move(ListEntry from, ListEntry to, uint bucket)
    {
        for (ListEntry link = from.Flink, next; link != from; link = next)
        {
            nt.Ke.Clock.Spend();
            next = link.Flink;
            ulong signature = EntryOf(link).Signature;
            if (signature == EnumeratorSignature || IndexOf(signature) != bucket) continue;
            link.Remove();
            to.InsertTail(link);
        }
    }

    /// <summary>One bucket less: the last one goes back into the one that it was split from.</summary>
    public bool Contract()
    {
        uint size = table.TableSize;
        if (table.NumEnumerators > 0 || size <= BaseSize || size > MaximumSize) return false;
        if (table.Pivot == 0) (table.DivisorMask, table.Pivot) = (table.DivisorMask >> 1, (table.DivisorMask >> 1) + 1);
        table.Pivot--;
        ListEntry from = Bucket(size - 1), to = Bucket(table.Pivot);
        bool bothFull = !IsEmpty(from) && !IsEmpty(to);
        table.TableSize = size - 1;
        Merge(from, to);
        if (bothFull) table.NonEmptyBuckets--;
        (int level, uint offset) = Locate(size - 1);
        if (offset == 0) RemoveLevel(level);
        return true;
    }

    void Merge(ListEntry from, ListEntry to)
    {
        for (ListEntry link = from.Flink; link != from; link = from.Flink)
        {
            ulong signature = EntryOf(link).Signature;
            link.Remove();
            ListEntry before = to.Flink;
            while (before != to && EntryOf(before).Signature < signature)
            {
                nt.Ke.Clock.Spend();
                before = before.Flink;
            }
            before.InsertTail(link);
        }
    }
}
