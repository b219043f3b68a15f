using FsCheck;
using FsCheck.Fluent;
using Ringdown.Machine;
using Xunit;

namespace Ringdown.Tests;

/// <summary>The 16550A alone: registers, FIFOs, what interrupts, and how long characters take.</summary>
public sealed class UartTests
{
    const int Data = 0, Enable = 1, Identify = 2, Format = 3, Control = 4, LineStatus = 5, ModemStatus = 6;

    sealed class Port
    {
        public Port(byte format = 3, byte divisor = 1, byte fifo = 0, byte enable = 0, byte control = 8)
        {
            Line = new InterruptController().Line(4);
            Chip = new Uart16550(Clock, Line);
            Chip.Sent = Sent.Add;
            this[Format] = 0x80;
            this[Data] = divisor;
            this[Enable] = 0;
            this[Format] = format;
            this[Identify] = fifo;
            this[Control] = control;
            this[Enable] = enable;
        }

        public FakeClock Clock { get; } = new();
        public InterruptLine Line { get; }
        public Uart16550 Chip { get; }
        public List<byte> Sent { get; } = [];

        public byte this[int register]
        {
            get => (byte)Chip.Registers.Read((ulong)register, 1);
            set => Chip.Registers.Write((ulong)register, 1, value);
        }
    }

    [Theory]
    [InlineData(3, 12, 10_416)]      // 8N1 at 9600: ten bits
    [InlineData(3, 1, 868)]          // at 115200
    [InlineData(0x1F, 1, 1041)]      // 8E2: twelve
    [InlineData(4, 1, 651)]          // 5N1.5: seven and a half
    [InlineData(3, 0, 0)]
    public void A_character_takes_as_long_as_its_bits(byte format, byte divisor, long ticks) =>
        Assert.Equal(ticks, new Port(format, divisor).Chip.CharacterTicks);

    [Fact]
    public void The_divisor_latch_hides_the_data_and_the_interrupt_enable_register()
    {
        var port = new Port(enable: 5) { [7] = 0x5A };
        port[Format] = 0x83;
        (port[Data], port[Enable]) = (0x34, 0x12);
        Assert.Equal((0x34, 0x12, 0x83, 0x5A), ((int)port[Data], port[Enable], port[Format], port[7]));
        port[Format] = 3;
        Assert.Equal(5, port[Enable]);
    }

    [Fact]
    public void A_byte_leaves_after_its_time_and_the_status_says_what_is_empty()
    {
        var port = new Port();
        Assert.Equal(0x60, port[LineStatus]);
        port[Data] = 0x41;
        Assert.Equal(0, port[LineStatus] & 0x60);
        port.Clock.Advance(90);
        Assert.Equal(0x20, port[LineStatus] & 0x60);
        Assert.Empty(port.Sent);
        port.Clock.Advance(868);
        Assert.Equal([0x41], port.Sent);
        Assert.Equal(0x60, port[LineStatus]);
    }

    [Fact]
    public void A_byte_that_is_not_read_in_time_is_overrun_and_the_interrupts_come_by_priority()
    {
        var port = new Port(enable: 0xF);
        Assert.Equal(2, port[Identify]);
        Assert.Equal(1, port[Identify]);
        port.Chip.Receive([1, 2]);
        port.Clock.Advance(868);
        Assert.True(port.Line.IsAsserted);
        Assert.Equal(4, port[Identify]);
        port.Clock.Advance(868);
        Assert.Equal(6, port[Identify]);
        Assert.Equal(0x63, port[LineStatus]);
        Assert.Equal(0x61, port[LineStatus]);
        Assert.Equal(4, port[Identify]);
        Assert.Equal(2, port[Data]);
        port.Chip.Inputs = ModemInputs.ClearToSend;
        Assert.Equal(0, port[Identify]);
        Assert.Equal(0x11, port[ModemStatus]);
        Assert.Equal(1, port[Identify]);
        Assert.False(port.Line.IsAsserted);
    }

