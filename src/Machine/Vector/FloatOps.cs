using System.Numerics;
using System.Runtime.CompilerServices;

namespace Ringdown.Machine;

/// <summary>An element of a floating-point vector: float or double.</summary>
static unsafe class Element
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static RealFormat Format<T>() where T : unmanaged =>
        sizeof(T) == 4 ? RealFormat.Single : RealFormat.Double;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Bits<T>(T value) where T : unmanaged =>
        sizeof(T) == 4 ? *(uint*)&value : *(ulong*)&value;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T FromBits<T>(ulong bits) where T : unmanaged => *(T*)&bits;

    public static Real Unpack<T>(T value) where T : unmanaged => Format<T>().Unpack(Bits(value));

    public static T Pack<T>(in Real value) where T : unmanaged => FromBits<T>(Format<T>().Pack(value));

    /// <summary>Neither zero, denormal, infinite nor a NaN, and not the smallest normal number either.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool IsPlain<T>(T value) where T : unmanaged
    {
        if (sizeof(T) == 4)
        {
            uint magnitude = *(uint*)&value & 0x7FFF_FFFF;
            return magnitude - 0x0080_0001 < 0x7F80_0000 - 0x0080_0001;
        }
        ulong wide = *(ulong*)&value & long.MaxValue;
        return wide - 0x0010_0000_0000_0001 < 0x7FF0_0000_0000_0000 - 0x0010_0000_0000_0001;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool IsZero<T>(T value) where T : unmanaged => Bits(value) << (65 - sizeof(T) * 8) == 0;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool IsPlainOrZero<T>(T value) where T : unmanaged => IsPlain(value) || IsZero(value);

    /// <summary>Zero, or so far from the limits that the error of an operation is a number of the format too.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool IsModerate<T>(T value) where T : unmanaged
    {
        int exponent = sizeof(T) == 4
            ? (int)(*(uint*)&value >> 23 & 0xFF) - 127 : (int)(*(ulong*)&value >> 52 & 0x7FF) - 1023;
        return exponent is > -40 and < 40 || IsZero(value);
    }
}

/// <summary>Arithmetic on elements.</summary>
interface IFloatOp
{
    /// <summary>What the host's arithmetic gives, rounding to nearest.</summary>
    static abstract T Fast<T>(T a, T b) where T : unmanaged, IBinaryFloatingPointIeee754<T>;

    /// <summary>The same with every mode and exception.</summary>
    static abstract T Slow<T>(ref RealContext c, T a, T b) where T : unmanaged, IBinaryFloatingPointIeee754<T>;

    /// <summary>Whether a result of moderate operands is exact.</summary>
    static abstract bool IsExact<T>(T a, T b, T result) where T : unmanaged, IBinaryFloatingPointIeee754<T>;

    /// <summary>Whether zero is a result that leaves no flag, as that of numbers that are too small would.</summary>
    static abstract bool GivesZero<T>(T a, T b) where T : unmanaged, IBinaryFloatingPointIeee754<T>;
}

/// <summary>Operations that round and follow the common rule for NaNs.</summary>
interface IRounding
{
    static abstract T Fast<T>(T a, T b) where T : unmanaged, IBinaryFloatingPointIeee754<T>;
    static abstract T Error<T>(T a, T b, T result) where T : unmanaged, IBinaryFloatingPointIeee754<T>;
    static abstract bool GivesZero<T>(T a, T b) where T : unmanaged, IBinaryFloatingPointIeee754<T>;
    static abstract Real Do(ref RealContext c, in Real a, in Real b, in RealFormat format);
}

static class RoundingError
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T OfSum<T>(T a, T b, T sum) where T : unmanaged, IBinaryFloatingPointIeee754<T>
    {
        T second = sum - a;
        return (a - (sum - second)) + (b - second);
    }
}

struct AddReal : IRounding
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Fast<T>(T a, T b) where T : unmanaged, IBinaryFloatingPointIeee754<T> => a + b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Error<T>(T a, T b, T result)
        where T : unmanaged, IBinaryFloatingPointIeee754<T> => RoundingError.OfSum(a, b, result);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool GivesZero<T>(T a, T b) where T : unmanaged, IBinaryFloatingPointIeee754<T> => true;
    public static Real Do(ref RealContext c, in Real a, in Real b, in RealFormat format) =>
        RealMath.Add(ref c, a, b, format);
}

struct SubtractReal : IRounding
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Fast<T>(T a, T b) where T : unmanaged, IBinaryFloatingPointIeee754<T> => a - b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Error<T>(T a, T b, T result)
        where T : unmanaged, IBinaryFloatingPointIeee754<T> => RoundingError.OfSum(a, -b, result);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool GivesZero<T>(T a, T b) where T : unmanaged, IBinaryFloatingPointIeee754<T> => true;
    public static Real Do(ref RealContext c, in Real a, in Real b, in RealFormat format) =>
        RealMath.Subtract(ref c, a, b, format);
}

struct MultiplyReal : IRounding
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Fast<T>(T a, T b) where T : unmanaged, IBinaryFloatingPointIeee754<T> => a * b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Error<T>(T a, T b, T result)
        where T : unmanaged, IBinaryFloatingPointIeee754<T> => T.FusedMultiplyAdd(a, b, -result);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool GivesZero<T>(T a, T b)
        where T : unmanaged, IBinaryFloatingPointIeee754<T> => T.IsZero(a) || T.IsZero(b);
    public static Real Do(ref RealContext c, in Real a, in Real b, in RealFormat format) =>
        RealMath.Multiply(ref c, a, b, format);
}

