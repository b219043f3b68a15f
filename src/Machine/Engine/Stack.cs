using System.Runtime.CompilerServices;

namespace Ringdown.Machine;

/// <summary>PUSH. The address of a memory operand is made with the old stack pointer.</summary>
unsafe struct Push : IFamily
{
    public static Handler Pick<T>(Shape shape, bool flags) where T : unmanaged => shape switch
    {
        Shape.Reg => &Run<T, RegD>,
        Shape.RegImm => &Run<T, Immediate>,
        Shape.Mem => &FromMemory<T, Mem>,
        Shape.MemX => &FromMemory<T, MemX>,
        _ => null,
    };

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static Uop* Run<T, TPlace>(Uop* op, CpuState* s) where T : unmanaged where TPlace : IPlace
    {
        ulong top = s->Gpr[4] - (ulong)sizeof(T);
        if (!Probe.CanWrite(s, top, sizeof(T))) return Retry.Write(op, s, top, sizeof(T));
        Width.Store<T>(Probe.WriteAt(s, top), Width.Load<T>(TPlace.ReadAt(op, s)));
        s->Gpr[4] = top;
        return op + 1;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static Uop* FromMemory<T, TPlace>(Uop* op, CpuState* s) where T : unmanaged where TPlace : IPlace
    {
        byte* from = TPlace.Read(op, s, sizeof(T));
        if (TPlace.IsMemory && from == null) return Fault.At(op, s);
        ulong value = Width.Load<T>(from), top = s->Gpr[4] - (ulong)sizeof(T);
        byte* to = Probe.Write(s, top, sizeof(T));
        if (to == null) return Fault.At(op, s);
        Width.Store<T>(to, value);
        s->Gpr[4] = top;
        return op + 1;
    }
}

/// <summary>
/// POP. A memory operand that is based on RSP means the new one: the lowering has added the difference.
/// </summary>
unsafe struct Pop : IFamily
{
    public static Handler Pick<T>(Shape shape, bool flags) where T : unmanaged => shape switch
    {
        Shape.Reg => &Run<T>,
        Shape.Mem => &ToMemory<T, Mem>,
        Shape.MemX => &ToMemory<T, MemX>,
        _ => null,
    };

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static Uop* Run<T>(Uop* op, CpuState* s) where T : unmanaged
    {
        ulong top = s->Gpr[4];
        if (!Probe.CanRead(s, top, sizeof(T))) return Retry.Read(op, s, top, sizeof(T));
        ulong value = Width.Load<T>(Probe.ReadAt(s, top));
        s->Gpr[4] = top + (ulong)sizeof(T);
        Width.StoreRegister<T>((byte*)s + op->D, value);
        return op + 1;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static Uop* ToMemory<T, TPlace>(Uop* op, CpuState* s) where T : unmanaged where TPlace : IPlace
    {
        byte* from = Probe.Read(s, s->Gpr[4], sizeof(T));
        if (from == null) return Fault.At(op, s);
        byte* to = TPlace.Write(op, s, sizeof(T));
        if (to == null) return Fault.At(op, s);
        s->Gpr[4] += (ulong)sizeof(T);
        Width.Store<T>(to, Width.Load<T>(from));
        return op + 1;
    }
}

static unsafe class StackHandlers
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* Leave(Uop* op, CpuState* s)
    {
        ulong frame = s->Gpr[5];
        if (!Probe.CanRead(s, frame, 8)) return Retry.Read(op, s, frame, 8);
        s->Gpr[5] = *(ulong*)Probe.ReadAt(s, frame);
        s->Gpr[4] = frame + 8;
        return op + 1;
    }

    /// <summary>ENTER: frame size in <see cref="Uop.Imm"/>, nesting level in <see cref="Uop.D"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* Enter(Uop* op, CpuState* s)
    {
        int level = op->D & 31;
        ulong stack = s->Gpr[4] - 8, frame = stack, old = s->Gpr[5];
        // Everything that may fault first; it is rare enough to look twice.
        for (int k = 0; k < level; k++)
        {
            bool readable = k == 0 || Probe.Read(s, old - (ulong)k * 8, 8) != null;
            if (!readable || Probe.Write(s, frame - (ulong)(k + 1) * 8, 8) == null) return Fault.At(op, s);
        }
        byte* p = Probe.Write(s, stack, 8);
        if (p == null || Probe.Write(s, frame - (ulong)level * 8 - (ulong)op->Imm, 1) == null) return Fault.At(op, s);
        *(ulong*)p = old;
        for (int k = 1; k < level; k++)
        {
            stack -= 8;
            *(ulong*)Probe.Write(s, stack, 8) = *(ulong*)Probe.Read(s, old - (ulong)k * 8, 8);
        }
        if (level > 0)
        {
            stack -= 8;
            *(ulong*)Probe.Write(s, stack, 8) = frame;
        }
        s->Gpr[5] = frame;
        s->Gpr[4] = stack - (ulong)op->Imm;
        return op + 1;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* PushFlags<T>(Uop* op, CpuState* s) where T : unmanaged
    {
        ulong top = s->Gpr[4] - (ulong)sizeof(T);
        byte* to = Probe.Write(s, top, sizeof(T));
        if (to == null) return Fault.At(op, s);
        Width.Store<T>(to, s->Rflags & ~(ulong)Flags.RF);
        s->Gpr[4] = top;
        return op + 1;
    }

    /// <summary>POPF ends its block: an interrupt may have become possible.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* PopFlags<T>(Uop* op, CpuState* s) where T : unmanaged
    {
        byte* from = Probe.Read(s, s->Gpr[4], sizeof(T));
        if (from == null) return Fault.At(op, s);
        s->Gpr[4] += (ulong)sizeof(T);
        ulong old = s->Rflags, value = Width.Load<T>(from) & ~(ulong)Flags.RF;
        if (sizeof(T) == 2) value |= old & ~0xFFFFUL;
        s->Rflags = value;
        bool poll = (value & Flags.IF) != 0 && (old & Flags.IF) == 0;
        // The trap flag is seen by the dispatcher, so it must get there.
        return poll || (value & Flags.TF) != 0 ? MiscHandlers.Poll(op, s) : op + 1;
    }
}
