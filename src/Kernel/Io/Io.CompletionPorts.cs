using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>IO_COMPLETION_CONTEXT: the port of a file, and the key with which its packets arrive.</summary>
[Layout("_IO_COMPLETION_CONTEXT", Size = 0x10)]
public readonly partial struct IoCompletionContext
{
    [Field(0x00)] public partial KQueue Port { get; set; }
    [Field(0x08)] public partial Va Key { get; set; }
}

/// <summary>IO_MINI_COMPLETION_PACKET: a packet that is no IRP. An IRP's entry has its kind behind it as well, so a
/// packet says what it is.</summary>
[Layout("_IOP_MINI_COMPLETION_PACKET_USER", Size = 0x50)]
public readonly partial struct MiniCompletionPacket
{
    /// <summary>Values of PacketType.</summary>
    public const uint OfIrp = 0, Mini = 1;

    [Embedded(0x00)] public partial ListEntry ListEntry { get; }
    [Field(0x10)] public partial uint PacketType { get; set; }
    [Field(0x18)] public partial Va KeyContext { get; set; }
    [Field(0x20)] public partial Va ApcContext { get; set; }
    [Field(0x28)] public partial NtStatus IoStatus { get; set; }
    [Field(0x30)] public partial ulong IoStatusInformation { get; set; }
    [Field(0x38)] public partial Va MiniPacketCallback { get; set; }
    [Field(0x40)] public partial Va Context { get; set; }

    /// <summary>A driver's own, which it frees itself.</summary>
    [Field(0x48)] public partial bool Allocated { get; set; }
}

/// <summary>What a completion port gives: FILE_IO_COMPLETION_INFORMATION.</summary>
public record struct CompletionPacket(Va Key, Va ApcContext, IoStatusBlock Status);

/// <summary>Completion ports: a kernel queue each, of packets. First come, first served; of the threads that wait the
/// last one goes on, as long as no more of them are active than the port allows.</summary>
sealed partial class Io
{
    const uint PacketTag = 0x2070_6349;     // 'Icp '
    const int IrpEntryOffset = 0xA8;
    const uint SkipPort = 1, SkipSetEvent = 2, SkipFastIo = 4, FO_SKIP_SET_FAST_IO = 0x0800_0000;

    NtObject? PortOf(FileObject file, out Va key)
    {
        key = Va.Null;
        if (file.CompletionContext.IsNull) return null;
        var context = IoCompletionContext.At(nt.Memory, file.CompletionContext);
        key = context.Key;
        return nt.Ob.Find(context.Port.Address) is { } port && port.Type == nt.Ob.IoCompletionType ? port : null;
    }

    /// <summary>FileCompletionInformation: an asynchronous file gets its port, once. To replace it is another class,
    /// for which a null handle ends the association.</summary>
    public NtStatus SetPort(FileObject file, Handle handle, Va key, ProcessorMode mode, bool replaces)
    {
        const uint modify = 2;
        if ((file.Flags & FO_SYNCHRONOUS_IO) != 0) return STATUS_INVALID_PARAMETER;
        if (!replaces && !file.CompletionContext.IsNull) return STATUS_INVALID_PARAMETER;
        NtObject? port = null;
        if (!replaces || !handle.IsNull)
        {
            NtStatus status = nt.Ob.Resolve(handle, modify, nt.Ob.IoCompletionType, mode, out HandleEntry? entry);
            if (!status.IsSuccess) return status;
            port = entry!.Object;
            nt.Ob.Reference(port);
        }
        LeavePort(file);
        if (port is null) return STATUS_SUCCESS;
        Va block = nt.Mm.Pool.Allocate(IoCompletionContext.Size, PacketTag);
        var context = IoCompletionContext.At(nt.Memory, block);
        (context.Port, context.Key) = (KQueue.At(nt.Memory, port.Body), key);
        file.CompletionContext = block;
        return STATUS_SUCCESS;
    }

    /// <summary>A file has no port any more.</summary>
    void LeavePort(FileObject file)
    {
        Va context = file.CompletionContext;
        if (context.IsNull) return;
        NtObject? port = PortOf(file, out _);
        file.CompletionContext = Va.Null;
        nt.Mm.Pool.Free(context);
        if (port is not null) nt.Ob.Dereference(port);
    }

