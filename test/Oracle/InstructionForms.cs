using Iced.Intel;

namespace Ringdown.Tests;

/// <summary>Which instruction forms (Iced's <see cref="Code"/>) the oracle can judge.</summary>
static class InstructionForms
{
    static readonly HashSet<CpuidFeature> s_features =
    [
        CpuidFeature.INTEL8086, CpuidFeature.INTEL186, CpuidFeature.INTEL286, CpuidFeature.INTEL386,
        CpuidFeature.INTEL486, CpuidFeature.X64, CpuidFeature.CMOV, CpuidFeature.CX8, CpuidFeature.CMPXCHG16B,
        CpuidFeature.FPU, CpuidFeature.FPU287, CpuidFeature.FPU387, CpuidFeature.MMX, CpuidFeature.SSE,
        CpuidFeature.SSE2, CpuidFeature.SSE3, CpuidFeature.SSSE3, CpuidFeature.SSE4_1, CpuidFeature.SSE4_2,
        CpuidFeature.AES, CpuidFeature.PCLMULQDQ, CpuidFeature.POPCNT, CpuidFeature.LZCNT, CpuidFeature.MOVBE,
        CpuidFeature.ADX, CpuidFeature.BMI1, CpuidFeature.BMI2, CpuidFeature.F16C, CpuidFeature.FMA,
        CpuidFeature.AVX, CpuidFeature.AVX2, CpuidFeature.FXSR, CpuidFeature.XSAVE, CpuidFeature.PREFETCHW,
        CpuidFeature.CLFSH, CpuidFeature.PAUSE, CpuidFeature.MULTIBYTENOP, CpuidFeature.SHA,
    ];

    static readonly HashSet<Mnemonic> s_hostOnly =
    [
        // They show the host, its operating system or the hour, or need a segment that we cannot set.
        Mnemonic.Cpuid, Mnemonic.Xgetbv, Mnemonic.Rdtsc, Mnemonic.Sgdt, Mnemonic.Sidt, Mnemonic.Sldt, Mnemonic.Str,
        Mnemonic.Smsw, Mnemonic.Lar, Mnemonic.Lsl, Mnemonic.Verr, Mnemonic.Verw, Mnemonic.Lss, Mnemonic.Lfs,
        Mnemonic.Lgs, Mnemonic.Xsetbv, Mnemonic.Enter, Mnemonic.Int, Mnemonic.Int1, Mnemonic.Int3,
        // AMD and Intel differ on these, or they never had a meaning.
        Mnemonic.Sysenter, Mnemonic.Sysexit, Mnemonic.Syscall, Mnemonic.Sysret, Mnemonic.Ud0, Mnemonic.Ud1,
    ];

    /// <summary>
    /// All forms that a kernel driver may meet on a processor without AVX-512, and that can run in user mode.
    /// </summary>
    public static readonly Code[] All = [.. Enum.GetValues<Code>().Where(code => WhyNot(code) is null)];

    /// <summary>Why the oracle cannot judge a form, or null.</summary>
    public static string? WhyNot(Code code)
    {
        OpCodeInfo info = code.ToOpCode();
        if (!info.IsInstruction || !info.Mode64 || info.Fwait) return "not an instruction of 64-bit mode";
        if (info.Encoding is not (EncodingKind.Legacy or EncodingKind.VEX)) return "its encoding is out of scope";
        if (!code.CpuidFeatures().All(s_features.Contains)) return "its extension is out of scope";
        if (info.IsPrivileged || info.MustBeCpl0 || info.IsInputOutput) return "privileged";
        if (code is Code.Reservednop_rm16_r16_0F0D or Code.Reservednop_rm32_r32_0F0D or Code.Reservednop_rm64_r64_0F0D)
            return "no instruction on AMD";
        if (s_hostOnly.Contains(info.Mnemonic)) return "shows the host";
        if (HasSegment(info)) return "segment register";
        return IsFarOr16(code, info) ? "a branch that cannot land" : null;
    }

    static bool HasSegment(OpCodeInfo info)
    {
        for (int i = 0; i < info.OpCount; i++)
            if (info.GetOpKind(i) is OpCodeOperandKind.seg_reg or OpCodeOperandKind.es or OpCodeOperandKind.cs
                or OpCodeOperandKind.ss or OpCodeOperandKind.ds or OpCodeOperandKind.fs or OpCodeOperandKind.gs)
                return true;
        return false;
    }

    static bool IsFarOr16(Code code, OpCodeInfo info)
    {
        if (code.FlowControl() == FlowControl.Next || info.Mnemonic == Mnemonic.Ud2) return false;
        string name = code.ToString();
        return name.StartsWith("Ret", StringComparison.Ordinal) && !name.StartsWith("Retnq", StringComparison.Ordinal)
            || name.StartsWith("Iret", StringComparison.Ordinal) || name.Contains("_m16", StringComparison.Ordinal)
            || name.Contains("rel16", StringComparison.Ordinal) || name.Contains("rel8_16", StringComparison.Ordinal)
            || name.Contains("rm16", StringComparison.Ordinal);
    }
}
