using Ringdown.Machine;
using static Ringdown.Kernel.Irql;

namespace Ringdown.Kernel;

/// <summary>TIME_FIELDS: a time as a calendar and a clock show it.</summary>
[Layout("_TIME_FIELDS", Size = 0x10)]
public readonly partial struct TimeFields
{
    [Field(0x00)] public partial short Year { get; set; }
    [Field(0x02)] public partial short Month { get; set; }
    [Field(0x04)] public partial short Day { get; set; }
    [Field(0x06)] public partial short Hour { get; set; }
    [Field(0x08)] public partial short Minute { get; set; }
    [Field(0x0A)] public partial short Second { get; set; }
    [Field(0x0C)] public partial short Milliseconds { get; set; }
    [Field(0x0E)] public partial short Weekday { get; set; }
}

/// <summary>The Gregorian calendar, counted in days from 1601-01-01, a Monday and the start of 400 years.</summary>
static class Calendar
{
    const int DaysPerYear = 365, DaysPer4Years = 1461, DaysPerCentury = 36524, DaysPer400Years = 146097;

    static ReadOnlySpan<short> MonthStarts => [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365];

    public static bool IsLeap(long year) => year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

    public static int DaysIn(long year, int month) =>
        MonthStarts[month] - MonthStarts[month - 1] + (month == 2 && IsLeap(year) ? 1 : 0);

    /// <summary>Days from 1601 to a day of the calendar.</summary>
    public static long DaysTo(long year, int month, int day)
    {
        long past = year - 1601;
        long days = past * DaysPerYear + past / 4 - past / 100 + past / 400;
        return days + MonthStarts[month - 1] + (month > 2 && IsLeap(year) ? 1 : 0) + day - 1;
    }

    /// <summary>The day of the calendar that is so many days after 1601-01-01.</summary>
    public static (long Year, int Month, int Day) DayAt(long days)
    {
        long year = 1601 + days / DaysPer400Years * 400;
        int rest = (int)(days % DaysPer400Years);
        // The last day of 400 years, and of 4, belongs to the last century and the last year.
        int centuries = Math.Min(rest / DaysPerCentury, 3);
        rest -= centuries * DaysPerCentury;
        int fours = rest / DaysPer4Years;
        rest -= fours * DaysPer4Years;
        int years = Math.Min(rest / DaysPerYear, 3);
        rest -= years * DaysPerYear;
        year += centuries * 100 + fours * 4 + years;
        int month = 1;
        while (rest >= DaysIn(year, month)) rest -= DaysIn(year, month++);
        return (year, month, rest + 1);
    }
}

/// <summary>Time as fields and as seconds.</summary>
sealed partial class Rtl
{
    const long TicksPerMillisecond = 10_000, TicksPerSecond = 10_000_000, SecondsPerDay = 86_400;
    const long SecondsTo1970 = 11_644_473_600, SecondsTo1980 = 11_960_006_400;
    const short FirstYear = 1601, LastYear = 30827;

    [Export]
    public void RtlTimeToTimeFields(Va time, TimeFields timeFields)
    {
        // A negative time is none; as unsigned it stays one that the calendar has.
        ulong ticks = nt.Memory.Read<ulong>(time);
        (long year, int month, int day) = Calendar.DayAt((long)(ticks / TicksPerSecond / SecondsPerDay));
        SetClock(timeFields, ticks);
        (timeFields.Year, timeFields.Month, timeFields.Day) = (unchecked((short)year), (short)month, (short)day);
        timeFields.Weekday = (short)((1 + ticks / TicksPerSecond / SecondsPerDay) % 7);
    }

    static void SetClock(TimeFields fields, ulong ticks)
    {
        int seconds = (int)(ticks / TicksPerSecond % SecondsPerDay);
        (fields.Hour, fields.Minute) = ((short)(seconds / 3600), (short)(seconds / 60 % 60));
        fields.Second = (short)(seconds % 60);
        fields.Milliseconds = (short)(ticks / TicksPerMillisecond % 1000);
    }

    /// <summary>A span of time: days, and the rest of the last one.</summary>
    [Export]
    public void RtlTimeToElapsedTimeFields(Va time, TimeFields timeFields)
    {
        ulong ticks = nt.Memory.Read<ulong>(time);
        SetClock(timeFields, ticks);
        (timeFields.Year, timeFields.Month) = (0, 0);
        timeFields.Day = unchecked((short)(ticks / TicksPerSecond / SecondsPerDay));
    }

    /// <summary>False for what is no time of the calendar; the weekday is not looked at.</summary>
    [Export]
    public bool RtlTimeFieldsToTime(TimeFields timeFields, Va time)
    {
        (short year, short month, short day) = (timeFields.Year, timeFields.Month, timeFields.Day);
        (short hour, short minute, short second) = (timeFields.Hour, timeFields.Minute, timeFields.Second);
        short milliseconds = timeFields.Milliseconds;
        if (year is < FirstYear or > LastYear || month is < 1 or > 12 || day < 1 || day > Calendar.DaysIn(year, month)
            || hour is < 0 or > 23 || minute is < 0 or > 59 || second is < 0 or > 59 || milliseconds is < 0 or > 999)
            return false;
        long seconds = Calendar.DaysTo(year, month, day) * SecondsPerDay + hour * 3600 + minute * 60 + second;
        nt.Memory.Write(time, seconds * TicksPerSecond + milliseconds * TicksPerMillisecond);
        return true;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool RtlTimeToSecondsSince1970(Va time, Va elapsedSeconds) =>
        ToSeconds(time, elapsedSeconds, SecondsTo1970);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool RtlTimeToSecondsSince1980(Va time, Va elapsedSeconds) =>
        ToSeconds(time, elapsedSeconds, SecondsTo1980);

    // What 32 bits cannot hold is refused: before the first year, or 136 years later.
    bool ToSeconds(Va time, Va result, long start)
    {
        long seconds = (long)(nt.Memory.Read<ulong>(time) / TicksPerSecond) - start;
        if (seconds is < 0 or > uint.MaxValue) return false;
        nt.Memory.Write(result, (uint)seconds);
        return true;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void RtlSecondsSince1970ToTime(uint elapsedSeconds, Va time) =>
        nt.Memory.Write(time, (SecondsTo1970 + elapsedSeconds) * TicksPerSecond);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void RtlSecondsSince1980ToTime(uint elapsedSeconds, Va time) =>
        nt.Memory.Write(time, (SecondsTo1980 + elapsedSeconds) * TicksPerSecond);
}
