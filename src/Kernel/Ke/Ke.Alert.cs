using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

[Layout("_KGATE", Size = 0x18)]
public readonly partial struct KGate
{
    [Embedded(0x00)] public partial DispatcherHeader Header { get; }
    [Field(0x04, Name = "Header.SignalState")] public partial int SignalState { get; set; }
}

/// <summary>Alerts of threads, and gates.</summary>
sealed partial class Ke
{
    /// <summary>Ends an alertable wait of the mode, or of user mode if that is kernel mode; else the next one ends at
    /// once.</summary>
    /// <returns>Whether the thread was alerted already.</returns>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public bool KeAlertThread(KThread thread, byte alertMode)
    {
        NtThread alerted = ThreadAt(thread);
        var mode = (ProcessorMode)(alertMode & 1);
        if (alerted.Alerted[(int)mode]) return true;
        if (alerted.Wait is { Alertable: true } wait && wait.Mode >= mode) End(wait, STATUS_ALERTED);
        else alerted.Alerted[(int)mode] = true;
        return false;
    }

    /// <summary>Whether the current thread was alerted; it is not any more.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public bool KeTestAlertThread(byte alertMode)
    {
        NtThread thread = Scheduler.Current;
        int mode = alertMode & 1;
        bool was = thread.Alerted[mode];
        thread.Alerted[mode] = false;
        if (!was && mode == (int)ProcessorMode.UserMode) HasUserApc(thread.Object);
        return was;
    }

    // An alert of the wait's mode, then user APCs, then an alert of kernel mode.
    NtStatus? TestAlert(Wait wait)
    {
        bool[] alerted = wait.Thread.Alerted;
        if (alerted[(int)wait.Mode])
        {
            alerted[(int)wait.Mode] = false;
            return STATUS_ALERTED;
        }
        if (wait.Mode == ProcessorMode.UserMode && HasUserApc(wait.Thread.Object)) return STATUS_USER_APC;
        if (!alerted[(int)ProcessorMode.KernelMode]) return null;
        alerted[(int)ProcessorMode.KernelMode] = false;
        return STATUS_ALERTED;
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void KeInitializeGate(KGate gate) => gate.Header.Initialize(DispatcherType.Gate, KGate.Size, 0);

    /// <summary>Lets one thread through: one that waits, or else the next.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void KeSignalGateBoostPriority(KGate gate)
    {
        const int boost = 1;
        gate.SignalState = 1;
        WakeWaiters(gate.Header, boost);
    }

    [Export, Parks, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus KeWaitForGate(KGate gate, uint waitReason, byte waitMode) =>
        Park(NewWait([gate.Header], false, Va.Null, waitMode, alertable: false));
}
