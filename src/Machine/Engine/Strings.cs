using System.Runtime.CompilerServices;

namespace Ringdown.Machine;

/// <summary>The string instructions, with and without repetition.</summary>
/// <remarks>
/// <see cref="Uop.B"/> is the segment base of the source, <see cref="Uop.Scale"/> is 1 for 32-bit addresses,
/// <see cref="Uop.X"/> is 1 for REP and REPE, 2 for REPNE. RCX, RSI and RDI are true after every element, so a fault in
/// the middle can be resumed. In slow mode a handler does one element and, if there are more, returns its own micro-op.
/// </remarks>
static unsafe class StringHandlers
{
    const int Rcx = 1, Rsi = 6, Rdi = 7;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static ulong Counter(Uop* op, CpuState* s, int register) =>
        op->Scale == 0 ? s->Gpr[register] : (uint)s->Gpr[register];

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static ulong Source(Uop* op, CpuState* s) => Counter(op, s, Rsi) + *(ulong*)((byte*)s + op->B);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static void Advance(Uop* op, CpuState* s, int register, long by)
    {
        ulong value = s->Gpr[register] + (ulong)by;
        s->Gpr[register] = op->Scale == 0 ? value : (uint)value;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static bool IsDown(CpuState* s) => (s->SystemFlags & Flags.DF) != 0;

    // Elements from an address to the end of its page, in the direction of the copy.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static long InPage(ulong address, int size, bool down)
    {
        int offset = (int)(address & 0xFFF);
        return down ? offset / size + 1 : (Va.PageSize - offset) / size;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* Move<T>(Uop* op, CpuState* s) where T : unmanaged
    {
        byte* from = Probe.Read(s, Source(op, s), sizeof(T));
        if (from == null) return Fault.At(op, s);
        byte* to = Probe.Write(s, Counter(op, s, Rdi), sizeof(T));
        if (to == null) return Fault.At(op, s);
        *(T*)to = *(T*)from;
        int step = IsDown(s) ? -sizeof(T) : sizeof(T);
        Advance(op, s, Rsi, step);
        Advance(op, s, Rdi, step);
        return op + 1;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* RepeatMove<T>(Uop* op, CpuState* s) where T : unmanaged
    {
        bool down = IsDown(s);
        for (ulong left = Counter(op, s, Rcx); left > 0;)
        {
            ulong source = Source(op, s), target = Counter(op, s, Rdi);
            byte* from = Probe.Read(s, source, sizeof(T));
            if (from == null) return Fault.At(op, s);
            byte* to = Probe.Write(s, target, sizeof(T));
            if (to == null) return Fault.At(op, s);
            long count = Math.Min(InPage(source, sizeof(T), down), InPage(target, sizeof(T), down));
            if (s->SlowMode != 0) count = 1;
            if ((ulong)count > left) count = (long)left;
            Copy<T>(from, to, count, down);
            long bytes = down ? -count * sizeof(T) : count * sizeof(T);
            Advance(op, s, Rsi, bytes);
            Advance(op, s, Rdi, bytes);
            Advance(op, s, Rcx, -count);
            left -= (ulong)count;
            if (s->SlowMode != 0 && left > 0) return op;
        }
        return op + 1;
    }

    // One element after the other, so that an overlap repeats a pattern as it does on the processor.
    static void Copy<T>(byte* from, byte* to, long count, bool down) where T : unmanaged
    {
        long bytes = count * sizeof(T);
        if (down)
        {
            byte* lowFrom = from - (bytes - sizeof(T)), lowTo = to - (bytes - sizeof(T));
            if (lowTo >= lowFrom || lowTo + bytes <= lowFrom) Buffer.MemoryCopy(lowFrom, lowTo, bytes, bytes);
            else for (long i = 0; i < count; i++) ((T*)to)[-i] = ((T*)from)[-i];
        }
        else if (to <= from || from + bytes <= to)
        {
            Buffer.MemoryCopy(from, to, bytes, bytes);
        }
        else
        {
            for (long i = 0; i < count; i++) ((T*)to)[i] = ((T*)from)[i];
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* Store<T>(Uop* op, CpuState* s) where T : unmanaged
    {
        byte* to = Probe.Write(s, Counter(op, s, Rdi), sizeof(T));
        if (to == null) return Fault.At(op, s);
        *(T*)to = *(T*)s;
        Advance(op, s, Rdi, IsDown(s) ? -sizeof(T) : sizeof(T));
        return op + 1;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* RepeatStore<T>(Uop* op, CpuState* s) where T : unmanaged
    {
        bool down = IsDown(s);
        for (ulong left = Counter(op, s, Rcx); left > 0;)
        {
            ulong target = Counter(op, s, Rdi);
            byte* to = Probe.Write(s, target, sizeof(T));
            if (to == null) return Fault.At(op, s);
            long count = s->SlowMode != 0 ? 1 : InPage(target, sizeof(T), down);
            if ((ulong)count > left) count = (long)left;
            new Span<T>(down ? to - (count - 1) * sizeof(T) : to, (int)count).Fill(*(T*)s);
            Advance(op, s, Rdi, down ? -count * sizeof(T) : count * sizeof(T));
            Advance(op, s, Rcx, -count);
            left -= (ulong)count;
            if (s->SlowMode != 0 && left > 0) return op;
        }
        return op + 1;
    }

    public static Uop* Load<T>(Uop* op, CpuState* s) where T : unmanaged
    {
        while (op->X == 0 || Counter(op, s, Rcx) != 0)
        {
            byte* from = Probe.Read(s, Source(op, s), sizeof(T));
            if (from == null) return Fault.At(op, s);
            Width.StoreRegister<T>((byte*)s, Width.Load<T>(from));
            Advance(op, s, Rsi, IsDown(s) ? -sizeof(T) : sizeof(T));
            if (!More(op, s)) break;
            if (s->SlowMode != 0) return op;
        }
        return op + 1;
    }

    // Counts an element, and says whether a repetition goes on.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static bool More(Uop* op, CpuState* s)
    {
        if (op->X == 0) return false;
        Advance(op, s, Rcx, -1);
        return Counter(op, s, Rcx) != 0;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* Compare<T>(Uop* op, CpuState* s) where T : unmanaged
    {
        while (op->X == 0 || Counter(op, s, Rcx) != 0)
        {
            // If both fault, it is the second operand's that is reported.
            byte* second = Probe.Read(s, Counter(op, s, Rdi), sizeof(T));
            if (second == null) return Fault.At(op, s);
            byte* first = Probe.Read(s, Source(op, s), sizeof(T));
            if (first == null) return Fault.At(op, s);
            ulong a = Width.Load<T>(first), b = Width.Load<T>(second);
            Sub.SetFlags<T>(s, a, b, a - b);
            int step = IsDown(s) ? -sizeof(T) : sizeof(T);
            Advance(op, s, Rsi, step);
            Advance(op, s, Rdi, step);
            if (!More(op, s) || a == b != (op->X == 1)) break;
            if (s->SlowMode != 0) return op;
        }
        return op + 1;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* Scan<T>(Uop* op, CpuState* s) where T : unmanaged
    {
        while (op->X == 0 || Counter(op, s, Rcx) != 0)
        {
            byte* p = Probe.Read(s, Counter(op, s, Rdi), sizeof(T));
            if (p == null) return Fault.At(op, s);
            ulong a = Width.Load<T>((byte*)s), b = Width.Load<T>(p);
            Sub.SetFlags<T>(s, a, b, a - b);
            Advance(op, s, Rdi, IsDown(s) ? -sizeof(T) : sizeof(T));
            if (!More(op, s) || a == b != (op->X == 1)) break;
            if (s->SlowMode != 0) return op;
        }
        return op + 1;
    }

    /// <summary>INS: each element is checked before the port is read.</summary>
    public static Uop* In<T>(Uop* op, CpuState* s) where T : unmanaged
    {
        while (op->X == 0 || Counter(op, s, Rcx) != 0)
        {
            byte* to = Probe.Write(s, Counter(op, s, Rdi), sizeof(T));
            if (to == null) return Fault.At(op, s);
            Width.Store<T>(to, Processor.Of(s).ReadPort(op, (ushort)s->Gpr[2], sizeof(T)));
            Advance(op, s, Rdi, IsDown(s) ? -sizeof(T) : sizeof(T));
            if (!More(op, s)) break;
            if (s->SlowMode != 0) return op;
        }
        return SystemHandlers.AfterPort(op, s);
    }

    public static Uop* Out<T>(Uop* op, CpuState* s) where T : unmanaged
    {
        while (op->X == 0 || Counter(op, s, Rcx) != 0)
        {
            byte* from = Probe.Read(s, Source(op, s), sizeof(T));
            if (from == null) return Fault.At(op, s);
            Processor.Of(s).WritePort(op, (ushort)s->Gpr[2], sizeof(T), (uint)Width.Load<T>(from));
            Advance(op, s, Rsi, IsDown(s) ? -sizeof(T) : sizeof(T));
            if (!More(op, s)) break;
            if (s->SlowMode != 0) return op;
        }
        return SystemHandlers.AfterPort(op, s);
    }

    /// <summary>XLATB.</summary>
    public static Uop* Translate(Uop* op, CpuState* s)
    {
        ulong address = s->Gpr[3] + (byte)s->Gpr[0];
        if (op->Scale != 0) address = (uint)address;
        byte* p = Probe.Read(s, address + *(ulong*)((byte*)s + op->B), 1);
        if (p == null) return Fault.At(op, s);
        *(byte*)s = *p;
        return op + 1;
    }
}
