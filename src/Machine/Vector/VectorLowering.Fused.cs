using Iced.Intel;

namespace Ringdown.Machine;

static unsafe partial class VectorLowering
{
    static bool LowerFused(BlockBuilder b)
    {
        ref Instruction i = ref b.Instruction;
        if (i.Mnemonic == Mnemonic.Vcvtps2ph) return LowerToHalf(b);
        if (i.Mnemonic is < Mnemonic.Vfmadd132pd or > Mnemonic.Vfnmsub231ss || i.OpCount != 3) return false;
        if (FusedOptions(i.Mnemonic.ToString()) is not { } options) return false;
        Uop u = default;
        bool memory = Operands(b, ref u), single = i.Mnemonic.ToString()[^1] == 's';
        u.Imm = options;
        b.Emit((WidthOf(i) == Width.V256, single) switch
        {
            (true, true) => memory ? &Fma<float, MemX, Mode256>.Run : &Fma<float, RegB, Mode256>.Run,
            (true, false) => memory ? &Fma<double, MemX, Mode256>.Run : &Fma<double, RegB, Mode256>.Run,
            (false, true) => memory ? &Fma<float, MemX, Mode128>.Run : &Fma<float, RegB, Mode128>.Run,
            _ => memory ? &Fma<double, MemX, Mode128>.Run : &Fma<double, RegB, Mode128>.Run,
        }, u);
        return true;
    }

    // VF[N]M(ADD|SUB|ADDSUB|SUBADD)(132|213|231)(P|S)(S|D): the names say it all.
    static int? FusedOptions(string name)
    {
        int order = Array.IndexOf(["132", "213", "231"], name[^5..^2]), options = order;
        if (order < 0) return null;
        if (name.StartsWith("Vfnm", StringComparison.Ordinal)) options |= FmaOptions.Negates;
        string operation = name[(name[2] == 'n' ? 4 : 3)..^5];
        if (operation is "sub" or "addsub") options |= FmaOptions.SubtractsEven;
        if (operation is "addsub" or "subadd") options |= FmaOptions.Alternates;
        if (name[^2] == 's') options |= FmaOptions.Scalar;
        return options;
    }

    static bool LowerToHalf(BlockBuilder b)
    {
        ref Instruction i = ref b.Instruction;
        Uop u = default;
        u.Imm = (long)i.GetImmediate(2);
        u.S = BlockBuilder.OffsetOf(i.Op1Register);
        bool memory = i.Op0Kind == OpKind.Memory, wide = i.Op1Register.IsYMM();
        if (memory) Source(b, ref u, 0);
        else u.D = BlockBuilder.OffsetOf(i.Op0Register);
        b.Emit(wide
            ? memory ? &ToHalf<MemX, Mode256>.Run : &ToHalf<RegD, Mode256>.Run
            : memory ? &ToHalf<MemX, Mode128>.Run : &ToHalf<RegD, Mode128>.Run, u);
        return true;
    }
}
