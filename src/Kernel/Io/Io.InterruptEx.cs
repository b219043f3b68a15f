using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Interrupts as drivers connect them since Vista: a structure whose version says how.</summary>
sealed partial class Io
{
    const uint CONNECT_FULLY_SPECIFIED = 1, CONNECT_LINE_BASED = 2, CONNECT_MESSAGE_BASED = 3,
        CONNECT_FULLY_SPECIFIED_GROUP = 4, CONNECT_MESSAGE_BASED_PASSIVE = 5;

    // Objects that were connected by one call beside the one that the driver has; tables of messages.
    readonly Dictionary<Va, KInterrupt[]> _connectedWith = [];

    /// <summary>Connects a service routine: to a vector, to the lines that the device was started with, or to its
    /// messages. One that has no messages is connected to its line by the routine for that case, if there is one, and
    /// the structure's version says so.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoConnectInterruptEx(Va parameters) =>
        ConnectEx(IoConnectInterruptParameters.At(nt.Memory, parameters));

    NtStatus ConnectEx(IoConnectInterruptParameters parameters) => parameters.Version switch
    {
        CONNECT_FULLY_SPECIFIED or CONNECT_FULLY_SPECIFIED_GROUP => ConnectVector(parameters),
        CONNECT_LINE_BASED => ConnectLines(parameters, parameters.ServiceRoutine),
        CONNECT_MESSAGE_BASED or CONNECT_MESSAGE_BASED_PASSIVE => ConnectMessages(parameters),
        _ => STATUS_INVALID_PARAMETER,
    };

    NtStatus ConnectVector(IoConnectInterruptParameters parameters)
    {
        const uint latched = 1;
        if (parameters.InterruptMode > latched) return STATUS_INVALID_PARAMETER;
        NtStatus status = nt.Ke.Connect(new InterruptRequest(parameters.ServiceRoutine, parameters.ServiceContext,
            parameters.SpinLock, parameters.Vector, parameters.Irql, parameters.SynchronizeIrql,
            parameters.InterruptMode == latched, parameters.ShareVector, parameters.ProcessorEnableMask),
            out KInterrupt made);
        if (status.IsSuccess) nt.Memory.Write(parameters.ConnectionContext, made.Address);
        return status;
    }

    /// <summary>The interrupts that a device was started with: its lines, or each of its messages.</summary>
    IReadOnlyList<(uint Vector, Resource Resource)> InterruptsOf(DeviceObject physicalDevice, bool messages) =>
        nt.Pnp.Find(physicalDevice) is not { } node ? []
        : [.. node.Resources.Where(r => r.Type == ResourceType.Interrupt && r.IsMessage == messages)
            .SelectMany(r => Enumerable.Range(0, (int)r.Length).Select(i => (r.Vector + (uint)i, r)))];

    NtStatus ConnectLines(IoConnectInterruptParameters parameters, Va routine)
    {
        var lines = InterruptsOf(parameters.PhysicalDeviceObject, messages: false);
        if (lines.Count == 0) return STATUS_NOT_FOUND;
        NtStatus status = ConnectAll(parameters, routine, lines, lines.Max(l => IrqlOf(l.Vector)), false, out var made);
        if (!status.IsSuccess) return status;
        if (made.Length > 1) _connectedWith[made[0].Address] = made[1..];
        nt.Memory.Write(parameters.ConnectionContext, made[0].Address);
        return STATUS_SUCCESS;
    }

    static Irql IrqlOf(uint vector) => (Irql)(vector >> 4);

    NtStatus ConnectMessages(IoConnectInterruptParameters parameters)
    {
        var messages = InterruptsOf(parameters.PhysicalDeviceObject, messages: true);
        if (messages.Count == 0)
        {
            if (parameters.FallBackServiceRoutine.IsNull) return STATUS_NOT_FOUND;
            NtStatus fallen = ConnectLines(parameters, parameters.FallBackServiceRoutine);
            IoConnectInterruptParameters told = parameters;
            if (fallen.IsSuccess) told.Version = CONNECT_LINE_BASED;
            return fallen;
        }
        bool isPassive = parameters.Version == CONNECT_MESSAGE_BASED_PASSIVE;
        Irql unified = isPassive ? PASSIVE_LEVEL : messages.Max(m => IrqlOf(m.Vector));
        NtStatus status = ConnectAll(parameters, parameters.ServiceRoutine, messages, unified, true, out var made);
        if (!status.IsSuccess) return status;
        Va table = MessageTable(made, unified);
        _connectedWith[table] = made;
        nt.Memory.Write(parameters.ConnectionContext, table);
        return STATUS_SUCCESS;
    }

