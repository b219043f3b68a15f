using Iced.Intel;

namespace Ringdown.Machine;

/// <summary>
/// Shifts, multiplication and division, bits, conditions, BMI and what else computes on general registers.
/// </summary>
static unsafe class BitLowering
{
    public static bool Lower(BlockBuilder b)
    {
        ref Instruction i = ref b.Instruction;
        if (i.ConditionCode != ConditionCode.None) return Conditional(b);
        return Shifts(b, i.Mnemonic) || Multiply(b, i.Mnemonic) || Bits(b, i.Mnemonic) || Vex(b, i.Mnemonic)
            || Single(b, i.Mnemonic);
    }

    static bool Conditional(BlockBuilder b)
    {
        ref Instruction i = ref b.Instruction;
        Uop u = default;
        Handler handler;
        switch (i.FlowControl == FlowControl.Next ? i.OpCount : 0)
        {
            case 1 when i.Op0Kind == OpKind.Memory || i.Op0Register.IsGPR8():
                handler = Conditions.Pick<SetIf>(i.ConditionCode, b.Place(ref u, 0, Slot.D), 1);
                break;
            case 2 when i.Op0Register.IsGPR():
                b.Place(ref u, 0, Slot.D);
                handler = Conditions.Pick<MoveIf>(i.ConditionCode, b.Place(ref u, 1, Slot.S), b.OperandSize());
                break;
            default: return false;
        }
        b.Emit(handler, u);
        return true;
    }

    static bool Shifts(BlockBuilder b, Mnemonic mnemonic) => mnemonic switch
    {
        Mnemonic.Shl or Mnemonic.Sal => b.Two<Shift<Shl>>(),
        Mnemonic.Shr => b.Two<Shift<Shr>>(),
        Mnemonic.Sar => b.Two<Shift<Sar>>(),
        Mnemonic.Rol => b.Two<Shift<Rol>>(),
        Mnemonic.Ror => b.Two<Shift<Ror>>(),
        Mnemonic.Rcl => b.Two<Shift<Rcl>>(flags: true),
        Mnemonic.Rcr => b.Two<Shift<Rcr>>(flags: true),
        Mnemonic.Shld => DoubleShift<DoubleShift<Yes>>(b),
        Mnemonic.Shrd => DoubleShift<DoubleShift<No>>(b),
        _ => false,
    };

    static bool DoubleShift<TFamily>(BlockBuilder b) where TFamily : IFamily
    {
        Uop u = default;
        Shape shape = b.TwoShape(ref u);
        u.Imm = b.Instruction.Op2Kind == OpKind.Register ? -1 : b.Instruction.Immediate8;
        return b.EmitSized<TFamily>(b.OperandSize(), shape, true, u);
    }

    static bool Multiply(BlockBuilder b, Mnemonic mnemonic)
    {
        switch (mnemonic)
        {
            case Mnemonic.Mul: return b.One<MultiplyWide<No>>();
            case Mnemonic.Div: return b.One<Divide<No>>();
            case Mnemonic.Idiv: return b.One<Divide<Yes>>();
            case Mnemonic.Imul when b.Instruction.OpCount == 1: return b.One<MultiplyWide<Yes>>();
            case Mnemonic.Imul when b.Instruction.OpCount == 2: return b.Two<Multiply<No>>();
            case Mnemonic.Imul:
                Uop u = default;
                Shape shape = b.TwoShape(ref u);
                u.Imm = (long)b.Instruction.GetImmediate(2);
                // The manual's sign extension of a 32-bit immediate: Iced gives it only for 64-bit operands.
                if (b.OperandSize() <= 4) u.Imm = (int)u.Imm;
                if (b.OperandSize() == 2) u.Imm = (short)u.Imm;
                return b.EmitSized<Multiply<Yes>>(b.OperandSize(), shape, b.FlagsWanted, u);
            default: return false;
        }
    }

