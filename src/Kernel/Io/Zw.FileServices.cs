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
        OnFile(fileHandle, FILE_READ_EA, ProcessorMode.KernelMode, new Told(default, Va.Null, Va.Null, ioStatusBlock),
            waits: true, (_, file) =>
            {
                Va list = Va.Null;
                if (eaListLength > MostExtendedAttributes) return (STATUS_INSUFFICIENT_RESOURCES, null);
                if (!eaList.IsNull && eaListLength > 0)
                {
                    byte[] bytes = nt.Memory.ReadBytes(eaList, (int)eaListLength);
                    list = nt.Mm.Pool.Allocate(bytes.Length, AuxiliaryTag);
                    nt.Memory.Write(list, bytes);
                }
                byte flags = Scan(returnSingleEntry, restartScan);
                return (STATUS_SUCCESS, new IoRequest(IRP_MJ_QUERY_EA, file)
                {
                    LocationFlags = eaIndex.IsNull ? flags : (byte)(flags | SL_INDEX_SPECIFIED),
                    OutputBuffer = buffer,
                    OutputLength = length,
                    AuxiliaryBuffer = list,
                    Parameter2 = list.Value,
                    Parameter3 = list.IsNull ? 0 : eaListLength,
                    Parameter4 = eaIndex.IsNull ? 0 : nt.Memory.Read<uint>(eaIndex),
                });
            });

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwSetEaFile(Handle fileHandle, Va ioStatusBlock, Va buffer, uint length)
    {
        NtStatus status = CaptureEa((buffer, length), ProcessorMode.KernelMode, ioStatusBlock, out _);
        if (!status.IsSuccess) return status;
        return OnFile(fileHandle, FILE_WRITE_EA, ProcessorMode.KernelMode,
            new Told(default, Va.Null, Va.Null, ioStatusBlock), waits: true, (_, file) =>
                (STATUS_SUCCESS, new IoRequest(IRP_MJ_SET_EA, file) { InputBuffer = buffer, InputLength = length }));
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
            return (STATUS_SUCCESS, new IoRequest(IRP_MJ_LOCK_CONTROL, file)
            {
                Minor = minor,
                LocationFlags = flags,
                AuxiliaryBuffer = copy,
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
