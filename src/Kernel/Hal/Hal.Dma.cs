using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>DMA_ADAPTER: what drivers see of an adapter. Its routines are called through the table.</summary>
[Layout("_DMA_ADAPTER", Size = 0x10)]
public readonly partial struct DmaAdapterObject
{
    [Field(0x00)] public partial ushort Version { get; set; }
    [Field(0x02, Name = "Size")] public partial ushort ObjectSize { get; set; }
    [Field(0x08)] public partial Va DmaOperations { get; set; }
}

/// <summary>DMA by devices that are bus masters: adapters, map registers, scatter/gather lists, common
/// buffers.</summary>
sealed partial class Hal
{
    const string MastersOnly =
        "Bus masters with descriptions of version 0 to 2: no system DMA controller, no version 3.";
    const uint AdapterTag = 0x4161_6D44, LastVersion = 2;       // 'DmaA'
    const int MostRegisters = 256, ListHeader = 0x10, ListElement = 0x18;
    const ulong Below16M = 0xFF_FFFF, Below4G = uint.MaxValue;

    readonly Dictionary<Va, DmaAdapter> _adapters = [];
    readonly Dictionary<Va, (DmaAdapter Adapter, MapRegisters Set, Mdl Mdl, Va Current, uint Length, bool Own)> _lists =
        [];

    /// <summary>An adapter for a device as DEVICE_DESCRIPTION describes it, or null.</summary>
    public Va GetAdapter(Va description, Va numberOfMapRegisters)
    {
        uint version = nt.Memory.Read<uint>(description);
        bool isMaster = nt.Memory.Read<byte>(description + 4) != 0;
        if (version > LastVersion || !isMaster) return Va.Null;
        ulong highest = nt.Memory.Read<byte>(description + 11) != 0 ? ulong.MaxValue
            : nt.Memory.Read<byte>(description + 8) != 0 ? Below4G : Below16M;
        uint longest = nt.Memory.Read<uint>(description + 0x20);
        int registers = (int)Math.Clamp(((ulong)longest + 0xFFF >> 12) + 1, 1, MostRegisters);
        Va made = nt.Mm.Pool.Allocate(
            (ulong)DmaAdapterObject.Size, PoolKind.NonPaged, AdapterTag, nt.Caller, zero: true);
        if (made.IsNull) return Va.Null;
        var shown = DmaAdapterObject.At(nt.Memory, made);
        (shown.Version, shown.ObjectSize, shown.DmaOperations) = (1, (ushort)DmaAdapterObject.Size, DmaOperations);
        bool scatters = nt.Memory.Read<byte>(description + 5) != 0;
        _adapters.Add(made, new DmaAdapter(nt, made, scatters, highest, registers));
        nt.Memory.Write(numberOfMapRegisters, registers);
        return made;
    }

    [Export(Support.Partial, MastersOnly), IrqlRequiresMax(PASSIVE_LEVEL)]
    public Va HalGetAdapter(Va deviceDescription, Va numberOfMapRegisters) =>
        GetAdapter(deviceDescription, numberOfMapRegisters);

    DmaAdapter AdapterAt(ulong address) => _adapters.GetValueOrDefault(new Va(address))
        ?? throw new BugCheck(BugCheckCode.DRIVER_VERIFIER_DMA_VIOLATION, 0x11, address);

    Va DmaOperations
    {
        get
        {
            if (!field.IsNull) return field;
            (string Name, Action<GuestCall> Routine)[] routines =
            [
                ("PutDmaAdapter", PutDmaAdapter), ("AllocateCommonBuffer", AllocateCommonBuffer),
                ("FreeCommonBuffer", FreeCommonBuffer), ("AllocateAdapterChannel", AllocateAdapterChannel),
                ("FlushAdapterBuffers", FlushAdapterBuffers), ("FreeAdapterChannel", FreeAdapterChannel),
                ("FreeMapRegisters", FreeMapRegisters), ("MapTransfer", MapTransfer),
                ("GetDmaAlignment", static call => call.Return(1)), ("ReadDmaCounter", static call => call.Return(0)),
                ("GetScatterGatherList", GetScatterGatherList), ("PutScatterGatherList", PutScatterGatherList),
                ("CalculateScatterGatherList", CalculateScatterGatherList),
                ("BuildScatterGatherList", BuildScatterGatherList),
                ("BuildMdlFromScatterGatherList", static call => call.Return(STATUS_NOT_SUPPORTED.Value)),
            ];
            field = nt.Mm.Pool.Allocate(8 + routines.Length * 8, AdapterTag);
            nt.Memory.Write(field, 8 + routines.Length * 8);
            for (int i = 0; i < routines.Length; i++)
            {
                Action<GuestCall> routine = routines[i].Routine;
                Va address = nt.Routines.Add("Hal" + routines[i].Name, (_, call) => routine(call));
                nt.Memory.Write(field + 8 + i * 8, address);
            }
            return field;
        }
    }

