using Ringdown.Machine;
using Xunit;

namespace Ringdown.Tests;

/// <summary>The 8042 alone, with its keyboard and mouse.</summary>
public sealed class Ps2Tests
{
    sealed class Controller
    {
        public Controller()
        {
            var interrupts = new InterruptController();
            (KeyboardLine, MouseLine) = (interrupts.Line(1), interrupts.Line(12));
            Chip = new Ps2Controller(Clock, KeyboardLine, MouseLine);
        }

        public FakeClock Clock { get; } = new();
        public InterruptLine KeyboardLine { get; }
        public InterruptLine MouseLine { get; }
        public Ps2Controller Chip { get; }
        public byte Status => (byte)Chip.Control.Read(0, 1);

        public void Command(byte value) => Chip.Control.Write(0, 1, value);
        public void Write(byte value) => Chip.Data.Write(0, 1, value);

        // All that comes.
        public byte[] ReadAll()
        {
            var bytes = new List<byte>();
            for (Clock.Advance(10_000); (Status & 1) != 0; Clock.Advance(10_000)) bytes.Add((byte)Chip.Data.Read(0, 1));
            return [.. bytes];
        }
    }

    [Fact]
    public void The_controller_tests_itself_and_keeps_its_command_byte()
    {
        var c = new Controller();
        c.Command(0xAA);
        Assert.Equal([0x55], c.ReadAll());
        c.Command(0x60);
        c.Write(0x41);
        c.Command(0x20);
        Assert.Equal([0x41], c.ReadAll());
        c.Command(0x65);
        c.Write(0x77);
        c.Command(0x25);
        Assert.Equal([0x77], c.ReadAll());
        int resets = 0;
        c.Chip.ResetRequested = () => resets++;
        c.Command(0xFE);
        Assert.Equal(1, resets);
    }

    [Fact]
    public void A_key_comes_translated_with_an_interrupt_a_byte()
    {
        var c = new Controller();
        c.Chip.Keyboard.KeyDown(0x1E);
        c.Chip.Keyboard.KeyUp(0x1E);
        c.Clock.Advance(9_999);
        Assert.False(c.KeyboardLine.IsAsserted);
        c.Clock.Advance(1);
        Assert.True(c.KeyboardLine.IsAsserted);
        Assert.Equal(0x1EUL, c.Chip.Data.Read(0, 1));
        Assert.False(c.KeyboardLine.IsAsserted);
        Assert.Equal([0x9E], c.ReadAll().Concat(c.ReadAll()));
        c.Chip.Keyboard.KeyDown(0xE048);
        c.Chip.Keyboard.KeyUp(0xE048);
        Assert.Equal([0xE0, 0x48, 0xE0, 0xC8], c.ReadAll().Concat(c.ReadAll()));
        c.Command(0x60);
        c.Write(0x01);
        c.Chip.Keyboard.KeyDown(0x1E);
        c.Chip.Keyboard.KeyUp(0x1E);
        Assert.Equal([0x1C, 0xF0, 0x1C], c.ReadAll());
    }

    [Fact]
    public void Every_key_of_set_1_is_reached_by_translation()
    {
        for (ushort code = 1; code < 0x59; code++)
        {
            var c = new Controller();
            c.Chip.Keyboard.KeyDown(code);
            Assert.Equal([(byte)code], c.ReadAll());
        }
    }

    [Fact]
    public void The_keyboard_answers_its_commands()
    {
        var c = new Controller();
        c.Command(0x60);
        c.Write(0x04);
        foreach ((byte[] written, byte[] answer) in ((byte[], byte[])[])
            [
                ([0xFF], [0xFA, 0xAA]), ([0xF2], [0xFA, 0xAB, 0x83]), ([0xEE], [0xEE]), ([0xED, 0x05], [0xFA, 0xFA]),
                ([0xF0, 0x00], [0xFA, 0xFA, 0x02]), ([0xF0, 0x01], [0xFA, 0xFA]), ([0x12], [0xFE]), ([0xF5], [0xFA]),
            ])
        {
            byte[] came = [.. written.SelectMany(b =>
            {
                c.Write(b);
                return c.ReadAll();
            })];
            Assert.Equal(answer, came);
        }
        Assert.Equal(5, c.Chip.Keyboard.Lights);
        c.Chip.Keyboard.KeyDown(0x1E);
        Assert.Empty(c.ReadAll());
    }

    [Fact]
    public void The_mouse_moves_and_learns_of_its_wheel()
    {
        var c = new Controller();
        c.Command(0x60);
        c.Write(0x47);
        Mouse(0xF4);
        Assert.Equal([0xFA], c.ReadAll());
        c.Chip.Mouse.Move(5, -3, 1);
        c.Clock.Advance(10_000);
        Assert.Equal((true, false, 0x20), (c.MouseLine.IsAsserted, c.KeyboardLine.IsAsserted, c.Status & 0x20));
        Assert.Equal([0x29, 5, 0xFD], c.ReadAll());
        foreach (byte rate in (byte[])[200, 100, 80])
        {
            Mouse(0xF3);
            Mouse(rate);
            c.ReadAll();
        }
        Mouse(0xF2);
        Assert.Equal([0xFA, 3], c.ReadAll());
        c.Chip.Mouse.Move(300, 0, 0, -1);
        Assert.Equal([0x08, 255, 0, 0xFF, 0x08, 45, 0, 0], c.ReadAll());

        void Mouse(byte value)
        {
            c.Command(0xD4);
            c.Write(value);
        }
    }
}
