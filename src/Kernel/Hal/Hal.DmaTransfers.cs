using Ringdown.Machine;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>DMA transfers by map registers: channels, mapping and flushing.</summary>
sealed partial class Hal
{
    const ulong KeepObject = 1, DeallocateObject = 2;
    const uint SynchronousCallback = 1;         // DMA_SYNCHRONOUS_CALLBACK
    const int ContextBytes = 128;               // DMA_TRANSFER_CONTEXT_SIZE_V1
    const ulong ContextMark = 0x4374_786E_5244_4D41;

    void AllocateAdapterChannel(GuestCall call)
    {
        DmaAdapter adapter = AdapterAt(call.Argument(0));
        DeviceObject device = DeviceObject.At(nt.Memory, new Va(call.Argument(1)));
        nt.OnDmaUsed(new DmaUse(DmaStep.ChannelAsked, adapter.Address)
        {
            Count = (int)call.Argument(2),
            Most = adapter.Reach.Registers,
        });
        call.Return(Allocate(adapter, device, (uint)call.Argument(2), new Va(call.Argument(3)), call.Argument(4),
            Va.Null, Va.Null, mayWait: true).Value);
    }

    // Adapter, device, transfer context, registers, flags, routine, its context, register base (out).
    void AllocateAdapterChannelEx(GuestCall call)
    {
        DmaAdapter adapter = AdapterAt(call.Argument(0));
        DeviceObject device = DeviceObject.At(nt.Memory, new Va(call.Argument(1)));
        (Va context, uint flags) = (new Va(call.Argument(2)), (uint)call.Argument(4));
        (Va routine, Va result) = (new Va(call.Argument(5)), new Va(call.Argument(7)));
        bool isNow = flags == SynchronousCallback;
        if (!IsContext(adapter, context) || (flags & ~SynchronousCallback) != 0
            || routine.IsNull && (!isNow || result.IsNull))
        {
            call.Return(STATUS_INVALID_PARAMETER.Value);
            return;
        }
        call.Return(Allocate(
            adapter, device, (uint)call.Argument(3), routine, call.Argument(6), context, result, !isNow).Value);
    }

    /// <summary>The execution routine is called when the channel and the map registers are there; it says what to give
    /// back. Who has none keeps both.</summary>
    NtStatus Allocate(DmaAdapter adapter, DeviceObject device, uint count, Va routine, ulong routineContext,
        Va context, Va result, bool mayWait)
    {
        if (count > (uint)adapter.Reach.Registers) return STATUS_INSUFFICIENT_RESOURCES;
        bool Start(MapRegisters set)
        {
            // Who is called later has no place for it by then.
            if (!result.IsNull && !mayWait) nt.Memory.Write(result, set.Base);
            nt.OnDmaUsed(
                new DmaUse(DmaStep.RegistersGiven, adapter.Address) { Registers = set.Base, Count = set.Count });
            if (routine.IsNull) return true;
            ulong action = (uint)nt.Routines.Call(
                routine, device.Address.Value, device.CurrentIrp.Address.Value, set.Base.Value, routineContext);
            if (action == KeepObject) return true;
            TellFreed(adapter, action == DeallocateObject ? set : null);
            if (action == DeallocateObject) adapter.Give(set);
            return false;
        }
        var request = new DmaRequest(adapter, (int)count, NeedsChannel: true, context, Start, null) { Device = device };
        return adapter.Queue.Request(request, mayWait) ? STATUS_SUCCESS : STATUS_INSUFFICIENT_RESOURCES;
    }

    bool IsContext(DmaAdapter adapter, Va context) => !context.IsNull
        && nt.Memory.Read<ulong>(context) == ContextMark && nt.Memory.Read<Va>(context + 8) == adapter.Address;

    void InitializeDmaTransferContext(GuestCall call)
    {
        DmaAdapter adapter = AdapterAt(call.Argument(0));
        Va context = new(call.Argument(1));
        nt.Memory.Fill(context, ContextBytes, 0);
        nt.Memory.Write(context, ContextMark);
        nt.Memory.Write(context + 8, adapter.Address);
        call.Return(STATUS_SUCCESS.Value);
    }

