using Iced.Intel;

namespace Ringdown.Machine;

/// <summary>Chooses handlers for the x87 and for what saves the state of the vector units.</summary>
static unsafe partial class FpuLowering
{
    public static bool Lower(BlockBuilder b) =>
        Arithmetic(b) || Compare(b) || Move(b) || Control(b) || Function(b) || State(b);

    static bool Emit(BlockBuilder b, Handler handler, Uop u = default)
    {
        b.Emit(handler, u);
        return true;
    }

    static bool IsMemory(BlockBuilder b) => b.Instruction.Op0Kind == OpKind.Memory;

    static ushort Register(BlockBuilder b, int operand) => BlockBuilder.OffsetOf(b.Instruction.GetOpRegister(operand));

    static bool WithMemory(BlockBuilder b, Handler handler, int s = 0, long imm = 0)
    {
        Uop u = default;
        if (b.Place(ref u, 0, Slot.B) == PlaceKind.Memory) (u.X, u.Scale) = (CpuState.ZeroOffset, 0);
        u.S = (ushort)s;
        u.Imm = imm;
        return Emit(b, handler, u);
    }

    static X87Source Kind(BlockBuilder b) => b.Instruction.MemorySize switch
    {
        MemorySize.Float32 => X87Source.Single,
        MemorySize.Float64 => X87Source.Double,
        MemorySize.Float80 => X87Source.Extended,
        MemorySize.Int16 => X87Source.Int16,
        MemorySize.Int32 => X87Source.Int32,
        MemorySize.Int64 => X87Source.Int64,
        _ => X87Source.Bcd,
    };

    static bool Arithmetic(BlockBuilder b)
    {
        (int operation, bool pop) = b.Instruction.Mnemonic switch
        {
            Mnemonic.Fadd or Mnemonic.Fiadd => (X87Arithmetic.Add, false),
            Mnemonic.Faddp => (X87Arithmetic.Add, true),
            Mnemonic.Fmul or Mnemonic.Fimul => (X87Arithmetic.Multiply, false),
            Mnemonic.Fmulp => (X87Arithmetic.Multiply, true),
            Mnemonic.Fsub or Mnemonic.Fisub => (X87Arithmetic.Subtract, false),
            Mnemonic.Fsubp => (X87Arithmetic.Subtract, true),
            Mnemonic.Fsubr or Mnemonic.Fisubr => (X87Arithmetic.SubtractReverse, false),
            Mnemonic.Fsubrp => (X87Arithmetic.SubtractReverse, true),
            Mnemonic.Fdiv or Mnemonic.Fidiv => (X87Arithmetic.Divide, false),
            Mnemonic.Fdivp => (X87Arithmetic.Divide, true),
            Mnemonic.Fdivr or Mnemonic.Fidivr => (X87Arithmetic.DivideReverse, false),
            Mnemonic.Fdivrp => (X87Arithmetic.DivideReverse, true),
            _ => (-1, false),
        };
        if (operation < 0) return false;
        if (IsMemory(b)) return WithMemory(b, &X87Arithmetic.Memory, (int)Kind(b), operation);
        Uop u = new() { D = Register(b, 0), S = Register(b, 1), Imm = operation, Disp = pop ? 1 : 0 };
        return Emit(b, &X87Arithmetic.Registers, u);
    }

