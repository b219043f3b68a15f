using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Where a service on a file tells that it is done.</summary>
readonly record struct Told(Handle Event, Va ApcRoutine, Va ApcContext, Va Iosb);

/// <summary>System services as drivers call them: handles, files, sections, queries.</summary>
[NtModule("ntoskrnl.exe")]
sealed partial class Zw(NtKernel nt)
{
    const uint FILE_READ_DATA = 1, FILE_WRITE_DATA = 2, FILE_APPEND_DATA = 4, FILE_READ_EA = 8, FILE_WRITE_EA = 0x10,
        FILE_READ_ATTRIBUTES = 0x80, FILE_WRITE_ATTRIBUTES = 0x100, DELETE = 0x1_0000;
    const uint FO_SYNCHRONOUS_IO = 0x02, FO_NAMED_PIPE = 0x80, FO_MAILSLOT = 0x200;

    /// <summary>A service on a file: resolves the handles, sends the request, and waits where NT does.</summary>
    /// <param name="access">Rights of which one is enough; none: any handle will do.</param>
    /// <param name="waits">The service waits whatever the file was opened for.</param>
    NtStatus OnFile(Handle handle, uint access, ProcessorMode mode, Told told, bool waits,
        Func<HandleEntry, FileObject, (NtStatus Refused, IoRequest? Request)> make)
    {
        nt.Ob.Probe(told.Iosb, 16, mode);
        NtStatus status = nt.Ob.Resolve(handle, 0, nt.Ob.FileType, mode, out HandleEntry? entry);
        if (!status.IsSuccess) return status;
        if (mode == ProcessorMode.UserMode && access != 0 && (entry!.GrantedAccess & access) == 0)
            return STATUS_ACCESS_DENIED;
        NtObject? @event = null;
        if (!told.Event.IsNull)
        {
            status = nt.Ob.Resolve(told.Event, EVENT_MODIFY_STATE, nt.Ob.EventType, mode, out HandleEntry? signal);
            if (!status.IsSuccess) return status;
            @event = signal!.Object;
        }
        NtObject target = entry!.Object;
        FileObject file = FileObject.At(nt.Memory, target.Body);
        (NtStatus refused, IoRequest? request) = make(entry, file);
        if (request is null) return refused;
        // An APC and a packet exclude each other.
        if (!waits && !told.ApcRoutine.IsNull && !file.CompletionContext.IsNull) return STATUS_INVALID_PARAMETER;
        nt.Ob.Reference(target);
        try
        {
            if (!waits) TellBy(request, told, @event);
            NtStatus done = nt.Io.Carry(request, waits);
            if (waits && request.IsComplete && !told.Iosb.IsNull)
                nt.Memory.Write(told.Iosb, new IoStatusBlock(done, request.Information));
            return done;
        }
        finally
        {
            nt.Ob.Dereference(target);
        }
    }

