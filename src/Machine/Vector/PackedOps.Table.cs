using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using V = System.Runtime.Intrinsics.Vector128<byte>;

namespace Ringdown.Machine;

// Names are the mnemonics of SSE; an I at the end is the form with an immediate.

struct PAddB : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        (a.AsByte() + b.AsByte()).AsByte();
}

struct PSubB : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        (a.AsByte() - b.AsByte()).AsByte();
}

struct PCmpEqB : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.Equals(a.AsByte(), b.AsByte()).AsByte();
}

struct PAddW : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        (a.AsInt16() + b.AsInt16()).AsByte();
}

struct PSubW : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        (a.AsInt16() - b.AsInt16()).AsByte();
}

struct PCmpEqW : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.Equals(a.AsInt16(), b.AsInt16()).AsByte();
}

struct PAddD : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        (a.AsInt32() + b.AsInt32()).AsByte();
}

struct PSubD : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        (a.AsInt32() - b.AsInt32()).AsByte();
}

struct PCmpEqD : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.Equals(a.AsInt32(), b.AsInt32()).AsByte();
}

struct PAddQ : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        (a.AsInt64() + b.AsInt64()).AsByte();
}

struct PSubQ : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        (a.AsInt64() - b.AsInt64()).AsByte();
}

struct PCmpEqQ : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.Equals(a.AsInt64(), b.AsInt64()).AsByte();
}

struct PCmpGtB : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.GreaterThan(a.AsSByte(), b.AsSByte()).AsByte();
}

struct PCmpGtW : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.GreaterThan(a.AsInt16(), b.AsInt16()).AsByte();
}

struct PCmpGtD : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.GreaterThan(a.AsInt32(), b.AsInt32()).AsByte();
}

struct PCmpGtQ : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.GreaterThan(a.AsInt64(), b.AsInt64()).AsByte();
}

struct PMinSB : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.Min(a.AsSByte(), b.AsSByte()).AsByte();
}

struct PMaxSB : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.Max(a.AsSByte(), b.AsSByte()).AsByte();
}

struct PMinUB : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.Min(a.AsByte(), b.AsByte()).AsByte();
}

struct PMaxUB : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.Max(a.AsByte(), b.AsByte()).AsByte();
}

struct PMinSW : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.Min(a.AsInt16(), b.AsInt16()).AsByte();
}

struct PMaxSW : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.Max(a.AsInt16(), b.AsInt16()).AsByte();
}

struct PMinUW : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.Min(a.AsUInt16(), b.AsUInt16()).AsByte();
}

struct PMaxUW : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.Max(a.AsUInt16(), b.AsUInt16()).AsByte();
}

struct PMinSD : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.Min(a.AsInt32(), b.AsInt32()).AsByte();
}

struct PMaxSD : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.Max(a.AsInt32(), b.AsInt32()).AsByte();
}

struct PMinUD : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.Min(a.AsUInt32(), b.AsUInt32()).AsByte();
}

struct PMaxUD : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.Max(a.AsUInt32(), b.AsUInt32()).AsByte();
}

struct PAddSB : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.AddSaturate(a.AsSByte(), b.AsSByte()).AsByte();
}

struct PSubSB : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.SubtractSaturate(a.AsSByte(), b.AsSByte()).AsByte();
}

struct PAddUsB : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.AddSaturate(a.AsByte(), b.AsByte()).AsByte();
}

struct PSubUsB : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.SubtractSaturate(a.AsByte(), b.AsByte()).AsByte();
}

struct PAddSW : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.AddSaturate(a.AsInt16(), b.AsInt16()).AsByte();
}

struct PSubSW : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.SubtractSaturate(a.AsInt16(), b.AsInt16()).AsByte();
}

struct PAddUsW : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.AddSaturate(a.AsUInt16(), b.AsUInt16()).AsByte();
}

struct PSubUsW : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.SubtractSaturate(a.AsUInt16(), b.AsUInt16()).AsByte();
}

struct PAnd : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        a & b;
}

struct POr : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        a | b;
}

struct PXor : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        a ^ b;
}

struct PAndN : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        ~a & b;
}

