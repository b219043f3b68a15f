using Ringdown.Machine;
using static Ringdown.Kernel.Irql;

namespace Ringdown.Kernel;

/// <summary>The kernel proper: IRQL, processors, threads, dispatcher objects, DPCs, APCs, timers.</summary>
[NtModule("ntoskrnl.exe")]
sealed partial class Ke
{
    static readonly Va s_sharedData = new(0xFFFF_F780_0000_0000), s_userSharedData = new(0x7FFE_0000);

    // 100 us.
    const long LookTicks = 1000;

    readonly NtKernel _nt;
    long _nextLook;

    public Ke(NtKernel nt, Schedule schedule)
    {
        _nt = nt;
        Scheduler = new Scheduler(nt, schedule);
        Clock = new Clock(nt, schedule);
        Timers = new TimerQueue(nt);
        Interrupts = new InterruptTable(nt);
        nt.Computer.Clock = new DeviceClock(this);
    }

    public Scheduler Scheduler { get; }
    public Clock Clock { get; }
    public TimerQueue Timers { get; }
    public InterruptTable Interrupts { get; }
    public KThread CurrentThread => Scheduler.Current.Object;

    /// <summary>The control region of the processor that runs.</summary>
    public Kpcr Pcr => Scheduler.Active.Pcr;

    /// <summary>The owner's thread does the system's work now (a driver is loaded or unloaded), not a user's
    /// request.</summary>
    public bool InSystemContext { get; set; }

    public Irql Irql => (Irql)_nt.Cpu.Cr8;

    public void Boot()
    {
        Memory memory = _nt.Memory;
        memory.PagedIsOut = () => Irql >= DISPATCH_LEVEL;
        memory.Map(s_sharedData, Va.PageSize, Protection.ReadWrite);
        new SharedData(memory, s_sharedData).Fill(Scheduler.Processors.Count);
        memory.MapFrame(s_userSharedData, memory.FrameOf(s_sharedData), Protection.Read | Protection.User);
        Clock.Start(new SharedData(memory, s_sharedData));
    }

    /// <summary>Sets the IRQL of the processor that runs, and delivers nothing.</summary>
    public void SetIrql(Irql irql) => SetIrql(Scheduler.Active, irql);

    /// <summary>Sets a processor's IRQL and its copy in the PCR, and delivers nothing.</summary>
    public void SetIrql(KProcessor processor, Irql irql)
    {
        Irql old = processor.Irql;
        if (irql >= DISPATCH_LEVEL && old < DISPATCH_LEVEL) _nt.Memory.PageOut();
        processor.Cpu.Cr8 = (ulong)irql;
        Kpcr pcr = processor.Pcr;
        pcr.Irql = (byte)irql;
        if (irql < old) Scheduler.OnLowered();
        if (irql != old) _nt.OnIrqlChanged(processor, irql);
    }

    /// <summary>Raises; going down by it is a mistake that stops the machine.</summary>
    public Irql Raise(Irql irql)
    {
        Irql old = Irql;
        if (irql < old) throw new BugCheck(BugCheckCode.IRQL_NOT_GREATER_OR_EQUAL, (ulong)old, (ulong)irql);
        SetIrql(irql);
        return old;
    }

    /// <summary>Lowers, and runs what this lets through: DPCs, APCs.</summary>
    public void Lower(Irql irql)
    {
        if (irql > Irql) throw new BugCheck(BugCheckCode.IRQL_NOT_LESS_OR_EQUAL, (ulong)irql, (ulong)Irql);
        SetIrql(irql);
        Interrupt();
    }

    /// <summary>Lets through what interrupts the active processor at its present IRQL: other processors, DPCs,
    /// APCs.</summary>
    public void Interrupt()
    {
        KProcessor processor = Scheduler.Active;
        if (processor.IsMasked) return;
        if (processor.Interrupts.Count > 0) RunInterrupts(processor);
        Interrupts.Deliver(processor);
        processor.Dpcs.Deliver();
        DeliverKernelApcs();
    }

