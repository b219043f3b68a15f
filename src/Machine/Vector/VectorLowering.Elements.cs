using Iced.Intel;

namespace Ringdown.Machine;

static unsafe partial class VectorLowering
{
    static bool LowerElement(BlockBuilder b)
    {
        bool memory = b.Instruction.Op0Kind == OpKind.Memory || HasMemorySource(b.Instruction);
        bool vex = b.Instruction.Encoding == EncodingKind.VEX;
        switch (b.Instruction.Mnemonic)
        {
            case Mnemonic.Pmovmskb or Mnemonic.Vpmovmskb: return Mask<byte>(b);
            case Mnemonic.Movmskps or Mnemonic.Vmovmskps: return Mask<uint>(b);
            case Mnemonic.Movmskpd or Mnemonic.Vmovmskpd: return Mask<ulong>(b);
            case Mnemonic.Pinsrb or Mnemonic.Vpinsrb: return Reads<Insert<byte>>(b);
            case Mnemonic.Pinsrw or Mnemonic.Vpinsrw: return Reads<Insert<ushort>>(b);
            case Mnemonic.Pinsrd or Mnemonic.Vpinsrd: return Reads<Insert<uint>>(b);
            case Mnemonic.Pinsrq or Mnemonic.Vpinsrq: return Reads<Insert<ulong>>(b);
            case Mnemonic.Pextrb or Mnemonic.Vpextrb: return Writes<Extract<byte>>(b);
            case Mnemonic.Pextrw or Mnemonic.Vpextrw: return Writes<Extract<ushort>>(b);
            case Mnemonic.Pextrd or Mnemonic.Vpextrd or Mnemonic.Extractps or Mnemonic.Vextractps:
                return Writes<Extract<uint>>(b);
            case Mnemonic.Pextrq or Mnemonic.Vpextrq: return Writes<Extract<ulong>>(b);
            case Mnemonic.Insertps or Mnemonic.Vinsertps:
                return memory ? Reads<InsertSingle<MemX>>(b) : Reads<InsertSingle<RegB>>(b);
            case Mnemonic.Ptest: return Reads<TestAligned>(b);
            case Mnemonic.Vptest: return Reads<Test<byte>>(b);
            case Mnemonic.Vtestps: return Reads<Test<uint>>(b);
            case Mnemonic.Vtestpd: return Reads<Test<ulong>>(b);
            case Mnemonic.Pblendvb: return Blend<BlendByAligned<byte>>(b);
            case Mnemonic.Blendvps: return Blend<BlendByAligned<uint>>(b);
            case Mnemonic.Blendvpd: return Blend<BlendByAligned<ulong>>(b);
            case Mnemonic.Vpblendvb: return Blend<BlendBy<byte>>(b);
            case Mnemonic.Vblendvps: return Blend<BlendBy<uint>>(b);
            case Mnemonic.Vblendvpd: return Blend<BlendBy<ulong>>(b);
            default: return LowerMemoryControl(b) || vex && LowerPermute(b);
        }
    }

    static bool HasMemorySource(in Instruction i)
    {
        for (int n = 1; n < i.OpCount; n++) if (i.GetOpKind(n) == OpKind.Memory) return true;
        return false;
    }

    // The destination is a general register, so the source alone says how wide the vector is.
    static bool Mask<T>(BlockBuilder b) where T : unmanaged => Reads<MoveMask<T>>(b);

    static bool Blend<TOp>(BlockBuilder b) where TOp : IVectorRead
    {
        ref Instruction i = ref b.Instruction;
        Uop u = default;
        bool vex = i.OpCount == 4;
        u.D = BlockBuilder.OffsetOf(i.Op0Register);
        u.S = vex ? BlockBuilder.OffsetOf(i.Op1Register) : u.D;
        u.Imm = BlockBuilder.OffsetOf(vex ? i.GetOpRegister(3) : Register.XMM0);
        return EmitRead<TOp>(b, u, Source(b, ref u, vex ? 2 : 1));
    }
}
