namespace Ringdown.Machine;

/// <summary>Segment registers and descriptor tables, which in 64-bit mode hardly matter.</summary>
static unsafe class SegmentHandlers
{
    /// <summary>MOV from the segment register <see cref="Uop.S"/> (0 is ES).</summary>
    public static Uop* Read<TPlace, T>(Uop* op, CpuState* s) where TPlace : IPlace where T : unmanaged =>
        Store<TPlace, T>(op, s, s->Segment[op->S]);

    /// <summary>MOV to the segment register <see cref="Uop.D"/>.</summary>
    public static Uop* Write<TPlace>(Uop* op, CpuState* s) where TPlace : IPlace
    {
        byte* p = TPlace.Read(op, s, 2);
        if (p == null) return Fault.At(op, s);
        s->Segment[op->D] = *(ushort*)p;
        return op + 1;
    }

    public static Uop* Push(Uop* op, CpuState* s)
    {
        byte* p = Probe.Write(s, s->Gpr[4] - 8, 8);
        if (p == null) return Fault.At(op, s);
        *(ulong*)p = s->Segment[op->D];
        s->Gpr[4] -= 8;
        return op + 1;
    }

    public static Uop* Pop(Uop* op, CpuState* s)
    {
        byte* p = Probe.Read(s, s->Gpr[4], 8);
        if (p == null) return Fault.At(op, s);
        s->Segment[op->D] = *(ushort*)p;
        s->Gpr[4] += 8;
        return op + 1;
    }

    /// <summary>SLDT, STR, SMSW: which is in <see cref="Uop.S"/>.</summary>
    public static Uop* StoreSystem<TPlace, T>(Uop* op, CpuState* s) where TPlace : IPlace where T : unmanaged =>
        Store<TPlace, T>(op, s, op->S switch { 0 => s->Ldtr, 1 => s->TaskRegister, _ => s->Cr0 });

    static Uop* Store<TPlace, T>(Uop* op, CpuState* s, ulong value) where TPlace : IPlace where T : unmanaged
    {
        byte* p = TPlace.Write(op, s, sizeof(T));
        if (p == null) return Fault.At(op, s);
        if (TPlace.IsMemory) Width.Store<T>(p, value);
        else Width.StoreRegister<T>(p, value);
        return op + 1;
    }

    public static Uop* LoadSystem<TPlace>(Uop* op, CpuState* s) where TPlace : IPlace
    {
        byte* p = TPlace.Read(op, s, 2);
        if (p == null) return Fault.At(op, s);
        if (op->S == 0) s->Ldtr = *(ushort*)p;
        else s->TaskRegister = *(ushort*)p;
        return op + 1;
    }

    /// <summary>
    /// SGDT, SIDT, LGDT, LIDT: <see cref="Uop.D"/> is 1 for the interrupt table, <see cref="Uop.S"/> for a load.
    /// </summary>
    public static Uop* Table<TPlace>(Uop* op, CpuState* s) where TPlace : IPlace
    {
        bool interrupts = op->D != 0;
        byte* p = op->S != 0 ? TPlace.Read(op, s, 10) : TPlace.Write(op, s, 10);
        if (p == null) return Fault.At(op, s);
        if (op->S == 0)
        {
            *(ushort*)p = interrupts ? s->IdtLimit : s->GdtLimit;
            *(ulong*)(p + 2) = interrupts ? s->IdtBase : s->GdtBase;
            return op + 1;
        }
        ulong start = *(ulong*)(p + 2);
        if (!new Va(start).IsCanonical) return Fault.NonCanonical(op, s, start);
        if (interrupts) (s->IdtLimit, s->IdtBase) = (*(ushort*)p, start);
        else (s->GdtLimit, s->GdtBase) = (*(ushort*)p, start);
        return op + 1;
    }

    /// <summary>LAR (0), LSL (1), VERR (2), VERW (3) by <see cref="Uop.X"/> of the selector in B or Scratch.</summary>
    public static Uop* Inspect<T>(Uop* op, CpuState* s) where T : unmanaged
    {
        ushort selector = *(ushort*)((byte*)s + op->S);
        bool valid = TryDescriptor(s, selector, out ulong descriptor) && IsSuitable(op->X, descriptor);
        Width.SetZero(s, valid);
        if (!valid || op->X > 1) return op + 1;
        ulong limit = (descriptor & 0xFFFF) | ((descriptor >> 32) & 0xF_0000);
        if ((descriptor & (1UL << 55)) != 0) limit = (limit << 12) | 0xFFF;
        Width.StoreRegister<T>((byte*)s + op->D, op->X == 0 ? (descriptor >> 32) & 0x00F0_FF00 : limit);
        return op + 1;
    }

    static bool TryDescriptor(CpuState* s, ushort selector, out ulong descriptor)
    {
        descriptor = 0;
        int offset = selector & ~7;
        // No local table: NT has none.
        if (offset == 0 || (selector & 4) != 0 || offset + 7 > s->GdtLimit) return false;
        return Processor.Of(s).Memory.TryPeek(new Va(s->GdtBase + (ulong)offset), out descriptor);
    }

    static bool IsSuitable(int question, ulong descriptor)
    {
        int type = (int)(descriptor >> 40) & 0x1F;
        bool segment = (type & 0x10) != 0, code = (type & 8) != 0;
        return question switch
        {
            0 => segment || (type & 0xF) is 2 or 9 or 11 or 12,
            1 => segment || (type & 0xF) is 2 or 9 or 11,
            2 => segment && (!code || (type & 2) != 0),
            _ => segment && !code && (type & 2) != 0,
        };
    }

    /// <summary>The operand of the next micro-op, from memory to Scratch.</summary>
    public static Uop* FetchWord<TPlace>(Uop* op, CpuState* s) where TPlace : IPlace
    {
        byte* p = TPlace.Read(op, s, 2);
        if (p == null) return Fault.At(op, s);
        s->Scratch = *(ushort*)p;
        return op + 1;
    }
}
