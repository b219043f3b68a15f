using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>What files and volumes tell of themselves. The I/O manager answers what only it knows; the rest goes to
/// the driver in a system buffer.</summary>
sealed partial class Zw
{
    const uint FileAccessInformation = 8, FileRenameInformation = 10, FileLinkInformation = 11,
        FilePositionInformation = 14, FileModeInformation = 16, FileAlignmentInformation = 17, FileAllInformation = 18,
        FileCompletionInformation = 30, FileIoCompletionNotificationInformation = 41,
        FileReplaceCompletionInformation = 61, FileFsDeviceInformation = 4;

    /// <summary>The least bytes that a class takes, and the right that the handle needs. Zero: no such class.</summary>
    static (uint Bytes, uint Access) QueryOf(uint fileInformationClass) => fileInformationClass switch
    {
        4 => (0x28, FILE_READ_ATTRIBUTES),
        5 => (0x18, 0),
        6 => (8, 0),
        7 => (4, 0),
        FileAccessInformation => (4, 0),
        9 => (8, 0),
        FilePositionInformation => (8, 0),
        FileModeInformation => (4, 0),
        FileAlignmentInformation => (4, 0),
        FileAllInformation => (0x68, FILE_READ_ATTRIBUTES),
        21 => (8, 0),
        22 => (0x20, 0),
        23 => (8, FILE_READ_ATTRIBUTES),
        24 => (0x28, FILE_READ_ATTRIBUTES),
        25 => (0x10, FILE_READ_ATTRIBUTES),
        26 => (0x18, 0),
        28 => (0x10, 0),
        33 => (0x10, 0),
        34 => (0x38, FILE_READ_ATTRIBUTES),
        35 => (8, FILE_READ_ATTRIBUTES),
        FileIoCompletionNotificationInformation => (4, 0),
        48 => (8, 0),
        51 => (1, 0),
        54 => (8, 0),
        55 => (0x74, FILE_READ_ATTRIBUTES),
        59 => (0x18, 0),
        68 => (0x48, FILE_READ_ATTRIBUTES),
        _ => (0, 0),
    };

    static (uint Bytes, uint Access) SetOf(uint fileInformationClass) => fileInformationClass switch
    {
        4 => (0x28, FILE_WRITE_ATTRIBUTES),
        FileRenameInformation => (0x18, DELETE),
        FileLinkInformation => (0x18, 0),
        13 => (1, DELETE),
        FilePositionInformation => (8, 0),
        FileModeInformation => (4, 0),
        19 => (8, FILE_WRITE_DATA),
        20 => (8, FILE_WRITE_DATA),
        23 => (8, FILE_WRITE_ATTRIBUTES),
        25 => (0x10, FILE_WRITE_ATTRIBUTES),
        27 => (8, 0),
        FileCompletionInformation => (0x10, 0),
        FileIoCompletionNotificationInformation => (4, 0),
        FileReplaceCompletionInformation => (0x10, 0),
        39 => (8, FILE_WRITE_DATA),
        40 => (8, DELETE),
        64 => (4, DELETE),
        65 => (0x18, DELETE),
        _ => (0, 0),
    };

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwQueryInformationFile(
        Handle fileHandle, Va ioStatusBlock, Va fileInformation, uint length, uint fileInformationClass) =>
        QueryFile(fileHandle, ioStatusBlock, fileInformation, length, fileInformationClass, ProcessorMode.KernelMode);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus NtQueryInformationFile(
        Handle fileHandle, Va ioStatusBlock, Va fileInformation, uint length, uint fileInformationClass) =>
        Service(mode => QueryFile(fileHandle, ioStatusBlock, fileInformation, length, fileInformationClass, mode));

    NtStatus QueryFile(Handle handle, Va iosb, Va buffer, uint length, uint kind, ProcessorMode mode)
    {
        (uint bytes, uint access) = QueryOf(kind);
        if (bytes == 0) return STATUS_INVALID_INFO_CLASS;
        if (length < bytes) return STATUS_INFO_LENGTH_MISMATCH;
        nt.Ob.Probe(buffer, length, mode);
        return OnFile(handle, access, mode, new Told(default, Va.Null, Va.Null, iosb), waits: true, (entry, file) =>
        {
            if (AnswerOf(entry, file, kind) is { } known)
            {
                nt.Memory.Write(buffer, known);
                nt.Memory.Write(iosb, new IoStatusBlock(STATUS_SUCCESS, (ulong)known.Length));
                return (STATUS_SUCCESS, null);
            }
            return (STATUS_SUCCESS, new IoRequest(IRP_MJ_QUERY_INFORMATION, file)
            {
                OutputBuffer = buffer,
                OutputLength = length,
                Parameter2 = kind,
                Mode = mode,
                Prefilled = kind == FileAllInformation ? AllOf(entry, file) : null,
            });
        });
    }

