using System.Numerics;
using System.Runtime.CompilerServices;

namespace Ringdown.Machine;

/// <summary>The transcendental functions: of ST(0), or of ST(1) and ST(0) with a pop.</summary>
/// <remarks>
/// Results are rounded rightly; a real processor may differ in the last bit. C1 says whether that was up, as for
/// arithmetic.
/// </remarks>
static unsafe class X87Functions
{
    public const int F2Xm1 = 0, Sine = 1, Cosine = 2, SineCosine = 3, Tangent = 4;
    public const int YLog2X = 0, YLog2Xp1 = 1, ArcTangent = 2;

    // Below this exponent the first term of a series is all that counts.
    const int Tiny = -80;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* One(Uop* op, CpuState* s)
    {
        if (X87.IsPending(s)) return Fault.Raise(op, s, Fault.FpuError);
        int function = (int)op->Imm;
        bool pushes = function is SineCosine or Tangent;
        if (function != F2Xm1) s->FpuStatus &= unchecked((ushort)~X87.C2);
        if (X87.IsEmpty(s, 0) || pushes && !X87.IsEmpty(s, 7))
        {
            bool overflow = !X87.IsEmpty(s, 0);
            if (!X87.StackFaults(s, overflow)) return op + 1;
            X87.Set(s, 0, Real.Indefinite);
            if (pushes) X87.Push(s, Real.Indefinite);
            return op + 1;
        }
        RealContext c = X87.Context(s);
        Real a = X87.Get(s, 0), second = default;
        if (NaN.X87(ref c, a, Real.Zero(false), out Real result))
        {
            second = result;
        }
        else if (function == F2Xm1)
        {
            result = PowerMinusOne(ref c, a);
        }
        else if (a.IsFinite && a.Exponent >= 63)
        {
            // Too large: the program has to reduce it.
            X87.ClearC1(s);
            s->FpuStatus |= X87.C2;
            return op + 1;
        }
        else
        {
            (result, second) = Angle(ref c, a, function);
        }
        if (!X87.Finish(s, c)) return op + 1;
        X87.Set(s, 0, result);
        if (pushes) X87.Push(s, second);
        return op + 1;
    }

    static Real PowerMinusOne(ref RealContext c, in Real a)
    {
        c.NoteDenormal(a);
        if (a.IsZero) return a;
        if (a.IsInfinite) return a.Sign ? new Real(RealKind.Finite, true, 0, Real.Integer) : a;
        // Outside -1 to 1 the result is undefined: the operand stays.
        if (a.Exponent > 0 || a.Exponent == 0 && a.Significand != Real.Integer) return a;
        if (a.Exponent == 0) return a.Sign ? new Real(RealKind.Finite, true, -1, Real.Integer) : a;
        if (a.Exponent < Tiny) return Scaled(ref c, a, BigFixed.Ln2);
        return BigFixed.Round(
            ref c, BigFixed.ExpMinusOne(BigFixed.Multiply(BigFixed.Of(a), BigFixed.Ln2)), 0, RealFormat.Extended);
    }

    // a times a constant.
    static Real Scaled(ref RealContext c, in Real a, in BigInteger factor) =>
        BigFixed.Round(ref c, factor * (a.Sign ? -1 : 1) * a.Significand >> 63, a.Exponent, RealFormat.Extended);

