using System.Text.Json.Nodes;
using Xunit;

namespace Ringdown.Tests;

public sealed class PackageCliTests
{
    static string Sample(string name) => Path.Combine(Repository.Root, "samples", name);

    [Fact]
    public void A_package_with_DefaultInstall_is_run_as_its_driver_would_be()
    {
        CommandLine run = CommandLine.Run("run", Sample("queue.inf"), "--json", "--registry", @"Parameters\Size=5",
            @"open \\.\Queue", "write 4869", "close");
        Assert.Equal((0, ""), (run.ExitCode, run.Errors));
        Assert.Equal(("Queue", "queue.inf"), ((string?)run.Json["driver"], (string?)run.Json["package"]!["name"]));
        Assert.Equal("STATUS_SUCCESS", (string?)run.Json["driverEntry"]!["status"]);
        Assert.Equal(3, run.Json["requests"]!.AsArray().Count);
        Assert.True((bool)run.Json["unloaded"]!);
    }

    [Fact]
    public void A_package_is_checked_as_its_driver_would_be()
    {
        CommandLine check = CommandLine.Run("check", Sample("queue.inf"), "--json");
        Assert.Equal((0, ""), (check.ExitCode, check.Errors));
        Assert.Contains(check.Json["links"]!.AsArray(), l => (string?)l!["name"] == @"\??\Queue");
    }

    [Fact]
    public void A_package_with_models_gets_a_root_enumerated_device()
    {
        string path = Path.Combine(Repository.Root, "test", "drivers", "wdm.inf");
        CommandLine run = CommandLine.Run("run", path, "--json");
        Assert.Equal((0, ""), (run.ExitCode, run.Errors));
        Assert.StartsWith(@"\??\ROOT#RingdownWdm#0000#", (string?)run.Json["links"]![0]!["name"]);
        Assert.True((bool)run.Json["unloaded"]!);
        CommandLine check = CommandLine.Run("check", path);
        Assert.Equal((0, ""), (check.ExitCode, check.Errors));
        Assert.Contains("clean after", check.Output);
        CommandLine other = CommandLine.Run("run", path, "--device", @"Root\Other");
        Assert.Equal(2, other.ExitCode);
        Assert.Contains("no device for it", other.Errors);
    }

    [Theory]
    [InlineData("serial", @"\\Device\\Serial0", "0x1B006C"), InlineData("atadisk", @"\\Device\\AtaDisk0", "0x70000")]
    [InlineData("mapmem", "PCI#VEN_1234", "0x22E000"), InlineData("edu", "PCI#VEN_1234", "0x22600A")]
    [InlineData("virtualbus", "ROOT#VirtualBus", "0x222000")]
    [InlineData("function", "ROOT#Mailbox", null)]
    public void Packages_of_samples_are_clean_on_a_small_computer(string name, string device, string? code)
    {
        CommandLine check = CommandLine.Run("check", Sample($"{name}.inf"), "--board", Sample("pc.json"), "--json");
        Assert.True(check.ExitCode == 0, check.Output + check.Errors);
        Assert.Contains(device, check.Output);
        if (code is not null) Assert.Contains(code, check.Output);
        JsonNode phase = check.Json["phases"]!.AsArray().Single(p => (string?)p!["name"] == "plug and play")!;
        Assert.True((int)phase["requests"]! >= 10);
    }

    [Fact]
    public void A_package_asks_for_messages()
    {
        CommandLine run = CommandLine.Run("run", Sample("edu.inf"), "--board", Sample("pc.json"), "--json");
        Assert.Equal((0, ""), (run.ExitCode, run.Errors));
        Assert.Contains("message", (string?)run.Json["drives"]![0]);
        var link = (string)run.Json["links"]![0]!["name"]!;
        run = CommandLine.Run("run", Sample("edu.inf"), "--board", Sample("pc.json"), "--json",
            @"open \\?\" + link[4..]);
        Assert.Equal("STATUS_SUCCESS", (string?)run.Json["requests"]![0]!["status"]);
    }

    [Fact]
    public void The_filters_of_a_package_stand_in_the_stack()
    {
        CommandLine run = CommandLine.Run("run", Sample("atadisk.inf"), "--board", Sample("pc.json"), "--json",
            @"open \\.\AtaDisk0", "read 512", "ioctl 0x70020 out=128", "close");
        Assert.Equal((0, ""), (run.ExitCode, run.Errors));
        // IOCTL_DISK_PERFORMANCE, which the disk's own driver does not know.
        Assert.Equal("STATUS_SUCCESS", (string?)run.Json["requests"]![2]!["status"]);
    }

    [Fact]
    public void Info_tells_what_a_package_brings()
    {
        CommandLine info = CommandLine.Run("info", Sample("queue.inf"), "--json");
        Assert.Equal((0, ""), (info.ExitCode, info.Errors));
        Assert.Equal(("driver package", "Ringdown", "1.0.0.0"), ((string?)info.Json["kind"],
            (string?)info.Json["provider"], (string?)info.Json["version"]));
        Assert.Equal(@"C:\Windows\System32\drivers\queue.sys", (string?)info.Json["services"]![0]!["binary"]);
        Assert.Equal(@"sys\queue.sys", (string?)info.Json["files"]![0]!["source"]);
        Assert.Contains("driver package of Ringdown", CommandLine.Run("info", Sample("queue.inf")).Output);
    }

    [Fact]
    public void A_package_that_cannot_be_used_is_told_with_file_and_line()
    {
        string folder = Directory.CreateTempSubdirectory().FullName;
        string path = Path.Combine(folder, "bad.inf");
        try
        {
            File.WriteAllText(path, "[Version]\nSignature = \"$Windows NT$\"\n[DefaultInstall]\nCopyFiles = Lost\n");
            CommandLine run = CommandLine.Run("run", path);
            Assert.Equal((2, "bad.inf(4): There is no section [Lost]."), (run.ExitCode, run.Errors.Trim()));
            string text = File.ReadAllText(Sample("queue.inf"));
            File.WriteAllText(path, text);
            run = CommandLine.Run("run", path);
            Assert.Equal(2, run.ExitCode);
            Assert.StartsWith(@"bad.inf: sys\queue.sys of the service Queue is not beside it", run.Errors);
            // The other spelling of a file's name, as on a disk of Windows.
            Directory.CreateDirectory(Path.Combine(folder, "SYS"));
            File.Copy(Path.Combine(Repository.Root, "samples", "sys", "queue.sys"),
                Path.Combine(folder, "SYS", "Queue.SYS"));
            Assert.Equal(0, CommandLine.Run("run", path).ExitCode);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }
}
