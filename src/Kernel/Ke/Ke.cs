using Ringdown.Machine;
using static Ringdown.Kernel.Irql;

namespace Ringdown.Kernel;

/// <summary>The kernel proper: IRQL, dispatcher objects, DPCs, timers, threads on one processor.</summary>
[NtModule("ntoskrnl.exe")]
sealed partial class Ke
{
    static readonly Va s_pcr = new(0xFFFF_F780_1000_0000);
    static readonly Va s_sharedData = new(0xFFFF_F780_0000_0000), s_userSharedData = new(0x7FFE_0000);

    readonly NtKernel _nt;

    public Ke(NtKernel nt)
    {
        _nt = nt;
        Scheduler = new Scheduler(nt);
        Clock = new Clock(nt);
        Dpcs = new DpcQueue(nt);
        Timers = new TimerQueue(nt);
    }

    public Scheduler Scheduler { get; }
    public Clock Clock { get; }
    public DpcQueue Dpcs { get; }
    public TimerQueue Timers { get; }
    public Kpcr Pcr { get; private set; }
    public KThread CurrentThread => Scheduler.Current.Object;

    /// <summary>The owner's thread does the system's work now (a driver is loaded or unloaded), not a user's
    /// request.</summary>
    public bool InSystemContext { get; set; }

    public Irql Irql => (Irql)_nt.Cpu.Cr8;

    public void Boot()
    {
        Memory memory = _nt.Memory;
        memory.PagedIsOut = () => Irql >= DISPATCH_LEVEL;
        memory.Map(s_pcr, (ulong)Kpcr.Size, Protection.ReadWrite);
        Pcr = Kpcr.At(memory, s_pcr);
        Kpcr pcr = Pcr;
        (pcr.Self, pcr.CurrentPrcb) = (s_pcr, s_pcr + 0x180);
        unsafe
        {
            _nt.Cpu.State->GsBase = s_pcr.Value;
        }
        memory.Map(s_sharedData, Va.PageSize, Protection.ReadWrite);
        new SharedData(memory, s_sharedData).Fill();
        memory.MapFrame(s_userSharedData, memory.FrameOf(s_sharedData), Protection.Read | Protection.User);
        Clock.Start(new SharedData(memory, s_sharedData));
    }

    /// <summary>Sets the IRQL and its copy in the PCR, and delivers nothing.</summary>
    public void SetIrql(Irql irql)
    {
        if (irql >= DISPATCH_LEVEL && Irql < DISPATCH_LEVEL) _nt.Memory.PageOut();
        _nt.Cpu.Cr8 = (ulong)irql;
        Kpcr pcr = Pcr;
        pcr.Irql = (byte)irql;
    }

    public void SetCurrentThread(KThread thread)
    {
        Kpcr pcr = Pcr;
        pcr.CurrentThread = thread;
    }

    /// <summary>Raises; going down by it is a mistake that stops the machine.</summary>
    public Irql Raise(Irql irql)
    {
        Irql old = Irql;
        if (irql < old) throw new BugCheck(BugCheckCode.IRQL_NOT_GREATER_OR_EQUAL, (ulong)old, (ulong)irql);
        SetIrql(irql);
        return old;
    }

    /// <summary>Lowers, and runs the DPCs that this lets through.</summary>
    public void Lower(Irql irql)
    {
        if (irql > Irql) throw new BugCheck(BugCheckCode.IRQL_NOT_LESS_OR_EQUAL, (ulong)irql, (ulong)Irql);
        SetIrql(irql);
        Dpcs.Deliver();
    }

    /// <summary>The processor asks for something: time is up, an exception, interrupts are possible again.</summary>
    public void OnStop(Stop stop)
    {
        switch (stop.Kind)
        {
            case StopKind.Budget:
                Clock.OnSliceEnd();
                Timers.Expire();
                Dpcs.Deliver();
                if (Irql < DISPATCH_LEVEL) Scheduler.Yield();
                break;
            case StopKind.Poll:
                SetIrql(Irql);
                Dpcs.Deliver();
                break;
            case StopKind.Halt:
                Idle();
                break;
            default:
                _nt.Seh.OnTrap(stop);
                break;
        }
    }

    // HLT: the processor sleeps until an interrupt; without one it sleeps for ever.
    void Idle()
    {
        bool interruptible = Irql < DISPATCH_LEVEL && (_nt.Cpu.Rflags & 0x200) != 0;
        if (interruptible && PassTime()) return;
        throw new Hang(HangKind.Deadlock, "The processor was halted, and no interrupt can wake it.");
    }

