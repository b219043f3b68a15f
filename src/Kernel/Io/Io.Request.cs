using Ringdown.Machine;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Requests on open files: an IRP is made, its buffers as the device wants them, sent, and its results brought
/// back.</summary>
sealed partial class Io
{
    const uint IRP_BUFFERED_IO = 0x10, IRP_DEALLOCATE_BUFFER = 0x20, IRP_INPUT_OPERATION = 0x40,
        IRP_CLOSE_OPERATION = 0x400;
    /// <summary>How long a request may be pending while something still happens in the machine: 10 s of its
    /// time.</summary>
    const long PatienceTicks = 100_000_000;
    const uint BufferTag = 0x2053_6F49;     // 'IoS '

    enum Method { Buffered, InDirect, OutDirect, Neither }

    /// <summary>Sends a request to the top of the file's device stack. It may be pending when this returns.</summary>
    public NtStatus Send(IoRequest request)
    {
        // A write at -1 appends; every other negative offset is refused before an IRP is made.
        if (request.ByteOffset < 0 && !(request.Major == IRP_MJ_WRITE && request.ByteOffset == -1))
        {
            request.Complete(STATUS_INVALID_PARAMETER, 0);
            return STATUS_INVALID_PARAMETER;
        }
        DeviceObject top = TopOf(request.File.DeviceObject);
        Irp irp = AllocateIrp(top.StackSize, Va.Null);
        irp.RequestorMode = request.Mode;
        irp.Thread = nt.Ke.CurrentThread;
        irp.OriginalFileObject = request.File;
        request.Irp = irp.Address;
        Record(irp).Request = request;
        IoStackLocation location = irp.CurrentStackLocation.Below;
        (location.MajorFunction, location.MinorFunction, location.FileObject) =
            (request.Major, request.Minor, request.File);
        KEvent done = request.File.Event;
        done.SignalState = 0;
        if (SetUp(irp, location, request, top) is { IsSuccess: false } refused)
        {
            FreeIrp(irp);
            request.Complete(refused, 0);
            return refused;
        }
        // Whether it is complete shows in the request; what dispatch returned is the verifier's business.
        IofCallDriver(top, irp);
        return request.Status;
    }

    /// <summary>Runs the machine until the request is complete, or until nothing more happens in it.</summary>
    /// <returns>The request's status; STATUS_PENDING if it waits for something from outside.</returns>
    public NtStatus Await(IoRequest request)
    {
        long patience = nt.Ke.Clock.Now + PatienceTicks;
        while (!request.IsComplete)
        {
            KEvent done = request.File.Event;
            done.SignalState = 0;
            if (nt.Ke.WaitFor([done.Header], all: false, patience, idle: STATUS_PENDING) != STATUS_SUCCESS) break;
        }
        return request.Status;
    }

    NtStatus SetUp(Irp irp, IoStackLocation location, IoRequest request, DeviceObject top)
    {
        if (request.Major is IRP_MJ_READ or IRP_MJ_WRITE)
        {
            (location.Parameter1, location.Parameter3) = (request.OutputLength, (ulong)request.ByteOffset);
            if (request.Major == IRP_MJ_WRITE) location.Parameter1 = request.InputLength;
            return SetUpTransfer(irp, request, top);
        }
        if (request.Major is not (IRP_MJ_DEVICE_CONTROL or IRP_MJ_INTERNAL_DEVICE_CONTROL)) return STATUS_SUCCESS;
        (location.Parameter1, location.Parameter2) = (request.OutputLength, request.InputLength);
        location.Parameter3 = request.ControlCode;
        return SetUpControl(irp, location, request);
    }

    NtStatus SetUpTransfer(Irp irp, IoRequest request, DeviceObject top)
    {
        bool write = request.Major == IRP_MJ_WRITE;
        (Va buffer, uint length) = write ? (request.InputBuffer, request.InputLength)
            : (request.OutputBuffer, request.OutputLength);
        irp.UserBuffer = buffer;
        if (length == 0) return STATUS_SUCCESS;
        if ((top.Flags & DO_BUFFERED_IO) != 0)
            return write ? MakeSystemBuffer(irp, buffer, length, length)
                : MayAccess(buffer, length, Access.Write, request.Mode) ? MakeSystemBuffer(irp, Va.Null, 0, length)
                : STATUS_ACCESS_VIOLATION;
        return (top.Flags & DO_DIRECT_IO) != 0
            ? LockBuffer(irp, buffer, length, write ? Access.Read : Access.Write, request.Mode)
            : STATUS_SUCCESS;
    }

    NtStatus SetUpControl(Irp irp, IoStackLocation location, IoRequest request)
    {
        var method = (Method)(request.ControlCode & 3);
        irp.UserBuffer = request.OutputBuffer;
        // For METHOD_NEITHER nobody has looked at the pointers: that is the driver's to do.
        if (method == Method.Neither)
        {
            location.Parameter4 = request.InputBuffer.Value;
            return STATUS_SUCCESS;
        }
        if (method == Method.Buffered
            && !MayAccess(request.OutputBuffer, request.OutputLength, Access.Write, request.Mode))
            return STATUS_ACCESS_VIOLATION;
        uint size = method == Method.Buffered ? Math.Max(request.InputLength, request.OutputLength)
            : request.InputLength;
        if (size > 0 && MakeSystemBuffer(
            irp, request.InputBuffer, request.InputLength, size) is { IsSuccess: false } bad)
            return bad;
        if (method == Method.Buffered)
        {
            if (request.OutputLength > 0) irp.Flags |= IRP_INPUT_OPERATION;
            return STATUS_SUCCESS;
        }
        if (request.OutputLength == 0) return STATUS_SUCCESS;
        Access access = method == Method.InDirect ? Access.Read : Access.Write;
        NtStatus locked = LockBuffer(irp, request.OutputBuffer, request.OutputLength, access, request.Mode);
        if (!locked.IsSuccess) FreeSystemBuffer(irp);
        return locked;
    }

