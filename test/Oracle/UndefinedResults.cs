using Iced.Intel;

namespace Ringdown.Tests;

/// <summary>What the manuals leave open, so that host and engine may differ there.</summary>
static unsafe class UndefinedResults
{
    const ulong CF = 1, PF = 4, AF = 0x10, ZF = 0x40, SF = 0x80, DF = 0x400, OF = 0x800;

    /// <summary>The flags that are defined after an instruction that began in this state.</summary>
    public static ulong DefinedFlags(in Instruction i, OracleState* s)
    {
        ulong undefined = 0;
        RflagsBits bits = i.RflagsUndefined;
        if ((bits & RflagsBits.CF) != 0) undefined |= CF;
        if ((bits & RflagsBits.PF) != 0) undefined |= PF;
        if ((bits & RflagsBits.AF) != 0) undefined |= AF;
        if ((bits & RflagsBits.ZF) != 0) undefined |= ZF;
        if ((bits & RflagsBits.SF) != 0) undefined |= SF;
        if ((bits & RflagsBits.OF) != 0) undefined |= OF;
        return (CF | PF | AF | ZF | SF | DF | OF) & ~Shift(i, s, undefined);
    }

    static ulong Shift(in Instruction i, OracleState* s, ulong undefined)
    {
        bool rotates = i.Mnemonic is Mnemonic.Rol or Mnemonic.Ror or Mnemonic.Rcl or Mnemonic.Rcr;
        bool shifts = i.Mnemonic is Mnemonic.Shl or Mnemonic.Sal or Mnemonic.Shr or Mnemonic.Sar;
        bool isDouble = i.Mnemonic is Mnemonic.Shld or Mnemonic.Shrd;
        if (!rotates && !shifts && !isDouble) return undefined;
        int bits = OperandBits(i), last = i.OpCount - 1;
        ulong count = i.GetOpKind(last) == OpKind.Register ? s->Gpr[1] : i.GetImmediate(last);
        count &= bits == 64 ? 63u : 31u;
        if (count == 0) return 0;
        undefined = (rotates ? 0 : AF) | (count == 1 ? 0 : OF);
        if (shifts && i.Mnemonic != Mnemonic.Sar && count >= (uint)bits) undefined |= CF;
        if (isDouble && count > (uint)bits) undefined = CF | PF | AF | ZF | SF | OF;
        return undefined;
    }

    static int OperandBits(in Instruction i) =>
        8 * (i.Op0Kind == OpKind.Register ? i.Op0Register.GetSize() : i.MemorySize.GetSize());

    /// <summary>The bits of a general register that are defined.</summary>
    /// <remarks>When CMPXCHG fails Intel clears the upper half of a 32-bit destination, AMD leaves it.</remarks>
    public static ulong DefinedBits(in Instruction i, Register register) =>
        i.Code == Code.Cmpxchg_rm32_r32 && i.Op0Register.GetFullRegister() == register ? uint.MaxValue : ulong.MaxValue;

    /// <summary>Whether the whole result is open: then only the absence of a wrong fault can be judged.</summary>
    public static bool IsResultUndefined(in Instruction i, OracleState* s)
    {
        int exponent = *(ushort*)(OracleState.St(s, 0) + 8) & 0x7FFF;
        if (i.Mnemonic == Mnemonic.F2xm1) return exponent is >= 0x3FFF and < 0x7FFF;
        if (i.Mnemonic == Mnemonic.Fyl2xp1) return exponent is >= 0x3FFD and < 0x7FFF;
        if (i.Mnemonic is not (Mnemonic.Shld or Mnemonic.Shrd)) return false;
        ulong count = i.Op2Kind == OpKind.Register ? s->Gpr[1] : i.GetImmediate(2);
        return OperandBits(i) == 16 && (count & 31) > 16;
    }

    /// <summary>RCPPS and its like: each processor has its own table, within 1.5 / 4096 of the value.</summary>
    public static bool IsEstimate(in Instruction i) =>
        i.Mnemonic is Mnemonic.Rcpps or Mnemonic.Rcpss or Mnemonic.Rsqrtps
        or Mnemonic.Rsqrtss or Mnemonic.Vrcpps or Mnemonic.Vrcpss or Mnemonic.Vrsqrtps or Mnemonic.Vrsqrtss;

