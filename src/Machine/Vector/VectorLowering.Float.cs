using System.Numerics;
using Iced.Intel;

namespace Ringdown.Machine;

static unsafe partial class VectorLowering
{
    static bool Packed<TOp, T>(BlockBuilder b) where TOp : IFloatOp where T : unmanaged, IBinaryFloatingPointIeee754<T>
    {
        Uop u = default;
        bool memory = Operands(b, ref u);
        b.Emit(WidthOf(b.Instruction) switch
        {
            Width.Sse => memory ? &FloatPacked<TOp, T, MemX, ModeSse>.Run : &FloatPacked<TOp, T, RegB, ModeSse>.Run,
            Width.V128 => memory ? &FloatPacked<TOp, T, MemX, Mode128>.Run : &FloatPacked<TOp, T, RegB, Mode128>.Run,
            _ => memory ? &FloatPacked<TOp, T, MemX, Mode256>.Run : &FloatPacked<TOp, T, RegB, Mode256>.Run,
        }, u);
        return true;
    }

    static bool Scalar<TOp, T>(BlockBuilder b) where TOp : IFloatOp where T : unmanaged, IBinaryFloatingPointIeee754<T>
    {
        Uop u = default;
        bool memory = Operands(b, ref u);
        b.Emit(b.Instruction.Encoding == EncodingKind.VEX
            ? memory ? &FloatScalar<TOp, T, MemX, Mode128>.Run : &FloatScalar<TOp, T, RegB, Mode128>.Run
            : memory ? &FloatScalar<TOp, T, MemX, ModeSse>.Run : &FloatScalar<TOp, T, RegB, ModeSse>.Run, u);
        return true;
    }

    static bool Floats<TOp>(BlockBuilder b) where TOp : IFloatRead
    {
        Width width = WidthOf(b.Instruction);
        // With MMX on one side the other is SSE; only legacy instructions mix them.
        return Floats<TOp>(b, width == Width.Mmx ? Width.Sse : width);
    }

    static bool Floats<TOp>(BlockBuilder b, Width width) where TOp : IFloatRead
    {
        Uop u = default;
        bool memory = Operands(b, ref u);
        // A comparison of SSE knows 8 predicates, of AVX 32. Rounding uses 4 bits, a dot product all 8.
        if (IsCompare(b.Instruction)) u.Imm &= width == Width.Sse ? 7 : 31;
        b.Emit(width switch
        {
            Width.Sse => memory ? &FloatRead<TOp, MemX, ModeSse>.Run : &FloatRead<TOp, RegB, ModeSse>.Run,
            Width.V128 => memory ? &FloatRead<TOp, MemX, Mode128>.Run : &FloatRead<TOp, RegB, Mode128>.Run,
            _ => memory ? &FloatRead<TOp, MemX, Mode256>.Run : &FloatRead<TOp, RegB, Mode256>.Run,
        }, u);
        return true;
    }

    static bool ToGeneral<T, TTruncates>(BlockBuilder b) where T : unmanaged where TTruncates : IExtent =>
        b.Instruction.Op0Register.IsGPR64()
            ? Floats<ToInteger<T, long, TTruncates>>(b) : Floats<ToInteger<T, int, TTruncates>>(b);

    static bool FromGeneral<T>(BlockBuilder b) where T : unmanaged
    {
        ref Instruction i = ref b.Instruction;
        int last = i.OpCount - 1;
        bool wide = i.GetOpKind(last) == OpKind.Memory
            ? i.MemorySize == MemorySize.Int64 : i.GetOpRegister(last).IsGPR64();
        return wide ? Floats<FromInteger<long, T>>(b) : Floats<FromInteger<int, T>>(b);
    }

    static bool FromMmx<T>(BlockBuilder b) where T : unmanaged =>
        b.Instruction.Op1Kind == OpKind.Register ? Floats<FromMmx<T, One>>(b) : Floats<FromMmx<T, All>>(b);

    static bool IsCompare(in Instruction i) => i.Mnemonic is Mnemonic.Cmpps or Mnemonic.Cmppd or Mnemonic.Cmpss
        or Mnemonic.Cmpsd or Mnemonic.Vcmpps or Mnemonic.Vcmppd or Mnemonic.Vcmpss or Mnemonic.Vcmpsd;
}
