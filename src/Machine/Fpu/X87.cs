using System.Runtime.CompilerServices;

namespace Ringdown.Machine;

/// <summary>The x87's registers and status, as its instructions see them.</summary>
/// <remarks>
/// Registers lie at their physical places; ST(i) counts from the top in the status word. The pointers to the last
/// instruction
/// and operand are kept as loaded: nothing here updates them.
/// </remarks>
static unsafe class X87
{
    public const int C0 = 0x100, C1 = 0x200, C2 = 0x400, C3 = 0x4000, StackFault = 0x40, Summary = 0x8080;

    const ushort TopMask = 0x3800;

    public static int Top(CpuState* s) => s->FpuStatus >> 11 & 7;

    public static void SetTop(CpuState* s, int top) =>
        s->FpuStatus = (ushort)(s->FpuStatus & ~TopMask | (top & 7) << 11);

    public static byte* Register(CpuState* s, int i) => s->Fpu + ((Top(s) + i) & 7) * 16;

    public static bool IsEmpty(CpuState* s, int i) => (s->FpuTag >> ((Top(s) + i) & 7) & 1) == 0;

    public static void SetEmpty(CpuState* s, int i) => s->FpuTag &= (ushort)~(1 << ((Top(s) + i) & 7));

    public static void SetUsed(CpuState* s, int i) => s->FpuTag |= (ushort)(1 << ((Top(s) + i) & 7));

    /// <summary>An unmasked exception is pending: waiting instructions raise #MF instead of running.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool IsPending(CpuState* s) => (s->FpuStatus & 0x80) != 0;

    public static RealContext Context(CpuState* s) => new()
    {
        Rounding = s->FpuControl >> 10 & 3,
        Masks = (uint)s->FpuControl & RealContext.AllFlags,
        WrapsExponent = true,
    };

    /// <summary>The format that precision control asks of arithmetic.</summary>
    public static RealFormat Format(CpuState* s) => (s->FpuControl >> 8 & 3) switch
    {
        0 => RealFormat.ExtendedOf(24),
        2 => RealFormat.ExtendedOf(53),
        _ => RealFormat.Extended,
    };

    public static Real Get(CpuState* s, int i)
    {
        byte* p = Register(s, i);
        return Unpack(*(ulong*)p, *(ushort*)(p + 8));
    }

    public static void Set(CpuState* s, int i, in Real value)
    {
        SetUsed(s, i);
        Pack(value, Register(s, i));
    }

    public static Real Unpack(ulong significand, int signExponent)
    {
        bool sign = signExponent > 0x7FFF, integer = (significand & Real.Integer) != 0;
        int exponent = signExponent & 0x7FFF;
        if (exponent == 0)
        {
            if (significand == 0) return Real.Zero(sign);
            int shift = System.Numerics.BitOperations.LeadingZeroCount(significand);
            return new Real(RealKind.Finite, sign, -16382 - shift, significand << shift, Denormal: true);
        }
        if (!integer) return new Real(RealKind.Unsupported, sign, 0, significand);
        if (exponent != 0x7FFF) return new Real(RealKind.Finite, sign, exponent - 16383, significand);
        if (significand == Real.Integer) return Real.Infinity(sign);
        RealKind kind = (significand & Real.Quiet) != 0 ? RealKind.QuietNaN : RealKind.SignalingNaN;
        return new Real(kind, sign, 0, significand);
    }

    /// <summary>Ten bytes.</summary>
    public static void Pack(in Real value, byte* p)
    {
        ulong significand = value.Significand;
        int exponent = value.Kind switch
        {
            RealKind.Zero => 0,
            RealKind.Finite => value.Exponent + 16383,
            _ => 0x7FFF,
        };
        if (value.Kind == RealKind.Zero) significand = 0;
        if (value.IsFinite && exponent <= 0)
        {
            significand = exponent < -62 ? 0 : significand >> (1 - exponent);
            exponent = 0;
        }
        *(ulong*)p = significand;
        *(ushort*)(p + 8) = (ushort)(exponent | (value.Sign ? 0x8000 : 0));
    }

    /// <summary>
    /// Makes flags sticky and C1 as the last rounding was. False: unmasked before the operation, so nothing happens.
    /// </summary>
    public static bool Finish(CpuState* s, in RealContext c)
    {
        uint flags = c.Flags(out _);
        s->FpuStatus &= unchecked((ushort)~C1);
        if ((flags & RealContext.Inexact) != 0 && c.RoundedUp) s->FpuStatus |= C1;
        Raise(s, flags);
        return !c.Stopped;
    }

    /// <summary>
    /// As <see cref="Finish"/> for a store: overflow and underflow, unmasked, keep it from happening too.
    /// </summary>
    public static bool FinishStore(CpuState* s, RealContext c)
    {
        uint unmasked = c.After & ~c.Masks & (RealContext.Overflow | RealContext.Underflow);
        if (unmasked != 0) c.After = unmasked;
        return Finish(s, c) && unmasked == 0;
    }

    public static void Raise(CpuState* s, uint flags)
    {
        s->FpuStatus |= (ushort)flags;
        Summarize(s);
    }

    /// <summary>ES and B follow from the flags and their masks.</summary>
    public static void Summarize(CpuState* s)
    {
        if ((s->FpuStatus & ~s->FpuControl & 0x3F) != 0) s->FpuStatus |= Summary;
        else s->FpuStatus &= unchecked((ushort)~Summary);
    }

    /// <summary>
    /// An empty register was read, or a full one pushed upon. True if that is masked: the result is a NaN then.
    /// </summary>
    public static bool StackFaults(CpuState* s, bool overflow)
    {
        s->FpuStatus &= unchecked((ushort)~C1);
        if (overflow) s->FpuStatus |= C1;
        Raise(s, RealContext.Invalid | StackFault);
        return (s->FpuControl & RealContext.Invalid) != 0;
    }

    public static void Push(CpuState* s, in Real value)
    {
        SetTop(s, Top(s) - 1);
        Set(s, 0, value);
    }

    public static void Pop(CpuState* s)
    {
        SetEmpty(s, 0);
        SetTop(s, Top(s) + 1);
    }

    public static void ClearC1(CpuState* s) => s->FpuStatus &= unchecked((ushort)~C1);

    public static void SetCodes(CpuState* s, int codes) =>
        s->FpuStatus = (ushort)(s->FpuStatus & ~(C0 | C1 | C2 | C3) | codes);
}
