using Iced.Intel;

namespace Ringdown.Machine;

static unsafe partial class FpuLowering
{
    static bool Control(BlockBuilder b)
    {
        ref Instruction i = ref b.Instruction;
        switch (i.Code)
        {
            case Code.Wait or Code.Fnop: return Emit(b, &X87Control.Wait);
            case Code.Fneni or Code.Fndisi or Code.Fnsetpm: return Emit(b, &MiscHandlers.Nop);
            case Code.Fninit: return Emit(b, &X87Control.Initialize);
            case Code.Fnclex: return Emit(b, &X87Control.ClearExceptions);
            case Code.Emms: return Emit(b, &X87Control.EmptyMmx);
            case Code.Fincstp: return Emit(b, &X87Control.MoveTop, new Uop { Imm = 1 });
            case Code.Fdecstp: return Emit(b, &X87Control.MoveTop, new Uop { Imm = -1 });
            case Code.Ffree_sti: return Emit(b, &X87Control.Free, new Uop { S = Register(b, 0) });
            case Code.Ffreep_sti: return Emit(b, &X87Control.Free, new Uop { S = Register(b, 0), Imm = 1 });
            case Code.Fldcw_m2byte: return WithMemory(b, &X87Control.LoadControl);
            case Code.Fnstcw_m2byte: return WithMemory(b, &X87Control.StoreControl);
            case Code.Fnstsw_m2byte: return WithMemory(b, &X87Control.StoreStatus);
            case Code.Fnstsw_AX: return Emit(b, &X87Control.StatusToAx);
            case Code.Fldenv_m14byte: return WithMemory(b, &X87Control.LoadEnvironment, 14);
            case Code.Fldenv_m28byte: return WithMemory(b, &X87Control.LoadEnvironment, 28);
            case Code.Fnstenv_m14byte: return WithMemory(b, &X87Control.StoreEnvironment, 14);
            case Code.Fnstenv_m28byte: return WithMemory(b, &X87Control.StoreEnvironment, 28);
            case Code.Frstor_m94byte: return WithMemory(b, &X87Control.LoadEnvironment, 14, 1);
            case Code.Frstor_m108byte: return WithMemory(b, &X87Control.LoadEnvironment, 28, 1);
            case Code.Fnsave_m94byte: return WithMemory(b, &X87Control.StoreEnvironment, 14, 1);
            case Code.Fnsave_m108byte: return WithMemory(b, &X87Control.StoreEnvironment, 28, 1);
            default: return false;
        }
    }

    static bool Function(BlockBuilder b) => b.Instruction.Mnemonic switch
    {
        Mnemonic.Fchs => Emit(b, &X87Arithmetic.Sign),
        Mnemonic.Fabs => Emit(b, &X87Arithmetic.Sign, new Uop { Imm = 1 }),
        Mnemonic.Fsqrt => Emit(b, &X87Arithmetic.Unary),
        Mnemonic.Frndint => Emit(b, &X87Arithmetic.Unary, new Uop { Imm = 1 }),
        Mnemonic.Fscale => Emit(b, &X87Scale.Scale),
        Mnemonic.Fxtract => Emit(b, &X87Scale.Extract),
        Mnemonic.Fprem => Emit(b, &X87Scale.Remainder),
        Mnemonic.Fprem1 => Emit(b, &X87Scale.Remainder, new Uop { Imm = 1 }),
        Mnemonic.F2xm1 => Emit(b, &X87Functions.One, new Uop { Imm = X87Functions.F2Xm1 }),
        Mnemonic.Fsin => Emit(b, &X87Functions.One, new Uop { Imm = X87Functions.Sine }),
        Mnemonic.Fcos => Emit(b, &X87Functions.One, new Uop { Imm = X87Functions.Cosine }),
        Mnemonic.Fsincos => Emit(b, &X87Functions.One, new Uop { Imm = X87Functions.SineCosine }),
        Mnemonic.Fptan => Emit(b, &X87Functions.One, new Uop { Imm = X87Functions.Tangent }),
        Mnemonic.Fyl2x => Emit(b, &X87Functions.Two, new Uop { Imm = X87Functions.YLog2X }),
        Mnemonic.Fyl2xp1 => Emit(b, &X87Functions.Two, new Uop { Imm = X87Functions.YLog2Xp1 }),
        Mnemonic.Fpatan => Emit(b, &X87Functions.Two, new Uop { Imm = X87Functions.ArcTangent }),
        _ => false,
    };

    static bool State(BlockBuilder b) => b.Instruction.Mnemonic switch
    {
        Mnemonic.Fxsave or Mnemonic.Fxsave64 => WithMemory(b, &FxState.Save),
        Mnemonic.Fxrstor or Mnemonic.Fxrstor64 => WithMemory(b, &FxState.Restore),
        Mnemonic.Xsave or Mnemonic.Xsave64 => WithMemory(b, &FxState.ExtendedSave),
        Mnemonic.Xrstor or Mnemonic.Xrstor64 => WithMemory(b, &FxState.ExtendedRestore),
        _ => false,
    };
}
