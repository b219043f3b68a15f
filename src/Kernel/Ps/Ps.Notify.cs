using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Routines that drivers register to be told of processes, threads and images.</summary>
sealed partial class Ps
{
    const int MaximumRoutines = 64;
    const uint NotifyTag = 0x664E_7350;         // 'PsNf'

    readonly List<(Va Routine, bool IsExtended)> _processRoutines = [];
    readonly List<Va> _threadRoutines = [], _imageRoutines = [];

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus PsSetCreateProcessNotifyRoutine(Va notifyRoutine, bool remove) =>
        SetProcessRoutine(notifyRoutine, remove, isExtended: false);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus PsSetCreateProcessNotifyRoutineEx(Va notifyRoutine, bool remove) =>
        SetProcessRoutine(notifyRoutine, remove, isExtended: true);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus PsSetCreateProcessNotifyRoutineEx2(uint notifyType, Va notifyInformation, bool remove) =>
        notifyType != 0 ? STATUS_INVALID_PARAMETER
            : SetProcessRoutine(notifyInformation, remove, isExtended: true);

    NtStatus SetProcessRoutine(Va routine, bool remove, bool isExtended)
    {
        if (remove)
            return _processRoutines.Remove((routine, isExtended)) ? STATUS_SUCCESS : STATUS_PROCEDURE_NOT_FOUND;
        if (routine.IsNull || _processRoutines.Count >= MaximumRoutines) return STATUS_INVALID_PARAMETER;
        // What may forbid a process must come from an image linked with /INTEGRITYCHECK.
        if (isExtended && !nt.Ob.MayCallBack(routine)) return STATUS_ACCESS_DENIED;
        _processRoutines.Add((routine, isExtended));
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus PsSetCreateThreadNotifyRoutine(Va notifyRoutine) => AddRoutine(_threadRoutines, notifyRoutine);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus PsSetCreateThreadNotifyRoutineEx(uint notifyType, Va notifyInformation) =>
        notifyType > 1 ? STATUS_INVALID_PARAMETER : AddRoutine(_threadRoutines, notifyInformation);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus PsRemoveCreateThreadNotifyRoutine(Va notifyRoutine) =>
        _threadRoutines.Remove(notifyRoutine) ? STATUS_SUCCESS : STATUS_PROCEDURE_NOT_FOUND;

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus PsSetLoadImageNotifyRoutine(Va notifyRoutine) => AddRoutine(_imageRoutines, notifyRoutine);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus PsSetLoadImageNotifyRoutineEx(Va notifyRoutine, ulong flags) =>
        flags > 1 ? STATUS_INVALID_PARAMETER_2 : AddRoutine(_imageRoutines, notifyRoutine);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus PsRemoveLoadImageNotifyRoutine(Va notifyRoutine) =>
        _imageRoutines.Remove(notifyRoutine) ? STATUS_SUCCESS : STATUS_PROCEDURE_NOT_FOUND;

    static NtStatus AddRoutine(List<Va> routines, Va routine)
    {
        if (routine.IsNull) return STATUS_INVALID_PARAMETER;
        if (routines.Count >= MaximumRoutines) return STATUS_INSUFFICIENT_RESOURCES;
        routines.Add(routine);
        return STATUS_SUCCESS;
    }

    /// <summary>PS_CREATE_NOTIFY_INFO goes from routine to routine; a status in it ends the process before it
    /// runs.</summary>
    NtStatus NotifyCreate(NtProcess process)
    {
        if (_processRoutines.Count == 0) return STATUS_SUCCESS;
        const int size = 0x48, creationStatus = 0x40;
        Va info = nt.Mm.Pool.Allocate(size, NotifyTag), name = nt.Rtl.AllocateString(process.ImageName);
        KThread creator = nt.Ke.CurrentThread;
        nt.Memory.Write(info, (ulong)size);
        nt.Memory.Write(info + 8, 1u);          // FileOpenNameAvailable
        nt.Memory.Write(info + 0x10, process.Object.InheritedFromUniqueProcessId);
        nt.Memory.Write(info + 0x18, creator.UniqueProcess);
        nt.Memory.Write(info + 0x20, creator.UniqueThread);
        nt.Memory.Write(info + 0x30, name);
        NtStatus status = STATUS_SUCCESS;
        foreach ((Va routine, bool isExtended) in _processRoutines.ToArray())
        {
            if (isExtended)
                nt.Routines.Call(routine, process.Object.Address.Value, process.Id, info.Value);
            else nt.Routines.Call(routine, process.Object.InheritedFromUniqueProcessId, process.Id, 1);
            status = nt.Memory.Read<NtStatus>(info + creationStatus);
        }
        nt.Mm.Pool.Free(UnicodeString.At(nt.Memory, name).Buffer);
        nt.Mm.Pool.Free(name);
        nt.Mm.Pool.Free(info);
        return status.IsSuccess ? STATUS_SUCCESS : status;
    }

    void NotifyExit(NtProcess process)
    {
        foreach ((Va routine, bool isExtended) in _processRoutines.ToArray())
        {
            if (isExtended) nt.Routines.Call(routine, process.Object.Address.Value, process.Id, 0);
            else nt.Routines.Call(routine, process.Object.InheritedFromUniqueProcessId, process.Id, 0);
        }
    }

    /// <summary>Tells of a thread that begins (in its creator's context) or ends (in its own).</summary>
    public void NotifyThread(KThread thread, bool create)
    {
        foreach (Va routine in _threadRoutines.ToArray())
            nt.Routines.Call(routine, thread.UniqueProcess, thread.UniqueThread, create ? 1UL : 0);
    }

    /// <summary>Tells of a driver's image that is mapped, before its entry point runs.</summary>
    public void NotifyImage(LoadedImage image)
    {
        if (_imageRoutines.Count == 0) return;
        const int size = 0x28;
        const uint addressingMode = 3, systemModeImage = 0x100;
        Va info = nt.Mm.Pool.Allocate(size, NotifyTag);
        Va name = nt.Rtl.AllocateString($@"\SystemRoot\System32\drivers\{image.Name}");
        nt.Memory.Write(info, addressingMode | systemModeImage);
        nt.Memory.Write(info + 8, image.Base);
        nt.Memory.Write(info + 0x18, (ulong)image.Size);
        nt.BeginRequest();
        nt.Ke.InSystemContext = true;
        try
        {
            foreach (Va routine in _imageRoutines.ToArray())
                nt.Routines.Call(routine, name.Value, 0, info.Value);
        }
        finally
        {
            nt.Ke.InSystemContext = false;
        }
        nt.Mm.Pool.Free(UnicodeString.At(nt.Memory, name).Buffer);
        nt.Mm.Pool.Free(name);
        nt.Mm.Pool.Free(info);
    }
}