    /// <summary>With nothing to run: goes on to the next timer.</summary>
    /// <returns>False if there is none.</returns>
    public bool PassTime()
    {
        if (Dpcs.Deliver()) return true;
        if (Timers.NextDue is not { } due) return false;
        Clock.AdvanceTo(due);
        Timers.Expire();
        Dpcs.Deliver();
        return true;
    }

    /// <summary>For a thread that is over: who runs next. The owner, if nobody else can.</summary>
    public NtThread NextToRun()
    {
        while (Scheduler.FirstReady is null)
            if (!PassTime()) return Scheduler.Owner;
        return Scheduler.FirstReady;
    }

    /// <summary>Gives a stop its report while the machine still stands as it stopped. Always true: it stands in a
    /// filter.</summary>
    public bool Report(MachineStop stop)
    {
        stop.Report ??= CrashReport.Make(_nt, stop);
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

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public Irql KeAcquireSpinLockRaiseToDpc([AcquiresLock] Va spinLock)
    {
        Irql old = Raise(DISPATCH_LEVEL);
        Acquire(spinLock);
        return old;
    }

    [Export, IrqlRequiresMin(DISPATCH_LEVEL)]
    public void KeAcquireSpinLockAtDpcLevel([AcquiresLock] Va spinLock) => Acquire(spinLock);

    [Export, IrqlRequiresMin(DISPATCH_LEVEL), IrqlRequiresMax(DISPATCH_LEVEL)]
    public void KeReleaseSpinLock([ReleasesLock] Va spinLock, Irql newIrql)
    {
        Release(spinLock);
        Lower(newIrql);
    }

    [Export, IrqlRequiresMin(DISPATCH_LEVEL), IrqlRequiresMax(DISPATCH_LEVEL)]
    public void KeReleaseSpinLockFromDpcLevel([ReleasesLock] Va spinLock) => Release(spinLock);

    [Export, IrqlRequiresMin(DISPATCH_LEVEL), IrqlRequiresMax(DISPATCH_LEVEL)]
    public bool KeTryToAcquireSpinLockAtDpcLevel([AcquiresLock] Va spinLock)
    {
        if (_nt.Memory.Read<ulong>(spinLock) != 0) return false;
        _nt.Memory.Write(spinLock, CurrentThread.Address.Value | 1);
        return true;
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void KeAcquireInStackQueuedSpinLock([AcquiresLock] Va spinLock, Va lockHandle)
    {
        Irql old = Raise(DISPATCH_LEVEL);
        KeAcquireInStackQueuedSpinLockAtDpcLevel(spinLock, lockHandle);
        _nt.Memory.Write(lockHandle + 0x10, (byte)old);
    }

    /// <summary>KLOCK_QUEUE_HANDLE: next, the lock, and the IRQL to go back to.</summary>
    [Export, IrqlRequiresMin(DISPATCH_LEVEL)]
    public void KeAcquireInStackQueuedSpinLockAtDpcLevel([AcquiresLock] Va spinLock, Va lockHandle)
    {
        Acquire(spinLock);
        _nt.Memory.Write(lockHandle, 0UL);
        _nt.Memory.Write(lockHandle + 8, spinLock);
    }

    [Export, IrqlRequiresMin(DISPATCH_LEVEL), IrqlRequiresMax(DISPATCH_LEVEL)]
    public void KeReleaseInStackQueuedSpinLock([ReleasesLock] Va lockHandle)
    {
        KeReleaseInStackQueuedSpinLockFromDpcLevel(lockHandle);
        Lower((Irql)_nt.Memory.Read<byte>(lockHandle + 0x10));
    }

    [Export, IrqlRequiresMin(DISPATCH_LEVEL), IrqlRequiresMax(DISPATCH_LEVEL)]
    public void KeReleaseInStackQueuedSpinLockFromDpcLevel([ReleasesLock] Va lockHandle) =>
        Release(_nt.Memory.Read<Va>(lockHandle + 8));

    [Export]
    public bool KeTestSpinLock(Va spinLock) => _nt.Memory.Read<ulong>(spinLock) == 0;

    [Export]
    public void KeInitializeSpinLock(Va spinLock) => _nt.Memory.Write(spinLock, 0UL);

    // There is one processor: a lock that is held now is held by a caller further up this very stack.
    void Acquire(Va spinLock)
    {
        if (_nt.Memory.Read<ulong>(spinLock) != 0)
            throw new BugCheck(BugCheckCode.SPIN_LOCK_ALREADY_OWNED, spinLock.Value);
        _nt.Memory.Write(spinLock, CurrentThread.Address.Value | 1);
    }

    void Release(Va spinLock)
    {
        if (_nt.Memory.Read<ulong>(spinLock) == 0) throw new BugCheck(BugCheckCode.SPIN_LOCK_NOT_OWNED, spinLock.Value);
        _nt.Memory.Write(spinLock, 0UL);
    }
}
