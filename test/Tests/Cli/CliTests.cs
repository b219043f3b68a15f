using System.Text.Json.Nodes;
using Xunit;

namespace Ringdown.Tests;

public sealed class CliTests
{
    static string[] Texts(JsonNode? array) => [.. array!.AsArray().Select(n => n!.GetValue<string>())];

    [Fact]
    public void Run_prints_one_JSON_document_with_everything_that_happened()
    {
        CommandLine run = CommandLine.Run("run", Repository.Driver("echo"), "--json",
            @"open \\.\Echo", "write 48656c6c6f", "read 64", "ioctl 0x222004 in=cafe out=64",
            "ioctl 0x223ffc", "close");
        Assert.Equal((0, ""), (run.ExitCode, run.Errors));
        JsonObject json = run.Json;
        Assert.Equal("STATUS_SUCCESS", (string?)json["driverEntry"]!["status"]);
        Assert.Equal([@"\Device\Echo", @"\Device\EchoDirect", @"\Device\EchoNeither"],
            json["devices"]!.AsArray().Select(d => (string?)d!["name"]));
        Assert.Equal(@"\??\Echo", (string?)json["links"]![0]!["name"]);
        Assert.Equal(@"\Device\Echo", (string?)json["links"]![0]!["target"]);
        JsonArray requests = json["requests"]!.AsArray();
        Assert.Equal(6, requests.Count);
        Assert.Equal(5, (int)requests[1]!["information"]!);
        Assert.Equal("48656c6c6f", (string?)requests[2]!["output"]);
        Assert.Equal("cafe", (string?)requests[3]!["output"]);
        Assert.Equal(("STATUS_INVALID_DEVICE_REQUEST", 1),
            ((string)requests[4]!["status"]!, (int)requests[4]!["win32"]!));
        Assert.True((bool)json["unloaded"]!);
        Assert.Null(json["bugCheck"]);
        Assert.Empty(json["findings"]!.AsArray());
        Assert.Empty(json["missingImports"]!.AsArray());
        Assert.Empty(json["debugPrint"]!.AsArray());
    }

    [Fact]
    public void A_bug_check_is_exit_code_1_and_stands_in_the_document()
    {
        CommandLine run = CommandLine.Run("run", Repository.Driver("misbehave"), "--json",
            @"open \\.\Misbehave", "ioctl 0x222000", "close");
        Assert.Equal(1, run.ExitCode);
        JsonNode bugCheck = run.Json["bugCheck"]!;
        Assert.Equal(("0x3B", "SYSTEM_SERVICE_EXCEPTION"), ((string)bugCheck["code"]!, (string)bugCheck["name"]!));
        Assert.Equal("misbehave", (string?)bugCheck["driver"]);
        Assert.StartsWith("misbehave!NullWrite", (string?)bugCheck["stack"]![0]!["function"]);
        Assert.Single(run.Json["requests"]!.AsArray());
        Assert.Equal("BugCheck", (string?)run.Json["findings"]![0]!["rule"]);
    }

    [Fact]
    public void A_finding_without_a_crash_is_exit_code_1_too()
    {
        CommandLine run = CommandLine.Run("run", Repository.Driver("misbehave"),
            @"open \\.\Misbehave", "ioctl 0x222088");
        Assert.Equal(1, run.ExitCode);
        Assert.Contains("returned STATUS_UNSUCCESSFUL", run.Output);
    }

    [Fact]
    public void Pool_of_drivers_is_shown_by_tag_where_it_is_asked_for()
    {
        string[] script =
            ["run", Repository.Driver("executive"), @"open \\.\Executive", "ioctl 0x22201c out=4", "close"];
        CommandLine text = CommandLine.Run([.. script, "--pool"]);
        CommandLine json = CommandLine.Run([.. script, "--pool", "--json"]);
        Assert.Matches(@"Ring +Nonp +10 +10 +0 +0 +64", text.Output);
        JsonNode tag = Assert.Single(json.Json["pool"]!.AsArray())!;
        Assert.Equal(("Ring", 10, 64), ((string)tag["tag"]!, (int)tag["nonPaged"]!["frees"]!,
            (int)tag["nonPaged"]!["peakBytes"]!));
        Assert.Null(CommandLine.Run([.. script, "--json"]).Json["pool"]);
    }

    [Fact]
    public void Missing_imports_are_listed()
    {
        CommandLine run = CommandLine.Run("run", Repository.Driver("missing"), "--json");
        Assert.Equal(0, run.ExitCode);
        Assert.Equal(["ntoskrnl.exe!#4711", "ntoskrnl.exe!RingdownNoSuchFunction"],
            Texts(run.Json["missingImports"]).Order(StringComparer.Ordinal));
    }

    [Theory]
    [InlineData("run", "no-such-file.sys")]
    [InlineData("check", "no-such-file.sys")]
    [InlineData("info", "no-such-file.sys")]
    public void A_file_that_is_not_there_is_a_sentence_and_exit_code_2(string verb, string file)
    {
        CommandLine run = CommandLine.Run(verb, file);
        Assert.Equal((2, ""), (run.ExitCode, run.Output));
        IsOneSentence(run.Errors);
        Assert.Contains(file, run.Errors);
    }

