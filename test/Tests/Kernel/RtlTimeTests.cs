using FsCheck;
using FsCheck.Fluent;
using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;

namespace Ringdown.Tests;

/// <summary>Time against .NET's calendar.</summary>
public sealed class RtlTimeTests
{
    static Gen<DateTime> Times => from days in Gen.Choose(0, 3_000_000)
                                  from milliseconds in Gen.Choose(0, 86_399_999)
                                  select new DateTime(1601, 1, 1).AddDays(days).AddMilliseconds(milliseconds);

    [Fact]
    public void A_time_becomes_fields_and_fields_a_time()
    {
        using var m = new TestMachine();
        Va time = m.Block(8);
        var fields = TimeFields.At(m.Nt.Memory, m.Block(TimeFields.Size));
        Prop.ForAll(Times.ToArbitrary(), t =>
        {
            long ticks = (t - new DateTime(1601, 1, 1)).Ticks;
            m.Nt.Memory.Write(time, ticks);
            m.Nt.RtlTimeToTimeFields(time, fields);
            Assert.Equal((t.Year, t.Month, t.Day, t.Hour), (fields.Year, fields.Month, fields.Day, fields.Hour));
            Assert.Equal((t.Minute, t.Second, t.Millisecond, (int)t.DayOfWeek),
                (fields.Minute, fields.Second, fields.Milliseconds, fields.Weekday));
            m.Nt.Memory.Write(time, 0L);
            Assert.True(m.Nt.RtlTimeFieldsToTime(fields, time));
            Assert.Equal(ticks, m.Nt.Memory.Read<long>(time));
        }).Check(GuestText.Properties(500));
        (fields.Month, fields.Day) = (2, 30);
        Assert.False(m.Nt.RtlTimeFieldsToTime(fields, time));
        fields.Month = 13;
        Assert.False(m.Nt.RtlTimeFieldsToTime(fields, time));
    }

    [Fact]
    public void Seconds_count_from_1970_and_1980()
    {
        using var m = new TestMachine();
        Va time = m.Block(8), seconds = m.Block(4);
        Prop.ForAll(ArbMap.Default.ArbFor<uint>(), s =>
        {
            m.Nt.RtlSecondsSince1970ToTime(s, time);
            Assert.Equal(DateTime.UnixEpoch.AddSeconds(s).ToFileTimeUtc(), m.Nt.Memory.Read<long>(time));
            Assert.True(m.Nt.RtlTimeToSecondsSince1970(time, seconds));
            Assert.Equal(s, m.U32(seconds));
            m.Nt.RtlSecondsSince1980ToTime(s, time);
            Assert.Equal(new DateTime(1980, 1, 1, 0, 0, 0, DateTimeKind.Utc).AddSeconds(s).ToFileTimeUtc(),
                m.Nt.Memory.Read<long>(time));
            Assert.True(m.Nt.RtlTimeToSecondsSince1980(time, seconds));
            Assert.Equal(s, m.U32(seconds));
        }).Check(GuestText.Properties(100));
        m.Nt.Memory.Write(time, 1L);
        Assert.False(m.Nt.RtlTimeToSecondsSince1970(time, seconds));
    }

    [Fact]
    public void A_span_has_days()
    {
        using var m = new TestMachine();
        Va time = m.Block(8);
        var fields = TimeFields.At(m.Nt.Memory, m.Block(TimeFields.Size));
        m.Nt.Memory.Write(time, new TimeSpan(3, 4, 5, 6, 7).Ticks);
        m.Nt.RtlTimeToElapsedTimeFields(time, fields);
        Assert.Equal((0, 0, 3, 4), (fields.Year, fields.Month, fields.Day, fields.Hour));
        Assert.Equal((5, 6, 7), (fields.Minute, fields.Second, fields.Milliseconds));
    }
}
