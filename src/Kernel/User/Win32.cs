using Ringdown.Machine;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>What a Win32 function gives: the code that GetLastError has after it, 0 if it succeeded; and its number:
/// bytes that were transferred, also where a warning made it fail, or a handle.</summary>
public readonly record struct Win32Result(int Error, ulong Value = 0)
{
    public bool Succeeded => Error == 0;
    public uint Bytes => (uint)Value;
    public Handle Handle => new(Value);
}

/// <summary>A packet as GetQueuedCompletionStatus gives it. Failed with a null overlapped structure: there was
/// none.</summary>
public readonly record struct QueuedCompletion(Win32Result Result, Va Key, Va Overlapped);

/// <summary>OVERLAPPED, in the memory of the user's process.</summary>
public sealed class Win32Overlapped
{
    public const int Size = 0x20;

    readonly NtKernel _nt;

    internal Win32Overlapped(NtKernel nt, Va address) => (_nt, Address) = (nt, address);

    public Va Address { get; }

    /// <summary>Internal: STATUS_PENDING as long as the request is under way.</summary>
    public NtStatus Status
    {
        get => _nt.Memory.Read<IoStatusBlock>(Address).Status;
        internal set => _nt.Memory.Write(Address, (ulong)value.Value);
    }

    /// <summary>InternalHigh: bytes.</summary>
    public ulong Information => _nt.Memory.Read<ulong>(Address + 8);

    public long Offset
    {
        get => _nt.Memory.Read<long>(Address + 16);
        set => _nt.Memory.Write(Address + 16, value);
    }

    /// <summary>hEvent. With its lowest bit set no packet goes to a completion port.</summary>
    public Handle Event
    {
        get => _nt.Memory.Read<Handle>(Address + 24);
        set => _nt.Memory.Write(Address + 24, value);
    }
}

/// <summary>The functions by which a program of Windows does I/O. Buffers are addresses in the user's process. They may
/// be called by the machine's owner, and by the threads that <see cref="UserSide.Concurrently"/> makes.</summary>
/// <remarks>Where nothing more happens in the machine, a wait of its owner ends as if its time were up.</remarks>
public sealed partial class Win32
{
    public const int ERROR_FILE_NOT_FOUND = 2, ERROR_INVALID_HANDLE = 6, ERROR_HANDLE_EOF = 38,
        ERROR_INVALID_PARAMETER = 87, ERROR_FILENAME_EXCED_RANGE = 206, ERROR_MORE_DATA = 234, WAIT_TIMEOUT = 258,
        ERROR_OPERATION_ABORTED = 995, ERROR_IO_INCOMPLETE = 996, ERROR_IO_PENDING = 997, ERROR_NOT_FOUND = 1168,
        WAIT_IO_COMPLETION = 192;
    public const uint FILE_FLAG_OVERLAPPED = 0x4000_0000, INFINITE = uint.MaxValue;
    const uint GENERIC_READ_WRITE = 0xC000_0000, SYNCHRONIZE = 0x10_0000, FILE_READ_ATTRIBUTES = 0x80;

    readonly NtKernel _nt;
    readonly UserSide _user;
    readonly Stack<Va> _scratch = new();

    internal Win32(NtKernel nt, UserSide user) => (_nt, _user) = (nt, user);

    /// <summary>VirtualAlloc: zeroed memory of the user's process, a page that is not there behind it.</summary>
    public Va VirtualAlloc(ulong bytes) => _nt.Mm.AllocateUser(bytes);

    public void VirtualFree(Va address, ulong bytes) => _nt.Mm.FreeUser(address, bytes);

    public byte[] ReadMemory(Va address, int bytes) => _nt.Memory.ReadBytes(address, bytes);

    public void WriteMemory(Va address, ReadOnlySpan<byte> bytes) => _nt.Memory.Write(address, bytes);

    public Win32Overlapped NewOverlapped(Handle @event = default, long offset = 0) =>
        new(_nt, VirtualAlloc(Win32Overlapped.Size)) { Event = @event, Offset = offset };

