using System.Text;
using FsCheck;
using FsCheck.Fluent;
using Ringdown.Kernel;
using Xunit;

namespace Ringdown.Tests;

public sealed class InfFileTests
{
    static InfFile Parse(string text) => InfFile.Parse("test.inf", Encoding.Latin1.GetBytes(text));

    static string[] Fields(string line) => [.. Parse("[a]\n" + line).Lines("a")[0].Fields];

    [Theory]
    [InlineData("one, two,three", new[] { "one", "two", "three" })]
    [InlineData("  with space  ,\ttab\t", new[] { "with space", "tab" })]
    [InlineData("\"a, b; c\",d ; e", new[] { "a, b; c", "d" })]
    [InlineData("\"say \"\"hello\"\"\"", new[] { "say \"hello\"" })]
    [InlineData("\" kept \"", new[] { " kept " })]
    [InlineData("a\" b \"c", new[] { "a b c" })]
    [InlineData("one, \\\r\n  two", new[] { "one", "two" })]
    [InlineData("one, \\ ; a comment\n two", new[] { "one", "two" })]
    [InlineData("a\\b,c\\d", new[] { @"a\b", @"c\d" })]
    [InlineData("a,,c,", new[] { "a", "", "c", "" })]
    [InlineData("100%%, %%x%%", new[] { "100%", "%x%" })]
    [InlineData("%12%\\x.sys", new[] { @"C:\Windows\System32\drivers\x.sys" })]
    [InlineData("%nothing%, 5%", new[] { "%nothing%", "5%" })]
    public void A_line_has_the_fields_that_SetupAPI_sees(string line, string[] fields) =>
        Assert.Equal(fields, Fields(line));

    [Fact]
    public void The_first_equals_sign_ends_the_key()
    {
        InfLine line = Parse("[a]\n\"key = 1\" = x = y, z").Lines("a")[0];
        Assert.Equal("key = 1", line.Key);
        Assert.Equal(["x = y", "z"], line.Fields);
        Assert.Null(Parse("[a]\nx, y = z").Lines("a")[0].Key);
    }

    [Fact]
    public void Sections_of_one_name_are_one_whatever_the_case_and_know_their_lines()
    {
        InfFile inf = Parse("; start\n[One]\na=1\n[two]\n[ONE]\n\nb=2 ; end");
        Assert.Equal(["1", "2"], inf.Lines("oNe").Select(l => l.Field(0)));
        Assert.Equal([3, 7], inf.Lines("one").Select(l => l.Number));
        Assert.True(inf.Has("Two") && !inf.Has("three"));
    }

    [Fact]
    public void Strings_come_from_the_section_that_is_nearest_to_the_systems_language()
    {
        InfFile inf = Parse("""
            [a]
            %Name% = "%Name% and %other%", %Left%
            [Strings]
            name = "neutral"
            other = "%Name%"
            left = "left"
            [Strings.0407]
            name = "deutsch"
            [Strings.0409]
            Name = "english"
            """);
        InfLine line = inf.Lines("a")[0];
        Assert.Equal("english", line.Key);
        // What is put in is not looked through again.
        Assert.Equal(["english and %Name%", "left"], line.Fields);
    }

    [Fact]
    public void A_file_says_by_its_first_bytes_how_it_is_encoded()
    {
        const string text = "[a]\nx = \"grün\"";
        foreach (Encoding encoding in (Encoding[])[Encoding.Unicode, Encoding.BigEndianUnicode, Encoding.UTF8])
            Assert.Equal("grün", InfFile.Parse("t.inf", [.. encoding.GetPreamble(), .. encoding.GetBytes(text)])
                .Line("a", "x")!.Field(0));
        Assert.Equal("grün", Parse(text).Line("a", "x")!.Field(0));
        Assert.Throws<InfException>(() => InfFile.Parse("t.inf", Encoding.Unicode.GetBytes(text)));
    }

    [Theory]
    [InlineData("x = 1", 1)]
    [InlineData("[a]\n[b", 2)]
    [InlineData("[a] x", 1)]
    [InlineData("[]", 1)]
    [InlineData("[a]\n\nx = \"open\n", 3)]
    public void A_mistake_is_told_with_file_and_line(string text, int line) =>
        Assert.StartsWith($"test.inf({line}): ", Assert.Throws<InfException>(() => Parse(text)).Message);