    /// <summary>SetFileCompletionNotificationModes: what was skipped once stays so.</summary>
    public static NtStatus SetNotificationModes(FileObject file, uint modes)
    {
        if ((modes & ~(SkipPort | SkipSetEvent | SkipFastIo)) != 0) return STATUS_INVALID_PARAMETER;
        file.Flags |= ((modes & SkipPort) != 0 ? FO_SKIP_COMPLETION_PORT : 0)
            | ((modes & SkipSetEvent) != 0 ? FO_SKIP_SET_EVENT : 0)
            | ((modes & SkipFastIo) != 0 ? FO_SKIP_SET_FAST_IO : 0);
        return STATUS_SUCCESS;
    }

    public static uint NotificationModesOf(FileObject file) =>
        ((file.Flags & FO_SKIP_COMPLETION_PORT) != 0 ? SkipPort : 0)
        | ((file.Flags & FO_SKIP_SET_EVENT) != 0 ? SkipSetEvent : 0)
        | ((file.Flags & FO_SKIP_SET_FAST_IO) != 0 ? SkipFastIo : 0);

    // With an event somebody may look at the results before the packet is taken.
    bool IsForPort(Irp irp, IoRequest request) => !request.ApcContext.IsNull && irp.PendingReturned
        && request.Event is null && request.ApcRoutine.IsNull && !request.IsWaitedFor
        && PortOf(request.File, out _) is { Header.HandleCount: > 0 };

    /// <summary>A pended request is complete: its IRP is the packet, and results are copied when that is
    /// taken.</summary>
    void SendToPort(Irp irp, IoRequest request, IrpRecord record)
    {
        NtObject port = PortOf(request.File, out Va key)!;
        Delist(irp, record);
        record.IsInPort = true;
        request.Key = key;
        Insert(port, irp.Address + IrpEntryOffset, MiniCompletionPacket.OfIrp);
    }

    /// <summary>A request that has ended in its service tells its file's port, if that wants to hear of it.</summary>
    void QueuePacket(IoRequest request, IoStatusBlock result, bool pended)
    {
        // Its own packet brings this one.
        if (request.Record is { IsInPort: true } || request.IsWaitedFor) return;
        if (PortOf(request.File, out Va key) is not { } port) return;
        if (!pended && result.Status.IsSuccess && (request.File.Flags & FO_SKIP_COMPLETION_PORT) != 0) return;
        Queue(port, new CompletionPacket(key, request.ApcContext, result));
    }

    /// <summary>NtSetIoCompletion: puts a packet into a port.</summary>
    public void Queue(NtObject port, CompletionPacket packet) =>
        Queue(port, packet, MiniCompletionPacket.At(
            nt.Memory, nt.Mm.Pool.Allocate(MiniCompletionPacket.Size, PacketTag)));

    void Queue(NtObject port, CompletionPacket packet, MiniCompletionPacket mini)
    {
        (mini.KeyContext, mini.ApcContext) = (packet.Key, packet.ApcContext);
        (mini.IoStatus, mini.IoStatusInformation) = (packet.Status.Status, packet.Status.Information);
        Insert(port, mini.Address, MiniCompletionPacket.Mini);
    }

    void Insert(NtObject port, Va entry, uint kind)
    {
        var packet = MiniCompletionPacket.At(nt.Memory, entry);
        packet.PacketType = kind;
        nt.Ke.KeInsertQueue(KQueue.At(nt.Memory, port.Body), packet.ListEntry);
    }

    /// <summary>A packet from a port; the results of a request that comes with it are copied now.</summary>
    public CompletionPacket Take(Va entry)
    {
        var mini = MiniCompletionPacket.At(nt.Memory, entry);
        if (mini.PacketType == MiniCompletionPacket.OfIrp)
        {
            Irp irp = Irp.At(nt.Memory, entry - IrpEntryOffset);
            IoRequest request = FindRecord(irp.Address)?.Request ?? throw BugCheck.CorruptListEntry(entry);
            Deliver(irp, request);
            return new CompletionPacket(
                request.Key, request.ApcContext, new IoStatusBlock(request.Status, request.Information));
        }
        var packet = new CompletionPacket(
            mini.KeyContext, mini.ApcContext, new IoStatusBlock(mini.IoStatus, mini.IoStatusInformation));
        if (mini.Allocated) FinishMini(mini);
        else nt.Mm.Pool.Free(entry);
        return packet;
    }

    // A packet of a driver's own goes back to it.
    void FinishMini(MiniCompletionPacket mini)
    {
        (Va callback, Va context) = (mini.MiniPacketCallback, mini.Context);
        if (!callback.IsNull) nt.Routines.Call(callback, mini.Address.Value, context.Value);
    }

