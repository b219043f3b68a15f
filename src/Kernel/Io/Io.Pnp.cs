using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>DMA adapters, power IRPs, and what drivers keep with their driver objects.</summary>
sealed partial class Io
{
    const uint NotifyTag = 0x794E_6F49;

    /// <summary>An adapter for a device as it describes itself, or null.</summary>
    [Export(Support.Partial, Hal.Slaves)]
    [IrqlRequiresMax(PASSIVE_LEVEL)]
    public Va IoGetDmaAdapter(DeviceObject physicalDeviceObject, Va deviceDescription, Va numberOfMapRegisters) =>
        nt.Hal.GetAdapter(physicalDeviceObject, deviceDescription, numberOfMapRegisters);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public NtStatus IoAllocateDriverObjectExtension(
        DriverObject driverObject, Va clientIdentificationAddress, uint driverObjectExtensionSize,
            Va driverObjectExtension)
    {
        nt.Memory.Write(driverObjectExtension, Va.Null);
        if (_extensions.ContainsKey((driverObject.Address, clientIdentificationAddress)))
            return STATUS_OBJECT_NAME_COLLISION;
        Va made = nt.Mm.Pool.Allocate((int)Math.Min(driverObjectExtensionSize, 1 << 20), 0x7845_7244);
        _extensions.Add((driverObject.Address, clientIdentificationAddress), made);
        nt.Memory.Write(driverObjectExtension, made);
        return STATUS_SUCCESS;
    }

    readonly Dictionary<(Va Driver, Va Id), Va> _extensions = [];

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public Va IoGetDriverObjectExtension(DriverObject driverObject, Va clientIdentificationAddress) =>
        _extensions.GetValueOrDefault((driverObject.Address, clientIdentificationAddress));
}