    NtStatus ConnectAll(
        IoConnectInterruptParameters parameters, Va routine, IReadOnlyList<(uint Vector, Resource Resource)> interrupts,
        Irql unified, bool areMessages, out KInterrupt[] made)
    {
        List<KInterrupt> all = [];
        // No IRQL means the one that does for all.
        Irql asked = parameters.SynchronizeIrql, synchronize = asked == PASSIVE_LEVEL ? unified : asked;
        NtStatus status = STATUS_SUCCESS;
        foreach ((uint vector, Resource resource) in interrupts)
        {
            Irql irql = unified == PASSIVE_LEVEL ? PASSIVE_LEVEL : IrqlOf(vector);
            bool isLatched = (resource.Flags & Wdm.CM_RESOURCE_INTERRUPT_LATCHED) != 0;
            status = nt.Ke.Connect(new InterruptRequest(routine, parameters.ServiceContext, parameters.SpinLock, vector,
                irql, synchronize, isLatched, resource.Share == ShareDisposition.Shared,
                resource.Processors != 0 ? resource.Processors : nt.Ke.KeQueryActiveProcessors(),
                areMessages ? (uint)all.Count : null), out KInterrupt one);
            if (!status.IsSuccess) break;
            all.Add(one);
        }
        if (!status.IsSuccess) all.ForEach(nt.Ke.IoDisconnectInterrupt);
        made = [.. all];
        return status;
    }

