using Xunit;

namespace Ringdown.Tests;

/// <summary>The built guest drivers of test/drivers/bin.</summary>
static class Drivers
{
    /// <summary>Where the sources of the drivers are.</summary>
    public static string Folder
    {
        get
        {
            DirectoryInfo? folder = new(AppContext.BaseDirectory);
            while (folder is not null && !File.Exists(Path.Combine(folder.FullName, "Ringdown.slnx")))
                folder = folder.Parent;
            Assert.NotNull(folder);
            return Path.Combine(folder.FullName, "test", "drivers");
        }
    }

    public static byte[] Read(string name) => File.ReadAllBytes(Path.Combine(Folder, "bin", name));
}
