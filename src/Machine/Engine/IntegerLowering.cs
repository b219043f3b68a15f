using Iced.Intel;

namespace Ringdown.Machine;

/// <summary>Moves, arithmetic, logic, the stack.</summary>
static unsafe class IntegerLowering
{
    public static bool Lower(BlockBuilder b)
    {
        ref Instruction i = ref b.Instruction;
        if (i.Mnemonic == Mnemonic.Mov)
            return !IsSpecial(i.Op0Register) && !IsSpecial(i.Op1Register) && b.Two<Move>();
        return Arithmetic(b, i.Mnemonic) || Moves(b, i.Mnemonic) || Stack(b, i.Mnemonic);
    }

    // Segment, control and debug registers.
    static bool IsSpecial(Register register) => register.IsSegmentRegister() || register.IsCR() || register.IsDR();

    static bool Arithmetic(BlockBuilder b, Mnemonic mnemonic) => mnemonic switch
    {
        Mnemonic.Add => b.Two<Binary<Add>>(),
        Mnemonic.Adc => b.Two<Binary<Adc>>(),
        Mnemonic.Sub => b.Two<Binary<Sub>>(),
        Mnemonic.Sbb => b.Two<Binary<Sbb>>(),
        Mnemonic.And => b.Two<Binary<And>>(),
        Mnemonic.Or => b.Two<Binary<Or>>(),
        Mnemonic.Xor => b.Two<Binary<Xor>>(),
        Mnemonic.Cmp => b.Two<Binary<Cmp>>(),
        Mnemonic.Test => b.Two<Binary<Test>>(),
        Mnemonic.Inc => b.One<Unary<Inc>>(),
        Mnemonic.Dec => b.One<Unary<Dec>>(),
        Mnemonic.Neg => b.One<Unary<Neg>>(),
        Mnemonic.Not => b.One<Unary<Not>>(),
        _ => false,
    };

    static bool Moves(BlockBuilder b, Mnemonic mnemonic)
    {
        switch (mnemonic)
        {
            case Mnemonic.Lea: return Lea(b);
            case Mnemonic.Movzx: return SourceSize(b) == 1 ? b.Two<Extend<byte, No>>() : b.Two<Extend<ushort, No>>();
            case Mnemonic.Movsx: return SourceSize(b) == 1 ? b.Two<Extend<byte, Yes>>() : b.Two<Extend<ushort, Yes>>();
            case Mnemonic.Movsxd: return SourceSize(b) == 2 ? b.Two<Extend<ushort, Yes>>() : b.Two<Extend<uint, Yes>>();
            case Mnemonic.Xchg: return b.Two<Exchange>();
            case Mnemonic.Xadd: return b.Two<ExchangeAdd>();
            case Mnemonic.Cmpxchg: return b.Two<CompareExchange>();
            case Mnemonic.Bswap: return b.One<Unary<Bswap>>();
            case Mnemonic.Nop or Mnemonic.Endbr64 or Mnemonic.Endbr32 or Mnemonic.Pause or Mnemonic.Reservednop:
                b.Emit(&MiscHandlers.Nop, default);
                return true;
            default: return false;
        }
    }

    static int SourceSize(BlockBuilder b) =>
        b.Instruction.Op1Kind == OpKind.Register
            ? b.Instruction.Op1Register.GetSize()
            : b.Instruction.MemorySize.GetSize();

    static bool Lea(BlockBuilder b)
    {
        ref Instruction i = ref b.Instruction;
        // The segment does not take part.
        i.SegmentPrefix = Register.None;
        return b.Two<LoadAddress>();
    }

    static bool Stack(BlockBuilder b, Mnemonic mnemonic)
    {
        switch (mnemonic)
        {
            case Mnemonic.Push: return Push(b);
            case Mnemonic.Pop: return Pop(b);
            case Mnemonic.Leave: b.Emit(&StackHandlers.Leave, default); return b.Instruction.Code == Code.Leaveq;
            case Mnemonic.Enter:
                b.Emit(&StackHandlers.Enter,
                    new Uop { Imm = b.Instruction.Immediate16, D = b.Instruction.Immediate8_2nd });
                return b.Instruction.Code == Code.Enterq_imm16_imm8;
            case Mnemonic.Pushfq: b.Emit(&StackHandlers.PushFlags<ulong>, default); return true;
            case Mnemonic.Pushf: b.Emit(&StackHandlers.PushFlags<ushort>, default); return true;
            case Mnemonic.Popfq: return EndWith(b, &StackHandlers.PopFlags<ulong>);
            case Mnemonic.Popf: return EndWith(b, &StackHandlers.PopFlags<ushort>);
            default: return false;
        }
    }

    /// <summary>
    /// Emits an instruction that ends its block and may stop the processor behind itself, for which it gets its length.
    /// </summary>
    public static bool EndWith(BlockBuilder b, Handler handler, Uop u = default)
    {
        u.Imm = b.Instruction.Length;
        b.Emit(handler, u);
        return true;
    }

    static bool Pop(BlockBuilder b)
    {
        ref Instruction i = ref b.Instruction;
        if (i.Op0Register.IsSegmentRegister()) return false;
        if (i.MemoryBase is Register.RSP or Register.ESP) i.MemoryDisplacement64 += (ulong)i.StackPointerIncrement;
        return b.One<Pop>();
    }

    static bool Push(BlockBuilder b)
    {
        ref Instruction i = ref b.Instruction;
        if (i.Op0Register.IsSegmentRegister()) return false;
        Uop u = default;
        PlaceKind place = b.Place(ref u, 0, Slot.D);
        Shape shape = place == PlaceKind.Immediate ? Shape.RegImm : BlockBuilder.OneShape(place);
        return b.EmitSized<Push>(-i.StackPointerIncrement, shape, false, u);
    }
}
