using Ringdown.Machine;
using static Ringdown.Kernel.Irql;

namespace Ringdown.Kernel;

/// <summary>Device queues: what waits while something is busy. StartIo drivers have one inside each device
/// object.</summary>
sealed partial class Ke
{
    [Export]
    public void KeInitializeDeviceQueue(Va deviceQueue) => new DeviceQueue(_nt, deviceQueue).Initialize();

    [Export, IrqlRequiresMin(DISPATCH_LEVEL), IrqlRequiresMax(DISPATCH_LEVEL)]
    public bool KeInsertDeviceQueue(Va deviceQueue, Va deviceQueueEntry) =>
        new DeviceQueue(_nt, deviceQueue).TryInsert(deviceQueueEntry, null);

    [Export, IrqlRequiresMin(DISPATCH_LEVEL), IrqlRequiresMax(DISPATCH_LEVEL)]
    public bool KeInsertByKeyDeviceQueue(Va deviceQueue, Va deviceQueueEntry, uint sortKey) =>
        new DeviceQueue(_nt, deviceQueue).TryInsert(deviceQueueEntry, sortKey);

    [Export, IrqlRequiresMin(DISPATCH_LEVEL), IrqlRequiresMax(DISPATCH_LEVEL)]
    public Va KeRemoveDeviceQueue(Va deviceQueue) => new DeviceQueue(_nt, deviceQueue).RemoveNext(null);

    [Export, IrqlRequiresMin(DISPATCH_LEVEL), IrqlRequiresMax(DISPATCH_LEVEL)]
    public Va KeRemoveByKeyDeviceQueue(Va deviceQueue, uint sortKey) =>
        new DeviceQueue(_nt, deviceQueue).RemoveNext(sortKey);

    /// <summary>As KeRemoveByKeyDeviceQueue, but an idle queue stays as it is.</summary>
    [Export, IrqlRequiresMin(DISPATCH_LEVEL), IrqlRequiresMax(DISPATCH_LEVEL)]
    public Va KeRemoveByKeyDeviceQueueIfBusy(Va deviceQueue, uint sortKey)
    {
        var queue = new DeviceQueue(_nt, deviceQueue);
        return queue.Busy ? queue.RemoveNext(sortKey) : Va.Null;
    }

    /// <summary>Takes an entry out, wherever it is. The queue stays busy.</summary>
    /// <returns>Whether it was queued.</returns>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public bool KeRemoveEntryDeviceQueue(Va deviceQueue, Va deviceQueueEntry) =>
        new DeviceQueue(_nt, deviceQueue).TryRemove(deviceQueueEntry);
}

/// <summary>KDEVICE_QUEUE and its KDEVICE_QUEUE_ENTRY.</summary>
readonly struct DeviceQueue(NtKernel nt, Va address)
{
    const int HeadOffset = 8, LockOffset = 0x18, BusyOffset = 0x20, SortKeyOffset = 0x10, InsertedOffset = 0x14;

    ListEntry Head => ListEntry.At(nt.Memory, address + HeadOffset);

    public bool Busy
    {
        get => nt.Memory.Read<byte>(address + BusyOffset) != 0;
        private set => nt.Memory.Write(address + BusyOffset, (byte)(value ? 1 : 0));
    }

    /// <summary>Makes an idle queue busy, or puts an entry into a busy one: at the end, or before the first greater
    /// key.</summary>
    /// <returns>Whether the entry was queued; else the caller goes on with it at once.</returns>
    public bool TryInsert(Va entry, uint? key)
    {
        bool queued = Busy;
        Busy = true;
        if (key is { } sort) nt.Memory.Write(entry + SortKeyOffset, sort);
        if (queued)
        {
            ListEntry before = Head;
            if (key is { } mine) before = FirstFrom(Head.Flink, k => k > mine);
            before.InsertTail(ListEntry.At(nt.Memory, entry));
        }
        nt.Memory.Write(entry + InsertedOffset, (byte)(queued ? 1 : 0));
        return queued;
    }

    /// <summary>Takes the first entry, or the first whose key is not below one given; an empty queue is idle from now
    /// on.</summary>
    /// <returns>The entry, or null.</returns>
    public Va RemoveNext(uint? key)
    {
        if (Head.IsEmpty)
        {
            Busy = false;
            return Va.Null;
        }
        ListEntry entry = Head.Flink;
        if (key is { } least && FirstFrom(entry, k => k >= least) is var found && found != Head) entry = found;
        TryRemove(entry.Address);
        return entry.Address;
    }

    public bool TryRemove(Va entry)
    {
        if (nt.Memory.Read<byte>(entry + InsertedOffset) == 0) return false;
        nt.Memory.Write<byte>(entry + InsertedOffset, 0);
        ListEntry.At(nt.Memory, entry).Remove();
        return true;
    }

    public void Initialize()
    {
        nt.Memory.Write<short>(address, 20);       // DeviceQueueObject
        nt.Memory.Write<short>(address + 2, 0x28);
        nt.Memory.Write(address + LockOffset, 0UL);
        Head.Initialize();
        Busy = false;
    }

    ListEntry FirstFrom(ListEntry entry, Func<uint, bool> holds)
    {
        // The links lie in guest memory: a list that a driver has broken may lead round and round.
        for (; entry != Head && !holds(nt.Memory.Read<uint>(entry.Address + SortKeyOffset)); entry = entry.Flink)
            nt.Ke.Clock.Spend();
        return entry;
    }
}
