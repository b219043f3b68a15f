using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>Drivers in C#: loaded beside, above and below .sys files.</summary>
public sealed partial class Loader
{
    const ulong FirstManaged = 0xFFFF_F802_0000_0000, ManagedSpace = 0x1_0000_0000, ManagedSpacing = 0x10_0000;

    Va _nextManaged = new(FirstManaged);

    /// <summary>Whether an address lies where C# drivers are loaded.</summary>
    internal static bool IsManaged(ulong address) => address - FirstManaged < ManagedSpace;

    /// <summary>Loads a driver written in C#: gives it an image, its driver object and service key, and runs
    /// DriverEntry.</summary>
    /// <param name="name">The service's name.</param>
    /// <param name="driver">A new instance, for this machine alone.</param>
    /// <exception cref="MachineStop">DriverEntry stopped the machine.</exception>
    public Driver Load(string name, NtDriver driver, IReadOnlyList<(string Name, RegistryValue Value)>? registry = null)
    {
        if (driver.Image is not null) throw new ArgumentException("The driver is loaded already.", nameof(driver));
        var image = new ManagedImage(_nt, driver, name, _nextManaged);
        _nextManaged += ManagedSpacing;
        _images.Add(image.Loaded);
        Protect(image.Loaded);
        return Start(name, image.Loaded, image.Entry, [], registry);
    }

    /// <summary>An export of a loaded driver for one in C#, which from now on depends on that driver.</summary>
    internal Va ImportFrom(string module, string name)
    {
        Va own = KernelImages.Find(module.ToLowerInvariant(), name);
        if (!own.IsNull) return own;
        return !InitializeLibrary(module).IsSuccess ? Va.Null : FindInDriver(module, image => image.FindExport(name));
    }
}
