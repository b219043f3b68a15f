using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Services on completion ports. Those without Zw names are system calls that no driver imports.</summary>
sealed partial class Zw
{
    const uint IO_COMPLETION_QUERY_STATE = 1, IO_COMPLETION_MODIFY_STATE = 2;
    const int PacketBytes = 0x20;

    /// <param name="count">How many of its threads may be active at once; 0: one for each processor.</param>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwCreateIoCompletion(
        Va ioCompletionHandle, uint desiredAccess, ObjectAttributes objectAttributes, uint count) =>
        CreateIoCompletion(ioCompletionHandle, desiredAccess, objectAttributes, count, ProcessorMode.KernelMode);

    public NtStatus NtCreateIoCompletion(
        Va ioCompletionHandle, uint desiredAccess, ObjectAttributes objectAttributes, uint count) =>
        Service(mode => CreateIoCompletion(ioCompletionHandle, desiredAccess, objectAttributes, count, mode));

    NtStatus CreateIoCompletion(Va handle, uint access, ObjectAttributes attributes, uint count, ProcessorMode mode) =>
        CreateObject(handle, nt.Ob.IoCompletionType, access, attributes, mode, () =>
        {
            NtObject made = nt.Ob.Create(nt.Ob.IoCompletionType, KQueue.Size);
            nt.Ke.KeInitializeQueue(KQueue.At(nt.Memory, made.Body), count);
            return made;
        });

    public NtStatus NtOpenIoCompletion(Va ioCompletionHandle, uint desiredAccess, ObjectAttributes objectAttributes) =>
        Service(mode => OpenObject(
            ioCompletionHandle, nt.Ob.IoCompletionType, desiredAccess, objectAttributes, mode));

    /// <summary>Puts a packet of the caller's into the port.</summary>
    public NtStatus NtSetIoCompletion(
        Handle ioCompletionHandle, Va keyContext, Va apcContext, NtStatus ioStatus, ulong ioStatusInformation) =>
        OnPort(ioCompletionHandle, IO_COMPLETION_MODIFY_STATE, (port, _) =>
        {
            nt.Io.Queue(port, new CompletionPacket(
                keyContext, apcContext, new IoStatusBlock(ioStatus, ioStatusInformation)));
            return STATUS_SUCCESS;
        });

    /// <summary>IO_COMPLETION_BASIC_INFORMATION: how many packets are in it.</summary>
    public NtStatus NtQueryIoCompletion(
        Handle ioCompletionHandle, uint informationClass, Va information, uint length, Va returnLength)
    {
        if (informationClass != 0) return STATUS_INVALID_INFO_CLASS;
        if (length != 4) return STATUS_INFO_LENGTH_MISMATCH;
        return OnPort(ioCompletionHandle, IO_COMPLETION_QUERY_STATE, (port, mode) => Answer(
            BitConverter.GetBytes(nt.Ke.KeReadStateQueue(KQueue.At(nt.Memory, port.Body))), information, length,
            returnLength, mode));
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwRemoveIoCompletion(
        Handle ioCompletionHandle, Va keyContext, Va apcContext, Va ioStatusBlock, Va timeout) =>
        RemoveIoCompletion(ioCompletionHandle, keyContext, apcContext, ioStatusBlock, timeout);

    public NtStatus NtRemoveIoCompletion(
        Handle ioCompletionHandle, Va keyContext, Va apcContext, Va ioStatusBlock, Va timeout) =>
        RemoveIoCompletion(ioCompletionHandle, keyContext, apcContext, ioStatusBlock, timeout, PreviousMode);

    NtStatus RemoveIoCompletion(Handle handle, Va key, Va apcContext, Va iosb, Va timeout,
        ProcessorMode mode = ProcessorMode.KernelMode) => OnPort(handle, IO_COMPLETION_MODIFY_STATE, (port, _) =>
        {
            nt.Ob.Probe(key, 8, mode);
            nt.Ob.Probe(apcContext, 8, mode);
            nt.Ob.Probe(iosb, 16, mode);
            NtStatus status = TakeEntry(port, alertable: false, timeout, mode, out Va entry);
            if (status != STATUS_SUCCESS) return status;
            CompletionPacket packet = nt.Io.Take(entry);
            nt.Memory.Write(key, packet.Key);
            nt.Memory.Write(apcContext, packet.ApcContext);
            nt.Memory.Write(iosb, packet.Status);
            return STATUS_SUCCESS;
        }, mode);

    /// <summary>Several packets at once, as FILE_IO_COMPLETION_INFORMATION: at least one, and then what is
    /// there.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwRemoveIoCompletionEx(
        Handle ioCompletionHandle, Va ioCompletionInformation, uint count, Va numEntriesRemoved, Va timeout,
        bool alertable) =>
        RemoveIoCompletionEx(ioCompletionHandle, ioCompletionInformation, count, numEntriesRemoved, timeout, alertable);

    public NtStatus NtRemoveIoCompletionEx(
        Handle ioCompletionHandle, Va ioCompletionInformation, uint count, Va numEntriesRemoved, Va timeout,
        bool alertable) =>
        RemoveIoCompletionEx(ioCompletionHandle, ioCompletionInformation, count, numEntriesRemoved, timeout, alertable,
            PreviousMode);

    NtStatus RemoveIoCompletionEx(Handle handle, Va packets, uint count, Va removed, Va timeout, bool alertable,
        ProcessorMode mode = ProcessorMode.KernelMode)
    {
        if (count == 0) return STATUS_INVALID_PARAMETER;
        return OnPort(handle, IO_COMPLETION_MODIFY_STATE, (port, _) =>
        {
            nt.Ob.Probe(packets, (long)count * PacketBytes, mode);
            nt.Ob.Probe(removed, 4, mode);
            NtStatus status = TakeEntry(port, alertable, timeout, mode, out Va entry);
            uint taken = 0;
            var queue = KQueue.At(nt.Memory, port.Body);
            while (status == STATUS_SUCCESS)
            {
                CompletionPacket packet = nt.Io.Take(entry);
                Va at = packets + taken * PacketBytes;
                nt.Memory.Write(at, packet.Key);
                nt.Memory.Write(at + 8, packet.ApcContext);
                nt.Memory.Write(at + 16, packet.Status);
                if (++taken == count || !nt.Ke.TryTakeMore(queue, out entry)) break;
            }
            nt.Memory.Write(removed, taken);
            return status;
        }, mode);
    }

    NtStatus TakeEntry(NtObject port, bool alertable, Va timeout, ProcessorMode mode, out Va entry)
    {
        nt.Ob.Probe(timeout, timeout.IsNull ? 0 : 8, mode);
        // Where nothing more happens, the machine's owner gets what it would get when its time is up.
        return nt.Ke.RemoveQueue(KQueue.At(nt.Memory, port.Body), mode, alertable, nt.Ke.DeadlineOf(timeout),
            STATUS_TIMEOUT, out entry);
    }

    NtStatus OnPort(Handle handle, uint access, Func<NtObject, ProcessorMode, NtStatus> body, ProcessorMode mode) =>
        mode == ProcessorMode.UserMode ? OnPort(handle, access, body) : WithPort(handle, access, body, mode);

    NtStatus OnPort(Handle handle, uint access, Func<NtObject, ProcessorMode, NtStatus> body) =>
        Service(mode => WithPort(handle, access, body, mode));

    NtStatus WithPort(Handle handle, uint access, Func<NtObject, ProcessorMode, NtStatus> body, ProcessorMode mode)
    {
        NtStatus status = nt.Ob.Resolve(handle, access, nt.Ob.IoCompletionType, mode, out HandleEntry? entry);
        if (!status.IsSuccess) return status;
        NtObject port = entry!.Object;
        nt.Ob.Reference(port);
        try
        {
            return body(port, mode);
        }
        finally
        {
            nt.Ob.Dereference(port);
        }
    }
}