    /// <summary>IO_INTERRUPT_MESSAGE_INFO, from the pool.</summary>
    Va MessageTable(KInterrupt[] messages, Irql unified)
    {
        const uint latched = 1, tag = 0x674D_6F49;      // 'IoMg'
        Va table = nt.Mm.Pool.Allocate(
            IoInterruptMessageInfo.EntriesOffset + messages.Length * IoInterruptMessageInfoEntry.Size, tag);
        var info = IoInterruptMessageInfo.At(nt.Memory, table);
        (info.UnifiedIrql, info.MessageCount) = (unified, (uint)messages.Length);
        for (int i = 0; i < messages.Length; i++)
        {
            IoInterruptMessageInfoEntry entry = info.Entry(i);
            (entry.InterruptObject, entry.Vector, entry.Irql) =
                (messages[i].Address, messages[i].Vector, messages[i].Irql);
            (entry.MessageAddress, entry.MessageData) =
                (PciChild.MessageAddress(messages[i].Processors), messages[i].Vector);
            (entry.TargetProcessorSet, entry.Mode, entry.Polarity) = (messages[i].Processors, latched, 0);
        }
        return table;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public void IoDisconnectInterruptEx(Va parameters)
    {
        Va context = nt.Memory.Read<Va>(parameters + 8);
        bool isTable = IsMessageTable(parameters);
        if (_connectedWith.Remove(context, out KInterrupt[]? others))
            Array.ForEach(others, nt.Ke.IoDisconnectInterrupt);
        else if (isTable) throw new BugCheck(BugCheckCode.INVALID_DATA_ACCESS_TRAP, context.Value);
        if (isTable) nt.Mm.Pool.Free(context);
        else nt.Ke.IoDisconnectInterrupt(KInterrupt.At(nt.Memory, context));
    }

    bool IsMessageTable(Va parameters) =>
        nt.Memory.Read<uint>(parameters) is CONNECT_MESSAGE_BASED or CONNECT_MESSAGE_BASED_PASSIVE;

    /// <summary>The service routine is called again.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void IoReportInterruptActive(Va parameters) => SetActive(parameters, true);

    /// <summary>The service routine is not called. A line of which that holds for all is masked.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void IoReportInterruptInactive(Va parameters) => SetActive(parameters, false);

    void SetActive(Va parameters, bool active)
    {
        Va context = nt.Memory.Read<Va>(parameters + 8);
        foreach (KInterrupt other in _connectedWith.GetValueOrDefault(context) ?? [])
            nt.Ke.Interrupts.SetActive(other, active);
        if (!IsMessageTable(parameters)) nt.Ke.Interrupts.SetActive(KInterrupt.At(nt.Memory, context), active);
    }

    /// <summary>GROUP_AFFINITY of an interrupt: the processor that services it.</summary>
    [Export]
    public NtStatus IoGetAffinityInterrupt(KInterrupt interruptObject, Va groupAffinity)
    {
        nt.Memory.Write(groupAffinity, nt.Ke.Interrupts.ProcessorsOf(interruptObject));
        nt.Memory.Write(groupAffinity + 8, 0UL);
        return STATUS_SUCCESS;
    }
}

/// <summary>IO_CONNECT_INTERRUPT_PARAMETERS: its version says which fields count.</summary>
[Layout("_IO_CONNECT_INTERRUPT_PARAMETERS", Size = 0x50)]
public readonly partial struct IoConnectInterruptParameters
{
    [Field(0x00)] public partial uint Version { get; set; }
    [Field(0x08, Name = "FullySpecified.PhysicalDeviceObject")]
    public partial DeviceObject PhysicalDeviceObject { get; set; }

    /// <summary>Where the interrupt object, or the table of messages, is told.</summary>
    [Field(0x10, Name = "FullySpecified.InterruptObject")] public partial Va ConnectionContext { get; set; }
    [Field(0x18, Name = "FullySpecified.ServiceRoutine")] public partial Va ServiceRoutine { get; set; }
    [Field(0x20, Name = "FullySpecified.ServiceContext")] public partial Va ServiceContext { get; set; }
    [Field(0x28, Name = "FullySpecified.SpinLock")] public partial Va SpinLock { get; set; }
    [Field(0x30, Name = "FullySpecified.SynchronizeIrql")] public partial Irql SynchronizeIrql { get; set; }
    [Field(0x32, Name = "FullySpecified.ShareVector")] public partial bool ShareVector { get; set; }
    [Field(0x34, Name = "FullySpecified.Vector")] public partial uint Vector { get; set; }
    [Field(0x38, Name = "FullySpecified.Irql")] public partial Irql Irql { get; set; }
    [Field(0x3C, Name = "FullySpecified.InterruptMode")] public partial uint InterruptMode { get; set; }
    [Field(0x40, Name = "FullySpecified.ProcessorEnableMask")] public partial ulong ProcessorEnableMask { get; set; }
    [Field(0x38, Name = "MessageBased.FallBackServiceRoutine")] public partial Va FallBackServiceRoutine { get; set; }
}

/// <summary>IO_INTERRUPT_MESSAGE_INFO: the messages of a device that are connected.</summary>
[Layout("_IO_INTERRUPT_MESSAGE_INFO", Size = 0x38)]
public readonly partial struct IoInterruptMessageInfo
{
    public const int EntriesOffset = 8;

    [Field(0x00)] public partial Irql UnifiedIrql { get; set; }
    [Field(0x04)] public partial uint MessageCount { get; set; }

    public IoInterruptMessageInfoEntry Entry(int n) => IoInterruptMessageInfoEntry.At(
        _memory, Address + EntriesOffset + n * IoInterruptMessageInfoEntry.Size);
}

[Layout("_IO_INTERRUPT_MESSAGE_INFO_ENTRY", Size = 0x30)]
public readonly partial struct IoInterruptMessageInfoEntry
{
    [Field(0x00)] public partial ulong MessageAddress { get; set; }
    [Field(0x08)] public partial ulong TargetProcessorSet { get; set; }
    [Field(0x10)] public partial Va InterruptObject { get; set; }
    [Field(0x18)] public partial uint MessageData { get; set; }
    [Field(0x1C)] public partial uint Vector { get; set; }
    [Field(0x20)] public partial Irql Irql { get; set; }
    [Field(0x24)] public partial uint Mode { get; set; }
    [Field(0x28)] public partial uint Polarity { get; set; }
}
