using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Ringdown.Machine;

/// <summary>Pieces that several packed operations share.</summary>
static class Lanes
{
    const MethodImplOptions Inline = MethodImplOptions.AggressiveInlining;

    public static Vector128<ulong> Low32 => Vector128.Create(0xFFFF_FFFFUL);
    public static Vector128<int> OddDwords => Vector128.Create(0, -1, 0, -1);
    public static Vector128<byte> Iota => Vector128.Create((byte)0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);

    [MethodImpl(Inline)] public static Vector128<int> Low(Vector128<short> v) => Vector128.WidenLower(v);
    [MethodImpl(Inline)] public static Vector128<int> High(Vector128<short> v) => Vector128.WidenUpper(v);
    [MethodImpl(Inline)] public static Vector128<uint> Low(Vector128<ushort> v) => Vector128.WidenLower(v);
    [MethodImpl(Inline)] public static Vector128<uint> High(Vector128<ushort> v) => Vector128.WidenUpper(v);

    [MethodImpl(Inline)]
    public static Vector128<int> HighRounded(Vector128<int> product) =>
        Vector128.ShiftRightArithmetic(Vector128.ShiftRightArithmetic(product, 14) + Vector128<int>.One, 1);

    [MethodImpl(Inline)]
    public static Vector128<long> SignExtend32(Vector128<long> v) =>
        Vector128.ShiftRightArithmetic(Vector128.ShiftLeft(v, 32), 32);

    [MethodImpl(Inline)]
    public static Vector128<int> EvenWords(Vector128<byte> v) =>
        Vector128.ShiftRightArithmetic(Vector128.ShiftLeft(v.AsInt32(), 16), 16);

    [MethodImpl(Inline)]
    public static Vector128<int> OddWords(Vector128<byte> v) => Vector128.ShiftRightArithmetic(v.AsInt32(), 16);

    [MethodImpl(Inline)]
    public static Vector128<short> EvenBytes(Vector128<byte> v) =>
        Vector128.ShiftRightArithmetic(Vector128.ShiftLeft(v.AsInt16(), 8), 8);

    [MethodImpl(Inline)]
    public static Vector128<short> Evens(Vector128<int> a, Vector128<int> b) => Vector128.Narrow(a, b);

    [MethodImpl(Inline)]
    public static Vector128<short> Odds(Vector128<int> a, Vector128<int> b) =>
        Vector128.Narrow(Vector128.ShiftRightLogical(a, 16), Vector128.ShiftRightLogical(b, 16));

    [MethodImpl(Inline)]
    public static Vector128<int> Evens(Vector128<long> a, Vector128<long> b) => Vector128.Narrow(a, b);

    [MethodImpl(Inline)]
    public static Vector128<int> Odds(Vector128<long> a, Vector128<long> b) =>
        Vector128.Narrow(Vector128.ShiftRightLogical(a, 32), Vector128.ShiftRightLogical(b, 32));

    /// <summary>The sum of each eight bytes.</summary>
    public static Vector128<ulong> SumBytes(Vector128<byte> v)
    {
        Vector128<ushort> words = Vector128.WidenLower(v), upper = Vector128.WidenUpper(v);
        return Vector128.Create((ulong)Vector128.Sum(words), Vector128.Sum(upper));
    }

    [MethodImpl(Inline)]
    public static Vector128<T> Sign<T>(Vector128<T> a, Vector128<T> b) =>
        Vector128.ConditionalSelect(Vector128.LessThan(b, Vector128<T>.Zero), -a, a)
        & ~Vector128.Equals(b, Vector128<T>.Zero);

    [MethodImpl(Inline)]
    public static Vector128<ushort> Clamp(Vector128<short> v, short most) =>
        Vector128.Min(Vector128.Max(v, Vector128<short>.Zero), Vector128.Create(most)).AsUInt16();

    [MethodImpl(Inline)]
    public static Vector128<uint> Clamp(Vector128<int> v, int most) =>
        Vector128.Min(Vector128.Max(v, Vector128<int>.Zero), Vector128.Create(most)).AsUInt32();

    [MethodImpl(Inline)]
    public static Vector128<byte> InterleaveBytes(Vector128<byte> a, Vector128<byte> b, int from)
    {
        Vector128<ushort> low = from == 0 ? Vector128.WidenLower(a) : Vector128.WidenUpper(a);
        Vector128<ushort> high = from == 0 ? Vector128.WidenLower(b) : Vector128.WidenUpper(b);
        return (low | Vector128.ShiftLeft(high, 8)).AsByte();
    }

