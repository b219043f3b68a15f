using System.Collections.Frozen;
using Ringdown.Kernel;
using Ringdown.Machine;
using static Ringdown.Kernel.Irql;

namespace Ringdown.Verifier;

/// <summary>DMA: what a driver gets of an adapter it gives back once, and before the adapter; what it maps is locked,
/// and flushed.</summary>
public sealed partial class DmaRule(Reporter reporter) : IObserver
{
    const uint LastVersion = 3;

    /// <summary>An adapter, and what a driver has of it.</summary>
    sealed class Adapter(DeviceObject device)
    {
        public DeviceObject Device { get; } = device;
        public Dictionary<Va, (ulong Physical, uint Length)> Buffers { get; } = [];
        public Dictionary<Va, int> Registers { get; } = [];
        public List<Piece> Mapped { get; } = [];
        public Dictionary<Va, Piece> Lists { get; } = [];
        public int Channels { get; set; }

        /// <summary>Its device was removed without it.</summary>
        public bool IsLeft { get; set; }
    }

    // The IRQL at which each routine of DMA_OPERATIONS is called, and whether it is the only one. Others:
    // DISPATCH_LEVEL at most.
    static readonly FrozenDictionary<string, (Irql Irql, bool IsExact)> s_irqls = new (string[] Names, Irql, bool)[]
    {
        (["AllocateAdapterChannel", "FreeAdapterChannel", "FreeMapRegisters", "GetScatterGatherList",
            "PutScatterGatherList", "BuildScatterGatherList"], DISPATCH_LEVEL, true),
        (["PutDmaAdapter", "AllocateCommonBuffer", "FreeCommonBuffer", "GetDmaAlignment", "AllocateCommonBufferEx",
            "AllocateDomainCommonBuffer", "JoinDmaDomain", "LeaveDmaDomain", "AllocateCommonBufferWithBounds",
            "AllocateCommonBufferVector", "FreeCommonBufferFromVector", "FreeCommonBufferVector"],
            PASSIVE_LEVEL, false),
    }.SelectMany(group => group.Names.Select(name => KeyValuePair.Create(name, (group.Item2, group.Item3))))
        .ToFrozenDictionary();

    readonly Dictionary<Va, Adapter> _adapters = [];

    public void DmaUsed(NtKernel nt, DmaUse use)
    {
        if (use.Step == DmaStep.Got)
        {
            OnGot(nt, use);
            return;
        }
        if (use.Step == DmaStep.Refused)
        {
            OnRefused(nt, use);
            return;
        }
        // What is no adapter stops the machine.
        if (!_adapters.TryGetValue(use.Adapter, out Adapter? adapter)) return;
        switch (use.Step)
        {
            case DmaStep.Called:
                CheckIrql(nt, use.Routine);
                break;
            case DmaStep.Put:
                OnPut(nt, adapter, use);
                break;
            case DmaStep.BufferAllocated:
                adapter.Buffers[use.Buffer] = (use.Physical, use.Length);
                break;
            case DmaStep.BufferFreed:
                OnBufferFreed(nt, adapter, use);
                break;
            case DmaStep.ChannelAsked:
                if (use.Count > use.Most)
                    Report(nt, $"{use.Count} map registers are asked for, and the adapter has {use.Most}", 0x15);
                if (adapter.Channels > 0)
                    Report(nt, "AllocateAdapterChannel is called while the adapter's channel is allocated", 0x0B);
                break;
            case DmaStep.RegistersGiven:
                adapter.Registers[use.Registers] = use.Count;
                adapter.Channels++;
                break;
            case DmaStep.ChannelFreed:
                OnChannelFreed(nt, adapter, use);
                break;
            case DmaStep.RegistersFreed:
                OnRegistersFreed(nt, adapter, use);
                break;
            default:
                OnTransfer(nt, adapter, use);
                break;
        }
    }

    void OnGot(NtKernel nt, DmaUse use)
    {
        if (use.Device.IsNull)
            Report(nt, "HalGetAdapter is obsolete: IoGetDmaAdapter is for that", 0x1E, Severity.Warning);
        if ((uint)use.Count > LastVersion)
            Report(nt, $"A DEVICE_DESCRIPTION has version {(uint)use.Count}, which there is not", 0x25);
        if (!use.Adapter.IsNull) _adapters[use.Adapter] = new Adapter(use.Device);
    }