    /// <summary>Whether two estimates of the same value may stand beside each other.</summary>
    public static bool AreClose(ReadOnlySpan<uint> host, ReadOnlySpan<uint> guest)
    {
        for (int n = 0; n < host.Length; n++)
        {
            float a = BitConverter.UInt32BitsToSingle(host[n]), b = BitConverter.UInt32BitsToSingle(guest[n]);
            if (host[n] == guest[n]
                || Math.Abs(a) < 3e-38f && Math.Abs(b) < 3e-38f && (host[n] ^ guest[n]) < 1u << 31) continue;
            if (!float.IsFinite(a) || !(Math.Abs(a - (double)b) <= 3.0 / 4096 * Math.Abs((double)a))) return false;
        }
        return true;
    }

    /// <summary>
    /// The bits of a fault's address that count: none where the processor may access the operand in any order.
    /// </summary>
    public static ulong DefinedFaultAddress(in Instruction i) => IsInAnyOrder(i) ? 0 : ulong.MaxValue;

    /// <summary>
    /// The bits of a page fault's error code that count; the host is in user mode, the engine is not.
    /// </summary>
    public static ulong DefinedErrorBits(in Instruction i) => IsInAnyOrder(i) ? 2UL : 0x13;

    /// <summary>One operand's address is not canonical, the other's page not there: either may come first.</summary>
    public static bool IsEitherFault(in Instruction i, ulong one, ulong other) =>
        IsCompare(i) && (one is 13 or 14) && (other is 13 or 14);

    static bool IsInAnyOrder(in Instruction i) => IsImage(i) || IsCompare(i);

    // Processors of one vendor differ in which of the two operands of CMPS they access first.
    static bool IsCompare(in Instruction i) =>
        i.Mnemonic is Mnemonic.Cmpsb or Mnemonic.Cmpsw or Mnemonic.Cmpsd or Mnemonic.Cmpsq;

    static bool IsImage(in Instruction i) => i.Mnemonic is Mnemonic.Fldenv or Mnemonic.Fnstenv or Mnemonic.Fnsave
        or Mnemonic.Frstor or Mnemonic.Xsave or Mnemonic.Xsave64 or Mnemonic.Xrstor or Mnemonic.Xrstor64
            or Mnemonic.Fxsave or Mnemonic.Fxsave64 or Mnemonic.Fxrstor or Mnemonic.Fxrstor64;

    /// <summary>
    /// Makes the engine's memory the host's where the manual leaves it open: MXCSR_MASK in FXSAVE's image.
    /// </summary>
    public static void Forget(in Instruction i, HostProcessor host, GuestProcessor guest)
    {
        if (i.Mnemonic is not (Mnemonic.Fxsave or Mnemonic.Fxsave64 or Mnemonic.Xsave or Mnemonic.Xsave64)) return;
        OracleState* s = host.In;
        ulong at = 28 + i.GetVirtualAddress(0, 0, (r, _, _) => !r.IsGPR() ? 0
            : s->Gpr[r.GetFullRegister() - Register.RAX] & (r.GetSize() == 4 ? uint.MaxValue : ulong.MaxValue));
        guest.Overwrite(at);
    }

    /// <summary>
    /// Functions that a processor rounds well but not always rightly: the last bit and C1 do not count.
    /// </summary>
    public static bool IsTranscendental(in Instruction i) => i.Mnemonic is Mnemonic.F2xm1 or Mnemonic.Fyl2x
        or Mnemonic.Fyl2xp1 or Mnemonic.Fsin or Mnemonic.Fcos or Mnemonic.Fsincos or Mnemonic.Fptan or Mnemonic.Fpatan;

    /// <summary>Whether two 80-bit numbers are the same or neighbours.</summary>
    public static bool AreNeighbours(byte* a, byte* b)
    {
        UInt128 x = new(*(ushort*)(a + 8), *(ulong*)a << 1), y = new(*(ushort*)(b + 8), *(ulong*)b << 1);
        UInt128 distance = x > y ? x - y : y - x;
        return distance <= 2;
    }
}
