namespace Ringdown.Machine;

/// <summary>What CPUID tells: one fixed model, with the instructions that this processor has and no others.</summary>
static unsafe class Cpuid
{
    readonly record struct Leaf(uint Eax, uint Ebx, uint Ecx, uint Edx);

    const uint MaxLeaf = 0x16, MaxExtended = 0x8000_0008;

    // SSE3 MONITOR SSSE3 CX16 SSE4.1 SSE4.2 MOVBE POPCNT XSAVE AVX RDRAND
    const uint Features1C = 1 << 0 | 1 << 3 | 1 << 9 | 1 << 13 | 1 << 19 | 1 << 20 | 1 << 22 | 1 << 23 | 1 << 26 | 1 << 28 | 1 << 30;

    // FPU VME DE PSE TSC MSR PAE MCE CX8 APIC SEP MTRR PGE MCA CMOV PAT PSE36 CLFSH MMX FXSR SSE SSE2
    const uint Features1D = 0x0FFF_FBFF & ~(1u << 10 | 1u << 18 | 1u << 20 | 1u << 21 | 1u << 22 | 1u << 27);

    // FSGSBASE BMI1 AVX2 SMEP BMI2 ERMS RDSEED ADX CLFLUSHOPT CLWB
    const uint Features7B =
        1 << 0 | 1 << 3 | 1 << 5 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 18 | 1 << 19 | 1 << 23 | 1 << 24;

    // LAHF LZCNT PREFETCHW; SYSCALL NX 1G RDTSCP LM
    const uint ExtendedC = 1 << 0 | 1 << 5 | 1 << 8, ExtendedD = 1 << 11 | 1 << 20 | 1 << 26 | 1 << 27 | 1 << 29;

    public static void Execute(CpuState* s)
    {
        uint leaf = (uint)s->Gpr[0], sub = (uint)s->Gpr[1];
        // Beyond the last leaf, the answer is that of the last basic one.
        if (leaf is > MaxLeaf and < 0x8000_0000 or > MaxExtended) leaf = MaxLeaf;
        Leaf answer = leaf < 0x8000_0000 ? Basic(s, leaf, sub) : Extended(leaf);
        (s->Gpr[0], s->Gpr[3], s->Gpr[1], s->Gpr[2]) = (answer.Eax, answer.Ebx, answer.Ecx, answer.Edx);
    }

    static Leaf Basic(CpuState* s, uint leaf, uint sub)
    {
        uint number = (uint)s->Number, osXsave = (uint)(s->Cr4 >> 18 & 1) << 27;
        return (leaf, sub) switch
        {
            (0, _) => new(MaxLeaf, 0x756E_6547, 0x6C65_746E, 0x4965_6E69),
            (1, _) => new(0x000906EA, number << 24 | 0x10_0800, Features1C | osXsave, Features1D),
            (2, _) => new(0x7603_6301, 0x00F0_B5FF, 0, 0x00C3_0000),
            (4, 0) => new(0x1C00_4121, 0x01C0_003F, 0x3F, 0),
            (4, 1) => new(0x1C00_4122, 0x01C0_003F, 0x3F, 0),
            (4, 2) => new(0x1C00_4143, 0x00C0_003F, 0x3FF, 0),
            (4, 3) => new(0x1C03_C163, 0x02C0_003F, 0x2FFF, 6),
            (5, _) => new(0x40, 0x40, 3, 0x20),
            (6, _) => new(4, 2, 9, 0),
            // RDPID
            (7, 0) => new(0, Features7B, 1 << 22, 0),
            (0xA, _) => new(0x0730_0404, 0, 0, 0x603),
            (0xB, 0) => new(0, 1, 0x100, number),
            (0xB, 1) => new(4, 16, 0x201, number),
            (0xB, _) => new(0, 0, sub & 0xFF, number),
            (0xD, 0) => new(7, (s->Xcr0 & 4) != 0 ? 832u : 576, 832, 0),
            (0xD, 2) => new(256, 576, 0, 0),
            (0x15, _) => new(2, 300, 24_000_000, 0),
            (0x16, _) => new(3600, 3600, 100, 0),
            _ => default,
        };
    }

    static Leaf Extended(uint leaf) => leaf switch
    {
        0x8000_0000 => new(MaxExtended, 0, 0, 0),
        0x8000_0001 => new(0, 0, ExtendedC, ExtendedD),
        // Intel(R) Core(TM) i7-8700K CPU @ 3.70GHz
        0x8000_0002 => new(0x6574_6E49, 0x2952_286C, 0x726F_4320, 0x4D54_2865),
        0x8000_0003 => new(0x3769_2029, 0x3037_382D, 0x4320_4B30, 0x4020_5550),
        0x8000_0004 => new(0x372E_3320, 0x7A48_4730, 0, 0),
        0x8000_0006 => new(0, 0, 0x0100_6040, 0),
        0x8000_0007 => new(0, 0, 0, 0x100),
        0x8000_0008 => new(0x3027, 0, 0, 0),
        _ => default,
    };
}
