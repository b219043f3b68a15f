using Ringdown.Machine;
using Xunit;

namespace Ringdown.Tests;

/// <summary>What firmware tells of the devices of a board.</summary>
public sealed class FirmwareTests
{
    static Computer Boot(string devices)
    {
        var computer = new Computer(1, new CodeCache()) { Clock = new FakeClock() };
        Board.Parse($$"""{ "devices": [ {{devices}} ] }""").Attach(computer);
        return computer;
    }

    [Fact]
    public void Every_fixed_device_is_told_with_its_resources()
    {
        using Computer computer = Boot("""
            { "chip": "uart16550", "ports": "0x3F8", "line": 4 }, { "chip": "uart16550", "ports": "0x2F8" },
            { "chip": "edu", "registers": "0xFEB00000", "line": 17, "id": "ACME0C0D", "compatible": "RNG0001" }
            """);
        Assert.Equal(["PNP0501 0", "PNP0501 1", "ACME0C0D 0"],
            computer.Firmware.Devices.Select(d => $"{d.Id} {d.Number}"));
        FirmwareDevice uart = computer.Firmware.Devices[0], edu = computer.Firmware.Devices[2];
        Assert.Equal((new AddressRange(0x3F8, 8), new FirmwareLine(4, InterruptTrigger.Edge, false), "PNP0500"),
            (Assert.Single(uart.Ports), Assert.Single(uart.Lines), Assert.Single(uart.CompatibleIds)));
        Assert.Equal((new AddressRange(0xFEB0_0000, 0x80), new FirmwareLine(17, InterruptTrigger.Level, true)),
            (Assert.Single(edu.Memory), Assert.Single(edu.Lines)));
        Assert.Equal(["RNG0001"], edu.CompatibleIds);
        Assert.Empty(computer.Firmware.Devices[1].Lines);
    }

    [Fact]
    public void Of_an_unplugged_device_the_registers_are_gone()
    {
        using Computer computer = Boot("""{ "chip": "uart16550", "ports": "0x3F8" }""");
        FirmwareDevice uart = computer.Firmware.Devices[0];
        var told = new List<bool>();
        computer.Firmware.Changed += d => told.Add(d.IsPresent);
        computer.Ports.Write(0x3FF, 1, 0x5A);
        uart.IsPresent = false;
        uart.IsPresent = false;
        Assert.Equal(0xFFFF_FFFF, computer.Ports.Read(0x3FF, 1));
        uart.IsPresent = true;
        Assert.Equal(0x5Au, computer.Ports.Read(0x3FF, 1));
        Assert.Equal([false, true], told);
    }
}