    /// <param name="disposition">CREATE_NEW 1, CREATE_ALWAYS 2, OPEN_EXISTING 3, OPEN_ALWAYS 4,
    /// TRUNCATE_EXISTING 5.</param>
    /// <param name="flags">FILE_FLAG_* and FILE_ATTRIBUTE_*; without FILE_FLAG_OVERLAPPED the file is
    /// synchronous.</param>
    public Win32Result CreateFile(string name, uint access = GENERIC_READ_WRITE, uint share = 3, uint disposition = 3,
        uint flags = 0)
    {
        const int name0 = 0x60, mostChars = 0x7C0;
        uint how = disposition switch { 1 => 2u, 2 => 5, 3 => 1, 4 => 3, 5 => 4, _ => 0 };
        if (how == 0) return new(ERROR_INVALID_PARAMETER);
        string path = UserSide.ToNtPath(name);
        if (path.Length > mostChars) return new(ERROR_FILENAME_EXCED_RANGE);
        return WithScratch(at =>
        {
            _nt.Memory.Fill(at, name0, 0);
            ObjectAttributes attributes = ObjectAttributes.At(_nt.Memory, at + 0x20);
            (attributes.Length, attributes.Attributes) = ((uint)ObjectAttributes.Size, 0x40);
            UnicodeString text = UnicodeString.At(_nt.Memory, at + 0x50);
            attributes.ObjectName = text;
            WriteMemory(at + name0, System.Text.Encoding.Unicode.GetBytes(path));
            text.Set(at + name0, path.Length * 2, path.Length * 2);
            const uint deleteOnClose = 0x0400_0000;
            uint rights = access | SYNCHRONIZE | FILE_READ_ATTRIBUTES
                | ((flags & deleteOnClose) != 0 ? 0x1_0000u : 0);
            NtStatus status = Service(() => _nt.NtCreateFile(at, rights, attributes, at + 0x10, Va.Null,
                flags & 0xFFB7, share, how, OptionsOf(flags), Va.Null, 0));
            return status.IsSuccess ? new(0, _nt.Memory.Read<ulong>(at)) : new(Win32Of(status));
        });
    }

    static uint OptionsOf(uint flags)
    {
        ReadOnlySpan<(uint Flag, uint Option)> meanings =
            [(0x8000_0000, 0x02), (0x2000_0000, 0x08), (0x1000_0000, 0x800), (0x0800_0000, 0x04), (0x0400_0000, 0x1000),
                (0x0200_0000, 0x4000)];
        uint options = (flags & FILE_FLAG_OVERLAPPED) != 0 ? 0u : 0x20;
        if ((flags & 0x0200_0000) == 0) options |= 0x40;
        foreach ((uint flag, uint option) in meanings)
            if ((flags & flag) != 0) options |= option;
        return options;
    }

    public Win32Result CloseHandle(Handle handle) => Code(Service(() => _nt.NtClose(handle)));

    public Win32Result FlushFileBuffers(Handle file) => WithScratch(at =>
        Code(Service(() => _nt.NtFlushBuffersFileEx(file, 0, Va.Null, 0, at))));

    public Win32Result ReadFile(Handle file, Va buffer, uint length, Win32Overlapped? overlapped = null) =>
        Transfer(file, overlapped, (told, offset) => _nt.NtReadFile(
            file, told.Event, told.ApcRoutine, told.ApcContext, told.Iosb, buffer, length, offset, Va.Null));

    public Win32Result WriteFile(Handle file, Va buffer, uint length, Win32Overlapped? overlapped = null) =>
        Transfer(file, overlapped, (told, offset) => _nt.NtWriteFile(
            file, told.Event, told.ApcRoutine, told.ApcContext, told.Iosb, buffer, length, offset, Va.Null));

