using System.Runtime.CompilerServices;

namespace Ringdown.Machine;

/// <summary>Loads, stores and exchanges of the x87.</summary>
static unsafe class X87Moves
{
    /// <summary>FLD, FILD, FBLD from memory; the kind is in S.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* Load(Uop* op, CpuState* s)
    {
        if (X87.IsPending(s)) return Fault.Raise(op, s, Fault.FpuError);
        var kind = (X87Source)op->S;
        byte* p = Probe.Read(s, MemX.Of(op, s), X87Arithmetic.SizeOf(kind));
        if (p == null) return Fault.At(op, s);
        if (!RoomForPush(s)) return op + 1;
        if (kind == X87Source.Extended)
        {
            PushRaw(s, p);
            return op + 1;
        }
        Real value = kind == X87Source.Bcd ? Bcd.Load(p) : X87Arithmetic.Load(kind, p);
        RealContext c = X87.Context(s);
        if (value.Kind == RealKind.SignalingNaN)
        {
            c.Before |= RealContext.Invalid;
            value = value.Quieted;
        }
        // The number is loaded even if this exception is unmasked.
        if (value.Denormal) c.After |= RealContext.Denormal;
        if (X87.Finish(s, c)) X87.Push(s, value);
        return op + 1;
    }

    // False: the register above is in use. Masked, a NaN has been pushed.
    static bool RoomForPush(CpuState* s)
    {
        if (X87.IsEmpty(s, 7)) return true;
        if (X87.StackFaults(s, overflow: true)) X87.Push(s, Real.Indefinite);
        return false;
    }

    static void PushRaw(CpuState* s, byte* p)
    {
        (ulong low, ushort high) = (*(ulong*)p, *(ushort*)(p + 8));
        X87.ClearC1(s);
        X87.SetTop(s, X87.Top(s) - 1);
        X87.SetUsed(s, 0);
        byte* d = X87.Register(s, 0);
        (*(ulong*)d, *(ushort*)(d + 8)) = (low, high);
    }

    /// <summary>FLD ST(i).</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* Duplicate(Uop* op, CpuState* s)
    {
        if (X87.IsPending(s)) return Fault.Raise(op, s, Fault.FpuError);
        if (X87.IsEmpty(s, op->S))
        {
            if (X87.StackFaults(s, overflow: false)) X87.Push(s, Real.Indefinite);
        }
        else if (RoomForPush(s))
        {
            PushRaw(s, X87.Register(s, op->S));
        }
        return op + 1;
    }

    /// <summary>FLD1 and the other constants: 64 bits of it in Imm, its exponent in Disp.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* Constant(Uop* op, CpuState* s)
    {
        if (X87.IsPending(s)) return Fault.Raise(op, s, Fault.FpuError);
        if (!RoomForPush(s)) return op + 1;
        X87.ClearC1(s);
        ulong significand = (ulong)op->Imm;
        int rounding = s->FpuControl >> 10 & 3;
        // Imm is the number rounded to nearest; S says whether that was up (1) or down (2).
        if (op->S == 1 && (rounding is RealContext.Down or RealContext.TowardZero)) significand--;
        if (op->S == 2 && rounding == RealContext.Up) significand++;
        X87.Push(s, significand == 0 ? Real.Zero(false) : new Real(RealKind.Finite, false, op->Disp, significand));
        return op + 1;
    }

    /// <summary>FST and FSTP to memory: the kind in S, Imm 1 to pop, 2 to truncate.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* Store(Uop* op, CpuState* s)
    {
        if (X87.IsPending(s)) return Fault.Raise(op, s, Fault.FpuError);
        var kind = (X87Source)op->S;
        // Not Write: an unmasked exception leaves memory as it was.
        byte* p = Probe.Modify(s, MemX.Of(op, s), X87Arithmetic.SizeOf(kind));
        if (p == null) return Fault.At(op, s);
        byte* value = stackalloc byte[16];
        if (X87.IsEmpty(s, 0))
        {
            if (!X87.StackFaults(s, overflow: false)) return op + 1;
            Indefinite(kind, value);
        }
        else if (kind == X87Source.Extended)
        {
            X87.ClearC1(s);
            Buffer.MemoryCopy(X87.Register(s, 0), value, 16, 10);
        }
        else
        {
            RealContext c = X87.Context(s);
            if ((op->Imm & 2) != 0) c.Rounding = RealContext.TowardZero;
            Convert(ref c, kind, X87.Get(s, 0), value);
            if (!X87.FinishStore(s, c)) return op + 1;
        }
        Buffer.MemoryCopy(value, p, 16, X87Arithmetic.SizeOf(kind));
        if ((op->Imm & 1) != 0) X87.Pop(s);
        return op + 1;
    }

    static void Indefinite(X87Source kind, byte* d)
    {
        switch (kind)
        {
            case X87Source.Single: *(uint*)d = 0xFFC0_0000; break;
            case X87Source.Double: *(ulong*)d = 0xFFF8UL << 48; break;
            case X87Source.Int16: *(ushort*)d = 0x8000; break;
            case X87Source.Int32: *(uint*)d = 0x8000_0000; break;
            case X87Source.Int64: *(ulong*)d = 1UL << 63; break;
            case X87Source.Bcd: (*(ulong*)d, *(ushort*)(d + 8)) = (0xC000UL << 48, 0xFFFF); break;
            default: X87.Pack(Real.Indefinite, d); break;
        }
    }