    void PutDmaAdapter(GuestCall call)
    {
        DmaAdapter adapter = AdapterAt(call.Argument(0));
        _adapters.Remove(adapter.Address);
        nt.Mm.Pool.Free(adapter.Address);
    }

    void AllocateCommonBuffer(GuestCall call)
    {
        DmaAdapter adapter = AdapterAt(call.Argument(0));
        Va made = nt.Mm.MmAllocateContiguousMemory((uint)call.Argument(1), adapter.Highest);
        if (!made.IsNull) nt.Memory.Write(new Va(call.Argument(2)), nt.Mm.MmGetPhysicalAddress(made));
        call.Return(made.Value);
    }

    void FreeCommonBuffer(GuestCall call)
    {
        AdapterAt(call.Argument(0));
        nt.Mm.MmFreeContiguousMemory(new Va(call.Argument(3)));
    }

    /// <summary>The execution routine is called when the channel and the map registers are there; it says what to give
    /// back.</summary>
    void AllocateAdapterChannel(GuestCall call)
    {
        const ulong keepObject = 1, deallocateObject = 2;
        DmaAdapter adapter = AdapterAt(call.Argument(0));
        DeviceObject device = DeviceObject.At(nt.Memory, new Va(call.Argument(1)));
        ulong count = (uint)call.Argument(2), context = call.Argument(4);
        Va routine = new(call.Argument(3));
        if (count > (ulong)adapter.Registers)
        {
            call.Return(STATUS_INSUFFICIENT_RESOURCES.Value);
            return;
        }
        adapter.Request((int)count, needsChannel: true, set =>
        {
            ulong action = (uint)nt.Routines.Call(
                routine, device.Address.Value, device.CurrentIrp.Address.Value, set.Base.Value, context);
            if (action == deallocateObject) adapter.Free(set);
            return action == keepObject;
        });
        call.Return(STATUS_SUCCESS.Value);
    }

    void FreeAdapterChannel(GuestCall call) => AdapterAt(call.Argument(0)).FreeChannel();

    void FreeMapRegisters(GuestCall call)
    {
        DmaAdapter adapter = AdapterAt(call.Argument(0));
        if (adapter.Find(new Va(call.Argument(1))) is { } set) adapter.Free(set);
    }

    /// <summary>The address for the device, and how much of the transfer it can do from there.</summary>
    void MapTransfer(GuestCall call)
    {
        DmaAdapter adapter = AdapterAt(call.Argument(0));
        Mdl mdl = Mdl.At(nt.Memory, new Va(call.Argument(1)));
        Va current = new(call.Argument(3)), length = new(call.Argument(4));
        uint wanted = nt.Memory.Read<uint>(length);
        if (adapter.Find(new Va(call.Argument(2))) is not { Bounces: true } set)
        {
            (ulong address, uint piece) = DmaAdapter.PieceAt(mdl, current, wanted);
            nt.Memory.Write(length, piece);
            call.Return(address);
            return;
        }
        ulong offset = (mdl.ByteOffset + (current - mdl.VirtualAddress)) & 0xFFF;
        uint given = (uint)Math.Min(wanted, ((ulong)set.Count << 12) - offset);
        if ((byte)call.Argument(5) != 0) adapter.Copy(set, mdl, current, given, toDevice: true);
        nt.Memory.Write(length, given);
        call.Return(set.BounceAddress + offset);
    }