    /// <summary>Codes of the type FILE_DEVICE_FILE_SYSTEM are file system controls.</summary>
    public Win32Result DeviceIoControl(Handle file, uint code, Va input, uint inputLength, Va output,
        uint outputLength, Win32Overlapped? overlapped = null) =>
        Transfer(file, overlapped, (told, _) => code >> 16 == 9
            ? _nt.NtFsControlFile(file, told.Event, told.ApcRoutine, told.ApcContext, told.Iosb, code, input,
                inputLength, output, outputLength)
            : _nt.NtDeviceIoControlFile(file, told.Event, told.ApcRoutine, told.ApcContext, told.Iosb, code, input,
                inputLength, output, outputLength));

    Win32Result Transfer(Handle file, Win32Overlapped? overlapped, Func<Told, Va, NtStatus> service)
    {
        if (overlapped is null) return WithScratch(at => TransferAndWait(file, at, service));
        Handle @event = overlapped.Event;
        bool isQuiet = (@event.Value & 1) != 0;
        overlapped.Status = STATUS_PENDING;
        var told = new Told(new Handle(@event.Value & ~1UL), Va.Null, isQuiet ? Va.Null : overlapped.Address,
            overlapped.Address);
        NtStatus status = Service(() => service(told, overlapped.Address + 16));
        if (status == STATUS_PENDING) return new(ERROR_IO_PENDING);
        // A warning was told by the status block, an error was not.
        return new(status.IsSuccess ? 0 : Win32Of(status), status.Value < 0xC000_0000 ? overlapped.Information : 0);
    }

    Win32Result TransferAndWait(Handle file, Va iosb, Func<Told, Va, NtStatus> service)
    {
        _nt.Memory.Write(iosb, (ulong)STATUS_PENDING.Value);
        NtStatus status = Service(() =>
        {
            NtStatus sent = service(new Told(default, Va.Null, Va.Null, iosb), Va.Null);
            if (sent != STATUS_PENDING) return sent;
            NtStatus waited = Wait(file, INFINITE, alertable: false);
            return waited == STATUS_SUCCESS ? _nt.Memory.Read<IoStatusBlock>(iosb).Status : STATUS_PENDING;
        });
        if (status == STATUS_END_OF_FILE) return new(0);
        return new(status.IsSuccess && status != STATUS_PENDING ? 0 : Win32Of(status),
            status.Value < 0xC000_0000 ? _nt.Memory.Read<ulong>(iosb + 8) : 0);
    }

    public Win32Result GetOverlappedResult(Handle file, Win32Overlapped overlapped, bool wait) =>
        GetOverlappedResultEx(file, overlapped, wait ? INFINITE : 0, alertable: false);

    /// <summary>What became of a request; waits for its event, or for the file.</summary>
    /// <param name="milliseconds">0: ERROR_IO_INCOMPLETE if it is pending.</param>
    public Win32Result GetOverlappedResultEx(Handle file, Win32Overlapped overlapped, uint milliseconds, bool alertable)
    {
        if (overlapped.Status == STATUS_PENDING)
        {
            if (milliseconds == 0) return new(ERROR_IO_INCOMPLETE);
            ulong @event = overlapped.Event.Value & ~1UL;
            NtStatus waited = Service(() => Wait(@event != 0 ? new Handle(@event) : file, milliseconds, alertable));
            if (waited == STATUS_USER_APC) return new(WAIT_IO_COMPLETION);
            if (waited == STATUS_TIMEOUT || overlapped.Status == STATUS_PENDING) return new(WAIT_TIMEOUT);
            if (waited != STATUS_SUCCESS) return new(Win32Of(waited));
        }
        NtStatus status = overlapped.Status;
        return new(status.IsSuccess ? 0 : Win32Of(status), overlapped.Information);
    }

    Win32Result WithScratch(Func<Va, Win32Result> body)
    {
        if (!_scratch.TryPop(out Va at)) at = VirtualAlloc(0x1000);
        try
        {
            return body(at);
        }
        finally
        {
            _scratch.Push(at);
        }
    }

    NtStatus Service(Func<NtStatus> service) => _user.Call(service);

    static Win32Result Code(NtStatus status) => new(status.IsSuccess ? 0 : Win32Of(status));
}
