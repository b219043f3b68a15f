using Ringdown.Machine;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Scatter/gather lists, and what adapters tell of themselves and of a transfer.</summary>
sealed partial class Hal
{
    const int ListHeader = 0x10, ListElement = 0x18;

    readonly Dictionary<Va, (DmaAdapter Adapter, MapRegisters Set, ListWish Wish)> _lists = [];

    /// <summary>A list that somebody wants of a part of an MDL.</summary>
    /// <param name="Buffer">Where; null: in the pool.</param>
    /// <param name="Result">Where its address goes, if it is made at once; null: nowhere.</param>
    /// <param name="Context">Transfer context, by which it can be canceled; null: it cannot.</param>
    sealed record ListWish(
        DeviceObject Device, Mdl Mdl, Va Current, uint Length, bool ToDevice, Va Routine, ulong RoutineContext,
        Va Buffer, uint Room, Va Result, Va Context, bool MayWait)
    {
        /// <summary>Called when a slave's transfer is done; null: nobody.</summary>
        public (Va Routine, ulong Context) Completion { get; init; }
    }

    void CalculateScatterGatherList(GuestCall call)
    {
        AdapterAt(call.Argument(0));
        Mdl mdl = Mdl.At(nt.Memory, new Va(call.Argument(1)));
        int pages = PagesOf(mdl, new Va(call.Argument(2)), (uint)call.Argument(3));
        Va size = new(call.Argument(4)), registers = new(call.Argument(5));
        if (!size.IsNull) nt.Memory.Write(size, ListHeader + pages * ListElement);
        if (!registers.IsNull) nt.Memory.Write(registers, pages);
        call.Return(STATUS_SUCCESS.Value);
    }

    // Version; then whether the counter can be read, pieces, address bits, flags, the smallest transfer.
    void GetDmaAdapterInfo(GuestCall call)
    {
        const uint synchronousCallback = 1;
        DmaAdapter adapter = AdapterAt(call.Argument(0));
        Va info = new(call.Argument(1));
        bool isKnown = nt.Memory.Read<uint>(info) == 1;
        if (isKnown)
        {
            uint[] fields = [adapter.Channel is null ? 0U : 1, adapter.ReachesAll ? uint.MaxValue : 1,
                (uint)adapter.Reach.AddressBits, synchronousCallback, adapter.Channel?.Width ?? 1];
            for (int i = 0; i < fields.Length; i++) nt.Memory.Write(info + 4 + i * 4, fields[i]);
        }
        call.Return((isKnown ? STATUS_SUCCESS : STATUS_NOT_SUPPORTED).Value);
    }

    // Adapter, MDL, offset, length, direction, info: version; then registers, pieces, bytes of the list, pages.
    void GetDmaTransferInfo(GuestCall call)
    {
        AdapterAt(call.Argument(0));
        Mdl mdl = Mdl.At(nt.Memory, new Va(call.Argument(1)));
        Va info = new(call.Argument(5));
        (ulong offset, var length, uint version) =
            (call.Argument(2), (uint)call.Argument(3), nt.Memory.Read<uint>(info));
        NtStatus status = version is not (1 or 2) ? STATUS_NOT_SUPPORTED
            : !IsWithin(mdl, offset, length) ? STATUS_INVALID_PARAMETER : STATUS_SUCCESS;
        if (status == STATUS_SUCCESS)
        {
            int pages = PagesOf(mdl, mdl.VirtualAddress + offset, length);
            nt.Memory.Write(info + 4, pages);
            nt.Memory.Write(info + 8, pages);
            nt.Memory.Write(info + 12, ListHeader + pages * ListElement);
            if (version == 2) nt.Memory.Write(info + 16, pages);
        }
        call.Return(status.Value);
    }

    static int PagesOf(Mdl mdl, Va current, uint length)
    {
        ulong offset = mdl.IsNull ? current.PageOffset : (mdl.ByteOffset + (current - mdl.VirtualAddress)) & 0xFFF;
        return (int)((offset + length + 0xFFF) >> 12);
    }

    void GetScatterGatherList(GuestCall call) => call.Return(OldList(call, Va.Null, uint.MaxValue).Value);

    void BuildScatterGatherList(GuestCall call) =>
        call.Return(OldList(call, new Va(call.Argument(8)), (uint)call.Argument(9)).Value);

    // Adapter, device, MDL, address, length, routine, context, direction.
    NtStatus OldList(GuestCall call, Va buffer, uint room)
    {
        DmaAdapter adapter = AdapterAt(call.Argument(0));
        Mdl mdl = Mdl.At(nt.Memory, new Va(call.Argument(2)));
        Va current = new(call.Argument(3));
        return current < mdl.VirtualAddress ? STATUS_INVALID_PARAMETER : List(adapter, new ListWish(
            DeviceObject.At(nt.Memory, new Va(call.Argument(1))), mdl, current, (uint)call.Argument(4),
            (byte)call.Argument(7) != 0, new Va(call.Argument(5)), call.Argument(6), buffer, room, Va.Null, Va.Null,
            MayWait: true));
    }

    // Adapter, device, transfer context, MDL, offset, length, flags, routine, its context, direction, completion
    // routine, its context, list (out).
    void GetScatterGatherListEx(GuestCall call) =>
        call.Return(NewList(call, Va.Null, uint.MaxValue, (new Va(call.Argument(10)), call.Argument(11)),
            new Va(call.Argument(12))).Value);

