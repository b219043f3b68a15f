using Ringdown.Machine;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>ACPI's bus driver: finds what firmware tells of, and the root of PCI if the computer has such
/// devices.</summary>
public sealed class AcpiDriver : BusDriver
{
    readonly object _pciRoot = new();

    public override NtStatus DriverEntry(DriverObject driverObject, UnicodeString registryPath)
    {
        driverObject.SetMajorFunction(IrpMajor.IRP_MJ_DEVICE_CONTROL, Routine(DispatchControl));
        return base.DriverEntry(driverObject, registryPath);
    }

    /// <summary>A device's control methods are evaluated by its physical device object.</summary>
    NtStatus DispatchControl(DeviceObject device, Irp irp)
    {
        IoStackLocation location = irp.CurrentStackLocation;
        uint code = location.IoControlCode, room = location.OutputBufferLength;
        bool isLong = code == AcpiEvaluation.IOCTL_ACPI_EVAL_METHOD_EX;
        if (code != AcpiEvaluation.IOCTL_ACPI_EVAL_METHOD && !isLong || ChildOf(device.Address) is not AcpiChild child)
            return Complete(irp, STATUS_INVALID_DEVICE_REQUEST);
        if (child.IsGone) return Complete(irp, STATUS_NO_SUCH_DEVICE);
        byte[] input = Memory.ReadBytes(irp.SystemBuffer, AcpiEvaluation.InputBytes(location.InputBufferLength));
        if (!AcpiEvaluation.TryParse(input, isLong, out string name, out List<AcpiValue> arguments))
            return Complete(irp, STATUS_INVALID_PARAMETER);
        if (room is > 0 and < AcpiEvaluation.OutputBytes) return Complete(irp, STATUS_BUFFER_TOO_SMALL);
        NtStatus status = AcpiEvaluation.Evaluate(child.Told, name, arguments, out AcpiValue? result);
        if (!status.IsSuccess || room == 0) return Complete(irp, status);
        byte[] output = AcpiEvaluation.Output(result);
        if (output.Length > room)
        {
            status = STATUS_BUFFER_OVERFLOW;
            output = AcpiEvaluation.Needed(output.Length);
        }
        Memory.Write(irp.SystemBuffer, output);
        return Complete(irp, status, (ulong)output.Length);
    }

    private protected override IEnumerable<object> Present(DeviceObject bus)
    {
        foreach (FirmwareDevice device in Nt.Computer.Firmware.Devices)
            if (device.IsPresent) yield return device;
        if (Nt.Computer.Pci.Known.Count > 0) yield return _pciRoot;
    }

    private protected override BusChild Describe(object device) =>
        device is FirmwareDevice told ? new AcpiChild(told) : new AcpiPciRoot(device);

    private protected override Action Watch(Action changed, Action<object> eject, Action<object> wake)
    {
        Firmware firmware = Nt.Computer.Firmware;
        PciBus pci = Nt.Computer.Pci;
        bool hasRoot = pci.Known.Count > 0;
        void OnFirmware(FirmwareDevice device) => changed();
        void OnPci()
        {
            // What is on the bus is not ACPI's business, but that there is one.
            if (!hasRoot) changed();
            hasRoot = true;
        }
        firmware.Changed += OnFirmware;
        pci.Changed += OnPci;
        return () =>
        {
            firmware.Changed -= OnFirmware;
            pci.Changed -= OnPci;
        };
    }
}

/// <summary>A device that firmware tells of.</summary>
sealed class AcpiChild(FirmwareDevice device) : BusChild(device)
{
    internal static readonly Guid BusType = new("d7b46895-001a-4942-891f-a7d46610a843");

    readonly FirmwareDevice _device = device;

    public FirmwareDevice Told => _device;

    public override (Guid Type, uint Legacy) Bus => (BusType, Wdm.ACPIBus);
    public override string DeviceId => $@"ACPI\{_device.Id}";
    public override IReadOnlyList<string> HardwareIds => [.. Ids(_device.Id)];
    public override IReadOnlyList<string> CompatibleIds => [.. _device.CompatibleIds.SelectMany(Ids)];
    public override string InstanceId => $"{_device.Number:X}";
    public override string Description => _device.Name;

    internal static string[] Ids(string id) => [$@"ACPI\VEN_{id[..^4]}&DEV_{id[^4..]}", $@"ACPI\{id}", $"*{id}"];

    public override void Fill(DeviceCapabilities capabilities)
    {
        capabilities.Flags |= CapabilityFlags.UniqueId
            | (_device.IsRemovable ? CapabilityFlags.Removable | CapabilityFlags.EjectSupported : 0);
        capabilities.UINumber = uint.MaxValue;
    }

    public override IReadOnlyList<Resource> BootResources =>
    [
        .. _device.Ports.Select(r => new Resource(
            ResourceType.Port, r.First, r.Bytes, Flags: Wdm.CM_RESOURCE_PORT_IO | Wdm.CM_RESOURCE_PORT_16_BIT_DECODE)),
        .. _device.Memory.Select(r => new Resource(ResourceType.Memory, r.First, r.Bytes)),
        .. _device.Lines.Select(l => new Resource(ResourceType.Interrupt, (ulong)l.Number, 1,
            WantedResource.ShareOf(l), WantedResource.FlagsOf(l))),
        .. _device.DmaChannels.Select(c => new Resource(ResourceType.Dma, (ulong)c, 1)),
    ];

    // It is soldered in: nothing else would do.
    public override IReadOnlyList<IReadOnlyList<WantedResource>> Requirements =>
    [
        [
            .. _device.Ports.Select(r => WantedResource.Fixed(
                ResourceType.Port, Wdm.CM_RESOURCE_PORT_IO | Wdm.CM_RESOURCE_PORT_16_BIT_DECODE, r)),
            .. _device.Memory.Select(r => WantedResource.Fixed(ResourceType.Memory, 0, r)),
            .. _device.Lines.Select(WantedResource.Line),
            .. _device.DmaChannels.Select(c => new WantedResource(ResourceType.Dma, 0,
                ShareDisposition.DeviceExclusive, (uint)c, (uint)c, 0, 0)),
        ],
    ];

    public override bool Eject()
    {
        if (!_device.IsRemovable) return false;
        _device.IsPresent = false;
        return true;
    }
}

/// <summary>The root of PCI: below it is bus 0, and the others behind bridges.</summary>
sealed class AcpiPciRoot(object device) : BusChild(device)
{
    public override (Guid Type, uint Legacy) Bus => (AcpiChild.BusType, Wdm.ACPIBus);
    public override string DeviceId => @"ACPI\PNP0A08";
    public override IReadOnlyList<string> HardwareIds => AcpiChild.Ids("PNP0A08");
    public override IReadOnlyList<string> CompatibleIds => AcpiChild.Ids("PNP0A03");
    public override string InstanceId => "0";
    public override string Description => "PCI Express Root Complex";

    public override void Fill(DeviceCapabilities capabilities)
    {
        capabilities.Flags |= CapabilityFlags.UniqueId;
        capabilities.UINumber = uint.MaxValue;
    }

    const uint Buses = 256;

    public override IReadOnlyList<Resource> BootResources => [new(ResourceType.BusNumber, 0, Buses)];

    public override IReadOnlyList<IReadOnlyList<WantedResource>> Requirements =>
        [[WantedResource.BusNumbers(Buses, 0, Buses - 1)]];
}
