using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Oplocks: granted and acknowledged by FSCTLs.</summary>
/// <remarks>The OPLOCK is a pointer, from the first request on, to a block that stands for the state.</remarks>
sealed partial class FsRtl
{
    const uint OplockTag = 0x6C4F_5346;      // 'FSOl'
    const uint FSCTL_REQUEST_OPLOCK_LEVEL_1 = 0x9_0000, FSCTL_REQUEST_OPLOCK_LEVEL_2 = 0x9_0004,
        FSCTL_REQUEST_BATCH_OPLOCK = 0x9_0008, FSCTL_OPLOCK_BREAK_ACKNOWLEDGE = 0x9_000C,
        FSCTL_OPBATCH_ACK_CLOSE_PENDING = 0x9_0010, FSCTL_OPLOCK_BREAK_NOTIFY = 0x9_0014,
        FSCTL_OPLOCK_BREAK_ACK_NO_2 = 0x9_0050, FSCTL_REQUEST_FILTER_OPLOCK = 0x9_005C,
        FSCTL_REQUEST_OPLOCK = 0x9_0240;
    const ulong FILE_OPLOCK_BROKEN_TO_LEVEL_2 = 7, FILE_OPLOCK_BROKEN_TO_NONE = 8;
    const uint REQUEST_OPLOCK_INPUT_FLAG_REQUEST = 1, REQUEST_OPLOCK_INPUT_FLAG_ACK = 2;
    const uint FO_SYNCHRONOUS_IO = 2;
    const OplockLevel AllLevels = OplockLevel.Read | OplockLevel.Handle | OplockLevel.Write;
    const string NoKeys = "Oplock keys are not kept: each file object is an owner of its own.";

    readonly OpaqueStore<OplockState> _oplocks = new(nt, 0x40, OplockTag);

    OplockState? StateOf(Va oplock) => nt.Memory.Read<Va>(oplock) is { IsNull: false } at ? _oplocks[at] : null;

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void FsRtlInitializeOplock(Va oplock) => nt.Memory.Write(oplock, Va.Null);

    /// <summary>The file is gone: oplocks are broken to none, who waits goes on.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void FsRtlUninitializeOplock(Va oplock)
    {
        if (StateOf(oplock) is not { } state) return;
        _oplocks.Remove(nt.Memory.Read<Va>(oplock));
        nt.Memory.Write(oplock, Va.Null);
        foreach (OplockHolder holder in state.Holders.ToArray()) Release(state, holder, STATUS_SUCCESS);
        ResumeWaiting(state);
    }

    /// <summary>An IRP_MJ_FILE_SYSTEM_CONTROL about oplocks, which is completed or kept by it.</summary>
    [Export(Support.Partial, NoKeys), IrqlRequiresMax(APC_LEVEL)]
    public NtStatus FsRtlOplockFsctrl(Va oplock, [AliasesMem] Irp irp, uint openCount)
    {
        if (StateOf(oplock) is null) nt.Memory.Write(oplock, _oplocks.Add(new OplockState()));
        OplockState state = StateOf(oplock)!;
        const OplockLevel all = AllLevels, readWrite = OplockLevel.Read | OplockLevel.Write;
        return (uint)irp.CurrentStackLocation.Parameter3 switch
        {
            FSCTL_REQUEST_OPLOCK_LEVEL_1 => Grant(state, OplockKind.LevelOne, readWrite, irp, openCount),
            FSCTL_REQUEST_BATCH_OPLOCK => Grant(state, OplockKind.Batch, all, irp, openCount),
            FSCTL_REQUEST_FILTER_OPLOCK =>
                Grant(state, OplockKind.Filter, OplockLevel.Read | OplockLevel.Handle, irp, openCount),
            FSCTL_REQUEST_OPLOCK_LEVEL_2 => openCount != 0 ? Done(irp, STATUS_OPLOCK_NOT_GRANTED)
                : Grant(state, OplockKind.LevelTwo, OplockLevel.Read, irp, openCount),
            FSCTL_OPLOCK_BREAK_ACKNOWLEDGE => Acknowledge(state, irp, OplockLevel.Read),
            FSCTL_OPLOCK_BREAK_ACK_NO_2 => Acknowledge(state, irp, OplockLevel.None),
            FSCTL_OPBATCH_ACK_CLOSE_PENDING => AcknowledgeClose(state, irp),
            FSCTL_OPLOCK_BREAK_NOTIFY => state.IsBreaking
                ? WaitForBreak(state, irp, status => Done(irp, status)) : Done(irp, STATUS_SUCCESS),
            FSCTL_REQUEST_OPLOCK => RequestLevels(state, irp, openCount),
            _ => Done(irp, STATUS_INVALID_PARAMETER),
        };
    }

    NtStatus Done(Irp irp, NtStatus status, ulong information = 0)
    {
        _pending.Complete(irp, status, information);
        return status;
    }

    NtStatus Grant(OplockState state, OplockKind kind, OplockLevel level, Irp irp, uint openCount)
    {
        FileObject file = irp.CurrentStackLocation.FileObject;
        if ((file.Flags & FO_SYNCHRONOUS_IO) != 0 || !state.MayGrant(kind, level, file, openCount))
            return Done(irp, STATUS_OPLOCK_NOT_GRANTED);
        if (state.HolderOf(file) is { } before) Release(state, before, STATUS_OPLOCK_SWITCHED_TO_NEW_HANDLE);
        Hold(state, new OplockHolder(kind, level, file, irp));
        return STATUS_PENDING;
    }

