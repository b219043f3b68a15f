using Ringdown.Machine;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Processes and threads: the System process, users' processes, threads that drivers make.</summary>
[NtModule("ntoskrnl.exe")]
sealed partial class Ps(NtKernel nt)
{
    const ulong SystemId = 4, UserId = 0x1000;

    static readonly Va s_sharedData = new(0x7FFE_0000);

    readonly SortedDictionary<ulong, NtProcess> _processes = [];
    ulong _nextId = 0x1004;

    public EProcess SystemProcess { get; private set; }

    /// <summary>The process in whose name requests come from outside.</summary>
    public EProcess UserProcess { get; private set; }

    /// <summary>The process whose handles and user half count now: the thread's, or the one it is attached
    /// to.</summary>
    public EProcess CurrentProcess =>
        nt.Ke.InSystemContext && nt.Ke.Scheduler.Current == nt.Ke.Scheduler.Owner ? SystemProcess
            : EProcess.At(nt.Memory, nt.Ke.CurrentThread.Process);

    public NtProcess System { get; private set; } = null!;
    public NtProcess Current => Find(CurrentProcess) ?? System;

    /// <summary>All processes by their ids, ended ones too as long as somebody holds them.</summary>
    public IEnumerable<NtProcess> All => _processes.Values;

    [ExportData] public Va PsInitialSystemProcess => SystemProcess.Address;

    public void Boot()
    {
        System = NewProcess(SystemId, "System", new AddressSpace(), nt.Se.NewSystemToken(), 0);
        SystemProcess = System.Object;
        Token user = nt.Se.NewUserToken(nt.Options.UserIsAdministrator);
        UserProcess = NewProcess(
            UserId, @"\Device\HarddiskVolume1\Windows\user.exe", nt.Memory.Current, user, SystemId).Object;
        nt.Ke.Scheduler.AdoptIdle(NewIdleThread);
        NtThread owner = NewThread("user", UserProcess, UserId + 4, At(UserProcess).AddressSpace);
        nt.Ke.Scheduler.Adopt(owner);
    }

    NtProcess NewProcess(ulong id, string imageName, AddressSpace space, Token token, ulong parentId)
    {
        NtObject made = nt.Ob.Create(nt.Ob.ProcessType, EProcess.Size);
        var process = EProcess.At(nt.Memory, made.Body);
        process.Header.Initialize(DispatcherType.Process, EProcess.Size, 0);
        (process.UniqueProcessId, process.InheritedFromUniqueProcessId) = (id, parentId);
        process.CreateTime = nt.Ke.Clock.SystemTime;
        process.ExitStatus = STATUS_PENDING;
        process.Token = token.Object!.Body;
        string shortName = imageName[(imageName.LastIndexOf('\\') + 1)..];
        for (int i = 0; i < Math.Min(15, shortName.Length); i++)
            nt.Memory.Write(process.ImageFileName + i, (byte)shortName[i]);
        var state = new NtProcess(nt.Se, process, imageName, space, token);
        made.State = state;
        process.ActiveProcessLinks.Initialize();
        if (_processes.TryGetValue(SystemId, out NtProcess? first))
            first.Object.ActiveProcessLinks.InsertTail(process.ActiveProcessLinks);
        _processes.Add(id, state);
        nt.Ob.SetSecurity(made, Se.ForProcess(token, nt.Ob.ProcessType.Mapping));
        return state;
    }

    /// <summary>The process at an address; null where there is none.</summary>
    public NtProcess? Find(EProcess process) => nt.Ob.Find(process.Address)?.State as NtProcess;

    public NtProcess? Find(ulong id) => _processes.GetValueOrDefault(id);

    /// <summary>The process at an address, as an export gets it.</summary>
    public NtProcess At(EProcess process) =>
        Find(process) ?? throw new BugCheck(BugCheckCode.REFERENCE_BY_POINTER, 0, process.Address.Value);

    /// <summary>The user half of a process: what attaching to it makes visible. Null for what is no process.</summary>
    public AddressSpace? AddressSpaceOf(EProcess process) => Find(process)?.AddressSpace;

    /// <summary>The process that a thread was made in, whatever it is attached to.</summary>
    public NtProcess? ProcessOf(KThread thread) =>
        nt.Ob.Find(thread.Address)?.Type == nt.Ob.ThreadType ? Find(thread.UniqueProcess) : null;

