using Iced.Intel;
using Ringdown.Machine;

namespace Ringdown.Tests;

/// <summary>
/// Sees to it that an instruction touches only the oracle's memory: patches it once, and its registers each run.
/// </summary>
sealed unsafe class AddressMaker(Chance chance, HostProcessor host)
{
    const int MaxTouched = 0x400;

    static readonly ulong[] s_wild = [0x8000_0000_0000_0000, 0x0000_8000_0000_0000, 0xFFFF_7FFF_FFFF_FFF8];

    ulong Landing => (ulong)host.Slot + HostProcessor.LandingOffset + (ulong)(uint)chance.Next(0x50);

    /// <summary>Writes displacements that must be fixed addresses. False: this instruction cannot be tamed.</summary>
    public bool Tame(ref Instruction instruction, byte[] bytes)
    {
        ConstantOffsets at = Decode(bytes, out instruction);
        if (instruction.SegmentPrefix is Register.FS or Register.GS) return false;
        if (WritesStackPointer(instruction)) return false;
        // Intel's manual says PAUSE; the processor exchanges R8 and RAX.
        if (instruction.Code == Code.Pause && bytes.Length > 2) return false;
        if (instruction.FlowControl != FlowControl.Next && HasOperandPrefix(bytes)) return false;
        if (instruction.Mnemonic == Mnemonic.Ret && at.HasImmediate)
            Put(bytes, at.ImmediateOffset, 2, (ulong)(uint)chance.Next(16) * 8);
        if (IsRelativeBranch(instruction))
            Put(bytes, at.ImmediateOffset, at.ImmediateSize, Landing - (ulong)host.Slot - (ulong)bytes.Length);
        else if (HasMemory(instruction) && !TameMemory(instruction, bytes, at)) return false;
        if (at.HasImmediate && at.ImmediateSize == 1 && chance.OneIn(2) && !IsRelativeBranch(instruction))
            bytes[at.ImmediateOffset] &= 0x1F;
        Code before = instruction.Code;
        Decode(bytes, out instruction);
        return instruction.Code == before;
    }

    ConstantOffsets Decode(byte[] bytes, out Instruction instruction)
    {
        var decoder = Decoder.Create(64, new ByteArrayCodeReader(bytes), (ulong)host.Slot);
        decoder.Decode(out instruction);
        return decoder.GetConstantOffsets(instruction);
    }

    static bool IsRelativeBranch(in Instruction i) => i.Op0Kind is OpKind.NearBranch64 or OpKind.NearBranch32;

    // AMD cuts the target of such a branch to 16 bits, Intel does not.
    static bool HasOperandPrefix(byte[] bytes)
    {
        int i = 0;
        while (bytes[i] is 0x66 or 0x67 or 0xF2 or 0xF3 or 0x2E or 0x36 or 0x3E or 0x26 or 0xF0
            or (>= 0x40 and <= 0x4F))
            if (bytes[i++] == 0x66) return true;
        return false;
    }

    static bool WritesStackPointer(in Instruction i)
    {
        if (i.Mnemonic == Mnemonic.Leave) return true;
        // Pop and exchange forms that name RSP; the implied push and pop are fine.
        for (int n = 0; n < i.OpCount; n++)
            if (i.GetOpKind(n) == OpKind.Register && i.GetOpRegister(n).GetFullRegister() == Register.RSP) return true;
        return i.MemoryIndex == Register.RSP;
    }

    static bool HasMemory(in Instruction i)
    {
        for (int n = 0; n < i.OpCount; n++) if (i.GetOpKind(n) == OpKind.Memory) return true;
        return false;
    }

    bool TameMemory(in Instruction i, byte[] bytes, ConstantOffsets at)
    {
        Register b = i.MemoryBase.GetFullRegister(), x = i.MemoryIndex.GetFullRegister();
        if (IsBitString(i) && i.Op1Register.GetFullRegister() is var bit && (bit == b || bit == x)) return false;
        if (i.IsIPRelativeMemoryOperand)
        {
            if (i.MemoryBase == Register.EIP) return false;
            Put(bytes, at.DisplacementOffset, 4, Target() - (ulong)host.Slot - (ulong)bytes.Length);
        }
        else if (b == Register.None)
            Put(bytes, at.DisplacementOffset, at.DisplacementSize, x == Register.None ? Target() : Target() & ~0xFUL);
        else if (b == Register.RSP && at.DisplacementSize == 4)
            Put(bytes, at.DisplacementOffset, 4, (ulong)(chance.Next(0x100) - 0x40));
        else if (b == x && at.DisplacementSize == 4) Put(bytes, at.DisplacementOffset, 4, Target());
        return true;
    }

