using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>System services as drivers call them: handles, files, sections, queries.</summary>
[NtModule("ntoskrnl.exe")]
sealed partial class Zw(NtKernel nt)
{
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwCreateFile(
        Va fileHandle, uint desiredAccess, ObjectAttributes objectAttributes, Va ioStatusBlock, Va allocationSize,
        uint fileAttributes, uint shareAccess, uint createDisposition, uint createOptions, Va eaBuffer, uint eaLength)
    {
        var options = new OpenOptions(desiredAccess, shareAccess, createDisposition, createOptions, fileAttributes);
        NtStatus status = nt.Io.Open(
            objectAttributes.ObjectName.Text, ProcessorMode.KernelMode, options, out NtObject? file,
                out ulong information);
        if (!status.IsSuccess || file is null) return status;
        bool kernel = (objectAttributes.Attributes & Ob.OBJ_KERNEL_HANDLE) != 0;
        nt.Memory.Write(fileHandle, nt.Ob.Open(file, desiredAccess, kernel));
        nt.Memory.Write(ioStatusBlock, new IoStatusBlock(status, information));
        nt.Ob.Dereference(file);
        return status;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwOpenFile(
        Va fileHandle, uint desiredAccess, ObjectAttributes objectAttributes, Va ioStatusBlock, uint shareAccess,
            uint openOptions) =>
        ZwCreateFile(fileHandle, desiredAccess, objectAttributes, ioStatusBlock, Va.Null, 0, shareAccess, 1,
            openOptions, Va.Null, 0);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwReadFile(
        Handle fileHandle, Handle @event, Va apcRoutine, Va apcContext, Va ioStatusBlock, Va buffer, uint length,
            Va byteOffset, Va key) =>
        Transfer(fileHandle, ioStatusBlock, file => new IoRequest(IRP_MJ_READ, file)
        {
            OutputBuffer = buffer,
            OutputLength = length,
            ByteOffset = OffsetOf(byteOffset),
        });

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwWriteFile(
        Handle fileHandle, Handle @event, Va apcRoutine, Va apcContext, Va ioStatusBlock, Va buffer, uint length,
            Va byteOffset, Va key) =>
        Transfer(fileHandle, ioStatusBlock, file => new IoRequest(IRP_MJ_WRITE, file)
        {
            InputBuffer = buffer,
            InputLength = length,
            ByteOffset = OffsetOf(byteOffset),
        });

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwDeviceIoControlFile(
        Handle fileHandle, Handle @event, Va apcRoutine, Va apcContext, Va ioStatusBlock, uint ioControlCode,
        Va inputBuffer, uint inputBufferLength, Va outputBuffer, uint outputBufferLength) =>
        Transfer(fileHandle, ioStatusBlock, file => new IoRequest(IRP_MJ_DEVICE_CONTROL, file)
        {
            ControlCode = ioControlCode,
            InputBuffer = inputBuffer,
            InputLength = inputBufferLength,
            OutputBuffer = outputBuffer,
            OutputLength = outputBufferLength,
        });

    // No file position is kept: "from the present one" (none, or -2) is from the start.
    long OffsetOf(Va byteOffset) =>
        byteOffset.IsNull || nt.Memory.Read<long>(byteOffset) is not (not -2 and var offset) ? 0 : offset;

    // The caller waits: what a synchronous handle means, and an asynchronous one may do.
    NtStatus Transfer(Handle handle, Va ioStatusBlock, Func<FileObject, IoRequest> make)
    {
        if (nt.Ob.Lookup(handle) is not { } target) return STATUS_INVALID_HANDLE;
        if (target.Type != nt.Ob.FileType) return STATUS_OBJECT_TYPE_MISMATCH;
        IoRequest request = make(FileObject.At(nt.Memory, target.Body));
        NtStatus status = nt.Io.Send(request);
        if (status == STATUS_PENDING) status = nt.Io.Await(request);
        if (request.IsComplete) nt.Memory.Write(ioStatusBlock, new IoStatusBlock(status, request.Information));
        return status;
    }

}
