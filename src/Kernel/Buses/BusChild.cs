using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>A device that a bus driver has found: what the driver knows of it, behind its physical device
/// object.</summary>
abstract class BusChild(object device)
{
    /// <summary>By what the bus knows it.</summary>
    public object Device { get; } = device;

    /// <summary>Its physical device object.</summary>
    public DeviceObject PhysicalDevice { get; set; }

    /// <summary>The functional device of the bus that it is on.</summary>
    public DeviceObject Owner { get; set; }

    /// <summary>It is no longer there.</summary>
    public bool IsGone { get; set; }

    /// <summary>A list of relations has been given out that it is not in: with its removal the device object
    /// goes.</summary>
    public bool IsReportedGone { get; set; }

    /// <summary>It has been started, and neither stopped nor removed since.</summary>
    public bool IsStarted { get; set; }

    /// <summary>How many files that the system cannot do without are on the device: for paging, hibernation, crash
    /// dumps. As long as there is one it is neither stopped nor removed.</summary>
    public int SpecialFiles { get; set; }

    /// <summary>The IRP_MN_WAIT_WAKE that waits; null: none does.</summary>
    public Irp? WaitWake { get; set; }

    /// <summary>The kind of bus: GUID_BUS_TYPE_*, and INTERFACE_TYPE.</summary>
    public abstract (Guid Type, uint Legacy) Bus { get; }
    public abstract string DeviceId { get; }
    public abstract IReadOnlyList<string> HardwareIds { get; }
    public abstract IReadOnlyList<string> CompatibleIds { get; }

    /// <summary>Which one it is among those with its device id.</summary>
    public abstract string InstanceId { get; }
    public abstract string Description { get; }

    /// <summary>Where it is; null: the bus does not know.</summary>
    public virtual string? Location => null;

    public abstract void Fill(DeviceCapabilities capabilities);

    /// <summary>What it is set to now.</summary>
    public abstract IReadOnlyList<Resource> BootResources { get; }

    /// <summary>What it can do with: alternative lists, the best first.</summary>
    public abstract IReadOnlyList<IReadOnlyList<WantedResource>> Requirements { get; }

    /// <summary>The number of its bus.</summary>
    public virtual uint BusNumber => 0;

    /// <summary>The number of its slot, for lists of requirements.</summary>
    public virtual uint Slot => 0;

    /// <summary>Sets it to the resources that it was given, as its bus sees them.</summary>
    /// <returns>An error if they are not for it.</returns>
    public virtual NtStatus Start(IReadOnlyList<Resource> resources) => Status.STATUS_SUCCESS;

    /// <summary>It gives its resources up.</summary>
    public virtual void Stop()
    {
    }

    /// <summary>Takes it out of the machine.</summary>
    /// <returns>False if that cannot be done.</returns>
    public virtual bool Eject() => false;

    /// <summary>Its configuration space; null: it has none.</summary>
    public virtual PciFunction? Configuration => null;

    /// <summary>Puts it into a power state.</summary>
    /// <param name="state">DEVICE_POWER_STATE: 1 to 4, for D0 to D3.</param>
    public virtual void SetPower(uint state)
    {
    }

    /// <summary>The system goes to sleep, or is awake again.</summary>
    /// <param name="state">SYSTEM_POWER_STATE.</param>
    public virtual void SetSystemPower(uint state)
    {
    }

    /// <summary>The lowest state of the system from which it can wake it: SYSTEM_POWER_STATE; 0: it cannot.</summary>
    public virtual uint SystemWake => 0;

    /// <summary>Whether it wakes the system.</summary>
    public virtual void EnableWake(bool enable)
    {
    }
}

/// <summary>A resource that a device can do with, as IO_RESOURCE_DESCRIPTOR has it.</summary>
readonly record struct WantedResource(
    ResourceType Type, ushort Flags, ShareDisposition Share, uint First, uint Second, ulong Minimum, ulong Maximum,
    ResourceOption Option = ResourceOption.None)
{
    const uint MessageToken = 0xFFFF_FFFE;

    /// <summary>Some addresses within limits.</summary>
    public static WantedResource Range(
        ResourceType type, ushort flags, ulong bytes, ulong minimum, ulong maximum, ResourceOption option = 0) =>
        new(type, flags, ShareDisposition.DeviceExclusive, (uint)bytes, (uint)bytes, minimum, maximum, option);

    /// <summary>These addresses and no others.</summary>
    public static WantedResource Fixed(ResourceType type, ushort flags, AddressRange range) =>
        new(type, flags, ShareDisposition.DeviceExclusive, (uint)range.Bytes, 1, range.First,
            range.First + range.Bytes - 1);

    public static WantedResource Line(FirmwareLine line) => new(ResourceType.Interrupt, FlagsOf(line), ShareOf(line),
        (uint)line.Number, (uint)line.Number, 0, 0);

    /// <summary>An interrupt for some processors.</summary>
    public WantedResource For(InterruptPolicy policy) => this with { Minimum = policy.Head, Maximum = policy.Targets };

    public static ushort FlagsOf(FirmwareLine line) => line.Trigger == InterruptTrigger.Edge
        ? Wdm.CM_RESOURCE_INTERRUPT_LATCHED : Wdm.CM_RESOURCE_INTERRUPT_LEVEL_SENSITIVE;

    public static ShareDisposition ShareOf(FirmwareLine line) =>
        line.IsShared ? ShareDisposition.Shared : ShareDisposition.DeviceExclusive;

    public static WantedResource Messages(int count, ResourceOption option = ResourceOption.None) =>
        new(ResourceType.Interrupt, (ushort)(Wdm.CM_RESOURCE_INTERRUPT_LATCHED | Wdm.CM_RESOURCE_INTERRUPT_MESSAGE),
            ShareDisposition.DeviceExclusive, MessageToken - (uint)count + 1, MessageToken, 0, 0, option);

    /// <summary>Numbers of buses that follow each other.</summary>
    public static WantedResource BusNumbers(uint count, uint lowest, uint highest, ResourceOption option = 0) =>
        new(ResourceType.BusNumber, 0, ShareDisposition.DeviceExclusive, count, lowest, highest, 0, option);

    /// <summary>What a bus driver wants to find again in the list of what was assigned.</summary>
    public static WantedResource Private(uint kind, uint number) =>
        new(ResourceType.DevicePrivate, 0, ShareDisposition.DeviceExclusive, kind, number, 0, 0);

    public void Write(IoResourceDescriptor to)
    {
        (to.Option, to.Type, to.ShareDisposition, to.Flags) = (Option, Type, Share, Flags);
        (to.Length, to.Alignment) = (First, Second);
        (to.MinimumAddress, to.MaximumAddress) = (Minimum, Maximum);
    }
}
