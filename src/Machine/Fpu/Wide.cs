namespace Ringdown.Machine;

/// <summary>
/// A number with 256 bits of significand, for the one sum that needs them: of a product and an addend.
/// </summary>
/// <remarks>The value is high:low / 2^255 * 2^exponent; the top bit is set.</remarks>
readonly record struct Wide(bool Sign, int Exponent, UInt128 High, UInt128 Low)
{
    public static Wide Add(Wide a, Wide b)
    {
        if (a.Exponent < b.Exponent || a.Exponent == b.Exponent && a.High < b.High) (a, b) = (b, a);
        int distance = a.Exponent - b.Exponent;
        // One bit of room for the carry.
        Wide x = a.Shift(1), y = b.Shift(1 + distance);
        if (a.Sign == b.Sign)
        {
            UInt128 low = x.Low + y.Low;
            UInt128 carry = low < x.Low ? UInt128.One : UInt128.Zero;
            return new Wide(a.Sign, a.Exponent + 1, x.High + y.High + carry, low);
        }
        UInt128 borrow = x.Low < y.Low ? UInt128.One : UInt128.Zero;
        return new Wide(a.Sign, a.Exponent + 1, x.High - y.High - borrow, x.Low - y.Low);
    }

    Wide Shift(int count)
    {
        if (count >= 256) return this with { High = UInt128.Zero, Low = UInt128.One };
        if (count >= 128)
        {
            UInt128 low = RealMath.Jam(High, count - 128);
            return this with { High = UInt128.Zero, Low = Low == UInt128.Zero ? low : low | UInt128.One };
        }
        UInt128 rest = RealMath.Jam(Low, count);
        return this with { High = High >> count, Low = rest | High << (128 - count) };
    }

    public Real Round(ref RealContext c, in RealFormat format)
    {
        if (High == UInt128.Zero && Low == UInt128.Zero) return c.Round(Sign, Exponent, UInt128.Zero, format);
        (UInt128 high, UInt128 low, int exponent) = (High, Low, Exponent);
        if (high == UInt128.Zero) (high, low, exponent) = (low, UInt128.Zero, exponent - 128);
        int shift = (int)UInt128.LeadingZeroCount(high);
        if (shift > 0)
        {
            high = high << shift | low >> (128 - shift);
            low <<= shift;
        }
        if (low != UInt128.Zero) high |= UInt128.One;
        return c.Round(Sign, exponent - shift, high, format);
    }
}