    /// <summary>A system buffer of a size, with the caller's input in it; the rest is zero, so that no pool content
    /// leaks.</summary>
    NtStatus MakeSystemBuffer(Irp irp, Va input, uint inputLength, uint size)
    {
        if (size > 1 << 28) return STATUS_INSUFFICIENT_RESOURCES;
        if (!MayAccess(input, inputLength, Access.Read, irp.RequestorMode)) return STATUS_ACCESS_VIOLATION;
        irp.SystemBuffer = nt.Mm.Pool.Allocate((int)size, BufferTag);
        irp.Flags |= IRP_BUFFERED_IO | IRP_DEALLOCATE_BUFFER;
        if (inputLength > 0) nt.Memory.Write(irp.SystemBuffer, nt.Memory.ReadBytes(input, (int)inputLength));
        else if (irp.CurrentStackLocation.Below.MajorFunction == IRP_MJ_READ) irp.Flags |= IRP_INPUT_OPERATION;
        return STATUS_SUCCESS;
    }

    /// <summary>ProbeForRead and ProbeForWrite: what a program passes must lie in its own half, and be there.</summary>
    bool MayAccess(Va buffer, uint length, Access access, ProcessorMode mode)
    {
        bool user = buffer.Value < nt.Mm.MmUserProbeAddress && buffer.Value + length <= nt.Mm.MmUserProbeAddress;
        return length == 0 || (user || mode == ProcessorMode.KernelMode) && nt.Memory.CanAccess(buffer, length, access);
    }

    void FreeSystemBuffer(Irp irp)
    {
        if ((irp.Flags & IRP_DEALLOCATE_BUFFER) == 0 || irp.SystemBuffer.IsNull) return;
        nt.Mm.Pool.Free(irp.SystemBuffer);
        irp.Flags &= ~IRP_DEALLOCATE_BUFFER;
    }

    NtStatus LockBuffer(Irp irp, Va buffer, uint length, Access access, ProcessorMode mode)
    {
        if (!MayAccess(buffer, length, access, mode)) return STATUS_ACCESS_VIOLATION;
        Mdl mdl = nt.Mm.CreateMdl(buffer, length);
        if (mdl.IsNull) return STATUS_INSUFFICIENT_RESOURCES;
        nt.Mm.MmProbeAndLockPages(mdl, mode, access == Access.Read ? 0u : 1u);
        irp.MdlAddress = mdl;
        return STATUS_SUCCESS;
    }

    /// <summary>The last step of completion: results to the requestor, what the system made for the IRP is given
    /// back.</summary>
    void Finish(Irp irp, IrpRecord record)
    {
        IoStatusBlock result = irp.IoStatus;
        if (record.Request is { } request)
        {
            DeviceObject device = request.File.DeviceObject;
            nt.OnCompleted(new Completed(
                request.Major, request.ControlCode, result.Status, result.Information, request.OutputLength,
                    device.Address));
            CopyOut(irp, request, result);
            ReleaseBuffers(irp);
            request.Complete(result.Status, result.Information);
            request.Irp = Va.Null;
            Signal(request.File.Event);
            FreeIrp(irp);
            return;
        }
        FinishDriverIrp(irp, result);
    }

    // IoBuildDeviceIoControlRequest and its kin: the status block and the event are the driver's.
    void FinishDriverIrp(Irp irp, IoStatusBlock result)
    {
        if ((irp.Flags & IRP_INPUT_OPERATION) != 0 && !IsError(result.Status) && !irp.UserBuffer.IsNull)
        {
            ulong room = irp.SystemBuffer.IsNull ? 0 : SystemBufferSize(irp);
            nt.Memory.Write(irp.UserBuffer,
                nt.Memory.ReadBytes(irp.SystemBuffer, (int)Math.Min(result.Information, room)));
        }
        ReleaseBuffers(irp);
        if (!irp.UserIosb.IsNull) nt.Memory.Write(irp.UserIosb, result);
        if (!irp.UserEvent.IsNull) Signal(irp.UserEvent);
        FreeIrp(irp);
    }

    // A warning, such as STATUS_BUFFER_OVERFLOW, brings its data.
    static bool IsError(NtStatus status) => status.Value >= 0xC000_0000;

    ulong SystemBufferSize(Irp irp) => nt.Mm.Pool.TryFind(irp.SystemBuffer, out PoolBlock? block) ? block!.Bytes : 0;

    void CopyOut(Irp irp, IoRequest request, IoStatusBlock result)
    {
        if ((irp.Flags & IRP_INPUT_OPERATION) == 0 || IsError(result.Status)) return;
        // Windows copies what Information says, past the buffer's end if need be; that is reported, not repeated here.
        int count = (int)Math.Min(result.Information, request.OutputLength);
        if (nt.Memory.CanAccess(request.OutputBuffer, (ulong)count, Access.Write))
            nt.Memory.Write(request.OutputBuffer, nt.Memory.ReadBytes(irp.SystemBuffer, count));
    }

    void ReleaseBuffers(Irp irp)
    {
        FreeSystemBuffer(irp);
        for (Mdl mdl = irp.MdlAddress; !mdl.IsNull;)
        {
            Mdl next = mdl.Next;
            if ((mdl.MdlFlags & MdlFlags.PagesLocked) != 0) nt.Mm.MmUnlockPages(mdl);
            nt.Mm.IoFreeMdl(mdl);
            mdl = next;
        }
    }

    void Signal(KEvent @event)
    {
        @event.SignalState = 1;
        nt.Ke.WakeWaiters(@event.Header);
    }
}
