using System.Runtime.CompilerServices;

namespace Ringdown.Machine;

/// <summary>FSCALE, FXTRACT, FPREM and FPREM1: what works on exponents and remainders. These are exact.</summary>
static unsafe class X87Scale
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* Scale(Uop* op, CpuState* s)
    {
        if (!Begin(op, s, out Real a, out Real b, out Uop* next)) return next;
        RealContext c = X87.Context(s);
        if (!NaN.X87(ref c, a, b, out Real result)) result = Scaled(ref c, a, b);
        if (X87.Finish(s, c)) X87.Set(s, 0, result);
        return op + 1;
    }

    static Real Scaled(ref RealContext c, in Real a, in Real b)
    {
        if (b.IsInfinite)
        {
            if (a.IsInfinite && b.Sign || a.IsZero && !b.Sign) return c.MakeInvalid();
            c.NoteDenormal(a);
            if (b.Sign) return Real.Zero(a.Sign);
            return Real.Infinity(a.Sign);
        }
        c.NoteDenormal(a, b);
        if (!a.IsFinite || !b.IsFinite) return a;
        int power = b.Exponent < 0 ? 0 : b.Exponent > 16 ? 1 << 17 : (int)(b.Significand >> (63 - b.Exponent));
        if (b.Sign) power = -power;
        return c.Round(a.Sign, a.Exponent + power, (UInt128)a.Significand << 64, RealFormat.Extended);
    }

    /// <summary>FXTRACT: the exponent in ST(0)'s place, the significand pushed.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* Extract(Uop* op, CpuState* s)
    {
        if (X87.IsPending(s)) return Fault.Raise(op, s, Fault.FpuError);
        if (X87.IsEmpty(s, 0) || !X87.IsEmpty(s, 7))
        {
            if (!X87.StackFaults(s, overflow: !X87.IsEmpty(s, 0))) return op + 1;
            X87.Set(s, 0, Real.Indefinite);
            X87.Push(s, Real.Indefinite);
            return op + 1;
        }
        RealContext c = X87.Context(s);
        Real a = X87.Get(s, 0), significand;
        if (NaN.X87(ref c, a, Real.Zero(false), out Real exponent)) significand = exponent;
        else if (a.IsInfinite) (exponent, significand) = (Real.Infinity(false), a);
        else if (a.IsZero)
        {
            c.Before |= RealContext.ZeroDivide;
            (exponent, significand) = (Real.Infinity(true), a);
        }
        else
        {
            c.NoteDenormal(a);
            (exponent, significand) = (Real.Of(a.Exponent), a with { Exponent = 0 });
        }
        if (!X87.Finish(s, c)) return op + 1;
        X87.Set(s, 0, exponent);
        X87.Push(s, significand);
        return op + 1;
    }

    /// <summary>FPREM (Imm 0: the quotient is cut off) and FPREM1 (Imm 1: it is rounded).</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* Remainder(Uop* op, CpuState* s)
    {
        bool begun = Begin(op, s, out Real a, out Real b, out Uop* next);
        if (next != null) s->FpuStatus &= unchecked((ushort)~X87.C2);
        if (!begun) return next;
        RealContext c = X87.Context(s);
        int codes = 0;
        bool hasCodes = false;
        if (!NaN.X87(ref c, a, b, out Real result))
        {
            if (a.IsInfinite || b.IsZero) result = c.MakeInvalid();
            else
            {
                c.NoteDenormal(a, b);
                hasCodes = true;
                result = a.IsZero ? a : b.IsInfinite ? Same(ref c, a) : Reduce(ref c, a, b, op->Imm != 0, out codes);
            }
        }
        if (!X87.Finish(s, c)) return op + 1;
        if (hasCodes) X87.SetCodes(s, codes);
        X87.Set(s, 0, result);
        return op + 1;
    }

    static Real Reduce(ref RealContext c, in Real a, in Real b, bool nearest, out int codes)
    {
        codes = 0;
        int distance = a.Exponent - b.Exponent;
        if (distance < -1 || distance < 0 && !nearest) return Same(ref c, a);
        bool partial = distance >= 64;
        // Each step takes 32 to 63 bits off the quotient.
        int bits = partial ? distance - (32 + distance % 32) : 0;
        UInt128 rest = a.Significand;
        ulong quotient = 0, divisor = b.Significand;
        int steps = distance - bits;
        for (int i = steps; i >= 0; i--)
        {
            quotient <<= 1;
            if (rest >= divisor)
            {
                rest -= divisor;
                quotient |= 1;
            }
            if (i > 0) rest <<= 1;
        }
        bool sign = a.Sign;
        int exponent = b.Exponent + bits;
        if (distance < 0)
        {
            // Half of b at most: a is there already, unless it is more.
            (rest, quotient, exponent) = (a.Significand, 0, a.Exponent);
            if (2 * (UInt128)a.Significand <= (UInt128)divisor << 1) return Same(ref c, a);
            rest = ((UInt128)divisor << 1) - a.Significand;
            (sign, quotient) = (!sign, 1);
        }
        else if (nearest && !partial && (rest * 2 > divisor || rest * 2 == divisor && (quotient & 1) != 0))
        {
            (rest, sign, quotient) = (divisor - rest, !sign, quotient + 1);
        }
        codes = partial ? X87.C2 : Codes(quotient);
        if (rest == UInt128.Zero) return Real.Zero(a.Sign);
        return c.Round(sign, exponent, rest << 64, RealFormat.Extended);
    }

    // A denormal underflows, if that is unmasked.
    static Real Same(ref RealContext c, in Real a) =>
        c.Round(a.Sign, a.Exponent, (UInt128)a.Significand << 64, RealFormat.Extended);

    static int Codes(ulong quotient) =>
        ((quotient & 4) != 0 ? X87.C0 : 0) | ((quotient & 2) != 0 ? X87.C3 : 0) | ((quotient & 1) != 0 ? X87.C1 : 0);

    static bool Begin(Uop* op, CpuState* s, out Real a, out Real b, out Uop* next)
    {
        (a, b) = (default, default);
        next = op + 1;
        if (X87.IsPending(s))
        {
            next = Fault.Raise(op, s, Fault.FpuError);
            return false;
        }
        if (!X87.IsEmpty(s, 0) && !X87.IsEmpty(s, 1))
        {
            (a, b) = (X87.Get(s, 0), X87.Get(s, 1));
            return true;
        }
        if (X87.StackFaults(s, overflow: false)) X87.Set(s, 0, Real.Indefinite);
        return false;
    }
}
