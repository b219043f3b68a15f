using Ringdown.Machine;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Security of files that have names of their own: their drivers keep it. That of a whole device is the object
/// manager's.</summary>
sealed partial class Zw
{
    bool HasDriversSecurity(NtObject target) => target.Type == nt.Ob.FileType && nt.Ob.SecuredBy(target) == target;

    /// <returns>Null if the driver knows no security: then the object manager answers.</returns>
    NtStatus? QueryFileSecurity(
        NtObject target, uint parts, Va descriptor, uint length, Va needed, ProcessorMode mode)
    {
        nt.Ob.Probe(descriptor, length, mode);
        nt.Ob.Probe(needed, 4, mode);
        var request = new IoRequest(IRP_MJ_QUERY_SECURITY, FileObject.At(nt.Memory, target.Body))
        {
            OutputBuffer = descriptor,
            OutputLength = length,
            Parameter1 = parts,
            Parameter2 = length,
            Mode = mode,
        };
        NtStatus status = CarryOn(target, request);
        if (status == STATUS_INVALID_DEVICE_REQUEST) return null;
        if (status.IsSuccess || status == STATUS_BUFFER_OVERFLOW)
            nt.Memory.Write(needed, (uint)request.Information);
        return status == STATUS_BUFFER_OVERFLOW ? STATUS_BUFFER_TOO_SMALL : status;
    }

    /// <returns>Null if the driver knows no security.</returns>
    NtStatus? SetFileSecurity(NtObject target, uint parts, Va descriptor, ProcessorMode mode)
    {
        if (SecurityInfo.Read(nt.Memory, descriptor) is not { } changes) return STATUS_INVALID_SECURITY_DESCR;
        byte[] bytes = changes.ToBytes();
        Va copy = nt.Mm.Pool.Allocate(bytes.Length, AuxiliaryTag);
        nt.Memory.Write(copy, bytes);
        var request = new IoRequest(IRP_MJ_SET_SECURITY, FileObject.At(nt.Memory, target.Body))
        {
            AuxiliaryBuffer = copy,
            Parameter1 = parts,
            Parameter2 = copy.Value,
            Mode = mode,
        };
        NtStatus status = CarryOn(target, request);
        return status == STATUS_INVALID_DEVICE_REQUEST ? null : status;
    }

    // Another thread may close the handle meanwhile.
    NtStatus CarryOn(NtObject file, IoRequest request)
    {
        nt.Ob.Reference(file);
        NtStatus status = nt.Io.Carry(request, waits: true);
        nt.Ob.Dereference(file);
        return status;
    }
}
