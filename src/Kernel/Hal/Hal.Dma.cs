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

/// <summary>DMA: adapters for bus masters and for slaves of the system's controller, and the table of their
/// routines.</summary>
sealed partial class Hal
{
    public const string Slaves = "Slaves are those of an 8237.";
    const uint AdapterTag = 0x4161_6D44, LastVersion = 3;       // 'DmaA'
    const ulong UsedAfterPut = 0x18, NullAdapter = 0x19;      // of DRIVER_VERIFIER_DMA_VIOLATION
    const int MostRegisters = 256, RoutinesBefore3 = 15, LastChannel = 7;
    const ulong Below16M = 0xFF_FFFF, Below4G = uint.MaxValue;

    readonly Dictionary<Va, DmaAdapter> _adapters = [];
    readonly SortedDictionary<int, SystemDmaChannel> _channels = [];
    readonly DmaMemory _dmaMemory = new();
    Va _operations, _operationsBefore3;

    /// <summary>An adapter for a device as DEVICE_DESCRIPTION describes it, or null.</summary>
    /// <param name="device">Its physical device object; null: nobody knows.</param>
    public Va GetAdapter(DeviceObject device, Va description, Va numberOfMapRegisters)
    {
        Va made = MakeAdapter(description, numberOfMapRegisters, ChipOf(device));
        nt.OnDmaUsed(new DmaUse(DmaStep.Got, made)
        {
            Routine = device.IsNull ? nameof(HalGetAdapter) : "IoGetDmaAdapter",
            Device = device,
            Count = nt.Memory.Read<int>(description),
        });
        return made;
    }

    // A device without a chip of its own is one of a driver's bus: the way to memory is the bus's.
    object? ChipOf(DeviceObject device)
    {
        for (DeviceNode? node = device.IsNull ? null : nt.Pnp.Find(device); node is not null; node = node.Parent)
            if (Buses.FindChip(nt.Computer, node) is { } chip) return chip;
        return null;
    }

    Va MakeAdapter(Va description, Va numberOfMapRegisters, object? chip)
    {
        bool isMaster = nt.Memory.Read<byte>(description + 4) != 0;
        SystemDmaChannel? channel = isMaster ? null : ChannelOf(description);
        if (nt.Memory.Read<uint>(description) > LastVersion || !isMaster && channel is null) return Va.Null;
        DmaReach reach = ReachOf(description, channel);
        Va made = nt.Mm.Pool.Allocate(
            (ulong)DmaAdapterObject.Size, PoolKind.NonPaged, AdapterTag, nt.Caller, zero: true);
        if (made.IsNull) return Va.Null;
        var shown = DmaAdapterObject.At(nt.Memory, made);
        bool is3 = reach.Version >= 3;
        (shown.Version, shown.ObjectSize, shown.DmaOperations) =
            (is3 ? (ushort)3 : (ushort)1, (ushort)DmaAdapterObject.Size, OperationsOf(is3));
        // A slave's memory is reached by the controller.
        _adapters.Add(made, new DmaAdapter(nt, made, reach, _dmaMemory, channel)
        {
            Owner = nt.Caller,
            Grants = new DmaGrants(nt.Computer.Iommu, isMaster ? chip : null),
        });
        nt.Memory.Write(numberOfMapRegisters, reach.Registers);
        return made;
    }

    [Export(Support.Partial, Slaves), IrqlRequiresMax(PASSIVE_LEVEL)]
    public Va HalGetAdapter(Va deviceDescription, Va numberOfMapRegisters) =>
        GetAdapter(DeviceObject.At(nt.Memory, Va.Null), deviceDescription, numberOfMapRegisters);

    DmaReach ReachOf(Va description, SystemDmaChannel? channel)
    {
        bool Flag(int offset) => nt.Memory.Read<byte>(description + offset) != 0;
        uint version = nt.Memory.Read<uint>(description), longest = nt.Memory.Read<uint>(description + 0x20);
        uint bits = version >= 3 ? nt.Memory.Read<uint>(description + 0x28) : 0;
        if (bits is 0 or > 64) bits = Flag(11) ? 64U : Flag(8) ? 32U : 24;
        if (channel is not null) bits = 24;
        int most = channel is null ? MostRegisters : (int)(channel.Boundary >> 12);
        return new DmaReach(version, Flag(5), ulong.MaxValue >> (64 - (int)bits), (int)bits,
            (int)Math.Clamp(((ulong)longest + 0xFFF >> 12) + 1, 1, (ulong)most), Flag(6), Flag(7), Flag(9));
    }

    /// <summary>The channel of a slave; null if the computer has no such one.</summary>
    SystemDmaChannel? ChannelOf(Va description)
    {
        const uint bytes = 0, words = 1;
        uint number = nt.Memory.Read<uint>(description + 0x10), width = nt.Memory.Read<uint>(description + 0x18);
        if (nt.Computer.Dma.Controller is null || number > LastChannel || number == DmaChannels.Cascade
            || width != (number < DmaChannels.Cascade ? bytes : words)) return null;
        if (!_channels.TryGetValue((int)number, out SystemDmaChannel? channel))
            _channels.Add((int)number,
                channel = new SystemDmaChannel(nt.Computer, (int)number, new DmaQueue(nt, _dmaMemory)));
        return channel;
    }

