using Iced.Intel;

namespace Ringdown.Machine;

static unsafe partial class VectorLowering
{
    static bool LowerMove(BlockBuilder b)
    {
        ref Instruction i = ref b.Instruction;
        bool store = i.Op0Kind == OpKind.Memory;
        switch (i.Mnemonic)
        {
            case Mnemonic.Movups or Mnemonic.Movupd or Mnemonic.Movdqu or Mnemonic.Lddqu
                or Mnemonic.Vmovups or Mnemonic.Vmovupd or Mnemonic.Vmovdqu or Mnemonic.Vlddqu:
                return store ? Writes<StoreWhole>(b) : Reads<LoadWhole>(b);
            case Mnemonic.Movaps or Mnemonic.Movapd or Mnemonic.Movdqa or Mnemonic.Movntps or Mnemonic.Movntpd
                or Mnemonic.Movntdq or Mnemonic.Movntdqa or Mnemonic.Vmovaps or Mnemonic.Vmovapd or Mnemonic.Vmovdqa
                or Mnemonic.Vmovntps or Mnemonic.Vmovntpd or Mnemonic.Vmovntdq or Mnemonic.Vmovntdqa:
                return store ? Writes<StoreAligned>(b) : Reads<LoadAligned>(b);
            case Mnemonic.Movnti:
                return b.Instruction.Op1Register.IsGPR64() ? Writes<StoreLow<ulong>>(b) : Writes<StoreLow<uint>>(b);
            case Mnemonic.Movntq: return Writes<StoreWhole>(b);
            case Mnemonic.Movd or Mnemonic.Vmovd: return LowerDoubleWord(b);
            case Mnemonic.Movq or Mnemonic.Vmovq: return LowerQuadWord(b);
            case Mnemonic.Movss or Mnemonic.Vmovss: return Scalar<uint>(b);
            case Mnemonic.Movsd or Mnemonic.Vmovsd when i.Op0Register.IsXMM() || i.Op1Register.IsXMM():
                return Scalar<ulong>(b);
            case Mnemonic.Movlps or Mnemonic.Movlpd or Mnemonic.Vmovlps or Mnemonic.Vmovlpd:
                return store ? Writes<StoreLow<ulong>>(b) : Reads<MergeHalf<LowHalf, LowHalf>>(b);
            case Mnemonic.Movhps or Mnemonic.Movhpd or Mnemonic.Vmovhps or Mnemonic.Vmovhpd:
                return store ? Writes<StoreHigh>(b) : Reads<MergeHalf<LowHalf, HighHalf>>(b);
            case Mnemonic.Movhlps or Mnemonic.Vmovhlps: return Reads<MergeHalf<HighHalf, LowHalf>>(b);
            case Mnemonic.Movlhps or Mnemonic.Vmovlhps: return Reads<MergeHalf<LowHalf, HighHalf>>(b);
            case Mnemonic.Movq2dq: return Reads<MmxToXmm>(b);
            case Mnemonic.Movdq2q: return Reads<XmmToMmx>(b);
            default: return false;
        }
    }

    static bool Scalar<T>(BlockBuilder b) where T : unmanaged
    {
        ref Instruction i = ref b.Instruction;
        if (i.Op0Kind == OpKind.Memory) return Writes<StoreLow<T>>(b);
        return i.GetOpKind(i.OpCount - 1) == OpKind.Memory ? Reads<LoadLow<T>>(b) : Reads<MergeLow<T>>(b);
    }

    static bool LowerDoubleWord(BlockBuilder b) =>
        IsVector(b.Instruction.Op0Register) ? Reads<LoadLow<uint>>(b) : Writes<StoreLow<uint>>(b);

    static bool LowerQuadWord(BlockBuilder b)
    {
        ref Instruction i = ref b.Instruction;
        if (IsVector(i.Op0Register)) return Reads<LoadLow<ulong>>(b);
        return Writes<StoreLow<ulong>>(b);
    }

    static bool IsVector(Register register) => register.IsVectorRegister() || register.IsMM();

    /// <summary>Conversions to wider integers: for 256 bits the source is 128, so it is no lane operation.</summary>
    static bool Widen<TOp>(BlockBuilder b) where TOp : IPacked =>
        WidthOf(b.Instruction) == Width.V256 ? Reads<WidenTwice<TOp>>(b) : Binary<TOp>(b);
}
