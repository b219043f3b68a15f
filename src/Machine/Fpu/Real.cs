namespace Ringdown.Machine;

enum RealKind : byte { Zero, Finite, Infinity, QuietNaN, SignalingNaN, Unsupported }

/// <summary>A floating-point number taken apart: what all formats have in common.</summary>
/// <remarks>
/// A finite value is <see cref="Significand"/> / 2^63 * 2^<see cref="Exponent"/>, bit 63 set, also when its format held
/// it
/// as a denormal. A NaN keeps its significand as the 80-bit format has it.
/// </remarks>
readonly record struct Real(RealKind Kind, bool Sign, int Exponent, ulong Significand, bool Denormal = false)
{
    public const ulong Integer = 1UL << 63, Quiet = 1UL << 62;

    /// <summary>The NaN that an invalid operation gives.</summary>
    public static readonly Real Indefinite = new(RealKind.QuietNaN, true, 0, Integer | Quiet);

    public static Real Zero(bool sign) => new(RealKind.Zero, sign, 0, 0);
    public static Real Infinity(bool sign) => new(RealKind.Infinity, sign, 0, Integer);

    public bool IsNaN => Kind is RealKind.QuietNaN or RealKind.SignalingNaN;
    public bool IsZero => Kind == RealKind.Zero;
    public bool IsInfinite => Kind == RealKind.Infinity;
    public bool IsFinite => Kind == RealKind.Finite;

    public Real Quieted => this with { Kind = RealKind.QuietNaN, Significand = Significand | Quiet };
    public Real WithSign(bool sign) => this with { Sign = sign };
    public Real Negated => this with { Sign = !Sign };

    /// <summary>The exact value of an integer.</summary>
    public static Real Of(long value) => Of(value < 0, value < 0 ? 0UL - (ulong)value : (ulong)value);

    public static Real Of(bool sign, ulong magnitude)
    {
        if (magnitude == 0) return Zero(sign);
        int shift = System.Numerics.BitOperations.LeadingZeroCount(magnitude);
        return new Real(RealKind.Finite, sign, 63 - shift, magnitude << shift);
    }
}

/// <summary>
/// A format's limits: bits of the significand with the integer bit, and the exponents of normal numbers.
/// </summary>
readonly record struct RealFormat(int Precision, int MinExponent, int MaxExponent)
{
    public static readonly RealFormat Half = new(11, -14, 15);
    public static readonly RealFormat Single = new(24, -126, 127);
    public static readonly RealFormat Double = new(53, -1022, 1023);
    public static readonly RealFormat Extended = new(64, -16382, 16383);

    /// <summary>The 80-bit format with fewer bits of significand, as the precision control of the x87 has it.</summary>
    public static RealFormat ExtendedOf(int precision) => Extended with { Precision = precision };

    int FractionBits => Precision - 1;
    int ExponentMask => MaxExponent * 2 + 1;

    /// <summary>Takes apart a number of up to 64 bits with a hidden integer bit.</summary>
    public Real Unpack(ulong bits)
    {
        int exponent = (int)(bits >> FractionBits) & ExponentMask;
        ulong fraction = bits << (64 - FractionBits) >> 1;
        bool sign = (bits >> FractionBits) > (ulong)ExponentMask;
        if (exponent == ExponentMask)
        {
            if (fraction == 0) return Real.Infinity(sign);
            RealKind kind = (fraction & Real.Quiet) != 0 ? RealKind.QuietNaN : RealKind.SignalingNaN;
            return new Real(kind, sign, 0, fraction | Real.Integer);
        }
        if (exponent != 0) return new Real(RealKind.Finite, sign, exponent - MaxExponent, fraction | Real.Integer);
        if (fraction == 0) return Real.Zero(sign);
        int shift = System.Numerics.BitOperations.LeadingZeroCount(fraction);
        return new Real(RealKind.Finite, sign, MinExponent - shift, fraction << shift, Denormal: true);
    }

    /// <summary>Puts together a number that fits: rounding has been done.</summary>
    public ulong Pack(in Real value)
    {
        ulong sign = value.Sign ? (ulong)(ExponentMask + 1) << FractionBits : 0;
        ulong exponents = (ulong)ExponentMask << FractionBits, fraction = value.Significand << 1 >> (64 - FractionBits);
        switch (value.Kind)
        {
            case RealKind.Zero: return sign;
            case RealKind.Infinity: return sign | exponents;
            case RealKind.Finite:
                if (value.Exponent >= MinExponent)
                    return sign | (ulong)(value.Exponent + MaxExponent) << FractionBits | fraction;
                return sign | value.Significand >> (64 - Precision) >> (MinExponent - value.Exponent);
            default: return sign | exponents | fraction;
        }
    }
}
