using Ringdown.Machine;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Requests on open files: an IRP is made, its buffers as the device wants them, sent, and its results brought
/// back.</summary>
sealed partial class Io
{
    const uint IRP_BUFFERED_IO = 0x10, IRP_DEALLOCATE_BUFFER = 0x20, IRP_INPUT_OPERATION = 0x40,
        IRP_READ_OPERATION = 0x100, IRP_WRITE_OPERATION = 0x200, IRP_CLOSE_OPERATION = 0x400;
    const uint BufferTag = 0x2053_6F49;     // 'IoS '

    enum Method { Buffered, InDirect, OutDirect, Neither }

    /// <summary>Sends a request to the top of the file's device stack. It may be pending when this returns.</summary>
    public NtStatus Send(IoRequest request)
    {
        // A write at -1 appends; every other negative offset is refused before an IRP is made.
        if (request.ByteOffset < 0 && !(request.Major == IRP_MJ_WRITE && request.ByteOffset == -1))
            return Refuse(request, STATUS_INVALID_PARAMETER);
        if (TryFastIo(request)) return request.Status;
        DeviceObject top = request.Target ?? RelatedDevice(request.File);
        Irp irp = NewIrp(request, top);
        if (SetUp(irp, irp.CurrentStackLocation.Below, request, top) is { IsSuccess: false } refused)
        {
            FreeSystemBuffer(irp);
            FreeAuxiliary(irp);
            FreeIrp(irp);
            request.Complete(refused, 0);
            Release(request);
            return refused;
        }
        return Dispatch(request, irp, top);
    }

    /// <summary>A request is over before it has an IRP.</summary>
    NtStatus Refuse(IoRequest request, NtStatus status)
    {
        if (!request.AuxiliaryBuffer.IsNull) nt.Mm.Pool.Free(request.AuxiliaryBuffer);
        request.Complete(status, 0);
        Release(request);
        return status;
    }

    /// <summary>Hands a request's IRP to the top of the stack, and finishes it if that is left to the
    /// service.</summary>
    NtStatus Dispatch(IoRequest request, Irp irp, DeviceObject top)
    {
        FileObject file = request.File;
        KEvent ofFile = file.Event;
        if ((file.Flags & (FO_SKIP_SET_EVENT | FO_SYNCHRONOUS_IO)) != FO_SKIP_SET_EVENT) ofFile.SignalState = 0;
        if (request.Major == IRP_MJ_CLOSE) irp.Flags |= IRP_CLOSE_OPERATION | IRP_SYNCHRONOUS_API;
        else Enlist(request, irp);
        request.IsDispatching = true;
        // Whether it is complete shows in the request; what dispatch returned is the verifier's business.
        IofCallDriver(top, irp);
        request.IsDispatching = false;
        if (request.IsDeferred) Deliver(irp, request);
        return request.Status;
    }

    Irp NewIrp(IoRequest request, DeviceObject top)
    {
        Irp irp = AllocateIrp(top.StackSize, Va.Null);
        (irp.RequestorMode, irp.Thread) = (request.Mode, nt.Ke.CurrentThread);
        irp.OriginalFileObject = request.File;
        irp.UserIosb = request.Iosb;
        irp.UserEvent = KEvent.At(nt.Memory, request.Event?.Body ?? Va.Null);
        (irp.UserApcRoutine, irp.UserApcContext) = (request.ApcRoutine, request.ApcContext);
        irp.AuxiliaryBuffer = request.AuxiliaryBuffer;
        if (request.IsSynchronousApi) irp.Flags |= IRP_SYNCHRONOUS_API;
        if (IsDeferrable(request.Major)) irp.Flags |= IRP_DEFER_IO_COMPLETION;
        request.Irp = irp.Address;
        request.Space = nt.Memory.Current;
        request.Record = Record(irp);
        request.Record.Request = request;
        IoStackLocation location = irp.CurrentStackLocation.Below;
        (location.MajorFunction, location.MinorFunction) = (request.Major, request.Minor);
        (location.FileObject, location.Flags) = (request.File, request.LocationFlags);
        (location.Parameter2, location.Parameter3, location.Parameter4) =
            (request.Parameter2, request.Parameter3, request.Parameter4);
        return irp;
    }

