using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Configuration spaces of PCI functions, and resources for drivers that find their devices
/// themselves.</summary>
sealed partial class Hal
{
    const uint SlotTag = 0x746C_5348;      // 'HSlt'

    static PciSlot SlotOf(uint slotNumber) => new((int)slotNumber & 31, (int)(slotNumber >> 5) & 7);

    PciFunction? FindFunction(uint bus, uint slotNumber) =>
        HasBus(bus) ? nt.Computer.Pci.Find((int)bus, SlotOf(slotNumber)) : null;

    // Numbers beyond 255 are no buses.
    bool HasBus(uint bus) => bus < 256 && nt.Computer.Pci.HasBus((int)bus);

    static uint ConfigurationBytesFrom(uint offset) =>
        offset < PciFunction.ConfigurationBytes ? PciFunction.ConfigurationBytes - offset : 0;

    /// <summary>Reads configuration space as the bus is used: 4, 2 or 1 bytes at a time, aligned.</summary>
    internal void ReadConfiguration(PciFunction function, Va buffer, uint offset, uint length)
    {
        for (uint done = 0; done < length;)
        {
            int size = Width(offset + done, length - done);
            // It may have been taken out meanwhile, or a bridge before it passes nothing on.
            Span<byte> bytes = BitConverter.GetBytes(nt.Computer.Pci.Reaches(function)
                ? (uint)function.Read((int)(offset + done), size) : uint.MaxValue);
            nt.Memory.Write(buffer + done, bytes[..size]);
            done += (uint)size;
        }
    }

    internal void WriteConfiguration(PciFunction function, Va buffer, uint offset, uint length)
    {
        Span<byte> bytes = stackalloc byte[4];
        for (uint done = 0; done < length;)
        {
            int size = Width(offset + done, length - done);
            bytes.Clear();
            nt.Memory.Read(buffer + done, bytes[..size]);
            if (nt.Computer.Pci.Reaches(function))
                function.Write((int)(offset + done), size, BitConverter.ToUInt32(bytes));
            done += (uint)size;
        }
    }

    static int Width(uint offset, uint length) =>
        (offset & 3) == 0 && length >= 4 ? 4 : (offset & 1) == 0 && length >= 2 ? 2 : 1;

    /// <summary>Sets up a function that has no driver of plug and play: its registers get addresses and are decoded.
    /// The list of what it has, raw, is the caller's to free.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus HalAssignSlotResources(
        UnicodeString registryPath, UnicodeString driverClassName, DriverObject driverObject,
        DeviceObject deviceObject, uint busType, uint busNumber, uint slotNumber, Va allocatedResources)
    {
        nt.Memory.Write(allocatedResources, Va.Null);
        if (busType != Wdm.PCIBus || FindFunction(busNumber, slotNumber) is not { } function)
            return STATUS_NO_SUCH_DEVICE;
        if (!nt.Computer.Pci.Configure(function)) return STATUS_CONFLICTING_ADDRESSES;
        nt.Memory.Write(allocatedResources, SlotResources(function));
        return STATUS_SUCCESS;
    }

    Va SlotResources(PciFunction function)
    {
        int count = function.Bars.Count + (function.Pin != 0 ? 1 : 0);
        Va block = nt.Mm.Pool.Allocate(
            (ulong)CmResourceList.SizeOf(count), PoolKind.Paged, SlotTag, nt.Caller, zero: true);
        var list = CmResourceList.At(nt.Memory, block);
        (list.Count, list.InterfaceType, list.Version, list.Revision) = (1, Wdm.PCIBus, 1, 1);
        (list.BusNumber, list.DescriptorCount) = ((uint)function.BusNumber, (uint)count);
        for (int i = 0; i < function.Bars.Count; i++) BarResource(list.Descriptor(i), function.Bars[i]);
        if (function.Pin != 0) LineResource(list.Descriptor(count - 1), (uint)function.Read(0x3C, 1));
        return block;
    }

    static void BarResource(CmPartialResourceDescriptor to, PciBar bar)
    {
        (to.Type, to.ShareDisposition) =
            (bar.IsPort ? ResourceType.Port : ResourceType.Memory, ShareDisposition.DeviceExclusive);
        to.Flags = bar.IsPort ? (ushort)(Wdm.CM_RESOURCE_PORT_IO | Wdm.CM_RESOURCE_PORT_16_BIT_DECODE)
            : Wdm.CM_RESOURCE_MEMORY_READ_WRITE;
        (to.Start, to.Length) = (bar.Address, (uint)Math.Min(bar.Bytes, uint.MaxValue));
    }

    static void LineResource(CmPartialResourceDescriptor to, uint line)
    {
        (to.Type, to.ShareDisposition) = (ResourceType.Interrupt, ShareDisposition.Shared);
        (to.Flags, to.Level, to.Vector) = (Wdm.CM_RESOURCE_INTERRUPT_LEVEL_SENSITIVE, line, line);
        to.Affinity = ulong.MaxValue;
    }
}
