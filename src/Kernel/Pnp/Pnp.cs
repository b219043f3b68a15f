using Ringdown.Machine;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>The plug and play manager: the device tree, and who is told what about it in which order.</summary>
/// <remarks>All that it does is done by one system worker, one thing after the other, at PASSIVE_LEVEL.</remarks>
[NtModule("ntoskrnl.exe")]
sealed partial class Pnp(NtKernel nt)
{
    const uint PnpTag = 0x2070_6E50;    // 'Pnp '
    const string EnumPath = @"\Registry\Machine\System\CurrentControlSet\Enum",
        ClassPath = @"\Registry\Machine\System\CurrentControlSet\Control\Class",
        ServicesPath = @"\Registry\Machine\System\CurrentControlSet\Services";

    readonly Dictionary<Va, DeviceNode> _nodes = [];
    readonly Queue<Action> _actions = new();
    bool _isWorking;
    RootBus? _rootBus;

    /// <summary>The root of the device tree; null until somebody needs it.</summary>
    public DeviceNode? Root { get; private set; }

    public Arbiter Arbiter { get; } = new(nt.Computer);

    /// <summary>The function driver of root devices that the next enumeration finds; null: it is to be found.</summary>
    public string? ServiceOfNew { get; set; }

    /// <summary>Who knows drivers for devices that have none.</summary>
    public IDriverStore? Drivers { get; set; } = nt.Drivers;

    public IEnumerable<DeviceNode> Nodes => _nodes.Values;

    /// <summary>The node of a physical device object; null if plug and play knows none.</summary>
    public DeviceNode? Find(DeviceObject device) => _nodes.GetValueOrDefault(device.Address);

    /// <summary>Has the worker do something after what it does now.</summary>
    public void Queue(Action action)
    {
        _actions.Enqueue(action);
        if (_isWorking) return;
        _isWorking = true;
        nt.Ex.PoolOf(1).Queue(Work);
    }

    void Work()
    {
        try
        {
            while (_actions.TryDequeue(out Action? action)) action();
        }
        finally
        {
            _isWorking = false;
        }
    }

    /// <summary>Makes the tree's root, and lets the devices that are always there begin.</summary>
    public void Start()
    {
        if (Root is not null) return;
        _rootBus = new RootBus();
        nt.Loader.Load("PnpManager", _rootBus);
        Root = NewNode(_rootBus.Device, null);
        (Root.InstancePath, Root.State, Root.Service) = (@"HTREE\ROOT\0", DeviceNodeState.Started, "PnpManager");
        if (nt.Computer.Firmware.Devices.Count > 0 || Buses.HasPci(nt.Computer))
            _rootBus.Add(@"ROOT\ACPI_HAL", "0000", ["ACPI_HAL"], []);
        Enumerate(Root);
    }

    /// <summary>A root-enumerated device, as a setup program makes it. It begins at the next enumeration of the
    /// root.</summary>
    public DeviceObject AddRootDevice(string deviceId, IReadOnlyList<string> hardwareIds, byte[] requirements)
    {
        Start();
        return _rootBus!.Add(deviceId, _rootBus.NextInstance(deviceId), hardwareIds, requirements);
    }

    /// <summary>Takes a device away, as hardware that is pulled out: one of the root's, or a chip.</summary>
    public NtStatus PullOut(DeviceNode node)
    {
        if (_rootBus!.Remove(node.PhysicalDevice)) Enumerate(Root!);
        else if (Buses.PullOut(nt.Computer, node)) Enumerate(node.Parent!);
        else return STATUS_INVALID_DEVICE_REQUEST;
        return STATUS_SUCCESS;
    }

    DeviceNode NewNode(DeviceObject physicalDevice, DeviceNode? parent)
    {
        var node = new DeviceNode(physicalDevice, parent);
        parent?.ChildList.Add(node);
        _nodes.Add(physicalDevice.Address, node);
        DevobjExtension extension = physicalDevice.DeviceObjectExtension;
        // What it points to is nobody's business; that it points somewhere makes the device a physical one.
        extension.DeviceNode = nt.Mm.Pool.Allocate(0x40, PnpTag);
        DeviceObject device = physicalDevice;
        device.Flags |= Wdm.DO_BUS_ENUMERATED_DEVICE;
        return node;
    }

    void Forget(DeviceNode node)
    {
        node.State = DeviceNodeState.Deleted;
        Arbiter.Release(node);
        node.Parent?.ChildList.Remove(node);
        _nodes.Remove(node.PhysicalDevice.Address);
        if (nt.Ob.Find(node.PhysicalDevice.Address) is null) return;
        DevobjExtension extension = node.PhysicalDevice.DeviceObjectExtension;
        if (!extension.DeviceNode.IsNull) nt.Mm.Pool.Free(extension.DeviceNode);
        extension.DeviceNode = Va.Null;
    }

    /// <summary>An IRP_MJ_PNP to the top of a device's stack, in a system thread; returns when it is
    /// complete.</summary>
    NtStatus Send(DeviceNode node, byte minor, out ulong information, Action<IoStackLocation>? fill = null)
    {
        IoStatusBlock result = nt.Io.SendToStack(node.PhysicalDevice, STATUS_NOT_SUPPORTED, location =>
        {
            (location.MajorFunction, location.MinorFunction) = (IrpMajor.IRP_MJ_PNP, minor);
            fill?.Invoke(location);
        });
        information = result.Information;
        return result.Status;
    }

    NtStatus Send(DeviceNode node, byte minor, Action<IoStackLocation>? fill = null) =>
        Send(node, minor, out _, fill);

    /// <summary>A question whose answer is a pool block, which is freed; null if there is no answer.</summary>
    T? Ask<T>(DeviceNode node, byte minor, Action<IoStackLocation>? fill, Func<Va, T> read) where T : class
    {
        NtStatus status = Send(node, minor, out ulong information, fill);
        if (!status.IsSuccess || information == 0) return null;
        Va block = new(information);
        T answer = read(block);
        nt.Mm.Pool.Free(block);
        return answer;
    }

    /// <summary>The key of a device below <c>Enum</c>.</summary>
    RegistryKey KeyOf(DeviceNode node) => nt.Cm.Create($@"{EnumPath}\{node.InstancePath}");

    /// <summary>Looks again at every bus, from the root down.</summary>
    public void Rescan()
    {
        Start();
        foreach (DeviceNode node in Root!.Tree().ToArray())
            if (node.IsStarted) Enumerate(node);
    }
}
