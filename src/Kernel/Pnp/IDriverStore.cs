namespace Ringdown.Kernel;

/// <summary>Where drivers for devices come from: packages that were added to a machine.</summary>
public interface IDriverStore
{
    /// <summary>Finds the best driver for a device and writes into the registry what makes it the device's: its
    /// instance key names the service and the class.</summary>
    /// <param name="instancePath">The device's path below <c>Enum</c>.</param>
    /// <returns>False if there is none.</returns>
    bool Install(string instancePath, IReadOnlyList<string> hardwareIds, IReadOnlyList<string> compatibleIds);
}