    static bool Bits(BlockBuilder b, Mnemonic mnemonic) => mnemonic switch
    {
        Mnemonic.Bt => b.Two<BitTest<TestBit>>(),
        Mnemonic.Bts => b.Two<BitTest<SetBit>>(),
        Mnemonic.Btr => b.Two<BitTest<ResetBit>>(),
        Mnemonic.Btc => b.Two<BitTest<FlipBit>>(),
        Mnemonic.Bsf => b.Two<Scan<Bsf>>(),
        Mnemonic.Bsr => b.Two<Scan<Bsr>>(),
        Mnemonic.Tzcnt => b.Two<Scan<Tzcnt>>(),
        Mnemonic.Lzcnt => b.Two<Scan<Lzcnt>>(),
        Mnemonic.Popcnt => b.Two<Scan<Popcnt>>(),
        Mnemonic.Blsi => b.Two<Scan<Blsi>>(),
        Mnemonic.Blsmsk => b.Two<Scan<Blsmsk>>(),
        Mnemonic.Blsr => b.Two<Scan<Blsr>>(),
        Mnemonic.Adcx => b.Two<AddCarry<No>>(),
        Mnemonic.Adox => b.Two<AddCarry<Yes>>(),
        Mnemonic.Movbe => b.Two<MoveReversed>(),
        Mnemonic.Crc32 => b.Instruction.Op1Kind switch
        {
            OpKind.Register => Crc32(b, b.Instruction.Op1Register.GetSize()),
            _ => Crc32(b, b.Instruction.MemorySize.GetSize()),
        },
        _ => false,
    };

    static bool Crc32(BlockBuilder b, int size) => size switch
    {
        1 => b.Two<Crc32<byte>>(),
        2 => b.Two<Crc32<ushort>>(),
        4 => b.Two<Crc32<uint>>(),
        _ => b.Two<Crc32<ulong>>(),
    };

    static bool Vex(BlockBuilder b, Mnemonic mnemonic) => mnemonic switch
    {
        Mnemonic.Andn => Three<Andn>(b, value: 2, other: 1),
        Mnemonic.Pdep => Three<Pdep>(b, value: 2, other: 1),
        Mnemonic.Pext => Three<Pext>(b, value: 2, other: 1),
        Mnemonic.Mulx => Three<Mulx>(b, value: 2, other: 1),
        Mnemonic.Bextr => Three<Bextr>(b, value: 1, other: 2),
        Mnemonic.Bzhi => Three<Bzhi>(b, value: 1, other: 2),
        Mnemonic.Sarx => Three<Sarx>(b, value: 1, other: 2),
        Mnemonic.Shlx => Three<Shlx>(b, value: 1, other: 2),
        Mnemonic.Shrx => Three<Shrx>(b, value: 1, other: 2),
        Mnemonic.Rorx => Three<Rorx>(b, value: 1, other: 2),
        _ => false,
    };

    static bool Three<TOp>(BlockBuilder b, int value, int other) where TOp : IThree
    {
        Uop u = default;
        b.Place(ref u, 0, Slot.D);
        Shape shape = b.Place(ref u, value, Slot.B) switch
        {
            PlaceKind.Memory => Shape.RegMem,
            PlaceKind.MemoryIndexed => Shape.RegMemX,
            _ => Shape.RegReg,
        };
        b.Place(ref u, other, Slot.S);
        return b.EmitSized<Three<TOp>>(b.OperandSize(), shape, true, u);
    }

    static bool Single(BlockBuilder b, Mnemonic mnemonic)
    {
        Uop u = default;
        Handler handler = mnemonic switch
        {
            Mnemonic.Cbw => &ConvertHandlers.Widen<byte, ushort>,
            Mnemonic.Cwde => &ConvertHandlers.Widen<ushort, uint>,
            Mnemonic.Cdqe => &ConvertHandlers.Widen<uint, ulong>,
            Mnemonic.Cwd => &ConvertHandlers.Spread<ushort>,
            Mnemonic.Cdq => &ConvertHandlers.Spread<uint>,
            Mnemonic.Cqo => &ConvertHandlers.Spread<ulong>,
            Mnemonic.Lahf => &ConvertHandlers.Lahf,
            Mnemonic.Sahf => &ConvertHandlers.Sahf,
            Mnemonic.Clc => &ConvertHandlers.Clc,
            Mnemonic.Stc => &ConvertHandlers.Stc,
            Mnemonic.Cmc => &ConvertHandlers.Cmc,
            Mnemonic.Cld => &ConvertHandlers.Cld,
            Mnemonic.Std => &ConvertHandlers.Std,
            Mnemonic.Cmpxchg8b => b.Address(ref u) == PlaceKind.Memory
                ? &ConvertHandlers.CompareExchange8<Mem> : &ConvertHandlers.CompareExchange8<MemX>,
            Mnemonic.Cmpxchg16b => b.Address(ref u) == PlaceKind.Memory
                ? &ConvertHandlers.CompareExchange16<Mem> : &ConvertHandlers.CompareExchange16<MemX>,
            _ => null,
        };
        if (handler == null) return false;
        b.Emit(handler, u);
        return true;
    }
}