    /// <summary>What no driver is asked for; null for the rest.</summary>
    byte[]? AnswerOf(HandleEntry entry, FileObject file, uint kind) => kind switch
    {
        FileAccessInformation => BitConverter.GetBytes(entry.GrantedAccess),
        FileModeInformation => BitConverter.GetBytes(Io.ModeOf(file)),
        FileAlignmentInformation => BitConverter.GetBytes(nt.Io.RelatedDevice(file).AlignmentRequirement),
        FilePositionInformation when (file.Flags & FO_SYNCHRONOUS_IO) != 0 =>
            BitConverter.GetBytes(file.CurrentByteOffset),
        FileIoCompletionNotificationInformation => BitConverter.GetBytes(Io.NotificationModesOf(file)),
        _ => null,
    };

    /// <summary>FILE_ALL_INFORMATION as the driver gets it: with the parts that are the I/O manager's.</summary>
    byte[] AllOf(HandleEntry entry, FileObject file)
    {
        byte[] bytes = new byte[0x60];
        BitConverter.TryWriteBytes(bytes.AsSpan(0x4C), entry.GrantedAccess);
        BitConverter.TryWriteBytes(bytes.AsSpan(0x50), file.CurrentByteOffset);
        BitConverter.TryWriteBytes(bytes.AsSpan(0x58), Io.ModeOf(file));
        BitConverter.TryWriteBytes(bytes.AsSpan(0x5C), nt.Io.RelatedDevice(file).AlignmentRequirement);
        return bytes;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwSetInformationFile(
        Handle fileHandle, Va ioStatusBlock, Va fileInformation, uint length, uint fileInformationClass) =>
        SetFile(fileHandle, ioStatusBlock, fileInformation, length, fileInformationClass, ProcessorMode.KernelMode);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus NtSetInformationFile(
        Handle fileHandle, Va ioStatusBlock, Va fileInformation, uint length, uint fileInformationClass) =>
        Service(mode => SetFile(fileHandle, ioStatusBlock, fileInformation, length, fileInformationClass, mode));

    NtStatus SetFile(Handle handle, Va iosb, Va buffer, uint length, uint kind, ProcessorMode mode)
    {
        (uint bytes, uint access) = SetOf(kind);
        if (bytes == 0) return STATUS_INVALID_INFO_CLASS;
        if (length < bytes) return STATUS_INFO_LENGTH_MISMATCH;
        nt.Ob.Probe(buffer, length, mode);
        NtObject? target = null;
        var told = new Told(default, Va.Null, Va.Null, iosb);
        NtStatus done = OnFile(handle, access, mode, told, waits: true, (_, file) =>
        {
            if (SetHere(file, kind, buffer, mode) is { } known)
            {
                if (known.IsSuccess) nt.Memory.Write(iosb, new IoStatusBlock(known, 0));
                return (known, null);
            }
            bool names = kind is FileRenameInformation or FileLinkInformation;
            NtStatus opened = names ? OpenTarget(file, kind, buffer, length, mode, out target) : STATUS_SUCCESS;
            if (!opened.IsSuccess) return (opened, null);
            return (STATUS_SUCCESS, new IoRequest(IRP_MJ_SET_INFORMATION, file)
            {
                InputBuffer = buffer,
                InputLength = length,
                Parameter2 = kind,
                Parameter3 = target?.Body.Value ?? 0,
                Parameter4 = names ? nt.Memory.Read<byte>(buffer) : 0UL,
                Mode = mode,
            });
        });
        // A driver that never ends the request keeps its target.
        if (target is not null && done != STATUS_PENDING) CloseTarget(target);
        return done;
    }

    /// <summary>What no driver is told of; null for the rest.</summary>
    NtStatus? SetHere(FileObject file, uint kind, Va buffer, ProcessorMode mode) => kind switch
    {
        FileModeInformation =>
            Io.TrySetMode(file, nt.Memory.Read<uint>(buffer)) ? STATUS_SUCCESS : STATUS_INVALID_PARAMETER,
        FilePositionInformation when (file.Flags & FO_SYNCHRONOUS_IO) != 0 => SetPosition(file, buffer),
        FileCompletionInformation or FileReplaceCompletionInformation => nt.Io.SetPort(file,
            nt.Memory.Read<Handle>(buffer), nt.Memory.Read<Va>(buffer + 8), mode,
            replaces: kind == FileReplaceCompletionInformation),
        FileIoCompletionNotificationInformation => Io.SetNotificationModes(file, nt.Memory.Read<uint>(buffer)),
        _ => null,
    };

    NtStatus SetPosition(FileObject file, Va buffer)
    {
        const uint unbuffered = 8;
        long position = nt.Memory.Read<long>(buffer);
        bool isAligned = (file.Flags & unbuffered) == 0
            || ((ulong)position & nt.Io.RelatedDevice(file).AlignmentRequirement) == 0;
        if (position < 0 || !isAligned) return STATUS_INVALID_PARAMETER;
        file.CurrentByteOffset = position;
        return STATUS_SUCCESS;
    }

    static (uint Bytes, uint Access) VolumeOf(uint fsInformationClass) => fsInformationClass switch
    {
        1 => (0x18, 0),
        3 => (0x18, 0),
        FileFsDeviceInformation => (8, 0),
        5 => (0x10, 0),
        6 => (0x30, FILE_READ_DATA),
        7 => (0x20, 0),
        8 => (0x40, 0),
        11 => (0x1C, 0),
        _ => (0, 0),
    };

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwQueryVolumeInformationFile(
        Handle fileHandle, Va ioStatusBlock, Va fsInformation, uint length, uint fsInformationClass) =>
        QueryVolume(fileHandle, ioStatusBlock, fsInformation, length, fsInformationClass, ProcessorMode.KernelMode);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus NtQueryVolumeInformationFile(
        Handle fileHandle, Va ioStatusBlock, Va fsInformation, uint length, uint fsInformationClass) =>
        Service(mode => QueryVolume(fileHandle, ioStatusBlock, fsInformation, length, fsInformationClass, mode));

    NtStatus QueryVolume(Handle handle, Va iosb, Va buffer, uint length, uint kind, ProcessorMode mode)
    {
        (uint bytes, uint access) = VolumeOf(kind);
        if (bytes == 0) return STATUS_INVALID_INFO_CLASS;
        if (length < bytes) return STATUS_INFO_LENGTH_MISMATCH;
        nt.Ob.Probe(buffer, length, mode);
        return OnFile(handle, access, mode, new Told(default, Va.Null, Va.Null, iosb), waits: true, (_, file) =>
        {
            if (kind != FileFsDeviceInformation)
                return (STATUS_SUCCESS, new IoRequest(IRP_MJ_QUERY_VOLUME_INFORMATION, file)
                {
                    OutputBuffer = buffer,
                    OutputLength = length,
                    Parameter2 = kind,
                    Mode = mode,
                });
            (uint type, uint characteristics) = nt.Io.DeviceInformation(file);
            nt.Memory.Write(buffer, type);
            nt.Memory.Write(buffer + 4, characteristics);
            nt.Memory.Write(iosb, new IoStatusBlock(STATUS_SUCCESS, 8));
            return (STATUS_SUCCESS, null);
        });
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwSetVolumeInformationFile(
        Handle fileHandle, Va ioStatusBlock, Va fsInformation, uint length, uint fsInformationClass) =>
        SetVolume(fileHandle, ioStatusBlock, fsInformation, length, fsInformationClass, ProcessorMode.KernelMode);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus NtSetVolumeInformationFile(
        Handle fileHandle, Va ioStatusBlock, Va fsInformation, uint length, uint fsInformationClass) =>
        Service(mode => SetVolume(fileHandle, ioStatusBlock, fsInformation, length, fsInformationClass, mode));

    NtStatus SetVolume(Handle handle, Va iosb, Va buffer, uint length, uint kind, ProcessorMode mode)
    {
        uint bytes = kind switch { 2 => 8u, 6 => 0x30, 8 => 0x40, _ => 0 };
        if (bytes == 0) return STATUS_INVALID_INFO_CLASS;
        if (length < bytes) return STATUS_INFO_LENGTH_MISMATCH;
        nt.Ob.Probe(buffer, length, mode);
        return OnFile(handle, FILE_WRITE_DATA, mode, new Told(default, Va.Null, Va.Null, iosb), waits: true,
            (_, file) => (STATUS_SUCCESS, new IoRequest(IRP_MJ_SET_VOLUME_INFORMATION, file)
            {
                InputBuffer = buffer,
                InputLength = length,
                Parameter2 = kind,
                Mode = mode,
            }));
    }
}
