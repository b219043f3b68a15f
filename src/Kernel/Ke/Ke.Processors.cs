using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Processors: how many, which one, all of them at once. There is one group and one node.</summary>
sealed partial class Ke
{
    const ushort AllGroups = 0xFFFF;
    const uint ProcessorNumberBytes = 4;

    bool _broadcasts;

    ulong AllProcessors => ulong.MaxValue >> (64 - Scheduler.Processors.Count);

    [ExportData] public ulong KeNumberProcessors => (ulong)Scheduler.Processors.Count;

    [Export]
    public ulong KeQueryActiveProcessors() => AllProcessors;

    [Export]
    public uint KeQueryActiveProcessorCount(Va activeProcessors)
    {
        if (!activeProcessors.IsNull) _nt.Memory.Write(activeProcessors, AllProcessors);
        return (uint)Scheduler.Processors.Count;
    }

    [Export]
    public uint KeQueryActiveProcessorCountEx(ushort groupNumber) =>
        groupNumber is 0 or AllGroups ? (uint)Scheduler.Processors.Count : 0;

    [Export]
    public uint KeQueryMaximumProcessorCount() => (uint)Scheduler.Processors.Count;

    [Export]
    public uint KeQueryMaximumProcessorCountEx(ushort groupNumber) => KeQueryActiveProcessorCountEx(groupNumber);

    [Export]
    public ushort KeQueryActiveGroupCount() => 1;

    [Export]
    public ushort KeQueryMaximumGroupCount() => 1;

    [Export]
    public ulong KeQueryGroupAffinity(ushort groupNumber) => groupNumber == 0 ? AllProcessors : 0;

    [Export]
    public ushort KeQueryHighestNodeNumber() => 0;

    [Export]
    public ushort KeGetCurrentNodeNumber() => 0;

    /// <summary>GROUP_AFFINITY: the mask, then the group.</summary>
    [Export]
    public void KeQueryNodeActiveAffinity(ushort nodeNumber, Va affinity, Va count)
    {
        if (!affinity.IsNull) WriteGroupAffinity(affinity, nodeNumber == 0 ? AllProcessors : 0);
        if (!count.IsNull) _nt.Memory.Write(count, (ushort)(nodeNumber == 0 ? Scheduler.Processors.Count : 0));
    }

    [Export]
    public ushort KeQueryNodeMaximumProcessorCount(ushort nodeNumber) =>
        (ushort)(nodeNumber == 0 ? Scheduler.Processors.Count : 0);

    void WriteGroupAffinity(Va at, ulong mask)
    {
        _nt.Memory.Write(at, mask);
        _nt.Memory.Write(at + 8, 0UL);
    }

    /// <summary>PROCESSOR_NUMBER: group, number, reserved.</summary>
    [Export]
    public uint KeGetCurrentProcessorNumberEx(Va procNumber)
    {
        if (!procNumber.IsNull) _nt.Memory.Write(procNumber, (uint)Scheduler.Active.Number << 16);
        return (uint)Scheduler.Active.Number;
    }

    [Export]
    public NtStatus KeGetProcessorNumberFromIndex(uint procIndex, Va procNumber)
    {
        if (procIndex >= Scheduler.Processors.Count) return STATUS_INVALID_PARAMETER;
        _nt.Memory.Write(procNumber, procIndex << 16);
        return STATUS_SUCCESS;
    }

    [Export]
    public uint KeGetProcessorIndexFromNumber(Va procNumber) => (uint)(IndexOf(procNumber) ?? -1);

    int? IndexOf(Va procNumber)
    {
        uint value = _nt.Memory.Read<uint>(procNumber);
        int number = (int)(value >> 16 & 0xFF);
        return (ushort)value == 0 && value >> 24 == 0 && number < Scheduler.Processors.Count ? number : null;
    }

    /// <summary>Calls a routine on all processors at once, at IPI_LEVEL; this one's result is returned.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public ulong KeIpiGenericCall(Va broadcastFunction, ulong context)
    {
        Irql old = Irql;
        if (old < DISPATCH_LEVEL) SetIrql(DISPATCH_LEVEL);
        // One at a time. Whoever waits for its turn still takes part in another's call.
        Scheduler.SpinUntil(() => !_broadcasts, () => "the end of another processor's broadcast call");
        _broadcasts = true;
        int left = Scheduler.Processors.Count - 1;
        KProcessor mine = Scheduler.Active;
        foreach (KProcessor other in Scheduler.Processors)
        {
            if (other == mine) continue;
            other.Interrupts.Enqueue(() =>
            {
                _nt.Routines.Call(broadcastFunction, context);
                left--;
            });
        }
        if (old < IPI_LEVEL) SetIrql(IPI_LEVEL);
        ulong result = _nt.Routines.Call(broadcastFunction, context);
        Scheduler.SpinUntil(() => left == 0, () => "the other processors' end of a broadcast call");
        _broadcasts = false;
        Lower(old);
        return result;
    }

    /// <summary>Runs what other processors ask of this one.</summary>
    void RunInterrupts(KProcessor processor)
    {
        if (processor.Irql >= IPI_LEVEL) return;
        var interrupted = new CpuContext();
        _nt.Cpu.CopyTo(interrupted);
        Irql old = processor.Irql;
        SetIrql(processor, IPI_LEVEL);
        processor.Nesting++;
        while (processor.Interrupts.TryDequeue(out Action? request)) request();
        processor.Nesting--;
        _nt.Cpu.CopyFrom(interrupted);
        SetIrql(processor, old);
    }
}
