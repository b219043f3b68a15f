using Iced.Intel;

namespace Ringdown.Machine;

/// <summary>Instructions of the kernel.</summary>
static unsafe class SystemLowering
{
    public static bool Lower(BlockBuilder b)
    {
        ref Instruction i = ref b.Instruction;
        switch (i.Mnemonic)
        {
            case Mnemonic.INVALID or Mnemonic.Ud0 or Mnemonic.Ud1 or Mnemonic.Ud2:
                b.Emit(&MiscHandlers.InvalidOpcode, default);
                return true;
            case Mnemonic.Int3: return Interrupt(b, 3);
            case Mnemonic.Int1: return Interrupt(b, 1);
            case Mnemonic.Int: return Interrupt(b, i.Immediate8);
            case Mnemonic.Hlt:
                b.Emit(&MiscHandlers.Halt, new Uop { Imm = i.Length });
                return true;
            default: return false;
        }
    }

    static bool Interrupt(BlockBuilder b, byte vector)
    {
        b.Emit(&MiscHandlers.Interrupt, new Uop { D = vector, Imm = b.Instruction.Length });
        return true;
    }
}