    /// <summary>Sets the registers that form addresses, counts and landing places. RSP is always set.</summary>
    public void Aim(in Instruction i, OracleState* s)
    {
        s->Gpr[4] = (ulong)host.Stack + HostProcessor.StackPointerOffset;
        if (IsBitString(i)) SetBitOffset(i, s);
        for (int n = 0; n < i.OpCount; n++)
            switch (i.GetOpKind(n))
            {
                case OpKind.MemorySegESI or OpKind.MemorySegRSI: s->Gpr[6] = Target(i, s); break;
                case OpKind.MemorySegEDI or OpKind.MemorySegRDI or OpKind.MemoryESEDI or OpKind.MemoryESRDI:
                    s->Gpr[7] = Target(i, s);
                    break;
                case OpKind.Memory: AimMemory(i, s); break;
                default: break;
            }
        if (i.IsStringInstruction && (i.HasRepPrefix || i.HasRepnePrefix))
            s->Gpr[1] = s->Gpr[1] & 0xFFFF_FFFF_0000_0000 & Upper(i) | (uint)chance.Next(24);
        AimBranch(i, s);
        AimControl(i, s);
    }

    // With 32-bit addresses the upper halves of the registers must not matter.
    ulong Upper(in Instruction i) => UsesEcx(i) ? ulong.MaxValue : 0;

    static bool UsesEcx(in Instruction i)
    {
        for (int n = 0; n < i.OpCount; n++)
            if (i.GetOpKind(n) is OpKind.MemorySegESI or OpKind.MemoryESEDI or OpKind.MemorySegEDI) return true;
        return false;
    }

    // AMD knows a bit of MXCSR that Intel does not.
    void AimControl(in Instruction i, OracleState* s)
    {
        if (i.Mnemonic is Mnemonic.Xsave or Mnemonic.Xsave64 or Mnemonic.Xrstor or Mnemonic.Xrstor64) AimImage(i, s);
        if (i.Mnemonic is not (Mnemonic.Ldmxcsr or Mnemonic.Vldmxcsr or Mnemonic.Fxrstor or Mnemonic.Fxrstor64)) return;
        uint offset = i.Mnemonic is Mnemonic.Ldmxcsr or Mnemonic.Vldmxcsr ? 0u : 24;
        ulong at = offset + i.GetVirtualAddress(0, 0, (r, _, _) => Get(s, r));
        if (InWritable(at)) *(uint*)at &= chance.OneIn(8) ? ~0x2_0000u : 0xFFFF;
    }

    // The host has more components than the engine; XRSTOR wants a header that makes sense, most of the time.
    void AimImage(in Instruction i, OracleState* s)
    {
        s->Gpr[0] &= 0xFFFF_FFFF_0000_0007;
        s->Gpr[2] &= 0xFFFF_FFFF_0000_0000;
        ulong at = i.GetVirtualAddress(0, 0, (r, _, _) => Get(s, r));
        if (!InWritable(at) || !InWritable(at + 576)) return;
        *(uint*)(at + 24) &= 0xFFFF;
        new Span<byte>((byte*)at + 512, 64).Clear();
        *(ulong*)(at + 512) = (ulong)(uint)chance.Next(8);
        if (chance.OneIn(8)) *(ulong*)(at + 520) = 1;
    }

    void AimBranch(in Instruction i, OracleState* s)
    {
        ulong* top = (ulong*)s->Gpr[4];
        if (i.Mnemonic == Mnemonic.Ret) *top = Landing;
        if (i.Mnemonic is Mnemonic.Popf or Mnemonic.Popfd or Mnemonic.Popfq) *top = *top & 0xCD5 | 0x202;
        if (i.FlowControl is not (FlowControl.IndirectBranch or FlowControl.IndirectCall)) return;
        if (i.Op0Kind == OpKind.Register) Set(s, i.Op0Register, Landing, false);
        else if (i.GetVirtualAddress(0, 0, (r, _, _) => Get(s, r)) is var ea && InWritable(ea)) *(ulong*)ea = Landing;
    }

    bool InWritable(ulong address) =>
        address >= (ulong)host.Data && address <= (ulong)host.Data + HostProcessor.WritableBytes - 8
        || address >= (ulong)host.Stack && address <= (ulong)host.Stack + 0xFF8;

