using Iced.Intel;

namespace Ringdown.Machine;

static unsafe partial class VectorLowering
{
    static bool LowerString(BlockBuilder b) => b.Instruction.Mnemonic switch
    {
        Mnemonic.Pcmpestri or Mnemonic.Vpcmpestri => Strings<One, One>(b, wide: false),
        Mnemonic.Pcmpestri64 or Mnemonic.Vpcmpestri64 => Strings<One, One>(b, wide: true),
        Mnemonic.Pcmpestrm or Mnemonic.Vpcmpestrm => Strings<One, All>(b, wide: false),
        Mnemonic.Pcmpestrm64 or Mnemonic.Vpcmpestrm64 => Strings<One, All>(b, wide: true),
        Mnemonic.Pcmpistri or Mnemonic.Vpcmpistri => Strings<All, One>(b, wide: false),
        Mnemonic.Pcmpistrm or Mnemonic.Vpcmpistrm => Strings<All, All>(b, wide: false),
        _ => false,
    };

    static bool Strings<TLengths, TResult>(BlockBuilder b, bool wide) where TLengths : IExtent where TResult : IExtent
    {
        Uop u = default;
        bool memory = Operands(b, ref u);
        if (wide) u.Imm |= 0x100;
        return EmitRead<CompareStrings<TLengths, TResult>>(b, u, memory);
    }
}
