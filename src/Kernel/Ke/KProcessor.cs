using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>One processor as the kernel sees it: its control region, its thread, its DPCs, what interrupts
/// it.</summary>
sealed class KProcessor
{
    /// <summary>Bytes of a control region: KPCR with KPRCB behind.</summary>
    public const ulong RegionBytes = 0x8000;
    const ulong RegionSpacing = 0x1_0000;

    static readonly Va s_first = new(0xFFFF_F780_1000_0000);

    readonly NtKernel _nt;

    public KProcessor(NtKernel nt, int number)
    {
        (_nt, Number, Cpu) = (nt, number, nt.Computer.Processors[number]);
        Va region = s_first + (ulong)number * RegionSpacing;
        nt.Memory.Map(region, RegionBytes, Protection.ReadWrite);
        Pcr = Kpcr.At(nt.Memory, region);
        Kpcr pcr = Pcr;
        (pcr.Self, pcr.CurrentPrcb) = (region, region + Kpcr.PrcbOffset);
        (pcr.LegacyNumber, pcr.Number) = ((byte)number, (uint)number);
        unsafe
        {
            Cpu.State->GsBase = region.Value;
        }
        Dpcs = new DpcQueue(nt, this);
    }

    public int Number { get; }
    public Processor Cpu { get; }
    public Kpcr Pcr { get; }
    public DpcQueue Dpcs { get; }

    /// <summary>The thread that runs on it; its idle thread if there is nothing to do.</summary>
    public NtThread Current { get; set; } = null!;
    public NtThread Idle { get; set; } = null!;

    public Irql Irql => (Irql)Cpu.Cr8;

    /// <summary>What it spins for; null if it does not.</summary>
    public Spin? Spin { get; set; }

    /// <summary>Requests of other processors, first come, first served: run at IPI_LEVEL.</summary>
    public Queue<Action> Interrupts { get; } = new();

    /// <summary>The stack that DPCs run on, made when the first one does.</summary>
    public KernelStack DpcStack
    {
        get
        {
            if (field == default) field = _nt.Mm.NewStack(Mm.StackBytes);
            return field;
        }
    }

    /// <summary>The stack of service routines, made when the first one runs. One that interrupts another goes on below
    /// it.</summary>
    public KernelStack InterruptStack
    {
        get
        {
            if (field == default) field = _nt.Mm.NewStack(Mm.StackBytes);
            return field;
        }
    }

    /// <summary>Devices' interrupts whose service routines run, one inside the other.</summary>
    public int InService { get; set; }

    /// <summary>Routines that have interrupted its thread and are not done.</summary>
    public int Nesting { get; set; }

    /// <summary>CLI: nothing interrupts it, whatever its IRQL is.</summary>
    public bool IsMasked => !Cpu.InterruptsEnabled;

    /// <summary>Something wants to interrupt it, and its IRQL is low enough.</summary>
    public bool IsInterrupted =>
        (Interrupts.Count > 0 && Irql < Irql.IPI_LEVEL || _nt.Ke.Interrupts.IsPending(this)
            || Dpcs.IsRequested && !Dpcs.IsDelivering && Irql < Irql.DISPATCH_LEVEL) && !IsMasked;

    /// <summary>It would get on if it were its turn.</summary>
    public bool CanGoOn =>
        IsInterrupted || (Spin is { } spin ? spin.IsOver() : Nesting > 0 || !Current.IsIdle);
}

/// <summary>A processor runs in a circle until something is so.</summary>
/// <param name="Description">What it waits for, in words.</param>
sealed record Spin(Func<bool> IsOver, Func<string> Description);
