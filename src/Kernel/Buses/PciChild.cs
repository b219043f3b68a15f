using Ringdown.Machine;
using static Ringdown.Kernel.CapabilityFlags;

namespace Ringdown.Kernel;

/// <summary>A PCI function, as its bus driver knows it.</summary>
sealed partial class PciChild(PciFunction function, Func<BusChild, InterruptSettings> settings) : BusChild(function)
{
    static readonly Guid s_busType = new("c8ebdfb0-b510-11d0-80e5-00a0c92542e3");

    const int PowerCapability = 1, MessageCapability = 5, MessageTableCapability = 0x11;

    readonly PciFunction _function = function;
    readonly PciBridge? _bridge = function as PciBridge;

    public override (Guid Type, uint Legacy) Bus => (s_busType, Wdm.PCIBus);
    public override PciFunction Configuration => _function;

    string Vendor => $@"PCI\VEN_{_function.Identity.Vendor:X4}";
    string VendorDevice => $"{Vendor}&DEV_{_function.Identity.Device:X4}";
    string Subsystem =>
        $"{VendorDevice}&SUBSYS_{_function.Identity.Subsystem:X4}{_function.Identity.SubsystemVendor:X4}";
    string Revision => $"REV_{_function.Identity.Revision:X2}";
    string FullClass => $"CC_{_function.Identity.Class:X6}";
    string ShortClass => $"CC_{_function.Identity.Class >> 8:X4}";

    public override string DeviceId => $"{Subsystem}&{Revision}";

    public override IReadOnlyList<string> HardwareIds =>
        [DeviceId, Subsystem, $"{VendorDevice}&{FullClass}", $"{VendorDevice}&{ShortClass}"];

    public override IReadOnlyList<string> CompatibleIds =>
    [
        $"{VendorDevice}&{Revision}", VendorDevice, $"{Vendor}&{FullClass}", $"{Vendor}&{ShortClass}", Vendor,
        $@"PCI\{FullClass}", $@"PCI\{ShortClass}",
    ];

    // Plug and play puts the parent's part before it: the bus does not say that it is unique.
    public override string InstanceId => $"{_function.Slot.Number:X2}";

    public override string Description => (_function.Identity.Class >> 16) switch
    {
        0x01 => "PCI Mass Storage Controller",
        0x02 => "Network Controller",
        0x03 => "Video Controller",
        0x04 => "Multimedia Controller",
        0x05 => "PCI Memory Controller",
        0x06 => _bridge is null ? "PCI Bridge Device" : "PCI-to-PCI Bridge",
        0x07 => "PCI Communication Device",
        0x08 => "Base System Device",
        0x09 => "PCI Input Device",
        0x0B => "Co-processor",
        0x0C => "PCI Serial Bus Controller",
        0x10 => "PCI Encryption/Decryption Controller",
        0x11 => "PCI Data Acquisition and Signal Processing Controller",
        _ => "PCI Device",
    };

    public override string Location =>
        $"PCI bus {BusNumber}, device {_function.Slot.Device}, function {_function.Slot.Function}";

    public override uint BusNumber => (uint)_function.BusNumber;

    // PCI_SLOT_NUMBER.
    public override uint Slot => (uint)(_function.Slot.Device | _function.Slot.Function << 5);

    public override void Fill(DeviceCapabilities capabilities)
    {
        const uint d3Latency = 100, d2Latency = 2;      // 100 us
        capabilities.BusAddress = (uint)(_function.Slot.Device << 16 | _function.Slot.Function);
        capabilities.UINumber = uint.MaxValue;
        CapabilityFlags flags = _function.IsRemovable ? Removable | EjectSupported : None;
        if (Find(PowerCapability) is { } power)
        {
            uint bits = (uint)_function.Read(power + 2, 2);
            if ((bits & 0x200) != 0) flags |= DeviceD1;
            if ((bits & 0x400) != 0) flags |= DeviceD2;
            // From D0, D1, D2, and D3 with or without power: the same order in both.
            flags |= (CapabilityFlags)((bits >> 11 & 0xF) * (uint)WakeFromD0);
            capabilities.D2Latency = (bits & 0x400) != 0 ? d2Latency : 0;
            capabilities.D3Latency = d3Latency;
            (capabilities.SystemWake, capabilities.DeviceWake) = (SystemWake, DeepestWake(bits));
        }
        capabilities.Flags |= flags;
    }

    static uint DeepestWake(uint bits)
    {
        for (int state = 3; state >= 0; state--)
            if ((bits >> (11 + state) & 1) != 0) return (uint)state + 1;
        return 0;
    }

    /// <summary>Where a capability is in configuration space.</summary>
    int? Find(int id)
    {
        int at = (int)_function.Read(0x34, 1);
        // A list that bites its tail would be the machine's mistake; it has room for 48.
        for (int i = 0; at != 0 && i < 48; i++, at = (int)_function.Read(at + 1, 1))
            if ((int)_function.Read(at, 1) == id) return at;
        return null;
    }

    public override void SetPower(uint state)
    {
        if (Find(PowerCapability) is not { } power) return;
        ulong control = _function.Read(power + 4, 2) & ~0x8003UL;
        _function.Write(power + 4, 2, control | state - 1);
    }

    public override uint SystemWake
    {
        get
        {
            const uint working = 1, sleeping3 = 4;
            uint bits = Find(PowerCapability) is { } power ? (uint)_function.Read(power + 2, 2) >> 11 : 0;
            return bits == 0 ? 0 : (bits & 0x18) != 0 ? sleeping3 : working;
        }
    }

    public override void EnableWake(bool enable)
    {
        const ulong wakeEnable = 0x100, wakeStatus = 0x8000;
        if (Find(PowerCapability) is not { } power) return;
        ulong control = _function.Read(power + 4, 2) & ~(wakeEnable | wakeStatus);
        // The status of before is cleared, so that it does not wake at once, or again.
        _function.Write(power + 4, 2, control | wakeStatus | (enable ? wakeEnable : 0));
    }

    public override bool Eject()
    {
        if (!_function.IsRemovable || _function.Bus is not { } bus) return false;
        bus.Remove(_function);
        return true;
    }
}
