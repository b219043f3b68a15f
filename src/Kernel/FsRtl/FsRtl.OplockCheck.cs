using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Oplocks: broken by what others do.</summary>
sealed partial class FsRtl
{
    const uint OPLOCK_FLAG_COMPLETE_IF_OPLOCKED = 1, OPLOCK_FLAG_OPLOCK_KEY_CHECK_ONLY = 2;

    [Export(Support.Partial, NoKeys), IrqlRequiresMax(APC_LEVEL)]
    public NtStatus FsRtlCheckOplock(Va oplock, Irp irp, Va context, Va completionRoutine, Va postIrpRoutine) =>
        FsRtlCheckOplockEx(oplock, irp, 0, context, completionRoutine, postIrpRoutine);

    /// <summary>Breaks what the operation demands. Where it must wait: STATUS_PENDING if there is a routine to be
    /// called then, else the thread waits.</summary>
    [Export(Support.Partial, NoKeys), IrqlRequiresMax(APC_LEVEL)]
    public NtStatus FsRtlCheckOplockEx(
        Va oplock, Irp irp, uint flags, Va context, Va completionRoutine, Va postIrpRoutine)
    {
        if (StateOf(oplock) is not { } state || (flags & OPLOCK_FLAG_OPLOCK_KEY_CHECK_ONLY) != 0)
            return STATUS_SUCCESS;
        IoStackLocation at = irp.CurrentStackLocation;
        if (at.MajorFunction == IrpMajor.IRP_MJ_CLEANUP)
        {
            if (state.HolderOf(at.FileObject) is { } closed) Release(state, closed, STATUS_OPLOCK_HANDLE_CLOSED);
            ResumeWaiting(state);
            return STATUS_SUCCESS;
        }
        return Break(state, irp, OplockDemand.OperationOf(nt.Memory, irp), flags, context, completionRoutine,
            postIrpRoutine);
    }

    /// <summary>Breaks what keeps handles open, as a create that met a sharing violation demands.</summary>
    [Export(Support.Partial, NoKeys), IrqlRequiresMax(APC_LEVEL)]
    public NtStatus FsRtlOplockBreakH(
        Va oplock, Irp irp, uint flags, Va context, Va completionRoutine, Va postIrpRoutine) =>
        StateOf(oplock) is not { } state ? STATUS_SUCCESS : Break(
            state, irp, OplockOperation.ShareConflict, flags, context, completionRoutine, postIrpRoutine);

    NtStatus Break(OplockState state, Irp irp, OplockOperation operation, uint flags, Va context, Va completionRoutine,
        Va postIrpRoutine)
    {
        FileObject file = irp.CurrentStackLocation.FileObject;
        (OplockHolder Holder, OplockBreak Break)[] breaks = [.. state.Holders
            .Where(h => h.File != file || h.Kind == OplockKind.LevelTwo)
            .Select(h => (h, OplockDemand.Of(operation, h, nt.Memory, irp)))
            .Where(b => b.Item2 is not null).Select(b => (b.h, b.Item2!.Value))];
        if (breaks.Length > 0 && OplockDemand.RequiresOplock(irp)) return STATUS_CANNOT_BREAK_OPLOCK;
        bool mustWait = false;
        foreach ((OplockHolder holder, OplockBreak demand) in breaks)
            mustWait |= Break(state, holder, demand.To) && demand.Waits;
        if (!mustWait) return STATUS_SUCCESS;
        if ((flags & OPLOCK_FLAG_COMPLETE_IF_OPLOCKED) != 0 || OplockDemand.CompletesIfOplocked(irp))
            return STATUS_OPLOCK_BREAK_IN_PROGRESS;
        return completionRoutine.IsNull ? WaitHere(state)
            : Post(state, irp, context, completionRoutine, postIrpRoutine);
    }

    /// <returns>Whether its holder must say that it has given up.</returns>
    bool Break(OplockState state, OplockHolder holder, OplockLevel to)
    {
        if (holder.BreakTo is { } before)
        {
            // It has been told, and learns with its acknowledgment that it must go further down.
            holder.BreakTo = before & to;
            return true;
        }
        bool acknowledge = holder.IsExclusive || holder.HasHandle;
        if (acknowledge) holder.BreakTo = to;
        else state.Holders.Remove(holder);
        TellBroken(holder, to, STATUS_SUCCESS, acknowledge);
        return acknowledge;
    }

    NtStatus WaitHere(OplockState state)
    {
        KEvent done = KEvent.At(nt.Memory, nt.Mm.Pool.Allocate(KEvent.Size, OplockTag));
        done.Header.Initialize(DispatcherType.NotificationEvent, KEvent.Size, 0);
        state.Waiting.Add((Irp.At(nt.Memory, Va.Null), _ => nt.Ke.KeSetEvent(done, 0, false)));
        nt.Ke.WaitFor([done.Header], all: false, deadline: null);
        nt.Mm.Pool.Free(done.Address);
        return STATUS_SUCCESS;
    }

    NtStatus Post(OplockState state, Irp irp, Va context, Va completionRoutine, Va postIrpRoutine)
    {
        if (!postIrpRoutine.IsNull) nt.Routines.Call(postIrpRoutine, context.Value, irp.Address.Value);
        return WaitForBreak(state, irp, status =>
        {
            irp.IoStatus = new IoStatusBlock(status, 0);
            nt.Routines.Call(completionRoutine, context.Value, irp.Address.Value);
        });
    }

    /// <summary>False while anybody has an oplock: reads and writes must be checked against it.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool FsRtlOplockIsFastIoPossible(Va oplock) => StateOf(oplock) is not { Holders.Count: > 0 };

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool FsRtlCurrentBatchOplock(Va oplock) =>
        StateOf(oplock)?.Holders.Exists(h => h.Kind is OplockKind.Batch or OplockKind.Filter) ?? false;

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool FsRtlCurrentOplock(Va oplock) => StateOf(oplock) is { Holders.Count: > 0 };

    /// <summary>Whether one is held that lets handles be kept open.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool FsRtlCurrentOplockH(Va oplock) => StateOf(oplock)?.Holders.Exists(h => h.HasHandle) ?? false;

    /// <summary>Whether an FSCTL asks for an oplock that others may have, too.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool FsRtlOplockIsSharedRequest(Irp irp)
    {
        IoStackLocation at = irp.CurrentStackLocation;
        if (at.MajorFunction != IrpMajor.IRP_MJ_FILE_SYSTEM_CONTROL) return false;
        var code = (uint)at.Parameter3;
        if (code != FSCTL_REQUEST_OPLOCK) return code == FSCTL_REQUEST_OPLOCK_LEVEL_2;
        return (uint)at.Parameter2 >= 12
            && ((OplockLevel)nt.Memory.Read<uint>(irp.SystemBuffer + 4) & OplockLevel.Write) == 0;
    }
}