    [MethodImpl(Inline)]
    public static Vector128<byte> InterleaveWords(Vector128<byte> a, Vector128<byte> b, int from)
    {
        Vector128<uint> low = from == 0 ? Vector128.WidenLower(a.AsUInt16()) : Vector128.WidenUpper(a.AsUInt16());
        Vector128<uint> high = from == 0 ? Vector128.WidenLower(b.AsUInt16()) : Vector128.WidenUpper(b.AsUInt16());
        return (low | Vector128.ShiftLeft(high, 16)).AsByte();
    }

    [MethodImpl(Inline)]
    public static Vector128<int> Select4(int imm) =>
        Vector128.Create(imm & 3, (imm >> 2) & 3, (imm >> 4) & 3, (imm >> 6) & 3);

    public static Vector128<short> SelectLow(int imm) => Vector128.Create(
        (short)(imm & 3), (short)((imm >> 2) & 3), (short)((imm >> 4) & 3), (short)((imm >> 6) & 3), 4, 5, 6, 7);

    public static Vector128<short> SelectHigh(int imm) => Vector128.Create(0, 1, 2, 3,
        (short)(4 + (imm & 3)), (short)(4 + ((imm >> 2) & 3)), (short)(4 + ((imm >> 4) & 3)),
            (short)(4 + ((imm >> 6) & 3)));

    [MethodImpl(Inline)] public static ulong Count(Vector128<byte> v) => v.AsUInt64().ToScalar();

    /// <summary>PHMINPOSUW: the smallest word and where it is.</summary>
    public static Vector128<ushort> MinPosition(Vector128<ushort> v)
    {
        int best = 0;
        for (int i = 1; i < 8; i++)
            if (v.GetElement(i) < v.GetElement(best)) best = i;
        return Vector128.Create(v.GetElement(best), (ushort)best, 0, 0, 0, 0, 0, 0);
    }

    /// <summary>MPSADBW: four bytes of the second against each place in eleven of the first.</summary>
    public static Vector128<ushort> SumsOfDifferences(Vector128<byte> a, Vector128<byte> b, int imm)
    {
        int from = (imm & 4) != 0 ? 4 : 0, block = (imm & 3) * 4;
        Vector128<ushort> result = default;
        for (int i = 0; i < 8; i++)
        {
            int sum = 0;
            for (int k = 0; k < 4; k++) sum += Math.Abs(a.GetElement(from + i + k) - b.GetElement(block + k));
            result = result.WithElement(i, (ushort)sum);
        }
        return result;
    }

    [MethodImpl(Inline)]
    public static Vector128<short> MaskWords(int imm)
    {
        Vector128<short> bits = Vector128.Create(1, 2, 4, 8, 16, 32, 64, 128);
        return Vector128.Equals(Vector128.Create((short)imm) & bits, bits);
    }

    [MethodImpl(Inline)]
    public static Vector128<int> MaskDwords(int imm)
    {
        Vector128<int> bits = Vector128.Create(1, 2, 4, 8);
        return Vector128.Equals(Vector128.Create(imm) & bits, bits);
    }

    [MethodImpl(Inline)]
    public static Vector128<long> MaskQwords(int imm)
    {
        Vector128<long> bits = Vector128.Create(1L, 2);
        return Vector128.Equals(Vector128.Create((long)imm) & bits, bits);
    }

    public static Vector128<T> ShiftLeft<T>(Vector128<T> a, Vector128<T> counts) where T : IBinaryInteger<T> =>
        Each(a, counts, static (x, n) => n < T.CreateTruncating(64) && int.CreateTruncating(n) < BitsOf<T>()
            ? x << int.CreateTruncating(n) : T.Zero);

    public static Vector128<T> ShiftRight<T>(Vector128<T> a, Vector128<T> counts) where T : IBinaryInteger<T> =>
        Each(a, counts, static (x, n) => n < T.CreateTruncating(64) && int.CreateTruncating(n) < BitsOf<T>()
            ? x >>> int.CreateTruncating(n) : T.Zero);

    static int BitsOf<T>() => Unsafe.SizeOf<T>() * 8;

    static Vector128<T> Each<T>(Vector128<T> a, Vector128<T> b, Func<T, T, T> f)
    {
        for (int i = 0; i < Vector128<T>.Count; i++) a = a.WithElement(i, f(a.GetElement(i), b.GetElement(i)));
        return a;
    }

    public static Vector128<int> ShiftArithmetic(Vector128<int> a, Vector128<uint> counts)
    {
        for (int i = 0; i < 4; i++) a = a.WithElement(i, a.GetElement(i) >> (int)Math.Min(counts.GetElement(i), 31));
        return a;
    }

    /// <summary>The product of two polynomials over one bit.</summary>
    public static Vector128<ulong> CarrylessMultiply(ulong a, ulong b)
    {
        UInt128 product = UInt128.Zero;
        for (int i = 0; i < 64; i++)
            if (((b >> i) & 1) != 0) product ^= (UInt128)a << i;
        return Vector128.Create((ulong)product, (ulong)(product >> 64));
    }
}
