using Iced.Intel;

namespace Ringdown.Machine;

/// <summary>Instructions of the kernel, and those that ask the processor about itself.</summary>
static unsafe class SystemLowering
{
    public static bool Lower(BlockBuilder b) =>
        Nothing(b) || Exceptions(b) || Simple(b) || Ports(b) || Control(b) || Segments(b) || Selectors(b) || Bases(b);

    static bool Emit(BlockBuilder b, Handler handler, Uop u = default)
    {
        b.Emit(handler, u);
        return true;
    }

    // Hints and orders to caches: nothing that could be seen here.
    static bool Nothing(BlockBuilder b)
    {
        switch (b.Instruction.Mnemonic)
        {
            case Mnemonic.Lfence or Mnemonic.Mfence or Mnemonic.Sfence or Mnemonic.Prefetch or Mnemonic.Prefetchnta
                or Mnemonic.Prefetcht0 or Mnemonic.Prefetcht1 or Mnemonic.Prefetcht2 or Mnemonic.Prefetchw
                or Mnemonic.Prefetchwt1 or Mnemonic.Clflush or Mnemonic.Clflushopt or Mnemonic.Clwb or Mnemonic.Invlpg
                or Mnemonic.Invd or Mnemonic.Wbinvd or Mnemonic.Monitor or Mnemonic.Serialize:
                return Emit(b, &MiscHandlers.Nop);
            default: return false;
        }
    }

    static bool Exceptions(BlockBuilder b)
    {
        ref Instruction i = ref b.Instruction;
        switch (i.Mnemonic)
        {
            case Mnemonic.INVALID or Mnemonic.Ud0 or Mnemonic.Ud1 or Mnemonic.Ud2:
                return Emit(b, &MiscHandlers.InvalidOpcode);
            case Mnemonic.Int3: return Interrupt(b, Fault.Breakpoint);
            case Mnemonic.Int1: return Interrupt(b, Fault.Debug);
            case Mnemonic.Int: return Interrupt(b, i.Immediate8);
            case Mnemonic.Hlt or Mnemonic.Mwait: return Emit(b, &MiscHandlers.Halt, new Uop { Imm = i.Length });
            case Mnemonic.Iretq: return Emit(b, &SystemHandlers.InterruptReturn);
            default: return false;
        }
    }

    static bool Interrupt(BlockBuilder b, int vector) =>
        Emit(b, &MiscHandlers.Interrupt, new Uop { D = (ushort)vector, Imm = b.Instruction.Length });

    static bool Simple(BlockBuilder b)
    {
        ref Instruction i = ref b.Instruction;
        Uop u = new() { Imm = i.Length };
        if (i.OpCount > 0 && i.Op0Kind == OpKind.Register) u.D = BlockBuilder.OffsetOf(i.Op0Register);
        switch (i.Mnemonic)
        {
            case Mnemonic.Cpuid: return Emit(b, &SystemHandlers.Identify);
            case Mnemonic.Rdtsc: return Emit(b, &SystemHandlers.ReadTsc);
            case Mnemonic.Rdtscp: return Emit(b, &SystemHandlers.ReadTscAux);
            case Mnemonic.Rdpmc: return Emit(b, &SystemHandlers.ReadPerformance);
            case Mnemonic.Rdpid: return Emit(b, &SystemHandlers.ReadProcessorId, u);
            case Mnemonic.Rdmsr: return Emit(b, &SystemHandlers.ReadMsr);
            case Mnemonic.Wrmsr: return Emit(b, &SystemHandlers.WriteMsr);
            case Mnemonic.Rdrand or Mnemonic.Rdseed:
                return Emit(b, i.Op0Register.GetSize() switch
                {
                    2 => &SystemHandlers.Random<ushort>,
                    4 => &SystemHandlers.Random<uint>,
                    _ => &SystemHandlers.Random<ulong>,
                }, u);
            case Mnemonic.Xgetbv: return Emit(b, &SystemHandlers.GetExtendedControl);
            case Mnemonic.Xsetbv: return Emit(b, &SystemHandlers.SetExtendedControl);
            case Mnemonic.Cli: return Emit(b, &SystemHandlers.Cli);
            case Mnemonic.Sti: return Emit(b, &SystemHandlers.Sti, u);
            case Mnemonic.Clac: return Emit(b, &SystemHandlers.SetAlignmentCheck);
            case Mnemonic.Stac: return Emit(b, &SystemHandlers.SetAlignmentCheck, new Uop { D = 1 });
            case Mnemonic.Clts: return Emit(b, &SystemHandlers.ClearTaskSwitched);
            case Mnemonic.Swapgs: return Emit(b, &SystemHandlers.SwapGs);
            default: return false;
        }
    }

