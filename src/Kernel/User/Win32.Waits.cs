using Ringdown.Machine;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Events, waits, completion routines, canceling.</summary>
public sealed partial class Win32
{
    /// <summary>LPOVERLAPPED_COMPLETION_ROUTINE: the Win32 code and the bytes.</summary>
    public delegate void CompletionRoutine(int error, uint bytes, Win32Overlapped overlapped);

    readonly Dictionary<Va, (CompletionRoutine Routine, Win32Overlapped Overlapped)> _routines = [];

    public Handle CreateEvent(bool manualReset, bool initialState) => WithScratch(at =>
    {
        NtStatus status = Service(() => _nt.NtCreateEvent(at, 0x1F_0003, ObjectAttributes.At(_nt.Memory, Va.Null),
            manualReset ? 0u : 1, initialState));
        return status.IsSuccess ? new(0, _nt.Memory.Read<ulong>(at)) : new(Win32Of(status));
    }).Handle;

    public Win32Result SetEvent(Handle @event) => Code(Service(() => _nt.NtSetEvent(@event, Va.Null)));

    /// <returns>WAIT_OBJECT_0 (0), WAIT_TIMEOUT, WAIT_IO_COMPLETION, or another error's code.</returns>
    public int WaitForSingleObjectEx(Handle handle, uint milliseconds, bool alertable)
    {
        NtStatus status = Service(() => Wait(handle, milliseconds, alertable));
        return status == STATUS_SUCCESS ? 0 : CodeOfWait(status);
    }

    /// <summary>Lets time pass; completion routines run if it is alertable.</summary>
    /// <returns>0, or WAIT_IO_COMPLETION.</returns>
    public int SleepEx(uint milliseconds, bool alertable)
    {
        NtStatus status = Service(() => Wait([], milliseconds, alertable));
        return status == STATUS_USER_APC ? WAIT_IO_COMPLETION : 0;
    }

    static int CodeOfWait(NtStatus status) => status == STATUS_TIMEOUT ? WAIT_TIMEOUT
        : status == STATUS_USER_APC ? WAIT_IO_COMPLETION : Win32Of(status);

    NtStatus Wait(Handle handle, uint milliseconds, bool alertable)
    {
        NtStatus found = _nt.Ob.Resolve(handle, SYNCHRONIZE, null, ProcessorMode.UserMode, out HandleEntry? entry);
        if (!found.IsSuccess) return found;
        NtObject target = entry!.Object;
        if (target.Type.WaitOffset is not { } offset) return STATUS_OBJECT_TYPE_MISMATCH;
        _nt.Ob.Reference(target);
        NtStatus status = Wait([DispatcherHeader.At(_nt.Memory, target.Body + offset)], milliseconds, alertable);
        _nt.Ob.Dereference(target);
        return status;
    }

    NtStatus Wait(DispatcherHeader[] objects, uint milliseconds, bool alertable) =>
        _nt.Ke.WaitFor(new Wait(_nt.Ke.Scheduler.Current, objects, all: false, DeadlineOf(milliseconds))
        {
            Alertable = alertable,
            Mode = ProcessorMode.UserMode,
            Idle = STATUS_TIMEOUT,
        });

    long DeadlineOf(uint milliseconds) => milliseconds == INFINITE ? Kernel.Wait.Forever
        : _nt.Ke.Clock.Now + milliseconds * 10_000L;

    /// <summary>ReadFile with a routine, which runs in an alertable wait of the calling thread.</summary>
    public Win32Result ReadFileEx(
        Handle file, Va buffer, uint length, Win32Overlapped overlapped, CompletionRoutine done) =>
        TransferEx(overlapped, done, (routine, context) => _nt.NtReadFile(file, default, routine, context,
            overlapped.Address, buffer, length, overlapped.Address + 16, Va.Null));

    /// <summary>WriteFile with a routine, which runs in an alertable wait of the calling thread.</summary>
    public Win32Result WriteFileEx(
        Handle file, Va buffer, uint length, Win32Overlapped overlapped, CompletionRoutine done) =>
        TransferEx(overlapped, done, (routine, context) => _nt.NtWriteFile(file, default, routine, context,
            overlapped.Address, buffer, length, overlapped.Address + 16, Va.Null));

    Win32Result TransferEx(Win32Overlapped overlapped, CompletionRoutine done, Func<Va, Va, NtStatus> service)
    {
        overlapped.Status = STATUS_PENDING;
        _routines[overlapped.Address] = (done, overlapped);
        NtStatus status = Service(() => service(OnCompletion, overlapped.Address));
        // Its APC comes, unless the service has refused it.
        if (status.Value < 0xC000_0000) return new(0);
        _routines.Remove(overlapped.Address);
        return new(Win32Of(status));
    }

    Va OnCompletion
    {
        get
        {
            if (field.IsNull) field = _nt.Routines.Add("BasepIoCompletion", (_, call) =>
            {
                if (!_routines.Remove(new Va(call.Argument(0)), out var routine)) return;
                IoStatusBlock result = _nt.Memory.Read<IoStatusBlock>(routine.Overlapped.Address);
                bool isError = result.Status.Value >= 0xC000_0000;
                routine.Routine(result.Status.IsSuccess ? 0 : Win32Of(result.Status),
                    isError ? 0 : (uint)result.Information, routine.Overlapped);
            });
            return field;
        }
    }

    /// <summary>What the calling thread has under way on the file.</summary>
    public Win32Result CancelIo(Handle file) =>
        WithScratch(at => Code(Service(() => _nt.Zw.NtCancelIoFile(file, at))));

    /// <summary>One request, or all of the process's; ERROR_NOT_FOUND if there is none.</summary>
    public Win32Result CancelIoEx(Handle file, Win32Overlapped? overlapped = null) => WithScratch(at =>
        Code(Service(() => _nt.Zw.NtCancelIoFileEx(file, overlapped?.Address ?? Va.Null, at))));

    /// <summary>The request that a thread waits for inside of a function; ERROR_NOT_FOUND if it does not.</summary>
    public Win32Result CancelSynchronousIo(Handle thread) => WithScratch(at =>
        Code(Service(() => _nt.Zw.NtCancelSynchronousIoFile(thread, Va.Null, at))));

    public ulong GetCurrentThreadId() => _nt.Ke.CurrentThread.UniqueThread;

    public Win32Result OpenThread(uint access, ulong threadId) => WithScratch(at =>
    {
        ObjectAttributes attributes = ObjectAttributes.At(_nt.Memory, at + 0x20);
        (attributes.Length, attributes.Attributes) = ((uint)ObjectAttributes.Size, 0);
        (attributes.RootDirectory, attributes.SecurityDescriptor) = (default, Va.Null);
        attributes.ObjectName = UnicodeString.At(_nt.Memory, Va.Null);
        _nt.Memory.Write(at + 0x10, 0UL);
        _nt.Memory.Write(at + 0x18, threadId);
        NtStatus status = Service(() => _nt.NtOpenThread(at, access, attributes, at + 0x10));
        return status.IsSuccess ? new(0, _nt.Memory.Read<ulong>(at)) : new(Win32Of(status));
    });
}
