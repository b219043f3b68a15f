using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Ringdown.Machine;

/// <summary>Accesses to those elements only whose mask has its top bit set.</summary>
static unsafe class Masked
{
    /// <summary>VMASKMOVPS and its like from memory. The mask is S.</summary>
    public static Uop* Load<T>(Uop* op, CpuState* s, int bytes) where T : unmanaged
    {
        byte* mask = (byte*)s + op->S;
        Vector256<byte> result = default;
        ulong address = MemX.Of(op, s);
        for (int at = 0; at < bytes; at += sizeof(T))
        {
            if ((sbyte)mask[at + sizeof(T) - 1] >= 0) continue;
            byte* p = Probe.Read(s, address + (ulong)at, sizeof(T));
            if (p == null) return Fault.At(op, s);
            *(T*)((byte*)&result + at) = *(T*)p;
        }
        result.Store((byte*)s + op->D);
        return op + 1;
    }

    /// <summary>
    /// The same to memory: from D where S has its bits. Nothing is written if one of the elements faults.
    /// </summary>
    public static Uop* Store<T>(Uop* op, CpuState* s, int bytes) where T : unmanaged
    {
        byte* mask = (byte*)s + op->S, source = (byte*)s + op->D;
        ulong address = MemX.Of(op, s);
        byte** places = stackalloc byte*[32];
        for (int at = 0; at < bytes; at += sizeof(T))
        {
            if ((sbyte)mask[at + sizeof(T) - 1] >= 0) continue;
            byte* p = Probe.Write(s, address + (ulong)at, sizeof(T));
            if (p == null) return Fault.At(op, s);
            places[at] = p;
        }
        for (int at = 0; at < bytes; at += sizeof(T))
            if ((sbyte)mask[at + sizeof(T) - 1] < 0) *(T*)places[at] = *(T*)(source + at);
        return op + 1;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* Load128<T>(Uop* op, CpuState* s) where T : unmanaged => Load<T>(op, s, 16);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* Load256<T>(Uop* op, CpuState* s) where T : unmanaged => Load<T>(op, s, 32);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* Store128<T>(Uop* op, CpuState* s) where T : unmanaged => Store<T>(op, s, 16);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* Store256<T>(Uop* op, CpuState* s) where T : unmanaged => Store<T>(op, s, 32);

    /// <summary>MASKMOVDQU: bytes of D to memory at RDI.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* StoreBytes(Uop* op, CpuState* s) => StoreBytes(op, s, 16);

    /// <summary>MASKMOVQ.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* StoreBytesMmx(Uop* op, CpuState* s)
    {
        if (!VectorAccess.MmxReady(s)) return Fault.Raise(op, s, Fault.FpuError);
        // The switch to MMX comes before a page fault.
        VectorAccess.EnterMmx(s);
        return StoreBytes(op, s, 8);
    }

    static Uop* StoreBytes(Uop* op, CpuState* s, int bytes)
    {
        byte* mask = (byte*)s + op->S, source = (byte*)s + op->D;
        byte* p = Probe.Modify(s, MemX.Of(op, s), bytes);
        if (p == null) return Fault.At(op, s);
        for (int i = 0; i < bytes; i++)
            if ((sbyte)mask[i] < 0) p[i] = source[i];
        return op + 1;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* ZeroUpper(Uop* op, CpuState* s)
    {
        for (int i = 0; i < 16; i++) Vector128<byte>.Zero.Store(s->Vector + i * 32 + 16);
        return op + 1;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* ZeroAll(Uop* op, CpuState* s)
    {
        for (int i = 0; i < 16; i++) Vector256<byte>.Zero.Store(s->Vector + i * 32);
        return op + 1;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* LoadMxcsr(Uop* op, CpuState* s)
    {
        byte* p = Probe.Read(s, MemX.Of(op, s), 4);
        if (p == null) return Fault.At(op, s);
        uint value = *(uint*)p;
        if (value > 0xFFFF) return Fault.Raise(op, s, Fault.GeneralProtection);
        s->Mxcsr = value;
        return op + 1;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* StoreMxcsr(Uop* op, CpuState* s)
    {
        byte* p = Probe.Write(s, MemX.Of(op, s), 4);
        if (p == null) return Fault.At(op, s);
        *(uint*)p = s->Mxcsr;
        return op + 1;
    }
}
