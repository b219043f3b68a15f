using Ringdown.Kernel;
using Ringdown.Machine;

namespace Ringdown.Check;

/// <summary>The folder of an INF file: what lies in it and below it, whatever the case of its name. A driver in C# is
/// named as on the command line: <c>My.dll</c>, <c>Samples.dll:Echo</c>.</summary>
sealed class PackageFolder(string folder) : IPackageFiles
{
    const string AssemblyEnding = ".dll:";

    readonly Dictionary<string, DriverFile?> _drivers = new(StringComparer.OrdinalIgnoreCase);

    public byte[]? Read(string path) => Resolve(path) is { } file ? File.ReadAllBytes(file) : null;

    public DriverImage? FindDriver(string path) => FindFile(path) is not { } file ? null
        : file.Class is { } driver ? new DriverImage(driver.New) : new DriverImage(file.Image!, file.Symbols);

    /// <summary>A driver in the folder; null if there is none of the name, or it is no driver.</summary>
    public DriverFile? FindFile(string path)
    {
        if (_drivers.TryGetValue(path, out DriverFile? known)) return known;
        int at = path.IndexOf(AssemblyEnding, StringComparison.OrdinalIgnoreCase);
        string name = at < 0 ? path : path[..(at + AssemblyEnding.Length - 1)];
        DriverFile? found = null;
        try
        {
            if (Resolve(name) is { } file) found = DriverFile.Open(file + path[name.Length..]);
        }
        catch (BadImageException)
        {
            // A file of another kind.
        }
        _drivers.Add(path, found);
        return found;
    }

    string? Resolve(string path)
    {
        string at = folder;
        string[] parts = path.Split('\\', StringSplitOptions.RemoveEmptyEntries);
        if (parts.Length == 0) return null;
        for (int i = 0; i < parts.Length; i++)
        {
            // Nothing outside of the folder is the package's.
            if (parts[i] is "." or ".." || parts[i].Contains('/')) return null;
            bool isLast = i == parts.Length - 1;
            string? found = (isLast ? Directory.EnumerateFiles(at) : Directory.EnumerateDirectories(at))
                .Order(StringComparer.Ordinal).FirstOrDefault(
                    p => Path.GetFileName(p).Equals(parts[i], StringComparison.OrdinalIgnoreCase));
            if (found is null) return null;
            at = found;
        }
        return at;
    }
}