    static bool Compare(BlockBuilder b)
    {
        const int unordered = X87Compare.Unordered, toFlags = X87Compare.ToFlags;
        (int options, int pops) = b.Instruction.Mnemonic switch
        {
            Mnemonic.Fcom or Mnemonic.Ficom => (0, 0),
            Mnemonic.Fcomp or Mnemonic.Ficomp => (0, 1),
            Mnemonic.Fcompp => (0, 2),
            Mnemonic.Fucom => (unordered, 0),
            Mnemonic.Fucomp => (unordered, 1),
            Mnemonic.Fucompp => (unordered, 2),
            Mnemonic.Fcomi => (toFlags, 0),
            Mnemonic.Fcomip => (toFlags, 1),
            Mnemonic.Fucomi => (toFlags | unordered, 0),
            Mnemonic.Fucomip => (toFlags | unordered, 1),
            _ => (-1, 0),
        };
        if (b.Instruction.Mnemonic == Mnemonic.Ftst) return Emit(b, &X87Compare.Zero);
        if (b.Instruction.Mnemonic == Mnemonic.Fxam) return Emit(b, &X87Compare.Examine);
        if (options < 0) return false;
        long imm = options | pops << 2;
        if (b.Instruction.OpCount > 0 && IsMemory(b)) return WithMemory(b, &X87Compare.Memory, (int)Kind(b), imm);
        ushort other = b.Instruction.OpCount > 1 ? Register(b, 1) : (ushort)1;
        return Emit(b, &X87Compare.Registers, new Uop { S = other, Imm = imm });
    }

    static bool Move(BlockBuilder b)
    {
        switch (b.Instruction.Mnemonic)
        {
            case Mnemonic.Fld or Mnemonic.Fild or Mnemonic.Fbld:
                if (IsMemory(b)) return WithMemory(b, &X87Moves.Load, (int)Kind(b));
                return Emit(b, &X87Moves.Duplicate, new Uop { S = Register(b, 0) });
            case Mnemonic.Fst or Mnemonic.Fist: return Store(b, 0);
            case Mnemonic.Fstp or Mnemonic.Fistp or Mnemonic.Fbstp: return Store(b, 1);
            case Mnemonic.Fstpnce: return Store(b, 3);
            case Mnemonic.Fisttp: return Store(b, 3);
            case Mnemonic.Fxch: return Emit(b, &X87Moves.Exchange, new Uop { S = Register(b, 1) });
            case Mnemonic.Fcmovb: return Conditional(b, Flags.CF, false);
            case Mnemonic.Fcmove: return Conditional(b, Flags.ZF, false);
            case Mnemonic.Fcmovbe: return Conditional(b, Flags.CF | Flags.ZF, false);
            case Mnemonic.Fcmovu: return Conditional(b, Flags.PF, false);
            case Mnemonic.Fcmovnb: return Conditional(b, Flags.CF, true);
            case Mnemonic.Fcmovne: return Conditional(b, Flags.ZF, true);
            case Mnemonic.Fcmovnbe: return Conditional(b, Flags.CF | Flags.ZF, true);
            case Mnemonic.Fcmovnu: return Conditional(b, Flags.PF, true);
            default: return Constant(b);
        }
    }

    static bool Store(BlockBuilder b, long imm) => IsMemory(b)
        ? WithMemory(b, &X87Moves.Store, (int)Kind(b), imm)
        : Emit(b, &X87Moves.Copy, new Uop { D = Register(b, 0), Imm = imm });

    static bool Conditional(BlockBuilder b, uint flags, bool inverted) =>
        Emit(b, &X87Moves.Conditional, new Uop { S = Register(b, 1), Imm = flags, Disp = inverted ? 1 : 0 });

    // S: the number was rounded up (1) or down (2) to these 64 bits; 0 if it is exact.
    static bool Constant(BlockBuilder b)
    {
        (ulong significand, int exponent, int rounded) = b.Instruction.Mnemonic switch
        {
            Mnemonic.Fldz => (0UL, 0, 0),
            Mnemonic.Fld1 => (1UL << 63, 0, 0),
            Mnemonic.Fldl2t => (0xD49A_784B_CD1B_8AFEUL, 1, 2),
            Mnemonic.Fldl2e => (0xB8AA_3B29_5C17_F0BCUL, 0, 1),
            Mnemonic.Fldpi => (0xC90F_DAA2_2168_C235UL, 1, 1),
            Mnemonic.Fldlg2 => (0x9A20_9A84_FBCF_F799UL, -2, 1),
            Mnemonic.Fldln2 => (0xB172_17F7_D1CF_79ACUL, -1, 1),
            _ => (0UL, 0, -1),
        };
        return rounded >= 0 && Emit(b, &X87Moves.Constant,
            new Uop { Imm = (long)significand, Disp = exponent, S = (ushort)rounded });
    }
}
