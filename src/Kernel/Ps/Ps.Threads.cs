using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Threads: made, run, ended.</summary>
sealed partial class Ps
{
    NtThread NewThread(string name, EProcess process, ulong id, Va start, Va context, AddressSpace space)
    {
        var thread = KThread.At(nt.Memory, nt.Ob.Create(nt.Ob.ThreadType, KThread.Size).Body);
        thread.Header.Initialize(DispatcherType.Thread, KThread.Size, 0);
        Va stack = nt.Mm.AllocateStack();
        (thread.InitialStack, thread.StackBase, thread.StackLimit) = (stack, stack, stack - Mm.StackBytes);
        thread.Process = process.Address;
        (thread.UniqueProcess, thread.UniqueThread) = (process.UniqueProcessId, id);
        thread.Priority = 8;
        var made = new NtThread(name, thread, space)
        {
            StartRoutine = start,
            StartContext = context,
            StackBase = stack,
            StackBytes = Mm.StackBytes,
        };
        made.Context.Rsp = stack.Value - 0x100;
        return made;
    }

    /// <summary>Makes a system thread and lets the scheduler have it.</summary>
    public NtThread StartThread(string name, Va start, Va context)
    {
        _nextId += 4;
        NtThread thread = NewThread(name, SystemProcess, _nextId, start, context, nt.Memory.Current);
        nt.Ke.Scheduler.Start(thread);
        return thread;
    }

    /// <summary>The life of a thread, on its own host thread.</summary>
    public void RunThread(NtThread thread)
    {
        nt.Routines.Call(thread.StartRoutine, thread.StartContext.Value);
        Terminate(STATUS_SUCCESS);
    }

    void Terminate(NtStatus status)
    {
        NtThread current = nt.Ke.Scheduler.Current;
        KThread thread = current.Object;
        if (thread.KernelApcDisable != 0)
            throw new BugCheck(BugCheckCode.KERNEL_APC_PENDING_DURING_EXIT, 0, (ulong)(ushort)thread.KernelApcDisable,
                0, 1);
        thread.ExitStatus = status;
        thread.SignalState = 1;
        nt.Ke.WakeWaiters(thread.Header);
        nt.Ob.Dereference(nt.Ob.At(thread.Address));
        nt.Ke.Scheduler.Exit();
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus PsCreateSystemThread(
        Va threadHandle, uint desiredAccess, Va objectAttributes, Handle processHandle, Va clientId, Va startRoutine,
            Va startContext)
    {
        NtThread thread = StartThread($"system thread {nt.Loader.Describe(startRoutine)}", startRoutine, startContext);
        bool kernel = objectAttributes.IsNull
            || (ObjectAttributes.At(nt.Memory, objectAttributes).Attributes & Ob.OBJ_KERNEL_HANDLE) != 0;
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
