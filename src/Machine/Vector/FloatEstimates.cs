namespace Ringdown.Machine;

interface IEstimate
{
    static abstract double Of(double value);
}

struct Reciprocal : IEstimate
{
    public static double Of(double value) => 1 / value;
}

struct ReciprocalRoot : IEstimate
{
    public static double Of(double value) => 1 / Math.Sqrt(value);
}

/// <summary>
/// RCPPS, RSQRTPS and their like: no flags, no rounding mode, and an error of at most 1.5 / 4096 of the value.
/// </summary>
/// <remarks>
/// Each maker of processors has a table of its own; this gives the value rounded to 12 bits. Denormals count as zero
/// and
/// results that would be denormal are zero.
/// </remarks>
unsafe struct Estimate<TFunction, TExtent> : IFloatRead where TFunction : IEstimate where TExtent : IExtent
{
    public static int Bytes(int mode) => TExtent.Scalar ? 4 : mode;
    public static bool Aligned => !TExtent.Scalar;

    public static void Do(ref RealContext c, Uop* op, CpuState* s, byte* a, byte* b, byte* r, int mode)
    {
        int count = TExtent.Scalar ? 1 : mode / 4;
        for (int i = 0; i < count; i++) ((uint*)r)[i] = Of(((uint*)b)[i]);
    }

    static uint Of(uint bits)
    {
        const uint sign = 0x8000_0000, infinity = 0x7F80_0000, quiet = 0x0040_0000, indefinite = 0xFFC0_0000;
        uint magnitude = bits & ~sign;
        if (magnitude > infinity) return bits | quiet;
        if (magnitude < 0x0080_0000) return bits & sign | infinity;
        bool root = typeof(TFunction) == typeof(ReciprocalRoot);
        if (root && bits >= sign) return indefinite;
        if (magnitude == infinity) return bits & sign;
        double value = TFunction.Of(BitConverter.UInt32BitsToSingle(bits));
        uint result = BitConverter.SingleToUInt32Bits((float)value);
        result = (result + 0x800) & ~0xFFFu;
        return (result & ~sign) < 0x0080_0000 ? bits & sign : result;
    }
}
