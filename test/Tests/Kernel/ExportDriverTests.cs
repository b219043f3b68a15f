using Ringdown.Kernel;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>exportlib.sys and two drivers that import from it: DllInitialize, DllUnload, and loading what a driver
/// needs.</summary>
public sealed class ExportDriverTests
{
    const string Services = @"\Registry\Machine\System\CurrentControlSet\Services\";

    static TestMachine WithFiles() => new(new KernelOptions
    {
        DriverFiles = path => path.Contains("export") ? File.ReadAllBytes(Repository.Driver(
            Path.GetFileNameWithoutExtension(path.Split('\\')[^1]))) : null,
    });

    [Fact]
    public void A_library_is_told_of_its_first_importer_and_of_the_last_ones_end()
    {
        using var m = new TestMachine();
        m.Load(Repository.Driver("exportlib"));
        Driver one = m.Load(Repository.Driver("exportuser1")), two = m.Load(Repository.Driver("exportuser2"));
        m.Nt.Loader.Unload(one);
        Assert.Equal(
            ["exportlib DriverEntry", $"DllInitialize {Services.TrimEnd('\\')}\\exportlib", "call 1", "call 2"],
            m.Nt.DebugPrint, StringComparer.OrdinalIgnoreCase);
        m.Nt.Loader.Unload(two);
        Assert.Equal("DllUnload after 2 calls", m.Nt.DebugPrint[^1]);
    }

    [Fact]
    public void A_library_that_refuses_fails_its_importer()
    {
        using var m = new TestMachine();
        m.Load(Repository.Driver("exportlib"), ("Refuse", RegistryValue.Dword(1)));
        Driver one = m.Load(Repository.Driver("exportuser1"));
        Assert.Equal((STATUS_DEVICE_BUSY, false), (one.EntryStatus, one.IsLoaded));
        Assert.Equal(2, m.Nt.DebugPrint.Count);
    }

    [Fact]
    public void What_a_driver_imports_from_is_loaded_with_it_and_goes_with_its_last_importer()
    {
        using TestMachine m = WithFiles();
        foreach (string name in (string[])["exportuser1", "exportuser2"]) m.Nt.Cm.CreateServiceKey(name, []);
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwLoadDriver(m.Text(Services + "exportuser1")));
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwLoadDriver(m.Text(Services + "exportuser2")));
        Assert.Equal(3, m.Nt.DebugPrint.Count);
        Assert.Equal("call 2", m.Nt.DebugPrint[^1]);
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwUnloadDriver(m.Text(Services + "exportuser1")));
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwUnloadDriver(m.Text(Services + "exportuser2")));
        Assert.Equal("DllUnload after 2 calls", m.Nt.DebugPrint[^1]);
        // The next importer gets a fresh one.
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwLoadDriver(m.Text(Services + "exportuser1")));
        Assert.Equal("call 1", m.Nt.DebugPrint[^1]);
    }
}