    // The same with a buffer and its bytes behind the direction.
    void BuildScatterGatherListEx(GuestCall call) => call.Return(NewList(call, new Va(call.Argument(10)),
        (uint)call.Argument(11), (new Va(call.Argument(12)), call.Argument(13)), new Va(call.Argument(14))).Value);

    NtStatus NewList(GuestCall call, Va buffer, uint room, (Va Routine, ulong Context) completion, Va result)
    {
        DmaAdapter adapter = AdapterAt(call.Argument(0));
        (Va context, ulong offset, var flags) =
            (new Va(call.Argument(2)), call.Argument(4), (uint)call.Argument(6));
        Mdl mdl = Mdl.At(nt.Memory, new Va(call.Argument(3)));
        Va routine = new(call.Argument(7));
        bool isNow = flags == SynchronousCallback;
        if (!completion.Routine.IsNull && adapter.Channel is null) return STATUS_NOT_SUPPORTED;
        if (!IsContext(adapter, context) || (flags & ~SynchronousCallback) != 0 || offset > mdl.ByteCount
            || routine.IsNull && (!isNow || result.IsNull)) return STATUS_INVALID_PARAMETER;
        return List(adapter, new ListWish(DeviceObject.At(nt.Memory, new Va(call.Argument(1))), mdl,
            mdl.VirtualAddress + offset, (uint)call.Argument(5), (byte)call.Argument(9) != 0, routine,
            call.Argument(8), buffer, room, isNow ? result : Va.Null, context, !isNow)
        { Completion = completion });
    }

    NtStatus List(DmaAdapter adapter, ListWish wish)
    {
        // A slave's list has one piece, and comes with the channel.
        bool needsChannel = adapter.Channel is not null;
        if (!IsWithin(wish.Mdl, wish.Current - wish.Mdl.VirtualAddress, wish.Length)
            || needsChannel && (wish.Length == 0 || wish.Length % adapter.Channel!.Width != 0))
            return STATUS_INVALID_PARAMETER;
        TellMapping(DmaStep.Mapping, adapter, null, wish.Mdl, wish.Current, wish.Length, wish.ToDevice);
        int pages = PagesOf(wish.Mdl, wish.Current, wish.Length), registers = adapter.ReachesAll ? 0 : pages;
        if (registers > adapter.Reach.Registers) return STATUS_INSUFFICIENT_RESOURCES;
        uint bytes = (uint)(ListHeader + (registers > 0 ? 1 : pages) * ListElement);
        if (wish.Room < bytes) return STATUS_BUFFER_TOO_SMALL;
        bool isOurs = wish.Buffer.IsNull;
        Va list = isOurs ? nt.Mm.Pool.Allocate((int)bytes, AdapterTag) : wish.Buffer;
        if (list.IsNull) return STATUS_INSUFFICIENT_RESOURCES;
        void Drop()
        {
            if (isOurs) nt.Mm.Pool.Free(list);
        }
        bool Start(MapRegisters set)
        {
            Give(adapter, wish, set, list);
            return needsChannel && _lists.ContainsKey(list);
        }
        if (adapter.Queue.Request(new DmaRequest(adapter, registers, needsChannel, wish.Context, Start, Drop)
        { Device = wish.Device }, wish.MayWait)) return STATUS_SUCCESS;
        Drop();
        return STATUS_INSUFFICIENT_RESOURCES;
    }

    void Give(DmaAdapter adapter, ListWish wish, MapRegisters set, Va list)
    {
        WriteHeader(list, 0);
        if (wish.Length > 0)
            Map(adapter, set, wish.Mdl, wish.Current, wish.Length, wish.ToDevice, list, int.MaxValue,
                Telling(adapter, wish.Completion.Routine, wish.Completion.Context));
        _lists[list] = (adapter, set, wish);
        TellList(DmaStep.ListGiven, list, adapter, set, wish, wish.ToDevice);
        if (!wish.Result.IsNull) nt.Memory.Write(wish.Result, list);
        if (!wish.Routine.IsNull)
            nt.Routines.Call(wish.Routine, wish.Device.Address.Value, wish.Device.CurrentIrp.Address.Value, list.Value,
                wish.RoutineContext);
    }

    void WriteElement(Va list, int index, ulong address, uint length)
    {
        Va element = list + ListHeader + index * ListElement;
        nt.Memory.Write(element, address);
        nt.Memory.Write(element + 8, length);
        nt.Memory.Write(element + 16, 0UL);
    }

    void WriteHeader(Va list, int count)
    {
        nt.Memory.Write(list, count);
        nt.Memory.Write(list + 8, 0UL);
    }

    void PutScatterGatherList(GuestCall call)
    {
        Va list = new(call.Argument(1));
        if (!_lists.Remove(list, out var kept))
            throw new BugCheck(BugCheckCode.DRIVER_VERIFIER_DMA_VIOLATION, 6, list.Value);
        TellList(DmaStep.ListPut, list, kept.Adapter, kept.Set, kept.Wish, (byte)call.Argument(2) != 0);
        kept.Adapter.Flush(kept.Set, kept.Wish.Mdl, kept.Wish.Current, kept.Wish.Length, (byte)call.Argument(2) != 0);
        if (kept.Wish.Buffer.IsNull) nt.Mm.Pool.Free(list);
        if (kept.Adapter.Channel is null) kept.Adapter.Give(kept.Set);
        else FreeChannel(kept.Adapter, keepsRegisters: false);
    }
}