    DmaAdapter AdapterAt(ulong address) => _adapters.GetValueOrDefault(new Va(address))
        ?? throw new BugCheck(
            BugCheckCode.DRIVER_VERIFIER_DMA_VIOLATION, address == 0 ? NullAdapter : UsedAfterPut, address);

    // A description of version 3 gets all of the table, an older one the part that there was.
    Va OperationsOf(bool version3)
    {
        if (_operations.IsNull)
        {
            Va[] routines = [.. DmaRoutines.Select(r =>
                nt.Routines.Add("Hal" + r.Name, (_, call) => Run(r.Name, r.Routine, call)))];
            _operations = Table(routines);
            _operationsBefore3 = Table(routines.AsSpan(0, RoutinesBefore3));
        }
        return version3 ? _operations : _operationsBefore3;
    }

    void Run(string name, Action<GuestCall> routine, GuestCall call)
    {
        nt.OnDmaUsed(new DmaUse(DmaStep.Called, new Va(call.Argument(0))) { Routine = name });
        routine(call);
    }

    Va Table(ReadOnlySpan<Va> routines)
    {
        int bytes = 8 + routines.Length * 8;
        Va table = nt.Mm.Pool.Allocate(bytes, AdapterTag);
        nt.Memory.Write(table, bytes);
        for (int i = 0; i < routines.Length; i++) nt.Memory.Write(table + 8 + i * 8, routines[i]);
        return table;
    }

    // DMA_OPERATIONS. What follows the first fifteen is of version 3 (the order is from memory).
    (string Name, Action<GuestCall> Routine)[] DmaRoutines =>
    [
        ("PutDmaAdapter", PutDmaAdapter), ("AllocateCommonBuffer", AllocateCommonBuffer),
        ("FreeCommonBuffer", FreeCommonBuffer), ("AllocateAdapterChannel", AllocateAdapterChannel),
        ("FlushAdapterBuffers", FlushAdapterBuffers), ("FreeAdapterChannel", FreeAdapterChannel),
        ("FreeMapRegisters", FreeMapRegisters), ("MapTransfer", MapTransfer),
        ("GetDmaAlignment", static call => call.Return(1)), ("ReadDmaCounter", ReadDmaCounter),
        ("GetScatterGatherList", GetScatterGatherList), ("PutScatterGatherList", PutScatterGatherList),
        ("CalculateScatterGatherList", CalculateScatterGatherList),
        ("BuildScatterGatherList", BuildScatterGatherList), ("BuildMdlFromScatterGatherList", Unsupported),
        ("GetDmaAdapterInfo", GetDmaAdapterInfo), ("GetDmaTransferInfo", GetDmaTransferInfo),
        ("InitializeDmaTransferContext", InitializeDmaTransferContext),
        ("AllocateCommonBufferEx", AllocateCommonBufferEx), ("AllocateAdapterChannelEx", AllocateAdapterChannelEx),
        ("ConfigureAdapterChannel", Unsupported), ("CancelAdapterChannel", CancelAdapterChannel),
        ("MapTransferEx", MapTransferEx), ("GetScatterGatherListEx", GetScatterGatherListEx),
        ("BuildScatterGatherListEx", BuildScatterGatherListEx), ("FlushAdapterBuffersEx", FlushAdapterBuffersEx),
        ("FreeAdapterObject", FreeAdapterObject), ("CancelMappedTransfer", CancelMappedTransfer),
        ("AllocateDomainCommonBuffer", AllocateDomainCommonBuffer), ("FlushDmaBuffer", FlushDmaBuffer),
        ("JoinDmaDomain", JoinDmaDomain), ("LeaveDmaDomain", LeaveDmaDomain), ("GetDmaDomain", GetDmaDomain),
        ("AllocateCommonBufferWithBounds", AllocateCommonBufferWithBounds),
        ("AllocateCommonBufferVector", AllocateCommonBufferVector),
        ("GetCommonBufferFromVectorByIndex", GetCommonBufferFromVectorByIndex),
        ("FreeCommonBufferFromVector", FreeCommonBufferFromVector),
        ("FreeCommonBufferVector", FreeCommonBufferVector), ("CreateCommonBufferFromMdl", Unsupported),
    ];

    static void Unsupported(GuestCall call) => call.Return(STATUS_NOT_SUPPORTED.Value);

    void PutDmaAdapter(GuestCall call)
    {
        DmaAdapter adapter = AdapterAt(call.Argument(0));
        nt.OnDmaUsed(new DmaUse(DmaStep.Put, adapter.Address) { Count = adapter.Queue.Waiting(adapter) });
        _adapters.Remove(adapter.Address);
        nt.Mm.Pool.Free(adapter.Address);
        adapter.Queue.Drop(adapter);
        adapter.Grants.GiveAll();
        if (adapter.Domain is not null) Leave(adapter);
    }

    /// <summary>Adapters that a driver has not given back, a line each.</summary>
    public IReadOnlyList<string> AdaptersLeftBy(Func<Va, bool> isOwner) =>
        [.. _adapters.OrderBy(a => a.Key).Select(a => a.Value).Where(a => isOwner(a.Owner)).Select(a =>
            $"a DMA adapter, got by {nt.Loader.Describe(a.Owner)}" + (a.Queue.Waiting(a) is var waiting and > 0
                ? $"; {waiting} request(s) wait for its channel or map registers" : ""))];
}
