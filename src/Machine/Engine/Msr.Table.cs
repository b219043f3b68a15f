namespace Ringdown.Machine;

/// <summary>The model-specific registers that exist; any other one is #GP.</summary>
static unsafe class Msr
{
    /// <summary>Most registers that only hold what was written.</summary>
    public const int MostStored = 40;

    public const uint Tsc = 0x10, Efer = 0xC000_0080, FsBase = 0xC000_0100, GsBase = 0xC000_0101,
        KernelGsBase = 0xC000_0102, TscAux = 0xC000_0103, Mperf = 0xE7, Aperf = 0xE8;

    /// <summary>Number, value at reset, and which bits can be written (0: writing is #GP).</summary>
    readonly record struct Stored(uint Number, ulong Initial, ulong Writable);

    static readonly Stored[] s_stored =
    [
        new(0x17, 0x0004_0000_0000_0000, 0),                // IA32_PLATFORM_ID
        new(0x1B, 0xFEE0_0900, 0xF_FFFF_FD00),              // IA32_APIC_BASE
        new(0x34, 0, 0),                                    // MSR_SMI_COUNT
        new(0x3A, 1, 0),                                    // IA32_FEATURE_CONTROL: locked, no VMX
        new(0x48, 0, 7),                                    // IA32_SPEC_CTRL
        new(0x49, 0, 1),                                    // IA32_PRED_CMD
        new(0x8B, 0x0000_00F0_0000_0000, ~0UL),             // IA32_BIOS_SIGN_ID
        new(0xCE, 0x0008_0000_0000_2400, 0),                // MSR_PLATFORM_INFO
        new(0xFE, 0x508, 0),                                // IA32_MTRRCAP: write-combining, 8 variable ranges
        new(0x10A, 0x2B, 0),                                // IA32_ARCH_CAPABILITIES
        new(0x174, 0, 0xFFFF),                              // IA32_SYSENTER_CS
        new(0x175, 0, ~0UL),                                // IA32_SYSENTER_ESP
        new(0x176, 0, ~0UL),                                // IA32_SYSENTER_EIP
        new(0x179, 0, 0),                                   // IA32_MCG_CAP: no banks
        new(0x17A, 0, 0),                                   // IA32_MCG_STATUS
        new(0x198, 0x0000_2000_0000_2400, 0),               // IA32_PERF_STATUS
        new(0x199, 0x2400, 0xFFFF),                         // IA32_PERF_CTL
        new(0x19A, 0, 0x1F),                                // IA32_CLOCK_MODULATION
        new(0x19C, 0x8837_0800, 0),                         // IA32_THERM_STATUS
        new(0x1A0, 0x0085_0089, ~0UL),                      // IA32_MISC_ENABLE
        new(0x1A2, 0x0064_0000, 0),                         // MSR_TEMPERATURE_TARGET: 100 degrees
        new(0x1B0, 6, 0xF),                                 // IA32_ENERGY_PERF_BIAS
        new(0x1B1, 0x8838_0800, 0),                         // IA32_PACKAGE_THERM_STATUS
        new(0x1D9, 0, 0xFFFF),                              // IA32_DEBUGCTL
        new(0x277, 0x0007_0406_0007_0406, ~0UL),            // IA32_PAT
        new(0x2FF, 0xC06, 0xCFF),                           // IA32_MTRR_DEF_TYPE
        new(0x38D, 0, 0xFFF),                               // IA32_FIXED_CTR_CTRL
        new(0x38F, 0, ~0UL),                                // IA32_PERF_GLOBAL_CTRL
        new(0x606, 0xA_0E03, 0),                            // MSR_RAPL_POWER_UNIT
        new(0xC000_0081, 0x0023_0010_0000_0000, ~0UL),      // IA32_STAR
        new(0xC000_0082, 0, ~0UL),                          // IA32_LSTAR
        new(0xC000_0083, 0, ~0UL),                          // IA32_CSTAR
        new(0xC000_0084, 0x4700, 0xFFFF_FFFF),              // IA32_FMASK
        new(Efer, 0xD01, 0x801),                            // IA32_EFER: SCE, LME, LMA, NXE
    ];

    public static void Reset(CpuState* s)
    {
        Invariant.Holds(s_stored.Length <= MostStored);
        for (int i = 0; i < s_stored.Length; i++) s->Msrs[i] = s_stored[i].Initial;
    }

    public static bool TryRead(CpuState* s, uint number, out ulong value)
    {
        int index = Array.FindIndex(s_stored, r => r.Number == number);
        value = number switch
        {
            Tsc or Mperf or Aperf => SystemHandlers.Tsc(s),
            FsBase => s->FsBase,
            GsBase => s->GsBase,
            KernelGsBase => s->KernelGsBase,
            TscAux => s->TscAux,
            _ => index >= 0 ? s->Msrs[index] : 0,
        };
        return index >= 0 || number is Tsc or Mperf or Aperf or FsBase or GsBase or KernelGsBase or TscAux;
    }

    public static bool TryWrite(CpuState* s, uint number, ulong value)
    {
        bool canonical = new Va(value).IsCanonical;
        switch (number)
        {
            case Tsc: s->TscOffset += value - SystemHandlers.Tsc(s); return true;
            case FsBase when canonical: s->FsBase = value; return true;
            case GsBase when canonical: s->GsBase = value; return true;
            case KernelGsBase when canonical: s->KernelGsBase = value; return true;
            case TscAux when value <= uint.MaxValue: s->TscAux = (uint)value; return true;
            case Mperf or Aperf: return true;
        }
        int index = Array.FindIndex(s_stored, r => r.Number == number);
        if (index < 0 || s_stored[index].Writable == 0) return false;
        bool isAddress = number is 0x175 or 0x176 or 0xC000_0082 or 0xC000_0083;
        ulong fixedBits = s_stored[index].Initial & ~s_stored[index].Writable;
        if ((value & ~s_stored[index].Writable) != fixedBits || (isAddress && !canonical)) return false;
        s->Msrs[index] = value;
        return true;
    }
}
