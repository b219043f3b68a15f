using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>What drivers ask of processes and threads.</summary>
sealed partial class Ps
{
    [Export]
    public EProcess IoGetCurrentProcess() => CurrentProcess;

    [Export]
    public EProcess PsGetCurrentProcess() => CurrentProcess;

    [Export]
    public KThread PsGetCurrentThread() => nt.Ke.CurrentThread;

    [Export]
    public ulong PsGetCurrentProcessId() =>
        CurrentProcess == SystemProcess ? SystemId : nt.Ke.CurrentThread.UniqueProcess;

    [Export]
    public ulong PsGetCurrentThreadId() => nt.Ke.CurrentThread.UniqueThread;

    [Export]
    public ulong PsGetCurrentThreadProcessId() => nt.Ke.CurrentThread.UniqueProcess;

    [Export]
    public EProcess PsGetCurrentThreadProcess() => PsGetThreadProcess(nt.Ke.CurrentThread);

    [Export]
    public Va PsGetCurrentThreadTeb() => nt.Ke.CurrentThread.Teb;

    [Export]
    public Va PsGetCurrentThreadStackBase() => nt.Ke.CurrentThread.StackBase;

    [Export]
    public Va PsGetCurrentThreadStackLimit() => nt.Ke.CurrentThread.StackLimit;

    [Export]
    public byte PsGetCurrentThreadPreviousMode() => nt.Ke.CurrentThread.PreviousMode;

    [Export]
    public uint PsGetCurrentProcessSessionId() => Current.Token.SessionId;

    [Export]
    public ulong PsGetProcessId(EProcess process) => process.UniqueProcessId;

    [Export]
    public long PsGetProcessCreateTimeQuadPart(EProcess process) => process.CreateTime;

    [Export]
    public NtStatus PsGetProcessExitStatus(EProcess process) => process.ExitStatus;

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public long PsGetProcessExitTime() => CurrentProcess.ExitTime;

    [Export]
    public bool PsGetProcessExitProcessCalled(EProcess process) => process.IsExiting;

    /// <summary>A pointer into EPROCESS: 15 bytes, without a final zero if the name is that long.</summary>
    [Export]
    public Va PsGetProcessImageFileName(EProcess process) => process.ImageFileName;

    [Export]
    public ulong PsGetProcessInheritedFromUniqueProcessId(EProcess process) => process.InheritedFromUniqueProcessId;

    [Export]
    public Va PsGetProcessPeb(EProcess process) => process.Peb;

    [Export]
    public Va PsGetProcessSectionBaseAddress(EProcess process) => process.SectionBaseAddress;

    [Export]
    public Va PsGetProcessJob(EProcess process) => process.Job;

    [Export]
    public Va PsGetProcessWin32Process(EProcess process) => process.Win32Process;

    [Export]
    public Va PsGetCurrentProcessWin32Process() => CurrentProcess.Win32Process;

    [Export]
    public Va PsGetProcessWow64Process(EProcess process) => process.WoW64Process;

    [Export]
    public Va PsGetProcessDebugPort(EProcess process) => process.DebugPort;

    [Export]
    public bool PsIsProcessBeingDebugged(EProcess process) => !process.DebugPort.IsNull;

    [Export]
    public uint PsGetProcessSessionId(EProcess process) => At(process).Token.SessionId;

    [Export]
    public uint PsGetProcessSessionIdEx(EProcess process) => At(process).Token.SessionId;

    /// <summary>The type of protection stands in the low three bits.</summary>
    [Export]
    public bool PsIsProtectedProcess(EProcess process) => (process.Protection & 7) != 0;

    [Export]
    public bool PsIsSystemProcess(EProcess process) => process == SystemProcess;

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public ulong PsGetThreadId(KThread thread) => thread.UniqueThread;

    [Export]
    public ulong PsGetThreadProcessId(KThread thread) => thread.UniqueProcess;

    [Export]
    public EProcess PsGetThreadProcess(KThread thread) =>
        ProcessOf(thread)?.Object ?? EProcess.At(nt.Memory, thread.Process);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public EProcess IoThreadToProcess(KThread thread) => PsGetThreadProcess(thread);

    [Export]
    public NtStatus PsGetThreadExitStatus(KThread thread) => thread.ExitStatus;

    [Export]
    public Va PsGetThreadTeb(KThread thread) => thread.Teb;

    [Export]
    public Va PsGetThreadWin32Thread(KThread thread) => thread.Win32Thread;

    [Export]
    public uint PsGetThreadSessionId(KThread thread) => ProcessOf(thread)?.Token.SessionId ?? 0;

    /// <summary>A thread is signalled when it is over.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public bool PsIsThreadTerminating(KThread thread) =>
        thread.SignalState != 0 || (thread.CrossThreadFlags & 1) != 0;

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public bool PsIsSystemThread(KThread thread) => IsSystemThread(thread);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public bool IoIsSystemThread(KThread thread) => IsSystemThread(thread);

    bool IsSystemThread(KThread thread) =>
        thread.UniqueProcess == SystemId || thread == nt.Ke.CurrentThread && CurrentProcess == SystemProcess;

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public ulong IoGetRequestorProcessId(Irp irp) => irp.Thread.IsNull ? 0 : irp.Thread.UniqueProcess;

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus IoGetRequestorSessionId(Irp irp, Va sessionId)
    {
        NtProcess? process = irp.Thread.IsNull ? null : ProcessOf(irp.Thread);
        nt.Memory.Write(sessionId, process?.Token.SessionId ?? uint.MaxValue);
        return process is null ? STATUS_UNSUCCESSFUL : STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus PsLookupProcessByProcessId(ulong processId, Va process)
    {
        // An ended process keeps its id for those who hold it, but one that is being deleted is not found.
        if (Find(processId) is not { } found || !nt.Ob.ObReferenceObjectSafe(found.Object.Address))
            return STATUS_INVALID_CID;
        nt.Memory.Write(process, found.Object.Address);
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus PsLookupThreadByThreadId(ulong threadId, Va thread)
    {
        if (FindThread(threadId) is not { } found || !nt.Ob.ObReferenceObjectSafe(found.Address))
            return STATUS_INVALID_CID;
        nt.Memory.Write(thread, found.Address);
        return STATUS_SUCCESS;
    }

    /// <summary>CLIENT_ID: both must be right. The process is optional.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus PsLookupProcessThreadByCid(Va clientId, Va process, Va thread)
    {
        ulong processId = nt.Memory.Read<ulong>(clientId), threadId = nt.Memory.Read<ulong>(clientId + 8);
        if (FindThread(threadId) is not { } found || found.UniqueProcess != processId) return STATUS_INVALID_CID;
        if (!process.IsNull && PsLookupProcessByProcessId(processId, process) is { IsSuccess: false } failure)
            return failure;
        return PsLookupThreadByThreadId(threadId, thread);
    }

    /// <summary>A thread that is not over, by its id.</summary>
    public KThread? FindThread(ulong id)
    {
        foreach (NtObject target in nt.Ob.OfType(nt.Ob.ThreadType))
        {
            var thread = KThread.At(nt.Memory, target.Body);
            if (thread.UniqueThread == id && thread.SignalState == 0 && !target.IsDeleting) return thread;
        }
        return null;
    }

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
