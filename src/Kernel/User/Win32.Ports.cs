using Ringdown.Machine;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>I/O completion ports.</summary>
public sealed partial class Win32
{
    const int PacketBytes = 0x20;

    /// <summary>Makes a port (no <paramref name="existing"/> one), and lets a file (not null) tell of its requests
    /// there.</summary>
    /// <param name="threads">How many threads of the port may be active at once; 0: one for each processor.</param>
    public Win32Result CreateIoCompletionPort(Handle file, Handle existing, Va key, uint threads) => WithScratch(at =>
    {
        Handle port = existing;
        if (port.IsNull)
        {
            NtStatus made = Service(() => _nt.Zw.NtCreateIoCompletion(
                at, 0x1F_0003, ObjectAttributes.At(_nt.Memory, Va.Null), threads));
            if (!made.IsSuccess) return new(Win32Of(made));
            port = _nt.Memory.Read<Handle>(at);
        }
        if (file.IsNull) return existing.IsNull ? new(0, port.Value) : new(ERROR_INVALID_PARAMETER);
        _nt.Memory.Write(at + 0x20, port);
        _nt.Memory.Write(at + 0x28, key);
        NtStatus status = Service(() => _nt.NtSetInformationFile(file, at, at + 0x20, 0x10, 30));
        if (status.IsSuccess) return new(0, port.Value);
        if (existing.IsNull) Service(() => _nt.NtClose(port));
        return new(Win32Of(status));
    });

    public QueuedCompletion GetQueuedCompletionStatus(Handle port, uint milliseconds)
    {
        QueuedCompletion queued = default;
        WithScratch(at =>
        {
            NtStatus status = Service(() => _nt.Zw.NtRemoveIoCompletion(
                port, at, at + 8, at + 16, Timeout(at + 0x30, milliseconds)));
            queued = status == STATUS_SUCCESS ? PacketAt(at)
                : new(new(CodeOfWait(status)), Va.Null, Va.Null);
            return queued.Result;
        });
        return queued;
    }

    /// <summary>Several packets at once; the list is empty if there was none in time, or if a completion routine
    /// ran.</summary>
    public (Win32Result Result, IReadOnlyList<QueuedCompletion> Packets) GetQueuedCompletionStatusEx(
        Handle port, int most, uint milliseconds, bool alertable)
    {
        const int header = 0x40, room = (0x1000 - header) / PacketBytes;
        var packets = new List<QueuedCompletion>();
        Win32Result result = WithScratch(at =>
        {
            uint count = (uint)Math.Clamp(most, 1, room);
            NtStatus status = Service(() => _nt.Zw.NtRemoveIoCompletionEx(
                port, at + header, count, at, Timeout(at + 0x30, milliseconds), alertable));
            if (status != STATUS_SUCCESS) return new(CodeOfWait(status));
            int taken = _nt.Memory.Read<int>(at);
            for (int i = 0; i < taken; i++) packets.Add(PacketAt(at + header + i * PacketBytes));
            return new(0, (ulong)taken);
        });
        return (result, packets);
    }

    // FILE_IO_COMPLETION_INFORMATION: key, context, status block.
    QueuedCompletion PacketAt(Va at)
    {
        IoStatusBlock status = _nt.Memory.Read<IoStatusBlock>(at + 16);
        return new(new(status.Status.IsSuccess ? 0 : Win32Of(status.Status), status.Information),
            _nt.Memory.Read<Va>(at), _nt.Memory.Read<Va>(at + 8));
    }

    Va Timeout(Va place, uint milliseconds)
    {
        if (milliseconds == INFINITE) return Va.Null;
        _nt.Memory.Write(place, milliseconds * -10_000L);
        return place;
    }

    public Win32Result PostQueuedCompletionStatus(Handle port, uint bytes, Va key, Va overlapped) =>
        Code(Service(() => _nt.Zw.NtSetIoCompletion(port, key, overlapped, STATUS_SUCCESS, bytes)));

    /// <param name="modes">FILE_SKIP_COMPLETION_PORT_ON_SUCCESS 1, FILE_SKIP_SET_EVENT_ON_HANDLE 2.</param>
    public Win32Result SetFileCompletionNotificationModes(Handle file, byte modes) => WithScratch(at =>
    {
        _nt.Memory.Write(at + 0x20, (uint)modes);
        return Code(Service(() => _nt.NtSetInformationFile(file, at, at + 0x20, 4, 41)));
    });
}
