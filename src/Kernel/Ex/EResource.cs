using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>OWNER_ENTRY: a thread, and how often it holds the resource, above two bits of flags.</summary>
[Layout("_OWNER_ENTRY", Size = 0x10)]
public readonly partial struct OwnerEntry
{
    [Field(0x00)] public partial Va OwnerThread { get; set; }
    [Field(0x08)] public partial uint TableSize { get; set; }

    public uint OwnerCount
    {
        get => TableSize >> 2;
        set => TableSize = value << 2 | TableSize & 3;
    }
}

[Layout("_ERESOURCE", Size = 0x68)]
public readonly partial struct EResource
{
    public const ushort ResourceNeverExclusive = 0x10, ResourceReleaseByOtherThread = 0x20,
        ResourceOwnedExclusive = 0x80, ResourceDisableBoost = 0x08;

    [Embedded(0x00)] public partial ListEntry SystemResourcesList { get; }

    /// <summary>Owners beside <see cref="OwnerEntry"/>; the first entry holds only the table's size.</summary>
    [Field(0x10)] public partial OwnerEntry OwnerTable { get; set; }

    /// <summary>1 while anybody holds it.</summary>
    [Field(0x18)] public partial short ActiveCount { get; set; }
    [Field(0x1A)] public partial ushort Flag { get; set; }
    [Field(0x20)] public partial KSemaphore SharedWaiters { get; set; }
    [Field(0x28)] public partial KEvent ExclusiveWaiters { get; set; }
    [Embedded(0x30)] public partial OwnerEntry OwnerEntry { get; }

    /// <summary>How many hold it: threads, each once.</summary>
    [Field(0x40)] public partial uint ActiveEntries { get; set; }
    [Field(0x44)] public partial uint ContentionCount { get; set; }
    [Field(0x48)] public partial uint NumberOfSharedWaiters { get; set; }
    [Field(0x4C)] public partial uint NumberOfExclusiveWaiters { get; set; }

    public bool IsExclusive => (Flag & ResourceOwnedExclusive) != 0;
}

