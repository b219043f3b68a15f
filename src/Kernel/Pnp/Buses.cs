using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>The drivers that the system itself has for its buses.</summary>
static class Buses
{
    /// <summary>Hardware ids, the service that is their driver, and how it is made.</summary>
    static readonly (string Id, string Service, Func<NtDriver> Make)[] s_drivers = [];

    /// <summary>The service that drives a device of the system's own; null if it is not one.</summary>
    public static string? DriverFor(DeviceNode node) => s_drivers.FirstOrDefault(d =>
        node.HardwareIds.Concat(node.CompatibleIds).Contains(d.Id, StringComparer.OrdinalIgnoreCase)).Service;

    /// <summary>A new instance of one of the system's own drivers; null if it has none of the name.</summary>
    public static NtDriver? Make(string service) => s_drivers.FirstOrDefault(d =>
        d.Service.Equals(service, StringComparison.OrdinalIgnoreCase)).Make?.Invoke();

    /// <summary>There are functions on a PCI bus.</summary>
    public static bool HasPci(Computer computer) => false;
}
