using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Ringdown.Machine;

/// <summary>What floating-point handlers share: the way to a result with MXCSR's flags.</summary>
static unsafe class Float
{
    // Rounding to nearest and inexact masked: then a plain result leaves no trace but itself and that flag.
    const uint QuickMask = 0x7000, Quick = 0x1000, Inexact = 0x20;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool MayBeQuick(CpuState* s) => (s->Mxcsr & QuickMask) == Quick;

    /// <summary>The inexact flag is set already, so it does not matter whether a result is exact.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool IsQuick(CpuState* s) => (s->Mxcsr & (QuickMask | Inexact)) == (Quick | Inexact);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void SetInexact(CpuState* s) => s->Mxcsr |= Inexact;

    /// <summary>
    /// Makes the flags sticky. False: one is unmasked, so the instruction is to raise #XM and change nothing.
    /// </summary>
    public static bool Finish(CpuState* s, in RealContext c)
    {
        uint flags = c.Flags(out bool raises);
        s->Mxcsr |= flags;
        return !raises;
    }

    /// <summary>The elements of a into r, one by one, with every mode.</summary>
    public static bool Slow<TOp, T>(CpuState* s, T* a, T* b, T* r, int count)
        where TOp : IFloatOp where T : unmanaged, IBinaryFloatingPointIeee754<T>
    {
        RealContext c = RealContext.FromMxcsr(s->Mxcsr);
        for (int i = 0; i < count; i++) r[i] = TOp.Slow(ref c, a[i], b[i]);
        return Finish(s, c);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Do<TOp, T>(CpuState* s, T* a, T* b, T* r, int count)
        where TOp : IFloatOp where T : unmanaged, IBinaryFloatingPointIeee754<T>
    {
        if (MayBeQuick(s))
        {
            bool known = IsQuick(s), exact = true;
            int i = 0;
            for (; i < count; i++)
            {
                T x = a[i], y = b[i], z = TOp.Fast(x, y);
                if (!Element.IsPlainOrZero(x) || !Element.IsPlainOrZero(y)) break;
                if (!Element.IsPlain(z) && !(Element.IsZero(z) && TOp.GivesZero(x, y))) break;
                if (!known)
                {
                    if (!Element.IsModerate(x) || !Element.IsModerate(y)) break;
                    exact &= TOp.IsExact(x, y, z);
                }
                r[i] = z;
            }
            if (i == count)
            {
                if (!exact) SetInexact(s);
                return true;
            }
        }
        return Slow<TOp, T>(s, a, b, r, count);
    }
}

/// <summary>Packed arithmetic: D = S op source, element by element.</summary>
static unsafe class FloatPacked<TOp, T, TPlace, TMode>
    where TOp : IFloatOp where T : unmanaged, IBinaryFloatingPointIeee754<T> where TPlace : IPlace
        where TMode : IVectorMode
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* Run(Uop* op, CpuState* s)
    {
        byte* b = VectorAccess.Source<TPlace, TMode>(op, s, TMode.Bytes, aligned: true);
        if (b == null) return Fault.At(op, s);
        Vector256<byte> result;
        if (!Float.Do<TOp, T>(s, (T*)((byte*)s + op->S), (T*)b, (T*)&result, TMode.Bytes / sizeof(T)))
            return Fault.Raise(op, s, Fault.SimdError);
        byte* d = (byte*)s + op->D;
        if (TMode.Bytes == 32) result.Store(d);
        else VectorAccess.Store<TMode>(d, result.GetLower());
        return op + 1;
    }
}

/// <summary>Scalar arithmetic: the lowest element; the others come from S.</summary>
static unsafe class FloatScalar<TOp, T, TPlace, TMode>
    where TOp : IFloatOp where T : unmanaged, IBinaryFloatingPointIeee754<T> where TPlace : IPlace
        where TMode : IVectorMode
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* Run(Uop* op, CpuState* s)
    {
        byte* b = VectorAccess.Source<TPlace, TMode>(op, s, sizeof(T), aligned: false);
        if (b == null) return Fault.At(op, s);
        T* a = (T*)((byte*)s + op->S);
        T result;
        if (!Float.Do<TOp, T>(s, a, (T*)b, &result, 1)) return Fault.Raise(op, s, Fault.SimdError);
        byte* d = (byte*)s + op->D;
        if (TMode.Vex) VectorAccess.Store<TMode>(d, Vector128.Load((byte*)a));
        *(T*)d = result;
        return op + 1;
    }
}

/// <summary>
/// An operation with elements of its own kind, that may raise #XM: comparisons, conversions, rounding.
/// </summary>
unsafe interface IFloatRead
{
    /// <summary>Bytes of the source.</summary>
    static abstract int Bytes(int mode);

    /// <summary>SSE wants the operand aligned.</summary>
    static virtual bool Aligned => false;

    /// <summary>
    /// Computes from S and the source into a buffer of 32 bytes, which comes with the rest of S in it.
    /// </summary>
    static abstract void Do(ref RealContext c, Uop* op, CpuState* s, byte* a, byte* b, byte* r, int mode);

    /// <summary>Does the common case without the context, if this is one: nothing to raise, ordinary numbers.</summary>
    static virtual bool Quick(CpuState* s, byte* a, byte* b, byte* r) => false;

    /// <summary>An exception of the x87 that is pending comes first.</summary>
    static virtual bool UsesMmx => false;

    /// <summary>What is written: a vector register, a general register of 8 bytes, MMX, or nothing but flags.</summary>
    static virtual FloatTarget Target => FloatTarget.Vector;
}

enum FloatTarget { Vector, General, Mmx, None }

static unsafe class FloatRead<TOp, TPlace, TMode> where TOp : IFloatRead where TPlace : IPlace where TMode : IVectorMode
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* Run(Uop* op, CpuState* s)
    {
        if (TOp.UsesMmx && !VectorAccess.MmxReady(s)) return Fault.Raise(op, s, Fault.FpuError);
        byte* b = VectorAccess.Source<TPlace, TMode>(op, s, TOp.Bytes(TMode.Bytes), TOp.Aligned);
        if (b == null) return Fault.At(op, s);
        byte* a = (byte*)s + op->S, d = (byte*)s + op->D;
        Vector256<byte> result = TOp.Target == FloatTarget.Vector ? Vector256.Load(a) : default;
        if (!TOp.Quick(s, a, b, (byte*)&result) && !Slow(op, s, a, b, (byte*)&result))
            return Fault.Raise(op, s, Fault.SimdError);
        if (TOp.Target == FloatTarget.General) *(ulong*)d = result.AsUInt64().ToScalar();
        if (TOp.Target == FloatTarget.Mmx) VectorAccess.StoreMmx(s, d, result.AsUInt64().ToScalar());
        if (TOp.Target != FloatTarget.Vector) return op + 1;
        if (TMode.Bytes == 32) result.Store(d);
        else VectorAccess.Store<TMode>(d, result.GetLower());
        return op + 1;
    }

    static bool Slow(Uop* op, CpuState* s, byte* a, byte* b, byte* r)
    {
        RealContext c = RealContext.FromMxcsr(s->Mxcsr);
        (ulong flagResult, ulong flagCarry) = (s->FlagResult, s->FlagCarry);
        TOp.Do(ref c, op, s, a, b, r, TMode.Bytes);
        if (TOp.Target == FloatTarget.Mmx) VectorAccess.EnterMmx(s);
        if (Float.Finish(s, c)) return true;
        (s->FlagResult, s->FlagCarry) = (flagResult, flagCarry);
        return false;
    }
}
