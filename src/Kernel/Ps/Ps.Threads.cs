using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Threads: made, run, ended.</summary>
sealed partial class Ps
{
    NtThread NewThread(
        string name, EProcess process, ulong id, AddressSpace space, Va start = default, Va context = default)
    {
        var thread = KThread.At(nt.Memory, nt.Ob.Create(nt.Ob.ThreadType, KThread.Size).Body);
        thread.Header.Initialize(DispatcherType.Thread, KThread.Size, 0);
        KernelStack stack = nt.Mm.NewStack(Mm.StackBytes);
        (thread.InitialStack, thread.StackBase, thread.StackLimit) = (stack.Base, stack.Base, stack.Limit);
        (thread.Process, thread.ProcessOfThread) = (process.Address, process.Address);
        (thread.UniqueProcess, thread.UniqueThread) = (process.UniqueProcessId, id);
        thread.KernelApcList.Initialize();
        thread.UserApcList.Initialize();
        thread.MutantListHead.Initialize();
        thread.IrpList.Initialize();
        var made = new NtThread(name, thread, id, space)
        {
            StartRoutine = start,
            StartContext = context,
            Stack = stack,
        };
        made.SetPriority(made.BasePriority);
        made.Context.Rsp = stack.Base.Value - 0x100;
        return made;
    }

    /// <summary>The thread of a processor that has nothing to do.</summary>
    NtThread NewIdleThread(KProcessor processor) =>
        NewThread($"idle {processor.Number}", SystemProcess, 0, System.AddressSpace);

    /// <summary>A thread of the System process whose life is C#: it is not started yet.</summary>
    public NtThread NewSystemThread(string name) => NewThread(name, SystemProcess, NextId(), System.AddressSpace);

    ulong NextId() => _nextId += 4;

    /// <summary>Makes a system thread and lets the scheduler have it.</summary>
    public NtThread StartThread(string name, Va start, Va context) => StartThread(name, SystemProcess, start, context);

    /// <summary>Makes a thread of a process and lets the scheduler have it.</summary>
    public NtThread StartThread(string name, EProcess process, Va start, Va context)
    {
        NtThread thread = NewThread(name, process, NextId(), At(process).AddressSpace, start, context);
        thread.ReturnRsp = nt.Routines.Prepare(thread.Context, thread.Stack, start, context.Value);
        NotifyThread(thread.Object, create: true);
        nt.Ke.Scheduler.Start(thread);
        return thread;
    }

    /// <summary>The current thread's start routine has returned, or it asked to be ended.</summary>
    public void Terminate(NtStatus status)
    {
        NtThread current = nt.Ke.Scheduler.Current;
        KThread thread = current.Object;
        if (thread.KernelApcDisable != 0 || thread.SpecialApcDisable != 0)
        {
            nt.Ke.RundownMutants(thread);
            throw new BugCheck(BugCheckCode.KERNEL_APC_PENDING_DURING_EXIT, 0, (ulong)(ushort)thread.KernelApcDisable,
                0, 1);
        }
        if (nt.Ke.Irql != PASSIVE_LEVEL)
            throw new BugCheck(BugCheckCode.IRQL_NOT_LESS_OR_EQUAL, thread.Address.Value, (ulong)nt.Ke.Irql, 0,
                nt.Cpu.Rip);
        nt.Ke.Scheduler.MustNotBeInterrupting();
        NotifyThread(thread, create: false);
        nt.Io.RundownThread(current);
        current.IsEnding = true;
        nt.Ke.RundownQueue(current);
        nt.Ke.RundownApcs(thread);
        nt.Ke.RundownMutants(thread);
        thread.ExitStatus = status;
        thread.SignalState = 1;
        nt.Ke.WakeWaiters(thread.Header);
        nt.Ke.Scheduler.Exit();
    }

    /// <summary>The last that is done for a thread: nothing of it is on a processor any longer.</summary>
    public void OnThreadGone(NtThread thread)
    {
        nt.Mm.FreeStack(thread.Stack);
        nt.Ob.Dereference(nt.Ob.At(thread.Object.Address));
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus PsCreateSystemThread(
        Va threadHandle, uint desiredAccess, Va objectAttributes, Handle processHandle, Va clientId, Va startRoutine,
            Va startContext)
    {
        const uint createThread = 2;
        NtProcess? process = System;
        if (!processHandle.IsNull
            && Resolve(processHandle, createThread, ProcessorMode.KernelMode, out process) is { IsSuccess: false } bad)
            return bad;
        NtThread thread = StartThread(
            $"system thread {nt.Loader.Describe(startRoutine)}", process!.Object, startRoutine, startContext);
        bool kernel = !objectAttributes.IsNull
            && (ObjectAttributes.At(nt.Memory, objectAttributes).Attributes & Ob.OBJ_KERNEL_HANDLE) != 0;
        nt.Memory.Write(threadHandle, nt.Ob.Open(nt.Ob.At(thread.Object.Address), desiredAccess, kernel));
        if (clientId.IsNull) return STATUS_SUCCESS;
        nt.Memory.Write(clientId, thread.Object.UniqueProcess);
        nt.Memory.Write(clientId + 8, thread.Object.UniqueThread);
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus PsTerminateSystemThread(NtStatus exitStatus)
    {
        if (nt.Ke.Scheduler.Current == nt.Ke.Scheduler.Owner) return STATUS_INVALID_PARAMETER;
        Terminate(exitStatus);
        return exitStatus;
    }
}
