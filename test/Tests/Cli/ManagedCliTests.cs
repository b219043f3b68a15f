using System.Buffers.Binary;
using System.Text.Json.Nodes;
using Xunit;

namespace Ringdown.Tests;

/// <summary>Drivers in C# on the command line.</summary>
public sealed class ManagedCliTests
{
    static readonly string s_perf = Repository.Samples + ":Perf";

    [Fact]
    public void Run_takes_an_assembly_above_a_sys()
    {
        CommandLine run = CommandLine.Run("run", s_perf, "--with", Repository.Driver("echo"), "--json",
            @"open \\.\Echo", "write 4142", "read 10", "close", @"open \\.\Perf", "ioctl 0x222000 out=48");
        Assert.Equal((0, ""), (run.ExitCode, run.Errors));
        JsonArray requests = run.Json["requests"]!.AsArray();
        Assert.Equal("4142", (string?)requests[2]!["output"]);
        byte[] counters = Convert.FromHexString((string)requests[5]!["output"]!);
        // Reads, writes; create, cleanup and close.
        Assert.Equal((1, 1, 3), (BinaryPrimitives.ReadInt32LittleEndian(counters),
            BinaryPrimitives.ReadInt32LittleEndian(counters.AsSpan(4)),
            BinaryPrimitives.ReadInt32LittleEndian(counters.AsSpan(8))));
        Assert.Empty(run.Json["findings"]!.AsArray());
        Assert.True((bool)run.Json["unloaded"]!);
    }

    [Fact]
    public void Check_takes_one_and_finds_its_control_codes()
    {
        CommandLine run = CommandLine.Run("check", s_perf, "--with", Repository.Driver("echo"), "--json");
        Assert.Equal((0, ""), (run.ExitCode, run.Errors));
        Assert.Contains("0x222000", run.Output);
    }

    [Fact]
    public void Info_lists_what_it_calls()
    {
        JsonObject json = CommandLine.Run("info", s_perf, "--json").Json;
        Assert.Equal("C# driver", (string?)json["kind"]);
        Assert.Contains(json["calls"]!.AsArray(), c => (string?)c!["name"] == "IofCallDriver");
        Assert.DoesNotContain(json["calls"]!.AsArray(), c => (string?)c!["name"] == "get_Memory");
    }

    [Fact]
    public void An_assembly_without_the_driver_is_a_sentence()
    {
        CommandLine none = CommandLine.Run("run", Path.Combine(AppContext.BaseDirectory, "Ringdown.Machine.dll"));
        Assert.Equal((2, ""), (none.ExitCode, none.Output));
        Assert.Contains("has no driver: a public class that derives from NtDriver", none.Errors);
        CommandLine other = CommandLine.Run("run", Repository.Samples + ":Nothing");
        Assert.Equal(2, other.ExitCode);
        Assert.Contains("has no driver Nothing; it has ", other.Errors);
    }
}
