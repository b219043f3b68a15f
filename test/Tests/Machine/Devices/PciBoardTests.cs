using Ringdown.Machine;
using Xunit;

namespace Ringdown.Tests;

/// <summary>Chips behind PCI, as a board describes them.</summary>
public sealed class PciBoardTests
{
    const string Edu = "{ \"devices\": [ { \"chip\": \"edu\", ";

    static (Computer Computer, Board Board) Boot(string devices)
    {
        var computer = new Computer(1, new CodeCache()) { Clock = new FakeClock() };
        var board = Board.Parse($$"""{ "devices": [ {{devices}} ] }""");
        board.Attach(computer);
        return (computer, board);
    }

    [Fact]
    public void A_chip_answers_behind_its_function_and_interrupts_by_it()
    {
        using Computer computer = Boot("""
            { "chip": "edu", "name": "e", "line": 21, "pci": { "slot": 3, "id": "1234:5678", "subsystem": "AAAA:BBBB",
              "class": "0x0B4000", "revision": 2, "msi": 4, "dmaBits": 32 } }
            """).Computer;
        PciFunction function = Assert.Single(computer.Pci.Functions);
        Assert.Equal(new PciIdentity(0x1234, 0x5678, 0x0B4000, 2, 0xAAAA, 0xBBBB), function.Identity);
        Assert.Equal(("e", uint.MaxValue), (function.Name, (uint)function.HighestAddress));
        Assert.Equal(EduDevice.Identification, (uint)computer.Registers.Read(function.Bars[0].Address, 4));
        computer.Registers.Write(function.Bars[0].Address + 0x10, 4, 1);
        computer.Registers.Write(function.Bars[0].Address + 0x14, 4, 1);
        Assert.True(computer.Interrupts.Line(21).IsAsserted);
        Assert.Empty(computer.Firmware.Devices);
    }

    [Fact]
    public void Registers_lie_behind_several_address_registers_and_send_messages()
    {
        using Computer computer = Boot("""
            { "chip": "registers",
              "pci": { "slot": 1, "id": "1234:0001", "pin": 0, "msix": 3, "bars": ["memory64", "ports"] },
              "map": [ { "name": "A", "offset": 0, "value": 7 },
                       { "name": "GO", "bar": 1, "offset": 4, "onWrite": { "after": "5us", "message": 2 } } ] }
            """).Computer;
        PciFunction function = Assert.Single(computer.Pci.Functions);
        Assert.Equal([(0, false, 0x1000ul), (2, true, 8ul), (3, false, 0x1000ul)],
            function.Bars.Select(b => (b.Index, b.IsPort, b.Bytes)));
        Assert.Equal(7u, (uint)computer.Registers.Read(function.Bars[0].Address, 4));
        function.Write(PciFunction.CommandOffset, 2, 7);
        ulong entry = function.Bars[2].Address + 32;
        computer.Registers.Write(entry, 8, 0xFEE0_0000);
        computer.Registers.Write(entry + 8, 8, 0x99);
        int msix = Enumerable.Range(0x40, 0x80).First(i => function.Read(i, 1) == 0x11 && function.Read(i + 2, 2) == 2);
        function.Write(msix + 2, 2, 0x8000);
        computer.Ports.Write((ushort)(function.Bars[1].Address + 4), 4, 1);
        Assert.Null(computer.Interrupts.Next(0));
        ((FakeClock)computer.Clock).Advance(50);
        Assert.Equal(0x99, computer.Interrupts.Next(0)!.Vector);
    }

    [Fact]
    public void What_is_not_plugged_waits()
    {
        using Computer computer = Boot("""
            { "chip": "edu", "name": "e", "pci": { "slot": 3, "id": "1234:5678", "plugged": false, "wakes": true } }
            """).Computer;
        Assert.Empty(computer.Pci.Functions);
        PciFunction function = Assert.Single(computer.Pci.Known);
        computer.Pci.Plug(function);
        Assert.Equal(0x1234u, computer.Pci.Read(function.Slot, 0, 2));
    }

    [Theory]
    [InlineData("\"pci\": { \"slot\": 1 } } ] }", "devices[0].pci.id: it is missing.")]
    [InlineData("\"pci\": { \"slot\": 32, \"id\": \"1:2\" } } ] }", "devices[0].pci.id: two numbers of four")]
    [InlineData("\"pci\": { \"slot\": 32, \"id\": \"0001:0002\" } } ] }", "devices[0].pci.slot: it is at most 0x1F.")]
    [InlineData("\"pci\": { \"slot\": 1, \"id\": \"0001:0002\", \"msi\": 3 } } ] }", "devices[0].pci.msi: it is 1, 2")]
    [InlineData("\"pci\": { \"slot\": 1, \"id\": \"0001:0002\", \"msix\": 0 } } ] }",
        "devices[0].pci.msix: it is 1 to")]
    [InlineData("\"pci\": { \"slot\": 1, \"id\": \"0001:0002\", \"bars\": \"rom\" } } ] }",
        "devices[0].pci.bars: \"rom\" is none of")]
    [InlineData("\"pci\": { \"slot\": 1, \"id\": \"0001:0002\", \"bars\": [\"memory\", \"memory\"] } } ] }",
        "devices[0].pci.bars: the chip has registers for 1 only.")]
    [InlineData("\"registers\": 0, \"pci\": { \"slot\": 1, \"id\": \"0001:0002\" } } ] }",
        "devices[0].registers: a PCI device has its own.")]
    [InlineData("\"line\": 17, \"pci\": { \"slot\": 1, \"id\": \"0001:0002\", \"pin\": 0 } } ] }",
        "devices[0].line: a device without a pin")]
    [InlineData("\"pci\": { \"slot\": 1, \"id\": \"0001:0002\", \"power\": false, \"wakes\": true } } ] }",
        "devices[0].pci.wakes: it has no power")]
    [InlineData("\"pci\": { \"slot\": 1, \"id\": \"0001:0002\" } }, { \"chip\": \"edu\", \"pci\": { \"slot\": 1, "
        + "\"id\": \"0001:0002\" } } ] }", "devices[1].pci.slot: 01.0 is taken.")]
    public void A_mistake_is_told_with_its_place(string json, string message) =>
        Assert.StartsWith(message, Assert.Throws<BoardException>(() => Board.Parse(Edu + json)).Message);
}