    static bool Ports(BlockBuilder b)
    {
        ref Instruction i = ref b.Instruction;
        if (i.Mnemonic is not (Mnemonic.In or Mnemonic.Out)) return false;
        bool isIn = i.Mnemonic == Mnemonic.In;
        OpKind port = isIn ? i.Op1Kind : i.Op0Kind;
        Uop u = port == OpKind.Register ? new Uop { D = 1 } : new Uop { S = i.Immediate8 };
        return IntegerLowering.EndWith(b, ((isIn ? i.Op0Register : i.Op1Register).GetSize(), isIn) switch
        {
            (1, true) => &SystemHandlers.In<byte>,
            (2, true) => &SystemHandlers.In<ushort>,
            (_, true) => &SystemHandlers.In<uint>,
            (1, false) => &SystemHandlers.Out<byte>,
            (2, false) => &SystemHandlers.Out<ushort>,
            (_, false) => &SystemHandlers.Out<uint>,
        }, u);
    }

    static bool Control(BlockBuilder b)
    {
        ref Instruction i = ref b.Instruction;
        if (i.Mnemonic == Mnemonic.Lmsw)
        {
            Uop w = default;
            return Emit(b, Pick(b.Place(ref w, 0, Slot.D), &SystemHandlers.LoadMachineStatus<RegD>,
                &SystemHandlers.LoadMachineStatus<Mem>, &SystemHandlers.LoadMachineStatus<MemX>), w);
        }
        if (i.Mnemonic != Mnemonic.Mov || i.Op0Kind != OpKind.Register || i.Op1Kind != OpKind.Register) return false;
        Register to = i.Op0Register, from = i.Op1Register;
        Uop u = new() { D = BlockBuilder.OffsetOf(to), S = BlockBuilder.OffsetOf(from), Imm = i.Length };
        if (to.IsCR())
        {
            u.X = (ushort)(to - Register.CR0);
            if (u.X is not (0 or 2 or 3 or 4 or 8)) return Emit(b, &MiscHandlers.InvalidOpcode);
            return Emit(b, u.X == 8 ? &SystemHandlers.WriteCr8 : &SystemHandlers.WriteControl, u);
        }
        if (from.IsCR())
        {
            u.X = (ushort)(from - Register.CR0);
            return Emit(b, u.X is 0 or 2 or 3 or 4 or 8 ? &SystemHandlers.ReadControl : &MiscHandlers.InvalidOpcode, u);
        }
        if (!to.IsDR() && !from.IsDR()) return false;
        u.X = (ushort)((to.IsDR() ? to : from) - Register.DR0);
        if (u.X > 7) return Emit(b, &MiscHandlers.InvalidOpcode);
        return Emit(b, to.IsDR() ? &SystemHandlers.WriteDebug : &SystemHandlers.ReadDebug, u);
    }

    static Handler Pick(PlaceKind place, Handler register, Handler memory, Handler indexed) => place switch
    {
        PlaceKind.Memory => memory,
        PlaceKind.MemoryIndexed => indexed,
        _ => register,
    };

    static bool Segments(BlockBuilder b)
    {
        ref Instruction i = ref b.Instruction;
        Uop u = default;
        switch (i.Mnemonic)
        {
            case Mnemonic.Push or Mnemonic.Pop when i.Op0Register.IsSegmentRegister():
                if (i.StackPointerIncrement is not (8 or -8)) return false;
                u.D = (ushort)(i.Op0Register - Register.ES);
                return Emit(b, i.Mnemonic == Mnemonic.Push ? &SegmentHandlers.Push : &SegmentHandlers.Pop, u);
            case Mnemonic.Mov when i.Op1Register.IsSegmentRegister():
                u.S = (ushort)(i.Op1Register - Register.ES);
                return Emit(b, StoreTo(b, ref u), u);
            case Mnemonic.Mov when i.Op0Register.IsSegmentRegister():
                if (i.Op0Register == Register.CS) return Emit(b, &MiscHandlers.InvalidOpcode);
                Handler handler = Pick(b.Place(ref u, 1, Slot.S), &SegmentHandlers.Write<RegS>,
                    &SegmentHandlers.Write<Mem>, &SegmentHandlers.Write<MemX>);
                u.D = (ushort)(i.Op0Register - Register.ES);
                return Emit(b, handler, u);
            default: return false;
        }

        Handler StoreTo(BlockBuilder b, ref Uop u) => (b.Place(ref u, 0, Slot.D), b.OperandSize()) switch
        {
            (PlaceKind.Memory, _) => &SegmentHandlers.Read<Mem, ushort>,
            (PlaceKind.MemoryIndexed, _) => &SegmentHandlers.Read<MemX, ushort>,
            (_, 2) => &SegmentHandlers.Read<RegD, ushort>,
            _ => &SegmentHandlers.Read<RegD, uint>,
        };
    }