    void OnRefused(NtKernel nt, DmaUse use) => reporter.Report(nt, "Dma", Severity.Error,
        $"{use.Node?.InstancePath ?? "A device"} wants to {(use.ToDevice ? "read" : "write")} memory at physical "
            + $"address {use.Physical:X}, which no adapter has mapped for it. (Driver Verifier: 0xE6/0x26)",
        driver: use.Node?.Service);

    void CheckIrql(NtKernel nt, string routine)
    {
        (Irql irql, bool isExact) = s_irqls.GetValueOrDefault(routine, (DISPATCH_LEVEL, false));
        Irql now = nt.CurrentIrql;
        if (isExact ? now != irql : now > irql)
            Report(nt, $"{routine} is called at IRQL {now}; {(isExact ? "" : "at most ")}{irql} is right", 0x13);
    }

    void OnPut(NtKernel nt, Adapter adapter, DmaUse use)
    {
        _adapters.Remove(use.Adapter);
        ReadOnlySpan<(int Count, string What, uint Code)> left =
            [(adapter.Buffers.Count, "common buffer(s)", 0x07), (adapter.Channels, "channel(s)", 0x08),
                (adapter.Registers.Count, "set(s) of map registers", 0x09), (adapter.Lists.Count, "list(s)", 0x0A)];
        foreach ((int count, string what, uint code) in left)
            if (count > 0) Report(nt, $"The adapter is put with {count} {what} that are not given back", code);
        if (use.Count > 0)
            Report(nt, $"The adapter is put while {use.Count} request(s) wait for its channel or map registers: their "
                + "routines are never called");
    }

    void OnBufferFreed(NtKernel nt, Adapter adapter, DmaUse use)
    {
        if (!adapter.Buffers.Remove(use.Buffer, out (ulong Physical, uint Length) made))
        {
            Report(nt, $"FreeCommonBuffer: {use.Buffer} is no common buffer of the adapter", 0x03);
            foreach (Adapter other in _adapters.Values) other.Buffers.Remove(use.Buffer);
        }
        else if (made != (use.Physical, use.Length))
            Report(nt, $"FreeCommonBuffer is told {use.Length:X} bytes at {use.Physical:X}; the buffer has "
                + $"{made.Length:X} at {made.Physical:X}");
        string? where = use.Harm switch
        {
            DmaHarm.Before => "before its begin",
            DmaHarm.Behind => "behind its last page",
            DmaHarm.Padding => "behind its end",
            _ => null,
        };
        if (where is not null) Report(nt, $"The common buffer {use.Buffer} was written {where}", 0x0F);
    }

    void OnChannelFreed(NtKernel nt, Adapter adapter, DmaUse use)
    {
        if (adapter.Channels == 0) Report(nt, "A channel is freed that the adapter does not have", 0x04);
        else adapter.Channels--;
        if (!adapter.Registers.Remove(use.Registers)) return;
        if (adapter.Mapped.RemoveAll(p => p.Registers == use.Registers) > 0)
            Report(nt, "The channel is freed, and what was mapped by its map registers is not flushed", 0x0D);
    }

    void OnRegistersFreed(NtKernel nt, Adapter adapter, DmaUse use)
    {
        if (!adapter.Registers.Remove(use.Registers, out int count))
            Report(nt, $"FreeMapRegisters: {use.Registers} are no map registers of the adapter", 0x05);
        else if (count != use.Count) Report(nt, $"{use.Count} map registers are freed, and {count} were given", 0x05);
        if (adapter.Mapped.RemoveAll(p => p.Registers == use.Registers) > 0)
            Report(nt, "Map registers are freed, and what was mapped by them is not flushed", 0x10);
    }

    public void DeviceRemoved(NtKernel nt, DeviceRemoved removed)
    {
        if (removed.IsSurprise) return;
        foreach (Adapter adapter in _adapters.OrderBy(a => a.Key).Select(a => a.Value))
        {
            if (adapter.IsLeft || adapter.Device != removed.Node.PhysicalDevice) continue;
            adapter.IsLeft = true;
            reporter.Report(nt, "Dma", Severity.Error, "The device is removed, and its DMA adapter is not put.",
                driver: removed.Node.Service);
        }
    }

    void Report(NtKernel nt, string what, uint? code = null, Severity severity = Severity.Error) =>
        reporter.Report(nt, "Dma", severity,
            what + (code is { } number ? $". (Driver Verifier: 0xE6/0x{number:X})" : "."));
}
