using FsCheck;
using FsCheck.Fluent;
using Ringdown.Machine;
using Xunit;

namespace Ringdown.Tests;

/// <summary>What chips were doing is kept with a computer's snapshot, and goes on from there.</summary>
public sealed class ChipStateTests
{
    const string Devices = """
        { "devices": [
            { "chip": "uart16550", "ports": "0x3F8", "line": 4, "plug": "loopback" },
            { "chip": "edu", "ports": "0x1000", "line": 17 },
            { "chip": "registers", "ports": "0x1100", "line": 18, "map": [
              { "name": "CTRL", "offset": 0, "onWrite": { "bit": 0, "after": "70us", "raise": true } } ] },
            { "chip": "ata", "busMaster": "0xC000", "disks": [ { "sectors": 1000 } ] },
            { "chip": "pit" }, { "chip": "rtc" }, { "chip": "ps2" } ] }
        """;

    static readonly ushort[] s_seen = [0x3F8, 0x3FA, 0x3FD, 0x1008, 0x1038, 0x1F0, 0x1F7, 0x40, 0x71, 0x60, 0x64];

    // Each number does something to some chip; the answers, the lines and the time are what can be seen.
    static string Play(Computer computer, FakeClock clock, IEnumerable<byte> steps)
    {
        PortSpace ports = computer.Ports;
        var seen = new System.Text.StringBuilder();
        foreach (byte step in steps)
        {
            var value = (uint)(step >> 3);
            switch (step & 7)
            {
                case 0: ports.Write((ushort)(0x3F8 + value % 8), 1, step * 5u); break;
                case 1: ports.Write((ushort)(0x1010 + value * 4), 4, step); break;
                case 2: ports.Write(0x1100, 4, value); break;
                case 3:
                    ports.Write((ushort)(0x1F2 + value % 5), 1, value / 5);
                    ports.Write(0x1F7, 1, value < 16 ? 0x20u : value < 24 ? 0x30u : 0xECu);
                    break;
                case 4: ports.Write(0x43, 1, 0x34); ports.Write(0x40, 1, step); ports.Write(0x40, 1, value); break;
                case 5: ports.Write(0x70, 1, value % 14); ports.Write(0x71, 1, step); break;
                case 6: ports.Write(value % 2 == 0 ? (ushort)0x60 : (ushort)0x64, 1, step | 0x80u); break;
                default: clock.Advance(step * step); break;
            }
            clock.Advance(50);
            foreach (ushort port in s_seen)
                seen.Append(ports.Read(port, 1).ToString("x2"));
            foreach (int line in (int[])[0, 1, 4, 8, 12, 14, 17, 18])
                seen.Append(computer.Interrupts.Line(line) is var l && l.IsAsserted ? '!' : l.IsLatched ? '~' : '.');
            seen.Append('\n');
        }
        return seen.ToString();
    }

    static Computer Make(out FakeClock clock)
    {
        clock = new FakeClock();
        var computer = new Computer(1, new CodeCache()) { Clock = clock };
        Board.Parse(Devices).Attach(computer);
        // Something that is under way everywhere.
        Play(computer, clock, [0xC8, 0x21, 0x29, 0x0A, 0x0B, 0x24, 0x65, 0x6E, 0xFF, 0x18, 0x03]);
        return computer;
    }

    [Fact]
    public void From_a_snapshot_in_the_middle_of_all_jobs_chips_go_on_twice_in_the_same_way() =>
        Prop.ForAll<byte[], byte[]>((before, after) =>
        {
            using Computer computer = Make(out FakeClock clock);
            Play(computer, clock, before);
            // Time that is left of a second is kept, but not the clock.
            ComputerSnapshot snapshot = computer.Snapshot();
            string first = Play(computer, clock, after);
            computer.Restore(snapshot);
            Assert.Equal(first, Play(computer, clock, after));
            computer.Restore(snapshot);
            Assert.Equal(first, Play(computer, clock, after));
        }).Check(GuestText.Properties(100));

    [Fact]
    public void What_was_planned_for_one_moment_keeps_its_order()
    {
        var clock = new FakeClock();
        var done = new List<int>();
        ChipTimer[] timers = [.. Enumerable.Range(0, 3).Select(i => new ChipTimer(clock, () => done.Add(i)))];
        var chip = new Timers(timers);
        foreach (int i in (int[])[2, 0, 1]) timers[i].Set(10);
        byte[] kept = ChipState.Save([chip]);
        foreach (int i in (int[])[0, 1, 2]) timers[i].Set(10);
        clock.Advance(5);
        ChipState.Restore(kept, [chip]);
        clock.Advance(9);
        Assert.Empty(done);
        clock.Advance(1);
        Assert.Equal([2, 0, 1], done);
    }

    sealed class Timers(ChipTimer[] timers) : IChipState
    {
        public void Exchange(ChipState state) => Array.ForEach(timers, state.Timer);
    }

    [Fact]
    public void Processors_memory_and_what_a_disk_holds_come_back()
    {
        using var ata = new AtaCable();
        byte[] one = new byte[512], two = [.. Enumerable.Repeat((byte)2, 512)];
        ata.WriteSectors(0x30, 7, two, 1);
        ata.Computer.Cpu[3] = 0x1234;
        ComputerSnapshot snapshot = ata.Computer.Snapshot();
        ata.WriteSectors(0x30, 7, one, 1);
        ata.Command(0xE7);
        ata.Wait();
        ata.Computer.Cpu[3] = 0;
        ata.Computer.Restore(snapshot);
        Assert.Equal((0x1234UL, 1), (ata.Computer.Cpu[3], ata.Drive.Unflushed));
        Assert.Equal(two, ata.ReadSectors(0x20, 7, 1, 1));
        ata.Channel.PowerOff();
        ata.Channel.PowerOn();
        ata.Wait();
        Assert.Equal(one, ata.ReadSectors(0x20, 7, 1, 1));
    }
}
