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
        foreach ((string service, NtStatus started) in nt.Drivers.InstallDefault(package))
            if (service.Equals(file.Name, StringComparison.OrdinalIgnoreCase)) status = started;
        return nt.Loader.Drivers.LastOrDefault(
            d => d.Name.Equals(file.Name, StringComparison.OrdinalIgnoreCase))
            ?? throw new InfException(package.Name, 0, $"The driver of {file.Name} was not loaded: {status}.");
    }
}
