using System.Runtime.CompilerServices;

namespace Ringdown.Machine;

/// <summary>Control, status, and the images that save them.</summary>
static unsafe class X87Control
{
    const MethodImplOptions Optimized = MethodImplOptions.AggressiveOptimization;

    [MethodImpl(Optimized)]
    public static Uop* Initialize(Uop* op, CpuState* s)
    {
        Reset(s);
        return op + 1;
    }

    /// <summary>FNINIT: registers keep their bits but count as empty.</summary>
    public static void Reset(CpuState* s)
    {
        (s->FpuControl, s->FpuStatus, s->FpuTag) = (0x37F, 0, 0);
        (s->FpuOpcode, s->FpuInstruction, s->FpuData) = (0, 0, 0);
    }

    [MethodImpl(Optimized)]
    public static Uop* ClearExceptions(Uop* op, CpuState* s)
    {
        s->FpuStatus &= 0x7F00;
        return op + 1;
    }

    /// <summary>FNOP, FWAIT and what else only waits.</summary>
    [MethodImpl(Optimized)]
    public static Uop* Wait(Uop* op, CpuState* s) =>
        X87.IsPending(s) ? Fault.Raise(op, s, Fault.FpuError) : op + 1;

    [MethodImpl(Optimized)]
    public static Uop* EmptyMmx(Uop* op, CpuState* s)
    {
        if (X87.IsPending(s)) return Fault.Raise(op, s, Fault.FpuError);
        s->FpuTag = 0;
        s->FpuStatus &= 0xC7FF;
        return op + 1;
    }

    /// <summary>FINCSTP and FDECSTP: Imm is 1 or -1.</summary>
    [MethodImpl(Optimized)]
    public static Uop* MoveTop(Uop* op, CpuState* s)
    {
        if (X87.IsPending(s)) return Fault.Raise(op, s, Fault.FpuError);
        X87.ClearC1(s);
        X87.SetTop(s, X87.Top(s) + (int)op->Imm);
        return op + 1;
    }

    /// <summary>FFREE; Imm 1 to pop as well.</summary>
    [MethodImpl(Optimized)]
    public static Uop* Free(Uop* op, CpuState* s)
    {
        if (X87.IsPending(s)) return Fault.Raise(op, s, Fault.FpuError);
        X87.ClearC1(s);
        X87.SetEmpty(s, op->S);
        if (op->Imm != 0) X87.Pop(s);
        return op + 1;
    }

    [MethodImpl(Optimized)]
    public static Uop* LoadControl(Uop* op, CpuState* s)
    {
        if (X87.IsPending(s)) return Fault.Raise(op, s, Fault.FpuError);
        byte* p = Probe.Read(s, MemX.Of(op, s), 2);
        if (p == null) return Fault.At(op, s);
        SetControl(s, *(ushort*)p);
        X87.Summarize(s);
        return op + 1;
    }

    // Bit 6 always reads as 1; 7 and 13 to 15 as 0.
    static void SetControl(CpuState* s, int value) => s->FpuControl = (ushort)(value & 0x1F3F | 0x40);

    [MethodImpl(Optimized)]
    public static Uop* StoreControl(Uop* op, CpuState* s) => StoreWord(op, s, s->FpuControl);

    [MethodImpl(Optimized)]
    public static Uop* StoreStatus(Uop* op, CpuState* s) => StoreWord(op, s, s->FpuStatus);

    static Uop* StoreWord(Uop* op, CpuState* s, ushort value)
    {
        byte* p = Probe.Write(s, MemX.Of(op, s), 2);
        if (p == null) return Fault.At(op, s);
        *(ushort*)p = value;
        return op + 1;
    }

    [MethodImpl(Optimized)]
    public static Uop* StatusToAx(Uop* op, CpuState* s)
    {
        *(ushort*)s = s->FpuStatus;
        return op + 1;
    }

    /// <summary>FNSTENV (Imm 0) and FNSAVE (Imm 1); S is the length of the environment, 14 or 28.</summary>
    [MethodImpl(Optimized)]
    public static Uop* StoreEnvironment(Uop* op, CpuState* s)
    {
        bool all = op->Imm != 0;
        int length = op->S;
        byte* p = Probe.Write(s, MemX.Of(op, s), length + (all ? 80 : 0));
        if (p == null) return Fault.At(op, s);
        int size = length / 7;
        uint unused = size == 4 ? 0xFFFF_0000 : 0;
        PutWord(p, size, 0, s->FpuControl | unused);
        PutWord(p, size, 1, s->FpuStatus | unused);
        PutWord(p, size, 2, FullTags(s) | unused);
        PutWord(p, size, 3, (uint)s->FpuInstruction);
        PutWord(p, size, 4, size == 4 ? (uint)s->FpuOpcode << 16 : 0);
        PutWord(p, size, 5, (uint)s->FpuData);
        PutWord(p, size, 6, unused);
        if (!all)
        {
            s->FpuControl |= 0x3F;
            X87.Summarize(s);
            return op + 1;
        }
        for (int i = 0; i < 8; i++) Buffer.MemoryCopy(X87.Register(s, i), p + length + i * 10, 10, 10);
        Reset(s);
        return op + 1;
    }

    static void PutWord(byte* p, int size, int index, uint value)
    {
        if (size == 4) ((uint*)p)[index] = value;
        else ((ushort*)p)[index] = (ushort)value;
    }

    static uint GetWord(byte* p, int size, int index) => size == 4 ? ((uint*)p)[index] : ((ushort*)p)[index];

    /// <summary>FLDENV (Imm 0) and FRSTOR (Imm 1).</summary>
    [MethodImpl(Optimized)]
    public static Uop* LoadEnvironment(Uop* op, CpuState* s)
    {
        if (X87.IsPending(s)) return Fault.Raise(op, s, Fault.FpuError);
        bool all = op->Imm != 0;
        int length = op->S, size = length / 7;
        byte* p = Probe.Read(s, MemX.Of(op, s), length + (all ? 80 : 0));
        if (p == null) return Fault.At(op, s);
        SetControl(s, (int)GetWord(p, size, 0));
        s->FpuStatus = (ushort)GetWord(p, size, 1);
        uint tags = GetWord(p, size, 2);
        s->FpuTag = 0;
        for (int i = 0; i < 8; i++)
            if ((tags >> 2 * i & 3) != 3) s->FpuTag |= (ushort)(1 << i);
        s->FpuInstruction = GetWord(p, size, 3);
        s->FpuOpcode = (ushort)(size == 4 ? GetWord(p, size, 4) >> 16 & 0x7FF : 0);
        s->FpuData = GetWord(p, size, 5);
        X87.Summarize(s);
        if (all)
            for (int i = 0; i < 8; i++) Buffer.MemoryCopy(p + length + i * 10, X87.Register(s, i), 10, 10);
        return op + 1;
    }

    // 0 valid, 1 zero, 2 special, 3 empty, by physical register.
    static uint FullTags(CpuState* s)
    {
        uint tags = 0;
        for (int i = 0; i < 8; i++)
        {
            byte* p = s->Fpu + i * 16;
            Real value = X87.Unpack(*(ulong*)p, *(ushort*)(p + 8));
            uint tag = (s->FpuTag >> i & 1) == 0 ? 3u : value.IsZero ? 1 : value.IsFinite && !value.Denormal ? 0u : 2;
            tags |= tag << (2 * i);
        }
        return tags;
    }
}
