using Ringdown.Machine;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>An open file of the user's process. A call sends its request and lets the machine run until that is
/// complete or nothing more happens; what is pending then ends during a later call.</summary>
public sealed class UserFile
{
    readonly NtKernel _nt;
    readonly UserSide _user;
    bool _closed;

    internal UserFile(NtKernel nt, UserSide user, string path, Handle handle, FileObject file) =>
        (_nt, _user, Path, Handle, Object) = (nt, user, path, handle, file);

    public string Path { get; }
    public Handle Handle { get; }
    public FileObject Object { get; }

    /// <summary>A request that its driver keeps is pending at once, before the machine runs on: what a program can do
    /// in that moment finds it under way.</summary>
    public bool ReturnsAtOnce { get; set; }

    public UserRequest Read(uint length, long offset = 0) =>
        Send([], length, (input, output) => new IoRequest(IRP_MJ_READ, Object)
        {
            OutputBuffer = output,
            OutputLength = length,
            ByteOffset = offset,
            Mode = ProcessorMode.UserMode,
        });

    public UserRequest Write(ReadOnlySpan<byte> data, long offset = 0)
    {
        uint length = (uint)data.Length;
        return Send(data, 0, (input, output) => new IoRequest(IRP_MJ_WRITE, Object)
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
        return Send(input, outputLength, (inBuffer, outBuffer) =>
            Control(controlCode, inBuffer, inputLength, outBuffer, outputLength));
    }

    /// <summary>DeviceIoControl with pointers as they are, good or bad.</summary>
    public UserRequest DeviceIoControl(uint controlCode, Va input, uint inputLength, Va output, uint outputLength) =>
        Run(Control(controlCode, input, inputLength, output, outputLength));

    /// <summary>ReadFile with a pointer as it is, good or bad.</summary>
    public UserRequest ReadTo(Va buffer, uint length) => Run(new IoRequest(IRP_MJ_READ, Object)
    {
        OutputBuffer = buffer,
        OutputLength = length,
        Mode = ProcessorMode.UserMode,
    });

    /// <summary>WriteFile with a pointer as it is, good or bad.</summary>
    public UserRequest WriteFrom(Va buffer, uint length) => Run(new IoRequest(IRP_MJ_WRITE, Object)
    {
        InputBuffer = buffer,
        InputLength = length,
        Mode = ProcessorMode.UserMode,
    });

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

    public UserRequest Flush() => Run(new IoRequest(IRP_MJ_FLUSH_BUFFERS, Object) { Mode = ProcessorMode.UserMode });

    /// <summary>NtQueryInformationFile, of a class that the driver answers.</summary>
    internal UserRequest Query(uint informationClass, uint length) =>
        Send([], length, (input, output) => new IoRequest(IRP_MJ_QUERY_INFORMATION, Object)
        {
            OutputBuffer = output,
            OutputLength = length,
            Parameter2 = informationClass,
            Mode = ProcessorMode.UserMode,
        });

    /// <summary>NtSetInformationFile, of a class that the driver takes.</summary>
    internal UserRequest Set(uint informationClass, ReadOnlySpan<byte> value)
    {
        uint length = (uint)value.Length;
        return Send(value, 0, (input, output) => new IoRequest(IRP_MJ_SET_INFORMATION, Object)
        {
            InputBuffer = input,
            InputLength = length,
            Parameter2 = informationClass,
            Mode = ProcessorMode.UserMode,
        });
    }

    /// <summary>A stream over the file, for .NET code. It owns the file: that is closed with it.</summary>
    public DeviceStream AsStream() => new(_user, this);

    /// <summary>CancelIoEx: cancels all that is pending, and lets the machine run.</summary>
    /// <returns>How many requests there were.</returns>
    public int Cancel()
    {
        if (_closed) return 0;
        int count = 0;
        _nt.BeginRequest();
        _user.AsUser(() =>
        {
            count = _nt.Io.CancelAll(Object);
            return _nt.Ke.RunUntilIdle();
        });
        return count;
    }

    /// <summary>CancelIoEx of one request; it may end all the same as if it were not.</summary>
    public void Cancel(UserRequest request)
    {
        _nt.BeginRequest();
        _user.AsUser(() =>
        {
            _nt.Io.Cancel(request.Request);
            return _nt.Ke.RunUntilIdle();
        });
    }

    /// <summary>CloseHandle. Pending requests are the driver's to complete, when it gets IRP_MJ_CLEANUP: for them the
    /// machine runs until nothing more happens.</summary>
    public NtStatus Close()
    {
        if (_closed) return STATUS_INVALID_HANDLE;
        _closed = true;
        _nt.BeginRequest();
        return _user.AsUser(() =>
        {
            bool isUnderWay = _nt.Ob.Find(Object.Address)?.State is OpenFile open && open.Requests.Any();
            NtStatus status = _nt.Ob.Close(Handle);
            if (isUnderWay) _nt.Ke.RunUntilIdle();
            return status;
        });
    }

    delegate IoRequest MakeRequest(Va input, Va output);

    readonly record struct Placed(Va Start, Va Buffer, ulong Bytes);

    // Each buffer ends where its page ends: a driver that touches one byte more is noticed.
    UserRequest Send(ReadOnlySpan<byte> input, uint outputLength, MakeRequest make)
    {
        Placed from = Place((uint)input.Length), to = Place(outputLength);
        _nt.Memory.Write(from.Buffer, input);
        IoRequest request = make(from.Buffer, to.Buffer);
        UserRequest done = Run(request);
        if (done.IsComplete) Collect(done, from, to);
        else request.OnComplete = ended =>
        {
            AddressSpace here = _nt.Memory.Current;
            _nt.Memory.Current = ended.Space ?? here;
            Collect(done, from, to);
            _nt.Memory.Current = here;
            if (done.Ended is not null) _user.Finished(done);
        };
        return done;
    }

    Placed Place(uint length)
    {
        ulong bytes = ((ulong)length + 0xFFF) & ~0xFFFUL;
        if (bytes == 0) return default;
        Va start = _nt.Mm.AllocateUser(bytes);
        return new Placed(start, start + (bytes - ((length + 7UL) & ~7UL)), bytes);
    }

    void Collect(UserRequest done, Placed from, Placed to)
    {
        int count = (int)Math.Min(done.Information, done.Request.OutputLength);
        if (count > 0 && done.Request.Major != IRP_MJ_WRITE && done.Status.Value < 0xC000_0000
            && _nt.Memory.CanAccess(to.Buffer, (ulong)count, Access.Read))
            done.Output = _nt.Memory.ReadBytes(to.Buffer, count);
        _nt.Mm.FreeUser(from.Start, from.Bytes);
        _nt.Mm.FreeUser(to.Start, to.Bytes);
    }

    UserRequest Run(IoRequest request)
    {
        var done = new UserRequest(request);
        _nt.BeginRequest();
        if (Refusal(request) is { IsSuccess: false } refused)
        {
            request.Complete(refused, 0);
            return done;
        }
        NtStatus status = _user.AsUser(() =>
        {
            NtStatus sent = _nt.Io.Carry(request, waits: request.Major is IRP_MJ_FLUSH_BUFFERS
                or IRP_MJ_QUERY_INFORMATION or IRP_MJ_SET_INFORMATION, givesUp: true);
            return sent == STATUS_PENDING && !ReturnsAtOnce ? _nt.Io.Await(request, givesUp: true) : sent;
        });
        if (!request.IsComplete && status != STATUS_PENDING) request.Complete(status, 0);
        return done;
    }

    NtStatus Refusal(IoRequest request) =>
        _closed ? STATUS_INVALID_HANDLE
        : request.Major == IRP_MJ_DEVICE_CONTROL && !Io.MayControl(Object, request.ControlCode)
            || request.Major == IRP_MJ_READ && !Object.ReadAccess
            || request.Major == IRP_MJ_WRITE && !Object.WriteAccess ? STATUS_ACCESS_DENIED
        : STATUS_SUCCESS;
}
