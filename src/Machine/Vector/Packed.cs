using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Ringdown.Machine;

/// <summary>An operation on 128 bits; AVX does it twice for 256.</summary>
interface IPacked
{
    static abstract Vector128<byte> Do(Vector128<byte> a, Vector128<byte> b, int imm);

    /// <summary>The immediate that counts for the upper 128 bits.</summary>
    static virtual int UpperImmediate(int imm) => imm;

    /// <summary>Both halves take the same 128 bits as their second operand.</summary>
    static virtual bool SharesSource => false;

    /// <summary>SSE wants the memory operand aligned.</summary>
    static virtual bool Aligned => true;

    /// <summary>Bytes of the second operand in memory, of a 128-bit operation.</summary>
    static virtual int SourceBytes => 16;

    /// <summary>Bytes of the second operand in memory for MMX.</summary>
    static virtual int MmxBytes => 8;
}

/// <summary>Micro-ops that compute D = S op (B or memory), with an immediate.</summary>
static unsafe class Packed<TOp, TPlace, TMode> where TOp : IPacked where TPlace : IPlace where TMode : IVectorMode
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* Run(Uop* op, CpuState* s)
    {
        if (TMode.Bytes == 8) return Mmx(op, s);
        int bytes = TMode.Bytes == 32 && !TOp.SharesSource ? TOp.SourceBytes * 2 : TOp.SourceBytes;
        byte* b = VectorAccess.Source<TPlace, TMode>(op, s, bytes, TOp.Aligned);
        if (b == null) return Fault.At(op, s);
        byte* a = (byte*)s + op->S, d = (byte*)s + op->D;
        int imm = (int)op->Imm;
        Vector128<byte> source = VectorAccess.Load(b, TOp.SourceBytes);
        if (TMode.Bytes == 32)
        {
            Vector128<byte> upper = TOp.SharesSource ? source : VectorAccess.Load(b + TOp.SourceBytes, TOp.SourceBytes);
            Vector128<byte> high = TOp.Do(Vector128.Load(a + 16), upper, TOp.UpperImmediate(imm));
            TOp.Do(Vector128.Load(a), source, imm).Store(d);
            high.Store(d + 16);
            return op + 1;
        }
        VectorAccess.Store<TMode>(d, TOp.Do(Vector128.Load(a), source, imm));
        return op + 1;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static Uop* Mmx(Uop* op, CpuState* s)
    {
        if (!VectorAccess.MmxReady(s)) return Fault.Raise(op, s, Fault.FpuError);
        byte* b = TPlace.IsMemory ? Probe.Read(s, MemX.Of(op, s), TOp.MmxBytes) : TPlace.Read(op, s, TOp.MmxBytes);
        if (b == null) return Fault.At(op, s);
        Vector128<byte> first = Vector128.CreateScalar(*(ulong*)((byte*)s + op->S)).AsByte();
        Vector128<byte> result = TOp.Do(first, VectorAccess.Load(b, TOp.MmxBytes), (int)op->Imm);
        VectorAccess.StoreMmx(s, (byte*)s + op->D, result.AsUInt64().ToScalar());
        return op + 1;
    }
}

/// <summary>An operation whose operands are halves of the whole: MMX puts both into one 128-bit value.</summary>
struct Joined<TOp> : IPacked where TOp : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<byte> Do(Vector128<byte> a, Vector128<byte> b, int imm) =>
        TOp.Do(Vector128.Create(a.AsUInt64().ToScalar(), b.AsUInt64().ToScalar()).AsByte(), Vector128<byte>.Zero, imm);
}

/// <summary>The upper half of what the operation makes, for MMX.</summary>
struct UpperOf<TOp> : IPacked where TOp : IPacked
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<byte> Do(Vector128<byte> a, Vector128<byte> b, int imm) =>
        Vector128.CreateScalar(TOp.Do(a, b, imm).AsUInt64().GetElement(1)).AsByte();
}

/// <summary>An operation that reads only 32 bits of memory, for MMX.</summary>
struct Narrow<TOp> : IPacked where TOp : IPacked
{
    public static int MmxBytes => 4;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<byte> Do(Vector128<byte> a, Vector128<byte> b, int imm) => TOp.Do(a, b, imm);
}
