using Ringdown.Machine;
using Xunit;

namespace Ringdown.Tests;

/// <summary>The DMA controllers of a PC, as a program at the ports and a device at a channel see them.</summary>
public sealed class Dma8237Tests
{
    const ulong At = 0x20_0000;

    static Computer Make()
    {
        var computer = new Computer(1, new CodeCache()) { Clock = new FakeClock() };
        Board.Parse("""{ "devices": [ { "chip": "dma8237" } ] }""").Attach(computer);
        // Frames are there once somebody has them.
        computer.Memory.Physical.AllocateContiguous(
            64, (int)(At >> 12), (int)(At >> 12) + 63, 0);
        return computer;
    }

    static void Program(Computer computer, int channel, ulong address, int units, int mode)
    {
        PortSpace ports = computer.Ports;
        int step = channel < 4 ? 1 : 2, first = channel < 4 ? 0 : 0xC0, at = channel % 4;
        ushort page = ((ushort[])[0x87, 0x83, 0x81, 0x82, 0x8F, 0x8B, 0x89, 0x8A])[channel];
        void Write(int register, ulong value) => ports.Write((ushort)(first + register * step), 1, (byte)value);
        Write(10, (ulong)(4 | at));
        Write(12, 0);
        Write(11, (ulong)(mode | at));
        ulong start = channel < 4 ? address : address >> 1;
        Write(at * 2, start);
        Write(at * 2, start >> 8);
        ports.Write(page, 1, (uint)(address >> 16));
        Write(at * 2 + 1, (ulong)(units - 1));
        Write(at * 2 + 1, (ulong)(units - 1 >> 8));
        Write(10, (ulong)at);
    }

    static int CountOf(Computer computer, int channel)
    {
        computer.Ports.Write(12, 1, 0);
        var port = (ushort)(channel * 2 + 1);
        return (int)(computer.Ports.Read(port, 1) | computer.Ports.Read(port, 1) << 8);
    }

    static byte[] Physical(Computer computer, ulong address, int length)
    {
        byte[] bytes = new byte[length];
        Assert.True(computer.Memory.TryReadPhysical(address, bytes));
        return bytes;
    }

    [Fact]
    public void A_device_writes_to_memory_until_the_terminal_count_and_is_masked_then()
    {
        using Computer computer = Make();
        DmaChannel channel = computer.Dma[2];
        int ends = 0, ready = 0;
        channel.TerminalCount += () => ends++;
        channel.Ready += () => ready++;
        Assert.Equal(0, channel.Send([1]));
        Program(computer, 2, At + 0x10, 5, 0x44);
        Assert.Equal((1, 0), (ready, ends));
        Assert.Equal(0, channel.Receive(new byte[3]));
        Assert.Equal(3, channel.Send([1, 2, 3]));
        Assert.Equal((0, 1), (ends, CountOf(computer, 2)));
        Assert.Equal(2, channel.Send([4, 5, 6, 7]));
        Assert.Equal(1, ends);
        Assert.False(channel.IsReady);
        Assert.Equal([1, 2, 3, 4, 5, 0], Physical(computer, At + 0x10, 6));
        channel.IsRequesting = true;
        Assert.Equal(0x44U, computer.Ports.Read(8, 1));
        Assert.Equal(0x40U, computer.Ports.Read(8, 1));
    }

    [Fact]
    public void A_channel_of_words_reads_memory_and_its_page_has_the_bits_from_17_on()
    {
        using Computer computer = Make();
        computer.Memory.TryWritePhysical(At + 0x1_FFFC, [1, 2, 3, 4]);
        DmaChannel channel = computer.Dma[5];
        Program(computer, 5, At + 0x1_FFFC, 4, 0x48);
        byte[] bytes = new byte[9];
        Assert.Equal(8, channel.Receive(bytes));
        // Nothing carries into the page: after the last word comes the first one.
        Assert.Equal([1, 2, 3, 4, .. Physical(computer, At, 4), 0], bytes);
    }

    [Fact]
    public void Auto_initialization_begins_anew_and_a_channel_may_count_down()
    {
        using Computer computer = Make();
        DmaChannel channel = computer.Dma[1];
        Program(computer, 1, At + 3, 2, 0x44 | 0x10 | 0x20);
        Assert.Equal(2, channel.Send([1, 2, 3]));
        Assert.True(channel.IsReady);
        Assert.Equal(1, channel.Send([9]));
        Assert.Equal([0, 0, 1, 9], Physical(computer, At, 4).Select((b, i) => i == 2 ? (byte)1 : b));
        Assert.Equal([2, 9], Physical(computer, At + 2, 2));
    }

    [Fact]
    public void In_block_mode_one_request_runs_to_the_end_and_a_program_may_make_it()
    {
        using Computer computer = Make();
        Program(computer, 3, At, 4, 0x84);
        Assert.Equal(1, computer.Dma[3].Send([7]));
        Assert.Equal([7, 0xFF, 0xFF, 0xFF, 0], Physical(computer, At, 5));
        Program(computer, 3, At + 0x10, 2, 0x84);
        computer.Ports.Write(9, 1, 7);
        Assert.Equal([0xFF, 0xFF, 0], Physical(computer, At + 0x10, 3));
        Assert.Equal(8U, computer.Ports.Read(8, 1) & 0xF);
    }

    [Fact]
    public void Neither_a_disabled_controller_nor_a_masked_cascade_answers()
    {
        using Computer computer = Make();
        Program(computer, 0, At, 4, 0x44);
        Assert.True(computer.Dma[0].IsReady);
        computer.Ports.Write(8, 1, 4);
        Assert.False(computer.Dma[0].IsReady);
        computer.Ports.Write(8, 1, 0);
        computer.Ports.Write(0xD4, 1, 4);
        Assert.Equal(0, computer.Dma[0].Send([1]));
        computer.Ports.Write(0xD4, 1, 0);
        Assert.Equal(1, computer.Dma[0].Send([1]));
        computer.Ports.Write(13, 1, 0);
        Assert.Equal(0xFFU, computer.Ports.Read(15, 1));
        Assert.False(computer.Dma[0].IsReady);
    }

    [Fact]
    public void A_snapshot_keeps_what_is_programmed_and_half_a_transfer()
    {
        using Computer computer = Make();
        Program(computer, 2, At, 4, 0x44);
        computer.Dma[2].Send([1, 2]);
        ComputerSnapshot snapshot = computer.Snapshot();
        computer.Dma[2].Send([3, 4]);
        computer.Restore(snapshot);
        Assert.Equal(1, CountOf(computer, 2));
        Assert.Equal(2, computer.Dma[2].Send([5, 6, 7]));
        Assert.Equal([1, 2, 5, 6], Physical(computer, At, 4));
    }

    [Fact]
    public void A_board_has_one_controller_and_nothing_answers_without_one()
    {
        Assert.Contains("one already", Assert.Throws<BoardException>(() => Board.Parse(
            """{ "devices": [ { "chip": "dma8237" }, { "chip": "dma8237" } ] }""")).Message,
            StringComparison.Ordinal);
        using var computer = new Computer(1, new CodeCache());
        Assert.Equal(0, computer.Dma[1].Send([1]));
    }
}
