using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>How far plug and play is with a device.</summary>
public enum DeviceNodeState
{
    /// <summary>Its bus has reported it; nothing has been asked.</summary>
    Uninitialized,

    /// <summary>Its ids are known, and it has its key below <c>Enum</c>. So it is too while it has no driver.</summary>
    Initialized,

    /// <summary>Its drivers' AddDevice routines were called.</summary>
    DriversAdded,
    Started,
    QueryStopped,
    Stopped,
    QueryRemoved,

    /// <summary>It is gone; its drivers know, and wait for the last handle to be closed.</summary>
    SurpriseRemoved,

    /// <summary>Its drivers are gone; the device is still there.</summary>
    Removed,

    /// <summary>The device is gone, and its device object with it.</summary>
    Deleted,
}

/// <summary>CM_PROB_*: why a device does not run.</summary>
public enum DeviceProblem
{
    None = 0, NotConfigured = 1, InvalidData = 9, FailedStart = 10, NormalConflict = 12, NeedRestart = 14,
    WillBeRemoved = 21, Disabled = 22, DeviceNotThere = 24, FailedInstall = 28, FailedAdd = 31,
    DisabledService = 32, FailedDriverEntry = 37, DriverFailedLoad = 39, FailedPostStart = 43, HeldForEject = 47,
}

/// <summary>A device that plug and play knows: a node of the device tree.</summary>
public sealed class DeviceNode
{
    internal DeviceNode(DeviceObject physicalDevice, DeviceNode? parent) =>
        (PhysicalDevice, Parent, Level) = (physicalDevice, parent, parent is null ? 0 : parent.Level + 1);

    /// <summary>The bus driver's device object for it.</summary>
    public DeviceObject PhysicalDevice { get; }
    public DeviceNode? Parent { get; }
    public IReadOnlyList<DeviceNode> Children => ChildList;
    public DeviceNodeState State { get; internal set; }
    public DeviceProblem Problem { get; internal set; }

    /// <summary>With <see cref="Problem"/>: the status that a driver gave.</summary>
    public NtStatus ProblemStatus { get; internal set; }

    /// <summary>Its path below <c>Enum</c>: <c>ACPI\PNP0501\1</c>.</summary>
    public string InstancePath { get; internal set; } = "";
    public IReadOnlyList<string> HardwareIds { get; internal set; } = [];
    public IReadOnlyList<string> CompatibleIds { get; internal set; } = [];
    public string Description { get; internal set; } = "";
    public string Location { get; internal set; } = "";
    public CapabilityFlags Capabilities { get; internal set; }

    /// <summary>The slot or address on its bus; -1: there is none.</summary>
    public uint Address { get; internal set; } = uint.MaxValue;
    public uint UINumber { get; internal set; } = uint.MaxValue;

    /// <summary>The service that is its function driver; null if it has none.</summary>
    public string? Service { get; internal set; }

    /// <summary>The resources that it was given, as its bus sees them.</summary>
    public IReadOnlyList<Resource> Resources { get; internal set; } = [];

    /// <summary>Symbolic links of its interfaces that are enabled.</summary>
    public IEnumerable<string> Interfaces => InterfaceList.Where(i => i.IsEnabled).Select(i => i.Link);

    /// <summary>The highest power that it can have in each state of the system: DEVICE_POWER_STATE for
    /// SYSTEM_POWER_STATE.</summary>
    internal uint[] DeviceStates { get; } = [0, 1, 4, 4, 4, 4, 4];
    internal uint SystemWake { get; set; }
    internal uint DeviceWake { get; set; }

    /// <summary>The state that it goes back to when a query is called off.</summary>
    internal DeviceNodeState Before { get; set; }

    internal int Level { get; }
    internal List<DeviceNode> ChildList { get; } = [];
    internal List<DeviceInterface> InterfaceList { get; } = [];
    internal Dictionary<(Guid, uint), (uint Type, byte[] Data)> Properties { get; } = [];

    /// <summary>Who has references to its bus interface: where drivers got them.</summary>
    internal List<Va> BusReferences { get; } = [];

    /// <summary>What its firmware or its bus has set it to before the system came.</summary>
    internal IReadOnlyList<Resource> BootResources { get; set; } = [];

    /// <summary>IO_RESOURCE_REQUIREMENTS_LIST, as its bus gave it and its drivers have changed it; empty: it needs
    /// nothing.</summary>
    internal byte[] Requirements { get; set; } = [];
    internal (Guid Type, uint Legacy, uint Number)? Bus { get; set; }

    /// <summary>The last enumeration of its bus has seen it.</summary>
    internal bool IsPresent { get; set; } = true;
    internal bool IsRaw { get; set; }

    /// <summary>PNP_DEVICE_STATE of the last question.</summary>
    internal uint DeviceState { get; set; }

    /// <summary>It was started once already since its drivers were added.</summary>
    internal bool WasStarted { get; set; }

    public bool IsStarted => State is DeviceNodeState.Started;

    internal bool IsBelow(DeviceNode above)
    {
        for (DeviceNode? next = Parent; next is not null; next = next.Parent)
            if (next == above) return true;
        return false;
    }

    /// <summary>It and all below it, parents first.</summary>
    public IEnumerable<DeviceNode> Tree() => ChildList.ToArray().SelectMany(c => c.Tree()).Prepend(this);

    public override string ToString() => InstancePath.Length > 0 ? InstancePath : $"device {PhysicalDevice.Address}";
}
