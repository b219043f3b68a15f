using Ringdown.Machine;
using static Ringdown.Kernel.Irql;

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
        nt.Ke.Scheduler.AdoptIdle(NewIdleThread);
        NtThread owner = NewThread("user", UserProcess, UserId + 4, nt.Memory.Current);
        nt.Ke.Scheduler.Adopt(owner);
    }

    /// <summary>The user half of a process; null for what is no process.</summary>
    public AddressSpace? AddressSpaceOf(EProcess process) =>
        process == SystemProcess || process == UserProcess ? nt.Memory.Current : null;

    EProcess NewProcess(ulong id)
    {
        var process = EProcess.At(nt.Memory, nt.Ob.Create(nt.Ob.ProcessType, EProcess.Size).Body);
        process.Header.Initialize(DispatcherType.Process, EProcess.Size, 0);
        process.UniqueProcessId = id;
        process.ActiveProcessLinks.Initialize();
        return process;
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
