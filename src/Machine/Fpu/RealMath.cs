namespace Ringdown.Machine;

/// <summary>
/// Exact arithmetic on <see cref="Real"/>, rounded once, with the exceptions of IEEE 754 as x86 has them.
/// </summary>
/// <remarks>Operands are no NaN: which NaN goes on is a matter of the instruction set, see <see cref="NaN"/>.</remarks>
static class RealMath
{
    public static Real Add(ref RealContext c, Real a, Real b, in RealFormat format)
    {
        (a, b) = (c.Operand(a), c.Operand(b));
        if (a.IsInfinite || b.IsInfinite)
        {
            if (a.IsInfinite && b.IsInfinite && a.Sign != b.Sign) return c.MakeInvalid();
            c.NoteDenormal(a, b);
            return a.IsInfinite ? a : b;
        }
        c.NoteDenormal(a, b);
        if (a.IsZero && b.IsZero)
            return a.Sign == b.Sign ? a : Real.Zero(c.Rounding == RealContext.Down);
        if (b.IsZero) return c.Round(a.Sign, a.Exponent, (UInt128)a.Significand << 64, format);
        if (a.IsZero) return c.Round(b.Sign, b.Exponent, (UInt128)b.Significand << 64, format);
        if (a.Exponent < b.Exponent) (a, b) = (b, a);
        // One bit above for the carry.
        UInt128 x = (UInt128)a.Significand << 63, y = Jam((UInt128)b.Significand << 63, a.Exponent - b.Exponent);
        if (a.Sign == b.Sign) return c.Round(a.Sign, a.Exponent + 1, x + y, format);
        return x >= y
            ? c.Round(a.Sign, a.Exponent + 1, x - y, format)
            : c.Round(b.Sign, a.Exponent + 1, y - x, format);
    }

    public static Real Subtract(ref RealContext c, in Real a, in Real b, in RealFormat format) =>
        Add(ref c, a, b.Negated, format);

    public static Real Multiply(ref RealContext c, Real a, Real b, in RealFormat format)
    {
        (a, b) = (c.Operand(a), c.Operand(b));
        bool sign = a.Sign != b.Sign;
        if (a.IsInfinite || b.IsInfinite)
        {
            if (a.IsZero || b.IsZero) return c.MakeInvalid();
            c.NoteDenormal(a, b);
            return Real.Infinity(sign);
        }
        c.NoteDenormal(a, b);
        if (a.IsZero || b.IsZero) return Real.Zero(sign);
        UInt128 product = Math.BigMul(a.Significand, b.Significand);
        return c.Round(sign, a.Exponent + b.Exponent + 1, product, format);
    }

    public static Real Divide(ref RealContext c, Real a, Real b, in RealFormat format)
    {
        (a, b) = (c.Operand(a), c.Operand(b));
        bool sign = a.Sign != b.Sign;
        if (a.IsInfinite && b.IsInfinite || a.IsZero && b.IsZero) return c.MakeInvalid();
        if (b.IsZero && a.IsFinite)
        {
            c.Before |= RealContext.ZeroDivide;
            return Real.Infinity(sign);
        }
        c.NoteDenormal(a, b);
        if (a.IsInfinite) return Real.Infinity(sign);
        if (a.IsZero || b.IsInfinite) return b.IsZero ? Real.Infinity(sign) : Real.Zero(sign);
        int exponent = a.Exponent - b.Exponent;
        UInt128 numerator = (UInt128)a.Significand << 64;
        if (a.Significand >= b.Significand) numerator >>= 1;
        else exponent--;
        (UInt128 high, UInt128 rest) = UInt128.DivRem(numerator, b.Significand);
        (UInt128 low, rest) = UInt128.DivRem(rest << 64, b.Significand);
        UInt128 quotient = high << 64 | low;
        if (rest != UInt128.Zero) quotient |= UInt128.One;
        return c.Round(sign, exponent, quotient, format);
    }

    public static Real SquareRoot(ref RealContext c, Real a, in RealFormat format)
    {
        a = c.Operand(a);
        if (a.IsZero) return a;
        if (a.Sign) return c.MakeInvalid();
        c.NoteDenormal(a);
        if (a.IsInfinite) return a;
        bool odd = (a.Exponent & 1) != 0;
        UInt128 square = (UInt128)a.Significand << (odd ? 64 : 63);
        ulong root = Root(square);
        UInt128 rest = square - Math.BigMul(root, root), result = (UInt128)root << 64;
        // (root + 1/2)^2 is root^2 + root + 1/4, so a half is never met exactly.
        if (rest > root) result |= UInt128.One << 63;
        if (rest != UInt128.Zero) result |= UInt128.One;
        return c.Round(false, a.Exponent >> 1, result, format);
    }

    // Of a number with one of its two top bits set: 64 bits.
    static ulong Root(UInt128 square)
    {
        double estimate = Math.Sqrt((double)square);
        ulong root = estimate >= 18446744073709551615.0 ? ulong.MaxValue : (ulong)estimate;
        // One step of Newton's from 53 good bits, then the last ones.
        UInt128 next = (square / root + root) >> 1;
        root = next > ulong.MaxValue ? ulong.MaxValue : (ulong)next;
        while ((UInt128)Math.BigMul(root, root) > square) root--;
        while (root != ulong.MaxValue && (UInt128)Math.BigMul(root + 1, root + 1) <= square) root++;
        return root;
    }

