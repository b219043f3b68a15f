using Ringdown.Kernel;
using Ringdown.Machine;

namespace Ringdown.Check;

/// <summary>A driver as it lies on disk, read once for all machines that load it: a .sys file, or an assembly with a
/// driver in C#.</summary>
public sealed class DriverFile
{
    const string AssemblyEnding = ".dll", PackageEnding = ".inf";

    DriverFile(string path, string name) => (Path, Name) = (path, name);

    public string Path { get; }

    /// <summary>The service name: the file's name without its ending, or as a package names it.</summary>
    public string Name { get; }

    /// <summary>The .sys file's image; null for an assembly.</summary>
    public PeImage? Image { get; private init; }
    public Symbols Symbols { get; private init; } = Symbols.None;

    /// <summary>The driver's class in an assembly; null for a .sys file.</summary>
    public DriverClass? Class { get; private init; }

    /// <summary>The package that brings it; null for a driver that is loaded as it is.</summary>
    public DriverPackage? Package { get; private init; }

    /// <summary>The hardware ID, or the path, of the device that it is for: made, if the machine has none; null: the
    /// board or the package says which there are.</summary>
    public string? Device { get; private init; }

    /// <summary>What the machines have decoded of it.</summary>
    public CodeCache Code { get; } = new();

    /// <summary>Opens a .sys file, or an assembly: <c>My.dll</c>, <c>Samples.dll:Echo</c> if there are several drivers
    /// in it; or a package: <c>echo.inf</c>.</summary>
    /// <param name="device">The hardware ID of the device that it is for.</param>
    /// <exception cref="BadImageException">The file is no driver.</exception>
    /// <exception cref="InfException">The package cannot be used.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static DriverFile Open(string path, string? device = null)
    {
        if (path.EndsWith(PackageEnding, StringComparison.OrdinalIgnoreCase)) return OpenPackage(path, device);
        int ending = path.IndexOf(AssemblyEnding + ":", StringComparison.OrdinalIgnoreCase);
        string? wanted = ending < 0 ? null : path[(ending + AssemblyEnding.Length + 1)..];
        string file = wanted is null ? path : path[..(ending + AssemblyEnding.Length)];
        byte[] bytes = File.ReadAllBytes(file);
        if (DriverClass.IsAssembly(bytes))
        {
            var found = DriverClass.Find(file, wanted);
            return new DriverFile(path, wanted is null ? NameOf(file) : found.Name) { Class = found, Device = device };
        }
        string pdb = System.IO.Path.ChangeExtension(file, ".pdb");
        return Parse(path, bytes, device, File.Exists(pdb) ? File.ReadAllBytes(pdb) : null);
    }

    /// <summary>A .sys file that is in memory.</summary>
    /// <param name="path">Where it would lie: the service has its name.</param>
    /// <param name="pdb">Its symbols; null for none.</param>
    /// <exception cref="BadImageException">The bytes are no driver.</exception>
    public static DriverFile Parse(string path, ReadOnlyMemory<byte> bytes, string? device = null, byte[]? pdb = null)
    {
        PeImage image = PeImage.Parse(bytes);
        var symbols = new Symbols(image, pdb);
        return new DriverFile(path, NameOf(path)) { Image = image, Symbols = symbols, Device = device };
    }

    // The driver is that of the first service whose image the package brings.
    static DriverFile OpenPackage(string path, string? device)
    {
        string name = System.IO.Path.GetFileName(path);
        var folder = new PackageFolder(System.IO.Path.GetDirectoryName(System.IO.Path.GetFullPath(path))!);
        DriverPackage package = DriverPackage.Open(name, File.ReadAllBytes(path), folder);
        foreach (PackageService service in package.Services)
            foreach ((string source, string target) in package.Copies)
            {
                if (!target.Equals(service.Binary, StringComparison.OrdinalIgnoreCase)) continue;
                if (folder.FindFile(source) is not { } driver)
                    throw new InfException(name, 0, $"{source} of the service {service.Name} is not beside it, "
                        + "or it is no driver.");
                return new DriverFile(path, service.Name)
                {
                    Image = driver.Image,
                    Symbols = driver.Symbols,
                    Class = driver.Class,
                    Package = package,
                    Device = device,
                };
            }
        throw new InfException(name, 0, "It makes no service whose driver it brings.");
    }

    static string NameOf(string file) => System.IO.Path.GetFileNameWithoutExtension(file);

    /// <summary>Loads it into a machine.</summary>
    /// <exception cref="MachineStop">DriverEntry stopped the machine.</exception>
    /// <exception cref="InfException">The package cannot be installed, or there is no device for it.</exception>
    public Driver Load(NtKernel nt, IReadOnlyList<(string Name, RegistryValue Value)>? registry = null) =>
        Package is not null ? PackageSetup.Load(nt, this, registry ?? [])
            : Class is { } driver ? nt.Loader.Load(Name, driver.New(), registry)
            : nt.Loader.Load(Name, Image!, Symbols, registry);

    /// <summary>The I/O control codes that it knows, ascending.</summary>
    public IReadOnlyList<uint> FindControlCodes() =>
        Class is { } driver ? driver.FindControlCodes() : ControlCodes.Find(Image!);
}
