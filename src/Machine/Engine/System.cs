using System.Runtime.CompilerServices;

namespace Ringdown.Machine;

/// <summary>Control registers, flags, time, chance, ports and model-specific registers.</summary>
/// <remarks>Those that end their block find their length in <see cref="Uop.Imm"/>.</remarks>
static unsafe class SystemHandlers
{
    /// <summary>MOV CR8, the way in which NT raises and lowers IRQL. Both are the owner's to see.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* WriteCr8(Uop* op, CpuState* s)
    {
        ulong value = *(ulong*)((byte*)s + op->S), old = s->Cr8;
        if (value > 15) return Fault.Raise(op, s, Fault.GeneralProtection);
        s->Cr8 = value;
        // Raised or lowered: something may be out of reach now, or due.
        return value != old ? MiscHandlers.Poll(op, s) : op + 1;
    }

    /// <summary>MOV CRn; n is in <see cref="Uop.X"/>.</summary>
    public static Uop* WriteControl(Uop* op, CpuState* s)
    {
        const ulong Paging = 1UL << 31, Protected = 1, NotWriteThrough = 1UL << 29, CacheDisable = 1UL << 30;
        ulong value = *(ulong*)((byte*)s + op->S);
        bool valid = true;
        switch (op->X)
        {
            case 0:
                valid = (value & (Paging | Protected)) == (Paging | Protected) && value >> 32 == 0
                    && (value & (NotWriteThrough | CacheDisable)) != NotWriteThrough;
                if (valid) s->Cr0 = value | 0x10;
                break;
            case 2: s->Cr2 = value; break;
            case 3: s->Cr3 = value & ~(1UL << 63); break;
            default:
                valid = value >> 25 == 0 && (value & 0x20) != 0;
                if (valid) s->Cr4 = value;
                break;
        }
        return valid ? op + 1 : Fault.Raise(op, s, Fault.GeneralProtection);
    }

    public static Uop* ReadControl(Uop* op, CpuState* s)
    {
        *(ulong*)((byte*)s + op->D) = op->X switch
        {
            0 => s->Cr0,
            2 => s->Cr2,
            3 => s->Cr3,
            4 => s->Cr4,
            _ => s->Cr8,
        };
        return op + 1;
    }

    /// <summary>MOV DRn. With CR4.DE clear, DR4 and DR5 are DR6 and DR7.</summary>
    public static Uop* WriteDebug(Uop* op, CpuState* s)
    {
        int n = DebugRegister(op, s);
        ulong value = *(ulong*)((byte*)s + op->S);
        if (n < 0) return Fault.Raise(op, s, Fault.InvalidOpcode);
        if (n >= 6 && value >> 32 != 0) return Fault.Raise(op, s, Fault.GeneralProtection);
        s->Dr[n] = n switch
        {
            6 => (value & 0x1_E00F) | 0xFFFE_0FF0,
            7 => (value & 0xFFFF_2FFF) | 0x400,
            _ => value,
        };
        return op + 1;
    }

    public static Uop* ReadDebug(Uop* op, CpuState* s)
    {
        int n = DebugRegister(op, s);
        if (n < 0) return Fault.Raise(op, s, Fault.InvalidOpcode);
        *(ulong*)((byte*)s + op->D) = s->Dr[n];
        return op + 1;
    }

    static int DebugRegister(Uop* op, CpuState* s)
    {
        if (op->X is not (4 or 5)) return op->X;
        return (s->Cr4 & 8) != 0 ? -1 : op->X + 2;
    }

    /// <summary>LMSW: the low four bits of CR0, of which PE cannot be cleared.</summary>
    public static Uop* LoadMachineStatus<TPlace>(Uop* op, CpuState* s) where TPlace : IPlace
    {
        byte* p = TPlace.Read(op, s, 2);
        if (p == null) return Fault.At(op, s);
        s->Cr0 = (s->Cr0 & ~0xEUL) | (*p & 0xFUL);
        return op + 1;
    }

    public static Uop* ClearTaskSwitched(Uop* op, CpuState* s)
    {
        s->Cr0 &= ~8UL;
        return op + 1;
    }

    public static Uop* Cli(Uop* op, CpuState* s)
    {
        s->SystemFlags &= ~Flags.IF;
        return op + 1;
    }

    public static Uop* Sti(Uop* op, CpuState* s)
    {
        bool was = (s->SystemFlags & Flags.IF) != 0;
        s->SystemFlags |= Flags.IF;
        return was ? op + 1 : MiscHandlers.Poll(op, s);
    }

    /// <summary>STAC and CLAC.</summary>
    public static Uop* SetAlignmentCheck(Uop* op, CpuState* s)
    {
        s->SystemFlags = op->D != 0 ? s->SystemFlags | Flags.AC : s->SystemFlags & ~Flags.AC;
        return op + 1;
    }

    /// <summary>IRETQ from kernel mode to kernel mode. To another ring it is not supported.</summary>
    public static Uop* InterruptReturn(Uop* op, CpuState* s)
    {
        byte* p = Probe.Read(s, s->Gpr[4], 40);
        if (p == null) return Fault.At(op, s);
        ulong* frame = (ulong*)p;
        if ((frame[1] & 3) != 0) return MiscHandlers.Unsupported(op, s);
        if (!new Va(frame[0]).IsCanonical) return Fault.NonCanonical(op, s, frame[0]);
        bool was = (s->SystemFlags & Flags.IF) != 0;
        s->Segment[1] = (ushort)frame[1];
        s->Segment[2] = (ushort)frame[4];
        s->Rflags = frame[2] & ~(ulong)Flags.RF;
        s->Gpr[4] = frame[3];
        s->Rip = frame[0];
        s->Pending = null;
        bool poll = (!was && (s->SystemFlags & Flags.IF) != 0) || (s->SystemFlags & Flags.TF) != 0;
        s->Exit = poll ? Exit.Poll : Exit.Lookup;
        return null;
    }

