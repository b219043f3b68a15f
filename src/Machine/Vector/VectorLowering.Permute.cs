using System.Runtime.Intrinsics;
using Iced.Intel;

namespace Ringdown.Machine;

static unsafe partial class VectorLowering
{
    static bool LowerPermute(BlockBuilder b)
    {
        ref Instruction i = ref b.Instruction;
        bool wide = WidthOf(i) == Width.V256, store = i.Op0Kind == OpKind.Memory;
        switch (i.Mnemonic)
        {
            case Mnemonic.Vbroadcastss or Mnemonic.Vpbroadcastd: return Reads<Broadcast<uint>>(b);
            case Mnemonic.Vbroadcastsd or Mnemonic.Vpbroadcastq: return Reads<Broadcast<ulong>>(b);
            case Mnemonic.Vpbroadcastb: return Reads<Broadcast<byte>>(b);
            case Mnemonic.Vpbroadcastw: return Reads<Broadcast<ushort>>(b);
            case Mnemonic.Vbroadcastf128 or Mnemonic.Vbroadcasti128: return Reads<Broadcast<Vector128<byte>>>(b);
            case Mnemonic.Vinsertf128 or Mnemonic.Vinserti128: return Reads<InsertHalf>(b);
            case Mnemonic.Vextractf128 or Mnemonic.Vextracti128: return Writes<ExtractHalf>(b);
            case Mnemonic.Vperm2f128 or Mnemonic.Vperm2i128: return Reads<PermuteHalves>(b);
            case Mnemonic.Vpermq or Mnemonic.Vpermpd: return Reads<PermuteQwords>(b);
            case Mnemonic.Vpermd or Mnemonic.Vpermps: return Reads<PermuteDwords>(b);
            case Mnemonic.Vmaskmovps or Mnemonic.Vpmaskmovd when store:
                return MaskedStore(b, wide ? &Masked.Store256<uint> : &Masked.Store128<uint>);
            case Mnemonic.Vmaskmovpd or Mnemonic.Vpmaskmovq when store:
                return MaskedStore(b, wide ? &Masked.Store256<ulong> : &Masked.Store128<ulong>);
            case Mnemonic.Vmaskmovps or Mnemonic.Vpmaskmovd:
                return MaskedLoad(b, wide ? &Masked.Load256<uint> : &Masked.Load128<uint>);
            case Mnemonic.Vmaskmovpd or Mnemonic.Vpmaskmovq:
                return MaskedLoad(b, wide ? &Masked.Load256<ulong> : &Masked.Load128<ulong>);
            case Mnemonic.Vzeroupper: return Simple(b, &Masked.ZeroUpper);
            case Mnemonic.Vzeroall: return Simple(b, &Masked.ZeroAll);
            case Mnemonic.Vpgatherdd or Mnemonic.Vgatherdps: return Gathers(b, &Gather<uint, uint>.Run);
            case Mnemonic.Vpgatherdq or Mnemonic.Vgatherdpd: return Gathers(b, &Gather<ulong, uint>.Run);
            case Mnemonic.Vpgatherqd or Mnemonic.Vgatherqps: return Gathers(b, &Gather<uint, ulong>.Run);
            case Mnemonic.Vpgatherqq or Mnemonic.Vgatherqpd: return Gathers(b, &Gather<ulong, ulong>.Run);
            default: return false;
        }
    }

    static bool LowerMemoryControl(BlockBuilder b)
    {
        switch (b.Instruction.Mnemonic)
        {
            case Mnemonic.Movddup or Mnemonic.Vmovddup: return Reads<DuplicateQwords>(b);
            case Mnemonic.Ldmxcsr or Mnemonic.Vldmxcsr: return Memory(b, &Masked.LoadMxcsr);
            case Mnemonic.Stmxcsr or Mnemonic.Vstmxcsr: return Memory(b, &Masked.StoreMxcsr);
            case Mnemonic.Maskmovdqu or Mnemonic.Vmaskmovdqu: return MaskedBytes(b, &Masked.StoreBytes);
            case Mnemonic.Maskmovq: return MaskedBytes(b, &Masked.StoreBytesMmx);
            default: return false;
        }
    }

    static bool Simple(BlockBuilder b, Handler handler)
    {
        b.Emit(handler, default);
        return true;
    }

    /// <summary>An instruction with one operand, which is memory.</summary>
    static bool Memory(BlockBuilder b, Handler handler)
    {
        Uop u = default;
        Source(b, ref u, 0);
        b.Emit(handler, u);
        return true;
    }

    static bool MaskedLoad(BlockBuilder b, Handler handler)
    {
        Uop u = default;
        Operands(b, ref u);
        b.Emit(handler, u);
        return true;
    }

    static bool MaskedStore(BlockBuilder b, Handler handler)
    {
        ref Instruction i = ref b.Instruction;
        Uop u = default;
        Source(b, ref u, 0);
        u.S = BlockBuilder.OffsetOf(i.Op1Register);
        u.D = BlockBuilder.OffsetOf(i.GetOpRegister(2));
        b.Emit(handler, u);
        return true;
    }

    // Memory at RDI, or EDI, in a segment that may be overridden.
    static bool MaskedBytes(BlockBuilder b, Handler handler)
    {
        ref Instruction i = ref b.Instruction;
        Uop u = default;
        u.D = BlockBuilder.OffsetOf(i.Op1Register);
        u.S = BlockBuilder.OffsetOf(i.GetOpRegister(2));
        (u.B, u.X) = (BlockBuilder.OffsetOf(Register.RDI), CpuState.ZeroOffset);
        if (i.Op0Kind == OpKind.MemorySegEDI)
        {
            b.Emit(&MiscHandlers.ScratchAddress32, u);
            u.B = CpuState.ScratchOffset;
        }
        if (i.MemorySegment == Register.FS) u.X = CpuState.FsBaseOffset;
        if (i.MemorySegment == Register.GS) u.X = CpuState.GsBaseOffset;
        b.Emit(handler, u);
        return true;
    }

    static bool Gathers(BlockBuilder b, Handler handler)
    {
        ref Instruction i = ref b.Instruction;
        // The three registers must differ; a segment base would need another handler.
        Register d = i.Op0Register, index = i.MemoryIndex, mask = i.GetOpRegister(2);
        int dn = d.GetNumber(), xn = index.GetNumber(), mn = mask.GetNumber();
        if (dn == xn || dn == mn || xn == mn) return Simple(b, &MiscHandlers.InvalidOpcode);
        if (i.MemorySegment is Register.FS or Register.GS) return false;
        Uop u = default;
        u.D = BlockBuilder.OffsetOf(d);
        u.S = BlockBuilder.OffsetOf(mask);
        u.B = BlockBuilder.OffsetOf(i.MemoryBase);
        u.X = (ushort)(CpuState.VectorOffset + xn * 32);
        u.Scale = (byte)int.Log2(i.MemoryIndexScale);
        u.Disp = (int)(long)i.MemoryDisplacement64;
        u.Imm = d.IsYMM() || index.IsYMM() ? 32 : 16;
        if (i.MemoryBase.IsGPR32()) u.Imm |= Gather<uint, uint>.Narrow;
        b.Emit(handler, u);
        return true;
    }
}
