using Ringdown.Check;
using Ringdown.Kernel;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>The smaller drivers: missing.sys, selftest.sys, and machines beside each other.</summary>
public sealed class DriverTests
{
    [Fact]
    public void Missing_imports_are_listed_and_harmless_until_they_are_called()
    {
        using var m = new TestMachine();
        Driver missing = m.Load(Repository.Driver("missing"));
        Assert.Equal(STATUS_SUCCESS, missing.EntryStatus);
        Assert.Equal([new("ntoskrnl.exe", "RingdownNoSuchFunction"), new("ntoskrnl.exe", "#4711")],
            missing.MissingImports.OrderByDescending(i => i.Name));
        Assert.Equal(STATUS_SUCCESS, m.Open(@"\\.\Missing").DeviceIoControl(0x222008, [], 0).Status);
        Assert.True(m.Nt.Loader.Unload(missing));
    }

    [Theory, InlineData(0x222000, "RingdownNoSuchFunction"), InlineData(0x222004, "#4711")]
    public void A_missing_import_that_is_called_stops_the_machine_and_names_its_caller(uint code, string import)
    {
        using var m = new TestMachine();
        m.Load(Repository.Driver("missing"));
        UserFile file = m.Open(@"\\.\Missing");
        MissingExport stop = Assert.Throws<MissingExport>(() => file.DeviceIoControl(code, [], 0));
        Assert.Equal(("ntoskrnl.exe", import), (stop.Module, stop.Name));
        Assert.Equal("missing", stop.Report!.Driver);
        Assert.Contains(stop.Report.Stack, f => f.Text.StartsWith("missing!DeviceControl", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(0, 21), InlineData(1, 5), InlineData(2, 66), InlineData(3, 8)]
    [InlineData(4, 9), InlineData(5, 9), InlineData(6, 7), InlineData(7, 5)]
    public void The_exports_do_what_a_driver_expects_of_them(uint area, uint checks)
    {
        using var m = new TestMachine();
        m.Load(Repository.Driver("selftest"));
        UserRequest done = m.Open(@"\\.\SelfTest").DeviceIoControl(0x222000 + 4 * area, [], 16);
        Assert.Equal(STATUS_SUCCESS, done.Status);
        uint line = BitConverter.ToUInt32(done.Output);
        Assert.True(line == 0, $"selftest.c, line {line}: found 0x{BitConverter.ToUInt64(done.Output, 8):x}");
        Assert.Equal(checks, BitConverter.ToUInt32(done.Output, 4));
        Assert.Empty(m.Findings);
    }

    [Fact]
    public void Registry_values_that_a_driver_is_loaded_with_are_in_its_service_key()
    {
        using var m = new TestMachine();
        Driver driver = m.Load(Repository.Driver("selftest"), ("Number", RegistryValue.Dword(0xCAFE)));
        UserRequest done = m.Open(@"\\.\SelfTest").DeviceIoControl(0x222020, [], 16);
        Assert.Equal((0U, 0xCAFEUL), (BitConverter.ToUInt32(done.Output), BitConverter.ToUInt64(done.Output, 8)));
        Assert.True(m.Nt.Loader.Unload(driver));
        Assert.Empty(m.Nt.LeftBy(driver).Pool);
        Assert.Empty(m.Findings);
    }

    [Theory, InlineData("quiet"), InlineData("echo"), InlineData("pending"), InlineData("selftest")]
    public void A_driver_without_a_mistake_is_checked_without_a_finding(string name)
    {
        var run = new CheckRun(DriverFile.Open(Repository.Driver(name)), new SessionOptions());
        run.Run();
        Assert.Empty(run.Findings.All);
        Assert.Equal(STATUS_SUCCESS, run.EntryStatus);
        Assert.True(run.Phases.Sum(p => p.Requests) > 20);
    }

    [Fact]
    public void A_machine_that_crashed_does_not_disturb_another()
    {
        using TestMachine crashing = new(), running = new();
        crashing.Load(Repository.Driver("misbehave"));
        running.Load(Repository.Driver("echo"));
        UserFile echo = running.Open(@"\\.\Echo"), bad = crashing.Open(@"\\.\Misbehave");
        echo.Write("before"u8);
        Assert.Throws<BugCheck>(() => bad.DeviceIoControl(0x222000, [], 0));
        Assert.Equal("before"u8.ToArray(), echo.Read(64).Output);
        echo.Write("after"u8);
        Assert.Equal("after"u8.ToArray(), echo.Read(64).Output);
        Assert.Empty(running.Findings);
        crashing.Dispose();
        Assert.Equal("after"u8.ToArray(), echo.Read(64).Output);
    }
}
