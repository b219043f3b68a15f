using Ringdown.Machine;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>The entries of FAST_IO_DISPATCH, in their order: each is a pointer, after SizeOfFastIoDispatch.</summary>
enum FastIoEntry
{
    CheckIfPossible = 1, Read, Write, QueryBasicInfo, QueryStandardInfo, Lock, UnlockSingle, UnlockAll, UnlockAllByKey,
    DeviceControl, AcquireFileForNtCreateSection, ReleaseFileForNtCreateSection, DetachDevice, QueryNetworkOpenInfo,
    AcquireForModWrite, MdlRead, MdlReadComplete, PrepareMdlWrite, MdlWriteComplete, ReadCompressed, WriteCompressed,
    MdlReadCompleteCompressed, MdlWriteCompleteCompressed, QueryOpen, ReleaseForModWrite, AcquireForCcFlush,
    ReleaseForCcFlush,
}

/// <summary>Fast I/O: a driver may do a request at once, without an IRP. What it refuses is sent as one.</summary>
/// <remarks>The driver gets the caller's buffers as they are. Reads and writes: of synchronous files that are
/// cached.</remarks>
sealed partial class Io
{
    const uint FileBasicInformation = 4, FileStandardInformation = 5, FileNetworkOpenInformation = 34;
    const byte IRP_MN_LOCK = 1, IRP_MN_UNLOCK_SINGLE = 2, IRP_MN_UNLOCK_ALL = 3, IRP_MN_UNLOCK_ALL_BY_KEY = 4;
    const uint FastIoTag = 0x6F49_7346;

    /// <summary>A driver's routine for fast I/O; null if it has none.</summary>
    public Va FastIoRoutine(DriverObject driver, FastIoEntry entry)
    {
        Va table = driver.FastIoDispatch;
        int at = (int)entry * 8;
        return table.IsNull || nt.Memory.Read<uint>(table) < at + 8 ? Va.Null : nt.Memory.Read<Va>(table + at);
    }

    /// <summary>Asks the driver on top of the file's stack to do a request at once.</summary>
    /// <returns>False if it must be sent as an IRP; else the request is complete.</returns>
    public bool TryFastIo(IoRequest request)
    {
        if (request.Target is not null || EntryFor(request) is not { } entry) return false;
        DeviceObject device = RelatedDevice(request.File);
        Va routine = FastIoRoutine(device.DriverObject, entry);
        if (routine.IsNull || !MayTouch(request, entry)) return false;
        // The status block; a number; what a query brings.
        Va place = nt.Mm.Pool.Allocate(16 + 8 + 64, FastIoTag);
        try
        {
            bool isDone = CallFastIo(routine, ArgumentsFor(request, entry, device, place, place + 16, place + 24));
            IoStatusBlock result = nt.Memory.Read<IoStatusBlock>(place);
            if (!isDone || !IsAccepted(entry, result.Status)) return false;
            if (IsQuery(entry) && result.Status.IsSuccess)
                nt.Memory.Write(request.OutputBuffer, nt.Memory.ReadBytes(place + 24, QueryBytes(entry)));
            CompleteFast(request, result);
            return true;
        }
        finally
        {
            nt.Mm.Pool.Free(place);
        }
    }

    static FastIoEntry? EntryFor(IoRequest request) => (request.Major, request.Minor, request.Parameter2) switch
    {
        (IRP_MJ_READ, 0, _) when IsCached(request.File) => FastIoEntry.Read,
        (IRP_MJ_WRITE, 0, _) when IsCached(request.File) => FastIoEntry.Write,
        (IRP_MJ_DEVICE_CONTROL, _, _) => FastIoEntry.DeviceControl,
        (IRP_MJ_QUERY_INFORMATION, _, FileBasicInformation) => FastIoEntry.QueryBasicInfo,
        (IRP_MJ_QUERY_INFORMATION, _, FileStandardInformation) => FastIoEntry.QueryStandardInfo,
        (IRP_MJ_QUERY_INFORMATION, _, FileNetworkOpenInformation) => FastIoEntry.QueryNetworkOpenInfo,
        (IRP_MJ_LOCK_CONTROL, IRP_MN_LOCK, _) => FastIoEntry.Lock,
        (IRP_MJ_LOCK_CONTROL, IRP_MN_UNLOCK_SINGLE, _) => FastIoEntry.UnlockSingle,
        (IRP_MJ_LOCK_CONTROL, IRP_MN_UNLOCK_ALL, _) => FastIoEntry.UnlockAll,
        (IRP_MJ_LOCK_CONTROL, IRP_MN_UNLOCK_ALL_BY_KEY, _) => FastIoEntry.UnlockAllByKey,
        _ => null,
    };

