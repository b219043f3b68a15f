using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Interrupts as drivers connect them since Vista: a structure whose version says how.</summary>
sealed partial class Io
{
    const uint CONNECT_FULLY_SPECIFIED = 1, CONNECT_LINE_BASED = 2, CONNECT_MESSAGE_BASED = 3,
        CONNECT_FULLY_SPECIFIED_GROUP = 4;

    [Export(Support.Partial, "Fully specified ones only: no device has a line or messages of its own yet.")]
    [IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoConnectInterruptEx(Va parameters)
    {
        uint version = nt.Memory.Read<uint>(parameters);
        if (version is CONNECT_LINE_BASED or CONNECT_MESSAGE_BASED) return STATUS_NOT_FOUND;
        if (version is not (CONNECT_FULLY_SPECIFIED or CONNECT_FULLY_SPECIFIED_GROUP)) return STATUS_INVALID_PARAMETER;
        // PhysicalDeviceObject, InterruptObject, ServiceRoutine, ServiceContext, SpinLock, SynchronizeIrql,
        // FloatingSave, ShareVector, Vector, Irql, InterruptMode, ProcessorEnableMask.
        Va at = parameters;
        return nt.Ke.IoConnectInterrupt(nt.Memory.Read<Va>(at + 0x10), nt.Memory.Read<Va>(at + 0x18),
            nt.Memory.Read<Va>(at + 0x20), nt.Memory.Read<Va>(at + 0x28), nt.Memory.Read<uint>(at + 0x34),
            nt.Memory.Read<Irql>(at + 0x38), nt.Memory.Read<Irql>(at + 0x30), nt.Memory.Read<uint>(at + 0x3C),
            nt.Memory.Read<byte>(at + 0x32) != 0, nt.Memory.Read<ulong>(at + 0x40),
            nt.Memory.Read<byte>(at + 0x31) != 0);
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public void IoDisconnectInterruptEx(Va parameters) =>
        nt.Ke.IoDisconnectInterrupt(KInterrupt.At(nt.Memory, nt.Memory.Read<Va>(parameters + 8)));

    /// <summary>The service routine is called again.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void IoReportInterruptActive(Va parameters) => SetActive(parameters, true);

    /// <summary>The service routine is not called. A line of which that holds for all is masked.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void IoReportInterruptInactive(Va parameters) => SetActive(parameters, false);

    void SetActive(Va parameters, bool active) =>
        nt.Ke.Interrupts.SetActive(KInterrupt.At(nt.Memory, nt.Memory.Read<Va>(parameters + 8)), active);

    /// <summary>GROUP_AFFINITY of an interrupt: the processor that services it.</summary>
    [Export]
    public NtStatus IoGetAffinityInterrupt(KInterrupt interruptObject, Va groupAffinity)
    {
        nt.Memory.Write(groupAffinity, nt.Ke.Interrupts.ProcessorsOf(interruptObject.Vector));
        nt.Memory.Write(groupAffinity + 8, 0UL);
        return STATUS_SUCCESS;
    }
}