    [Fact]
    public void A_file_that_is_no_driver_is_a_sentence_and_exit_code_2()
    {
        string text = Path.Combine(Path.GetTempPath(), $"ringdown-{Guid.NewGuid():N}.sys");
        try
        {
            File.WriteAllText(text, "This is no driver.");
            Refuses(text);
            // IMAGE_FILE_MACHINE_I386 in the file header.
            byte[] image = File.ReadAllBytes(Repository.Driver("quiet"));
            BitConverter.TryWriteBytes(image.AsSpan(BitConverter.ToInt32(image, 0x3C) + 4), (ushort)0x14C);
            File.WriteAllBytes(text, image);
            Refuses(text);
        }
        finally
        {
            File.Delete(text);
        }

        static void Refuses(string path)
        {
            CommandLine run = CommandLine.Run("check", path, "--json");
            Assert.Equal((2, ""), (run.ExitCode, run.Output));
            IsOneSentence(run.Errors);
        }
    }

    [Theory]
    [InlineData("jump")]
    [InlineData("read many")]
    [InlineData("write 4x")]
    [InlineData("ioctl")]
    [InlineData("ioctl 0x222004 sideways=3")]
    [InlineData("read 64")]     // nothing is open
    public void A_request_that_cannot_be_understood_is_a_sentence_and_exit_code_2(string request)
    {
        CommandLine run = CommandLine.Run("run", Repository.Driver("echo"), "--json", request);
        Assert.Equal((2, ""), (run.ExitCode, run.Output));
        IsOneSentence(run.Errors);
    }

    [Fact]
    public void A_registry_value_without_a_name_or_an_unknown_option_is_exit_code_2()
    {
        CommandLine unnamed = CommandLine.Run("run", Repository.Driver("echo"), "--registry", "=3");
        Assert.Equal(2, unnamed.ExitCode);
        IsOneSentence(unnamed.Errors);
        Assert.Equal(2, CommandLine.Run("run", Repository.Driver("echo"), "--no-such-option").ExitCode);
    }

    static void IsOneSentence(string errors)
    {
        string line = Assert.Single(errors.TrimEnd().Split('\n'));
        Assert.True(char.IsUpper(line[0]) || line[0] == '"', line);
        Assert.DoesNotContain("Exception", line);
    }

    [Fact]
    public void Registry_values_reach_the_driver()
    {
        CommandLine run = CommandLine.Run("run", Repository.Driver("selftest"), "--json", "--registry", "Number=51966",
            @"open \\.\SelfTest", "ioctl 0x222020 out=16");
        Assert.Equal(0, run.ExitCode);
        Assert.EndsWith("feca000000000000", (string?)run.Json["requests"]![1]!["output"]);
    }

    [Fact]
    public void Drivers_given_by_with_are_loaded_first()
    {
        CommandLine alone = CommandLine.Run("run", Repository.Driver("filter"), "--json");
        Assert.Equal("STATUS_OBJECT_NAME_NOT_FOUND", (string?)alone.Json["driverEntry"]!["status"]);
        CommandLine above = CommandLine.Run("run", Repository.Driver("filter"), "--json",
            "--with", Repository.Driver("echo"), @"open \\.\Echo", "write 01");
        Assert.Equal("STATUS_SUCCESS", (string?)above.Json["driverEntry"]!["status"]);
        Assert.Equal(1, (int)above.Json["requests"]![1]!["information"]!);
    }

    [Fact]
    public void Timeout_is_the_instructions_that_a_request_may_take()
    {
        CommandLine run = CommandLine.Run("run", Repository.Driver("misbehave"), "--json", "--timeout", "200000",
            @"open \\.\Misbehave", "ioctl 0x222010");
        Assert.Equal(1, run.ExitCode);
        Assert.Equal("EndlessLoop", (string?)run.Json["findings"]![0]!["rule"]);
        Assert.Null(run.Json["bugCheck"]);
    }

    [Fact]
    public void A_driver_stays_loaded_with_no_unload()
    {
        CommandLine run = CommandLine.Run("run", Repository.Driver("misbehave"), "--json", "--no-unload",
            @"open \\.\Misbehave", "ioctl 0x222068");
        Assert.Equal(0, run.ExitCode);
        Assert.Null(run.Json["unloaded"]);
    }

    [Fact]
    public void Check_says_clean_with_exit_code_0_and_findings_with_exit_code_1()
    {
        CommandLine quiet = CommandLine.Run("check", Repository.Driver("quiet"), "--json");
        Assert.Equal(0, quiet.ExitCode);
        Assert.Equal(["0x222000"], Texts(quiet.Json["controlCodes"]));
        Assert.Empty(quiet.Json["findings"]!.AsArray());
        CommandLine missing = CommandLine.Run("check", Repository.Driver("missing"));
        Assert.Equal(1, missing.ExitCode);
        Assert.Contains("RingdownNoSuchFunction was called", missing.Output);
    }

    [Fact]
    public void Info_tells_how_far_each_import_is_supported()
    {
        CommandLine info = CommandLine.Run("info", Repository.Driver("missing"), "--json");
        Assert.Equal(0, info.ExitCode);
        var imports = info.Json["imports"]!.AsArray()
            .ToDictionary(i => (string)i!["name"]!, i => (string)i!["support"]!);
        Assert.Equal("missing", imports["RingdownNoSuchFunction"]);
        Assert.Equal("supported", imports["IoCreateDevice"]);
    }

    [Fact]
    public void Exports_lists_each_export_once()
    {
        CommandLine exports = CommandLine.Run("exports");
        Assert.Equal(0, exports.ExitCode);
        string[] names = [.. exports.Output.TrimEnd().Split('\n')
            .Select(l => l.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1])];
        Assert.Contains("IofCompleteRequest", names);
        Assert.Equal(names.Length, names.Distinct().Count());
        Assert.Equal(Kernel.Exports.All.Length + Kernel.Exports.Data.Length, names.Length);
    }
}
