namespace Ringdown.Tests;

/// <summary>Where things lie in the repository, found from the folder of the tests upwards.</summary>
static class Repository
{
    public static string Root
    {
        get
        {
            for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
                if (File.Exists(Path.Combine(folder.FullName, "Ringdown.slnx"))) return folder.FullName;
            throw new DirectoryNotFoundException("The tests do not run inside the repository.");
        }
    }

    /// <summary>The assembly with the drivers of samples: it lies beside the tests.</summary>
    public static string Samples => Path.Combine(AppContext.BaseDirectory, "Ringdown.Samples.dll");

    /// <summary>The file of one of the drivers in test/drivers/bin.</summary>
    public static string Driver(string name) => Path.Combine(Root, "test", "drivers", "bin", name + ".sys");

    /// <summary>The file of one of the drivers of samples that are in C.</summary>
    public static string Sample(string name) => Path.Combine(Root, "samples", "sys", name + ".sys");
}