    // The value and, where there are two results, the second, which is pushed.
    static (Real, Real) Angle(ref RealContext c, in Real a, int function)
    {
        var one = new Real(RealKind.Finite, false, 0, Real.Integer);
        if (a.IsInfinite)
        {
            Real nan = c.MakeInvalid();
            return (nan, nan);
        }
        c.NoteDenormal(a);
        if (a.IsZero) return function switch { Cosine => (one, one), Sine => (a, a), _ => (a, one) };
        if (a.Exponent < Tiny) return TinyAngle(ref c, a, function, one);

        // Quarter turns, and what is left, between -pi/4 and pi/4.
        BigInteger x = BigInteger.Abs(BigFixed.Of(a)), quarter = BigFixed.ShortPi >> 1;
        BigInteger turns = (x + (quarter >> 1)) / quarter;
        BigInteger rest = x - turns * quarter;
        (BigInteger sine, BigInteger cosine) = BigFixed.SineCosine(rest);
        (sine, cosine) = (int)(turns & 3) switch
        {
            0 => (sine, cosine),
            1 => (cosine, -sine),
            2 => (-sine, -cosine),
            _ => (-cosine, sine),
        };
        if (a.Sign) sine = -sine;
        if (function == Tangent)
            return (BigFixed.Round(ref c, BigFixed.Divide(sine, cosine), 0, RealFormat.Extended), one);
        Real first = function == Cosine ? default : BigFixed.Round(ref c, sine, 0, RealFormat.Extended);
        if (function == Sine) return (first, default);
        Real second = BigFixed.Round(ref c, cosine, 0, RealFormat.Extended);
        return function == Cosine ? (second, default) : (first, second);
    }