    // With these NT finishes in the service what the driver has completed at once.
    static bool IsDeferrable(IrpMajor major) => major is IRP_MJ_READ or IRP_MJ_WRITE or IRP_MJ_FILE_SYSTEM_CONTROL
        or IRP_MJ_QUERY_INFORMATION or IRP_MJ_SET_INFORMATION or IRP_MJ_DIRECTORY_CONTROL;

    NtStatus SetUp(Irp irp, IoStackLocation location, IoRequest request, DeviceObject top)
    {
        if (request.Major is IRP_MJ_READ or IRP_MJ_WRITE)
        {
            (location.Parameter1, location.Parameter3) = (request.OutputLength, (ulong)request.ByteOffset);
            irp.Flags |= request.Major == IRP_MJ_READ ? IRP_READ_OPERATION : IRP_WRITE_OPERATION;
            if (request.Major == IRP_MJ_WRITE) location.Parameter1 = request.InputLength;
            return SetUpTransfer(irp, request, top);
        }
        if (request.Major is IRP_MJ_LOCK_CONTROL or IRP_MJ_QUERY_SECURITY or IRP_MJ_SET_SECURITY)
        {
            location.Parameter1 = request.Parameter1;
            irp.UserBuffer = request.OutputBuffer;
            return STATUS_SUCCESS;
        }
        if (request.Major is not (IRP_MJ_DEVICE_CONTROL or IRP_MJ_INTERNAL_DEVICE_CONTROL
            or IRP_MJ_FILE_SYSTEM_CONTROL)) return SetUpInformation(irp, location, request, top);
        (location.Parameter1, location.Parameter2) = (request.OutputLength, request.InputLength);
        location.Parameter3 = request.ControlCode;
        return SetUpControl(irp, location, request);
    }

    /// <summary>Queries and what is set: always through a system buffer, but for directories and extended attributes,
    /// which go as the device's reads and writes do.</summary>
    NtStatus SetUpInformation(Irp irp, IoStackLocation location, IoRequest request, DeviceObject top)
    {
        uint length = Math.Max(request.OutputLength, request.InputLength);
        bool isSet = request.Major is IRP_MJ_SET_INFORMATION or IRP_MJ_SET_VOLUME_INFORMATION or IRP_MJ_SET_EA
            or IRP_MJ_SET_QUOTA;
        bool isQuery = request.Major is IRP_MJ_QUERY_INFORMATION or IRP_MJ_QUERY_VOLUME_INFORMATION
            or IRP_MJ_QUERY_EA or IRP_MJ_DIRECTORY_CONTROL or IRP_MJ_QUERY_QUOTA;
        if (!isSet && !isQuery) return STATUS_SUCCESS;
        location.Parameter1 = length;
        Va buffer = isSet ? request.InputBuffer : request.OutputBuffer;
        irp.UserBuffer = buffer;
        if (length == 0) return STATUS_SUCCESS;
        bool byDevice = request.Major is IRP_MJ_QUERY_EA or IRP_MJ_SET_EA or IRP_MJ_DIRECTORY_CONTROL
            or IRP_MJ_QUERY_QUOTA or IRP_MJ_SET_QUOTA;
        if (!MayAccess(buffer, length, isSet ? Access.Read : Access.Write, request.Mode))
            return STATUS_ACCESS_VIOLATION;
        if (byDevice && (top.Flags & DO_BUFFERED_IO) == 0)
            return (top.Flags & DO_DIRECT_IO) == 0 ? STATUS_SUCCESS
                : LockBuffer(irp, buffer, length, isSet ? Access.Read : Access.Write, request.Mode);
        if (isQuery) irp.Flags |= IRP_INPUT_OPERATION;
        NtStatus status = MakeSystemBuffer(irp, isSet ? buffer : Va.Null, isSet ? length : 0, length);
        if (status.IsSuccess && request.Prefilled is { } bytes) nt.Memory.Write(irp.SystemBuffer, bytes);
        return status;
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
        if (!nt.Ex.TryCharge(irp.SystemBuffer)) return STATUS_QUOTA_EXCEEDED;
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
}
