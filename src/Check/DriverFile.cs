using Ringdown.Kernel;
using Ringdown.Machine;

namespace Ringdown.Check;

/// <summary>A driver as it lies on disk, read once for all machines that load it: a .sys file, or an assembly with a
/// driver in C#.</summary>
public sealed class DriverFile
{
    const string AssemblyEnding = ".dll";

    DriverFile(string path, string name) => (Path, Name) = (path, name);

    public string Path { get; }

    /// <summary>The service name: the file's name without its ending.</summary>
    public string Name { get; }

    /// <summary>The .sys file's image; null for an assembly.</summary>
    public PeImage? Image { get; private init; }
    public Symbols Symbols { get; private init; } = Symbols.None;

    /// <summary>The driver's class in an assembly; null for a .sys file.</summary>
    public DriverClass? Class { get; private init; }

    /// <summary>What the machines have decoded of it.</summary>
    public CodeCache Code { get; } = new();

    /// <summary>Opens a .sys file, or an assembly: <c>My.dll</c>, <c>Samples.dll:Echo</c> if there are several drivers
    /// in it.</summary>
    /// <exception cref="BadImageException">The file is no driver.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static DriverFile Open(string path)
    {
        int ending = path.IndexOf(AssemblyEnding + ":", StringComparison.OrdinalIgnoreCase);
        string? wanted = ending < 0 ? null : path[(ending + AssemblyEnding.Length + 1)..];
        string file = wanted is null ? path : path[..(ending + AssemblyEnding.Length)];
        byte[] bytes = File.ReadAllBytes(file);
        if (DriverClass.IsAssembly(bytes))
        {
            var found = DriverClass.Find(file, wanted);
            return new DriverFile(path, wanted is null ? NameOf(file) : found.Name) { Class = found };
        }
        PeImage image = PeImage.Parse(bytes);
        string pdb = System.IO.Path.ChangeExtension(file, ".pdb");
        var symbols = new Symbols(image, File.Exists(pdb) ? File.ReadAllBytes(pdb) : null);
        return new DriverFile(path, NameOf(file)) { Image = image, Symbols = symbols };
    }

    static string NameOf(string file) => System.IO.Path.GetFileNameWithoutExtension(file);

    /// <summary>Loads it into a machine.</summary>
    /// <exception cref="MachineStop">DriverEntry stopped the machine.</exception>
    public Driver Load(NtKernel nt, IReadOnlyList<(string Name, RegistryValue Value)>? registry = null) =>
        Class is { } driver ? nt.Loader.Load(Name, driver.New(), registry)
            : nt.Loader.Load(Name, Image!, Symbols, registry);

    /// <summary>The I/O control codes that it knows, ascending.</summary>
    public IReadOnlyList<uint> FindControlCodes() =>
        Class is { } driver ? driver.FindControlCodes() : ControlCodes.Find(Image!);
}
