using Ringdown.Check;
using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;

namespace Ringdown.Tests;

/// <summary>Devices as a document describes them.</summary>
public sealed class BoardTests
{
    const string Sampler = "{ \"devices\": [ { \"chip\": \"registers\", \"registers\": \"0xFEC00000\", \"map\": [ ";

    static readonly string s_page = File.ReadAllText(Path.Combine(Repository.Root, "docs", "hardware.md"));

    // What stands between two marks of the page.
    static string Excerpt(string begin)
    {
        int from = s_page.IndexOf(begin, StringComparison.Ordinal) + begin.Length;
        return s_page[from..s_page.IndexOf("```", from, StringComparison.Ordinal)];
    }

    static TestMachine Boot(Board board) => new(new KernelOptions { Board = computer => board.Attach(computer) });

    [Fact]
    public void The_example_of_the_page_samples_and_loops_back()
    {
        var board = Board.Parse(Excerpt("```json board\n"));
        using TestMachine m = Boot(board);
        InterruptLine line = m.Nt.Computer.Interrupts.Line(18);
        Va sampler = m.Nt.MmMapIoSpace(0xFEC0_0000, 12, 0);
        m.Nt.WRITE_REGISTER_ULONG(sampler, 0);
        Assert.Equal(0x1234u, m.Nt.READ_REGISTER_ULONG(sampler));
        m.Nt.WRITE_REGISTER_ULONG(sampler + 4, 2);
        m.Nt.KeStallExecutionProcessor(100);
        Assert.False(line.IsAsserted);
        m.Nt.WRITE_REGISTER_ULONG(sampler + 4, 1);
        m.Nt.KeStallExecutionProcessor(49);
        Assert.False(line.IsAsserted);
        m.Nt.KeStallExecutionProcessor(2);
        Assert.Equal((true, 1u), (line.IsAsserted, m.Nt.READ_REGISTER_ULONG(sampler + 8)));
        m.Nt.WRITE_REGISTER_UCHAR(sampler + 8, 1);
        Assert.Equal((false, 0u), (line.IsAsserted, m.Nt.READ_REGISTER_ULONG(sampler + 8)));

        Va edu = m.Nt.MmMapIoSpace(0xFEB0_0000, 0x80, 0);
        Assert.Equal(EduDevice.Identification, m.Nt.READ_REGISTER_ULONG(edu));

        Va port = new(0x3F8);
        m.Nt.WRITE_PORT_UCHAR(port + 2, 1);
        m.Nt.WRITE_PORT_UCHAR(port + 3, 3);
        m.Nt.WRITE_PORT_BUFFER_UCHAR(port, m.Bytes("Hello"u8), 5);
        for (int i = 0; (m.Nt.READ_PORT_UCHAR(port + 5) & 0x40) == 0; i++) Assert.InRange(i, 0, 10_000);
        m.Nt.KeStallExecutionProcessor(1100);
        Va read = m.Block(5);
        m.Nt.READ_PORT_BUFFER_UCHAR(port, read, 5);
        Assert.Equal("Hello"u8.ToArray(), m.Nt.Memory.ReadBytes(read, 5));
    }

