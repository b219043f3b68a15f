using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Ringdown.Machine;

/// <summary>The 96 forms of FMA: D, S and the source are the operands 1, 2 and 3; Imm has the options below.</summary>
static unsafe class Fma<T, TPlace, TMode>
    where T : unmanaged, IBinaryFloatingPointIeee754<T> where TPlace : IPlace where TMode : IVectorMode
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* Run(Uop* op, CpuState* s)
    {
        int options = (int)op->Imm;
        bool scalar = (options & FmaOptions.Scalar) != 0;
        int count = scalar ? 1 : TMode.Bytes / sizeof(T);
        byte* third = VectorAccess.Source<TPlace, TMode>(op, s, count * sizeof(T), aligned: false);
        if (third == null) return Fault.At(op, s);
        T* x = (T*)((byte*)s + op->D), y = (T*)((byte*)s + op->S), z = (T*)third;
        // 132: x * z + y; 213: y * x + z; 231: y * z + x.
        int order = options & FmaOptions.Order;
        T* a = order == 0 ? x : y, b = order == 1 ? x : z, c = order == 0 ? y : order == 1 ? z : x;
        Vector256<byte> result = Vector256.Load((byte*)x);
        if (!Do(s, a, b, c, (T*)&result, count, options)) return Fault.Raise(op, s, Fault.SimdError);
        if (TMode.Bytes == 32) result.Store((byte*)x);
        else VectorAccess.Store<TMode>((byte*)x, result.GetLower());
        return op + 1;
    }

    static bool Do(CpuState* s, T* a, T* b, T* c, T* r, int count, int options)
    {
        if (Float.IsQuick(s) && Quick(a, b, c, r, count, options)) return true;
        RealContext context = RealContext.FromMxcsr(s->Mxcsr);
        for (int i = 0; i < count; i++)
            r[i] = Slow(ref context, a[i], b[i], c[i], (options & FmaOptions.Negates) != 0,
                FmaOptions.Subtracts(options, i));
        return Float.Finish(s, context);
    }

    static bool Quick(T* a, T* b, T* c, T* r, int count, int options)
    {
        for (int i = 0; i < count; i++)
        {
            T x = a[i], y = b[i], z = c[i];
            if (!Element.IsPlain(x) || !Element.IsPlain(y) || !Element.IsPlainOrZero(z)) return false;
            T first = (options & FmaOptions.Negates) != 0 ? -x : x, last = FmaOptions.Subtracts(options, i) ? -z : z;
            T sum = T.FusedMultiplyAdd(first, y, last);
            if (!Element.IsPlain(sum)) return false;
            r[i] = sum;
        }
        return true;
    }

    static T Slow(ref RealContext context, T a, T b, T c, bool negates, bool subtracts)
    {
        Real x = Element.Unpack(a), y = Element.Unpack(b), z = Element.Unpack(c);
        if (x.IsNaN || y.IsNaN || z.IsNaN)
        {
            if (x.Kind == RealKind.SignalingNaN || y.Kind == RealKind.SignalingNaN || z.Kind == RealKind.SignalingNaN)
                context.Before |= RealContext.Invalid;
            return Element.Pack<T>((x.IsNaN ? x : y.IsNaN ? y : z).Quieted);
        }
        if (negates) x = x.Negated;
        if (subtracts) z = z.Negated;
        return Element.Pack<T>(RealMath.MultiplyAdd(ref context, x, y, z, Element.Format<T>()));
    }
}

static class FmaOptions
{
    /// <summary>0: 132, 1: 213, 2: 231.</summary>
    public const int Order = 3;

    /// <summary>The product is negated.</summary>
    public const int Negates = 4;

    /// <summary>The addend is subtracted; with <see cref="Alternates"/>, from even elements.</summary>
    public const int SubtractsEven = 8;
    public const int Alternates = 16, Scalar = 32;

    public static bool Subtracts(int options, int element)
    {
        bool even = (options & SubtractsEven) != 0;
        return (options & Alternates) != 0 && (element & 1) != 0 ? !even : even;
    }
}

/// <summary>VCVTPS2PH: S to halves, in D or memory. Imm has the rounding mode, or 4 for MXCSR's.</summary>
static unsafe class ToHalf<TPlace, TMode> where TPlace : IPlace where TMode : IVectorMode
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* Run(Uop* op, CpuState* s)
    {
        int count = TMode.Bytes / 4, imm = (int)op->Imm;
        byte* d = TPlace.IsMemory ? Probe.Modify(s, MemX.Of(op, s), count * 2) : TPlace.Write(op, s, count * 2);
        if (d == null) return Fault.At(op, s);
        RealContext c = RealContext.FromMxcsr(s->Mxcsr);
        if ((imm & 4) == 0) c.Rounding = imm & 3;
        // Small results are halves too: flushing to zero does not concern them.
        c.FlushToZero = false;
        Vector128<ushort> result = default;
        float* source = (float*)((byte*)s + op->S);
        for (int i = 0; i < count; i++)
        {
            Real value = Element.Unpack(source[i]);
            if (!NaN.Sse(ref c, value, out Real half)) half = RealMath.Convert(ref c, value, RealFormat.Half);
            result = result.WithElement(i, (ushort)RealFormat.Half.Pack(half));
        }
        if (!Float.Finish(s, c)) return Fault.Raise(op, s, Fault.SimdError);
        if (!TPlace.IsMemory) VectorAccess.Store<Mode128>(d, result.AsByte());
        else if (count == 8) result.AsByte().Store(d);
        else *(ulong*)d = result.AsUInt64().ToScalar();
        return op + 1;
    }
}
