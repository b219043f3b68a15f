using FsCheck;
using FsCheck.Fluent;
using Ringdown.Kernel;
using Xunit;

namespace Ringdown.Tests;

public sealed class RegistryDocumentTests
{
    const string Sample = """
        Windows Registry Editor Version 5.00

        ; a comment
        [HKEY_LOCAL_MACHINE\SOFTWARE\Sample]
        @="default"
        "Quote\"d"="a \\ b"
        "Number"=dword:0000001f
        "Bytes"=hex:01,02,\
          03
        "Expand"=hex(2):41,00,00,00
        "Big"=hex(b):01,00,00,00,00,00,00,00
        "Gone"=-

        [-HKEY_LOCAL_MACHINE\SOFTWARE\Old]
        """;

    [Fact]
    public void A_file_is_read_as_the_registry_editor_reads_it()
    {
        RegistryDocument document = RegistryDocument.Parse(Sample);
        Assert.Equal(2, document.Sections.Count);
        RegistrySection first = document.Sections[0];
        Assert.Equal(@"\Registry\Machine\SOFTWARE\Sample", first.Path);
        Assert.Equal(["", "Quote\"d", "Number", "Bytes", "Expand", "Big", "Gone"], first.Values.Select(v => v.Name));
        RegistryValue?[] values = [.. first.Values.Select(v => v.Value)];
        Assert.Equal((@"default", @"a \ b"), (values[0]!.Text, values[1]!.Text));
        Assert.Equal([0x1F, 0, 0, 0], values[2]!.Data);
        Assert.Equal([1, 2, 3], values[3]!.Data);
        Assert.Equal((2u, "A"), (values[4]!.Type, values[4]!.Text));
        Assert.Equal((11u, 8), (values[5]!.Type, values[5]!.Data.Length));
        Assert.Null(values[6]);
        Assert.True(document.Sections[1].IsDeleted);
    }

    [Theory]
    [InlineData("hello", "line 1")]
    [InlineData("[HKEY_LOCAL_MACHINE\\x", "line 2")]
    [InlineData("[HKEY_NOWHERE\\x]", "line 2")]
    [InlineData("\"a\"=\"b\"", "line 2")]
    [InlineData("[HKLM\\x]\n\"a\"=word:1", "line 3")]
    [InlineData("[HKLM\\x]\n\"a\"=dword:xyz", "line 3")]
    [InlineData("[HKLM\\x]\n\"a\"=hex:1,gg", "line 3")]
    [InlineData("[HKLM\\x]\n\"a\"=\"open", "line 3")]
    [InlineData("[HKLM\\x]\n\"a\"", "line 3")]
    public void What_is_no_reg_file_is_refused_with_its_line(string text, string place)
    {
        if (place != "line 1") text = "Windows Registry Editor Version 5.00\n" + text;
        Assert.Contains(place, Assert.Throws<RegistryFormatException>(() => RegistryDocument.Parse(text)).Message);
    }

    [Fact]
    public void What_is_written_is_read_back_the_same()
    {
        var value = Gen.OneOf(
            ArbMap.Default.ArbFor<uint>().Generator.Select(RegistryValue.Dword),
            ArbMap.Default.ArbFor<ulong>().Generator.Select(RegistryValue.Qword),
            ArbMap.Default.ArbFor<byte[]>().Generator.Select(b => RegistryValue.Binary(b)),
            ArbMap.Default.ArbFor<string>().Generator.Select(s => RegistryValue.String(s ?? "")),
            ArbMap.Default.ArbFor<byte[]>().Generator.Select(b => new RegistryValue(7, b)));
        var names = Gen.Elements("a", "b \"c\"", @"d\e", "", "ü");
        var values = Gen.ListOf(names.SelectMany(n => value.Select(v => (n, (RegistryValue?)v))));
        Prop.ForAll(values.ToArbitrary(), list =>
        {
            var section = new RegistrySection(@"\Registry\Machine\SOFTWARE\X", false, [.. list]);
            var document = new RegistryDocument([section]);
            RegistrySection back = RegistryDocument.Parse(document.ToString()).Sections[0];
            Assert.Equal(@"\Registry\Machine\SOFTWARE\X", back.Path);
            Assert.Equal(list.Select(v => (v.Item1, v.Item2!.Type, Convert.ToHexString(v.Item2.Data))),
                back.Values.Select(v => (v.Name, v.Value!.Type, Convert.ToHexString(v.Value.Data))));
        }).Check(GuestText.Properties(200));
    }

    [Fact]
    public void A_machine_boots_with_a_file_and_saves_what_it_has()
    {
        using var nt = new NtKernel(new KernelOptions { Registry = [RegistryDocument.Parse(Sample)] });
        using var plain = new NtKernel(new KernelOptions());
        string saved = nt.SaveRegistry().ToString();
        Assert.Contains("\"Number\"=dword:0000001f", saved);
        Assert.DoesNotContain("HARDWARE", saved);
        Assert.DoesNotContain("Sample", plain.SaveRegistry().ToString());
        using var again = new NtKernel(new KernelOptions { Registry = [RegistryDocument.Parse(saved)] });
        Assert.Equal(saved, again.SaveRegistry().ToString());
        again.ApplyRegistry(RegistryDocument.Parse(
            "Windows Registry Editor Version 5.00\n[-HKEY_LOCAL_MACHINE\\SOFTWARE\\Sample]\n"));
        Assert.Equal(plain.SaveRegistry().ToString(), again.SaveRegistry().ToString());
    }

    [Fact]
    public void The_command_line_takes_a_file_and_writes_one()
    {
        string folder = Directory.CreateTempSubdirectory("reg").FullName;
        try
        {
            string given = Path.Combine(folder, "in.reg"), written = Path.Combine(folder, "out.reg");
            File.WriteAllText(given, Sample);
            CommandLine run = CommandLine.Run(
                "run", Repository.Driver("echo"), "--json", "--reg", given, "--save-reg", written);
            Assert.Equal((0, ""), (run.ExitCode, run.Errors));
            string saved = File.ReadAllText(written);
            Assert.Contains("\"Number\"=dword:0000001f", saved);
            Assert.Contains(@"[HKEY_LOCAL_MACHINE\SYSTEM\ControlSet001\Services\echo]", saved);
            File.WriteAllText(given, "nothing");
            run = CommandLine.Run("check", Repository.Driver("echo"), "--reg", given);
            Assert.Equal(2, run.ExitCode);
            Assert.Contains("line 1", run.Errors);
        }
        finally
        {
            Directory.Delete(folder, true);
        }
    }
}