    [Theory, InlineData(0x01, 1), InlineData(0x41, 4), InlineData(0x81, 8), InlineData(0xC1, 14)]
    public void The_FIFO_interrupts_at_its_trigger_level_and_before_it_after_four_characters(byte fifo, int level)
    {
        var port = new Port(fifo: fifo, enable: 1);
        port.Chip.Receive(new byte[level]);
        port.Clock.Advance(868 * (level - 1));
        Assert.False(port.Line.IsAsserted);
        port.Clock.Advance(868);
        Assert.Equal(0xC4, port[Identify]);
        if (level == 1) return;
        port[Data].ToString();
        Assert.Equal(0xC1, port[Identify]);
        port.Clock.Advance(4 * 868);
        Assert.Equal(0xCC, port[Identify]);
        Assert.True(port.Line.IsAsserted);
        port[Data].ToString();
        Assert.Equal(0xC1, port[Identify]);
    }

    [Fact]
    public void A_full_FIFO_keeps_what_it_has()
    {
        var port = new Port(fifo: 1);
        port.Chip.Receive([.. Enumerable.Range(1, 17).Select(i => (byte)i)]);
        port.Clock.Advance(868 * 17);
        Assert.Equal(0x63, port[LineStatus]);
        Assert.Equal(Enumerable.Range(1, 16), Enumerable.Range(0, 16).Select(_ => (int)port[Data]));
        Assert.Equal(0x60, port[LineStatus]);
    }

    [Fact]
    public void A_break_shows_when_it_is_the_next_to_be_read()
    {
        var port = new Port(fifo: 1, enable: 4);
        port.Chip.Receive(0x41);
        port.Clock.Advance(868);
        port.Chip.ReceiveBreak();
        Assert.Equal(0xE1, port[LineStatus]);
        Assert.Equal(0x41, port[Data]);
        Assert.Equal(0xC6, port[Identify]);
        Assert.Equal(0xF1, port[LineStatus]);
        Assert.Equal((0, 0x60), ((int)port[Data], port[LineStatus]));
    }

    [Fact]
    public void Loopback_feeds_the_modem_lines_and_a_break_back_and_OUT2_gates_the_interrupt()
    {
        var port = new Port(enable: 8, control: 0x1F);
        Assert.Equal(0xF0, port[ModemStatus] & 0xF0);
        port[Control] = 0x1D;
        Assert.Equal(0xE1, port[ModemStatus]);
        port[Control] = 0x19;
        Assert.Equal((0, false), (port[Identify], port.Line.IsAsserted));
        Assert.Equal(0xA4, port[ModemStatus]);
        port[Format] = 0x43;
        port.Clock.Advance(868);
        Assert.Equal(0x71, port[LineStatus]);
        port[Control] = 0;
        port.Chip.Inputs = ModemInputs.CarrierDetect | ModemInputs.DataSetReady;
        port[ModemStatus].ToString();
        port.Chip.Inputs = ModemInputs.None;
        Assert.False(port.Line.IsAsserted);
        port[Control] = 8;
        Assert.True(port.Line.IsAsserted);
    }

    [Fact]
    public void What_is_looped_back_arrives_unchanged_and_in_order_if_it_is_read_in_time() =>
        Prop.ForAll<byte[], byte, byte>((bytes, fifo, pause) =>
        {
            var port = new Port(fifo: fifo, control: 0x10);
            var read = new List<byte>();
            int capacity = (fifo & 1) != 0 ? 16 : 1, next = 0;
            while (read.Count < bytes.Length && port.Clock.Now < 10_000_000)
            {
                if ((port[LineStatus] & 0x20) != 0)
                    for (int i = 0; i < capacity && next < bytes.Length; i++) port[Data] = bytes[next++];
                // Sooner than a character lasts, where one is all that the receiver holds.
                port.Clock.Advance(1 + pause * (capacity == 1 ? 3 : 40));
                byte status = port[LineStatus];
                Assert.Equal(0, status & 0x1E);
                for (; (status & 1) != 0; status = port[LineStatus]) read.Add(port[Data]);
            }
            port.Clock.Advance(100_000);
            Assert.True(port.Clock.IsIdle);
            return bytes.SequenceEqual(read) && port.Sent.Count == 0;
        }).Check(GuestText.Properties(300));
}