    static bool IsCached(FileObject file) => (file.Flags & FO_SYNCHRONOUS_IO) != 0 && !file.PrivateCacheMap.IsNull;

    static bool IsQuery(FastIoEntry entry) =>
        entry is FastIoEntry.QueryBasicInfo or FastIoEntry.QueryStandardInfo or FastIoEntry.QueryNetworkOpenInfo;

    static int QueryBytes(FastIoEntry entry) => entry switch
    {
        FastIoEntry.QueryBasicInfo => 40,
        FastIoEntry.QueryStandardInfo => 24,
        _ => 56,
    };

    // Buffers that may not be touched are the slow way's to refuse.
    bool MayTouch(IoRequest request, FastIoEntry entry) => entry switch
    {
        FastIoEntry.Read => MayAccess(request.OutputBuffer, request.OutputLength, Access.Write, request.Mode),
        FastIoEntry.Write => MayAccess(request.InputBuffer, request.InputLength, Access.Read, request.Mode),
        _ when IsQuery(entry) => request.OutputLength >= QueryBytes(entry) && request.Prefilled is null
            && MayAccess(request.OutputBuffer, request.OutputLength, Access.Write, request.Mode),
        _ => true,
    };

    // A read or write may end so that only an IRP can tell why.
    static bool IsAccepted(FastIoEntry entry, NtStatus status) => entry is not (FastIoEntry.Read or FastIoEntry.Write)
        || status == STATUS_SUCCESS || status == STATUS_BUFFER_OVERFLOW || status == STATUS_END_OF_FILE;

    ulong[] ArgumentsFor(
        IoRequest request, FastIoEntry entry, DeviceObject device, Va iosb, Va number, Va information)
    {
        (ulong file, ulong to) = (request.File.Address.Value, device.Address.Value);
        const ulong wait = 1;
        if (request.Major == IRP_MJ_LOCK_CONTROL) nt.Memory.Write(number, request.Parameter3);
        else nt.Memory.Write(number, request.ByteOffset);
        ulong process = nt.Ke.CurrentThread.Process.Value, key = request.Parameter2;
        return entry switch
        {
            FastIoEntry.Read => [file, number.Value, request.OutputLength, wait, key, request.OutputBuffer.Value,
                iosb.Value, to],
            FastIoEntry.Write => [file, number.Value, request.InputLength, wait, key, request.InputBuffer.Value,
                iosb.Value, to],
            FastIoEntry.DeviceControl => [file, wait, request.InputBuffer.Value, request.InputLength,
                request.OutputBuffer.Value, request.OutputLength, request.ControlCode, iosb.Value, to],
            FastIoEntry.Lock => [file, number.Value, request.AuxiliaryBuffer.Value, process, key,
                request.LocationFlags & 1u, (uint)request.LocationFlags >> 1 & 1u, iosb.Value, to],
            FastIoEntry.UnlockSingle => [file, number.Value, request.AuxiliaryBuffer.Value, process, key, iosb.Value,
                to],
            FastIoEntry.UnlockAll => [file, process, iosb.Value, to],
            FastIoEntry.UnlockAllByKey => [file, process, key, iosb.Value, to],
            _ => [file, wait, information.Value, iosb.Value, to],
        };
    }

    bool CallFastIo(Va routine, ulong[] arguments)
    {
        (Irql irql, int apcs) = (nt.Ke.Irql, ApcDisable);
        bool isDone = (byte)nt.Routines.Call(routine, arguments) != 0;
        nt.OnFastIoReturned(routine, irql, apcs - ApcDisable);
        return isDone;
    }

    void CompleteFast(IoRequest request, IoStatusBlock result)
    {
        if (!request.AuxiliaryBuffer.IsNull) nt.Mm.Pool.Free(request.AuxiliaryBuffer);
        request.Complete(result.Status, result.Information);
        // What ends at once tells an error as well.
        if (!request.Iosb.IsNull) WriteStatus(request.Iosb, result);
        Tell(request, result, pended: false, toldAll: true);
        Release(request);
        request.OnComplete?.Invoke(request);
    }
}