    /// <summary>The process behind a handle.</summary>
    public NtStatus Resolve(Handle handle, uint access, ProcessorMode mode, out NtProcess? process)
    {
        NtStatus status = nt.Ob.Resolve(handle, access, nt.Ob.ProcessType, mode, out HandleEntry? entry);
        process = status.IsSuccess ? entry!.Object.State as NtProcess : null;
        return status.IsSuccess && process is null ? STATUS_OBJECT_TYPE_MISMATCH : status;
    }

    /// <summary>A process of a user's, with an address space and a handle table of its own and without threads. Drivers
    /// that asked for it are told, and may forbid it.</summary>
    /// <param name="token">Who it runs as, with a reference that goes to the process; null for the user of the first
    /// one.</param>
    public NtStatus CreateUserProcess(string imageName, out NtProcess? process, Token? token = null)
    {
        var space = new AddressSpace();
        token ??= nt.Se.Make(Find(UserProcess)!.Token.With(nt.Se.NewLuid(), isPrimary: true, default));
        process = NewProcess(NextId(), imageName, space, token, Current.Id);
        InProcess(process, MapSharedData);
        NtStatus status = NotifyCreate(process);
        if (status.IsSuccess) return status;
        Exit(process, status);
        process = null;
        return status;
    }

    // Every process sees KUSER_SHARED_DATA, and cannot write it.
    NtStatus MapSharedData()
    {
        int frame = nt.Memory.FrameOf(new Va(0xFFFF_F780_0000_0000));
        nt.Memory.MapFrame(s_sharedData, frame, Protection.Read | Protection.User);
        return STATUS_SUCCESS;
    }

    /// <summary>Does something as a thread that is attached to a process.</summary>
    public NtStatus InProcess(NtProcess process, Func<NtStatus> action)
    {
        NtThread thread = nt.Ke.Scheduler.Current;
        KThread body = thread.Object;
        (Va before, AddressSpace space, bool inSystem) = (body.Process, thread.AddressSpace, nt.Ke.InSystemContext);
        body.Process = process.Object.Address;
        nt.Memory.Current = thread.AddressSpace = process.AddressSpace;
        nt.Ke.InSystemContext = process == System && inSystem;
        try
        {
            return action();
        }
        finally
        {
            body.Process = before;
            nt.Memory.Current = thread.AddressSpace = space;
            nt.Ke.InSystemContext = inSystem;
        }
    }

    /// <summary>The end of a process: drivers are told, its handles are closed, its memory goes, waiters go
    /// on.</summary>
    public void Exit(NtProcess process, NtStatus status)
    {
        EProcess body = process.Object;
        if (body.IsExiting) return;
        if ((body.Flags & EProcess.BreakOnTermination) != 0)
            throw new BugCheck(BugCheckCode.CRITICAL_PROCESS_DIED, body.Address.Value);
        body.Flags |= EProcess.ProcessExiting | EProcess.ProcessDelete;
        (body.ExitStatus, body.ExitTime) = (status, nt.Ke.Clock.SystemTime);
        NtObject target = nt.Ob.At(body.Address);
        nt.Ob.Reference(target);
        InProcess(process, () =>
        {
            NotifyExit(process);
            foreach (NtThread thread in nt.Ke.Scheduler.Threads.ToArray())
                if (thread.Object.UniqueProcess == process.Id) nt.Io.CancelOf(thread);
            nt.Ob.CloseAll(process.Handles);
            return STATUS_SUCCESS;
        });
        nt.Ke.KeSetEvent(KEvent.At(nt.Memory, body.Address), 0, false);
        if (body != UserProcess)
        {
            InProcess(process, () => DeleteSpace(process));
            nt.Ob.Dereference(target);
        }
        nt.Ob.Dereference(target);
    }

    NtStatus DeleteSpace(NtProcess process)
    {
        nt.Mm.DeleteSpace(process.Object);
        nt.Memory.Unmap(s_sharedData, Va.PageSize);
        return STATUS_SUCCESS;
    }

    /// <summary>The last reference to a process is gone.</summary>
    public void OnDeleteProcess(NtObject target)
    {
        if (target.State is not NtProcess process) return;
        process.Object.ActiveProcessLinks.Remove();
        _processes.Remove(process.Id);
        nt.Ob.Dereference(process.OwnToken.Object!);
    }

    public void OnDeleteThread(NtObject target)
    {
        if (!_impersonations.Remove(target.Body, out Impersonation? acting)) return;
        nt.Ob.Dereference(acting.Token.Object!);
    }
}
