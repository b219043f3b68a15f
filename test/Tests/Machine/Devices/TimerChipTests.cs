using FsCheck;
using FsCheck.Fluent;
using Ringdown.Machine;
using Xunit;

namespace Ringdown.Tests;

/// <summary>The 8254 and the MC146818 alone.</summary>
public sealed class TimerChipTests
{
    static (Pit8254 Pit, FakeClock Clock, InterruptLine Line) MakePit()
    {
        var clock = new FakeClock();
        InterruptLine line = new InterruptController().Line(0);
        return (new Pit8254(clock, line), clock, line);
    }

    static byte Get(RegisterBlock registers, ulong at) => (byte)registers.Read(at, 1);

    [Fact]
    public void The_rate_generator_interrupts_once_a_period_and_does_not_drift()
    {
        var (pit, clock, line) = MakePit();
        Assert.True(clock.IsIdle);
        pit.Registers.Write(3, 1, 0x34);
        pit.Registers.Write(0, 1, 0x9C);
        pit.Registers.Write(0, 1, 0x2E);
        // 11,932 periods of 1,193,182 Hz: 10.00015 ms.
        int edges = 0;
        bool was = line.IsAsserted;
        for (int i = 0; i < 2_000_000; i++)
        {
            clock.Advance(5);
            if (line.IsAsserted && !was) edges++;
            was = line.IsAsserted;
        }
        Assert.Equal(99, edges);
    }

    [Fact]
    public void A_count_runs_down_and_is_latched_and_read_back()
    {
        var (pit, clock, line) = MakePit();
        pit.Registers.Write(3, 1, 0x30);
        Assert.False(line.IsAsserted);
        pit.Registers.Write(0, 1, 0x10);
        pit.Registers.Write(0, 1, 0x27);
        clock.Advance(10_000);
        pit.Registers.Write(3, 1, 0x00);
        clock.Advance(10_000);
        int latched = Get(pit.Registers, 0) | Get(pit.Registers, 0) << 8;
        Assert.Equal(10_000 - 1193, latched);
        int now = Get(pit.Registers, 0) | Get(pit.Registers, 0) << 8;
        Assert.Equal(10_000 - 2386, now);
        pit.Registers.Write(3, 1, 0xE2);
        Assert.Equal(0x30, Get(pit.Registers, 0));
        clock.Advance(100_000);
        Assert.True(line.IsAsserted);
        pit.Registers.Write(3, 1, 0xE2);
        Assert.Equal(0xB0, Get(pit.Registers, 0));
    }

    [Fact]
    public void Counter_2_counts_while_its_gate_is_up_and_shows_its_output()
    {
        var (pit, clock, _) = MakePit();
        pit.Registers.Write(3, 1, 0xB0);
        pit.Registers.Write(2, 1, 0xA9);
        pit.Registers.Write(2, 1, 0x04);
        clock.Advance(20_000);
        Assert.Equal(0, Get(pit.Speaker, 0) & 0x20);
        pit.Speaker.Write(0, 1, 1);
        clock.Advance(9_990);
        Assert.Equal(0, Get(pit.Speaker, 0) & 0x20);
        clock.Advance(20);
        Assert.Equal(0x21, Get(pit.Speaker, 0) & 0x2F);
        // A one-shot: each rising edge of the gate starts it again.
        pit.Registers.Write(3, 1, 0xB3);
        pit.Registers.Write(2, 1, 0x00);
        pit.Registers.Write(2, 1, 0x10);
        Assert.Equal(0x20, Get(pit.Speaker, 0) & 0x20);
        pit.Speaker.Write(0, 1, 0);
        pit.Speaker.Write(0, 1, 1);
        Assert.Equal(0, Get(pit.Speaker, 0) & 0x20);
        clock.Advance(8_400);
        Assert.Equal(0x20, Get(pit.Speaker, 0) & 0x20);
    }

    // In each mode a counter that runs is, computed, what one is that counts step by step.
    [Fact]
    public void A_square_wave_is_high_for_the_longer_half() =>
        Prop.ForAll<ushort, ushort>((count, ticks) =>
        {
            var (pit, clock, line) = MakePit();
            pit.Registers.Write(3, 1, 0x36);
            pit.Registers.Write(0, 1, (byte)count);
            pit.Registers.Write(0, 1, (ulong)count >> 8);
            int period = Math.Max(2, count == 0 ? 65_536 : (int)count);
            clock.Advance(ticks);
            long cycles = (long)((Int128)clock.Now * 1_193_182 / 10_000_000) % period;
            return line.IsAsserted == (cycles < (period + 1) / 2);
        }).Check(GuestText.Properties(300));

    static (Rtc146818 Rtc, FakeClock Clock, InterruptLine Line) MakeRtc()
    {
        var clock = new FakeClock();
        InterruptLine line = new InterruptController().Line(8);
        return (new Rtc146818(clock, line), clock, line);
    }

