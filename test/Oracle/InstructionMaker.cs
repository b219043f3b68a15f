using Iced.Intel;
using Ringdown.Machine;

namespace Ringdown.Tests;

/// <summary>Makes machine code of a given form: everything that the form leaves open is left to chance.</summary>
sealed class InstructionMaker(Chance chance)
{
    const int Tries = 60;

    readonly byte[] _bytes = new byte[24];
    int _length;

    /// <summary>An instruction of this form, or false if chance did not find one.</summary>
    public bool TryMake(Code code, ulong rip, out Instruction instruction, out byte[] bytes)
    {
        OpCodeInfo info = code.ToOpCode();
        for (int i = 0; i < Tries; i++)
        {
            Build(info);
            if (Decode(rip, out instruction, out bytes) && instruction.Code == code) return true;
        }
        (instruction, bytes) = (default, []);
        return false;
    }

    /// <summary>Random bytes that happen to be an instruction in scope.</summary>
    public bool TryMakeRandom(ulong rip, out Instruction instruction, out byte[] bytes)
    {
        chance.Fill(_bytes);
        int at = 0;
        if (chance.OneIn(8)) _bytes[at++] = 0x66;
        if (chance.OneIn(2)) _bytes[at++] = (byte)(0x40 | chance.Next(16));
        if (chance.OneIn(3)) _bytes[at] = 0x0F;
        return Decode(rip, out instruction, out bytes) && InstructionForms.WhyNot(instruction.Code) is null;
    }

    bool Decode(ulong rip, out Instruction instruction, out byte[] bytes)
    {
        var decoder = Decoder.Create(64, new ByteArrayCodeReader(_bytes, 0, 15), rip);
        decoder.Decode(out instruction);
        bytes = _bytes[..instruction.Length];
        return !instruction.IsInvalid;
    }

    void Build(OpCodeInfo info)
    {
        _length = 0;
        chance.Fill(_bytes);
        if (info.AddressSize == 32 || info.AddressSize == 0 && chance.OneIn(16)) Add(0x67);
        if (info.Encoding == EncodingKind.VEX) AddVex(info);
        else AddLegacy(info);
        int opcode = (int)info.OpCode;
        if (TakesRegister(info)) opcode += chance.Next(8);
        if (info.OpCodeLength == 2) Add(opcode >> 8);
        Add(opcode);
        byte modrm = _bytes[_length];
        if (info.IsGroup) modrm = (byte)(modrm & 0xC7 | info.GroupIndex << 3);
        if (info.IsRmGroup) modrm = (byte)(modrm & 0xF8 | info.RmGroupIndex);
        _bytes[_length] = modrm;
    }

    void AddLegacy(OpCodeInfo info)
    {
        if (info.CanUseLockPrefix && chance.OneIn(8)) Add(0xF0);
        if ((info.CanUseRepPrefix || info.CanUseRepnePrefix) && chance.OneIn(2)) Add(chance.OneIn(2) ? 0xF3 : 0xF2);
        if (info.OperandSize == 16 || info.MandatoryPrefix == MandatoryPrefix.P66 || MayHave66(info)) Add(0x66);
        if (info.MandatoryPrefix == MandatoryPrefix.PF3) Add(0xF3);
        if (info.MandatoryPrefix == MandatoryPrefix.PF2) Add(0xF2);
        bool wide = info.OperandSize == 64 || info.W == 1;
        if (wide || chance.OneIn(2)) Add(0x40 | chance.Next(8) | (wide || chance.OneIn(8) ? 8 : 0));
        if (info.Table == OpCodeTableKind.T0F) Add(0x0F);
        if (info.Table is OpCodeTableKind.T0F38 or OpCodeTableKind.T0F3A)
        {
            Add(0x0F);
            Add(info.Table == OpCodeTableKind.T0F38 ? 0x38 : 0x3A);
        }
    }

    // A superfluous operand size prefix must change nothing.
    bool MayHave66(OpCodeInfo info) =>
        info.MandatoryPrefix == MandatoryPrefix.None && info.Table == OpCodeTableKind.Normal && chance.OneIn(24);

    void AddVex(OpCodeInfo info)
    {
        int map = info.Table switch { OpCodeTableKind.T0F => 1, OpCodeTableKind.T0F38 => 2, _ => 3 };
        int prefix = info.MandatoryPrefix switch
        {
            MandatoryPrefix.P66 => 1,
            MandatoryPrefix.PF3 => 2,
            MandatoryPrefix.PF2 => 3,
            _ => 0,
        };
        int w = info.IsWIG ? chance.Next(2) : (int)info.W, l = info.IsLIG ? chance.Next(2) : (int)info.L;
        int vvvv = UsesVvvv(info) ? chance.Next(16) : 15;
        if (map == 1 && w == 0 && chance.OneIn(2))
        {
            Add(0xC5);
            Add(chance.Next(2) << 7 | vvvv << 3 | l << 2 | prefix);
            return;
        }
        Add(0xC4);
        Add(chance.Next(8) << 5 | map);
        Add(w << 7 | vvvv << 3 | l << 2 | prefix);
    }

    static bool UsesVvvv(OpCodeInfo info)
    {
        for (int i = 0; i < info.OpCount; i++)
            if (info.GetOpKind(i) is OpCodeOperandKind.xmm_vvvv or OpCodeOperandKind.ymm_vvvv
                or OpCodeOperandKind.r32_vvvv or OpCodeOperandKind.r64_vvvv) return true;
        return false;
    }

    static bool TakesRegister(OpCodeInfo info)
    {
        for (int i = 0; i < info.OpCount; i++)
            if (info.GetOpKind(i) is OpCodeOperandKind.r8_opcode or OpCodeOperandKind.r16_opcode
                or OpCodeOperandKind.r32_opcode or OpCodeOperandKind.r64_opcode or OpCodeOperandKind.sti_opcode)
                return true;
        return false;
    }

    void Add(int value) => _bytes[_length++] = (byte)value;
}
