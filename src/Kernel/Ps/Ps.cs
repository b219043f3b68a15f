using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Processes and threads: the System process, the user's process, threads that drivers make.</summary>
[NtModule("ntoskrnl.exe")]
sealed partial class Ps(NtKernel nt)
{
    const ulong SystemId = 4, UserId = 0x1000;

    ulong _nextId = 0x1004;

    public EProcess SystemProcess { get; private set; }

    /// <summary>The process in whose name requests come from outside.</summary>
    public EProcess UserProcess { get; private set; }
    public EProcess CurrentProcess => EProcess.At(nt.Memory, nt.Ke.CurrentThread.Process);

    [ExportData] public Va PsInitialSystemProcess => SystemProcess.Address;

    public void Boot()
    {
        SystemProcess = NewProcess(SystemId);
        UserProcess = NewProcess(UserId);
        NtThread owner = NewThread("user", UserProcess, UserId + 4, Va.Null, Va.Null, nt.Memory.Current);
        nt.Ke.Scheduler.Adopt(owner);
        nt.Ke.SetCurrentThread(owner.Object);
        nt.Cpu.Rsp = owner.StackBase.Value - 0x100;
    }

    EProcess NewProcess(ulong id)
    {
        var process = EProcess.At(nt.Memory, nt.Ob.Create(nt.Ob.ProcessType, EProcess.Size).Body);
        process.Header.Initialize(DispatcherType.Process, EProcess.Size, 0);
        process.UniqueProcessId = id;
        process.ActiveProcessLinks.Initialize();
        return process;
    }

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

    [Export]
    public EProcess IoGetCurrentProcess() => CurrentProcess;

    [Export]
    public EProcess PsGetCurrentProcess() => CurrentProcess;

    [Export]
    public KThread PsGetCurrentThread() => nt.Ke.CurrentThread;

    [Export]
    public ulong PsGetCurrentProcessId() => nt.Ke.CurrentThread.UniqueProcess;

    [Export]
    public ulong PsGetCurrentThreadId() => nt.Ke.CurrentThread.UniqueThread;

    [Export]
    public ulong PsGetProcessId(EProcess process) => process.UniqueProcessId;

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public ulong PsGetThreadId(KThread thread) => thread.UniqueThread;

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public byte ExGetPreviousMode() => nt.Ke.CurrentThread.PreviousMode;

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public bool PsGetVersion(Va majorVersion, Va minorVersion, Va buildNumber, Va csdVersion)
    {
        if (!majorVersion.IsNull) nt.Memory.Write(majorVersion, 10u);
        if (!minorVersion.IsNull) nt.Memory.Write(minorVersion, 0u);
        if (!buildNumber.IsNull) nt.Memory.Write(buildNumber, SharedData.BuildNumber);
        if (!csdVersion.IsNull) UnicodeString.At(nt.Memory, csdVersion).Length = 0;
        return true;
    }
}
