namespace Ringdown.Machine;

/// <summary>
/// How to round, and what happened: the part of MXCSR or of the x87 control word that arithmetic needs.
/// </summary>
/// <remarks>
/// Exceptions found in the operands stand apart from those of the result: if one of the former is unmasked, the latter
/// do
/// not happen.
/// </remarks>
struct RealContext
{
    public const uint Invalid = 1, Denormal = 2, ZeroDivide = 4, Overflow = 8, Underflow = 16, Inexact = 32;
    public const uint AllFlags = 0x3F;

    public const int Nearest = 0, Down = 1, Up = 2, TowardZero = 3;

    const int ExponentWrap = 24576;

    public int Rounding;

    /// <summary>Bits as the flags: set means that the exception is masked.</summary>
    public uint Masks;
    public bool DenormalsAreZero, FlushToZero;

    /// <summary>The x87 delivers a result with a wrapped exponent where overflow or underflow is unmasked.</summary>
    public bool WrapsExponent;

    /// <summary>Flags found before the operation, and those of its result.</summary>
    public uint Before, After;

    /// <summary>The last rounding increased the magnitude: the x87's C1.</summary>
    public bool RoundedUp;

    public static RealContext FromMxcsr(uint mxcsr) => new()
    {
        Rounding = (int)(mxcsr >> 13) & 3,
        Masks = (mxcsr >> 7) & AllFlags,
        DenormalsAreZero = (mxcsr & 0x40) != 0,
        FlushToZero = (mxcsr & 0x8000) != 0 && (mxcsr & 0x800) != 0,
    };

    public readonly bool IsMasked(uint flag) => (Masks & flag) != 0;

    /// <summary>An unmasked exception among those of the operands.</summary>
    public readonly bool Stopped => (Before & ~Masks) != 0;

    /// <summary>The flags to be made sticky, and whether one of them is to be raised.</summary>
    public readonly uint Flags(out bool raises)
    {
        uint flags = Stopped ? Before : Before | After;
        raises = (flags & ~Masks) != 0;
        return flags;
    }

    public Real MakeInvalid()
    {
        Before |= Invalid;
        return Real.Indefinite;
    }

    /// <summary>An operand as the operation sees it: a denormal is zero if the mode says so.</summary>
    public readonly Real Operand(in Real value) =>
        DenormalsAreZero && value.Denormal ? Real.Zero(value.Sign) : value;

    public void NoteDenormal(in Real a)
    {
        if (a.Denormal) Before |= Denormal;
    }

    public void NoteDenormal(in Real a, in Real b)
    {
        if (a.Denormal || b.Denormal) Before |= Denormal;
    }

    /// <summary>
    /// Rounds to a format: <paramref name="significand"/> / 2^127 * 2^<paramref name="exponent"/>, bit 0 is sticky.
    /// </summary>
    public Real Round(bool sign, int exponent, UInt128 significand, in RealFormat format)
    {
        RoundedUp = false;
        if (significand == UInt128.Zero) return Real.Zero(Rounding == Down);
        int shift = (int)UInt128.LeadingZeroCount(significand);
        significand <<= shift;
        exponent -= shift;
        Real full = RoundAt(sign, exponent, significand, format.Precision, out bool inexact);
        if (full.Exponent > format.MaxExponent) return Overflows(full, format, inexact);
        // Tiny is what would be too small after rounding with an exponent as small as it likes.
        if (full.Exponent < format.MinExponent) return Underflows(sign, exponent, significand, format, full, inexact);
        if (exponent < format.MinExponent) full = RoundDenormal(sign, exponent, significand, format, out inexact);
        if (inexact) After |= Inexact;
        return full;
    }

    Real Underflows(
        bool sign, int exponent, UInt128 significand, in RealFormat format, in Real full, bool fullInexact)
    {
        if (!IsMasked(Underflow))
        {
            // What wrapping cannot bring back into range is zero.
            if (WrapsExponent && full.Exponent + ExponentWrap < RealFormat.Extended.MinExponent) return Nothing(sign);
            After |= Underflow;
            if (fullInexact) After |= Inexact;
            return WrapsExponent ? full with { Exponent = full.Exponent + ExponentWrap } : full;
        }
        if (FlushToZero) return Nothing(sign);
        Real result = RoundDenormal(sign, exponent, significand, format, out bool inexact);
        if (inexact) After |= Underflow | Inexact;
        return result;
    }

    Real Nothing(bool sign)
    {
        After |= Underflow | Inexact;
        RoundedUp = false;
        return Real.Zero(sign);
    }

    Real RoundDenormal(bool sign, int exponent, UInt128 significand, in RealFormat format, out bool inexact)
    {
        int precision = format.Precision - (format.MinExponent - exponent);
        return RoundAt(sign, exponent, significand, precision, out inexact);
    }

    Real Overflows(in Real full, in RealFormat format, bool inexact)
    {
        After |= Overflow;
        bool tooLarge = WrapsExponent && full.Exponent - ExponentWrap > RealFormat.Extended.MaxExponent;
        if (!IsMasked(Overflow) && !tooLarge)
        {
            if (inexact) After |= Inexact;
            return WrapsExponent ? full with { Exponent = full.Exponent - ExponentWrap } : full;
        }
        After |= Inexact;
        bool away = tooLarge && !IsMasked(Overflow) || Rounding == Nearest || Rounding == Up && !full.Sign
            || Rounding == Down && full.Sign;
        RoundedUp = away;
        if (away) return Real.Infinity(full.Sign);
        return new Real(RealKind.Finite, full.Sign, format.MaxExponent, ~0UL << (64 - format.Precision));
    }

    // Keeps so many bits of a normalised significand; none or fewer when the value lies below the smallest denormal.
    Real RoundAt(bool sign, int exponent, UInt128 significand, int precision, out bool inexact)
    {
        UInt128 kept, rest, half;
        if (precision <= 0)
        {
            kept = UInt128.Zero;
            half = UInt128.One << 127;
            // Below half of the smallest denormal only the fact counts that something is there.
            rest = precision == 0 ? significand : UInt128.One;
        }
        else
        {
            int drop = 128 - precision;
            kept = significand >> drop;
            rest = significand - (kept << drop);
            half = UInt128.One << (drop - 1);
        }
        inexact = rest != UInt128.Zero;
        bool up = Rounding switch
        {
            Nearest => rest > half || rest == half && (kept & UInt128.One) != UInt128.Zero,
            Down => inexact && sign,
            Up => inexact && !sign,
            _ => false,
        };
        RoundedUp = up;
        if (up) kept += UInt128.One;
        if (kept == UInt128.Zero) return Real.Zero(sign);
        int position = 127 - (int)UInt128.LeadingZeroCount(kept);
        ulong top = (ulong)(kept << (127 - position) >> 64);
        return new Real(RealKind.Finite, sign, exponent - precision + 1 + position, top);
    }
}