    /// <summary>The last handle of a port is closed: nobody takes the requests that are in it, so they are over.
    /// Packets of others may still be a driver's to take.</summary>
    public void OnLastPortHandle(NtObject port)
    {
        var queue = KQueue.At(nt.Memory, port.Body);
        var requests = new List<(ListEntry Entry, Irp Irp)>();
        ListEntry head = queue.EntryListHead;
        for (ListEntry entry = head.Flink; entry != head; entry = entry.Flink)
        {
            nt.Ke.Clock.Spend();
            if (MiniCompletionPacket.At(nt.Memory, entry.Address).PacketType == MiniCompletionPacket.OfIrp)
                requests.Add((entry, Irp.At(nt.Memory, entry.Address - IrpEntryOffset)));
        }
        foreach ((ListEntry entry, Irp irp) in requests)
        {
            entry.Remove();
            queue.SignalState--;
            if (FindRecord(irp.Address) is { Request: { } request }) Deliver(irp, request, isTold: false);
        }
    }

    /// <summary>The last reference to a port is gone: nobody will take what is in it.</summary>
    public void OnDeletePort(NtObject port)
    {
        ListEntry first = nt.Ke.KeRundownQueue(KQueue.At(nt.Memory, port.Body));
        if (first.IsNull) return;
        var entries = new List<Va>();
        for (ListEntry entry = first; entries.Count == 0 || entry != first; entry = entry.Flink)
        {
            nt.Ke.Clock.Spend();
            entries.Add(entry.Address);
        }
        foreach (Va entry in entries)
        {
            var mini = MiniCompletionPacket.At(nt.Memory, entry);
            Irp irp = Irp.At(nt.Memory, entry - IrpEntryOffset);
            if (mini.PacketType != MiniCompletionPacket.OfIrp) Take(entry);
            else if (FindRecord(irp.Address) is { Request: { } request }) Deliver(irp, request, isTold: false);
        }
    }

    /// <summary>A packet from a driver. Quota is not charged.</summary>
    [Export(Support.Partial, "Quota is not charged."), IrqlRequiresMax(DISPATCH_LEVEL)]
    public NtStatus IoSetIoCompletion(
        Va ioCompletion, Va keyContext, Va apcContext, NtStatus ioStatus, ulong ioStatusInformation, bool quota) =>
        IoSetIoCompletionEx(ioCompletion, keyContext, apcContext, ioStatus, ioStatusInformation, quota,
            MiniCompletionPacket.At(nt.Memory, Va.Null));

    /// <summary>The same in a packet that the driver has allocated before, so that it cannot fail.</summary>
    [Export(Support.Partial, "Quota is not charged."), IrqlRequiresMax(DISPATCH_LEVEL)]
    public NtStatus IoSetIoCompletionEx(
        Va ioCompletion, Va keyContext, Va apcContext, NtStatus ioStatus, ulong ioStatusInformation, bool quota,
        MiniCompletionPacket miniPacket)
    {
        NtObject port = nt.Ob.At(ioCompletion);
        if (port.Type != nt.Ob.IoCompletionType) return STATUS_OBJECT_TYPE_MISMATCH;
        if (miniPacket.IsNull)
        {
            Va block = nt.Mm.Pool.Allocate((ulong)MiniCompletionPacket.Size, PoolKind.NonPaged, PacketTag, Va.Null,
                zero: true);
            if (block.IsNull) return STATUS_INSUFFICIENT_RESOURCES;
            miniPacket = MiniCompletionPacket.At(nt.Memory, block);
        }
        Queue(port, new CompletionPacket(keyContext, apcContext, new IoStatusBlock(ioStatus, ioStatusInformation)),
            miniPacket);
        return STATUS_SUCCESS;
    }

    /// <summary>A packet for one use after the other. The callback is told when it has been taken.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public MiniCompletionPacket IoAllocateMiniCompletionPacket(Va miniPacketCallback, Va context)
    {
        var made = MiniCompletionPacket.At(nt.Memory, nt.Mm.Pool.Allocate(
            (ulong)MiniCompletionPacket.Size, PoolKind.NonPaged, PacketTag, nt.Caller, zero: true));
        if (made.IsNull) return made;
        (made.MiniPacketCallback, made.Context, made.Allocated) = (miniPacketCallback, context, true);
        return made;
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void IoFreeMiniCompletionPacket(MiniCompletionPacket miniPacket) => nt.Mm.Pool.Free(miniPacket.Address);
}
