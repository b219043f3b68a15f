using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>The drivers that the system itself has for its buses.</summary>
static class Buses
{
    /// <summary>Hardware ids, the service that is their driver, and how it is made.</summary>
    static readonly (string Id, string Service, Func<NtDriver> Make)[] s_drivers =
    [
        ("ACPI_HAL", "ACPI", () => new AcpiDriver()), (@"ACPI\PNP0A03", "pci", () => new PciDriver()),
        (@"PCI\CC_0604", "pci", () => new PciDriver()),
    ];

    /// <summary>The service that drives a device of the system's own; null if it is not one.</summary>
    public static string? DriverFor(DeviceNode node) => s_drivers.FirstOrDefault(d =>
        node.HardwareIds.Concat(node.CompatibleIds).Contains(d.Id, StringComparer.OrdinalIgnoreCase)).Service;

    /// <summary>A new instance of one of the system's own drivers; null if it has none of the name.</summary>
    public static NtDriver? Make(string service) => s_drivers.FirstOrDefault(d =>
        d.Service.Equals(service, StringComparison.OrdinalIgnoreCase)).Make?.Invoke();

    /// <summary>What a device is in the computer: a <see cref="FirmwareDevice"/>, a <see cref="PciFunction"/>; null: it
    /// is none of these buses'.</summary>
    public static object? FindChip(Computer computer, DeviceNode node)
    {
        string[] path = node.InstancePath.Split('\\');
        if (path is ["ACPI", var id, var number])
            return computer.Firmware.Devices.FirstOrDefault(d => d.Id == id && $"{d.Number:X}" == number);
        var slot = new PciSlot((int)(node.Address >> 16), (int)(node.Address & 7));
        return path[0] == "PCI" ? computer.Pci.Find((int)(node.Bus?.Number ?? 0), slot) : null;
    }

    /// <summary>Takes the chip of a device out of the computer.</summary>
    /// <returns>False if it has none.</returns>
    public static bool PullOut(Computer computer, DeviceNode node)
    {
        object? chip = FindChip(computer, node);
        if (chip is FirmwareDevice part) part.IsPresent = false;
        if (chip is PciFunction function) computer.Pci.Remove(function);
        return chip is not null;
    }

    /// <summary>There is a PCI bus: functions, plugged in or at hand.</summary>
    public static bool HasPci(Computer computer) => computer.Pci.Known.Count > 0;
}