struct PAvgB : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        (a | b) - Vector128.ShiftRightLogical(a ^ b, 1);
}

struct PAvgW : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        ((a | b).AsUInt16() - Vector128.ShiftRightLogical((a ^ b).AsUInt16(), 1)).AsByte();
}

struct PMulLW : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        (a.AsInt16() * b.AsInt16()).AsByte();
}

struct PMulLD : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        (a.AsInt32() * b.AsInt32()).AsByte();
}

struct PMulHW : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.Narrow(Vector128.ShiftRightArithmetic(Lanes.Low(a.AsInt16()) * Lanes.Low(b.AsInt16()), 16),
        Vector128.ShiftRightArithmetic(Lanes.High(a.AsInt16()) * Lanes.High(b.AsInt16()), 16)).AsByte();
}

struct PMulHUW : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.Narrow(Vector128.ShiftRightLogical(Lanes.Low(a.AsUInt16()) * Lanes.Low(b.AsUInt16()), 16),
        Vector128.ShiftRightLogical(Lanes.High(a.AsUInt16()) * Lanes.High(b.AsUInt16()), 16)).AsByte();
}

struct PMulHRsW : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.Narrow(Lanes.HighRounded(Lanes.Low(a.AsInt16()) * Lanes.Low(b.AsInt16())),
        Lanes.HighRounded(Lanes.High(a.AsInt16()) * Lanes.High(b.AsInt16()))).AsByte();
}

struct PMulUDq : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        ((a.AsUInt64() & Lanes.Low32) * (b.AsUInt64() & Lanes.Low32)).AsByte();
}

struct PMulDq : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        (Lanes.SignExtend32(a.AsInt64()) * Lanes.SignExtend32(b.AsInt64())).AsByte();
}

struct PMAddWd : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        (Lanes.EvenWords(a) * Lanes.EvenWords(b) + Lanes.OddWords(a) * Lanes.OddWords(b)).AsByte();
}

struct PMAddUbSw : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.AddSaturate((a.AsInt16() & Vector128.Create((short)0xFF)) * Lanes.EvenBytes(b),
        Vector128.ShiftRightLogical(a.AsInt16(), 8) * Vector128.ShiftRightArithmetic(b.AsInt16(), 8)).AsByte();
}

struct PSadBw : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Lanes.SumBytes(Vector128.Max(a, b) - Vector128.Min(a, b)).AsByte();
}

struct PAbsB : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.Abs(b.AsSByte()).AsByte();
}

struct PSignB : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Lanes.Sign(a.AsSByte(), b.AsSByte()).AsByte();
}

struct PAbsW : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.Abs(b.AsInt16()).AsByte();
}

struct PSignW : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Lanes.Sign(a.AsInt16(), b.AsInt16()).AsByte();
}

struct PAbsD : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.Abs(b.AsInt32()).AsByte();
}

struct PSignD : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Lanes.Sign(a.AsInt32(), b.AsInt32()).AsByte();
}

struct PackSsWb : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.NarrowWithSaturation(a.AsInt16(), b.AsInt16()).AsByte();
}

struct PackSsDw : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.NarrowWithSaturation(a.AsInt32(), b.AsInt32()).AsByte();
}

struct PackUsWb : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.Narrow(Lanes.Clamp(a.AsInt16(), 255), Lanes.Clamp(b.AsInt16(), 255)).AsByte();
}

struct PackUsDw : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.Narrow(Lanes.Clamp(a.AsInt32(), 65535), Lanes.Clamp(b.AsInt32(), 65535)).AsByte();
}

struct PUnpckLbw : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Lanes.InterleaveBytes(a, b, 0);
}

struct PUnpckHbw : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Lanes.InterleaveBytes(a, b, 8);
}

struct PUnpckLwd : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Lanes.InterleaveWords(a, b, 0);
}

struct PUnpckHwd : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Lanes.InterleaveWords(a, b, 4);
}

struct PUnpckLdq : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.ConditionalSelect(Lanes.OddDwords, Vector128.Shuffle(b.AsInt32(), Vector128.Create(0, 0, 1, 1)),
        Vector128.Shuffle(a.AsInt32(), Vector128.Create(0, 0, 1, 1))).AsByte();
}

