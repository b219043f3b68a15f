using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Ringdown.Machine;

/// <summary>PMOVSX and PMOVZX to 256 bits: each half of the source makes one of the destination.</summary>
unsafe struct WidenTwice<TOp> : IVectorRead where TOp : IPacked
{
    public static int Bytes(int mode) => TOp.SourceBytes * 2;

    public static void Do<TMode>(Uop* op, CpuState* s, byte* b) where TMode : IVectorMode
    {
        int half = TOp.SourceBytes;
        Vector128<byte> low = TOp.Do(default, VectorAccess.Load(b, half), 0);
        Vector128<byte> high = TOp.Do(default, VectorAccess.Load(b + half, half), 0);
        byte* d = (byte*)s + op->D;
        low.Store(d);
        high.Store(d + 16);
    }
}

/// <summary>PMOVMSKB, MOVMSKPS, MOVMSKPD: the top bits of elements, into a general register.</summary>
unsafe struct MoveMask<T> : IVectorRead where T : unmanaged
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Do<TMode>(Uop* op, CpuState* s, byte* b) where TMode : IVectorMode
    {
        ulong mask = TMode.Bytes switch
        {
            8 => Vector128.CreateScalar(*(ulong*)b).As<ulong, T>().ExtractMostSignificantBits(),
            16 => Vector128.Load(b).As<byte, T>().ExtractMostSignificantBits(),
            _ => Vector256.Load(b).As<byte, T>().ExtractMostSignificantBits(),
        };
        *(ulong*)((byte*)s + op->D) = mask;
    }
}

/// <summary>PINSRB to PINSRQ: S with one element from a general register or memory.</summary>
unsafe struct Insert<T> : IVectorRead where T : unmanaged
{
    public static int Bytes(int mode) => sizeof(T);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Do<TMode>(Uop* op, CpuState* s, byte* b) where TMode : IVectorMode
    {
        T value = *(T*)b;
        byte* d = (byte*)s + op->D;
        if (TMode.Bytes == 8)
        {
            VectorAccess.StoreMmx(s, d, *(ulong*)((byte*)s + op->S));
            ((T*)d)[(int)op->Imm & (8 / sizeof(T) - 1)] = value;
            return;
        }
        VectorAccess.Store<TMode>(d, Vector128.Load((byte*)s + op->S));
        ((T*)d)[(int)op->Imm & (16 / sizeof(T) - 1)] = value;
    }
}

/// <summary>PEXTRB to PEXTRQ and EXTRACTPS.</summary>
unsafe struct Extract<T> : IVectorWrite where T : unmanaged
{
    public static int Bytes(int mode) => sizeof(T);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Do<TMode>(Uop* op, CpuState* s, byte* d, bool memory) where TMode : IVectorMode
    {
        int count = (TMode.Bytes == 8 ? 8 : 16) / sizeof(T);
        ulong value = Ringdown.Machine.Width.Load<T>((byte*)s + op->S + ((int)op->Imm & (count - 1)) * sizeof(T));
        if (memory) Ringdown.Machine.Width.Store<T>(d, value);
        else *(ulong*)d = value;
    }
}

/// <summary>
/// INSERTPS: an element of B (bits 7 and 6) or memory to a place (5 and 4), then some elements zero (3 to 0).
/// </summary>
unsafe struct InsertSingle<TPlace> : IVectorRead where TPlace : IPlace
{
    public static int Bytes(int mode) => 4;

    public static void Do<TMode>(Uop* op, CpuState* s, byte* b) where TMode : IVectorMode
    {
        int imm = (int)op->Imm;
        int value = ((int*)b)[TPlace.IsMemory ? 0 : imm >> 6 & 3];
        Vector128<int> result = Vector128.Load((int*)((byte*)s + op->S)).WithElement(imm >> 4 & 3, value);
        result = Vector128.AndNot(result, Lanes.MaskDwords(imm));
        VectorAccess.Store<TMode>((byte*)s + op->D, result.AsByte());
    }
}

/// <summary>PTEST and VTESTPS, VTESTPD: ZF if no bit of the mask is in both, CF if none is in B alone.</summary>
unsafe struct Test<T> : IVectorRead where T : unmanaged
{
    public static bool Aligned => false;

    public static void Do<TMode>(Uop* op, CpuState* s, byte* b) where TMode : IVectorMode
    {
        ulong mask = sizeof(T) switch { 4 => 0x8000_0000_8000_0000, 8 => 1UL << 63, _ => ulong.MaxValue };
        ulong both = 0, alone = 0;
        ulong* x = (ulong*)((byte*)s + op->D), y = (ulong*)b;
        for (int i = 0; i < TMode.Bytes / 8; i++)
        {
            both |= x[i] & y[i] & mask;
            alone |= ~x[i] & y[i] & mask;
        }
        Ringdown.Machine.Width.SetFlags(s, (both == 0 ? Flags.ZF : 0) | (alone == 0 ? Flags.CF : 0));
    }
}

/// <summary>PTEST of SSE: as <see cref="Test{T}"/>, its memory aligned.</summary>
unsafe struct TestAligned : IVectorRead
{
    public static bool Aligned => true;

    public static void Do<TMode>(Uop* op, CpuState* s, byte* b)
        where TMode : IVectorMode => Test<byte>.Do<TMode>(op, s, b);
}

/// <summary>PBLENDVB, BLENDVPS, BLENDVPD: chosen by the top bits of a register, whose offset is in Imm.</summary>
unsafe struct BlendBy<T> : IVectorRead where T : unmanaged
{
    public static void Do<TMode>(Uop* op, CpuState* s, byte* b) where TMode : IVectorMode
    {
        byte* a = (byte*)s + op->S, d = (byte*)s + op->D, mask = (byte*)s + (int)op->Imm;
        Vector128<byte> low = Choose(a, b, mask);
        Vector128<byte> high = TMode.Bytes == 32 ? Choose(a + 16, b + 16, mask + 16) : default;
        if (TMode.Bytes == 32)
        {
            low.Store(d);
            high.Store(d + 16);
            return;
        }
        VectorAccess.Store<TMode>(d, low);
    }

    static Vector128<byte> Choose(byte* a, byte* b, byte* mask)
    {
        Vector128<byte> bits = sizeof(T) switch
        {
            1 => Vector128.ShiftRightArithmetic(Vector128.Load((sbyte*)mask), 7).AsByte(),
            4 => Vector128.ShiftRightArithmetic(Vector128.Load((int*)mask), 31).AsByte(),
            _ => Vector128.ShiftRightArithmetic(Vector128.Load((long*)mask), 63).AsByte(),
        };
        return Vector128.ConditionalSelect(bits, Vector128.Load(b), Vector128.Load(a));
    }
}

/// <summary>The same with an aligned operand in memory, as SSE wants it.</summary>
unsafe struct BlendByAligned<T> : IVectorRead where T : unmanaged
{
    public static bool Aligned => true;

    public static void Do<TMode>(Uop* op, CpuState* s, byte* b)
        where TMode : IVectorMode => BlendBy<T>.Do<TMode>(op, s, b);
}
