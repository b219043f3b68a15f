using Ringdown.Machine;
using static Ringdown.Kernel.Irql;

namespace Ringdown.Kernel;

/// <summary>Threads' priorities and processors, and being in another process for a while.</summary>
sealed partial class Ke
{
    const int LowRealtimePriority = 16;

    NtThread ThreadAt(KThread thread) => Scheduler.Find(thread.Address)
        ?? throw new BugCheck(BugCheckCode.INVALID_PROCESS_ATTACH_ATTEMPT, thread.Address.Value);

    [Export]
    public KThread KeGetCurrentThread() => CurrentThread;

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public int KeQueryPriorityThread(KThread thread) => thread.Priority;

    /// <summary>Sets the run-time priority, 1 to 31; the base priority of a dynamic thread follows.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public int KeSetPriorityThread(KThread thread, int priority)
    {
        NtThread changed = ThreadAt(thread);
        int old = changed.Priority;
        Scheduler.Change(changed, () =>
        {
            changed.BasePriority = (sbyte)Math.Clamp(priority, 1, 31);
            changed.SetPriority(changed.BasePriority);
        });
        return old;
    }

    /// <summary>Sets the base priority as an increment to the process's, which is 8.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public int KeSetBasePriorityThread(KThread thread, int increment)
    {
        const int processBase = 8;
        NtThread changed = ThreadAt(thread);
        int old = changed.BasePriority - processBase;
        int most = changed.BasePriority >= LowRealtimePriority ? 31 : LowRealtimePriority - 1;
        int least = changed.BasePriority >= LowRealtimePriority ? LowRealtimePriority : 1;
        Scheduler.Change(changed, () =>
        {
            changed.BasePriority = (sbyte)Math.Clamp((long)processBase + increment, least, most);
            changed.SetPriority(changed.BasePriority);
        });
        return old;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public void KeSetSystemAffinityThread(ulong affinity) => SetAffinity(affinity);

    /// <returns>The system affinity of before; 0 if there was none.</returns>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public ulong KeSetSystemAffinityThreadEx(ulong affinity) => SetAffinity(affinity);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public void KeRevertToUserAffinityThread() => SetAffinity(0);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public void KeRevertToUserAffinityThreadEx(ulong affinity) => SetAffinity(affinity);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public void KeSetSystemGroupAffinityThread(Va affinity, Va previousAffinity)
    {
        ulong old = SetAffinity(_nt.Memory.Read<ulong>(affinity));
        if (!previousAffinity.IsNull) WriteGroupAffinity(previousAffinity, old);
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public void KeRevertToUserGroupAffinityThread(Va previousAffinity) =>
        SetAffinity(_nt.Memory.Read<ulong>(previousAffinity));

    // 0 or no processor of this machine: back to what user mode has set. The caller moves before this returns.
    ulong SetAffinity(ulong affinity)
    {
        NtThread thread = Scheduler.Current;
        ulong old = thread.SystemAffinity;
        thread.SystemAffinity = affinity & AllProcessors;
        Scheduler.Change(thread, () =>
            thread.Affinity = thread.SystemAffinity != 0 ? thread.SystemAffinity : thread.UserAffinity);
        if (!thread.MayRunOn(Scheduler.Active.Number) && Irql < DISPATCH_LEVEL) Scheduler.Reschedule();
        return old;
    }

    /// <summary>The current thread sees another process's user half until it detaches.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void KeStackAttachProcess(EProcess process, Va apcState)
    {
        _nt.Memory.Write(apcState + KApcStateProcess, CurrentThread.Process);
        Attach(process);
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void KeUnstackDetachProcess(Va apcState) =>
        Attach(EProcess.At(_nt.Memory, _nt.Memory.Read<Va>(apcState + KApcStateProcess)));

    /// <summary>As KeStackAttachProcess, once: attached already to another process, the machine stops.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void KeAttachProcess(EProcess process)
    {
        KThread thread = CurrentThread;
        if (thread.Process != thread.ProcessOfThread && thread.Process != process.Address)
            throw new BugCheck(BugCheckCode.INVALID_PROCESS_ATTACH_ATTEMPT, process.Address.Value,
                thread.Process.Value);
        Attach(process);
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void KeDetachProcess() => Attach(EProcess.At(_nt.Memory, CurrentThread.ProcessOfThread));

    const int KApcStateProcess = 0x20;

    void Attach(EProcess process)
    {
        if (_nt.Ps.AddressSpaceOf(process) is not { } space)
            throw new BugCheck(BugCheckCode.INVALID_PROCESS_ATTACH_ATTEMPT, process.Address.Value);
        KThread thread = CurrentThread;
        thread.Process = process.Address;
        Scheduler.Current.AddressSpace = space;
        _nt.Memory.Current = space;
    }
}