    static byte Cmos(Rtc146818 rtc, byte index)
    {
        rtc.Registers.Write(0, 1, index);
        return Get(rtc.Registers, 1);
    }

    static void Cmos(Rtc146818 rtc, byte index, byte value)
    {
        rtc.Registers.Write(0, 1, index);
        rtc.Registers.Write(1, 1, value);
    }

    static string Time(Rtc146818 rtc) => string.Join(" ", ((byte[])[0x32, 9, 8, 7, 6, 4, 2, 0]).Select(
        i => Cmos(rtc, i).ToString("X2")));

    [Fact]
    public void The_time_is_the_machines_and_goes_over_a_leap_day()
    {
        var (rtc, clock, _) = MakeRtc();
        Assert.Equal("20 24 01 01 02 00 00 00", Time(rtc));
        clock.Advance(10_000_000L * 86_400 * 59 + 10_000_000);
        Assert.Equal("20 24 02 29 05 00 00 01", Time(rtc));
        Cmos(rtc, 11, 0x82);
        (byte Index, byte Value)[] eve = [(0, 0x59), (2, 0x59), (4, 0x23), (7, 0x31), (8, 0x12), (9, 0x99)];
        foreach ((byte index, byte value) in eve) Cmos(rtc, index, value);
        clock.Advance(50_000_000);
        Assert.Equal("20 99 12 31 05 23 59 59", Time(rtc));
        Cmos(rtc, 11, 0x02);
        clock.Advance(10_000_000);
        Assert.Equal("21 00 01 01 06 00 00 00", Time(rtc));
    }

    [Fact]
    public void Twelve_hours_and_binary_numbers()
    {
        var (rtc, clock, _) = MakeRtc();
        Cmos(rtc, 11, 0x84);
        (byte Index, byte Value)[] time = [(0, 59), (2, 59), (4, 0x8B)];
        foreach ((byte index, byte value) in time) Cmos(rtc, index, value);
        Cmos(rtc, 11, 0x04);
        clock.Advance(10_000_000);
        Assert.Equal((12, 0, 0), (Cmos(rtc, 4), Cmos(rtc, 2), Cmos(rtc, 0)));
    }

    [Fact]
    public void An_update_is_announced_and_ends_with_an_interrupt()
    {
        var (rtc, clock, line) = MakeRtc();
        clock.Advance(9_997_000);
        Assert.Equal(0x26, Cmos(rtc, 10));
        clock.Advance(1_000);
        Assert.Equal(0xA6, Cmos(rtc, 10));
        Assert.True(clock.IsIdle);
        Cmos(rtc, 11, 0x12);
        clock.Advance(2_000);
        Assert.True(line.IsAsserted);
        Assert.Equal(0x90, Cmos(rtc, 12) & 0x90);
        Assert.Equal((false, 0), (line.IsAsserted, Cmos(rtc, 12) & 0x90));
        clock.Advance(10_000_000);
        Assert.True(line.IsAsserted);
        // Nobody takes it: nothing is planned.
        Assert.True(clock.IsIdle);
    }

    [Theory]
    [InlineData(0x01, 0x02, 0x03, 3723)]
    [InlineData(0xFF, 0xFF, 0x03, 3)]
    [InlineData(0xFF, 0x00, 0x00, 3600)]
    [InlineData(0x00, 0x00, 0x00, 86_400)]
    [InlineData(0x33, 0x00, 0x00, 0)]
    public void The_alarm_comes_at_its_time_of_the_day(byte hour, byte minute, byte second, int after)
    {
        var (rtc, clock, line) = MakeRtc();
        (byte Index, byte Value)[] alarm = [(5, hour), (3, minute), (1, second)];
        foreach ((byte index, byte value) in alarm) Cmos(rtc, index, value);
        Cmos(rtc, 11, 0x22);
        clock.Advance(after * 10_000_000L - 1);
        if (after > 0) Assert.False(line.IsAsserted);
        clock.Advance(1);
        Assert.Equal(after > 0, line.IsAsserted);
        if (after > 0) Assert.Equal(0xA0, Cmos(rtc, 12) & 0xA0);
    }

    [Theory, InlineData(3, 8192), InlineData(6, 1024), InlineData(15, 2), InlineData(1, 256)]
    public void The_periodic_interrupt_has_its_rate(byte rate, int perSecond)
    {
        var (rtc, clock, line) = MakeRtc();
        Cmos(rtc, 10, (byte)(0x20 | rate));
        Cmos(rtc, 11, 0x42);
        int count = 0;
        for (int i = 0; i < 200_000; i++)
        {
            clock.Advance(50);
            if (!line.IsAsserted) continue;
            count++;
            Cmos(rtc, 12);
        }
        Assert.Equal(perSecond, count);
    }
}
