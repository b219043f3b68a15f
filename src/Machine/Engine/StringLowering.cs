using Iced.Intel;

namespace Ringdown.Machine;

/// <summary>String instructions.</summary>
static unsafe class StringLowering
{
    public static bool Lower(BlockBuilder b)
    {
        ref Instruction i = ref b.Instruction;
        bool repeats = i.HasRepPrefix || i.HasRepnePrefix;
        Handler handler = i.Mnemonic switch
        {
            // With SSE operands MOVSD and CMPSD are another instruction.
            Mnemonic.Movsb => repeats ? &StringHandlers.RepeatMove<byte> : &StringHandlers.Move<byte>,
            Mnemonic.Movsw => repeats ? &StringHandlers.RepeatMove<ushort> : &StringHandlers.Move<ushort>,
            Mnemonic.Movsd when i.IsStringInstruction =>
                repeats ? &StringHandlers.RepeatMove<uint> : &StringHandlers.Move<uint>,
            Mnemonic.Movsq => repeats ? &StringHandlers.RepeatMove<ulong> : &StringHandlers.Move<ulong>,
            Mnemonic.Stosb => repeats ? &StringHandlers.RepeatStore<byte> : &StringHandlers.Store<byte>,
            Mnemonic.Stosw => repeats ? &StringHandlers.RepeatStore<ushort> : &StringHandlers.Store<ushort>,
            Mnemonic.Stosd => repeats ? &StringHandlers.RepeatStore<uint> : &StringHandlers.Store<uint>,
            Mnemonic.Stosq => repeats ? &StringHandlers.RepeatStore<ulong> : &StringHandlers.Store<ulong>,
            Mnemonic.Lodsb => &StringHandlers.Load<byte>,
            Mnemonic.Lodsw => &StringHandlers.Load<ushort>,
            Mnemonic.Lodsd => &StringHandlers.Load<uint>,
            Mnemonic.Lodsq => &StringHandlers.Load<ulong>,
            Mnemonic.Cmpsb => &StringHandlers.Compare<byte>,
            Mnemonic.Cmpsw => &StringHandlers.Compare<ushort>,
            Mnemonic.Cmpsd when i.IsStringInstruction => &StringHandlers.Compare<uint>,
            Mnemonic.Cmpsq => &StringHandlers.Compare<ulong>,
            Mnemonic.Scasb => &StringHandlers.Scan<byte>,
            Mnemonic.Scasw => &StringHandlers.Scan<ushort>,
            Mnemonic.Scasd => &StringHandlers.Scan<uint>,
            Mnemonic.Scasq => &StringHandlers.Scan<ulong>,
            Mnemonic.Xlatb => &StringHandlers.Translate,
            _ => null,
        };
        if (handler != null)
        {
            b.Emit(handler, Operands(i));
            return true;
        }
        return Ports(b);
    }

    static bool Ports(BlockBuilder b)
    {
        Handler handler = b.Instruction.Mnemonic switch
        {
            Mnemonic.Insb => &StringHandlers.In<byte>,
            Mnemonic.Insw => &StringHandlers.In<ushort>,
            Mnemonic.Insd => &StringHandlers.In<uint>,
            Mnemonic.Outsb => &StringHandlers.Out<byte>,
            Mnemonic.Outsw => &StringHandlers.Out<ushort>,
            Mnemonic.Outsd => &StringHandlers.Out<uint>,
            _ => null,
        };
        return handler != null && IntegerLowering.EndWith(b, handler, Operands(b.Instruction));
    }

    static Uop Operands(in Instruction i) => new()
    {
        B = i.SegmentPrefix switch
        {
            Register.FS => CpuState.FsBaseOffset,
            Register.GS => CpuState.GsBaseOffset,
            _ => CpuState.ZeroOffset,
        },
        X = i.HasRepnePrefix ? (ushort)2 : i.HasRepPrefix ? (ushort)1 : (ushort)0,
        Scale = IsNarrow(i) ? (byte)1 : (byte)0,
    };

    static bool IsNarrow(in Instruction i)
    {
        for (int k = 0; k < i.OpCount; k++)
        {
            OpKind kind = i.GetOpKind(k);
            if (kind is OpKind.MemorySegESI or OpKind.MemorySegEDI or OpKind.MemoryESEDI) return true;
            if (kind == OpKind.Memory && i.MemoryBase.IsGPR32()) return true;
        }
        return false;
    }
}
