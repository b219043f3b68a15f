using System.Diagnostics;
using Xunit;

namespace Ringdown.Tests;

/// <summary>The packages, and what <c>dotnet new</c> makes of the template: as a user gets them.</summary>
public sealed class TemplateTests
{
    [Fact]
    public void A_new_driver_from_the_template_passes_its_own_test_against_the_packages()
    {
        DirectoryInfo folder = Directory.CreateTempSubdirectory("ringdown-template");
        try
        {
            string packages = Path.Combine(folder.FullName, "packages"), made = Path.Combine(folder.FullName, "Made");
            Dotnet(Repository.Root, "pack", "Ringdown.slnx", "-c", "Release", "--no-build", "--nologo", "-o", packages);
            string[] names = [.. Directory.GetFiles(packages, "*.nupkg").Select(Path.GetFileName).Order()!];
            Assert.Contains("Ringdown.Testing.0.1.0.nupkg", names);
            string hive = Path.Combine(folder.FullName, "hive");
            Dotnet(folder.FullName, "new", "install", Path.Combine(packages, "Ringdown.Templates.0.1.0.nupkg"),
                "--debug:custom-hive", hive);
            Dotnet(folder.FullName, "new", "ringdown-driver", "-n", "Made", "-o", made, "--debug:custom-hive", hive);
            // The packages of before are not to be found in the machine's own folder; all others are.
            string global = Environment.GetEnvironmentVariable("NUGET_PACKAGES") ?? Path.Combine(
                Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".nuget", "packages");
            Dotnet(made, "test", "-c", "Release", "--nologo", $"-p:RestoreAdditionalProjectSources={packages}",
                $"-p:RestorePackagesPath={Path.Combine(folder.FullName, "restored")}",
                $"-p:RestoreFallbackFolders={global}", "-p:NuGetAudit=false");
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    static void Dotnet(string folder, params string[] arguments)
    {
        var start = new ProcessStartInfo("dotnet", arguments)
        {
            WorkingDirectory = folder,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        // What the test's own host has set is not what a user has.
        string[] hosts = [.. start.Environment.Keys.Where(k =>
            k.StartsWith("MSBUILD", StringComparison.OrdinalIgnoreCase)
            || k.StartsWith("VSTEST", StringComparison.Ordinal))];
        foreach (string name in hosts) start.Environment.Remove(name);
        using Process process = Process.Start(start)!;
        Task<string> errors = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        Assert.True(process.ExitCode == 0, $"dotnet {string.Join(' ', arguments)}\n{output}\n{errors.Result}");
    }
}
