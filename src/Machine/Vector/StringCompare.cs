using System.Numerics;
using System.Runtime.Intrinsics;

namespace Ringdown.Machine;

/// <summary>PCMPESTRI, PCMPESTRM, PCMPISTRI and PCMPISTRM.</summary>
static unsafe class StringCompare
{
    /// <summary>What all four compute: the result mask, and the two lengths in elements.</summary>
    static uint Compare(byte* a, byte* b, int imm, int lengthA, int lengthB)
    {
        bool words = (imm & 1) != 0, signed = (imm & 2) != 0;
        int count = words ? 8 : 16;
        uint all = words ? 0xFFu : 0xFFFF, result = 0;
        for (int j = 0; j < count; j++)
            if (Bit(a, b, imm >> 2 & 3, lengthA, lengthB, j, count, words, signed)) result |= 1u << j;
        uint valid = (1u << lengthB) - 1;
        return (imm >> 4 & 3) switch { 1 => result ^ all, 3 => result ^ valid, _ => result };
    }

    static bool Bit(byte* a, byte* b, int mode, int na, int nb, int j, int count, bool words, bool signed)
    {
        switch (mode)
        {
            case 0:
                for (int i = 0; i < na && j < nb; i++)
                    if (At(a, i, words, signed) == At(b, j, words, signed)) return true;
                return false;
            case 1:
                for (int i = 0; i + 1 < na && j < nb; i += 2)
                {
                    int x = At(b, j, words, signed);
                    if (At(a, i, words, signed) <= x && x <= At(a, i + 1, words, signed)) return true;
                }
                return false;
            case 2:
                if (j >= na || j >= nb) return j >= na && j >= nb;
                return At(a, j, words, signed) == At(b, j, words, signed);
            default:
                // What lies past the register is neither valid nor compared.
                for (int i = 0; i < na && i + j < count; i++)
                    if (i + j >= nb || At(a, i, words, signed) != At(b, i + j, words, signed)) return false;
                return true;
        }
    }

    static int At(byte* p, int i, bool words, bool signed) => words
        ? signed ? ((short*)p)[i] : ((ushort*)p)[i]
        : signed ? ((sbyte*)p)[i] : p[i];

    static int ImplicitLength(byte* p, bool words)
    {
        int count = words ? 8 : 16, n = 0;
        while (n < count && At(p, n, words, false) != 0) n++;
        return n;
    }

    static int ExplicitLength(ulong register, int imm, bool wide)
    {
        long value = wide ? (long)register : (int)register;
        ulong magnitude = value < 0 ? 0UL - (ulong)value : (ulong)value;
        return (int)Math.Min(magnitude, (imm & 1) != 0 ? 8u : 16u);
    }

    public static void Run<TLengths, TResult>(Uop* op, CpuState* s, byte* b, bool vex)
        where TLengths : IExtent where TResult : IExtent
    {
        byte* a = (byte*)s + op->D;
        int imm = (int)op->Imm & 0xFF, count = (imm & 1) != 0 ? 8 : 16;
        bool words = count == 8, wide = (op->Imm & 0x100) != 0;
        int na = TLengths.Scalar ? ExplicitLength(s->Gpr[0], imm, wide) : ImplicitLength(a, words);
        int nb = TLengths.Scalar ? ExplicitLength(s->Gpr[2], imm, wide) : ImplicitLength(b, words);
        uint result = Compare(a, b, imm, na, nb);
        if (TResult.Scalar)
        {
            int none = count, first = BitOperations.TrailingZeroCount(result),
                last = 31 - BitOperations.LeadingZeroCount(result);
            s->Gpr[1] = (ulong)(result == 0 ? none : (imm & 0x40) != 0 ? last : first);
        }
        else
        {
            StoreMask(s, result, (imm & 0x40) != 0, words, vex);
        }
        uint flags = (result != 0 ? Flags.CF : 0) | (nb < count ? Flags.ZF : 0) | (na < count ? Flags.SF : 0)
            | ((result & 1) != 0 ? Flags.OF : 0);
        Width.SetFlags(s, flags);
    }

    static void StoreMask(CpuState* s, uint result, bool expand, bool words, bool vex)
    {
        Vector128<byte> mask = Vector128.CreateScalar(result).AsByte();
        for (int i = 0; expand && i < 16; i++)
            mask = mask.WithElement(i, (byte)((result >> (words ? i / 2 : i) & 1) != 0 ? 0xFF : 0));
        mask.Store(s->Vector);
        if (vex) Vector128<byte>.Zero.Store(s->Vector + 16);
    }
}

/// <summary>TLengths: in EAX and EDX, or where a zero is. TResult: an index in ECX, or a mask in XMM0.</summary>
unsafe struct CompareStrings<TLengths, TResult> : IVectorRead where TLengths : IExtent where TResult : IExtent
{
    public static void Do<TMode>(Uop* op, CpuState* s, byte* b) where TMode : IVectorMode =>
        StringCompare.Run<TLengths, TResult>(op, s, b, TMode.Vex);
}
