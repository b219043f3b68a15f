using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Ringdown.Machine;

/// <summary>How an instruction treats its registers: how wide they are and what becomes of the rest.</summary>
interface IVectorMode
{
    /// <summary>Bytes of a register: 8, 16 or 32.</summary>
    static abstract int Bytes { get; }

    /// <summary>The destination's upper half becomes zero, and memory needs no alignment.</summary>
    static abstract bool Vex { get; }
}

/// <summary>MMX: registers of the x87, 64 bits.</summary>
struct ModeMmx : IVectorMode
{
    public static int Bytes => 8;
    public static bool Vex => false;
}

/// <summary>SSE: 128 bits; the upper half of the YMM register stays; memory operands are aligned.</summary>
struct ModeSse : IVectorMode
{
    public static int Bytes => 16;
    public static bool Vex => false;
}

/// <summary>AVX with 128 bits.</summary>
struct Mode128 : IVectorMode
{
    public static int Bytes => 16;
    public static bool Vex => true;
}

/// <summary>AVX with 256 bits.</summary>
struct Mode256 : IVectorMode
{
    public static int Bytes => 32;
    public static bool Vex => true;
}

/// <summary>Operands of vector instructions.</summary>
static unsafe class VectorAccess
{
    const MethodImplOptions Inline = MethodImplOptions.AggressiveInlining;

    /// <summary>A source of some bytes; null if it faults. SSE wants its full operands in memory aligned.</summary>
    [MethodImpl(Inline)]
    public static byte* Source<TPlace, TMode>(Uop* op, CpuState* s, int bytes, bool aligned)
        where TPlace : IPlace where TMode : IVectorMode
    {
        if (!TPlace.IsMemory) return TPlace.Read(op, s, bytes);
        ulong address = MemX.Of(op, s);
        if (aligned && !TMode.Vex && bytes == 16 && (address & 15) != 0) return Misaligned(op, s);
        return Probe.Read(s, address, bytes);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    public static byte* Misaligned(Uop* op, CpuState* s) =>
        (byte*)Fault.Raise(op, s, Fault.GeneralProtection);

    /// <summary>Loads exactly so many bytes, the rest is zero.</summary>
    [MethodImpl(Inline)]
    public static Vector128<byte> Load(byte* p, int bytes) => bytes switch
    {
        16 => Vector128.Load(p),
        8 => Vector128.CreateScalar(*(ulong*)p).AsByte(),
        4 => Vector128.CreateScalar(*(uint*)p).AsByte(),
        2 => Vector128.CreateScalar(*(ushort*)p).AsByte(),
        _ => Vector128.CreateScalar(*p),
    };

    /// <summary>Writes a register of 16 bytes as the mode says.</summary>
    [MethodImpl(Inline)]
    public static void Store<TMode>(byte* d, Vector128<byte> value) where TMode : IVectorMode
    {
        value.Store(d);
        if (TMode.Vex) Vector128<byte>.Zero.Store(d + 16);
    }

    /// <summary>Before an MMX instruction: false if an exception of the x87 is pending, which comes first.</summary>
    [MethodImpl(Inline)]
    public static bool MmxReady(CpuState* s) => (s->FpuStatus & 0x80) == 0;

    /// <summary>What every MMX instruction does to the x87: the top is 0, all registers are in use.</summary>
    [MethodImpl(Inline)]
    public static void EnterMmx(CpuState* s)
    {
        s->FpuStatus &= 0xC7FF;
        s->FpuTag = 0xFF;
    }

    [MethodImpl(Inline)]
    public static void StoreMmx(CpuState* s, byte* d, ulong value)
    {
        EnterMmx(s);
        *(ulong*)d = value;
        *(ushort*)(d + 8) = 0xFFFF;
    }
}
