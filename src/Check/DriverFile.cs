using Ringdown.Machine;

namespace Ringdown.Check;

/// <summary>A driver as it lies on disk: its bytes, read once for all machines that load it.</summary>
public sealed class DriverFile
{
    DriverFile(string path, PeImage image, Symbols symbols) => (Path, Image, Symbols) = (path, image, symbols);

    public string Path { get; }

    /// <summary>The service name: the file's name without its ending.</summary>
    public string Name => System.IO.Path.GetFileNameWithoutExtension(Path);
    public PeImage Image { get; }
    public Symbols Symbols { get; }

    /// <summary>What the machines have decoded of it.</summary>
    public CodeCache Code { get; } = new();

    /// <exception cref="BadImageException">The file is no driver.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static DriverFile Open(string path)
    {
        PeImage image = PeImage.Parse(File.ReadAllBytes(path));
        string pdb = System.IO.Path.ChangeExtension(path, ".pdb");
        return new DriverFile(path, image, new Symbols(image, File.Exists(pdb) ? File.ReadAllBytes(pdb) : null));
    }
}