    /// <summary>The time-stamp counter: every instruction takes one tick.</summary>
    public static ulong Tsc(CpuState* s) => s->TscOffset + s->Retired + (ulong)(s->BudgetAtStart - s->Budget);

    static void SetPair(CpuState* s, ulong value)
    {
        s->Gpr[0] = (uint)value;
        s->Gpr[2] = value >> 32;
    }

    public static Uop* ReadTsc(Uop* op, CpuState* s)
    {
        SetPair(s, Tsc(s));
        return op + 1;
    }

    public static Uop* ReadTscAux(Uop* op, CpuState* s)
    {
        SetPair(s, Tsc(s));
        s->Gpr[1] = s->TscAux;
        return op + 1;
    }

    public static Uop* ReadProcessorId(Uop* op, CpuState* s)
    {
        *(ulong*)((byte*)s + op->D) = s->TscAux;
        return op + 1;
    }

    public static Uop* ReadPerformance(Uop* op, CpuState* s)
    {
        uint counter = (uint)s->Gpr[1];
        if ((counter & 0xBFFF_FFFF) >= 4) return Fault.Raise(op, s, Fault.GeneralProtection);
        SetPair(s, Tsc(s) - s->TscOffset);
        return op + 1;
    }

    public static Uop* ReadMsr(Uop* op, CpuState* s)
    {
        if (!Msr.TryRead(s, (uint)s->Gpr[1], out ulong value)) return Fault.Raise(op, s, Fault.GeneralProtection);
        SetPair(s, value);
        return op + 1;
    }

    public static Uop* WriteMsr(Uop* op, CpuState* s)
    {
        ulong value = (uint)s->Gpr[0] | (s->Gpr[2] << 32);
        return Msr.TryWrite(s, (uint)s->Gpr[1], value) ? op + 1 : Fault.Raise(op, s, Fault.GeneralProtection);
    }

    public static Uop* Identify(Uop* op, CpuState* s)
    {
        Cpuid.Execute(s);
        return op + 1;
    }

    /// <summary>RDRAND and RDSEED: SplitMix64 over the state's seed. They never fail.</summary>
    public static Uop* Random<T>(Uop* op, CpuState* s) where T : unmanaged
    {
        ulong z = s->RandomState += 0x9E37_79B9_7F4A_7C15;
        z = (z ^ (z >> 30)) * 0xBF58_476D_1CE4_E5B9;
        z = (z ^ (z >> 27)) * 0x94D0_49BB_1331_11EB;
        Width.StoreRegister<T>((byte*)s + op->D, z ^ (z >> 31));
        Width.SetFlags(s, Flags.CF);
        return op + 1;
    }

    public static Uop* GetExtendedControl(Uop* op, CpuState* s)
    {
        if ((uint)s->Gpr[1] > 1) return Fault.Raise(op, s, Fault.GeneralProtection);
        SetPair(s, s->Xcr0);
        return op + 1;
    }

    /// <summary>XSETBV: x87 always, SSE and AVX as wished, AVX not without SSE.</summary>
    public static Uop* SetExtendedControl(Uop* op, CpuState* s)
    {
        ulong value = (uint)s->Gpr[0] | (s->Gpr[2] << 32);
        if ((uint)s->Gpr[1] != 0 || value is not (1 or 3 or 7)) return Fault.Raise(op, s, Fault.GeneralProtection);
        s->Xcr0 = value;
        return op + 1;
    }

    public static Uop* SwapGs(Uop* op, CpuState* s)
    {
        (s->GsBase, s->KernelGsBase) = (s->KernelGsBase, s->GsBase);
        return op + 1;
    }

    /// <summary>RDFSBASE and RDGSBASE: from the register S to D.</summary>
    public static Uop* ReadBase<T>(Uop* op, CpuState* s) where T : unmanaged
    {
        Width.StoreRegister<T>((byte*)s + op->D, Width.Load<T>((byte*)s + op->S));
        return op + 1;
    }

    public static Uop* WriteBase<T>(Uop* op, CpuState* s) where T : unmanaged
    {
        ulong value = Width.Load<T>((byte*)s + op->S);
        if (!new Va(value).IsCanonical) return Fault.Raise(op, s, Fault.GeneralProtection);
        *(ulong*)((byte*)s + op->D) = value;
        return op + 1;
    }

    /// <summary>IN: the port is <see cref="Uop.S"/>, or DX if <see cref="Uop.D"/> is not 0.</summary>
    public static Uop* In<T>(Uop* op, CpuState* s) where T : unmanaged
    {
        ushort port = op->D != 0 ? (ushort)s->Gpr[2] : op->S;
        Width.StoreRegister<T>((byte*)s, Processor.Of(s).ReadPort(op, port, sizeof(T)));
        return AfterPort(op, s);
    }

    public static Uop* Out<T>(Uop* op, CpuState* s) where T : unmanaged
    {
        ushort port = op->D != 0 ? (ushort)s->Gpr[2] : op->S;
        Processor.Of(s).WritePort(op, port, sizeof(T), (uint)Width.Load<T>((byte*)s));
        return AfterPort(op, s);
    }

    /// <summary>What a port did may have changed code.</summary>
    public static Uop* AfterPort(Uop* op, CpuState* s) =>
        Processor.Of(s).CodeDropped ? MiscHandlers.Continue(op, s) : op + 1;
}