    [Fact]
    public void The_class_of_the_page_is_a_chip_of_an_assembly()
    {
        string source = File.ReadAllText(Path.Combine(
            Repository.Root, "test", "Tests", "Machine", "Devices", "CounterChip.cs"));
        Assert.EndsWith(Excerpt("```csharp\n"), source);
        string path = Path.GetTempFileName(), assembly = typeof(CounterChip).Assembly.Location.Replace('\\', '/');
        try
        {
            string json = Excerpt("```csharp\n" + Excerpt("```csharp\n") + "```\n```json\n");
            File.WriteAllText(path, json.Replace("My.dll", assembly));
            var board = ChipClass.OpenBoard(path);
            using TestMachine m = Boot(board), other = Boot(board);
            Va counter = m.Nt.MmMapIoSpace(0xFED0_0000, 8, 0);
            m.Nt.READ_REGISTER_ULONG(counter);
            Assert.Equal(6u, m.Nt.READ_REGISTER_ULONG(counter));
            Assert.Equal(5u, other.Nt.READ_REGISTER_ULONG(other.Nt.MmMapIoSpace(0xFED0_0000, 8, 0)));
            m.Nt.WRITE_REGISTER_ULONG(counter, 0);
            m.Nt.KeStallExecutionProcessor(1001);
            Assert.True(m.Nt.Computer.Interrupts.Line(19).IsAsserted);
            File.WriteAllText(path, json.Replace("My.dll:CounterChip", assembly + ":NoChip"));
            Assert.Contains(
                "has no chip NoChip", Assert.Throws<BoardException>(() => ChipClass.OpenBoard(path)).Message);
            File.WriteAllText(path, json.Replace("My.dll", "/nowhere/No.dll"));
            Assert.Contains("cannot be loaded", Assert.Throws<BoardException>(() => ChipClass.OpenBoard(path)).Message);
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Theory]
    [InlineData("{\n  \"devices\": [ } ]", "line 2, column 16: this is no JSON.")]
    [InlineData("[]", "line 1: an object with \"devices\" is expected.")]
    [InlineData("{ \"parts\": 1 }", "parts: there is no such property here, but devices, iommu.")]
    [InlineData("{ \"devices\": [ { \"chip\": \"\\ud800\" } ] }",
        "devices[0].chip: there is half of a character")]
    [InlineData("{ \"devices\": [ { \"\\ud800\": 1 } ] }", "devices[0]: there is half of a character")]
    [InlineData("{ \"devices\": [ 3 ] }", "devices[0]: an object is expected.")]
    [InlineData("{ \"devices\": [ { \"chip\": \"edu\" } ] }", "devices[0].registers: it is missing, and so is")]
    [InlineData("{ \"devices\": [ { \"chip\": \"8259\" } ] }",
        "devices[0].chip: there is no chip \"8259\"; there are ata, ")]
    [InlineData("{ \"devices\": [ { \"chip\": \"edu\", \"registers\": \"0x200000\" } ] }",
        "devices[0].registers: memory")]
    [InlineData("{ \"devices\": [ { \"chip\": \"edu\", \"ports\": \"0xFFF0\" } ] }", "devices[0].ports: the last port")]
    [InlineData("{ \"devices\": [ { \"chip\": \"edu\", \"ports\": \"3F8\" } ] }",
        "devices[0].ports: a number is expected")]
    [InlineData("{ \"devices\": [ { \"chip\": \"edu\", \"ports\": 0, \"line\": 256 } ] }",
        "devices[0].line: it is at most")]
    [InlineData("{ \"devices\": [ { \"chip\": \"edu\", \"ports\": 0 }, { \"chip\": \"edu\", \"ports\": 8 } ] }",
        "devices[1].ports: 0x8 to 0x87 overlaps a device at 0x0.")]
    [InlineData("{ \"devices\": [ { \"chip\": \"edu\", \"ports\": 0, \"id\": \"a b\" } ] }", "devices[0].id: three")]
    [InlineData("{ \"devices\": [ { \"chip\": \"edu\", \"ports\": 0, \"compatible\": [\"\"] } ] }",
        "devices[0].compatible: three")]
    [InlineData("{ \"devices\": [ { \"chip\": \"edu\", \"ports\": 0, \"compatible\": [5] } ] }",
        "devices[0].compatible: an array of texts")]
    [InlineData(Sampler + "] } ] }", "devices[0].map: there are no registers.")]
    [InlineData(Sampler + "{ \"name\": \"A\", \"offset\": 0, \"access\": \"rx\" } ] } ] }",
        "devices[0].map[0].access: \"rx\" is none of ro, rw, wo, w1c.")]
    [InlineData(Sampler + "{ \"name\": \"A\", \"offset\": 0 }, { \"name\": \"B\", \"offset\": 3 } ] } ] }",
        "devices[0].map[1].offset: B overlaps another register.")]
    [InlineData(Sampler + "{ \"name\": \"A\", \"offset\": 0, \"onWrite\": { \"raise\": true } } ] } ] }",
        "devices[0].map[0].onWrite.raise: the device has no \"line\".")]
    [InlineData(Sampler + "{ \"name\": \"A\", \"offset\": 0, \"onWrite\": [ { \"after\": \"5 days\" } ] } ] } ] }",
        "devices[0].map[0].onWrite[0].after: a time is expected")]
    [InlineData(
        Sampler + "{ \"name\": \"A\", \"offset\": 0, \"onWrite\": { \"set\": { \"register\": \"B\" } } } ] } ] }",
        "devices[0].map[0].onWrite.set.register: there is no register B.")]
    public void A_mistake_is_told_with_its_place(string json, string message) =>
        Assert.StartsWith(message, Assert.Throws<BoardException>(() => Board.Parse(json)).Message);

    // An attribute cannot carry it.
    [Fact]
    public void Half_of_a_character_is_a_mistake() => A_mistake_is_told_with_its_place(
        "{ \"devices\": [ { \"chip\": \"" + (char)0xD800 + "\" } ] }", "line 1: there is half of a character in it.");

    [Fact]
    public void The_command_line_takes_a_board()
    {
        string path = Path.GetTempFileName();
        try
        {
            File.WriteAllText(path, Excerpt("```json board\n"));
            foreach (string verb in (string[])["run", "check"])
                Assert.Equal(0, CommandLine.Run(verb, Repository.Driver("quiet"), "--json", "--board", path).ExitCode);
            File.WriteAllText(path, "{ \"devices\": [ {} ] }");
            CommandLine wrong = CommandLine.Run("check", Repository.Driver("quiet"), "--board", path);
            Assert.Equal((2, $"{path}, devices[0].chip: it is missing."), (wrong.ExitCode, wrong.Errors.Trim()));
        }
        finally
        {
            File.Delete(path);
        }
    }
}