struct DivideReal : IRounding
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Fast<T>(T a, T b) where T : unmanaged, IBinaryFloatingPointIeee754<T> => a / b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Error<T>(T a, T b, T result)
        where T : unmanaged, IBinaryFloatingPointIeee754<T> => T.FusedMultiplyAdd(result, b, -a);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool GivesZero<T>(T a, T b) where T : unmanaged, IBinaryFloatingPointIeee754<T> => T.IsZero(a);
    public static Real Do(ref RealContext c, in Real a, in Real b, in RealFormat format) =>
        RealMath.Divide(ref c, a, b, format);
}

/// <summary>Addition, subtraction, multiplication, division.</summary>
struct Rounded<TOp> : IFloatOp where TOp : IRounding
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Fast<T>(T a, T b) where T : unmanaged, IBinaryFloatingPointIeee754<T> => TOp.Fast(a, b);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool IsExact<T>(T a, T b, T result) where T : unmanaged, IBinaryFloatingPointIeee754<T> =>
        T.IsZero(TOp.Error(a, b, result));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool GivesZero<T>(T a, T b)
        where T : unmanaged, IBinaryFloatingPointIeee754<T> => TOp.GivesZero(a, b);

    public static T Slow<T>(ref RealContext c, T a, T b) where T : unmanaged, IBinaryFloatingPointIeee754<T>
    {
        Real x = Element.Unpack(a), y = Element.Unpack(b);
        if (!NaN.Sse(ref c, x, y, out Real result)) result = TOp.Do(ref c, x, y, Element.Format<T>());
        return Element.Pack<T>(result);
    }
}

/// <summary>The square root of the second operand.</summary>
struct SquareRoot : IFloatOp
{
    // A negative number gives a NaN here, which is not plain.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Fast<T>(T a, T b) where T : unmanaged, IBinaryFloatingPointIeee754<T> => T.Sqrt(b);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool IsExact<T>(T a, T b, T result) where T : unmanaged, IBinaryFloatingPointIeee754<T> =>
        T.IsZero(T.FusedMultiplyAdd(result, result, -b));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool GivesZero<T>(T a, T b) where T : unmanaged, IBinaryFloatingPointIeee754<T> => T.IsZero(b);

    public static T Slow<T>(ref RealContext c, T a, T b) where T : unmanaged, IBinaryFloatingPointIeee754<T>
    {
        Real x = Element.Unpack(b);
        if (!NaN.Sse(ref c, x, out Real result)) result = RealMath.SquareRoot(ref c, x, Element.Format<T>());
        return Element.Pack<T>(result);
    }
}

interface IChoice
{
    static abstract bool TakesFirst(int comparison);
}

struct Smaller : IChoice
{
    public static bool TakesFirst(int comparison) => comparison < 0;
}

struct Greater : IChoice
{
    public static bool TakesFirst(int comparison) => comparison > 0;
}

/// <summary>MIN and MAX: of equal or unordered operands the second, unchanged.</summary>
struct Extreme<TChoice> : IFloatOp where TChoice : IChoice
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Fast<T>(T a, T b) where T : unmanaged, IBinaryFloatingPointIeee754<T> =>
        TChoice.TakesFirst(a < b ? -1 : a > b ? 1 : 0) ? a : b;

    public static bool IsExact<T>(T a, T b, T result) where T : unmanaged, IBinaryFloatingPointIeee754<T> => true;
    public static bool GivesZero<T>(T a, T b) where T : unmanaged, IBinaryFloatingPointIeee754<T> => true;

    public static T Slow<T>(ref RealContext c, T a, T b) where T : unmanaged, IBinaryFloatingPointIeee754<T>
    {
        Real x = c.Operand(Element.Unpack(a)), y = c.Operand(Element.Unpack(b));
        if (x.IsNaN || y.IsNaN)
        {
            c.Before |= RealContext.Invalid;
            return y.IsZero ? Element.Pack<T>(y) : b;
        }
        c.NoteDenormal(x, y);
        return Element.Pack<T>(TChoice.TakesFirst(RealMath.Compare(x, y)) ? x : y);
    }
}

/// <summary>
/// CMPPS and its like: all ones or zero. The predicate is a type so that it can be left to chance at run time.
/// </summary>
static class Predicate
{
    /// <summary>Whether a comparison of -1, 0, 1, or 2 for unordered fulfils one of AVX's 32 predicates.</summary>
    public static bool Holds(int predicate, int comparison)
    {
        // Bits: less, equal, greater, unordered.
        int accepts = (predicate & 15) switch
        {
            0 => 0b0010,
            1 => 0b0001,
            2 => 0b0011,
            3 => 0b1000,
            4 => 0b1101,
            5 => 0b1110,
            6 => 0b1100,
            7 => 0b0111,
            8 => 0b1010,
            9 => 0b1001,
            10 => 0b1011,
            11 => 0b0000,
            12 => 0b0101,
            13 => 0b0110,
            14 => 0b0100,
            _ => 0b1111,
        };
        return (accepts >> (comparison == 2 ? 3 : comparison + 1) & 1) != 0;
    }

    /// <summary>Whether a quiet NaN is an invalid operand too.</summary>
    public static bool Signals(int predicate)
    {
        bool low = (predicate & 3) is 1 or 2;
        return low != ((predicate & 16) != 0);
    }

    public static int Compare<T>(ref RealContext c, T a, T b, bool signals) where T : unmanaged
    {
        Real x = c.Operand(Element.Unpack(a)), y = c.Operand(Element.Unpack(b));
        if (x.IsNaN || y.IsNaN)
        {
            if (signals || x.Kind == RealKind.SignalingNaN || y.Kind == RealKind.SignalingNaN)
                c.Before |= RealContext.Invalid;
            return 2;
        }
        c.NoteDenormal(x, y);
        return RealMath.Compare(x, y);
    }
}
