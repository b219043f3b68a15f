using System.Runtime.CompilerServices;

namespace Ringdown.Machine;

/// <summary>
/// FCOM and its relatives. S is the other register; Imm has the options below, and the number of pops in bits 2 and 3.
/// </summary>
static unsafe class X87Compare
{
    /// <summary>Only a signalling NaN is invalid.</summary>
    public const int Unordered = 1;

    /// <summary>The result goes to RFLAGS.</summary>
    public const int ToFlags = 2;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* Registers(Uop* op, CpuState* s)
    {
        if (X87.IsPending(s)) return Fault.Raise(op, s, Fault.FpuError);
        bool empty = X87.IsEmpty(s, 0) || X87.IsEmpty(s, op->S);
        Finish(s, op, empty, empty ? default : X87.Get(s, op->S));
        return op + 1;
    }

    /// <summary>With memory; its kind is in S.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* Memory(Uop* op, CpuState* s)
    {
        if (X87.IsPending(s)) return Fault.Raise(op, s, Fault.FpuError);
        var kind = (X87Source)op->S;
        byte* p = Probe.Read(s, MemX.Of(op, s), X87Arithmetic.SizeOf(kind));
        if (p == null) return Fault.At(op, s);
        Finish(s, op, X87.IsEmpty(s, 0), X87Arithmetic.Load(kind, p));
        return op + 1;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* Zero(Uop* op, CpuState* s)
    {
        if (X87.IsPending(s)) return Fault.Raise(op, s, Fault.FpuError);
        Finish(s, op, X87.IsEmpty(s, 0), Real.Zero(false));
        return op + 1;
    }

    static void Finish(CpuState* s, Uop* op, bool empty, in Real b)
    {
        int options = (int)op->Imm & 3, pops = (int)op->Imm >> 2 & 3, comparison = 2;
        bool masked;
        if (empty)
        {
            masked = X87.StackFaults(s, overflow: false);
        }
        else
        {
            RealContext c = X87.Context(s);
            comparison = Compare(ref c, X87.Get(s, 0), b, (options & Unordered) != 0);
            int c1 = s->FpuStatus & X87.C1;
            masked = X87.Finish(s, c);
            if ((options & ToFlags) != 0) s->FpuStatus |= (ushort)c1;
        }
        // The codes are set even by an unmasked exception; the pop is not done then.
        if ((options & ToFlags) != 0) SetFlags(s, comparison);
        else X87.SetCodes(s, Codes(comparison));
        for (; masked && pops > 0; pops--) X87.Pop(s);
    }

    static int Compare(ref RealContext c, in Real a, in Real b, bool unordered)
    {
        if (a.IsNaN || b.IsNaN || a.Kind == RealKind.Unsupported || b.Kind == RealKind.Unsupported)
        {
            bool quiet = a.Kind is not (RealKind.SignalingNaN or RealKind.Unsupported)
                && b.Kind is not (RealKind.SignalingNaN or RealKind.Unsupported);
            if (!unordered || !quiet) c.Before |= RealContext.Invalid;
            return 2;
        }
        c.NoteDenormal(a, b);
        return RealMath.Compare(a, b);
    }

    static int Codes(int comparison) => comparison switch
    {
        2 => X87.C3 | X87.C2 | X87.C0,
        0 => X87.C3,
        < 0 => X87.C0,
        _ => 0,
    };

    static void SetFlags(CpuState* s, int comparison) => Width.SetFlags(s, comparison switch
    {
        2 => Flags.ZF | Flags.PF | Flags.CF,
        0 => Flags.ZF,
        < 0 => Flags.CF,
        _ => 0,
    });

    /// <summary>FXAM: what ST(0) is.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* Examine(Uop* op, CpuState* s)
    {
        if (X87.IsPending(s)) return Fault.Raise(op, s, Fault.FpuError);
        Real a = X87.Get(s, 0);
        int codes = X87.IsEmpty(s, 0) ? X87.C3 | X87.C0 : a.Kind switch
        {
            RealKind.Unsupported => 0,
            RealKind.QuietNaN or RealKind.SignalingNaN => X87.C0,
            RealKind.Infinity => X87.C2 | X87.C0,
            RealKind.Zero => X87.C3,
            _ => a.Denormal ? X87.C3 | X87.C2 : X87.C2,
        };
        X87.SetCodes(s, codes | (a.Sign ? X87.C1 : 0));
        return op + 1;
    }
}