    // True if the request had not been served: then its routine is not called.
    void CancelAdapterChannel(GuestCall call)
    {
        DmaAdapter adapter = AdapterAt(call.Argument(0));
        call.Return(adapter.Queue.Cancel(adapter, new Va(call.Argument(2))) ? 1U : 0);
    }

    void FreeAdapterChannel(GuestCall call)
    {
        DmaAdapter adapter = AdapterAt(call.Argument(0));
        TellFreed(adapter, adapter.HasChannel ? adapter.Queue.Holder?.Set : null);
        FreeChannel(adapter, keepsRegisters: false);
    }

    static void FreeChannel(DmaAdapter adapter, bool keepsRegisters)
    {
        if (!adapter.HasChannel) return;
        if (adapter.Channel is { } channel) channel.Told = null;
        adapter.Queue.FreeChannel(keepsRegisters);
    }

    /// <summary>Gives back what an IO_ALLOCATION_ACTION names: nothing, all, or the channel alone.</summary>
    void FreeAdapterObject(GuestCall call)
    {
        const uint deallocateKeepRegisters = 3;
        DmaAdapter adapter = AdapterAt(call.Argument(0));
        var action = (uint)call.Argument(1);
        if (action is not ((uint)DeallocateObject or deallocateKeepRegisters)) return;
        bool keeps = action == deallocateKeepRegisters;
        TellFreed(adapter, adapter.HasChannel && !keeps ? adapter.Queue.Holder?.Set : null);
        FreeChannel(adapter, keeps);
    }

    void FreeMapRegisters(GuestCall call)
    {
        DmaAdapter adapter = AdapterAt(call.Argument(0));
        nt.OnDmaUsed(new DmaUse(DmaStep.RegistersFreed, adapter.Address)
        {
            Registers = new Va(call.Argument(1)),
            Count = (int)call.Argument(2),
        });
        if (adapter.Find(new Va(call.Argument(1))) is { } set) adapter.Give(set);
    }

    void MapTransfer(GuestCall call)
    {
        DmaAdapter adapter = AdapterAt(call.Argument(0));
        Mdl mdl = Mdl.At(nt.Memory, new Va(call.Argument(1)));
        (Va current, Va length, bool toDevice) =
            (new Va(call.Argument(3)), new Va(call.Argument(4)), (byte)call.Argument(5) != 0);
        uint wanted = nt.Memory.Read<uint>(length);
        MapRegisters? set = adapter.Find(new Va(call.Argument(2)));
        TellMapping(DmaStep.Mapping, adapter, set, mdl, current, wanted, toDevice);
        (ulong address, uint given) = adapter.Map(set, mdl, current, wanted, toDevice);
        TellMapping(DmaStep.Mapped, adapter, set, mdl, current, given, toDevice);
        nt.Memory.Write(length, given);
        call.Return(address);
    }

    // Adapter, MDL, register base, offset, device offset, length (in, out), direction, list, its bytes, completion
    // routine, its context.
    void MapTransferEx(GuestCall call)
    {
        DmaAdapter adapter = AdapterAt(call.Argument(0));
        Mdl mdl = Mdl.At(nt.Memory, new Va(call.Argument(1)));
        (Va length, Va list) = (new Va(call.Argument(5)), new Va(call.Argument(7)));
        uint wanted = nt.Memory.Read<uint>(length);
        bool hasRoom = !list.IsNull && (uint)call.Argument(8) >= ListHeader + ListElement;
        Va completion = new(call.Argument(9));
        // A bus master tells its driver itself that it is done; devices at an 8237 have one place for data.
        NtStatus status = !completion.IsNull && adapter.Channel is null ? STATUS_NOT_SUPPORTED
            : wanted == 0 || !IsWithin(mdl, call.Argument(3), wanted) || (uint)call.Argument(4) != 0
                || list.IsNull && adapter.Channel is null ? STATUS_INVALID_PARAMETER
            : !list.IsNull && !hasRoom ? STATUS_BUFFER_TOO_SMALL : STATUS_SUCCESS;
        if (status == STATUS_SUCCESS)
        {
            MapRegisters? set = adapter.Find(new Va(call.Argument(2)));
            int room = list.IsNull ? 0 : (int)(((uint)call.Argument(8) - ListHeader) / ListElement);
            (Va current, bool toDevice) = (mdl.VirtualAddress + call.Argument(3), (byte)call.Argument(6) != 0);
            TellMapping(DmaStep.Mapping, adapter, set, mdl, current, wanted, toDevice);
            uint given = Map(adapter, set, mdl, current, wanted, toDevice, list, room,
                Telling(adapter, completion, call.Argument(10)));
            TellMapping(DmaStep.Mapped, adapter, set, mdl, current, given, toDevice);
            nt.Memory.Write(length, given);
            if (given == 0) status = STATUS_INVALID_PARAMETER;
        }
        call.Return(status.Value);
    }