    void Hold(OplockState state, OplockHolder holder)
    {
        if (!state.Holders.Contains(holder)) state.Holders.Add(holder);
        Irp irp = holder.Irp;
        _pending.Add(irp, () =>
        {
            if (holder.BreakTo is null) state.Holders.Remove(holder);
            _pending.Cancel(irp);
            ResumeWaiting(state);
        });
    }

    NtStatus RequestLevels(OplockState state, Irp irp, uint openCount)
    {
        IoStackLocation at = irp.CurrentStackLocation;
        const uint inputBytes = 12, outputBytes = 24;
        if ((uint)at.Parameter2 < inputBytes || (uint)at.Parameter1 < outputBytes)
            return Done(irp, STATUS_BUFFER_TOO_SMALL);
        var level = (OplockLevel)(nt.Memory.Read<uint>(irp.SystemBuffer + 4) & (uint)AllLevels);
        uint flags = nt.Memory.Read<uint>(irp.SystemBuffer + 8);
        if ((flags & REQUEST_OPLOCK_INPUT_FLAG_ACK) != 0) return Acknowledge(state, irp, level);
        bool known = level is OplockLevel.Read or (OplockLevel.Read | OplockLevel.Handle)
            or (OplockLevel.Read | OplockLevel.Write) or AllLevels;
        if ((flags & REQUEST_OPLOCK_INPUT_FLAG_REQUEST) == 0 || !known) return Done(irp, STATUS_INVALID_PARAMETER);
        return Grant(state, OplockKind.Cache, level, irp, openCount);
    }

    // The holder takes a lower level, at most what it was broken to.
    NtStatus Acknowledge(OplockState state, Irp irp, OplockLevel wanted)
    {
        OplockHolder? holder = state.HolderOf(irp.CurrentStackLocation.FileObject);
        if (holder?.BreakTo is not { } offered) return Done(irp, STATUS_INVALID_OPLOCK_PROTOCOL);
        OplockLevel level = wanted & offered;
        state.Holders.Remove(holder);
        NtStatus status = STATUS_SUCCESS;
        bool isLower = wanted != OplockLevel.None && holder.Kind != OplockKind.Cache;
        if (level == OplockLevel.None)
            _pending.Complete(irp, STATUS_SUCCESS, isLower ? FILE_OPLOCK_BROKEN_TO_NONE : 0);
        else
        {
            OplockKind kind = holder.Kind == OplockKind.Cache ? OplockKind.Cache : OplockKind.LevelTwo;
            Hold(state, new OplockHolder(kind, level, holder.File, irp));
            status = STATUS_PENDING;
        }
        ResumeWaiting(state);
        return status;
    }

    NtStatus AcknowledgeClose(OplockState state, Irp irp)
    {
        OplockHolder? holder = state.HolderOf(irp.CurrentStackLocation.FileObject);
        if (holder?.BreakTo is null) return Done(irp, STATUS_INVALID_OPLOCK_PROTOCOL);
        holder.ClosePending = true;
        return Done(irp, STATUS_SUCCESS);
    }

    // Its request, if it still waits, ends as that of a broken oplock.
    void Release(OplockState state, OplockHolder holder, NtStatus status)
    {
        state.Holders.Remove(holder);
        if (holder.BreakTo is not null) return;
        TellBroken(holder, OplockLevel.None, holder.Kind == OplockKind.Cache ? status : STATUS_SUCCESS,
            mustAcknowledge: false);
    }

    void TellBroken(OplockHolder holder, OplockLevel to, NtStatus status, bool mustAcknowledge)
    {
        Irp irp = holder.Irp;
        if (holder.Kind != OplockKind.Cache)
        {
            Done(irp, status, to == OplockLevel.None ? FILE_OPLOCK_BROKEN_TO_NONE : FILE_OPLOCK_BROKEN_TO_LEVEL_2);
            return;
        }
        // REQUEST_OPLOCK_OUTPUT_BUFFER
        Va output = irp.SystemBuffer;
        nt.Memory.Write(output, 1u | 24u << 16);
        nt.Memory.Write(output + 4, (uint)holder.Level);
        nt.Memory.Write(output + 8, (uint)to);
        nt.Memory.Write(output + 12, mustAcknowledge ? 1u : 0);
        nt.Memory.Write(output + 16, 0UL);
        Done(irp, status, 24);
    }

    NtStatus WaitForBreak(OplockState state, Irp irp, Action<NtStatus> resume)
    {
        state.Waiting.Add((irp, resume));
        _pending.Add(irp, () =>
        {
            state.Waiting.RemoveAll(w => w.Irp == irp);
            resume(STATUS_CANCELLED);
        });
        return STATUS_PENDING;
    }

    void ResumeWaiting(OplockState state)
    {
        if (state.IsBreaking) return;
        (Irp Irp, Action<NtStatus> Resume)[] waiting = [.. state.Waiting];
        state.Waiting.Clear();
        foreach ((Irp irp, Action<NtStatus> resume) in waiting)
        {
            if (!irp.IsNull) _pending.Remove(irp);
            resume(STATUS_SUCCESS);
        }
    }
}