/// <summary>The rules of an ERESOURCE: who gets it when. All state is in the structure, as NT has it.</summary>
readonly struct ResourceLock(NtKernel nt, EResource resource)
{
    const int TableSize = 4, MaximumTable = 0x1000;
    const uint OwnersTag = 0x6F52_7845, WaitersTag = 0x7752_7845;      // 'ExRo', 'ExRw'

    /// <summary>Why a thread that wants to share may have to wait behind who wants it alone.</summary>
    public enum Courtesy { UnlessOwner, Never, Always }

    Va Thread => nt.Ke.CurrentThread.Address;

    public bool TryAcquireExclusive(bool wait)
    {
        if (resource.ActiveEntries == 0)
        {
            TakeExclusive(Thread);
            return true;
        }
        OwnerEntry owner = resource.OwnerEntry;
        if (resource.IsExclusive && owner.OwnerThread == Thread)
        {
            owner.OwnerCount++;
            return true;
        }
        if (!wait) return false;
        EResource waited = resource;
        if (resource.ExclusiveWaiters.IsNull) waited.ExclusiveWaiters = NewEvent();
        waited.NumberOfExclusiveWaiters++;
        waited.ContentionCount++;
        nt.Ke.WaitFor([waited.ExclusiveWaiters.Header], all: false, deadline: null);
        // Whoever released it has made it exclusive for the one that wakes.
        owner.OwnerThread = Thread;
        return true;
    }

    public bool TryAcquireShared(bool wait, Courtesy courtesy)
    {
        if (resource.IsExclusive && resource.OwnerEntry.OwnerThread == Thread) return TryAcquireExclusive(wait);
        if (resource.ActiveEntries == 0)
        {
            TakeShared(0);
            return true;
        }
        OwnerEntry mine = resource.IsExclusive ? default : Find(Thread);
        bool queue = courtesy == Courtesy.Always || courtesy == Courtesy.UnlessOwner && mine.IsNull;
        if (!resource.IsExclusive && !(queue && resource.NumberOfExclusiveWaiters > 0))
        {
            TakeShared(mine.IsNull ? resource.ActiveEntries : null);
            return true;
        }
        if (!wait) return false;
        EResource waited = resource;
        if (resource.SharedWaiters.IsNull) waited.SharedWaiters = NewSemaphore();
        waited.NumberOfSharedWaiters++;
        waited.ContentionCount++;
        nt.Ke.WaitFor([waited.SharedWaiters.Header], all: false, deadline: null);
        // Counted already among the active ones; the entry is still to be made.
        AddOwner();
        return true;
    }

    public void Release(Va thread)
    {
        EResource released = resource;
        OwnerEntry entry = Find(thread);
        if (entry.IsNull || entry.OwnerCount == 0 || resource.ActiveEntries == 0)
            throw new BugCheck(BugCheckCode.RESOURCE_NOT_OWNED, resource.Address.Value, thread.Value,
                resource.OwnerTable.Address.Value, resource.IsExclusive ? 1u : 2u);
        uint left = entry.OwnerCount - 1;
        entry.OwnerCount = left;
        if (left > 0) return;
        entry.OwnerThread = Va.Null;
        bool wasExclusive = resource.IsExclusive;
        if (--released.ActiveEntries > 0) return;
        released.ActiveCount = 0;
        released.Flag &= unchecked((ushort)~EResource.ResourceOwnedExclusive);
        // After an exclusive owner come all who want to share, after shared ones an exclusive one.
        if (wasExclusive && resource.NumberOfSharedWaiters > 0) WakeShared();
        else if (resource.NumberOfExclusiveWaiters > 0) WakeExclusive();
        else if (resource.NumberOfSharedWaiters > 0) WakeShared();
    }

    public void ConvertToShared()
    {
        EResource converted = resource;
        if (!resource.IsExclusive || resource.OwnerEntry.OwnerThread != Thread)
            throw new BugCheck(BugCheckCode.RESOURCE_NOT_OWNED, resource.Address.Value, Thread.Value,
                resource.OwnerTable.Address.Value, 3);
        converted.Flag &= unchecked((ushort)~EResource.ResourceOwnedExclusive);
        if (resource.NumberOfSharedWaiters > 0) WakeShared();
    }

    /// <summary>From now on the holding is not the thread's but of who passes this pointer to release it.</summary>
    public void SetOwner(Va owner)
    {
        OwnerEntry entry = Find(Thread);
        if (entry.IsNull)
            throw new BugCheck(BugCheckCode.RESOURCE_NOT_OWNED, resource.Address.Value, Thread.Value,
                resource.OwnerTable.Address.Value, 4);
        OwnerEntry same = Find(owner);
        if (same.IsNull || same == entry)
        {
            entry.OwnerThread = owner;
            return;
        }
        same.OwnerCount += entry.OwnerCount;
        (entry.OwnerThread, entry.OwnerCount) = (Va.Null, 0);
        EResource merged = resource;
        merged.ActiveEntries--;
    }

    public uint CountOf(Va thread)
    {
        OwnerEntry entry = Find(thread);
        return entry.IsNull ? 0 : entry.OwnerCount;
    }

    /// <summary>Frees what was allocated for owners and waiters.</summary>
    public void Delete()
    {
        EResource deleted = resource;
        Va[] blocks = [resource.OwnerTable.Address, resource.SharedWaiters.Address, resource.ExclusiveWaiters.Address];
        (deleted.OwnerTable, deleted.SharedWaiters, deleted.ExclusiveWaiters) = (default, default, default);
        foreach (Va block in blocks) if (!block.IsNull) nt.Mm.Pool.Free(block);
    }

    void TakeExclusive(Va thread)
    {
        EResource taken = resource;
        taken.Flag |= EResource.ResourceOwnedExclusive;
        (taken.ActiveCount, taken.ActiveEntries) = (1, 1);
        OwnerEntry owner = resource.OwnerEntry;
        (owner.OwnerThread, owner.OwnerCount) = (thread, 1);
    }

    // With a number of active entries: one more. Without: the thread has an entry.
    void TakeShared(uint? active)
    {
        EResource taken = resource;
        if (active is { } count) (taken.ActiveCount, taken.ActiveEntries) = (1, count + 1);
        AddOwner();
    }

    void AddOwner()
    {
        OwnerEntry entry = Find(Thread);
        if (entry.IsNull)
        {
            entry = FreeEntry();
            (entry.OwnerThread, entry.OwnerCount) = (Thread, 1);
        }
        else entry.OwnerCount++;
    }

    void WakeShared()
    {
        EResource woken = resource;
        int count = (int)Math.Min(resource.NumberOfSharedWaiters, int.MaxValue);
        woken.ActiveEntries += (uint)count;
        (woken.ActiveCount, woken.NumberOfSharedWaiters) = (1, 0);
        nt.Ke.KeReleaseSemaphore(resource.SharedWaiters, 0, count, false);
    }

    void WakeExclusive()
    {
        EResource woken = resource;
        woken.NumberOfExclusiveWaiters--;
        TakeExclusive(Va.Null);
        nt.Ke.KeSetEvent(resource.ExclusiveWaiters, 0, false);
    }

    /// <summary>The entry of a thread; a null view if it has none.</summary>
    OwnerEntry Find(Va thread)
    {
        if (resource.OwnerEntry.OwnerThread == thread) return resource.OwnerEntry;
        OwnerEntry table = resource.OwnerTable;
        for (int i = 1, count = CountOf(table); i < count; i++)
            if (At(table, i) is var entry && entry.OwnerThread == thread) return entry;
        return default;
    }

    OwnerEntry FreeEntry()
    {
        OwnerEntry free = Find(Va.Null);
        if (!free.IsNull) return free;
        OwnerEntry old = resource.OwnerTable;
        int count = CountOf(old), size = count + TableSize;
        OwnerEntry table = OwnerEntry.At(nt.Memory, nt.Mm.Pool.Allocate(size * OwnerEntry.Size, OwnersTag));
        if (count > 0)
        {
            nt.Memory.Write(table.Address, nt.Memory.ReadBytes(old.Address, count * OwnerEntry.Size));
            nt.Mm.Pool.Free(old.Address);
        }
        table.TableSize = (uint)size;
        EResource grown = resource;
        grown.OwnerTable = table;
        return At(table, Math.Max(1, count));
    }

    // The size stands in guest memory: a driver may have written over it.
    int CountOf(OwnerEntry table)
    {
        if (table.IsNull) return 0;
        for (uint i = 0; i < table.TableSize / 64; i++) nt.Ke.Clock.Spend();
        return (int)Math.Min(table.TableSize, MaximumTable);
    }

    OwnerEntry At(OwnerEntry table, int index) =>
        OwnerEntry.At(nt.Memory, table.Address + index * OwnerEntry.Size);

    KEvent NewEvent()
    {
        KEvent made = KEvent.At(nt.Memory, nt.Mm.Pool.Allocate(KEvent.Size, WaitersTag));
        made.Header.Initialize(DispatcherType.SynchronizationEvent, KEvent.Size, 0);
        return made;
    }

    KSemaphore NewSemaphore()
    {
        KSemaphore made = KSemaphore.At(nt.Memory, nt.Mm.Pool.Allocate(KSemaphore.Size, WaitersTag));
        made.Header.Initialize(DispatcherType.Semaphore, KSemaphore.Size, 0);
        made.Limit = int.MaxValue;
        return made;
    }
}