    // As many pieces as the list has room for; all of one set of map registers is one piece.
    uint Map(DmaAdapter adapter, MapRegisters? set, Mdl mdl, Va current, uint wanted, bool toDevice, Va list, int room,
        Action<DmaCompletion>? told = null)
    {
        uint done = 0;
        int count = 0;
        bool isOnePiece = adapter.Channel is not null || set is { Bounces: true };
        do
        {
            nt.Ke.Clock.Spend();
            (ulong address, uint given) = adapter.Map(
                set, mdl, current + done, wanted - done, toDevice, told);
            if (given > 0 && !list.IsNull) WriteElement(list, count, address, given);
            count++;
            done += given;
        }
        while (!isOnePiece && done < wanted && count < room);
        if (done > 0 && !list.IsNull) WriteHeader(list, count);
        return done;
    }

    static bool IsWithin(Mdl mdl, ulong offset, uint length) =>
        offset <= mdl.ByteCount && length <= mdl.ByteCount - offset;

    void FlushAdapterBuffers(GuestCall call)
    {
        DmaAdapter adapter = AdapterAt(call.Argument(0));
        Flush(adapter, new Va(call.Argument(2)), Mdl.At(nt.Memory, new Va(call.Argument(1))),
            new Va(call.Argument(3)), (uint)call.Argument(4), (byte)call.Argument(5) != 0);
        call.Return(1);
    }

    void Flush(DmaAdapter adapter, Va registers, Mdl mdl, Va current, uint length, bool toDevice)
    {
        MapRegisters? set = adapter.Find(registers);
        TellMapping(DmaStep.Flushed, adapter, set, mdl, current, length, toDevice);
        adapter.Flush(set, mdl, current, length, toDevice);
    }

    // Adapter, MDL, register base, offset, length, direction.
    void FlushAdapterBuffersEx(GuestCall call)
    {
        DmaAdapter adapter = AdapterAt(call.Argument(0));
        Mdl mdl = Mdl.At(nt.Memory, new Va(call.Argument(1)));
        (ulong offset, var length) = (call.Argument(3), (uint)call.Argument(4));
        bool isWithin = IsWithin(mdl, offset, length);
        if (isWithin)
            Flush(adapter, new Va(call.Argument(2)), mdl, mdl.VirtualAddress + offset, length,
                (byte)call.Argument(5) != 0);
        call.Return((isWithin ? STATUS_SUCCESS : STATUS_INVALID_PARAMETER).Value);
    }

    /// <summary>A slave's transfer stops where it is; that of a master only the device can stop.</summary>
    void CancelMappedTransfer(GuestCall call)
    {
        DmaAdapter adapter = AdapterAt(call.Argument(0));
        bool isIt = adapter.HasChannel && IsContext(adapter, new Va(call.Argument(1)))
            && adapter.Queue.Holder?.Request.Context == new Va(call.Argument(1));
        if (isIt) adapter.Channel?.Cancel();
        call.Return((adapter.Channel is null ? STATUS_NOT_SUPPORTED
            : isIt ? STATUS_SUCCESS : STATUS_UNSUCCESSFUL).Value);
    }

    // Devices see what is in the caches: there is nothing to flush.
    void FlushDmaBuffer(GuestCall call)
    {
        AdapterAt(call.Argument(0));
        call.Return((new Va(call.Argument(1)).IsNull ? STATUS_INVALID_PARAMETER : STATUS_SUCCESS).Value);
    }

    /// <summary>How much of a transfer an 8237 has still to do; of a bus master nobody knows.</summary>
    void ReadDmaCounter(GuestCall call)
    {
        DmaAdapter adapter = AdapterAt(call.Argument(0));
        call.Return(adapter.Channel?.BytesLeft() ?? 0);
    }
}
