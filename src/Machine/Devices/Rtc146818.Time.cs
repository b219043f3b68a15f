namespace Ringdown.Machine;

// The time as its registers have it: binary or in digits, of 24 hours or twice 12.
public sealed partial class Rtc146818
{
    const int Seconds = 0, Minutes = 2, Hours = 4, Weekday = 6, Day = 7, Month = 8, Year = 9;
    const byte Afternoon = 0x80, AnyValue = 0xC0;

    static int DaysIn(int year, int month) => month switch
    {
        2 => year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28,
        4 or 6 or 9 or 11 => 30,
        _ => 31,
    };

    byte Encode(int value) => (byte)((_memory[B] & IsBinary) != 0 ? value : value / 10 % 10 << 4 | value % 10);

    int Decode(byte value) => (_memory[B] & IsBinary) != 0 ? value : (value >> 4) * 10 + (value & 0xF);

    byte EncodeHour(int hour) => (_memory[B] & Is24Hours) != 0 ? Encode(hour)
        : (byte)(Encode(hour % 12 == 0 ? 12 : hour % 12) | (hour >= 12 ? Afternoon : 0));

    int DecodeHour(byte value)
    {
        if ((_memory[B] & Is24Hours) != 0) return Decode(value);
        return Decode((byte)(value & ~Afternoon)) % 12 + ((value & Afternoon) != 0 ? 12 : 0);
    }

    void Set(int year, int month, int day, int hour, int minute, int second)
    {
        (_memory[Seconds], _memory[Minutes], _memory[Hours]) = (Encode(second), Encode(minute), EncodeHour(hour));
        (_memory[Day], _memory[Month], _memory[Year]) = (Encode(day), Encode(month), Encode(year % 100));
        _memory[Century] = Encode(year / 100);
        // Zeller: 0 is Saturday, which is 7 here.
        (int y, int m) = month < 3 ? (year - 1, month + 12) : (year, month);
        int weekday = (day + 13 * (m + 1) / 5 + y + y / 4 - y / 100 + y / 400) % 7;
        _memory[Weekday] = Encode(weekday == 0 ? 7 : weekday);
    }

    // Whatever a driver has written there counts on from that.
    void Advance(long seconds)
    {
        long total = Decode(_memory[Seconds]) + 60L * Decode(_memory[Minutes])
            + 3600L * DecodeHour(_memory[Hours]) + seconds;
        (long days, long rest) = Math.DivRem(total, 86_400);
        _memory[Seconds] = Encode((int)(rest % 60));
        _memory[Minutes] = Encode((int)(rest / 60 % 60));
        _memory[Hours] = EncodeHour((int)(rest / 3600));
        if (days == 0) return;
        int day = Decode(_memory[Day]), month = Decode(_memory[Month]);
        int year = Decode(_memory[Century]) * 100 + Decode(_memory[Year]);
        _memory[Weekday] = Encode((int)((Decode(_memory[Weekday]) + 6 + days) % 7 + 1));
        // The calendar repeats after 400 years of 146,097 days.
        for (days %= 146_097; days > 0; days--)
        {
            if (++day <= DaysIn(year, month)) continue;
            day = 1;
            if (++month <= 12) continue;
            month = 1;
            year++;
        }
        (_memory[Day], _memory[Month], _memory[Year]) = (Encode(day), Encode(month), Encode(year % 100));
        _memory[Century] = Encode(year / 100 % 100);
    }

    // How many seconds from now the alarm is; null: there is no such time.
    long? SecondsToAlarm()
    {
        long now = Decode(_memory[Seconds]) + 60L * Decode(_memory[Minutes]) + 3600L * DecodeHour(_memory[Hours]);
        for (long t = now + 1; t <= now + 86_400;)
        {
            int at = (int)(t % 86_400);
            if (!Matches(_memory[Hours + 1], at / 3600, DecodeHour)) t += 3600 - at % 3600;
            else if (!Matches(_memory[Minutes + 1], at / 60 % 60, Decode)) t += 60 - at % 60;
            else if (!Matches(_memory[Seconds + 1], at % 60, Decode)) t++;
            else return t - now;
        }
        return null;
    }

    static bool Matches(byte wanted, int value, Func<byte, int> decode) =>
        (wanted & AnyValue) == AnyValue || decode(wanted) == value;
}