    void AimMemory(in Instruction i, OracleState* s)
    {
        Register b = i.MemoryBase, x = i.MemoryIndex;
        bool narrow = b.GetSize() == 4 || b == Register.None && x.GetSize() == 4;
        if (x.IsVectorRegister()) AimVector(i, s);
        ulong index = 0;
        if (x.IsGPR() && x.GetFullRegister() != b.GetFullRegister())
        {
            // XLAT's index is a byte that is part of RAX; any value of it will do.
            if (x == Register.AL) index = s->Gpr[0] & 0xFF;
            else Set(s, x, index = (ulong)(long)(chance.Next(64) - (b == Register.RSP ? 4 : 32)), narrow);
        }
        if (b == Register.None || b.GetFullRegister() == Register.RSP || i.IsIPRelativeMemoryOperand) return;
        ulong target = Target(i, s);
        if (x.GetFullRegister() == b.GetFullRegister())
        {
            bool fixedByDisplacement = i.MemoryDisplSize >= 4;
            ulong each = (ulong)(uint)(1 + i.MemoryIndexScale);
            target = (ulong)host.Data + (ulong)(uint)chance.Next(0x1000);
            Set(s, b, fixedByDisplacement
                ? (ulong)(uint)chance.Next(64) : (target - i.MemoryDisplacement64) / each, narrow);
            return;
        }
        Set(s, b, target - i.MemoryDisplacement64 - index * (ulong)i.MemoryIndexScale, narrow);
    }

    void AimVector(in Instruction i, OracleState* s)
    {
        int n = i.MemoryIndex.GetNumber();
        bool wide = i.MemorySize is MemorySize.Int64 or MemorySize.Float64 && i.Mnemonic is Mnemonic.Vgatherqpd
            or Mnemonic.Vgatherqps or Mnemonic.Vpgatherqd or Mnemonic.Vpgatherqq || i.Mnemonic is Mnemonic.Vgatherqps
            or Mnemonic.Vpgatherqd;
        foreach (nint half in new[] { (nint)OracleState.Low(s, n), (nint)OracleState.High(s, n) })
            for (int e = 0; e < (wide ? 2 : 4); e++)
                if (wide) ((long*)half)[e] = chance.Next(64) - 16;
                else ((int*)half)[e] = chance.Next(64) - 16;
    }

    static bool IsMasked(in Instruction i) => i.MemoryIndex.IsVectorRegister() || i.Mnemonic is Mnemonic.Vmaskmovps
        or Mnemonic.Vmaskmovpd or Mnemonic.Vpmaskmovd or Mnemonic.Vpmaskmovq;

    static bool IsBitString(in Instruction i) =>
        i.Mnemonic is Mnemonic.Bt or Mnemonic.Bts or Mnemonic.Btr or Mnemonic.Btc
        && i.Op0Kind == OpKind.Memory && i.Op1Kind == OpKind.Register;

    void SetBitOffset(in Instruction i, OracleState* s) =>
        Set(s, i.Op1Register, (ulong)(long)(chance.Next(2048) - 1024), i.Op1Register.GetSize() == 4);

    ulong Target(in Instruction i, OracleState* s) =>
        // With RBP as the base it is #SS, which the engine does not tell from #GP. From the first hole's end on the
        // elements of a masked access reach the host's kernel, whose pages are there.
        chance.OneIn(64) && !IsBitString(i) && !IsMasked(i)
            && i.MemoryBase.GetFullRegister() != Register.RBP ? s_wild[chance.Next(s_wild.Length)] : Target();

    ulong Target()
    {
        ulong data = (ulong)host.Data, end = data + HostProcessor.WritableBytes;
        return chance.Next(32) switch
        {
            0 => end - (ulong)(uint)chance.Next(32),
            1 => end + (ulong)(uint)chance.Next(0x800),
            2 => end + 0x1000 - (ulong)(uint)chance.Next(40),
            3 => data - (ulong)(uint)chance.Next(40),
            4 or 5 => data + 0x1000 - (ulong)(uint)chance.Next(40),
            < 12 => data + 0x100 + (ulong)(uint)chance.Next(HostProcessor.WritableBytes - MaxTouched - 0x100),
            _ => data + 0x100 + ((ulong)(uint)chance.Next(HostProcessor.WritableBytes - MaxTouched - 0x100) & ~63UL),
        };
    }

    static void Set(OracleState* s, Register register, ulong value, bool narrow)
    {
        ref ulong r = ref s->Gpr[register.GetFullRegister() - Register.RAX];
        if (narrow) r = r & 0xFFFF_FFFF_0000_0000 | (uint)value;
        else r = register.GetSize() == 2 ? r & ~0xFFFFUL | (ushort)value : value;
    }

    static ulong Get(OracleState* s, Register register) =>
        !register.IsGPR() ? 0
        : register.GetSize() == 4 ? (uint)s->Gpr[register.GetFullRegister() - Register.RAX]
        : s->Gpr[register.GetFullRegister() - Register.RAX];

    static void Put(byte[] bytes, int at, int size, ulong value)
    {
        for (int i = 0; i < size; i++) bytes[at + i] = (byte)(value >> (8 * i));
    }
}