struct PUnpckHdq : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.ConditionalSelect(Lanes.OddDwords, Vector128.Shuffle(b.AsInt32(), Vector128.Create(2, 2, 3, 3)),
        Vector128.Shuffle(a.AsInt32(), Vector128.Create(2, 2, 3, 3))).AsByte();
}

struct PUnpckLqdq : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.Create(a.GetLower(), b.GetLower());
}

struct PUnpckHqdq : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.Create(a.GetUpper(), b.GetUpper());
}

struct PShufB : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.Shuffle(a, b & Vector128.Create((byte)0x8F));
}

struct PShufBMmx : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.Shuffle(a, b & Vector128.Create((byte)0x87));
}

struct PShufD : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.Shuffle(b.AsInt32(), Lanes.Select4(imm)).AsByte();
}

struct PShufLw : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.Shuffle(b.AsInt16(), Lanes.SelectLow(imm)).AsByte();
}

struct PShufHw : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.Shuffle(b.AsInt16(), Lanes.SelectHigh(imm)).AsByte();
}

struct ShufPs : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.Create(Vector128.Shuffle(a.AsInt32(), Lanes.Select4(imm)).GetLower(),
        Vector128.Shuffle(b.AsInt32(), Lanes.Select4(imm)).GetUpper()).AsByte();
}

struct ShufPd : IPacked
{
    public static int UpperImmediate(int imm) => imm >> 2;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.Create(a.AsInt64().GetElement(imm & 1), b.AsInt64().GetElement((imm >> 1) & 1)).AsByte();
}

struct PAlignR : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.Shuffle(b, Lanes.Iota + Vector128.Create((byte)Math.Min(imm, 32)))
        | Vector128.Shuffle(a, Lanes.Iota + Vector128.Create((byte)(Math.Min(imm, 32) - 16)));
}

struct PAlignRMmx : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        imm > 15 ? Vector128<byte>.Zero
        : Vector128.Shuffle(Vector128.Create(b.GetLower(), a.GetLower()), Lanes.Iota + Vector128.Create((byte)imm));
}

struct PSllDq : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.Shuffle(b, Lanes.Iota - Vector128.Create((byte)Math.Min(imm, 16)));
}

struct PSrlDq : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.Shuffle(b, Lanes.Iota + Vector128.Create((byte)Math.Min(imm, 16)));
}

struct PSllW : IPacked
{
    public static bool SharesSource => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Lanes.Count(b) < 16 ? Vector128.ShiftLeft(a.AsUInt16(), (int)Lanes.Count(b)).AsByte() : Vector128<byte>.Zero;
}

struct PSrlW : IPacked
{
    public static bool SharesSource => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Lanes.Count(b) < 16 ? Vector128.ShiftRightLogical(a.AsUInt16(), (int)Lanes.Count(b)).AsByte()
            : Vector128<byte>.Zero;
}

struct PSllWI : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        imm < 16 ? Vector128.ShiftLeft(b.AsUInt16(), imm).AsByte() : Vector128<byte>.Zero;
}

struct PSrlWI : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        imm < 16 ? Vector128.ShiftRightLogical(b.AsUInt16(), imm).AsByte() : Vector128<byte>.Zero;
}

struct PSllD : IPacked
{
    public static bool SharesSource => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Lanes.Count(b) < 32 ? Vector128.ShiftLeft(a.AsUInt32(), (int)Lanes.Count(b)).AsByte() : Vector128<byte>.Zero;
}

struct PSrlD : IPacked
{
    public static bool SharesSource => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Lanes.Count(b) < 32 ? Vector128.ShiftRightLogical(a.AsUInt32(), (int)Lanes.Count(b)).AsByte()
            : Vector128<byte>.Zero;
}

struct PSllDI : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        imm < 32 ? Vector128.ShiftLeft(b.AsUInt32(), imm).AsByte() : Vector128<byte>.Zero;
}

struct PSrlDI : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        imm < 32 ? Vector128.ShiftRightLogical(b.AsUInt32(), imm).AsByte() : Vector128<byte>.Zero;
}

