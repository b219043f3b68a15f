using Ringdown.Machine;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>PCI's bus driver, of the root and of bridges: finds the functions on a bus, and gives their drivers
/// BUS_INTERFACE_STANDARD.</summary>
public sealed class PciDriver : BusDriver
{
    static readonly Guid s_busInterface = new("496b8280-6f25-11d0-beaf-08002be2092f");

    // A bridge's own device object is this driver's as well.
    private protected override IEnumerable<object> Present(DeviceObject bus) => ChildOf(bus.Address) switch
    {
        null => Nt.Computer.Pci.Functions,
        { IsGone: false, Configuration: PciBridge bridge } => bridge.Functions,
        _ => [],
    };

    private protected override BusChild Describe(object device) =>
        new PciChild((PciFunction)device, MessageLimit);

    private protected override Action Watch(Action changed, Action<object> eject, Action<object> wake)
    {
        PciBus pci = Nt.Computer.Pci;
        // Delegates of their own type: those of another one cannot stand beside others.
        Action<PciFunction> ejected = f => eject(f), woken = f => wake(f);
        pci.Changed += changed;
        pci.EjectRequested += ejected;
        pci.Woken += woken;
        return () =>
        {
            pci.Changed -= changed;
            pci.EjectRequested -= ejected;
            pci.Woken -= woken;
        };
    }

    private protected override NtStatus? QueryInterface(BusChild child, IoStackLocation location)
    {
        if (Memory.Read<Guid>(location.InterfaceType) != s_busInterface) return null;
        if (location.InterfaceSize < BusInterfaceStandard.Size) return STATUS_INVALID_PARAMETER;
        var filled = At<BusInterfaceStandard>(location.Interface);
        (filled.ObjectSize, filled.Version) = ((ushort)BusInterfaceStandard.Size, 1);
        filled.Context = child.PhysicalDevice.Address;
        filled.InterfaceReference = Routine(Reference);
        filled.InterfaceDereference = Routine(Dereference);
        filled.TranslateBusAddress = Routine(TranslateBusAddress);
        filled.GetDmaAdapter = Routine(GetDmaAdapter);
        filled.SetBusData = Routine(SetBusData);
        filled.GetBusData = Routine(GetBusData);
        Reference(child.PhysicalDevice.Address);
        return STATUS_SUCCESS;
    }

    // Who has the interface keeps the device object.
    void Reference(Va context) => Nt.ObfReferenceObject(context);

    void Dereference(Va context) => Nt.ObfDereferenceObject(context);

    bool TranslateBusAddress(Va context, ulong busAddress, uint length, Va addressSpace, Va translatedAddress)
    {
        if (ChildOf(context) is null) return false;
        Memory.Write(translatedAddress, busAddress);
        return true;
    }

    Va GetDmaAdapter(Va context, Va deviceDescriptor, Va numberOfMapRegisters) => ChildOf(context) is null ? Va.Null
        : Nt.IoGetDmaAdapter(At<DeviceObject>(context), deviceDescriptor, numberOfMapRegisters);

    uint SetBusData(Va context, uint dataType, Va buffer, uint offset, uint length)
    {
        uint given = Reach(context, dataType, offset, length, out PciFunction? function);
        if (given > 0) Nt.Hal.WriteConfiguration(function!, buffer, offset, given);
        return given;
    }

    uint GetBusData(Va context, uint dataType, Va buffer, uint offset, uint length)
    {
        uint given = Reach(context, dataType, offset, length, out PciFunction? function);
        if (given > 0) Nt.Hal.ReadConfiguration(function!, buffer, offset, given);
        return given;
    }

    // PCI_WHICHSPACE_CONFIG is the only space: no function has a ROM.
    uint Reach(Va context, uint dataType, uint offset, uint length, out PciFunction? function)
    {
        function = ChildOf(context)?.Configuration;
        return function is null || dataType != 0 || offset >= PciFunction.ConfigurationBytes ? 0
            : Math.Min(length, PciFunction.ConfigurationBytes - offset);
    }

    /// <summary>How many messages a device's driver wants: 0, if its package does not ask for messages
    /// (<c>MSISupported</c>, <c>MessageNumberLimit</c> in the device's key).</summary>
    uint MessageLimit(BusChild child)
    {
        const uint deviceKey = 1, keyRead = 0x2_0019;
        using LocalFrame frame = Frame();
        Va made = Local(8);
        if (!Nt.IoOpenDeviceRegistryKey(child.PhysicalDevice, deviceKey, keyRead, made).IsSuccess) return 0;
        Handle device = Memory.Read<Handle>(made);
        uint limit = 0;
        var attributes = Local<ObjectAttributes>();
        attributes.Length = (uint)ObjectAttributes.Size;
        attributes.RootDirectory = device;
        attributes.ObjectName = Text(@"Interrupt Management\MessageSignaledInterruptProperties");
        attributes.Attributes = 0x240;
        if (Nt.ZwOpenKey(made, keyRead, attributes).IsSuccess)
        {
            Handle key = Memory.Read<Handle>(made);
            if (Number(key, "MSISupported") is 1) limit = Number(key, "MessageNumberLimit") ?? uint.MaxValue;
            Nt.ZwClose(key);
        }
        Nt.ZwClose(device);
        return limit;
    }

    uint? Number(Handle key, string name)
    {
        const uint partialInformation = 2, registryDword = 4, bytes = 16;
        Va information = Local((int)bytes), length = Local(8);
        return Nt.ZwQueryValueKey(key, Text(name), partialInformation, information, bytes, length).IsSuccess
            && Memory.Read<uint>(information + 4) == registryDword ? Memory.Read<uint>(information + 12) : null;
    }
}

/// <summary>BUS_INTERFACE_STANDARD.</summary>
[Layout("_BUS_INTERFACE_STANDARD", Size = 0x40)]
public readonly partial struct BusInterfaceStandard
{
    [Field(0x00, Name = "Size")] public partial ushort ObjectSize { get; set; }
    [Field(0x02)] public partial ushort Version { get; set; }
    [Field(0x08)] public partial Va Context { get; set; }
    [Field(0x10)] public partial Va InterfaceReference { get; set; }
    [Field(0x18)] public partial Va InterfaceDereference { get; set; }
    [Field(0x20)] public partial Va TranslateBusAddress { get; set; }
    [Field(0x28)] public partial Va GetDmaAdapter { get; set; }
    [Field(0x30)] public partial Va SetBusData { get; set; }
    [Field(0x38)] public partial Va GetBusData { get; set; }
}
