using Ringdown.Kernel;

namespace Ringdown.Check;

/// <summary>Installs a package on a machine, as a setup program does: devices get its drivers, or DefaultInstall is
/// done.</summary>
static class PackageSetup
{
    /// <returns>The package's driver.</returns>
    /// <exception cref="InfException">It cannot be installed, or there is no device for it.</exception>
    /// <exception cref="MachineStop">A driver stopped the machine.</exception>
    public static Driver Load(
        NtKernel nt, DriverFile file, IReadOnlyList<(string Name, RegistryValue Value)> registry)
    {
        DriverPackage package = file.Package!;
        nt.Drivers.Add(package);
        nt.Drivers.SetParameters(file.Name, registry);
        NtStatus status = Status.STATUS_SUCCESS;
        if (package.Models.Count > 0) AddDevices(nt, file, package);
        else
            foreach ((string service, NtStatus started) in nt.Drivers.InstallDefault(package))
                if (service.Equals(file.Name, StringComparison.OrdinalIgnoreCase)) status = started;
        if (Find(nt, file) is { } driver) return driver;
        if (nt.Drivers.Mistakes is [.., var mistake]) throw mistake;
        throw new InfException(package.Name, 0, package.Models.Count == 0
            ? $"The driver of {file.Name} was not loaded: {status}."
            : "The machine has no device for it: give it one with --board, or --device ID.");
    }

    static Driver? Find(NtKernel nt, DriverFile file) => nt.Loader.Drivers.LastOrDefault(
        d => d.Name.Equals(file.Name, StringComparison.OrdinalIgnoreCase));

    // The board's devices come first; if none is the package's, those that nobody has to plug in.
    static void AddDevices(NtKernel nt, DriverFile file, DriverPackage package)
    {
        nt.User.Devices.Start();
        if (file.Device is { } id)
        {
            DriverModel? model = nt.Drivers.Find([id], [])?.Model;
            nt.User.Devices.AddRootDevice(id, null, model is null ? null : package.RequirementsOf(model));
            return;
        }
        if (Find(nt, file) is not null) return;
        foreach (DriverModel model in package.Models.Where(IsRootEnumerated).DistinctBy(m => m.Section))
            nt.User.Devices.AddRootDevice(model.HardwareId, null, package.RequirementsOf(model));
    }

    static bool IsRootEnumerated(DriverModel model) => model.HardwareId.StartsWith('*')
        || model.HardwareId.StartsWith(@"ROOT\", StringComparison.OrdinalIgnoreCase);
}
