using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>An open file as a .NET stream, with device controls beside.</summary>
/// <remarks>
/// A call sends its request and lets the machine run until it is complete or nothing more happens. What is pending
/// then is an incomplete task; it ends with the later call into the machine in which the request ends, when that is
/// about to return, and its continuations run on the thread of that call. A synchronous call cannot wait for that: it
/// cancels the request and fails. Errors are <see cref="IOException"/> with the Win32 code in HResult
/// (0x8007xxxx).
/// </remarks>
public sealed class DeviceStream : Stream
{
    const uint FileStandardInformation = 5, FileEndOfFileInformation = 20;

    readonly UserSide _user;
    readonly UserFile _file;
    long _position;

    internal DeviceStream(UserSide user, UserFile file) => (_user, _file) = (user, file);

    /// <summary>The file that it reads and writes.</summary>
    public UserFile File => _file;
    public override bool CanRead => _file.Object.ReadAccess;
    public override bool CanWrite => _file.Object.WriteAccess;

    /// <summary>Disks, CD-ROMs and file systems have positions; other devices get offset 0 with each
    /// request.</summary>
    public override bool CanSeek =>
        _file.Object.DeviceObject.DeviceType is 0x02 or 0x03 or 0x07 or 0x08 or 0x14 or 0x24;

    /// <summary>EndOfFile of FILE_STANDARD_INFORMATION.</summary>
    public override long Length
    {
        get
        {
            MustSeek();
            byte[] output = Checked(_file.Query(FileStandardInformation, 0x18)).Output;
            return output.Length < 16 ? throw Failure(STATUS_INFO_LENGTH_MISMATCH) : BitConverter.ToInt64(output, 8);
        }
    }

    public override long Position
    {
        get
        {
            MustSeek();
            return _position;
        }
        set
        {
            MustSeek();
            ArgumentOutOfRangeException.ThrowIfNegative(value);
            _position = value;
        }
    }

    public override long Seek(long offset, SeekOrigin origin) => Position = offset + origin switch
    {
        SeekOrigin.Begin => 0,
        SeekOrigin.Current => Position,
        _ => Length,
    };

    /// <summary>FileEndOfFileInformation.</summary>
    public override void SetLength(long value)
    {
        MustSeek();
        Checked(_file.Set(FileEndOfFileInformation, BitConverter.GetBytes(value)));
    }

    public override void Flush() => Checked(_file.Flush());

    public override int Read(byte[] buffer, int offset, int count)
    {
        ValidateBufferArguments(buffer, offset, count);
        return Read(buffer.AsSpan(offset, count));
    }

    public override int Read(Span<byte> buffer)
    {
        byte[] read = BytesOf(Ended(_file.Read((uint)buffer.Length, _position)));
        read.CopyTo(buffer);
        Advance(read.Length);
        return read.Length;
    }

    public override void Write(byte[] buffer, int offset, int count)
    {
        ValidateBufferArguments(buffer, offset, count);
        Write(buffer.AsSpan(offset, count));
    }

    public override void Write(ReadOnlySpan<byte> buffer) =>
        Advance((long)Checked(_file.Write(buffer, _position)).Information);

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        UserRequest done = await _user.TaskOf(_file.Read((uint)buffer.Length, _position), cancellationToken);
        byte[] read = BytesOf(done, cancellationToken);
        read.CopyTo(buffer);
        Advance(read.Length);
        return read.Length;
    }

    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    public override async ValueTask WriteAsync(
        ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        UserRequest done = await _user.TaskOf(_file.Write(buffer.Span, _position), cancellationToken);
        Advance((long)Checked(done, cancellationToken).Information);
    }

    public override Task WriteAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        WriteAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    /// <summary>DeviceIoControl.</summary>
    /// <returns>What the device has answered.</returns>
    /// <exception cref="IOException">It failed.</exception>
    /// <exception cref="OperationCanceledException">The token was canceled, and with it the request.</exception>
    public async Task<byte[]> DeviceControlAsync(
        uint controlCode, ReadOnlyMemory<byte> input, uint outputLength, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        UserRequest sent = _file.DeviceIoControl(controlCode, input.Span, outputLength);
        return Checked(await _user.TaskOf(sent, cancellationToken), cancellationToken).Output;
    }

    /// <summary>DeviceIoControl, waited for.</summary>
    public byte[] DeviceControl(uint controlCode, ReadOnlySpan<byte> input, uint outputLength) =>
        Checked(_file.DeviceIoControl(controlCode, input, outputLength)).Output;

    protected override void Dispose(bool disposing)
    {
        if (disposing) _file.Close();
        base.Dispose(disposing);
    }

    void Advance(long bytes)
    {
        if (CanSeek) _position += bytes;
    }

    void MustSeek()
    {
        if (!CanSeek) throw new NotSupportedException($"{_file.Path} has no position.");
    }

    // The end of a file is no error, nor is a message that does not fit.
    static byte[] BytesOf(UserRequest done, CancellationToken token = default) =>
        done.Status == STATUS_END_OF_FILE ? []
        : done.Status == STATUS_BUFFER_OVERFLOW ? done.Output
        : Checked(done, token, isEnded: true).Output;

    UserRequest Checked(UserRequest done, CancellationToken token = default) => Checked(Ended(done), token, true);

    static UserRequest Checked(UserRequest done, CancellationToken token, bool isEnded)
    {
        if (isEnded && done.Status.IsSuccess) return done;
        if (done.Status == STATUS_CANCELLED) token.ThrowIfCancellationRequested();
        throw Failure(done.Status);
    }

    UserRequest Ended(UserRequest done)
    {
        if (done.IsComplete) return done;
        _file.Cancel(done);
        throw new IOException("The request is pending, and nothing in the machine will complete it.",
            HResultOf(STATUS_PENDING));
    }

    static IOException Failure(NtStatus status) => new($"The request failed: {status}.", HResultOf(status));

    static int HResultOf(NtStatus status) => unchecked((int)0x8007_0000) | Win32Of(status);
}