    // sin x and tan x are x, a little less or more; cos x is just below 1.
    static (Real, Real) TinyAngle(ref RealContext c, in Real a, int function, in Real one)
    {
        UInt128 significand = (UInt128)a.Significand << 64, belowOne = UInt128.MaxValue;
        Real near = function switch
        {
            Cosine => default,
            Tangent => c.Round(a.Sign, a.Exponent, significand | UInt128.One, RealFormat.Extended),
            _ => c.Round(a.Sign, a.Exponent, significand - UInt128.One, RealFormat.Extended),
        };
        if (function == Tangent) return (near, one);
        if (function == Sine) return (near, default);
        Real cosine = c.Round(false, -1, belowOne, RealFormat.Extended);
        return function == Cosine ? (cosine, default) : (near, cosine);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* Two(Uop* op, CpuState* s)
    {
        if (X87.IsPending(s)) return Fault.Raise(op, s, Fault.FpuError);
        if (X87.IsEmpty(s, 0) || X87.IsEmpty(s, 1))
        {
            if (!X87.StackFaults(s, overflow: false)) return op + 1;
            X87.Set(s, 1, Real.Indefinite);
            X87.Pop(s);
            return op + 1;
        }
        RealContext c = X87.Context(s);
        Real x = X87.Get(s, 0), y = X87.Get(s, 1);
        if (!NaN.X87(ref c, x, y, out Real result))
            result = op->Imm switch
            {
                YLog2X => YTimesLog(ref c, y, x),
                YLog2Xp1 => YTimesLogPlusOne(ref c, y, x),
                _ => ArcTan(ref c, y, x),
            };
        if (!X87.Finish(s, c)) return op + 1;
        X87.Set(s, 1, result);
        X87.Pop(s);
        return op + 1;
    }

    static Real YTimesLog(ref RealContext c, in Real y, in Real x)
    {
        var one = new Real(RealKind.Finite, false, 0, Real.Integer);
        if (x.IsZero)
        {
            if (y.IsZero) return c.MakeInvalid();
            if (y.IsInfinite) return y.Negated;
            c.Before |= RealContext.ZeroDivide;
            return Real.Infinity(!y.Sign);
        }
        if (x.Sign) return c.MakeInvalid();
        bool isOne = x.IsFinite && x.Exponent == 0 && x.Significand == Real.Integer;
        if (isOne && y.IsInfinite || x.IsInfinite && y.IsZero) return c.MakeInvalid();
        c.NoteDenormal(x, y);
        bool below = RealMath.Compare(x, one) < 0;
        if (x.IsInfinite || y.IsInfinite) return Real.Infinity(y.Sign != below);
        if (isOne || y.IsZero) return Real.Zero(y.Sign != below);
        // x = m * 2^e with m near 1, so that the logarithm of m is small and exact to many bits.
        int e = x.Exponent;
        BigInteger m = BigFixed.Of(x with { Exponent = 0, Sign = false });
        if (m > BigFixed.One * 3 / 2)
        {
            m >>= 1;
            e++;
        }
        BigInteger log = BigFixed.Divide(BigFixed.LogOnePlus(m - BigFixed.One), BigFixed.Ln2) + e * BigFixed.One;
        bool exact = m == BigFixed.One;
        return Product(ref c, y, log, 0, exact);
    }

    static Real Product(ref RealContext c, in Real y, in BigInteger factor, int exponent, bool exact)
    {
        if (exact)
        {
            // The processor does not find out that this one is.
            c.After |= RealContext.Inexact;
            return RealMath.Multiply(ref c, y, Real.Of((long)(factor >> BigFixed.Bits)), RealFormat.Extended);
        }
        BigInteger value = factor * (y.Sign ? -1 : 1) * y.Significand;
        return BigFixed.Round(ref c, value, exponent + y.Exponent - 63, RealFormat.Extended);
    }

    static Real YTimesLogPlusOne(ref RealContext c, in Real y, in Real x)
    {
        if (x.IsZero || y.IsZero)
        {
            if (x.IsInfinite || y.IsInfinite) return c.MakeInvalid();
            c.NoteDenormal(x, y);
            return Real.Zero(x.Sign != y.Sign);
        }
        if (x.IsInfinite && x.Sign) return c.MakeInvalid();
        c.NoteDenormal(x, y);
        if (x.IsInfinite || y.IsInfinite) return Real.Infinity(x.Sign != y.Sign);
        // Outside about -0.3 to 0.4 the result is undefined.
        if (x.Exponent >= 0) return x.Sign ? c.MakeInvalid() : Real.Infinity(y.Sign);
        if (x.Exponent >= Tiny)
        {
            BigInteger log = BigFixed.Log2(BigFixed.One + BigFixed.Of(x));
            return Product(ref c, y, log, 0, exact: false);
        }
        BigInteger small = BigFixed.Divide(BigFixed.One, BigFixed.Ln2) * (x.Sign ? -1 : 1) * x.Significand >> 63;
        return Product(ref c, y, small, x.Exponent, exact: false);
    }

    static Real ArcTan(ref RealContext c, in Real y, in Real x)
    {
        c.NoteDenormal(x, y);
        if (y.IsZero || x.IsInfinite && !y.IsInfinite)
        {
            if (!x.Sign) return Real.Zero(y.Sign);
            return BigFixed.Round(ref c, y.Sign ? -BigFixed.Pi : BigFixed.Pi, 0, RealFormat.Extended);
        }
        BigInteger angle;
        if (x.IsInfinite) angle = x.Sign ? 3 * BigFixed.Pi >> 2 : BigFixed.Pi >> 2;
        else if (y.IsInfinite || x.IsZero) angle = BigFixed.Pi >> 1;
        else
        {
            int distance = y.Exponent - x.Exponent;
            if (distance < -100 && !x.Sign) return SmallRatio(ref c, y, x);
            angle = OfRatio(y, x, distance);
            if (x.Sign) angle = BigFixed.Pi - angle;
        }
        return BigFixed.Round(ref c, y.Sign ? -angle : angle, 0, RealFormat.Extended);
    }

    // Between 0 and pi/2, of the magnitudes.
    static BigInteger OfRatio(in Real y, in Real x, int distance)
    {
        if (distance > 200) return BigFixed.Pi >> 1;
        if (distance < -200) return BigInteger.One;
        BigInteger ratio = Ratio(y.Significand, x.Significand, distance);
        if (ratio <= BigFixed.One) return BigFixed.ArcTan(ratio);
        return (BigFixed.Pi >> 1) - BigFixed.ArcTan(Ratio(x.Significand, y.Significand, -distance));
    }

    static BigInteger Ratio(ulong a, ulong b, int exponent) =>
        exponent >= 0 ? ((BigInteger)a << (BigFixed.Bits + exponent)) / b
            : ((BigInteger)a << BigFixed.Bits) / b >> -exponent;

    // The angle is a little less than its tangent.
    static Real SmallRatio(ref RealContext c, in Real y, in Real x)
    {
        BigInteger ratio = ((BigInteger)y.Significand << BigFixed.Bits) / x.Significand - 1;
        return BigFixed.Round(ref c, y.Sign ? -ratio : ratio, y.Exponent - x.Exponent, RealFormat.Extended);
    }
}
