using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Directories, extended attributes, byte ranges and flushing.</summary>
sealed partial class Zw
{
    const byte SL_RESTART_SCAN = 1, SL_RETURN_SINGLE_ENTRY = 2, SL_INDEX_SPECIFIED = 4, SL_FAIL_IMMEDIATELY = 1,
        SL_EXCLUSIVE_LOCK = 2, IRP_MN_QUERY_DIRECTORY = 1, IRP_MN_LOCK = 1, IRP_MN_UNLOCK_SINGLE = 2;
    const uint AuxiliaryTag = 0x7541_6F49;

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwQueryDirectoryFile(
        Handle fileHandle, Handle @event, Va apcRoutine, Va apcContext, Va ioStatusBlock, Va fileInformation,
        uint length, uint fileInformationClass, bool returnSingleEntry, UnicodeString fileName, bool restartScan) =>
        QueryDirectory(fileHandle, new Told(@event, apcRoutine, apcContext, ioStatusBlock), fileInformation, length,
            fileInformationClass, Scan(returnSingleEntry, restartScan), fileName, ProcessorMode.KernelMode);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus NtQueryDirectoryFile(
        Handle fileHandle, Handle @event, Va apcRoutine, Va apcContext, Va ioStatusBlock, Va fileInformation,
        uint length, uint fileInformationClass, bool returnSingleEntry, UnicodeString fileName, bool restartScan) =>
        Service(mode => QueryDirectory(fileHandle, new Told(@event, apcRoutine, apcContext, ioStatusBlock),
            fileInformation, length, fileInformationClass, Scan(returnSingleEntry, restartScan), fileName, mode));

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwQueryDirectoryFileEx(
        Handle fileHandle, Handle @event, Va apcRoutine, Va apcContext, Va ioStatusBlock, Va fileInformation,
        uint length, uint fileInformationClass, uint queryFlags, UnicodeString fileName) =>
        QueryDirectory(fileHandle, new Told(@event, apcRoutine, apcContext, ioStatusBlock), fileInformation, length,
            fileInformationClass, (byte)(queryFlags & 7), fileName, ProcessorMode.KernelMode);

    static byte Scan(bool single, bool restart) =>
        (byte)((single ? SL_RETURN_SINGLE_ENTRY : 0) | (restart ? SL_RESTART_SCAN : 0));

