using Ringdown.Machine;
using static Ringdown.Kernel.Irql;

namespace Ringdown.Kernel;

/// <summary>The hardware abstraction layer: buses and their configuration.</summary>
/// <remarks>The computer has one bus, PCI 0, on which no slot is taken: reading a slot finds nobody.</remarks>
[NtModule("hal.dll")]
sealed partial class Hal(NtKernel nt)
{
    const uint PCIConfiguration = 4;

    [Export]
    public uint HalGetBusDataByOffset(
        uint busDataType, uint busNumber, uint slotNumber, Va buffer, uint offset, uint length)
    {
        if (busDataType != PCIConfiguration || busNumber != 0) return 0;
        // An empty slot answers with all ones: a vendor of FFFF, which drivers look for. Only that much is returned.
        uint given = Math.Min(2, length);
        if (given > 0) nt.Memory.Fill(buffer, given, 0xFF);
        return given;
    }

    [Export]
    public uint HalGetBusData(uint busDataType, uint busNumber, uint slotNumber, Va buffer, uint length) =>
        HalGetBusDataByOffset(busDataType, busNumber, slotNumber, buffer, 0, length);

    [Export]
    public uint HalSetBusDataByOffset(
        uint busDataType, uint busNumber, uint slotNumber, Va buffer, uint offset, uint length) => 0;

    /// <summary>Bus addresses are physical addresses; which space (0 memory, 1 ports) stays as it was.</summary>
    [Export]
    public bool HalTranslateBusAddress(
        uint interfaceType, uint busNumber, ulong busAddress, Va addressSpace, Va translatedAddress)
    {
        nt.Memory.Write(translatedAddress, busAddress);
        return true;
    }

    /// <summary>The vector and IRQL of a line; of a bus level, for a bus that has these.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public uint HalGetInterruptVector(
        uint interfaceType, uint busNumber, uint busInterruptLevel, uint busInterruptVector, Va irql, Va affinity)
    {
        const uint lines = 144;
        if (busInterruptLevel >= lines) return 0;
        uint vector = InterruptTable.VectorOf((int)busInterruptLevel);
        nt.Memory.Write(irql, (byte)(vector >> 4));
        nt.Memory.Write(affinity, 1UL);
        return vector;
    }
}