    void FlushAdapterBuffers(GuestCall call)
    {
        DmaAdapter adapter = AdapterAt(call.Argument(0));
        if (adapter.Find(new Va(call.Argument(2))) is { Bounces: true } set && (byte)call.Argument(5) == 0)
            adapter.Copy(set, Mdl.At(nt.Memory, new Va(call.Argument(1))), new Va(call.Argument(3)),
                (uint)call.Argument(4), toDevice: false);
        call.Return(1);
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

    static int PagesOf(Mdl mdl, Va current, uint length)
    {
        ulong offset = mdl.IsNull ? current.PageOffset : (mdl.ByteOffset + (current - mdl.VirtualAddress)) & 0xFFF;
        return (int)((offset + length + 0xFFF) >> 12);
    }

    void GetScatterGatherList(GuestCall call) => call.Return(List(call, Va.Null, uint.MaxValue).Value);

    void BuildScatterGatherList(GuestCall call) =>
        call.Return(List(call, new Va(call.Argument(8)), (uint)call.Argument(9)).Value);

    // Adapter, device, MDL, address, length, routine, context, direction.
    NtStatus List(GuestCall call, Va buffer, uint room)
    {
        DmaAdapter adapter = AdapterAt(call.Argument(0));
        DeviceObject device = DeviceObject.At(nt.Memory, new Va(call.Argument(1)));
        Mdl mdl = Mdl.At(nt.Memory, new Va(call.Argument(2)));
        (Va current, uint length) = (new Va(call.Argument(3)), (uint)call.Argument(4));
        (Va routine, ulong context, bool toDevice) =
            (new Va(call.Argument(5)), call.Argument(6), (byte)call.Argument(7) != 0);
        int pages = PagesOf(mdl, current, length), registers = adapter.ReachesAll ? 0 : pages;
        if (current < mdl.VirtualAddress || current - mdl.VirtualAddress + length > mdl.ByteCount)
            return STATUS_INVALID_PARAMETER;
        if (registers > adapter.Registers) return STATUS_INSUFFICIENT_RESOURCES;
        if (room < (uint)(ListHeader + (registers > 0 ? 1 : pages) * ListElement)) return STATUS_BUFFER_TOO_SMALL;
        adapter.Request(registers, needsChannel: false, set =>
        {
            Va list = buffer.IsNull ? nt.Mm.Pool.Allocate(ListHeader + pages * ListElement, AdapterTag) : buffer;
            if (set.Bounces && toDevice) adapter.Copy(set, mdl, current, length, toDevice: true);
            Fill(list, set, mdl, current, length);
            _lists[list] = (adapter, set, mdl, current, length, buffer.IsNull);
            nt.Routines.Call(routine, device.Address.Value, device.CurrentIrp.Address.Value, list.Value, context);
            return false;
        });
        return STATUS_SUCCESS;
    }

    void Fill(Va list, MapRegisters set, Mdl mdl, Va current, uint length)
    {
        int count = 0;
        for (uint done = 0; done < length; count++)
        {
            nt.Ke.Clock.Spend();
            ulong offset = (mdl.ByteOffset + (current - mdl.VirtualAddress)) & 0xFFF;
            (ulong address, uint piece) = set.Bounces ? (set.BounceAddress + offset, length)
                : DmaAdapter.PieceAt(mdl, current + done, length - done);
            Va element = list + ListHeader + count * ListElement;
            nt.Memory.Write(element, address);
            nt.Memory.Write(element + 8, piece);
            nt.Memory.Write(element + 16, 0UL);
            done += piece;
        }
        nt.Memory.Write(list, count);
        nt.Memory.Write(list + 8, 0UL);
    }

    void PutScatterGatherList(GuestCall call)
    {
        Va list = new(call.Argument(1));
        if (!_lists.Remove(list, out var kept))
            throw new BugCheck(BugCheckCode.DRIVER_VERIFIER_DMA_VIOLATION, 0x13, list.Value);
        if (kept.Set.Bounces && (byte)call.Argument(2) == 0)
            kept.Adapter.Copy(kept.Set, kept.Mdl, kept.Current, kept.Length, toDevice: false);
        if (kept.Own) nt.Mm.Pool.Free(list);
        kept.Adapter.Free(kept.Set);
    }
}
