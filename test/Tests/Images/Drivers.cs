using Xunit;

namespace Ringdown.Tests;

/// <summary>The built guest drivers of test/drivers/bin.</summary>
static class Drivers
{
    public static byte[] Read(string name)
    {
        DirectoryInfo? folder = new(AppContext.BaseDirectory);
        while (folder is not null && !File.Exists(Path.Combine(folder.FullName, "Ringdown.slnx"))) folder = folder.Parent;
        Assert.NotNull(folder);
        return File.ReadAllBytes(Path.Combine(folder.FullName, "test", "drivers", "bin", name));
    }
}
