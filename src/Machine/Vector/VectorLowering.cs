using Iced.Intel;

namespace Ringdown.Machine;

/// <summary>Chooses handlers for MMX, SSE and AVX.</summary>
static unsafe partial class VectorLowering
{
    enum Width { Mmx, Sse, V128, V256 }

    public static bool Lower(BlockBuilder b)
    {
        if (b.Instruction.Encoding is not (EncodingKind.Legacy or EncodingKind.VEX)) return false;
        return LowerPacked(b) || LowerMove(b) || LowerElement(b) || LowerFloat(b) || LowerString(b)
            || LowerFused(b);
    }

    static Width WidthOf(in Instruction i)
    {
        bool mmx = false;
        for (int n = 0; n < i.OpCount; n++)
        {
            Register r = i.GetOpKind(n) == OpKind.Register ? i.GetOpRegister(n) : Register.None;
            if (r.IsYMM()) return Width.V256;
            mmx |= r.IsMM();
        }
        if (mmx) return Width.Mmx;
        if (i.Encoding == EncodingKind.VEX && i.MemorySize.GetSize() == 32) return Width.V256;
        return i.Encoding == EncodingKind.VEX ? Width.V128 : Width.Sse;
    }

    static bool HasImmediate(in Instruction i) => i.OpCount > 0 && i.GetOpKind(i.OpCount - 1) == OpKind.Immediate8;

    /// <summary>
    /// D from operand 0, S from operand 1 (or D where there are two), the source into B or the address fields.
    /// </summary>
    static bool Operands(BlockBuilder b, ref Uop u)
    {
        ref Instruction i = ref b.Instruction;
        int n = i.OpCount;
        if (HasImmediate(i)) u.Imm = (long)i.GetImmediate(--n);
        u.D = BlockBuilder.OffsetOf(i.Op0Register);
        u.S = n == 3 ? BlockBuilder.OffsetOf(i.Op1Register) : u.D;
        return Source(b, ref u, n - 1);
    }

    /// <summary>Fills in the operand that may be memory. True if it is.</summary>
    static bool Source(BlockBuilder b, ref Uop u, int operand)
    {
        PlaceKind kind = b.Place(ref u, operand, Slot.B);
        // All vector handlers add an index: one that is zero where there is none.
        if (kind == PlaceKind.Memory) (u.X, u.Scale) = (CpuState.ZeroOffset, 0);
        return kind != PlaceKind.Register;
    }

    static bool Binary<TOp>(BlockBuilder b) where TOp : IPacked => Binary<TOp, TOp>(b);

    static bool Binary<TOp, TMmx>(BlockBuilder b) where TOp : IPacked where TMmx : IPacked
    {
        Uop u = default;
        bool memory = Operands(b, ref u);
        b.Emit(WidthOf(b.Instruction) switch
        {
            Width.Mmx => memory ? &Packed<TMmx, MemX, ModeMmx>.Run : &Packed<TMmx, RegB, ModeMmx>.Run,
            Width.Sse => memory ? &Packed<TOp, MemX, ModeSse>.Run : &Packed<TOp, RegB, ModeSse>.Run,
            Width.V128 => memory ? &Packed<TOp, MemX, Mode128>.Run : &Packed<TOp, RegB, Mode128>.Run,
            _ => memory ? &Packed<TOp, MemX, Mode256>.Run : &Packed<TOp, RegB, Mode256>.Run,
        }, u);
        return true;
    }

    static bool Shift<TOp, TImmediate>(BlockBuilder b) where TOp : IPacked where TImmediate : IPacked =>
        HasImmediate(b.Instruction) ? Binary<TImmediate>(b) : Binary<TOp>(b);

    static bool Reads<TOp>(BlockBuilder b) where TOp : IVectorRead
    {
        Uop u = default;
        bool memory = Operands(b, ref u);
        return EmitRead<TOp>(b, u, memory);
    }

    static bool EmitRead<TOp>(BlockBuilder b, in Uop u, bool memory) where TOp : IVectorRead
    {
        b.Emit(WidthOf(b.Instruction) switch
        {
            Width.Mmx => memory ? &VectorRead<TOp, MemX, ModeMmx>.Run : &VectorRead<TOp, RegB, ModeMmx>.Run,
            Width.Sse => memory ? &VectorRead<TOp, MemX, ModeSse>.Run : &VectorRead<TOp, RegB, ModeSse>.Run,
            Width.V128 => memory ? &VectorRead<TOp, MemX, Mode128>.Run : &VectorRead<TOp, RegB, Mode128>.Run,
            _ => memory ? &VectorRead<TOp, MemX, Mode256>.Run : &VectorRead<TOp, RegB, Mode256>.Run,
        }, u);
        return true;
    }

    static bool Writes<TOp>(BlockBuilder b) where TOp : IVectorWrite
    {
        ref Instruction i = ref b.Instruction;
        Uop u = default;
        if (HasImmediate(i)) u.Imm = (long)i.GetImmediate(i.OpCount - 1);
        u.S = BlockBuilder.OffsetOf(i.Op1Register);
        bool memory = i.Op0Kind == OpKind.Memory;
        if (memory) Source(b, ref u, 0);
        else u.D = BlockBuilder.OffsetOf(i.Op0Register);
        b.Emit(WidthOf(i) switch
        {
            Width.Mmx => memory ? &VectorWrite<TOp, MemX, ModeMmx>.Run : &VectorWrite<TOp, RegD, ModeMmx>.Run,
            Width.Sse => memory ? &VectorWrite<TOp, MemX, ModeSse>.Run : &VectorWrite<TOp, RegD, ModeSse>.Run,
            Width.V128 => memory ? &VectorWrite<TOp, MemX, Mode128>.Run : &VectorWrite<TOp, RegD, Mode128>.Run,
            _ => memory ? &VectorWrite<TOp, MemX, Mode256>.Run : &VectorWrite<TOp, RegD, Mode256>.Run,
        }, u);
        return true;
    }

}
