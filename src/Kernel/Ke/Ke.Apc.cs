using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Asynchronous procedure calls, and the regions that keep them away.</summary>
/// <remarks>
/// A special kernel APC runs at APC_LEVEL whenever its thread is below it and in no guarded region; a normal one at
/// PASSIVE_LEVEL, not inside another and in no critical region; a user APC when its thread waits alertably for user
/// mode, or returns there.
/// </remarks>
sealed partial class Ke
{
    const ulong ApcArguments = 0x40;

    [Export]
    public void KeInitializeApc(
        KApc apc, KThread thread, uint environment, Va kernelRoutine, Va rundownRoutine, Va normalRoutine,
            byte processorMode, Va normalContext)
    {
        _nt.Memory.Fill(apc.Address, KApc.Size, 0);
        (apc.Type, apc.ObjectSize, apc.Thread) = (KApc.ApcObject, KApc.Size, thread);
        (apc.KernelRoutine, apc.RundownRoutine, apc.NormalRoutine) = (kernelRoutine, rundownRoutine, normalRoutine);
        apc.ApcStateIndex = (byte)environment;
        // Without a normal routine it is a special kernel APC, whatever the caller says.
        if (normalRoutine.IsNull) return;
        (apc.ApcMode, apc.NormalContext) = ((byte)(processorMode & 1), normalContext);
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public bool KeInsertQueueApc(KApc apc, Va systemArgument1, Va systemArgument2, int increment)
    {
        if (apc.Inserted || Scheduler.Find(apc.Thread.Address) is not { IsIdle: false, IsEnding: false } thread)
            return false;
        (apc.SystemArgument1, apc.SystemArgument2, apc.Inserted) = (systemArgument1, systemArgument2, true);
        KThread target = apc.Thread;
        var mode = (ProcessorMode)(apc.ApcMode & 1);
        ListEntry list = target.ApcList(mode);
        if (apc.NormalRoutine.IsNull) FirstNormal(list).InsertTail(apc.ApcListEntry);
        else list.InsertTail(apc.ApcListEntry);
        if (mode == ProcessorMode.KernelMode) NoticeKernelApc(thread, increment);
        else if (thread.Wait is { Alertable: true, Mode: ProcessorMode.UserMode } wait)
        {
            target.UserApcPending = true;
            End(wait, STATUS_USER_APC, increment);
        }
        return true;
    }

    // Special ones stand before all others.
    ListEntry FirstNormal(ListEntry list)
    {
        ListEntry entry = list.Flink;
        for (; entry != list && KApc.AtEntry(_nt.Memory, entry.Address).NormalRoutine.IsNull; entry = entry.Flink)
            Clock.Spend();
        return entry;
    }

    void NoticeKernelApc(NtThread thread, int increment)
    {
        KThread target = thread.Object;
        target.KernelApcPending = true;
        if (thread.Wait is { } wait)
        {
            if (thread.Irql < APC_LEVEL && HasDeliverableApc(target)) End(wait, STATUS_KERNEL_APC, increment);
        }
        else if (thread == Scheduler.Current) DeliverKernelApcs();
        Scheduler.Notice();
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public bool KeRemoveQueueApc(KApc apc)
    {
        if (!apc.Inserted) return false;
        apc.ApcListEntry.Remove();
        apc.Inserted = false;
        return true;
    }

    bool HasDeliverableApc(KThread thread)
    {
        ListEntry list = thread.ApcList(ProcessorMode.KernelMode);
        if (list.IsEmpty || thread.SpecialApcDisable != 0) return false;
        return KApc.AtEntry(_nt.Memory, list.Flink.Address).NormalRoutine.IsNull
            || !thread.KernelApcInProgress && thread.KernelApcDisable == 0;
    }

    /// <summary>The thread on a processor has a kernel APC to run before anything else.</summary>
    public bool HasKernelApcNow(KProcessor processor)
    {
        KThread thread = processor.Current.Object;
        if (!thread.KernelApcPending || processor.Irql >= APC_LEVEL || processor.IsMasked
            || processor.Current.State != ThreadState.Running)
            return false;
        try
        {
            return HasDeliverableApc(thread);
        }
        catch (PageFault)
        {
            // It lies in memory that has gone: its delivery will say so.
            return true;
        }
    }

    bool HasUserApc(KThread thread)
    {
        ListEntry list = thread.ApcList(ProcessorMode.UserMode);
        if (list.IsEmpty) return false;
        thread.UserApcPending = true;
        return true;
    }

    /// <summary>Runs the kernel APCs of the current thread that may run now.</summary>
    public void DeliverKernelApcs()
    {
        KThread thread = CurrentThread;
        // One that is about to wait, and has not left its processor yet, has them when it goes on.
        if (Irql >= APC_LEVEL || !thread.KernelApcPending || Scheduler.Current.State != ThreadState.Running) return;
        var interrupted = new CpuContext();
        _nt.Cpu.CopyTo(interrupted);
        while (HasDeliverableApc(thread)) Deliver(thread, ProcessorMode.KernelMode);
        thread.KernelApcPending = !thread.ApcList(ProcessorMode.KernelMode).IsEmpty;
        _nt.Cpu.CopyFrom(interrupted);
    }

    /// <summary>Runs the user APCs of the current thread, which is about to return to user
    /// mode.</summary>
    public void DeliverUserApcs()
    {
        KThread thread = CurrentThread;
        while (HasUserApc(thread)) Deliver(thread, ProcessorMode.UserMode);
        thread.UserApcPending = false;
    }

    // The kernel routine may change what the normal routine gets, through pointers: they lie on the thread's stack.
    void Deliver(KThread thread, ProcessorMode mode)
    {
        KApc apc = KApc.AtEntry(_nt.Memory, thread.ApcList(mode).Flink.Address);
        apc.ApcListEntry.Remove();
        apc.Inserted = false;
        bool normal = !apc.NormalRoutine.IsNull;
        Va arguments = new((_nt.Routines.StackTop - ApcArguments) & ~0xFUL);
        _nt.Memory.Write(arguments, apc.NormalRoutine);
        _nt.Memory.Write(arguments + 8, apc.NormalContext);
        _nt.Memory.Write(arguments + 16, apc.SystemArgument1);
        _nt.Memory.Write(arguments + 24, apc.SystemArgument2);
        CallApc(APC_LEVEL, arguments, apc.KernelRoutine, apc.Address.Value, arguments.Value, arguments.Value + 8,
            arguments.Value + 16, arguments.Value + 24);
        Va routine = _nt.Memory.Read<Va>(arguments);
        if (!normal || routine.IsNull) return;
        if (mode == ProcessorMode.KernelMode) thread.KernelApcInProgress = true;
        CallApc(PASSIVE_LEVEL, arguments, routine, _nt.Memory.Read<ulong>(arguments + 8),
            _nt.Memory.Read<ulong>(arguments + 16), _nt.Memory.Read<ulong>(arguments + 24));
        if (mode == ProcessorMode.KernelMode) thread.KernelApcInProgress = false;
    }

    void CallApc(Irql irql, Va stack, Va routine, params ReadOnlySpan<ulong> arguments)
    {
        Irql old = Irql;
        SetIrql(irql);
        _nt.Routines.CallBelow(stack.Value, routine, arguments);
        if (Irql != irql)
            throw new BugCheck(BugCheckCode.IRQL_UNEXPECTED_VALUE, routine.Value, (ulong)irql, (ulong)Irql);
        SetIrql(old);
    }

    /// <summary>When a thread ends: what is still queued is run down.</summary>
    public void RundownApcs(KThread thread)
    {
        foreach (ProcessorMode mode in (ReadOnlySpan<ProcessorMode>)[ProcessorMode.KernelMode, ProcessorMode.UserMode])
        {
            ListEntry list = thread.ApcList(mode);
            while (!list.IsEmpty)
            {
                Clock.Spend();
                KApc apc = KApc.AtEntry(_nt.Memory, list.Flink.Address);
                apc.ApcListEntry.Remove();
                apc.Inserted = false;
                if (!apc.RundownRoutine.IsNull) _nt.Routines.Call(apc.RundownRoutine, apc.Address.Value);
            }
        }
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void KeEnterCriticalRegion()
    {
        KThread thread = CurrentThread;
        thread.KernelApcDisable--;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void KeLeaveCriticalRegion()
    {
        KThread thread = CurrentThread;
        if (++thread.KernelApcDisable == 0) DeliverKernelApcs();
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void KeEnterGuardedRegion()
    {
        KThread thread = CurrentThread;
        thread.SpecialApcDisable--;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void KeLeaveGuardedRegion()
    {
        KThread thread = CurrentThread;
        if (++thread.SpecialApcDisable == 0) DeliverKernelApcs();
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public bool KeAreApcsDisabled() =>
        CurrentThread is var thread && (thread.KernelApcDisable != 0 || thread.SpecialApcDisable != 0);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public bool KeAreAllApcsDisabled() => Irql >= APC_LEVEL || CurrentThread.SpecialApcDisable != 0;
}