    static void Convert(ref RealContext c, X87Source kind, in Real a, byte* d)
    {
        switch (kind)
        {
            case X87Source.Single: *(uint*)d = (uint)ToFloat(ref c, a, RealFormat.Single); break;
            case X87Source.Double: *(ulong*)d = ToFloat(ref c, a, RealFormat.Double); break;
            case X87Source.Int16: *(short*)d = (short)RealMath.ToInteger(ref c, a, 16); break;
            case X87Source.Int32: *(int*)d = (int)RealMath.ToInteger(ref c, a, 32); break;
            case X87Source.Int64: *(long*)d = RealMath.ToInteger(ref c, a, 64); break;
            default:
                if (!Bcd.Store(ref c, a, d)) Indefinite(kind, d);
                break;
        }
    }

    // A denormal operand is no exception here.
    static ulong ToFloat(ref RealContext c, in Real a, in RealFormat format)
    {
        if (NaN.X87(ref c, a, Real.Zero(false), out Real nan)) return format.Pack(nan);
        return format.Pack(RealMath.Convert(ref c, a with { Denormal = false }, format));
    }

    /// <summary>FST and FSTP ST(i): D, Imm 1 to pop, 2 not to look whether ST(0) is empty.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* Copy(Uop* op, CpuState* s)
    {
        if (X87.IsPending(s)) return Fault.Raise(op, s, Fault.FpuError);
        bool empty = X87.IsEmpty(s, 0), checks = (op->Imm & 2) == 0;
        if (empty && checks)
        {
            if (!X87.StackFaults(s, overflow: false)) return op + 1;
            X87.Set(s, op->D, Real.Indefinite);
        }
        else
        {
            X87.ClearC1(s);
        }
        if (!empty)
        {
            X87.SetUsed(s, op->D);
            Buffer.MemoryCopy(X87.Register(s, 0), X87.Register(s, op->D), 16, 10);
        }
        if ((op->Imm & 1) != 0) X87.Pop(s);
        return op + 1;
    }

    /// <summary>FXCH.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* Exchange(Uop* op, CpuState* s)
    {
        if (X87.IsPending(s)) return Fault.Raise(op, s, Fault.FpuError);
        int i = op->S;
        bool first = X87.IsEmpty(s, 0), second = X87.IsEmpty(s, i);
        if (first || second)
        {
            if (!X87.StackFaults(s, overflow: false)) return op + 1;
            if (first) X87.Set(s, 0, Real.Indefinite);
            if (second) X87.Set(s, i, Real.Indefinite);
        }
        else
        {
            X87.ClearC1(s);
        }
        byte* a = X87.Register(s, 0), b = X87.Register(s, i);
        (*(ulong*)a, *(ulong*)b) = (*(ulong*)b, *(ulong*)a);
        (*(ushort*)(a + 8), *(ushort*)(b + 8)) = (*(ushort*)(b + 8), *(ushort*)(a + 8));
        return op + 1;
    }

    /// <summary>FCMOVcc: the flags that must be set are in Imm; Disp 1 turns the condition round.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* Conditional(Uop* op, CpuState* s)
    {
        if (X87.IsPending(s)) return Fault.Raise(op, s, Fault.FpuError);
        if (X87.IsEmpty(s, 0) || X87.IsEmpty(s, op->S))
        {
            if (X87.StackFaults(s, overflow: false)) X87.Set(s, 0, Real.Indefinite);
            return op + 1;
        }
        bool holds = (Flags.Arithmetic(s->FlagResult, s->FlagCarry) & (uint)op->Imm) != 0;
        if (holds != (op->Disp != 0)) Buffer.MemoryCopy(X87.Register(s, op->S), X87.Register(s, 0), 16, 10);
        return op + 1;
    }
}

/// <summary>Packed decimal: 18 digits, two a byte, and a sign.</summary>
static unsafe class Bcd
{
    const ulong Limit = 1_000_000_000_000_000_000;

    public static Real Load(byte* p)
    {
        ulong value = 0;
        for (int i = 8; i >= 0; i--) value = value * 100 + (ulong)(p[i] >> 4) * 10 + (ulong)(p[i] & 15);
        return Real.Of(p[9] >= 0x80, value);
    }

    /// <summary>False if it does not fit: then the invalid flag is set.</summary>
    public static bool Store(ref RealContext c, in Real a, byte* d)
    {
        RealContext before = c;
        long value = RealMath.ToInteger(ref c, a, 64);
        ulong magnitude = value < 0 ? 0UL - (ulong)value : (ulong)value;
        if ((c.Before & RealContext.Invalid) != 0 || magnitude >= Limit)
        {
            c = before;
            c.Before |= RealContext.Invalid;
            return false;
        }
        for (int i = 0; i < 9; i++, magnitude /= 100) d[i] = (byte)(magnitude % 10 | magnitude / 10 % 10 << 4);
        d[9] = (byte)(a.Sign ? 0x80 : 0);
        return true;
    }
}
