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

    [Export(Support.Partial, "Classes: basic (0), process (5), modules (11); others STATUS_INVALID_INFO_CLASS.")]
    [IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwQuerySystemInformation(
        uint systemInformationClass, Va systemInformation, uint systemInformationLength, Va returnLength)
    {
        byte[]? bytes = systemInformationClass switch
        {
            0 => BasicInformation(),
            5 => ProcessInformation(),
            11 => ModuleInformation(),
            _ => null,
        };
        if (bytes is null) return STATUS_INVALID_INFO_CLASS;
        if (!returnLength.IsNull) nt.Memory.Write(returnLength, (uint)bytes.Length);
        if (systemInformationLength < bytes.Length) return STATUS_INFO_LENGTH_MISMATCH;
        nt.Memory.Write(systemInformation, bytes);
        return STATUS_SUCCESS;
    }

    // SYSTEM_BASIC_INFORMATION.
    byte[] BasicInformation()
    {
        byte[] bytes = new byte[0x40];
        BitConverter.TryWriteBytes(bytes.AsSpan(4), 156_250u);
        BitConverter.TryWriteBytes(bytes.AsSpan(8), (uint)Va.PageSize);
        BitConverter.TryWriteBytes(bytes.AsSpan(12), 0x8_0000u);
        BitConverter.TryWriteBytes(bytes.AsSpan(24), 0x1_0000u);
        BitConverter.TryWriteBytes(bytes.AsSpan(32), 0x1_0000UL);
        BitConverter.TryWriteBytes(bytes.AsSpan(40), nt.Mm.MmHighestUserAddress);
        BitConverter.TryWriteBytes(bytes.AsSpan(48), 1UL);
        bytes[56] = 1;
        return bytes;
    }

    // SYSTEM_PROCESS_INFORMATION of the two processes, without names and threads.
    byte[] ProcessInformation()
    {
        byte[] bytes = new byte[0x200];
        BitConverter.TryWriteBytes(bytes.AsSpan(0), 0x100u);
        BitConverter.TryWriteBytes(bytes.AsSpan(0x50), nt.Ps.SystemProcess.UniqueProcessId);
        BitConverter.TryWriteBytes(bytes.AsSpan(0x150), nt.Ps.UserProcess.UniqueProcessId);
        return bytes;
    }

    // RTL_PROCESS_MODULES: 0x128 bytes a module.
    byte[] ModuleInformation()
    {
        IReadOnlyList<LoadedImage> images = nt.Loader.Images;
        byte[] bytes = new byte[8 + images.Count * 0x128];
        BitConverter.TryWriteBytes(bytes, images.Count);
        for (int i = 0; i < images.Count; i++)
        {
            Span<byte> at = bytes.AsSpan(8 + i * 0x128, 0x128);
            BitConverter.TryWriteBytes(at[16..], images[i].Base.Value);
            BitConverter.TryWriteBytes(at[24..], images[i].Size);
            string folder = images[i].IsKernel ? @"\SystemRoot\system32\" : @"\SystemRoot\system32\drivers\";
            BitConverter.TryWriteBytes(at[38..], (ushort)folder.Length);
            string path = folder + images[i].Name;
            System.Text.Encoding.ASCII.GetBytes(path.AsSpan(0, Math.Min(path.Length, 255)), at[40..]);
        }
        return bytes;
    }
}
