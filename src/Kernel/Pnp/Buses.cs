using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>The drivers that the system itself has for its buses.</summary>
static class Buses
{
    /// <summary>Hardware ids, the service that is their driver, and how it is made.</summary>
    static readonly (string Id, string Service, Func<NtDriver> Make)[] s_drivers =
    [
        ("ACPI_HAL", "ACPI", () => new AcpiDriver()), (@"ACPI\PNP0A03", "pci", () => new PciDriver()),
    ];

    /// <summary>The service that drives a device of the system's own; null if it is not one.</summary>
    public static string? DriverFor(DeviceNode node) => s_drivers.FirstOrDefault(d =>
        node.HardwareIds.Concat(node.CompatibleIds).Contains(d.Id, StringComparer.OrdinalIgnoreCase)).Service;

    /// <summary>A new instance of one of the system's own drivers; null if it has none of the name.</summary>
    public static NtDriver? Make(string service) => s_drivers.FirstOrDefault(d =>
        d.Service.Equals(service, StringComparison.OrdinalIgnoreCase)).Make?.Invoke();

    /// <summary>There is a PCI bus: functions, plugged in or at hand.</summary>
    public static bool HasPci(Computer computer) => computer.Pci.Known.Count > 0;
}
