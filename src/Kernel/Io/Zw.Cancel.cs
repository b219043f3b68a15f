using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Canceling what is under way. None of the services waits for the end of what it cancels.</summary>
sealed partial class Zw
{
    const uint THREAD_TERMINATE = 1;

    /// <summary>Cancels what the calling thread has under way on the file.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwCancelIoFile(Handle fileHandle, Va ioStatusBlock) =>
        Cancel(fileHandle, ioStatusBlock, ProcessorMode.KernelMode, CancelOfThread);

    public NtStatus NtCancelIoFile(Handle fileHandle, Va ioStatusBlock) =>
        Service(mode => Cancel(fileHandle, ioStatusBlock, mode, CancelOfThread));

    NtStatus CancelOfThread(FileObject file)
    {
        nt.Io.CancelOf(nt.Ke.Scheduler.Current, file);
        return STATUS_SUCCESS;
    }

    /// <summary>Cancels one request, known by its status block, or all, whichever thread of the process has sent
    /// them.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwCancelIoFileEx(Handle fileHandle, Va ioRequestToCancel, Va ioStatusBlock) =>
        Cancel(fileHandle, ioStatusBlock, ProcessorMode.KernelMode, file => CancelEx(file, ioRequestToCancel));

    public NtStatus NtCancelIoFileEx(Handle fileHandle, Va ioRequestToCancel, Va ioStatusBlock) =>
        Service(mode => Cancel(fileHandle, ioStatusBlock, mode, file => CancelEx(file, ioRequestToCancel)));

    NtStatus CancelEx(FileObject file, Va iosb)
    {
        ulong process = nt.Ps.Current.Id;
        int count = nt.Io.CancelAll(file, r => (iosb.IsNull || r.Iosb == iosb)
            && (r.Thread is null || nt.Ps.ProcessOf(r.Thread.Object)?.Id == process));
        return count == 0 ? STATUS_NOT_FOUND : STATUS_SUCCESS;
    }

    NtStatus Cancel(Handle handle, Va iosb, ProcessorMode mode, Func<FileObject, NtStatus> cancel)
    {
        nt.Ob.Probe(iosb, 16, mode);
        NtStatus status = nt.Ob.Resolve(handle, 0, nt.Ob.FileType, mode, out HandleEntry? entry);
        if (!status.IsSuccess) return status;
        status = cancel(FileObject.At(nt.Memory, entry!.Object.Body));
        nt.Memory.Write(iosb, new IoStatusBlock(status, 0));
        return status;
    }

    /// <summary>Cancels the request that a thread waits for in a service. STATUS_NOT_FOUND if it does not.</summary>
    /// <param name="ioRequestToCancel">Only the one with this status block; null: any.</param>
    public NtStatus NtCancelSynchronousIoFile(Handle threadHandle, Va ioRequestToCancel, Va ioStatusBlock) =>
        Service(mode =>
        {
            nt.Ob.Probe(ioStatusBlock, 16, mode);
            NtStatus status = nt.Ob.Resolve(
                threadHandle, THREAD_TERMINATE, nt.Ob.ThreadType, mode, out HandleEntry? entry);
            if (!status.IsSuccess) return status;
            bool found = nt.Ke.Scheduler.Find(entry!.Object.Body) is { } thread
                && nt.Io.CancelSynchronous(thread, ioRequestToCancel);
            status = found ? STATUS_SUCCESS : STATUS_NOT_FOUND;
            nt.Memory.Write(ioStatusBlock, new IoStatusBlock(status, 0));
            return status;
        });
}
