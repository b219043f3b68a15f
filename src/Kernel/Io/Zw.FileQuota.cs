using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Quotas of a volume's users, and what changes in a directory.</summary>
sealed partial class Zw
{
    const byte SL_WATCH_TREE = 1, IRP_MN_NOTIFY_CHANGE_DIRECTORY = 2;

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwQueryQuotaInformationFile(
        Handle fileHandle, Va ioStatusBlock, Va buffer, uint length, bool returnSingleEntry, Va sidList,
        uint sidListLength, Va startSid, bool restartScan) =>
        QueryQuota(fileHandle, ioStatusBlock, (buffer, length), Scan(returnSingleEntry, restartScan),
            (sidList, sidListLength), startSid, ProcessorMode.KernelMode);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus NtQueryQuotaInformationFile(
        Handle fileHandle, Va ioStatusBlock, Va buffer, uint length, bool returnSingleEntry, Va sidList,
        uint sidListLength, Va startSid, bool restartScan) =>
        Service(mode => QueryQuota(fileHandle, ioStatusBlock, (buffer, length), Scan(returnSingleEntry, restartScan),
            (sidList, sidListLength), startSid, mode));

    NtStatus QueryQuota(Handle handle, Va iosb, (Va At, uint Length) buffer, byte flags, (Va At, uint Length) sids,
        Va startSid, ProcessorMode mode)
    {
        const uint most = 0x1_0000;
        if (sids.Length > most) return STATUS_INSUFFICIENT_RESOURCES;
        nt.Ob.Probe(buffer.At, buffer.Length, mode);
        if (sids.At.IsNull) sids.Length = 0;
        nt.Ob.Probe(sids.At, sids.Length, mode);
        byte[] list = nt.Memory.ReadBytes(sids.At, (int)sids.Length), start = SidAt(startSid, mode);
        return OnFile(handle, 0, mode, new Told(default, Va.Null, Va.Null, iosb), waits: true, (_, file) =>
        {
            int startAt = list.Length + 7 & ~7;
            Va copy = startAt + start.Length == 0 ? Va.Null
                : nt.Mm.Pool.Allocate(startAt + start.Length, AuxiliaryTag);
            if (list.Length > 0) nt.Memory.Write(copy, list);
            if (start.Length > 0) nt.Memory.Write(copy + startAt, start);
            return (STATUS_SUCCESS, new IoRequest(IRP_MJ_QUERY_QUOTA, file)
            {
                LocationFlags = start.Length > 0 ? (byte)(flags | SL_INDEX_SPECIFIED) : flags,
                OutputBuffer = buffer.At,
                OutputLength = buffer.Length,
                AuxiliaryBuffer = copy,
                Parameter2 = start.Length > 0 ? (copy + startAt).Value : 0,
                Parameter3 = list.Length > 0 ? copy.Value : 0,
                Parameter4 = (ulong)list.Length,
                Mode = mode,
            });
        });
    }

    byte[] SidAt(Va sid, ProcessorMode mode)
    {
        const int headerBytes = 8;
        if (sid.IsNull) return [];
        nt.Ob.Probe(sid, headerBytes, mode);
        int bytes = headerBytes + nt.Memory.Read<byte>(sid + 1) * 4;
        nt.Ob.Probe(sid, bytes, mode);
        return nt.Memory.ReadBytes(sid, bytes);
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwSetQuotaInformationFile(Handle fileHandle, Va ioStatusBlock, Va buffer, uint length) =>
        SetQuota(fileHandle, ioStatusBlock, buffer, length, ProcessorMode.KernelMode);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus NtSetQuotaInformationFile(Handle fileHandle, Va ioStatusBlock, Va buffer, uint length) =>
        Service(mode => SetQuota(fileHandle, ioStatusBlock, buffer, length, mode));

    NtStatus SetQuota(Handle handle, Va iosb, Va buffer, uint length, ProcessorMode mode)
    {
        const uint most = 1 << 20;
        if (length > most) return STATUS_INSUFFICIENT_RESOURCES;
        nt.Ob.Probe(buffer, length, mode);
        NtStatus status = Io.CheckQuotaList(nt.Memory.ReadBytes(buffer, (int)length), out uint offset);
        if (!status.IsSuccess)
        {
            nt.Ob.Probe(iosb, 16, mode);
            nt.Memory.Write(iosb, new IoStatusBlock(status, offset));
            return status;
        }
        return OnFile(handle, FILE_WRITE_DATA, mode, new Told(default, Va.Null, Va.Null, iosb), waits: true,
            (_, file) => (STATUS_SUCCESS, new IoRequest(IRP_MJ_SET_QUOTA, file)
            {
                InputBuffer = buffer,
                InputLength = length,
                Mode = mode,
            }));
    }

    /// <summary>Ends when something of what the filter names changes in a directory, and below it if the tree is
    /// watched.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus NtNotifyChangeDirectoryFile(
        Handle fileHandle, Handle @event, Va apcRoutine, Va apcContext, Va ioStatusBlock, Va buffer, uint length,
        uint completionFilter, bool watchTree) => Service(mode =>
    {
        const uint validFilters = 0xFFF;
        if (completionFilter == 0 || (completionFilter & ~validFilters) != 0) return STATUS_INVALID_PARAMETER;
        nt.Ob.Probe(buffer, length, mode);
        return OnFile(fileHandle, FILE_READ_DATA, mode, new Told(@event, apcRoutine, apcContext, ioStatusBlock),
            waits: false, (_, file) => (STATUS_SUCCESS, new IoRequest(IRP_MJ_DIRECTORY_CONTROL, file)
            {
                Minor = IRP_MN_NOTIFY_CHANGE_DIRECTORY,
                LocationFlags = watchTree ? SL_WATCH_TREE : (byte)0,
                OutputBuffer = buffer,
                OutputLength = length,
                Parameter2 = completionFilter,
                Mode = mode,
            }));
    });
}
