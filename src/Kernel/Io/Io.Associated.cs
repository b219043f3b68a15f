using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>IRPs that belong to another one, completion that outlives a driver, and what an IRP says of
/// itself.</summary>
sealed partial class Io
{
    public const uint IRP_PAGING_IO = 0x02, IRP_SYNCHRONOUS_API = 0x04, IRP_ASSOCIATED_IRP = 0x08,
        IRP_SYNCHRONOUS_PAGING_IO = 0x40;
    const int PriorityShift = 17;
    const uint PriorityMask = 7u << PriorityShift, IoPriorityNormal = 2, MaxIoPriorityTypes = 5;
    const uint CompletionTag = 0x706D_6F43;

    /// <summary>A part of the work of a master IRP, which is completed with the last of its associated ones. The caller
    /// sets the master's IrpCount.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public Irp IoMakeAssociatedIrp(Irp irp, sbyte stackSize)
    {
        if (stackSize < 0) return Irp.At(nt.Memory, Va.Null);
        Irp made = AllocateIrp(stackSize, nt.Caller, IrpOrigin.Associated);
        if (made.IsNull) return made;
        made.Flags |= IRP_ASSOCIATED_IRP;
        (made.MasterIrp, made.Thread) = (irp, irp.Thread);
        return made;
    }

    /// <summary>An associated IRP is complete: it goes, and the last one takes its master along.</summary>
    void FinishAssociated(Irp irp)
    {
        Irp master = irp.MasterIrp;
        for (Mdl mdl = irp.MdlAddress; !mdl.IsNull;)
        {
            nt.Ke.Clock.Spend();
            Mdl next = mdl.Next;
            nt.Mm.IoFreeMdl(mdl);
            mdl = next;
        }
        FreeIrp(irp);
        if (--master.IrpCount == 0) IofCompleteRequest(master, 0);
    }

    /// <summary>As IoSetCompletionRoutine; the device is referenced until the routine has run.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public NtStatus IoSetCompletionRoutineEx(
        DeviceObject deviceObject, Irp irp, Va completionRoutine, Va context, bool invokeOnSuccess, bool invokeOnError,
        bool invokeOnCancel)
    {
        NtObject device = nt.Ob.At(deviceObject.Address);
        Va block = nt.Mm.Pool.Allocate(24, PoolKind.NonPaged, CompletionTag, Va.Null, zero: true);
        if (block.IsNull) return STATUS_INSUFFICIENT_RESOURCES;
        nt.Memory.Write(block, deviceObject.Address);
        nt.Memory.Write(block + 8, completionRoutine);
        nt.Memory.Write(block + 16, context);
        IoStackLocation next = irp.CurrentStackLocation.Below;
        (next.CompletionRoutine, next.Context) = (UnloadSafeCompletion, block);
        next.Control = (invokeOnSuccess ? StackControl.SL_INVOKE_ON_SUCCESS : 0)
            | (invokeOnError ? StackControl.SL_INVOKE_ON_ERROR : 0)
            | (invokeOnCancel ? StackControl.SL_INVOKE_ON_CANCEL : 0);
        nt.Ob.Reference(device);
        return STATUS_SUCCESS;
    }

    Va UnloadSafeCompletion
    {
        get
        {
            if (field.IsNull) field = nt.Routines.Add("IopUnloadSafeCompletion", static (nt, call) =>
            {
                Va block = new(call.Argument(2));
                Va device = nt.Memory.Read<Va>(block), routine = nt.Memory.Read<Va>(block + 8);
                ulong context = nt.Memory.Read<ulong>(block + 16);
                nt.Mm.Pool.Free(block);
                ulong status = nt.Routines.Call(routine, call.Argument(0), call.Argument(1), context);
                nt.Ob.Dereference(nt.Ob.At(device));
                call.Return(status);
            });
            return field;
        }
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public Va IoGetTopLevelIrp() => nt.Ke.CurrentThread.TopLevelIrp;

    /// <summary>An IRP, or one of the numbers by which a file system knows who called it.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void IoSetTopLevelIrp(Va irp)
    {
        KThread thread = nt.Ke.CurrentThread;
        thread.TopLevelIrp = irp;
    }

    /// <summary>The requestor waits: its file is synchronous, the service is, or it pages and waits.</summary>
    [Export]
    public bool IoIsOperationSynchronous(Irp irp)
    {
        uint flags = irp.Flags;
        if ((flags & IRP_PAGING_IO) != 0) return (flags & IRP_SYNCHRONOUS_PAGING_IO) != 0;
        FileObject file = irp.OriginalFileObject;
        return (flags & IRP_SYNCHRONOUS_API) != 0 || !file.IsNull && (file.Flags & FO_SYNCHRONOUS_IO) != 0;
    }

    /// <summary>No transactions: an IRP_MJ_CREATE is in none.</summary>
    [Export]
    public Va IoGetTransactionParameterBlock(FileObject fileObject) => Va.Null;

    [Export]
    public NtStatus IoSetIoPriorityHint(Irp irp, uint priorityHint)
    {
        if (priorityHint >= MaxIoPriorityTypes) return STATUS_INVALID_PARAMETER;
        irp.Flags = irp.Flags & ~PriorityMask | priorityHint + 1 << PriorityShift;
        return STATUS_SUCCESS;
    }

    /// <summary>IO_PRIORITY_HINT: what was set; else normal (2).</summary>
    [Export]
    public uint IoGetIoPriorityHint(Irp irp)
    {
        uint hint = (irp.Flags & PriorityMask) >> PriorityShift;
        return hint is 0 or > MaxIoPriorityTypes ? IoPriorityNormal : hint - 1;
    }

    /// <summary>IO_PAGING_PRIORITY: 0 for an IRP that does not page, 1 normal, 2 for one that somebody waits
    /// for.</summary>
    [Export]
    public uint IoGetPagingIoPriority(Irp irp) =>
        (irp.Flags & IRP_PAGING_IO) == 0 ? 0u : IoGetIoPriorityHint(irp) > IoPriorityNormal ? 2u : 1u;

    /// <summary>Of the IRP's requestor; the process that has issued it for another one is not known apart.</summary>
    [Export(Support.Partial, "The initiator is not kept: it is the requestor."), IrqlRequiresMax(DISPATCH_LEVEL)]
    public EProcess IoGetInitiatorProcess(Irp irp) => IoGetRequestorProcess(irp);

    /// <summary>A status that an IRP may be completed with: not STATUS_PENDING, and none of a reserved code.</summary>
    [Export]
    public bool IoIsValidIrpStatus(NtStatus status) => status != STATUS_PENDING && status.Value != uint.MaxValue;

    /// <summary>The status of the master of associated IRPs becomes the worse one.</summary>
    [Export]
    public void IoSetMasterIrpStatus(Irp masterIrp, NtStatus status)
    {
        NtStatus old = masterIrp.IoStatus.Status;
        if (status == STATUS_FT_READ_FROM_COPY || (int)status.Value >= 0 && (int)old.Value < 0
            || status.Value >> 30 < old.Value >> 30) return;
        masterIrp.IoStatus = new(status, masterIrp.IoStatus.Information);
    }
}