    /// <summary>a * b + d, rounded once.</summary>
    public static Real MultiplyAdd(ref RealContext c, Real a, Real b, Real d, in RealFormat format)
    {
        (a, b, d) = (c.Operand(a), c.Operand(b), c.Operand(d));
        bool sign = a.Sign != b.Sign;
        if (a.IsInfinite && b.IsZero || a.IsZero && b.IsInfinite) return c.MakeInvalid();
        if (a.IsInfinite || b.IsInfinite)
        {
            if (d.IsInfinite && d.Sign != sign) return c.MakeInvalid();
            NoteDenormal(ref c, a, b, d);
            return Real.Infinity(sign);
        }
        NoteDenormal(ref c, a, b, d);
        if (d.IsInfinite) return d;
        if (a.IsZero || b.IsZero)
        {
            if (!d.IsZero) return c.Round(d.Sign, d.Exponent, (UInt128)d.Significand << 64, format);
            return d.Sign == sign ? d : Real.Zero(c.Rounding == RealContext.Down);
        }
        UInt128 product = Math.BigMul(a.Significand, b.Significand);
        int exponent = a.Exponent + b.Exponent + 1;
        if (d.IsZero) return c.Round(sign, exponent, product, format);
        int shift = (int)UInt128.LeadingZeroCount(product);
        var x = new Wide(sign, exponent - shift, product << shift, UInt128.Zero);
        var y = new Wide(d.Sign, d.Exponent, (UInt128)d.Significand << 64, UInt128.Zero);
        return Wide.Add(x, y).Round(ref c, format);
    }

    static void NoteDenormal(ref RealContext c, in Real a, in Real b, in Real d)
    {
        c.NoteDenormal(a, b);
        c.NoteDenormal(d);
    }

    /// <summary>Shifts right; bits that fall out make bit 0.</summary>
    public static UInt128 Jam(UInt128 value, int shift)
    {
        if (shift == 0) return value;
        if (shift > 127) return value == UInt128.Zero ? value : UInt128.One;
        UInt128 result = value >> shift;
        return result << shift == value ? result : result | UInt128.One;
    }

    /// <summary>-1, 0 or 1. Neither is a NaN.</summary>
    public static int Compare(in Real a, in Real b)
    {
        if (a.IsZero && b.IsZero) return 0;
        if (a.IsZero) return b.Sign ? 1 : -1;
        if (b.IsZero || a.Sign != b.Sign) return a.Sign ? -1 : 1;
        int magnitude = CompareMagnitude(a, b);
        return a.Sign ? -magnitude : magnitude;
    }

    static int CompareMagnitude(in Real a, in Real b)
    {
        if (a.IsInfinite || b.IsInfinite) return (a.IsInfinite ? 1 : 0) - (b.IsInfinite ? 1 : 0);
        int exponents = a.Exponent.CompareTo(b.Exponent);
        return exponents != 0 ? exponents : a.Significand.CompareTo(b.Significand);
    }

    /// <summary>Rounds to an integer value; sets the inexact flag.</summary>
    public static Real RoundToInteger(ref RealContext c, in Real a)
    {
        c.RoundedUp = false;
        if (!a.IsFinite || a.Exponent >= 63) return a;
        UInt128 full = (UInt128)a.Significand << 64;
        int precision = a.Exponent + 1;
        // The format whose smallest denormal is 1.
        var whole = new RealFormat(Math.Max(precision, 1), 0, 1 << 20);
        RealContext quiet = c;
        quiet.Masks = RealContext.AllFlags;
        (quiet.FlushToZero, quiet.After) = (false, 0);
        Real result = a.Exponent >= 0
            ? quiet.Round(a.Sign, a.Exponent, full, whole)
            : quiet.Round(a.Sign, a.Exponent, full, new RealFormat(1, 0, 1 << 20));
        if ((quiet.After & RealContext.Inexact) != 0) c.After |= RealContext.Inexact;
        c.RoundedUp = quiet.RoundedUp;
        return result.WithSign(a.Sign);
    }

    /// <summary>The integer of so many bits, or the one that stands for "invalid".</summary>
    public static long ToInteger(ref RealContext c, in Real value, int bits)
    {
        long indefinite = long.MinValue >> (64 - bits);
        if (value.IsZero) return 0;
        if (!value.IsFinite) return Refuse(ref c, indefinite);
        RealContext before = c;
        Real whole = RoundToInteger(ref c, value);
        if (whole.IsZero) return 0;
        bool fits = whole.Exponent < bits - 1
            || whole.Sign && whole.Exponent == bits - 1 && whole.Significand == Real.Integer;
        if (!fits)
        {
            c = before;
            return Refuse(ref c, indefinite);
        }
        ulong magnitude = whole.Significand >> (63 - whole.Exponent);
        return whole.Sign ? (long)(0 - magnitude) : (long)magnitude;
    }

    static long Refuse(ref RealContext c, long indefinite)
    {
        c.Before |= RealContext.Invalid;
        c.RoundedUp = false;
        return indefinite;
    }

    /// <summary>Converts to a format: rounds, with its exceptions.</summary>
    public static Real Convert(ref RealContext c, Real a, in RealFormat format)
    {
        a = c.Operand(a);
        c.RoundedUp = false;
        if (!a.IsFinite) return a;
        c.NoteDenormal(a);
        return c.Round(a.Sign, a.Exponent, (UInt128)a.Significand << 64, format);
    }
}
