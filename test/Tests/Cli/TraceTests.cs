using System.Text.Json.Nodes;
using Xunit;

namespace Ringdown.Tests;

/// <summary>What run --trace and trace show a user.</summary>
public sealed class TraceTests
{
    static readonly string[] s_filtered = [Repository.Driver("filter"), "--with", Repository.Driver("echo"),
        @"open \\.\Echo", "ioctl 0x222004 in=cafe01 out=64", "close"];

    /// <summary>README shows what is printed: its blocks are the expectation.</summary>
    static string Shown(string start)
    {
        string readme = File.ReadAllText(Path.Combine(Repository.Root, "README.md")).ReplaceLineEndings("\n");
        int from = readme.IndexOf("```\n" + start, StringComparison.Ordinal) + 4;
        return readme[from..readme.IndexOf("```", from, StringComparison.Ordinal)];
    }

    [Fact]
    public void A_request_is_a_picture_of_who_had_it_and_for_how_long()
    {
        CommandLine run = CommandLine.Run(["run", .. s_filtered, "--trace"]);
        Assert.Equal((0, ""), (run.ExitCode, run.Errors));
        string picture = Shown("ioctl 0x222004 in=cafe01 out=64\n");
        Assert.Equal(5, picture.TrimEnd().Split('\n').Length);
        Assert.Contains("├", picture);
        Assert.Contains(picture, run.Output);
        Assert.DoesNotContain("IofCallDriver(", run.Output);
        Assert.All(run.Output.Split('\n'), line => Assert.InRange(line.Length, 0, 120));
    }

    [Fact]
    public void A_request_that_pends_shows_the_DPC_that_completes_it()
    {
        CommandLine run = CommandLine.Run(
            "run", Repository.Driver("pending"), "--trace", @"open \\.\Pending", "read 16", "close");
        Assert.Contains(Shown(" #2 IRP_MJ_READ"), run.Output);
        Assert.DoesNotMatch("does not return|has not returned", run.Output);
    }

    [Fact]
    public void The_document_has_what_the_picture_shows_and_calls_are_shown_where_they_are_asked_for()
    {
        JsonObject json = CommandLine.Run(["run", .. s_filtered, "--trace", "--calls", "--json"]).Json;
        JsonNode life = json["irps"]!.AsArray().Single(i => ((string)i!["request"]!).Contains("0x222004"))!;
        Assert.Equal("ioctl 0x222004 in=cafe01 out=64", (string?)life["during"]);
        Assert.Equal(["filter!Dispatch", "echo!DeviceControl", "filter!Completed"],
            life["stays"]!.AsArray().Select(s => (string?)s!["routine"]));
        Assert.Equal(["filter", "echo", "filter"], life["stays"]!.AsArray().Select(s => (string?)s!["driver"]));
        Assert.Equal(85, (long)life["end"]! - (long)life["begin"]!);
        Assert.Contains(json["calls"]!.AsArray(), c => ((string)c!).Contains("IofCallDriver("));
        JsonObject neither = CommandLine.Run(["run", .. s_filtered, "--json"]).Json;
        Assert.Null(neither["irps"]);
        Assert.Null(neither["calls"]);
    }

    [Fact]
    public void A_routine_that_crashes_has_not_returned()
    {
        CommandLine run = CommandLine.Run(
            "run", Repository.Driver("misbehave"), "--trace", @"open \\.\Misbehave", "ioctl 0x222000");
        Assert.Equal(1, run.ExitCode);
        Assert.Matches(@"0x222000 to \\Device\\Misbehave, still in flight\n.*misbehave!DeviceControl.*has not returned",
            run.Output);
    }

    [Fact]
    public void Trace_writes_the_timeline_of_the_same_run()
    {
        string file = Path.Combine(Path.GetTempPath(), Path.GetRandomFileName());
        try
        {
            CommandLine trace = CommandLine.Run(["trace", .. s_filtered, "--json", "-o", file]);
            Assert.Equal((0, ""), (trace.ExitCode, trace.Errors));
            var t = new TimelineCheck(File.ReadAllBytes(file));
            Assert.Contains("filter!Completed", t.SlicesOn("user"));
            Assert.Equal(file, (string?)trace.Json["timeline"]!["file"]);
            JsonObject run = CommandLine.Run(["run", .. s_filtered, "--json"]).Json, traced = trace.Json;
            traced.Remove("timeline");
            Assert.Equal(run.ToJsonString(), traced.ToJsonString());
            CommandLine crash = CommandLine.Run("trace", Repository.Driver("misbehave"), "-o", file,
                @"open \\.\Misbehave", "ioctl 0x222000");
            Assert.Equal(1, crash.ExitCode);
            _ = new TimelineCheck(File.ReadAllBytes(file));
        }
        finally
        {
            File.Delete(file);
        }
    }

    [Theory, InlineData("/no/such/folder/file.json"), InlineData("")]
    public void A_file_that_cannot_be_written_is_a_sentence_and_exit_code_2(string file)
    {
        CommandLine run = CommandLine.Run("trace", Repository.Driver("echo"), "-o", file);
        Assert.Equal((2, ""), (run.ExitCode, run.Output));
        Assert.Single(run.Errors.TrimEnd().Split('\n'));
        Assert.DoesNotContain("Exception", run.Errors);
    }

    [Fact]
    public void Trace_without_a_file_is_unusable() =>
        Assert.Equal(2, CommandLine.Run("trace", Repository.Driver("echo")).ExitCode);
}