struct PSllQ : IPacked
{
    public static bool SharesSource => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Lanes.Count(b) < 64 ? Vector128.ShiftLeft(a.AsUInt64(), (int)Lanes.Count(b)).AsByte() : Vector128<byte>.Zero;
}

struct PSrlQ : IPacked
{
    public static bool SharesSource => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Lanes.Count(b) < 64 ? Vector128.ShiftRightLogical(a.AsUInt64(), (int)Lanes.Count(b)).AsByte()
            : Vector128<byte>.Zero;
}

struct PSllQI : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        imm < 64 ? Vector128.ShiftLeft(b.AsUInt64(), imm).AsByte() : Vector128<byte>.Zero;
}

struct PSrlQI : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        imm < 64 ? Vector128.ShiftRightLogical(b.AsUInt64(), imm).AsByte() : Vector128<byte>.Zero;
}

struct PSraW : IPacked
{
    public static bool SharesSource => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.ShiftRightArithmetic(a.AsInt16(), (int)Math.Min(Lanes.Count(b), 15)).AsByte();
}

struct PSraWI : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.ShiftRightArithmetic(b.AsInt16(), Math.Min(imm, 15)).AsByte();
}

struct PSraD : IPacked
{
    public static bool SharesSource => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.ShiftRightArithmetic(a.AsInt32(), (int)Math.Min(Lanes.Count(b), 31)).AsByte();
}

struct PSraDI : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.ShiftRightArithmetic(b.AsInt32(), Math.Min(imm, 31)).AsByte();
}

struct PHAddW : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        (Lanes.Evens(a.AsInt32(), b.AsInt32()) + Lanes.Odds(a.AsInt32(), b.AsInt32())).AsByte();
}

struct PHAddD : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        (Lanes.Evens(a.AsInt64(), b.AsInt64()) + Lanes.Odds(a.AsInt64(), b.AsInt64())).AsByte();
}

struct PHAddSw : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.AddSaturate(Lanes.Evens(a.AsInt32(), b.AsInt32()), Lanes.Odds(a.AsInt32(), b.AsInt32())).AsByte();
}

struct PHSubW : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        (Lanes.Evens(a.AsInt32(), b.AsInt32()) - Lanes.Odds(a.AsInt32(), b.AsInt32())).AsByte();
}

struct PHSubD : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        (Lanes.Evens(a.AsInt64(), b.AsInt64()) - Lanes.Odds(a.AsInt64(), b.AsInt64())).AsByte();
}

struct PHSubSw : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.SubtractSaturate(Lanes.Evens(a.AsInt32(), b.AsInt32()), Lanes.Odds(a.AsInt32(),
            b.AsInt32())).AsByte();
}

struct PMinPosUw : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Lanes.MinPosition(b.AsUInt16()).AsByte();
}

struct MpSadBw : IPacked
{
    public static int UpperImmediate(int imm) => imm >> 3;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Lanes.SumsOfDifferences(a, b, imm).AsByte();
}

struct PBlendW : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.ConditionalSelect(Lanes.MaskWords(imm).AsByte(), b, a);
}

struct PBlendD : IPacked
{
    public static int UpperImmediate(int imm) => imm >> 4;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.ConditionalSelect(Lanes.MaskDwords(imm).AsByte(), b, a);
}

struct BlendPd : IPacked
{
    public static int UpperImmediate(int imm) => imm >> 2;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.ConditionalSelect(Lanes.MaskQwords(imm).AsByte(), b, a);
}

struct UnpckLpd : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.Create(a.GetLower(), b.GetLower());
}

struct PMovSxBw : IPacked
{
    public static int SourceBytes => 8;
    public static bool Aligned => false;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.WidenLower(b.AsSByte()).AsByte();
}

struct PMovZxBw : IPacked
{
    public static int SourceBytes => 8;
    public static bool Aligned => false;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.WidenLower(b.AsByte()).AsByte();
}

struct PMovSxBd : IPacked
{
    public static int SourceBytes => 4;
    public static bool Aligned => false;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.WidenLower(Vector128.WidenLower(b.AsSByte())).AsByte();
}

