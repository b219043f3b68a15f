using Ringdown.Machine;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Plug and play from outside: what a setup program and the device manager do. Each call runs until plug and
/// play is done with it, or until nothing more happens.</summary>
public sealed class DeviceTree
{
    readonly NtKernel _nt;

    internal DeviceTree(NtKernel nt) => _nt = nt;

    /// <summary>All devices, buses before what is on them; the root is not among them.</summary>
    public IReadOnlyList<DeviceNode> All => _nt.Pnp.Root is { } root ? [.. root.Tree().Skip(1)] : [];

    /// <summary>Where drivers come from for devices that have none.</summary>
    public IDriverStore? Drivers
    {
        get => _nt.Pnp.Drivers;
        set => _nt.Pnp.Drivers = value;
    }

    /// <summary>The device of a path (<c>ACPI\PNP0501\1</c>), or the first one with a hardware or compatible id; null
    /// if there is none.</summary>
    public DeviceNode? Find(string idOrPath) =>
        All.FirstOrDefault(d => Is(d.InstancePath, idOrPath))
        ?? All.FirstOrDefault(d => d.HardwareIds.Concat(d.CompatibleIds).Any(i => Is(i, idOrPath)));

    static bool Is(string one, string other) => one.Equals(other, StringComparison.OrdinalIgnoreCase);

    /// <summary>The device in whose stack a device object is; null if it is in none.</summary>
    public DeviceNode? NodeOf(DeviceObject device) => _nt.Pnp.NodeOfStack(device);

    /// <summary>Finds the devices that the machine has.</summary>
    /// <returns>STATUS_PENDING if a driver keeps an IRP and nothing more happens. So do the others.</returns>
    public NtStatus Start() => Do(_nt.Pnp.Start);

    /// <summary>Looks at all buses again.</summary>
    public NtStatus Rescan() => Do(_nt.Pnp.Rescan);

    /// <summary>A device that is there because a setup program says so, and starts it.</summary>
    /// <param name="hardwareId">Its hardware id; it is found below <c>ROOT</c>.</param>
    /// <param name="service">Its function driver; null: the driver store finds one.</param>
    /// <param name="requirements">IO_RESOURCE_REQUIREMENTS_LIST; null: it needs nothing.</param>
    public DeviceNode AddRootDevice(string hardwareId, string? service = null, byte[]? requirements = null)
    {
        DeviceObject device = default;
        NtStatus status = Do(() =>
        {
            string name = hardwareId[(hardwareId.LastIndexOf('\\') + 1)..].TrimStart('*');
            device = _nt.Pnp.AddRootDevice($@"ROOT\{name}", [hardwareId], requirements ?? []);
            _nt.Pnp.ServiceOfNew = service;
            _nt.Pnp.Enumerate(_nt.Pnp.Root!);
            _nt.Pnp.ServiceOfNew = null;
        });
        // Its start may not have ended; that it is there is known before.
        return (device.IsNull ? null : _nt.Pnp.Find(device))
            ?? throw new InvalidOperationException($"No device was made: {status}");
    }

    /// <summary>Makes a driver the device's, and starts it with that.</summary>
    public NtStatus SetDriver(DeviceNode device, string service) => Do(() => _nt.Pnp.SetDriver(device, service));

    /// <summary>Takes a device out of the system, after everybody was asked; it stays so until <see
    /// cref="Enable"/>.</summary>
    /// <returns>STATUS_PLUGPLAY_QUERY_VETOED if somebody said no.</returns>
    public NtStatus Disable(DeviceNode device) => Do(() => _nt.Pnp.Disable(device));

    public NtStatus Enable(DeviceNode device) => Do(() => _nt.Pnp.Enable(device));

    /// <summary>Takes a device out, and its driver from it; a root-enumerated one is gone.</summary>
    public NtStatus Uninstall(DeviceNode device) => Do(() => _nt.Pnp.Uninstall(device));

    public NtStatus Eject(DeviceNode device) => Do(() => _nt.Pnp.Eject(device));

    /// <summary>Stops a device, gives it resources anew, and starts it again.</summary>
    public NtStatus Rebalance(DeviceNode device) => Do(() => _nt.Pnp.Rebalance(device));

    /// <summary>A device is gone without a word before: its registers too, if it has some.</summary>
    /// <returns>STATUS_INVALID_DEVICE_REQUEST if it hangs on a driver's bus, whose own business that is.</returns>
    public NtStatus PullOut(DeviceNode device) => Do(() => _nt.Pnp.PullOut(device));

    /// <summary>One minor of IRP_MJ_PNP, by itself, and the state that it leads to.</summary>
    /// <param name="minor">IRP_MN_*.</param>
    /// <param name="detail">Of a question: the type of relations, of a text, of a use.</param>
    /// <returns>What the stack answered; STATUS_INVALID_DEVICE_STATE if NT would not send it in the device's
    /// state.</returns>
    public NtStatus Send(DeviceNode device, byte minor, uint detail = 0) =>
        Do(() => _nt.Pnp.Step(device, minor, detail));

    /// <summary>A request that no driver knows: the minor function FF. Each passes it down as it came.</summary>
    /// <param name="major">IRP_MJ_PNP, IRP_MJ_SYSTEM_CONTROL.</param>
    /// <returns>What came back: STATUS_NOT_SUPPORTED, unless a driver has changed that.</returns>
    public NtStatus SendUnknown(DeviceNode device, IrpMajor major)
    {
        const byte unknown = 0xFF;
        return Do(() => _nt.Io.SendToStack(device.PhysicalDevice, STATUS_NOT_SUPPORTED, location =>
            (location.MajorFunction, location.MinorFunction) = (major, unknown)).Status);
    }

    /// <summary>Its chip still asserts the interrupt for which it sends messages: no other message comes before it is
    /// taken back.</summary>
    public bool KeepsInterrupt(DeviceNode device) =>
        Buses.FindChip(_nt.Computer, device) is PciFunction { UsesMessages: true, Wire.IsAsserted: true };

    /// <summary>Links of the enabled interfaces of a class, to be opened.</summary>
    public IReadOnlyList<string> Interfaces(Guid interfaceClass) =>
        [.. _nt.Pnp.EnabledInterfaces(interfaceClass).Select(i => i.Link)];

    NtStatus Do(Action action) => Do(() =>
    {
        action();
        return STATUS_SUCCESS;
    });

    NtStatus Do(Func<NtStatus> action)
    {
        NtStatus? result = null;
        _nt.BeginRequest();
        _nt.User.AsUser(() =>
        {
            _nt.Pnp.Queue(() => result = action());
            return _nt.Ke.RunUntilIdle();
        });
        return result ?? STATUS_PENDING;
    }
}
