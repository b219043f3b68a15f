using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>The end of an IRP: what came of it reaches the requestor in its own thread and process.</summary>
/// <remarks>
/// A requestor that is not the completing thread gets a special kernel APC, which lies in the IRP (Tail.Apc). A request
/// that was pended on a file with a completion port travels to the port instead, and ends in the thread that takes it.
/// </remarks>
sealed partial class Io
{
    const uint FO_SKIP_COMPLETION_PORT = 0x0200_0000, FO_SKIP_SET_EVENT = 0x0400_0000;
    const int TailApcOffset = 0x78;

    /// <summary>All locations are behind it: MDLs are given back here, the rest where the requestor is.</summary>
    void Finish(Irp irp, IrpRecord record)
    {
        if ((irp.Flags & IRP_ASSOCIATED_IRP) != 0)
        {
            FinishAssociated(irp);
            return;
        }
        IoRequest? request = record.Request;
        if (request is not null)
            nt.OnCompleted(new Completed(request.Major, request.ControlCode, irp.IoStatus.Status,
                irp.IoStatus.Information, request.OutputLength, request.File.DeviceObject.Address));
        FreeMdls(irp);
        FreeAuxiliary(irp);
        if (record.Thread is not { } thread) Deliver(irp, request, isTold: !record.IsAbandoned);
        else if (request is { IsDispatching: true } && (irp.Flags & IRP_DEFER_IO_COMPLETION) != 0
            && !irp.PendingReturned) request.IsDeferred = true;
        else if (request is not null && IsForPort(irp, request)) SendToPort(irp, request, record);
        else if (thread == nt.Ke.Scheduler.Current && nt.Ke.Irql < APC_LEVEL && thread.Object.SpecialApcDisable == 0)
            Deliver(irp, request);
        else SendToThread(irp, request, thread);
    }

    // Its thread is there as long as the IRP is on its list.
    void SendToThread(Irp irp, IoRequest? request, NtThread thread)
    {
        var apc = KApc.At(nt.Memory, irp.Address + TailApcOffset);
        nt.Ke.KeInitializeApc(apc, thread.Object, 0, CompletionApc, AbortApc, Va.Null, 0, Va.Null);
        if (!nt.Ke.KeInsertQueueApc(apc, Va.Null, Va.Null, 0)) Deliver(irp, request, isTold: false);
    }

    /// <summary>IopCompleteRequest as the APC's kernel routine.</summary>
    Va CompletionApc
    {
        get
        {
            if (field.IsNull) field = nt.Routines.Add("IopCompleteRequest", static (nt, call) =>
                nt.Io.OnApc(new Va(call.Argument(0)), isTold: true));
            return field;
        }
    }

    /// <summary>Its rundown routine: the thread has ended before.</summary>
    Va AbortApc
    {
        get
        {
            if (field.IsNull) field = nt.Routines.Add("IopAbortRequest", static (nt, call) =>
                nt.Io.OnApc(new Va(call.Argument(0)), isTold: false));
            return field;
        }
    }

    void OnApc(Va apc, bool isTold)
    {
        Irp irp = Irp.At(nt.Memory, apc - TailApcOffset);
        if (FindRecord(irp.Address) is { } record) Deliver(irp, record.Request, isTold);
    }

    /// <summary>The last step: data and results to the requestor; what the system made for the IRP is given
    /// back.</summary>
    /// <param name="isTold">False for a requestor that has gone: nobody hears of it.</param>
    void Deliver(Irp irp, IoRequest? request, bool isTold = true)
    {
        IoStatusBlock result = irp.IoStatus;
        if (request is null)
        {
            CopyBack(irp, SystemBufferSize(irp), ref result);
            FreeSystemBuffer(irp);
            (Va iosb, KEvent @event) = (irp.UserIosb, irp.UserEvent);
            FreeIrp(irp);
            if (isTold && !iosb.IsNull) nt.Memory.Write(iosb, result);
            if (isTold && !@event.IsNull) Signal(@event);
            return;
        }
        bool pended = irp.PendingReturned;
        AddressSpace here = nt.Memory.Current;
        bool isElsewhere = request.Space is { } space && space != here;
        if (isElsewhere) nt.Memory.Current = request.Space!;
        if (isTold) CopyBack(irp, request.OutputLength, ref result);
        bool toldAll = isTold && (!IsError(result.Status) || pended && !request.IsWaitedFor);
        if ((toldAll || isTold && pended && request.IsSynchronousApi) && !request.Iosb.IsNull)
            WriteStatus(request.Iosb, result);
        if (isElsewhere) nt.Memory.Current = here;
        FreeSystemBuffer(irp);
        FreeIrp(irp);
        request.Irp = Va.Null;
        request.Complete(result.Status, result.Information);
        if (isTold) Tell(request, result, pended, toldAll);
        Release(request);
        request.OnComplete?.Invoke(request);
    }

    void Release(IoRequest request)
    {
        if (request.Event is { } @event) nt.Ob.Dereference(@event);
        if (request.HeldFile is not { } file) return;
        request.HeldFile = null;
        nt.Ob.Dereference(file);
    }