    void TellBy(IoRequest request, Told told, NtObject? @event)
    {
        (request.Iosb, request.ApcRoutine, request.ApcContext) = (told.Iosb, told.ApcRoutine, told.ApcContext);
        if (@event is null) return;
        nt.Ke.KeResetEvent(KEvent.At(nt.Memory, @event.Body));
        nt.Ob.Reference(@event);
        request.Event = @event;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwReadFile(
        Handle fileHandle, Handle @event, Va apcRoutine, Va apcContext, Va ioStatusBlock, Va buffer, uint length,
            Va byteOffset, Va key) =>
        Read(fileHandle, new Told(@event, apcRoutine, apcContext, ioStatusBlock), buffer, length, byteOffset, key,
            ProcessorMode.KernelMode);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus NtReadFile(
        Handle fileHandle, Handle @event, Va apcRoutine, Va apcContext, Va ioStatusBlock, Va buffer, uint length,
            Va byteOffset, Va key) =>
        Service(mode => Read(fileHandle, new Told(@event, apcRoutine, apcContext, ioStatusBlock), buffer, length,
            byteOffset, key, mode));

    NtStatus Read(
        Handle handle, Told told, Va buffer, uint length, Va byteOffset, Va key, ProcessorMode mode) =>
        OnFile(handle, FILE_READ_DATA, mode, told, waits: false, (_, file) =>
        {
            NtStatus bad = OffsetOf(file, byteOffset, isWrite: false, mode, out long offset);
            if (bad.IsSuccess && mode == ProcessorMode.UserMode) bad = CheckAligned(file, buffer, length, offset);
            return (bad, !bad.IsSuccess ? null : new IoRequest(IRP_MJ_READ, file)
            {
                OutputBuffer = buffer,
                OutputLength = length,
                ByteOffset = offset,
                Parameter2 = KeyAt(key, mode),
                Mode = mode,
            });
        });

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwWriteFile(
        Handle fileHandle, Handle @event, Va apcRoutine, Va apcContext, Va ioStatusBlock, Va buffer, uint length,
            Va byteOffset, Va key) =>
        Write(fileHandle, new Told(@event, apcRoutine, apcContext, ioStatusBlock), buffer, length, byteOffset, key,
            ProcessorMode.KernelMode);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus NtWriteFile(
        Handle fileHandle, Handle @event, Va apcRoutine, Va apcContext, Va ioStatusBlock, Va buffer, uint length,
            Va byteOffset, Va key) =>
        Service(mode => Write(fileHandle, new Told(@event, apcRoutine, apcContext, ioStatusBlock), buffer, length,
            byteOffset, key, mode));

    NtStatus Write(
        Handle handle, Told told, Va buffer, uint length, Va byteOffset, Va key, ProcessorMode mode) =>
        OnFile(handle, FILE_WRITE_DATA | FILE_APPEND_DATA, mode, told, waits: false, (entry, file) =>
        {
            NtStatus bad = OffsetOf(file, byteOffset, isWrite: true, mode, out long offset);
            // Who may only append, appends.
            if ((entry.GrantedAccess & (FILE_WRITE_DATA | FILE_APPEND_DATA)) == FILE_APPEND_DATA)
                (bad, offset) = (STATUS_SUCCESS, -1);
            if (bad.IsSuccess && mode == ProcessorMode.UserMode) bad = CheckAligned(file, buffer, length, offset);
            return (bad, !bad.IsSuccess ? null : new IoRequest(IRP_MJ_WRITE, file)
            {
                InputBuffer = buffer,
                InputLength = length,
                ByteOffset = offset,
                Parameter2 = KeyAt(key, mode),
                Mode = mode,
            });
        });

    /// <summary>Where a transfer starts. None, or -2, is the file's position, which only a synchronous file has; -1 is
    /// the end of the file, for a write. The position is moved by the driver, as on NT.</summary>
    NtStatus OffsetOf(FileObject file, Va byteOffset, bool isWrite, ProcessorMode mode, out long offset)
    {
        const long ofFile = -2, endOfFile = -1;
        nt.Ob.Probe(byteOffset, byteOffset.IsNull ? 0 : 8, mode);
        offset = byteOffset.IsNull ? ofFile : nt.Memory.Read<long>(byteOffset);
        if (offset >= 0 || offset == endOfFile && isWrite) return STATUS_SUCCESS;
        if (byteOffset.IsNull && (file.Flags & (FO_NAMED_PIPE | FO_MAILSLOT)) != 0)
        {
            offset = 0;
            return STATUS_SUCCESS;
        }
        if (offset != ofFile || (file.Flags & FO_SYNCHRONOUS_IO) == 0) return STATUS_INVALID_PARAMETER;
        offset = file.CurrentByteOffset;
        return STATUS_SUCCESS;
    }

    /// <summary>Past the cache only whole sectors are moved, from where the device can reach.</summary>
    NtStatus CheckAligned(FileObject file, Va buffer, uint length, long offset)
    {
        const uint unbuffered = 8;
        if ((file.Flags & unbuffered) == 0) return STATUS_SUCCESS;
        DeviceObject device = nt.Io.RelatedDevice(file);
        uint sector = device.SectorSize;
        bool isWhole = sector == 0 || length % sector == 0 && (offset < 0 || offset % sector == 0);
        return isWhole && (buffer.Value & device.AlignmentRequirement) == 0 ? STATUS_SUCCESS
            : STATUS_INVALID_PARAMETER;
    }

    uint KeyAt(Va key, ProcessorMode mode)
    {
        if (key.IsNull) return 0;
        nt.Ob.Probe(key, 4, mode);
        return nt.Memory.Read<uint>(key);
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwDeviceIoControlFile(
        Handle fileHandle, Handle @event, Va apcRoutine, Va apcContext, Va ioStatusBlock, uint ioControlCode,
        Va inputBuffer, uint inputBufferLength, Va outputBuffer, uint outputBufferLength) =>
        Control(IRP_MJ_DEVICE_CONTROL, fileHandle, new Told(@event, apcRoutine, apcContext, ioStatusBlock),
            ioControlCode, (inputBuffer, inputBufferLength), (outputBuffer, outputBufferLength),
            ProcessorMode.KernelMode);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus NtDeviceIoControlFile(
        Handle fileHandle, Handle @event, Va apcRoutine, Va apcContext, Va ioStatusBlock, uint ioControlCode,
        Va inputBuffer, uint inputBufferLength, Va outputBuffer, uint outputBufferLength) =>
        Service(mode => Control(IRP_MJ_DEVICE_CONTROL, fileHandle,
            new Told(@event, apcRoutine, apcContext, ioStatusBlock), ioControlCode, (inputBuffer, inputBufferLength),
            (outputBuffer, outputBufferLength), mode));

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwFsControlFile(
        Handle fileHandle, Handle @event, Va apcRoutine, Va apcContext, Va ioStatusBlock, uint fsControlCode,
        Va inputBuffer, uint inputBufferLength, Va outputBuffer, uint outputBufferLength) =>
        Control(IRP_MJ_FILE_SYSTEM_CONTROL, fileHandle, new Told(@event, apcRoutine, apcContext, ioStatusBlock),
            fsControlCode, (inputBuffer, inputBufferLength), (outputBuffer, outputBufferLength),
            ProcessorMode.KernelMode);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus NtFsControlFile(
        Handle fileHandle, Handle @event, Va apcRoutine, Va apcContext, Va ioStatusBlock, uint fsControlCode,
        Va inputBuffer, uint inputBufferLength, Va outputBuffer, uint outputBufferLength) =>
        Service(mode => Control(IRP_MJ_FILE_SYSTEM_CONTROL, fileHandle,
            new Told(@event, apcRoutine, apcContext, ioStatusBlock), fsControlCode, (inputBuffer, inputBufferLength),
            (outputBuffer, outputBufferLength), mode));

    NtStatus Control(IrpMajor major, Handle handle, Told told, uint code, (Va Buffer, uint Length) input,
        (Va Buffer, uint Length) output, ProcessorMode mode) =>
        OnFile(handle, 0, mode, told, waits: false, (entry, file) =>
        {
            uint needed = (code >> 14 & 3) switch
            {
                0 => 0u,
                1 => FILE_READ_DATA,
                2 => FILE_WRITE_DATA,
                _ => FILE_READ_DATA | FILE_WRITE_DATA,
            };
            if (mode == ProcessorMode.UserMode && (needed & ~entry.GrantedAccess) != 0)
                return (STATUS_ACCESS_DENIED, null);
            return (STATUS_SUCCESS, new IoRequest(major, file)
            {
                ControlCode = code,
                InputBuffer = input.Buffer,
                InputLength = input.Length,
                OutputBuffer = output.Buffer,
                OutputLength = output.Length,
                Mode = mode,
            });
        });
}
