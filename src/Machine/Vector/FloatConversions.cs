namespace Ringdown.Machine;

/// <summary>Between single and double precision.</summary>
unsafe struct ConvertFloat<TFrom, TTo, TExtent> : IFloatRead
    where TFrom : unmanaged where TTo : unmanaged where TExtent : IExtent
{
    static int Count(int mode) => TExtent.Scalar ? 1 : mode / 8;

    public static int Bytes(int mode) => Count(mode) * sizeof(TFrom);
    public static bool Aligned => !TExtent.Scalar && sizeof(TFrom) == 8;

    public static bool Quick(CpuState* s, byte* a, byte* b, byte* r)
    {
        if (!TExtent.Scalar || !Float.MayBeQuick(s)) return false;
        if (sizeof(TFrom) == 4)
        {
            float value = *(float*)b;
            if (!Element.IsPlainOrZero(value)) return false;
            *(double*)r = value;
            return true;
        }
        double wide = *(double*)b;
        float narrow = (float)wide;
        if (!Element.IsPlainOrZero(wide) || !Element.IsPlain(narrow)) return false;
        if (narrow != wide) Float.SetInexact(s);
        *(float*)r = narrow;
        return true;
    }

    public static void Do(ref RealContext c, Uop* op, CpuState* s, byte* a, byte* b, byte* r, int mode)
    {
        TFrom* x = (TFrom*)b;
        Real* values = stackalloc Real[4];
        for (int i = 0; i < Count(mode); i++)
        {
            Real value = Element.Unpack(x[i]);
            values[i] = NaN.Sse(ref c, value, out Real nan)
                ? nan : RealMath.Convert(ref c, value, Element.Format<TTo>());
        }
        for (int i = 0; i < Count(mode); i++) ((TTo*)r)[i] = Element.Pack<TTo>(values[i]);
        if (!TExtent.Scalar) new Span<byte>(r + Count(mode) * sizeof(TTo), 32 - Count(mode) * sizeof(TTo)).Clear();
    }
}

/// <summary>CVTSI2SS, CVTSI2SD: a signed integer of 4 or 8 bytes.</summary>
unsafe struct FromInteger<TFrom, TTo> : IFloatRead where TFrom : unmanaged where TTo : unmanaged
{
    public static int Bytes(int mode) => sizeof(TFrom);

    public static bool Quick(CpuState* s, byte* a, byte* b, byte* r)
    {
        // 32 bits always fit into a double, 64 bits if they are few.
        long value = sizeof(TFrom) == 4 ? *(int*)b : *(long*)b;
        if (sizeof(TTo) == 4 || value != (int)value) return false;
        *(double*)r = value;
        return true;
    }

    public static void Do(ref RealContext c, Uop* op, CpuState* s, byte* a, byte* b, byte* r, int mode)
    {
        Real value = Real.Of(sizeof(TFrom) == 4 ? *(int*)b : *(long*)b);
        *(TTo*)r = Element.Pack<TTo>(RealMath.Convert(ref c, value, Element.Format<TTo>()));
    }
}

/// <summary>CVTDQ2PS, CVTDQ2PD, CVTPI2PS and CVTPI2PD: signed 32-bit integers.</summary>
unsafe struct FromIntegers<TTo> : IFloatRead where TTo : unmanaged
{
    public static int Bytes(int mode) => mode * 4 / sizeof(TTo);
    public static bool Aligned => sizeof(TTo) == 4;

    public static void Do(ref RealContext c, Uop* op, CpuState* s, byte* a, byte* b, byte* r, int mode)
    {
        int count = mode / sizeof(TTo);
        for (int i = 0; i < count; i++)
            ((TTo*)r)[i] = Element.Pack<TTo>(RealMath.Convert(ref c, Real.Of(((int*)b)[i]), Element.Format<TTo>()));
    }
}

