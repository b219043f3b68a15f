using Ringdown.Machine;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>A request that a program sent, and its buffers.</summary>
public sealed record UserRequest(IoRequest Request, byte[] Output)
{
    public NtStatus Status => Request.Status;

    /// <summary>The Win32 error code that GetLastError would give; 997 (ERROR_IO_PENDING) while it is
    /// pending.</summary>
    public int Win32Error => Kernel.Status.Win32Of(Status);
    public ulong Information => Request.Information;
}

/// <summary>An open file of the user's process.</summary>
public sealed class UserFile
{
    readonly NtKernel _nt;
    readonly UserSide _user;
    readonly List<(IoRequest Request, Va Buffer, uint Size)> _pending = [];
    bool _closed;

    internal UserFile(NtKernel nt, UserSide user, string path, Handle handle, FileObject file) =>
        (_nt, _user, Path, Handle, Object) = (nt, user, path, handle, file);

    public string Path { get; }
    public Handle Handle { get; }
    public FileObject Object { get; }

    public UserRequest Read(uint length, long offset = 0) =>
        Send(IRP_MJ_READ, [], length, (input, output) => new IoRequest(IRP_MJ_READ, Object)
        {
            OutputBuffer = output,
            OutputLength = length,
            ByteOffset = offset,
            Mode = ProcessorMode.UserMode,
        });

    public UserRequest Write(ReadOnlySpan<byte> data, long offset = 0)
    {
        uint length = (uint)data.Length;
        return Send(IRP_MJ_WRITE, data, 0, (input, output) => new IoRequest(IRP_MJ_WRITE, Object)
        {
            InputBuffer = input,
            InputLength = length,
            ByteOffset = offset,
            Mode = ProcessorMode.UserMode,
        });
    }

    /// <summary>DeviceIoControl with buffers of the given sizes.</summary>
    public UserRequest DeviceIoControl(uint controlCode, ReadOnlySpan<byte> input, uint outputLength)
    {
        uint inputLength = (uint)input.Length;
        return Send(IRP_MJ_DEVICE_CONTROL, input, outputLength, (inBuffer, outBuffer) =>
            Control(controlCode, inBuffer, inputLength, outBuffer, outputLength));
    }

    /// <summary>DeviceIoControl with pointers as they are, good or bad.</summary>
    public UserRequest DeviceIoControl(uint controlCode, Va input, uint inputLength, Va output, uint outputLength) =>
        Run(Control(controlCode, input, inputLength, output, outputLength), Va.Null, 0);

    /// <summary>ReadFile with a pointer as it is, good or bad.</summary>
    public UserRequest ReadTo(Va buffer, uint length) => Run(new IoRequest(IRP_MJ_READ, Object)
    {
        OutputBuffer = buffer,
        OutputLength = length,
        Mode = ProcessorMode.UserMode,
    }, Va.Null, 0);

    /// <summary>WriteFile with a pointer as it is, good or bad.</summary>
    public UserRequest WriteFrom(Va buffer, uint length) => Run(new IoRequest(IRP_MJ_WRITE, Object)
    {
        InputBuffer = buffer,
        InputLength = length,
        Mode = ProcessorMode.UserMode,
    }, Va.Null, 0);

    IoRequest Control(uint code, Va input, uint inputLength, Va output, uint outputLength) =>
        new(IRP_MJ_DEVICE_CONTROL, Object)
        {
            ControlCode = code,
            InputBuffer = input,
            InputLength = inputLength,
            OutputBuffer = output,
            OutputLength = outputLength,
            Mode = ProcessorMode.UserMode,
        };

    public UserRequest Flush() =>
        Run(new IoRequest(IRP_MJ_FLUSH_BUFFERS, Object) { Mode = ProcessorMode.UserMode }, Va.Null, 0);

    /// <summary>CancelIoEx: cancels all that is pending, and lets the machine run.</summary>
    /// <returns>How many requests there were.</returns>
    public int Cancel()
    {
        int count = 0;
        _nt.BeginRequest();
        _user.AsUser(() =>
        {
            count = _nt.Io.CancelAll(Object);
            return _nt.Ke.RunUntilIdle();
        });
        return count;
    }

    /// <summary>CloseHandle. Pending requests are canceled first, as NtClose does.</summary>
    public NtStatus Close()
    {
        if (_closed) return STATUS_INVALID_HANDLE;
        _closed = true;
        _nt.BeginRequest();
        NtStatus status = _user.AsUser(() => _nt.Ob.Close(Handle));
        foreach ((_, Va buffer, uint size) in _pending) _nt.Mm.FreeUser(buffer, size);
        return status;
    }

    delegate IoRequest MakeRequest(Va input, Va output);

    // Each buffer ends where its page ends: a driver that touches one byte more is noticed.
    UserRequest Send(IrpMajor major, ReadOnlySpan<byte> input, uint outputLength, MakeRequest make)
    {
        (Va inputStart, Va inputBuffer, ulong inputBytes) = Place((uint)input.Length);
        (Va outputStart, Va outputBuffer, ulong outputBytes) = Place(outputLength);
        _nt.Memory.Write(inputBuffer, input);
        UserRequest done = Run(make(inputBuffer, outputBuffer), outputBuffer, outputLength);
        if (done.Request.IsComplete)
        {
            _nt.Mm.FreeUser(inputStart, inputBytes);
            _nt.Mm.FreeUser(outputStart, outputBytes);
        }
        else
        {
            _pending.Add((done.Request, inputStart, (uint)inputBytes));
            _pending.Add((done.Request, outputStart, (uint)outputBytes));
        }
        return done;
    }

    (Va Start, Va Buffer, ulong Bytes) Place(uint length)
    {
        ulong bytes = ((ulong)length + 0xFFF) & ~0xFFFUL;
        if (bytes == 0) return (Va.Null, Va.Null, 0);
        Va start = _nt.Mm.AllocateUser(bytes);
        return (start, start + (bytes - ((length + 7UL) & ~7UL)), bytes);
    }

    UserRequest Run(IoRequest request, Va output, uint outputLength)
    {
        _nt.BeginRequest();
        if (request.Major == IRP_MJ_DEVICE_CONTROL && !Io.MayControl(Object, request.ControlCode)
            || request.Major == IRP_MJ_READ && !Object.ReadAccess || request.Major == IRP_MJ_WRITE
                && !Object.WriteAccess)
        {
            request.Complete(STATUS_ACCESS_DENIED, 0);
            return new UserRequest(request, []);
        }
        NtStatus refused = _user.AsUser(() =>
        {
            NtStatus sent = _nt.Io.Send(request);
            return sent == STATUS_PENDING ? _nt.Io.Await(request) : sent;
        });
        if (!request.IsComplete && refused != STATUS_PENDING) request.Complete(refused, 0);
        int count = output.IsNull ? 0 : (int)Math.Min(request.Information, outputLength);
        bool hasOutput = request.IsComplete && request.Major != IRP_MJ_WRITE && request.Status.Value < 0xC000_0000
            && count > 0;
        return new UserRequest(request, hasOutput ? _nt.Memory.ReadBytes(output, count) : []);
    }
}