    [Fact]
    public void A_string_that_grows_without_bound_is_refused()
    {
        string x = new('x', 4000);
        string text = $"[a]\ny = {string.Concat(Enumerable.Repeat("%s%", 1000))}\n[Strings]\ns = {x}";
        Assert.Contains("4096", Assert.Throws<InfException>(() => Parse(text)).Message);
    }

    [Theory]
    [InlineData("NTamd64", true)]
    [InlineData("ntAMD64.6.1", true)]
    [InlineData("NTamd64.10.0", true)]
    [InlineData("NTamd64.10.0...16299", true)]
    [InlineData("NTamd64.10.0...19041", true)]
    [InlineData("NTamd64.10.0...22000", false)]
    [InlineData("NTamd64.6.0...99999", true)]
    [InlineData("NTamd64.6.0.1", true)]
    [InlineData("NTamd64.6.0.3", false)]
    [InlineData("NTamd64.11", false)]
    [InlineData("NTx86", false)]
    [InlineData("NTarm64.10.0", false)]
    [InlineData("NT", false)]
    [InlineData("", false)]
    public void A_decoration_says_for_which_system_models_are(string decoration, bool isOurs) =>
        Assert.Equal(isOurs, InfTarget.ScoreOf(decoration) is not null);

    [Fact]
    public void The_most_special_decoration_is_the_best()
    {
        string[] order = ["NTamd64", "NTamd64.6.1", "NTamd64.10.0", "NTamd64.10.0...14393", "NTamd64.10.0...16299"];
        Assert.Equal(order, order.Reverse().OrderBy(d => InfTarget.ScoreOf(d)));
    }

    /// <summary>Pieces of which INF files are made, in any order: whatever comes of it, the only exception is
    /// ours.</summary>
    [Fact]
    public void Whatever_the_text_only_mistakes_are_thrown()
    {
        string[] pieces =
        [
            "[Version]\n", "Signature=$Windows NT$\n", "[Manufacturer]\n", "%m%=Models,NTamd64", ",NTamd64.10.0...1",
            "\n[Models.NTamd64]\n", "dev = Inst, ", "Root\\x\n", "[Inst]\n", "[Inst.NT]\n", "AddReg=Add\n",
            "CopyFiles=@x.sys\n", "CopyFiles=Add\n", "[Add]\n", "HKR,", "HKLM,\"a\\b\",", "x,0x10001,5\n", ",1,ff,g\n",
            "[Inst.Services]\n", "AddService=svc,2,Svc\n", "[Svc]\n", "ServiceType=1\n", "StartType=3\n",
            "ErrorControl=1\n", "ServiceBinary=%12%\\x.sys\n", "[DestinationDirs]\nDefaultDestDir=12\n",
            "[SourceDisksFiles]\nx.sys=1\n", "[SourceDisksNames]\n1=d\n", "[Strings]\n", "m=\"n\"\n", "%", "\"", "\\",
            "\\\n", ";", "]", "=", ",", "Needs=Inst,Inst.NT\n", "Include=o.inf\n", "LogConfig=Add\n",
            "IOConfig=1@0-ff%fffe\n", "IRQConfig=S:5,6\n", "[Inst.HW]\n", "[Inst.Interfaces]\n",
            "AddInterface={b2a5ac3e-0000-0000-0000-000000000001},,Add\n", "[ClassInstall32]\n", "[DefaultInstall]\n",
            "DriverVer=1/2/2003,1.2.3.4\n", "ClassGuid={1}\n", "[Inst.Filters]\nAddFilter=f,,Add\n", "\0", "\uFEFF",
        ];
        var text = Gen.ListOf(Gen.OneOf(Gen.Elements(pieces),
            ArbMap.Default.ArbFor<string>().Generator.Select(s => s ?? ""))).Select(string.Concat);
        Prop.ForAll(text.ToArbitrary(), source =>
        {
            try
            {
                DriverPackage.Open("any.inf", Encoding.Latin1.GetBytes(source), new NoFiles());
            }
            catch (InfException)
            {
                // What it must be.
            }
        }).Check(GuestText.Properties(2000));
    }

    sealed class NoFiles : IPackageFiles
    {
        public byte[]? Read(string path) => null;

        public DriverImage? FindDriver(string path) => null;
    }
}
