using Ringdown.Machine;
using static Ringdown.Kernel.Irql;

namespace Ringdown.Kernel;

/// <summary>The hardware abstraction layer: buses and their configuration.</summary>
[NtModule("hal.dll")]
sealed partial class Hal(NtKernel nt)
{
    const uint PCIConfiguration = 4;

    /// <summary>Reads configuration space. <paramref name="slotNumber"/> is a PCI_SLOT_NUMBER: the device in the
    /// lowest five bits, then the function in three.</summary>
    /// <returns>How many bytes were read: 0 if there is no such bus, 2 (a vendor of FFFF) for an empty slot.</returns>
    [Export]
    public uint HalGetBusDataByOffset(
        uint busDataType, uint busNumber, uint slotNumber, Va buffer, uint offset, uint length)
    {
        if (busDataType != PCIConfiguration || !HasBus(busNumber)) return 0;
        PciFunction? function = FindFunction(busNumber, slotNumber);
        // An empty slot answers with all ones: a vendor of FFFF, which drivers look for. Only that much is returned.
        uint given = Math.Min(function is null ? 2 : ConfigurationBytesFrom(offset), length);
        if (function is not null) ReadConfiguration(function, buffer, offset, given);
        else if (given > 0) nt.Memory.Fill(buffer, given, 0xFF);
        return given;
    }

    [Export]
    public uint HalGetBusData(uint busDataType, uint busNumber, uint slotNumber, Va buffer, uint length) =>
        HalGetBusDataByOffset(busDataType, busNumber, slotNumber, buffer, 0, length);

    [Export]
    public uint HalSetBusDataByOffset(
        uint busDataType, uint busNumber, uint slotNumber, Va buffer, uint offset, uint length)
    {
        if (busDataType != PCIConfiguration || FindFunction(busNumber, slotNumber) is not { } function) return 0;
        uint given = Math.Min(ConfigurationBytesFrom(offset), length);
        WriteConfiguration(function, buffer, offset, given);
        return given;
    }

    [Export]
    public uint HalSetBusData(uint busDataType, uint busNumber, uint slotNumber, Va buffer, uint length) =>
        HalSetBusDataByOffset(busDataType, busNumber, slotNumber, buffer, 0, length);

    /// <summary>Bus addresses are physical addresses; which space (0 memory, 1 ports) stays as it was.</summary>
    /// <returns>False for a PCI bus that is not there.</returns>
    [Export]
    public bool HalTranslateBusAddress(
        uint interfaceType, uint busNumber, ulong busAddress, Va addressSpace, Va translatedAddress)
    {
        if (interfaceType == Wdm.PCIBus && !HasBus(busNumber)) return false;
        nt.Memory.Write(translatedAddress, busAddress);
        return true;
    }

    /// <summary>The vector and IRQL of a line; of a bus level, for a bus that has these.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public uint HalGetInterruptVector(
        uint interfaceType, uint busNumber, uint busInterruptLevel, uint busInterruptVector, Va irql, Va affinity)
    {
        const uint lines = 144;
        if (busInterruptLevel >= lines || interfaceType == Wdm.PCIBus && !HasBus(busNumber)) return 0;
        uint vector = InterruptTable.VectorOf((int)busInterruptLevel);
        nt.Memory.Write(irql, (byte)(vector >> 4));
        nt.Memory.Write(affinity, nt.Ke.KeQueryActiveProcessors());
        return vector;
    }
}
