using Iced.Intel;

namespace Ringdown.Machine;

/// <summary>The places of an instruction's operands, the destination first.</summary>
enum Shape : byte { RegReg, RegImm, RegMem, RegMemX, MemReg, MemXReg, MemImm, MemXImm, Reg, Mem, MemX }

enum PlaceKind : byte { Register, Immediate, Memory, MemoryIndexed }

/// <summary>Which field of a micro-op names a register operand.</summary>
enum Slot : byte { D, S, B, X }

/// <summary>Handlers of one instruction for all its operand places and sizes.</summary>
unsafe interface IFamily
{
    /// <summary>The handler for a shape, with or without setting flags; null if there is none.</summary>
    static abstract Handler Pick<T>(Shape shape, bool flags) where T : unmanaged;
}

sealed unsafe partial class BlockBuilder
{
    /// <summary>
    /// Emits an instruction with two operands (a third, immediate one goes to <see cref="Uop.Disp"/> by hand).
    /// </summary>
    public bool Two<TFamily>() where TFamily : IFamily => Two<TFamily>(FlagsWanted);

    public bool Two<TFamily>(bool flags) where TFamily : IFamily
    {
        Uop u = default;
        Shape shape = TwoShape(ref u);
        return EmitSized<TFamily>(OperandSize(), shape, flags, u);
    }

    /// <summary>Emits an instruction with one operand, in slot D or memory.</summary>
    public bool One<TFamily>() where TFamily : IFamily
    {
        Uop u = default;
        Shape shape = OneShape(Place(ref u, 0, Slot.D));
        return EmitSized<TFamily>(OperandSize(), shape, FlagsWanted, u);
    }

    public bool EmitSized<TFamily>(int size, Shape shape, bool flags, Uop u) where TFamily : IFamily
    {
        Handler handler = size switch
        {
            1 => TFamily.Pick<byte>(shape, flags),
            2 => TFamily.Pick<ushort>(shape, flags),
            4 => TFamily.Pick<uint>(shape, flags),
            8 => TFamily.Pick<ulong>(shape, flags),
            _ => null,
        };
        if (handler == null) return false;
        Emit(handler, u);
        return true;
    }

    public static Shape OneShape(PlaceKind kind) => kind switch
    {
        PlaceKind.Memory => Shape.Mem,
        PlaceKind.MemoryIndexed => Shape.MemX,
        _ => Shape.Reg,
    };

    public Shape TwoShape(ref Uop u)
    {
        PlaceKind first = Place(ref u, 0, Slot.D), second = Place(ref u, 1, Slot.S);
        bool immediate = second == PlaceKind.Immediate;
        return first switch
        {
            PlaceKind.Memory => immediate ? Shape.MemImm : Shape.MemReg,
            PlaceKind.MemoryIndexed => immediate ? Shape.MemXImm : Shape.MemXReg,
            _ => second switch
            {
                PlaceKind.Immediate => Shape.RegImm,
                PlaceKind.Memory => Shape.RegMem,
                PlaceKind.MemoryIndexed => Shape.RegMemX,
                _ => Shape.RegReg,
            },
        };
    }

    /// <summary>Bytes of the operands: those of the first register, else of memory.</summary>
    public int OperandSize()
    {
        ref Instruction i = ref Instruction;
        if (i.Op0Kind == OpKind.Register) return i.Op0Register.GetSize();
        return i.Op0Kind == OpKind.Memory ? i.MemorySize.GetSize() : 8;
    }

    /// <summary>
    /// Fills in one operand. For memory, the address fields; it may emit a micro-op that leaves part of it in Scratch.
    /// </summary>
    public PlaceKind Place(ref Uop u, int operand, Slot slot)
    {
        ref Instruction i = ref Instruction;
        switch (i.GetOpKind(operand))
        {
            case OpKind.Register:
                SetRegister(ref u, slot, i.GetOpRegister(operand));
                return PlaceKind.Register;
            case OpKind.Memory:
                return Address(ref u);
            default:
                u.Imm = (long)i.GetImmediate(operand);
                return PlaceKind.Immediate;
        }
    }

    static void SetRegister(ref Uop u, Slot slot, Register register)
    {
        ushort offset = OffsetOf(register);
        switch (slot)
        {
            case Slot.D: u.D = offset; break;
            case Slot.S: u.S = offset; break;
            case Slot.B: u.B = offset; break;
            default: u.X = offset; break;
        }
    }

