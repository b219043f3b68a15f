namespace Ringdown.Machine;

/// <summary>How many elements an operation has: the lowest, or as many as fit.</summary>
interface IExtent
{
    static abstract bool Scalar { get; }
}

struct One : IExtent
{
    public static bool Scalar => true;
}

struct All : IExtent
{
    public static bool Scalar => false;
}

/// <summary>CMPPS and its like: all ones or all zero by the predicate in the immediate.</summary>
unsafe struct CompareFloat<T, TExtent> : IFloatRead where T : unmanaged where TExtent : IExtent
{
    public static int Bytes(int mode) => TExtent.Scalar ? sizeof(T) : mode;
    public static bool Aligned => !TExtent.Scalar;

    public static void Do(ref RealContext c, Uop* op, CpuState* s, byte* a, byte* b, byte* r, int mode)
    {
        int predicate = (int)op->Imm, count = TExtent.Scalar ? 1 : mode / sizeof(T);
        bool signals = Predicate.Signals(predicate);
        for (int i = 0; i < count; i++)
        {
            int comparison = Predicate.Compare(ref c, ((T*)a)[i], ((T*)b)[i], signals);
            ((T*)r)[i] = Element.FromBits<T>(Predicate.Holds(predicate, comparison) ? ulong.MaxValue : 0);
        }
    }
}

/// <summary>COMISS, UCOMISS and the double ones: ZF, PF and CF from D and the source.</summary>
unsafe struct CompareFlags<T, TSignals> : IFloatRead where T : unmanaged where TSignals : IExtent
{
    public static int Bytes(int mode) => sizeof(T);
    public static FloatTarget Target => FloatTarget.None;

    public static bool Quick(CpuState* s, byte* a, byte* b, byte* r)
    {
        T x = *(T*)a, y = *(T*)b;
        if (!Element.IsPlainOrZero(x) || !Element.IsPlainOrZero(y)) return false;
        double difference = sizeof(T) == 4 ? (double)*(float*)a - *(float*)b : *(double*)a < *(double*)b ? -1
            : *(double*)a > *(double*)b ? 1 : 0;
        Width.SetFlags(s, difference == 0 ? Flags.ZF : difference < 0 ? Flags.CF : 0);
        return true;
    }

    public static void Do(ref RealContext c, Uop* op, CpuState* s, byte* a, byte* b, byte* r, int mode)
    {
        int comparison = Predicate.Compare(ref c, *(T*)a, *(T*)b, TSignals.Scalar);
        uint flags = comparison switch { 2 => Flags.ZF | Flags.PF | Flags.CF, 0 => Flags.ZF, < 0 => Flags.CF, _ => 0 };
        Width.SetFlags(s, flags);
    }
}

/// <summary>ROUNDPS and its like; bit 3 of the immediate keeps the inexact flag quiet.</summary>
unsafe struct RoundFloat<T, TExtent> : IFloatRead where T : unmanaged where TExtent : IExtent
{
    public static int Bytes(int mode) => TExtent.Scalar ? sizeof(T) : mode;
    public static bool Aligned => !TExtent.Scalar;

    public static void Do(ref RealContext c, Uop* op, CpuState* s, byte* a, byte* b, byte* r, int mode)
    {
        int imm = (int)op->Imm, count = TExtent.Scalar ? 1 : mode / sizeof(T);
        if ((imm & 4) == 0) c.Rounding = imm & 3;
        for (int i = 0; i < count; i++)
        {
            Real x = c.Operand(Element.Unpack(((T*)b)[i]));
            if (!NaN.Sse(ref c, x, out Real result)) result = RealMath.RoundToInteger(ref c, x);
            ((T*)r)[i] = Element.Pack<T>(result);
        }
        if ((imm & 8) != 0) c.After &= ~RealContext.Inexact;
    }
}

/// <summary>HADDPS, HSUBPS and the double ones: neighbours of S, then of the source, in each 128 bits.</summary>
unsafe struct Horizontal<TOp, T> : IFloatRead where TOp : IFloatOp
    where T : unmanaged, System.Numerics.IBinaryFloatingPointIeee754<T>
{
    public static int Bytes(int mode) => mode;
    public static bool Aligned => true;

    public static void Do(ref RealContext c, Uop* op, CpuState* s, byte* a, byte* b, byte* r, int mode)
    {
        int pairs = 8 / sizeof(T);
        for (int lane = 0; lane < mode; lane += 16)
        {
            T* x = (T*)(a + lane), y = (T*)(b + lane), z = (T*)(r + lane);
            for (int i = 0; i < pairs; i++) z[i] = TOp.Slow(ref c, x[2 * i], x[2 * i + 1]);
            for (int i = 0; i < pairs; i++) z[pairs + i] = TOp.Slow(ref c, y[2 * i], y[2 * i + 1]);
        }
    }
}

/// <summary>ADDSUBPS and ADDSUBPD: even elements are subtracted, odd ones added.</summary>
unsafe struct AddSubtract<T> : IFloatRead where T : unmanaged, System.Numerics.IBinaryFloatingPointIeee754<T>
{
    public static int Bytes(int mode) => mode;
    public static bool Aligned => true;

    public static void Do(ref RealContext c, Uop* op, CpuState* s, byte* a, byte* b, byte* r, int mode)
    {
        T* x = (T*)a, y = (T*)b, z = (T*)r;
        for (int i = 0; i < mode / sizeof(T); i++)
            z[i] = (i & 1) == 0
                ? Rounded<SubtractReal>.Slow(ref c, x[i], y[i]) : Rounded<AddReal>.Slow(ref c, x[i], y[i]);
    }
}

/// <summary>
/// DPPS and DPPD: products chosen by the upper bits of the immediate, their sum to places chosen by the lower.
/// </summary>
unsafe struct DotProduct<T> : IFloatRead where T : unmanaged, System.Numerics.IBinaryFloatingPointIeee754<T>
{
    public static int Bytes(int mode) => mode;
    public static bool Aligned => true;

    public static void Do(ref RealContext c, Uop* op, CpuState* s, byte* a, byte* b, byte* r, int mode)
    {
        int imm = (int)op->Imm, count = 16 / sizeof(T);
        T* products = stackalloc T[8];
        for (int i = 0; i < mode / sizeof(T); i++)
            products[i] = (imm >> (4 + i % count) & 1) != 0
                ? Rounded<MultiplyReal>.Slow(ref c, ((T*)a)[i], ((T*)b)[i]) : default;
        // Each step is an instruction of its own to the exceptions: an unmasked one ends the whole.
        uint flags = c.Flags(out bool raises);
        for (int width = count; width > 1 && !raises; width /= 2)
        {
            (c.Before, c.After) = (0, 0);
            for (int lane = 0; lane < mode / sizeof(T); lane += count)
                for (int i = 0; i < width / 2; i++)
                    products[lane + i] = Rounded<AddReal>.Slow(
                        ref c, products[lane + 2 * i], products[lane + 2 * i + 1]);
            flags |= c.Flags(out raises);
        }
        (c.Before, c.After) = (flags, 0);
        for (int i = 0; i < mode / sizeof(T); i++)
            ((T*)r)[i] = (imm >> i % count & 1) != 0 ? products[i / count * count] : default;
    }
}
