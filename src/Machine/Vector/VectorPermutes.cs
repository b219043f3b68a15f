using System.Runtime.Intrinsics;

namespace Ringdown.Machine;

/// <summary>VBROADCASTSS and its like: one element (or 128 bits) in all places.</summary>
unsafe struct Broadcast<T> : IVectorRead where T : unmanaged
{
    public static int Bytes(int mode) => sizeof(T);

    public static void Do<TMode>(Uop* op, CpuState* s, byte* b) where TMode : IVectorMode
    {
        T value = *(T*)b;
        byte* d = (byte*)s + op->D;
        Vector256<byte>.Zero.Store(d);
        for (int i = 0; i < TMode.Bytes / sizeof(T); i++) ((T*)d)[i] = value;
    }
}

/// <summary>VINSERTF128: S with its lower or upper half replaced.</summary>
unsafe struct InsertHalf : IVectorRead
{
    public static int Bytes(int mode) => 16;

    public static void Do<TMode>(Uop* op, CpuState* s, byte* b) where TMode : IVectorMode
    {
        Vector128<byte> half = Vector128.Load(b);
        byte* d = (byte*)s + op->D;
        Vector256.Load((byte*)s + op->S).Store(d);
        half.Store(d + (op->Imm & 1) * 16);
    }
}

/// <summary>VEXTRACTF128.</summary>
unsafe struct ExtractHalf : IVectorWrite
{
    public static int Bytes(int mode) => 16;

    public static void Do<TMode>(Uop* op, CpuState* s, byte* d, bool memory) where TMode : IVectorMode
    {
        Vector128<byte> half = Vector128.Load((byte*)s + op->S + (op->Imm & 1) * 16);
        half.Store(d);
        if (!memory) Vector128<byte>.Zero.Store(d + 16);
    }
}

/// <summary>VPERM2F128: each half is one of four, or zero.</summary>
unsafe struct PermuteHalves : IVectorRead
{
    public static void Do<TMode>(Uop* op, CpuState* s, byte* b) where TMode : IVectorMode
    {
        byte* a = (byte*)s + op->S, d = (byte*)s + op->D;
        int imm = (int)op->Imm;
        Vector128<byte> low = Half(a, b, imm), high = Half(a, b, imm >> 4);
        low.Store(d);
        high.Store(d + 16);
    }

    static Vector128<byte> Half(byte* a, byte* b, int choice) => (choice & 8) != 0
        ? Vector128<byte>.Zero : Vector128.Load(((choice & 2) != 0 ? b : a) + (choice & 1) * 16);
}

/// <summary>VPERMQ and VPERMPD: 64-bit elements chosen by the immediate.</summary>
unsafe struct PermuteQwords : IVectorRead
{
    public static void Do<TMode>(Uop* op, CpuState* s, byte* b) where TMode : IVectorMode
    {
        Vector256<long> source = Vector256.Load((long*)b);
        int imm = (int)op->Imm;
        Vector256.Create(source[imm & 3], source[imm >> 2 & 3], source[imm >> 4 & 3], source[imm >> 6 & 3])
            .AsByte().Store((byte*)s + op->D);
    }
}

/// <summary>VPERMD and VPERMPS: 32-bit elements of the source chosen by S.</summary>
unsafe struct PermuteDwords : IVectorRead
{
    public static void Do<TMode>(Uop* op, CpuState* s, byte* b) where TMode : IVectorMode
    {
        Vector256<int> source = Vector256.Load((int*)b), choice = Vector256.Load((int*)((byte*)s + op->S));
        Vector256.Shuffle(source, choice & Vector256.Create(7)).AsByte().Store((byte*)s + op->D);
    }
}

/// <summary>MOVDDUP: the even 64-bit elements doubled; of 128 bits only 8 bytes are read.</summary>
unsafe struct DuplicateQwords : IVectorRead
{
    public static int Bytes(int mode) => mode == 32 ? 32 : 8;

    public static void Do<TMode>(Uop* op, CpuState* s, byte* b) where TMode : IVectorMode
    {
        ulong low = *(ulong*)b, high = TMode.Bytes == 32 ? ((ulong*)b)[2] : 0;
        byte* d = (byte*)s + op->D;
        if (TMode.Bytes == 32) Vector128.Create(high).AsByte().Store(d + 16);
        if (TMode.Bytes == 32) Vector128.Create(low).AsByte().Store(d);
        else VectorAccess.Store<TMode>(d, Vector128.Create(low).AsByte());
    }
}