    /// <summary>
    /// Where a register lies in <see cref="CpuState"/>; an absent one is <see cref="CpuState.Zero"/>.
    /// </summary>
    public static ushort OffsetOf(Register register) => register switch
    {
        Register.None => CpuState.ZeroOffset,
        >= Register.AL and <= Register.BL => (ushort)((register - Register.AL) * 8),
        >= Register.AH and <= Register.BH => (ushort)((register - Register.AH) * 8 + 1),
        >= Register.SPL and <= Register.R15L => (ushort)((register - Register.SPL + 4) * 8),
        >= Register.AX and <= Register.R15W => (ushort)((register - Register.AX) * 8),
        >= Register.EAX and <= Register.R15D => (ushort)((register - Register.EAX) * 8),
        >= Register.RAX and <= Register.R15 => (ushort)((register - Register.RAX) * 8),
        >= Register.XMM0 and <= Register.XMM15 => (ushort)(CpuState.VectorOffset + (register - Register.XMM0) * 32),
        >= Register.YMM0 and <= Register.YMM15 => (ushort)(CpuState.VectorOffset + (register - Register.YMM0) * 32),
        >= Register.ST0 and <= Register.ST7 => (ushort)(register - Register.ST0),
        >= Register.MM0 and <= Register.MM7 => (ushort)(CpuState.FpuOffset + (register - Register.MM0) * 16),
        _ => CpuState.ZeroOffset,
    };

    /// <summary>Fills in the address of the memory operand.</summary>
    public PlaceKind Address(ref Uop u)
    {
        ref Instruction i = ref Instruction;
        ushort segment = i.MemorySegment switch
        {
            Register.FS => CpuState.FsBaseOffset,
            Register.GS => CpuState.GsBaseOffset,
            _ => CpuState.ZeroOffset,
        };
        if (i.IsIPRelativeMemoryOperand) return Fixed(ref u, i.IPRelativeMemoryAddress, segment);

        long displacement = (long)i.MemoryDisplacement64;
        bool narrow = i.MemoryBase.IsGPR32() || i.MemoryIndex.IsGPR32();
        if (i.MemoryBase == Register.None && i.MemoryIndex == Register.None)
            return Fixed(ref u, (ulong)displacement, segment);
        u.B = OffsetOf(i.MemoryBase);
        u.X = OffsetOf(i.MemoryIndex);
        u.Scale = (byte)int.Log2(i.MemoryIndexScale);
        u.Disp = (int)displacement;
        bool indexed = i.MemoryIndex != Register.None;
        if (narrow)
        {
            Emit(&MiscHandlers.ScratchAddress32, u);
            (u.B, u.X, u.Scale, u.Disp) = ((ushort)CpuState.ScratchOffset, segment, 0, 0);
            return segment == CpuState.ZeroOffset ? PlaceKind.Memory : PlaceKind.MemoryIndexed;
        }
        if (segment == CpuState.ZeroOffset) return indexed ? PlaceKind.MemoryIndexed : PlaceKind.Memory;
        if (indexed)
        {
            Emit(&MiscHandlers.ScratchAddress, u);
            (u.B, u.Scale, u.Disp) = ((ushort)CpuState.ScratchOffset, 0, 0);
        }
        u.X = segment;
        return PlaceKind.MemoryIndexed;
    }

    // An address that is known now: relative to the block, or to zero, or too far for either.
    PlaceKind Fixed(ref Uop u, ulong address, ushort segment)
    {
        long relative = (long)(address - _rip), absolute = (long)address;
        (ushort origin, long distance) = Instruction.IsIPRelativeMemoryOperand && segment == CpuState.ZeroOffset
            ? ((ushort)CpuState.BlockRipOffset, relative) : (segment, absolute);
        u.B = origin;
        u.Disp = (int)distance;
        if (u.Disp == distance) return PlaceKind.Memory;
        Emit(&MiscHandlers.ScratchValue, new Uop { Imm = (long)address });
        (u.B, u.X, u.Scale, u.Disp) = ((ushort)CpuState.ScratchOffset, segment, 0, 0);
        return segment == CpuState.ZeroOffset ? PlaceKind.Memory : PlaceKind.MemoryIndexed;
    }
}
