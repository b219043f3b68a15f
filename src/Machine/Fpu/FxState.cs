using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Ringdown.Machine;

/// <summary>FXSAVE, FXRSTOR, XSAVE, XRSTOR: the images of x87, SSE and AVX state.</summary>
static unsafe class FxState
{
    const MethodImplOptions Optimized = MethodImplOptions.AggressiveOptimization;
    const int FxBytes = 512, UsedBytes = 416, HeaderOffset = 512, AvxOffset = 576;
    const uint MxcsrMask = 0xFFFF;
    const ulong X87Bit = 1, SseBit = 2, AvxBit = 4;

    /// <summary>Bytes of an XSAVE area with all components.</summary>
    public const int XsaveBytes = 832;

    [MethodImpl(Optimized)]
    public static Uop* Save(Uop* op, CpuState* s)
    {
        ulong address = MemX.Of(op, s);
        if ((address & 15) != 0) return Fault.Raise(op, s, Fault.GeneralProtection);
        byte* p = Probe.Modify(s, address, FxBytes);
        if (p == null) return Fault.At(op, s);
        SaveX87(s, p);
        *(uint*)(p + 24) = s->Mxcsr;
        *(uint*)(p + 28) = MxcsrMask;
        SaveSse(s, p);
        return op + 1;
    }

    [MethodImpl(Optimized)]
    public static Uop* Restore(Uop* op, CpuState* s)
    {
        ulong address = MemX.Of(op, s);
        if ((address & 15) != 0) return Fault.Raise(op, s, Fault.GeneralProtection);
        byte* p = Probe.Read(s, address, FxBytes);
        if (p == null) return Fault.At(op, s);
        if ((*(uint*)(p + 24) & ~MxcsrMask) != 0) return Fault.Raise(op, s, Fault.GeneralProtection);
        LoadX87(s, p);
        s->Mxcsr = *(uint*)(p + 24);
        LoadSse(s, p);
        return op + 1;
    }

    static void SaveX87(CpuState* s, byte* p)
    {
        *(ushort*)p = s->FpuControl;
        *(ushort*)(p + 2) = s->FpuStatus;
        *(ushort*)(p + 4) = s->FpuTag;
        *(ushort*)(p + 6) = s->FpuOpcode;
        *(ulong*)(p + 8) = s->FpuInstruction;
        *(ulong*)(p + 16) = s->FpuData;
        for (int i = 0; i < 8; i++)
        {
            byte* r = X87.Register(s, i);
            *(ulong*)(p + 32 + i * 16) = *(ulong*)r;
            *(ulong*)(p + 40 + i * 16) = *(ushort*)(r + 8);
        }
    }

    static void LoadX87(CpuState* s, byte* p)
    {
        s->FpuControl = (ushort)(*(ushort*)p & 0x1F3F | 0x40);
        s->FpuStatus = *(ushort*)(p + 2);
        s->FpuTag = p[4];
        s->FpuOpcode = (ushort)(*(ushort*)(p + 6) & 0x7FF);
        s->FpuInstruction = *(ulong*)(p + 8);
        s->FpuData = *(ulong*)(p + 16);
        X87.Summarize(s);
        for (int i = 0; i < 8; i++)
        {
            byte* r = X87.Register(s, i);
            *(ulong*)r = *(ulong*)(p + 32 + i * 16);
            *(ushort*)(r + 8) = *(ushort*)(p + 40 + i * 16);
        }
    }

    static void SaveSse(CpuState* s, byte* p)
    {
        for (int i = 0; i < 16; i++) Vector128.Load(s->Vector + 32 * i).Store(p + 160 + 16 * i);
    }

    static void LoadSse(CpuState* s, byte* p)
    {
        for (int i = 0; i < 16; i++) Vector128.Load(p + 160 + 16 * i).Store(s->Vector + 32 * i);
    }

    static ulong Requested(CpuState* s) =>
        (s->Gpr[2] << 32 | (uint)s->Gpr[0]) & (s->Xcr0 | X87Bit) & (X87Bit | SseBit | AvxBit);

    /// <summary>XSAVE. All components count as in use.</summary>
    [MethodImpl(Optimized)]
    public static Uop* ExtendedSave(Uop* op, CpuState* s)
    {
        ulong address = MemX.Of(op, s), wanted = Requested(s);
        if ((address & 63) != 0) return Fault.Raise(op, s, Fault.GeneralProtection);
        byte* p = Probe.Modify(s, address, (wanted & AvxBit) != 0 ? XsaveBytes : AvxOffset);
        if (p == null) return Fault.At(op, s);
        if ((wanted & X87Bit) != 0) SaveX87(s, p);
        if ((wanted & (SseBit | AvxBit)) != 0)
        {
            *(uint*)(p + 24) = s->Mxcsr;
            *(uint*)(p + 28) = MxcsrMask;
        }
        if ((wanted & SseBit) != 0) SaveSse(s, p);
        for (int i = 0; i < 16 && (wanted & AvxBit) != 0; i++)
            Vector128.Load(s->Vector + 32 * i + 16).Store(p + AvxOffset + 16 * i);
        *(ulong*)(p + HeaderOffset) |= wanted;
        return op + 1;
    }

    /// <summary>XRSTOR, of the standard form only. What the header leaves out is set to its initial state.</summary>
    [MethodImpl(Optimized)]
    public static Uop* ExtendedRestore(Uop* op, CpuState* s)
    {
        ulong address = MemX.Of(op, s), wanted = Requested(s);
        if ((address & 63) != 0) return Fault.Raise(op, s, Fault.GeneralProtection);
        byte* p = Probe.Read(s, address, (wanted & AvxBit) != 0 ? XsaveBytes : AvxOffset);
        if (p == null) return Fault.At(op, s);
        ulong present = *(ulong*)(p + HeaderOffset);
        bool loadsMxcsr = (wanted & (SseBit | AvxBit)) != 0;
        if ((present & ~(s->Xcr0 | X87Bit)) != 0 || *(ulong*)(p + HeaderOffset + 8) != 0
            || *(ulong*)(p + HeaderOffset + 16) != 0
            || loadsMxcsr && (*(uint*)(p + 24) & ~MxcsrMask) != 0)
            return Fault.Raise(op, s, Fault.GeneralProtection);
        if ((wanted & X87Bit) != 0) RestoreX87(s, p, (present & X87Bit) != 0);
        if (loadsMxcsr) s->Mxcsr = *(uint*)(p + 24);
        for (int i = 0; i < 16; i++)
        {
            if ((wanted & SseBit) != 0) RestorePart(s->Vector + 32 * i, p + 160 + 16 * i, (present & SseBit) != 0);
            if ((wanted & AvxBit) != 0)
                RestorePart(s->Vector + 32 * i + 16, p + AvxOffset + 16 * i, (present & AvxBit) != 0);
        }
        return op + 1;
    }

    static void RestorePart(byte* d, byte* p, bool present) =>
        (present ? Vector128.Load(p) : Vector128<byte>.Zero).Store(d);

    static void RestoreX87(CpuState* s, byte* p, bool present)
    {
        if (present)
        {
            LoadX87(s, p);
            return;
        }
        X87Control.Reset(s);
        new Span<byte>(s->Fpu, 128).Clear();
    }
}
