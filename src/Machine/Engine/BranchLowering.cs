using Iced.Intel;

namespace Ringdown.Machine;

/// <summary>Transfers of control.</summary>
static unsafe class BranchLowering
{
    public static bool Lower(BlockBuilder b)
    {
        ref Instruction i = ref b.Instruction;
        if (i.IsJccShortOrNear) return Direct(b, Conditions.Pick<JumpIf>(i.ConditionCode, PlaceKind.Register, 0));
        switch (i.Mnemonic)
        {
            case Mnemonic.Jmp: return i.Op0Kind == OpKind.NearBranch64 ? Direct(b, &BranchHandlers.Jump) : Jump(b);
            case Mnemonic.Call: return i.Op0Kind == OpKind.NearBranch64 ? Direct(b, &BranchHandlers.Call) : Call(b);
            case Mnemonic.Ret: return Return(b);
            case Mnemonic.Loop: return Loop(b, 0);
            case Mnemonic.Loope: return Loop(b, 1);
            case Mnemonic.Loopne: return Loop(b, 2);
            case Mnemonic.Jrcxz: return Direct(b, &BranchHandlers.JumpIfCounterZero<ulong>);
            case Mnemonic.Jecxz: return Direct(b, &BranchHandlers.JumpIfCounterZero<uint>);
            default: return false;
        }
    }

    /// <summary>Makes one micro-op of the current instruction and a Jcc behind it, if they are such a pair.</summary>
    public static bool Fuse(BlockBuilder b, in Instruction next, uint live)
    {
        ref Instruction i = ref b.Instruction;
        if (!next.IsJccShortOrNear || i.Mnemonic is not (Mnemonic.Cmp or Mnemonic.Test)) return false;
        if (i.Op0Kind != OpKind.Register || i.Op1Kind == OpKind.Memory) return false;
        Uop u = default;
        PlaceKind place = b.Place(ref u, 0, Slot.D);
        place = b.Place(ref u, 1, Slot.S);
        u.Disp = (int)u.Imm;
        int size = b.OperandSize();
        Handler handler = (i.Mnemonic == Mnemonic.Cmp, live != 0) switch
        {
            (true, true) => Conditions.Pick<CompareJump<Cmp, Yes>>(next.ConditionCode, place, size),
            (true, false) => Conditions.Pick<CompareJump<Cmp, No>>(next.ConditionCode, place, size),
            (false, true) => Conditions.Pick<CompareJump<Test, Yes>>(next.ConditionCode, place, size),
            (false, false) => Conditions.Pick<CompareJump<Test, No>>(next.ConditionCode, place, size),
        };
        u.Imm = b.Links(next.NearBranchTarget, next.NextIP);
        b.Emit(handler, u);
        return true;
    }

    static bool Direct(BlockBuilder b, Handler handler, ushort d = 0)
    {
        // A 16-bit target (operand size prefix) is not what any 64-bit code means.
        if (b.Instruction.Op0Kind != OpKind.NearBranch64) return false;
        b.Emit(handler, new Uop { D = d, Imm = b.Links(b.Instruction.NearBranchTarget, b.Instruction.NextIP) });
        return true;
    }

    static bool Loop(BlockBuilder b, ushort kind) =>
        b.Instruction.Code is Code.Loop_rel8_64_RCX or Code.Loope_rel8_64_RCX or Code.Loopne_rel8_64_RCX
            ? Direct(b, &BranchHandlers.Loop<ulong>, kind)
            : Direct(b, &BranchHandlers.Loop<uint>, kind);

    static bool Jump(BlockBuilder b)
    {
        if (b.OperandSize() != 8) return false;
        Uop u = default;
        b.Emit(b.Place(ref u, 0, Slot.D) switch
        {
            PlaceKind.Memory => &BranchHandlers.JumpIndirect<Mem>,
            PlaceKind.MemoryIndexed => &BranchHandlers.JumpIndirect<MemX>,
            _ => &BranchHandlers.JumpIndirect<RegD>,
        }, u);
        return true;
    }

    static bool Call(BlockBuilder b)
    {
        if (b.OperandSize() != 8) return false;
        Uop u = default;
        PlaceKind place = b.Place(ref u, 0, Slot.D);
        u.Imm = b.Instruction.Length;
        b.Emit(place switch
        {
            PlaceKind.Memory => &BranchHandlers.CallIndirect<Mem>,
            PlaceKind.MemoryIndexed => &BranchHandlers.CallIndirect<MemX>,
            _ => &BranchHandlers.CallIndirect<RegD>,
        }, u);
        return true;
    }

    static bool Return(BlockBuilder b)
    {
        if (b.Instruction.Code is not (Code.Retnq or Code.Retnq_imm16)) return false;
        b.Emit(&BranchHandlers.Return, new Uop { Imm = b.Instruction.OpCount == 0 ? 0 : b.Instruction.Immediate16 });
        return true;
    }
}