    NtStatus QueryDirectory(Handle handle, Told told, Va buffer, uint length, uint kind, byte flags,
        UnicodeString name, ProcessorMode mode)
    {
        // FILE_DIRECTORY_INFORMATION and its kin; the shortest, FILE_NAMES_INFORMATION, has 16 bytes.
        uint least = kind switch { 1 or 2 or 3 or 37 or 38 => 0x48u, 12 or 29 or 33 => 0x10, 32 => 0x28, _ => 0 };
        if (least == 0) return STATUS_INVALID_INFO_CLASS;
        if (length < least) return STATUS_INFO_LENGTH_MISMATCH;
        nt.Ob.Probe(buffer, length, mode);
        nt.Ob.Probe(name.Address, name.IsNull ? 0 : UnicodeString.Size, mode);
        string? pattern = name.IsNull || name.Length == 0 ? null : name.Text;
        return OnFile(handle, FILE_READ_DATA, mode, told, waits: false, (_, file) =>
        {
            Va copy = Va.Null;
            if (pattern is not null)
            {
                copy = nt.Mm.Pool.Allocate(UnicodeString.Size + pattern.Length * 2, AuxiliaryTag);
                nt.Memory.Write(copy + UnicodeString.Size, System.Text.Encoding.Unicode.GetBytes(pattern));
                UnicodeString.At(nt.Memory, copy).Set(
                    copy + UnicodeString.Size, pattern.Length * 2, pattern.Length * 2);
            }
            return (STATUS_SUCCESS, new IoRequest(IRP_MJ_DIRECTORY_CONTROL, file)
            {
                Minor = IRP_MN_QUERY_DIRECTORY,
                LocationFlags = flags,
                OutputBuffer = buffer,
                OutputLength = length,
                AuxiliaryBuffer = copy,
                Parameter2 = copy.Value,
                Parameter3 = kind,
                Mode = mode,
            });
        });
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwQueryEaFile(
        Handle fileHandle, Va ioStatusBlock, Va buffer, uint length, bool returnSingleEntry, Va eaList,
        uint eaListLength, Va eaIndex, bool restartScan) =>
        QueryEa(fileHandle, ioStatusBlock, (buffer, length), Scan(returnSingleEntry, restartScan),
            (eaList, eaListLength), eaIndex, ProcessorMode.KernelMode);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus NtQueryEaFile(
        Handle fileHandle, Va ioStatusBlock, Va buffer, uint length, bool returnSingleEntry, Va eaList,
        uint eaListLength, Va eaIndex, bool restartScan) =>
        Service(mode => QueryEa(fileHandle, ioStatusBlock, (buffer, length), Scan(returnSingleEntry, restartScan),
            (eaList, eaListLength), eaIndex, mode));

    NtStatus QueryEa(Handle handle, Va iosb, (Va At, uint Length) buffer, byte flags, (Va At, uint Length) names,
        Va index, ProcessorMode mode)
    {
        if (names.Length > MostExtendedAttributes) return STATUS_INSUFFICIENT_RESOURCES;
        nt.Ob.Probe(buffer.At, buffer.Length, mode);
        if (names.At.IsNull) names.Length = 0;
        nt.Ob.Probe(names.At, names.Length, mode);
        nt.Ob.Probe(index, index.IsNull ? 0 : 4, mode);
        return OnFile(handle, FILE_READ_EA, mode, new Told(default, Va.Null, Va.Null, iosb), waits: true, (_, file) =>
        {
            byte[] bytes = nt.Memory.ReadBytes(names.At, (int)names.Length);
            uint first = index.IsNull ? 0 : nt.Memory.Read<uint>(index);
            Va list = bytes.Length == 0 ? Va.Null : nt.Mm.Pool.Allocate(bytes.Length, AuxiliaryTag);
            if (!list.IsNull) nt.Memory.Write(list, bytes);
            return (STATUS_SUCCESS, new IoRequest(IRP_MJ_QUERY_EA, file)
            {
                LocationFlags = index.IsNull ? flags : (byte)(flags | SL_INDEX_SPECIFIED),
                OutputBuffer = buffer.At,
                OutputLength = buffer.Length,
                AuxiliaryBuffer = list,
                Parameter2 = list.Value,
                Parameter3 = names.Length,
                Parameter4 = first,
                Mode = mode,
            });
        });
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwSetEaFile(Handle fileHandle, Va ioStatusBlock, Va buffer, uint length) =>
        SetEa(fileHandle, ioStatusBlock, buffer, length, ProcessorMode.KernelMode);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus NtSetEaFile(Handle fileHandle, Va ioStatusBlock, Va buffer, uint length) =>
        Service(mode => SetEa(fileHandle, ioStatusBlock, buffer, length, mode));

    NtStatus SetEa(Handle handle, Va iosb, Va buffer, uint length, ProcessorMode mode)
    {
        NtStatus status = CaptureEa((buffer, length), mode, iosb, out _);
        if (!status.IsSuccess) return status;
        return OnFile(handle, FILE_WRITE_EA, mode, new Told(default, Va.Null, Va.Null, iosb), waits: true, (_, file) =>
            (STATUS_SUCCESS, new IoRequest(IRP_MJ_SET_EA, file)
            {
                InputBuffer = buffer,
                InputLength = length,
                Mode = mode,
            }));
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwLockFile(
        Handle fileHandle, Handle @event, Va apcRoutine, Va apcContext, Va ioStatusBlock, Va byteOffset, Va length,
        uint key, bool failImmediately, bool exclusiveLock) =>
        Lock(fileHandle, new Told(@event, apcRoutine, apcContext, ioStatusBlock), byteOffset, length, key,
            LockFlags(failImmediately, exclusiveLock), IRP_MN_LOCK, ProcessorMode.KernelMode);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus NtLockFile(
        Handle fileHandle, Handle @event, Va apcRoutine, Va apcContext, Va ioStatusBlock, Va byteOffset, Va length,
        uint key, bool failImmediately, bool exclusiveLock) =>
        Service(mode => Lock(fileHandle, new Told(@event, apcRoutine, apcContext, ioStatusBlock), byteOffset, length,
            key, LockFlags(failImmediately, exclusiveLock), IRP_MN_LOCK, mode));

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwUnlockFile(Handle fileHandle, Va ioStatusBlock, Va byteOffset, Va length, uint key) =>
        Lock(fileHandle, new Told(default, Va.Null, Va.Null, ioStatusBlock), byteOffset, length, key, 0,
            IRP_MN_UNLOCK_SINGLE, ProcessorMode.KernelMode);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus NtUnlockFile(Handle fileHandle, Va ioStatusBlock, Va byteOffset, Va length, uint key) =>
        Service(mode => Lock(fileHandle, new Told(default, Va.Null, Va.Null, ioStatusBlock), byteOffset, length, key,
            0, IRP_MN_UNLOCK_SINGLE, mode));

    static byte LockFlags(bool failImmediately, bool exclusive) =>
        (byte)((failImmediately ? SL_FAIL_IMMEDIATELY : 0) | (exclusive ? SL_EXCLUSIVE_LOCK : 0));

    NtStatus Lock(Handle handle, Told told, Va byteOffset, Va length, uint key, byte flags, byte minor,
        ProcessorMode mode)
    {
        nt.Ob.Probe(byteOffset, 8, mode);
        nt.Ob.Probe(length, 8, mode);
        ulong start = nt.Memory.Read<ulong>(byteOffset), bytes = nt.Memory.Read<ulong>(length);
        bool waits = minor == IRP_MN_UNLOCK_SINGLE;
        return OnFile(handle, FILE_READ_DATA | FILE_WRITE_DATA, mode, told, waits, (_, file) =>
        {
            // The length goes by pointer, and lives as long as the IRP.
            Va copy = nt.Mm.Pool.Allocate(8, AuxiliaryTag);
            nt.Memory.Write(copy, bytes);
            if (minor == IRP_MN_LOCK) file.LockOperation = true;
            return (STATUS_SUCCESS, new IoRequest(IRP_MJ_LOCK_CONTROL, file)
            {
                Minor = minor,
                LocationFlags = flags,
                AuxiliaryBuffer = copy,
                Parameter1 = copy.Value,
                Parameter2 = key,
                Parameter3 = start,
                Mode = mode,
            });
        });
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwFlushBuffersFile(Handle fileHandle, Va ioStatusBlock) =>
        Flush(fileHandle, 0, ioStatusBlock, ProcessorMode.KernelMode);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwFlushBuffersFileEx(
        Handle fileHandle, uint flags, Va parameters, uint parametersSize, Va ioStatusBlock) =>
        Flush(fileHandle, flags, ioStatusBlock, ProcessorMode.KernelMode);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus NtFlushBuffersFileEx(
        Handle fileHandle, uint flags, Va parameters, uint parametersSize, Va ioStatusBlock) =>
        Service(mode => Flush(fileHandle, flags, ioStatusBlock, mode));

    // The flags and the minors: 1 data only, 2 no synchronization, 4 data and no synchronization.
    NtStatus Flush(Handle handle, uint flags, Va iosb, ProcessorMode mode)
    {
        byte minor = flags switch { 0 => 1, 1 => 2, 2 => 3, 4 => 4, _ => 0 };
        if (minor == 0) return STATUS_INVALID_PARAMETER;
        return OnFile(handle, FILE_WRITE_DATA | FILE_APPEND_DATA, mode, new Told(default, Va.Null, Va.Null, iosb),
            waits: true, (_, file) => (STATUS_SUCCESS, new IoRequest(IRP_MJ_FLUSH_BUFFERS, file)
            {
                Minor = flags == 0 ? (byte)0 : minor,
                Mode = mode,
            }));
    }
}