struct PMovZxBd : IPacked
{
    public static int SourceBytes => 4;
    public static bool Aligned => false;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.WidenLower(Vector128.WidenLower(b.AsByte())).AsByte();
}

struct PMovSxBq : IPacked
{
    public static int SourceBytes => 2;
    public static bool Aligned => false;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.WidenLower(Vector128.WidenLower(Vector128.WidenLower(b.AsSByte()))).AsByte();
}

struct PMovZxBq : IPacked
{
    public static int SourceBytes => 2;
    public static bool Aligned => false;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.WidenLower(Vector128.WidenLower(Vector128.WidenLower(b.AsByte()))).AsByte();
}

struct PMovSxWd : IPacked
{
    public static int SourceBytes => 8;
    public static bool Aligned => false;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.WidenLower(b.AsInt16()).AsByte();
}

struct PMovZxWd : IPacked
{
    public static int SourceBytes => 8;
    public static bool Aligned => false;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.WidenLower(b.AsUInt16()).AsByte();
}

struct PMovSxWq : IPacked
{
    public static int SourceBytes => 4;
    public static bool Aligned => false;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.WidenLower(Vector128.WidenLower(b.AsInt16())).AsByte();
}

struct PMovZxWq : IPacked
{
    public static int SourceBytes => 4;
    public static bool Aligned => false;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.WidenLower(Vector128.WidenLower(b.AsUInt16())).AsByte();
}

struct PMovSxDq : IPacked
{
    public static int SourceBytes => 8;
    public static bool Aligned => false;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.WidenLower(b.AsInt32()).AsByte();
}

struct PMovZxDq : IPacked
{
    public static int SourceBytes => 8;
    public static bool Aligned => false;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.WidenLower(b.AsUInt32()).AsByte();
}

struct MovDDup : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.Create(b.GetLower(), b.GetLower());
}

struct MovSlDup : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.Shuffle(b.AsInt32(), Vector128.Create(0, 0, 2, 2)).AsByte();
}

struct MovShDup : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.Shuffle(b.AsInt32(), Vector128.Create(1, 1, 3, 3)).AsByte();
}

struct PSllVd : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Lanes.ShiftLeft(a.AsUInt32(), b.AsUInt32()).AsByte();
}

struct PSrlVd : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Lanes.ShiftRight(a.AsUInt32(), b.AsUInt32()).AsByte();
}

struct PSllVq : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Lanes.ShiftLeft(a.AsUInt64(), b.AsUInt64()).AsByte();
}

struct PSrlVq : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Lanes.ShiftRight(a.AsUInt64(), b.AsUInt64()).AsByte();
}

struct PSraVd : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Lanes.ShiftArithmetic(a.AsInt32(), b.AsUInt32()).AsByte();
}

struct PermilPs : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.Shuffle(a.AsInt32(), b.AsInt32() & Vector128.Create(3)).AsByte();
}

struct PermilPsI : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.Shuffle(b.AsInt32(), Lanes.Select4(imm)).AsByte();
}

struct PermilPd : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.Shuffle(a.AsInt64(), Vector128.ShiftRightLogical(b.AsInt64(), 1) & Vector128.Create(1L)).AsByte();
}

struct PermilPdI : IPacked
{
    public static int UpperImmediate(int imm) => imm >> 2;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Vector128.Create(b.AsInt64().GetElement(imm & 1), b.AsInt64().GetElement((imm >> 1) & 1)).AsByte();
}

struct PClMul : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Lanes.CarrylessMultiply(a.AsUInt64().GetElement(imm & 1), b.AsUInt64().GetElement((imm >> 4) & 1)).AsByte();
}

struct AesEnc : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Aes.Encrypt(a, b);
}

struct AesEncLast : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Aes.EncryptLast(a, b);
}

struct AesDec : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Aes.Decrypt(a, b);
}

struct AesDecLast : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Aes.DecryptLast(a, b);
}

struct AesImc : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Aes.InverseMix(b);
}

struct AesKey : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Do(V a, V b, int imm) =>
        Aes.KeyAssist(b, imm);
}
