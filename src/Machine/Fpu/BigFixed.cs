using System.Numerics;

namespace Ringdown.Machine;

/// <summary>
/// Elementary functions on fixed-point numbers with 256 bits of fraction: enough to round 64 bits rightly.
/// </summary>
static class BigFixed
{
    public const int Bits = 256;

    public static readonly BigInteger One = BigInteger.One << Bits;

    public static readonly BigInteger Ln2 = 2 * ArcTanh(One / 3);

    public static readonly BigInteger Pi = MakePi();

    /// <summary>Pi as the processor takes it to reduce an angle: 66 bits, cut off.</summary>
    public static readonly BigInteger ShortPi = Pi >> (Bits - 64) << (Bits - 64);

    static readonly BigInteger s_arcTanHalf = ArcTanSeries(One >> 1);

    /// <summary>The exact value of a finite number whose lowest bit is not below 2^-256.</summary>
    public static BigInteger Of(in Real x)
    {
        if (x.IsZero) return BigInteger.Zero;
        int shift = x.Exponent - 63 + Bits;
        BigInteger magnitude = shift >= 0 ? (BigInteger)x.Significand << shift : (BigInteger)x.Significand >> -shift;
        return x.Sign ? -magnitude : magnitude;
    }

    public static BigInteger Multiply(in BigInteger a, in BigInteger b) => a * b >> Bits;

    public static BigInteger Divide(in BigInteger a, in BigInteger b) => (a << Bits) / b;

    /// <summary>e^x - 1, of a small x.</summary>
    public static BigInteger ExpMinusOne(in BigInteger x)
    {
        BigInteger sum = x, term = x;
        for (int n = 2; !term.IsZero && term != BigInteger.MinusOne; n++)
        {
            term = Multiply(term, x) / n;
            sum += term;
        }
        return sum;
    }

    /// <summary>(x + x^3/3 + ...): half the logarithm of (1 + x) / (1 - x).</summary>
    public static BigInteger ArcTanh(in BigInteger x)
    {
        BigInteger square = Multiply(x, x), power = x, sum = x;
        for (int n = 3; !IsNothing(power); n += 2)
        {
            power = Multiply(power, square);
            sum += power / n;
        }
        return sum;
    }

    /// <summary>The natural logarithm of 1 + x, where that lies between 1/2 and 2.</summary>
    public static BigInteger LogOnePlus(in BigInteger x) => 2 * ArcTanh(Divide(x, 2 * One + x));

    /// <summary>The logarithm to base 2 of a positive number.</summary>
    public static BigInteger Log2(BigInteger x)
    {
        // Halved or doubled until it is between 3/4 and 3/2, where the series is short.
        int power = (int)x.GetBitLength() - 1 - Bits;
        BigInteger m = power >= 0 ? x >> power : x << -power;
        if (m > One * 3 / 2)
        {
            power++;
            m = power > 0 ? x >> power : x << -power;
        }
        return Divide(LogOnePlus(m - One), Ln2) + power * One;
    }

    /// <summary>Sine and cosine of an angle below 1.</summary>
    public static (BigInteger Sine, BigInteger Cosine) SineCosine(in BigInteger x)
    {
        BigInteger square = -Multiply(x, x), sine = x, cosine = One, term = x;
        for (int n = 2; !IsNothing(term); n += 2)
        {
            term = Multiply(term, square) / (n * (n + 1));
            sine += term;
        }
        term = One;
        for (int n = 1; !IsNothing(term); n += 2)
        {
            term = Multiply(term, square) / (n * (n + 1));
            cosine += term;
        }
        return (sine, cosine);
    }

    /// <summary>The angle whose tangent is x, 0 to 1.</summary>
    public static BigInteger ArcTan(in BigInteger x)
    {
        if (x < One / 3) return ArcTanSeries(x);
        return s_arcTanHalf + ArcTanSeries(Divide(x - (One >> 1), One + (x >> 1)));
    }

    static BigInteger ArcTanSeries(in BigInteger x)
    {
        BigInteger square = -Multiply(x, x), power = x, sum = x;
        for (int n = 3; !IsNothing(power); n += 2)
        {
            power = Multiply(power, square);
            sum += power / n;
        }
        return sum;
    }

    // A right shift of a negative number ends at -1.
    static bool IsNothing(in BigInteger value) => value.IsZero || value == BigInteger.MinusOne;

    // Machin: pi = 16 arctan(1/5) - 4 arctan(1/239).
    static BigInteger MakePi()
    {
        BigInteger one = BigInteger.One << (Bits + 16);
        return (16 * ArcTanOfInverse(5, one) - 4 * ArcTanOfInverse(239, one)) >> 16;
    }

    static BigInteger ArcTanOfInverse(int n, in BigInteger one)
    {
        BigInteger power = one / n, sum = power;
        for (int k = 3, sign = -1; !power.IsZero; k += 2, sign = -sign)
        {
            power /= n * n;
            sum += sign * (power / k);
        }
        return sum;
    }

    /// <summary>Rounds a value times 2^exponent; what is below counts as inexact.</summary>
    public static Real Round(ref RealContext c, BigInteger value, int exponent, in RealFormat format)
    {
        bool sign = value.Sign < 0;
        value = BigInteger.Abs(value);
        if (value.IsZero) return Real.Zero(sign);
        int length = (int)value.GetBitLength();
        BigInteger top = length > 127 ? value >> (length - 127) : value << (127 - length);
        // No result of these functions is exact, so something always lies below.
        UInt128 significand = (UInt128)top << 1 | UInt128.One;
        return c.Round(sign, length - 1 - Bits + exponent, significand, format);
    }
}
