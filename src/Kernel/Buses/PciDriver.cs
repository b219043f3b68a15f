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
        new PciChild((PciFunction)device, SettingsOf);

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

    private protected override NtStatus? QueryInterface(BusChild child, Irp irp)
    {
        IoStackLocation location = irp.CurrentStackLocation;
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
        // It is whose IRP it was.
        Lend(child.PhysicalDevice.Address, Nt.Mm.Pool.TryFind(irp.Address, out PoolBlock? asked)
            ? asked!.Owner : Va.Null);
        return STATUS_SUCCESS;
    }

    void Reference(Va context) => Lend(context, Nt.Caller);

    // Who has the interface keeps the device object.
    void Lend(Va context, Va by)
    {
        Nt.ObfReferenceObject(context);
        ReferencesTo(context)?.Add(by);
    }

    void Dereference(Va context)
    {
        if (ReferencesTo(context) is { Count: > 0 } references)
        {
            LoadedImage? image = Nt.Loader.ImageAt(Nt.Caller);
            int own = references.FindLastIndex(r => Nt.Loader.ImageAt(r) == image);
            references.RemoveAt(own < 0 ? references.Count - 1 : own);
        }
        Nt.ObfDereferenceObject(context);
    }

    List<Va>? ReferencesTo(Va context) => Nt.Pnp.Find(At<DeviceObject>(context))?.BusReferences;

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

    /// <summary>What a device's package says of its interrupts, in the device's key below <c>Interrupt
    /// Management</c>.</summary>
    InterruptSettings SettingsOf(BusChild child)
    {
        const uint deviceKey = 1;
        const string messages = @"Interrupt Management\MessageSignaledInterruptProperties",
            policy = @"Interrupt Management\Affinity Policy";
        using LocalFrame frame = Frame();
        Va made = Local(8);
        if (!Nt.IoOpenDeviceRegistryKey(child.PhysicalDevice, deviceKey, KeyRead, made).IsSuccess) return default;
        Handle device = Memory.Read<Handle>(made);
        bool wanted = Number(device, messages, "MSISupported") is 1;
        uint limit = wanted ? (uint?)Number(device, messages, "MessageNumberLimit") ?? uint.MaxValue : 0;
        var settings = new InterruptSettings(limit, new InterruptPolicy(
            (IrqDevicePolicy)(ushort)(Number(device, policy, "DevicePolicy") ?? 0),
            (IrqPriority)(uint)(Number(device, policy, "DevicePriority") ?? 0),
            Number(device, policy, "AssignmentSetOverride", isSet: true) ?? 0));
        Nt.ZwClose(device);
        return settings;
    }

    const uint KeyRead = 0x2_0019;

    /// <summary>A number below a key; a set of processors may also be bytes, 8 at most.</summary>
    ulong? Number(Handle device, string path, string name, bool isSet = false)
    {
        const uint partialInformation = 2, registryBinary = 3, registryDword = 4, registryQword = 11, bytes = 20;
        Va made = Local(8), information = Local((int)bytes), length = Local(8);
        var attributes = Local<ObjectAttributes>();
        attributes.Length = (uint)ObjectAttributes.Size;
        attributes.RootDirectory = device;
        attributes.ObjectName = Text(path);
        attributes.Attributes = 0x240;
        if (!Nt.ZwOpenKey(made, KeyRead, attributes).IsSuccess) return null;
        Handle key = Memory.Read<Handle>(made);
        Memory.Fill(information, bytes, 0);
        NtStatus status = Nt.ZwQueryValueKey(key, Text(name), partialInformation, information, bytes, length);
        Nt.ZwClose(key);
        uint type = Memory.Read<uint>(information + 4), size = Memory.Read<uint>(information + 8);
        bool isGood = type == registryDword && size == 4
            || isSet && type is registryBinary or registryQword && size is > 0 and <= 8;
        return status.IsSuccess && isGood ? Memory.Read<ulong>(information + 12) : null;
    }
}

/// <summary>What a package says of a device's interrupts.</summary>
/// <param name="MessageLimit">How many messages the driver wants at most: 0, if the package does not ask for messages
/// (<c>MSISupported</c>).</param>
readonly record struct InterruptSettings(uint MessageLimit, InterruptPolicy Policy = default);

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
