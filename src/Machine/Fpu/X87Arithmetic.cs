using System.Runtime.CompilerServices;

namespace Ringdown.Machine;

/// <summary>What the other operand of an x87 instruction is.</summary>
enum X87Source { Register, Single, Double, Int16, Int32, Int64, Extended, Bcd }

/// <summary>FADD to FDIVR. D is the destination, S the other register, Imm the operation, Disp 1 to pop.</summary>
static unsafe class X87Arithmetic
{
    public const int Add = 0, Multiply = 1, Subtract = 4, SubtractReverse = 5, Divide = 6, DivideReverse = 7;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* Registers(Uop* op, CpuState* s)
    {
        if (X87.IsPending(s)) return Fault.Raise(op, s, Fault.FpuError);
        int d = op->D, o = op->S;
        bool pop = op->Disp != 0;
        if (X87.IsEmpty(s, d) || X87.IsEmpty(s, o))
        {
            if (!X87.StackFaults(s, overflow: false)) return op + 1;
            X87.Set(s, d, Real.Indefinite);
        }
        else if (!Do(s, d, X87.Get(s, o), (int)op->Imm))
        {
            return op + 1;
        }
        if (pop) X87.Pop(s);
        return op + 1;
    }

    /// <summary>ST(0) and a number in memory, whose kind is in S.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* Memory(Uop* op, CpuState* s)
    {
        if (X87.IsPending(s)) return Fault.Raise(op, s, Fault.FpuError);
        var kind = (X87Source)op->S;
        byte* p = Probe.Read(s, MemX.Of(op, s), SizeOf(kind));
        if (p == null) return Fault.At(op, s);
        if (!X87.IsEmpty(s, 0)) Do(s, 0, Load(kind, p), (int)op->Imm);
        else if (X87.StackFaults(s, overflow: false)) X87.Set(s, 0, Real.Indefinite);
        return op + 1;
    }

    public static int SizeOf(X87Source kind) => kind switch
    {
        X87Source.Int16 => 2,
        X87Source.Single or X87Source.Int32 => 4,
        X87Source.Extended or X87Source.Bcd => 10,
        _ => 8,
    };

    public static Real Load(X87Source kind, byte* p) => kind switch
    {
        X87Source.Single => RealFormat.Single.Unpack(*(uint*)p),
        X87Source.Double => RealFormat.Double.Unpack(*(ulong*)p),
        X87Source.Int16 => Real.Of(*(short*)p),
        X87Source.Int32 => Real.Of(*(int*)p),
        X87Source.Int64 => Real.Of(*(long*)p),
        _ => X87.Unpack(*(ulong*)p, *(ushort*)(p + 8)),
    };

    static bool Do(CpuState* s, int d, in Real other, int operation)
    {
        RealContext c = X87.Context(s);
        Real a = X87.Get(s, d), b = other;
        if (operation is SubtractReverse or DivideReverse) (a, b) = (b, a);
        if (!NaN.X87(ref c, a, b, out Real result))
        {
            RealFormat format = X87.Format(s);
            result = operation switch
            {
                Add => RealMath.Add(ref c, a, b, format),
                Multiply => RealMath.Multiply(ref c, a, b, format),
                Subtract or SubtractReverse => RealMath.Subtract(ref c, a, b, format),
                _ => RealMath.Divide(ref c, a, b, format),
            };
        }
        if (!X87.Finish(s, c)) return false;
        X87.Set(s, d, result);
        return true;
    }

    /// <summary>FSQRT, FRNDINT, and others of ST(0) alone: the operation is in Imm.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* Unary(Uop* op, CpuState* s)
    {
        if (X87.IsPending(s)) return Fault.Raise(op, s, Fault.FpuError);
        if (X87.IsEmpty(s, 0))
        {
            if (X87.StackFaults(s, overflow: false)) X87.Set(s, 0, Real.Indefinite);
            return op + 1;
        }
        RealContext c = X87.Context(s);
        Real a = X87.Get(s, 0);
        if (!NaN.X87(ref c, a, Real.Zero(false), out Real result)) result = Apply(ref c, s, a, op->Imm == 0);
        if (X87.Finish(s, c)) X87.Set(s, 0, result);
        return op + 1;
    }

    static Real Apply(ref RealContext c, CpuState* s, in Real a, bool root)
    {
        if (root) return RealMath.SquareRoot(ref c, a, X87.Format(s));
        c.NoteDenormal(a);
        return RealMath.RoundToInteger(ref c, a);
    }

    /// <summary>FCHS and FABS: the sign alone, whatever the number is.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* Sign(Uop* op, CpuState* s)
    {
        if (X87.IsPending(s)) return Fault.Raise(op, s, Fault.FpuError);
        if (X87.IsEmpty(s, 0))
        {
            if (X87.StackFaults(s, overflow: false)) X87.Set(s, 0, Real.Indefinite);
            return op + 1;
        }
        X87.ClearC1(s);
        byte* p = X87.Register(s, 0);
        p[9] = (byte)(op->Imm == 0 ? p[9] ^ 0x80 : p[9] & 0x7F);
        return op + 1;
    }
}