    /// <summary>Events, APC and packet. An error that the service itself returned is not told again.</summary>
    void Tell(IoRequest request, IoStatusBlock result, bool pended, bool toldAll)
    {
        if (request.Major != IRP_MJ_CLOSE) TellEvents(request, result, pended, toldAll);
        if (request.Done is { } done) Signal(done);
        if (toldAll && !request.ApcRoutine.IsNull) QueueApc(request);
        else if (toldAll && !request.ApcContext.IsNull) QueuePacket(request, result, pended);
    }

    void TellEvents(IoRequest request, IoStatusBlock result, bool pended, bool toldAll)
    {
        if (!toldAll && !pended) return;
        FileObject file = request.File;
        uint flags = file.Flags;
        if (toldAll && request.Event is { } @event)
        {
            Signal(KEvent.At(nt.Memory, @event.Body));
            if ((flags & FO_SYNCHRONOUS_IO) == 0) return;
        }
        // A service that waits on an asynchronous file does so by itself.
        if (request.IsSynchronousApi && (flags & FO_SYNCHRONOUS_IO) == 0) return;
        file.FinalStatus = result.Status;
        if ((flags & (FO_SKIP_SET_EVENT | FO_SYNCHRONOUS_IO)) != FO_SKIP_SET_EVENT) Signal(file.Event);
    }

    /// <summary>What a buffered request has brought goes to its caller: the bytes that the driver says, unless it
    /// failed. A caller's buffer that is not there any more makes the request fail.</summary>
    void CopyBack(Irp irp, ulong room, ref IoStatusBlock result)
    {
        // IRP_INPUT_OPERATION and IRP_SYNCHRONOUS_PAGING_IO are one bit.
        const uint read = IRP_BUFFERED_IO | IRP_INPUT_OPERATION;
        if ((irp.Flags & (read | IRP_PAGING_IO)) != read || irp.UserBuffer.IsNull) return;
        if (IsError(result.Status) || result.Status == STATUS_VERIFY_REQUIRED) return;
        // Windows copies what Information says, past the buffer's end if need be; that is reported, not repeated here.
        int count = (int)Math.Min(result.Information, room);
        try
        {
            if (count > 0) nt.Memory.Write(irp.UserBuffer, nt.Memory.ReadBytes(irp.SystemBuffer, count));
        }
        catch (PageFault fault) when (fault.Address.Value < nt.Mm.MmUserProbeAddress)
        {
            result = new IoStatusBlock(STATUS_ACCESS_VIOLATION, result.Information);
        }
    }

    void WriteStatus(Va iosb, IoStatusBlock result)
    {
        try
        {
            nt.Memory.Write(iosb, result);
        }
        catch (PageFault fault) when (fault.Address.Value < nt.Mm.MmUserProbeAddress)
        {
            // The caller has freed its status block: it does not want to know.
        }
    }

    void QueueApc(IoRequest request)
    {
        if (request.Thread is not { } thread) return;
        KApc apc = KApc.At(nt.Memory, nt.Mm.Pool.Allocate(KApc.Size, IrpTag));
        nt.Ke.KeInitializeApc(apc, thread.Object, 0, FreeApc, FreeApc, request.ApcRoutine, (byte)request.Mode,
            request.ApcContext);
        if (!nt.Ke.KeInsertQueueApc(apc, request.Iosb, Va.Null, 0)) nt.Mm.Pool.Free(apc.Address);
    }

    Va FreeApc
    {
        get
        {
            if (field.IsNull) field = nt.Routines.Add("IopDeallocateApc", static (nt, call) =>
                nt.Mm.Pool.Free(new Va(call.Argument(0))));
            return field;
        }
    }

    void FreeAuxiliary(Irp irp)
    {
        if (irp.AuxiliaryBuffer.IsNull) return;
        nt.Mm.Pool.Free(irp.AuxiliaryBuffer);
        irp.AuxiliaryBuffer = Va.Null;
    }

    // A warning, such as STATUS_BUFFER_OVERFLOW, brings its data.
    static bool IsError(NtStatus status) => status.Value >= 0xC000_0000;

    ulong SystemBufferSize(Irp irp) => nt.Mm.Pool.TryFind(irp.SystemBuffer, out PoolBlock? block) ? block!.Bytes : 0;

    void FreeMdls(Irp irp)
    {
        if (irp.MdlAddress.IsNull) return;
        for (Mdl mdl = irp.MdlAddress; !mdl.IsNull;)
        {
            nt.Ke.Clock.Spend();
            Mdl next = mdl.Next;
            if ((mdl.MdlFlags & MdlFlags.PagesLocked) != 0) nt.Mm.MmUnlockPages(mdl);
            nt.Mm.IoFreeMdl(mdl);
            mdl = next;
        }
        irp.MdlAddress = Mdl.At(nt.Memory, Va.Null);
    }

    void Signal(KEvent @event)
    {
        @event.SignalState = 1;
        nt.Ke.WakeWaiters(@event.Header);
    }
}
