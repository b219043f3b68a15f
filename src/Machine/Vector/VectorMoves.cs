using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Ringdown.Machine;

/// <summary>MOVUPS and its like: a whole register from a register or memory.</summary>
unsafe struct LoadWhole : IVectorRead
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Do<TMode>(Uop* op, CpuState* s, byte* b) where TMode : IVectorMode
    {
        byte* d = (byte*)s + op->D;
        if (TMode.Bytes == 8)
        {
            VectorAccess.StoreMmx(s, d, *(ulong*)b);
            return;
        }
        if (TMode.Bytes == 32)
        {
            Vector256.Load(b).Store(d);
            return;
        }
        VectorAccess.Store<TMode>(d, Vector128.Load(b));
    }
}

/// <summary>MOVAPS and its like: misaligned memory is #GP, also for AVX.</summary>
unsafe struct LoadAligned : IVectorRead
{
    public static bool Aligned => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Do<TMode>(Uop* op, CpuState* s, byte* b)
        where TMode : IVectorMode => LoadWhole.Do<TMode>(op, s, b);
}

unsafe struct StoreWhole : IVectorWrite
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Do<TMode>(Uop* op, CpuState* s, byte* d, bool memory) where TMode : IVectorMode
    {
        byte* source = (byte*)s + op->S;
        if (TMode.Bytes == 8)
        {
            if (memory) *(ulong*)d = *(ulong*)source;
            else VectorAccess.StoreMmx(s, d, *(ulong*)source);
        }
        else if (TMode.Bytes == 32)
        {
            Vector256.Load(source).Store(d);
        }
        else if (memory)
        {
            Vector128.Load(source).Store(d);
        }
        else
        {
            VectorAccess.Store<TMode>(d, Vector128.Load(source));
        }
    }
}

unsafe struct StoreAligned : IVectorWrite
{
    public static bool Aligned => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Do<TMode>(Uop* op, CpuState* s, byte* d, bool memory) where TMode : IVectorMode =>
        StoreWhole.Do<TMode>(op, s, d, memory);
}

/// <summary>Loads the low part of a register; the rest becomes zero: MOVD, MOVQ, MOVSS and MOVSD from memory.</summary>
unsafe struct LoadLow<T> : IVectorRead where T : unmanaged
{
    public static int Bytes(int mode) => sizeof(T);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Do<TMode>(Uop* op, CpuState* s, byte* b) where TMode : IVectorMode
    {
        byte* d = (byte*)s + op->D;
        ulong value = Ringdown.Machine.Width.Load<T>(b);
        if (TMode.Bytes == 8) VectorAccess.StoreMmx(s, d, value);
        else VectorAccess.Store<TMode>(d, Vector128.CreateScalar(value).AsByte());
    }
}

/// <summary>Stores the low part of a register; in a general register it is zero-extended.</summary>
unsafe struct StoreLow<T> : IVectorWrite where T : unmanaged
{
    public static int Bytes(int mode) => sizeof(T);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Do<TMode>(Uop* op, CpuState* s, byte* d, bool memory) where TMode : IVectorMode
    {
        ulong value = Ringdown.Machine.Width.Load<T>((byte*)s + op->S);
        if (memory) Ringdown.Machine.Width.Store<T>(d, value);
        else *(ulong*)d = value;
    }
}

/// <summary>MOVQ xmm, xmm in its storing form: the upper half becomes zero.</summary>
unsafe struct MoveLowQword : IVectorRead
{
    public static int Bytes(int mode) => 8;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Do<TMode>(Uop* op, CpuState* s, byte* b) where TMode : IVectorMode =>
        VectorAccess.Store<TMode>((byte*)s + op->D, Vector128.CreateScalar(*(ulong*)b).AsByte());
}

/// <summary>MOVSS and MOVSD between registers: the low part from B, the rest from S.</summary>
unsafe struct MergeLow<T> : IVectorRead where T : unmanaged
{
    public static int Bytes(int mode) => sizeof(T);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Do<TMode>(Uop* op, CpuState* s, byte* b) where TMode : IVectorMode
    {
        T low = *(T*)b;
        byte* d = (byte*)s + op->D;
        VectorAccess.Store<TMode>(d, Vector128.Load((byte*)s + op->S));
        *(T*)d = low;
    }
}

/// <summary>MOVLPS and MOVLPD: the low half from memory, the high half from S.</summary>
/// <remarks>MOVHLPS: the low half from the high half of B.</remarks>
unsafe struct MergeHalf<TFrom, TTo> : IVectorRead where TFrom : IHalf where TTo : IHalf
{
    public static int Bytes(int mode) => 8;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Do<TMode>(Uop* op, CpuState* s, byte* b) where TMode : IVectorMode
    {
        ulong half = *(ulong*)(b + TFrom.Offset);
        byte* d = (byte*)s + op->D;
        VectorAccess.Store<TMode>(d, Vector128.Load((byte*)s + op->S));
        *(ulong*)(d + TTo.Offset) = half;
    }
}

interface IHalf
{
    static abstract int Offset { get; }
}

struct LowHalf : IHalf
{
    public static int Offset => 0;
}

struct HighHalf : IHalf
{
    public static int Offset => 8;
}

/// <summary>MOVHPS and MOVHPD to memory.</summary>
unsafe struct StoreHigh : IVectorWrite
{
    public static int Bytes(int mode) => 8;

    public static void Do<TMode>(Uop* op, CpuState* s, byte* d, bool memory) where TMode : IVectorMode =>
        *(ulong*)d = *(ulong*)((byte*)s + op->S + 8);
}

/// <summary>MOVQ2DQ and MOVDQ2Q.</summary>
unsafe struct MmxToXmm : IVectorRead
{
    public static void Do<TMode>(Uop* op, CpuState* s, byte* b) where TMode : IVectorMode =>
        Vector128.CreateScalar(*(ulong*)b).AsByte().Store((byte*)s + op->D);
}

unsafe struct XmmToMmx : IVectorRead
{
    public static void Do<TMode>(Uop* op, CpuState* s, byte* b) where TMode : IVectorMode =>
        VectorAccess.StoreMmx(s, (byte*)s + op->D, *(ulong*)b);
}