/// <summary>CVTSS2SI and its like, to a general register of 4 or 8 bytes; truncating or rounding.</summary>
unsafe struct ToInteger<TFrom, TTo, TTruncates> : IFloatRead
    where TFrom : unmanaged where TTo : unmanaged where TTruncates : IExtent
{
    public static int Bytes(int mode) => sizeof(TFrom);
    public static FloatTarget Target => FloatTarget.General;

    public static bool Quick(CpuState* s, byte* a, byte* b, byte* r)
    {
        TFrom x = *(TFrom*)b;
        if (!TTruncates.Scalar || !Float.MayBeQuick(s) || !Element.IsPlainOrZero(x)) return false;
        double value = sizeof(TFrom) == 4 ? *(float*)b : *(double*)b;
        if (!(Math.Abs(value) < 2147483647.0)) return false;
        int whole = (int)value;
        if (whole != value) Float.SetInexact(s);
        *(ulong*)r = sizeof(TTo) == 4 ? (uint)whole : (ulong)whole;
        return true;
    }

    public static void Do(ref RealContext c, Uop* op, CpuState* s, byte* a, byte* b, byte* r, int mode)
    {
        if (TTruncates.Scalar) c.Rounding = RealContext.TowardZero;
        long value = RealMath.ToInteger(ref c, c.Operand(Element.Unpack(*(TFrom*)b)), sizeof(TTo) * 8);
        *(ulong*)r = sizeof(TTo) == 4 ? (uint)value : (ulong)value;
    }
}

/// <summary>
/// CVTPS2DQ, CVTPD2DQ and their truncating forms: to signed 32-bit integers; from doubles the rest is zero.
/// </summary>
unsafe struct ToIntegers<TFrom, TTruncates> : IFloatRead where TFrom : unmanaged where TTruncates : IExtent
{
    public static int Bytes(int mode) => mode;
    public static bool Aligned => true;

    public static void Do(ref RealContext c, Uop* op, CpuState* s, byte* a, byte* b, byte* r, int mode)
    {
        if (TTruncates.Scalar) c.Rounding = RealContext.TowardZero;
        int count = mode / sizeof(TFrom);
        int* values = stackalloc int[8];
        for (int i = 0; i < count; i++)
            values[i] = (int)RealMath.ToInteger(ref c, c.Operand(Element.Unpack(((TFrom*)b)[i])), 32);
        new Span<byte>(r, 32).Clear();
        for (int i = 0; i < count; i++) ((int*)r)[i] = values[i];
    }
}

/// <summary>CVTPS2PI, CVTPD2PI and their truncating forms: two elements into an MMX register.</summary>
unsafe struct ToMmx<TFrom, TTruncates> : IFloatRead where TFrom : unmanaged where TTruncates : IExtent
{
    public static int Bytes(int mode) => 2 * sizeof(TFrom);
    public static bool Aligned => sizeof(TFrom) == 8;
    public static bool UsesMmx => true;
    public static FloatTarget Target => FloatTarget.Mmx;

    public static void Do(ref RealContext c, Uop* op, CpuState* s, byte* a, byte* b, byte* r, int mode)
    {
        if (TTruncates.Scalar) c.Rounding = RealContext.TowardZero;
        for (int i = 0; i < 2; i++)
            ((int*)r)[i] = (int)RealMath.ToInteger(ref c, c.Operand(Element.Unpack(((TFrom*)b)[i])), 32);
    }
}

/// <summary>CVTPI2PS and CVTPI2PD: two integers of MMX or memory.</summary>
unsafe struct FromMmx<TTo, TRegister> : IFloatRead where TTo : unmanaged where TRegister : IExtent
{
    public static int Bytes(int mode) => 8;
    public static bool UsesMmx => TRegister.Scalar;

    public static void Do(ref RealContext c, Uop* op, CpuState* s, byte* a, byte* b, byte* r, int mode)
    {
        for (int i = 0; i < 2; i++)
            ((TTo*)r)[i] = Element.Pack<TTo>(RealMath.Convert(ref c, Real.Of(((int*)b)[i]), Element.Format<TTo>()));
        if (TRegister.Scalar) VectorAccess.EnterMmx(s);
    }
}

/// <summary>VCVTPH2PS.</summary>
unsafe struct FromHalf : IFloatRead
{
    public static int Bytes(int mode) => mode / 2;

    public static void Do(ref RealContext c, Uop* op, CpuState* s, byte* a, byte* b, byte* r, int mode)
    {
        // Denormals of the half format are numbers like others here, whatever MXCSR says.
        c.DenormalsAreZero = false;
        int count = mode / 4;
        Real* values = stackalloc Real[8];
        for (int i = 0; i < count; i++)
        {
            Real value = RealFormat.Half.Unpack(((ushort*)b)[i]) with { Denormal = false };
            values[i] = NaN.Sse(ref c, value, out Real nan) ? nan : value;
        }
        for (int i = 0; i < count; i++) ((float*)r)[i] = Element.Pack<float>(values[i]);
    }
}