    static bool Selectors(BlockBuilder b)
    {
        ref Instruction i = ref b.Instruction;
        Uop u = default;
        switch (i.Mnemonic)
        {
            case Mnemonic.Sgdt or Mnemonic.Sidt or Mnemonic.Lgdt or Mnemonic.Lidt:
                PlaceKind place = b.Address(ref u);
                u.D = i.Mnemonic is Mnemonic.Sidt or Mnemonic.Lidt ? (ushort)1 : (ushort)0;
                u.S = i.Mnemonic is Mnemonic.Lgdt or Mnemonic.Lidt ? (ushort)1 : (ushort)0;
                bool plain = place == PlaceKind.Memory;
                return Emit(b, plain ? &SegmentHandlers.Table<Mem> : &SegmentHandlers.Table<MemX>, u);
            case Mnemonic.Sldt or Mnemonic.Str or Mnemonic.Smsw:
                Handler store = (b.Place(ref u, 0, Slot.D), b.OperandSize()) switch
                {
                    (PlaceKind.Memory, _) => &SegmentHandlers.StoreSystem<Mem, ushort>,
                    (PlaceKind.MemoryIndexed, _) => &SegmentHandlers.StoreSystem<MemX, ushort>,
                    (_, 2) => &SegmentHandlers.StoreSystem<RegD, ushort>,
                    (_, 4) => &SegmentHandlers.StoreSystem<RegD, uint>,
                    _ => &SegmentHandlers.StoreSystem<RegD, ulong>,
                };
                u.S = i.Mnemonic switch { Mnemonic.Sldt => 0, Mnemonic.Str => 1, _ => 2 };
                return Emit(b, store, u);
            case Mnemonic.Lldt or Mnemonic.Ltr:
                Handler load = Pick(b.Place(ref u, 0, Slot.D), &SegmentHandlers.LoadSystem<RegD>,
                    &SegmentHandlers.LoadSystem<Mem>, &SegmentHandlers.LoadSystem<MemX>);
                u.S = i.Mnemonic == Mnemonic.Lldt ? (ushort)0 : (ushort)1;
                return Emit(b, load, u);
            case Mnemonic.Lar: return Inspect(b, 0, 1);
            case Mnemonic.Lsl: return Inspect(b, 1, 1);
            case Mnemonic.Verr: return Inspect(b, 2, 0);
            case Mnemonic.Verw: return Inspect(b, 3, 0);
            default: return false;
        }
    }

    static bool Inspect(BlockBuilder b, ushort question, int operand)
    {
        Uop u = default;
        PlaceKind place = b.Place(ref u, operand, Slot.S);
        if (place != PlaceKind.Register)
        {
            b.Emit(place == PlaceKind.Memory ? &SegmentHandlers.FetchWord<Mem> : &SegmentHandlers.FetchWord<MemX>, u);
            u.S = CpuState.ScratchOffset;
        }
        u.X = question;
        int size = operand == 0 ? 8 : b.OperandSize();
        if (operand != 0) u.D = BlockBuilder.OffsetOf(b.Instruction.Op0Register);
        return Emit(b, size switch
        {
            2 => &SegmentHandlers.Inspect<ushort>,
            4 => &SegmentHandlers.Inspect<uint>,
            _ => &SegmentHandlers.Inspect<ulong>,
        }, u);
    }

    static bool Bases(BlockBuilder b)
    {
        ref Instruction i = ref b.Instruction;
        bool reads = i.Mnemonic is Mnemonic.Rdfsbase or Mnemonic.Rdgsbase;
        if (!reads && i.Mnemonic is not (Mnemonic.Wrfsbase or Mnemonic.Wrgsbase)) return false;
        ushort segment = i.Mnemonic is Mnemonic.Rdfsbase or Mnemonic.Wrfsbase
            ? (ushort)CpuState.FsBaseOffset : (ushort)CpuState.GsBaseOffset;
        ushort register = BlockBuilder.OffsetOf(i.Op0Register);
        bool wide = i.Op0Register.IsGPR64();
        return reads
            ? Emit(b, wide ? &SystemHandlers.ReadBase<ulong> : &SystemHandlers.ReadBase<uint>,
                new Uop { D = register, S = segment })
            : Emit(b, wide ? &SystemHandlers.WriteBase<ulong> : &SystemHandlers.WriteBase<uint>,
                new Uop { D = segment, S = register });
    }
}