    /// <summary>The processor asks for something: time is up, an exception, interrupts are possible again.</summary>
    public void OnStop(Stop stop)
    {
        switch (stop.Kind)
        {
            case StopKind.Budget:
                Clock.OnSliceEnd();
                LookOutside();
                Timers.Expire();
                Scheduler.Active.Dpcs.Request();
                Scheduler.OnSliceEnd();
                break;
            case StopKind.Poll:
                OnCr8(Scheduler.Active);
                break;
            case StopKind.Halt:
                Halt();
                break;
            default:
                _nt.Seh.OnTrap(stop);
                break;
        }
    }

    /// <summary>What has come from outside of the process enters, at moments of the machine's time.</summary>
    void LookOutside()
    {
        if (_nt.Computer.HostInput is not { } host || Clock.Now < _nextLook) return;
        _nextLook = Clock.Now + LookTicks;
        if (host.Look(Clock.Now)) OnEntered();
    }

    /// <summary>Something has come from outside: what it causes is as a new request.</summary>
    public void OnEntered()
    {
        _nt.BeginRequest();
        Timers.Expire();
        Scheduler.Notice();
    }

    // The guest has set CR8 itself, as KeRaiseIrql and KeLowerIrql do inline: the PCR still has the IRQL of before.
    void OnCr8(KProcessor processor)
    {
        Kpcr pcr = processor.Pcr;
        Irql now = processor.Irql, before = (Irql)pcr.Irql;
        pcr.Irql = (byte)now;
        if (now >= DISPATCH_LEVEL && before < DISPATCH_LEVEL) _nt.Memory.PageOut();
        if (now <= before) Scheduler.Notice();
        if (now != before) _nt.OnIrqlChanged(processor, now);
    }

    // HLT: the processor sleeps until an interrupt; without one it sleeps for ever.
    void Halt()
    {
        if (Irql >= DISPATCH_LEVEL || (_nt.Cpu.Rflags & 0x200) == 0)
            throw new Hang(HangKind.Deadlock, "The processor was halted, and no interrupt can wake it.");
        long now = Clock.Now;
        KProcessor halted = Scheduler.Active;
        Scheduler.SpinUntil(() => halted.IsInterrupted || Clock.Now > now, () => "an interrupt, halted");
    }

    /// <summary>Gives a stop its report while the machine still stands as it stopped. Always true: it stands in a
    /// filter.</summary>
    public bool Report(MachineStop stop)
    {
        if (stop.Report is not null) return true;
        stop.Report = CrashReport.Make(_nt, stop);
        if (stop is BugCheck bugCheck) stop.Report = stop.Report with { Callbacks = RunBugCheckCallbacks(bugCheck) };
        return true;
    }

    [Export]
    public Irql KeGetCurrentIrql() => Irql;

    [Export]
    public Irql KfRaiseIrql(Irql newIrql) => Raise(newIrql);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public Irql KeRaiseIrqlToDpcLevel() => Raise(DISPATCH_LEVEL);

    [Export]
    public void KeLowerIrql(Irql newIrql) => Lower(newIrql);

    [Export(Module = "hal.dll")]
    public void KfLowerIrql(Irql newIrql) => Lower(newIrql);

    [Export]
    public void KeBugCheckEx(uint code, ulong p1, ulong p2, ulong p3, ulong p4) =>
        throw new BugCheck((BugCheckCode)code, p1, p2, p3, p4);

    [Export]
    public void KeBugCheck(uint code) => throw new BugCheck((BugCheckCode)code);

    [ExportData] public ulong NtBuildNumber => 0xF000_0000 | SharedData.BuildNumber;
    [ExportData] public ulong KdDebuggerEnabled => 0;
    [ExportData] public ulong KdDebuggerNotPresent => 1;
    [ExportData] public ulong InitSafeBootMode => 0;
}
