using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>How a file is opened: desired access, share mode, disposition and options as NtCreateFile takes
/// them.</summary>
public readonly record struct OpenOptions(
    uint DesiredAccess, uint ShareAccess = 3, uint Disposition = 1, uint CreateOptions = 0, uint FileAttributes = 0x80)
{
    /// <summary>An existing file, for reading and writing, shared: GENERIC_READ | GENERIC_WRITE |
    /// SYNCHRONIZE.</summary>
    public static OpenOptions ReadWrite => new(0xC010_0000);
}

/// <summary>A request for I/O on an open file, from the user's side or from a Zw service.</summary>
public sealed class IoRequest
{
    internal IoRequest(IrpMajor major, FileObject file) => (Major, File) = (major, file);

    public IrpMajor Major { get; }
    internal FileObject File { get; }

    /// <summary>The IRP, while there is one.</summary>
    public Va Irp { get; internal set; }
    public bool IsComplete { get; private set; }

    /// <summary>STATUS_PENDING until it is complete.</summary>
    public NtStatus Status { get; private set; } = Kernel.Status.STATUS_PENDING;
    public ulong Information { get; private set; }

    /// <summary>IOCTL_* of a device control.</summary>
    public uint ControlCode { get; init; }

    /// <summary>Bytes that the caller has room for.</summary>
    public uint OutputLength { get; init; }

    internal Va OutputBuffer { get; init; }
    internal Va InputBuffer { get; init; }
    internal uint InputLength { get; init; }
    internal long ByteOffset { get; init; }
    internal byte Minor { get; init; }
    internal ProcessorMode Mode { get; init; }

    internal void Complete(NtStatus status, ulong information) =>
        (IsComplete, Status, Information) = (true, status, information);
}

/// <summary>An IRP that the system made for a request is complete, and its results are about to reach the
/// requestor.</summary>
public readonly record struct Completed(
    IrpMajor Major, uint ControlCode, NtStatus Status, ulong Information, uint OutputLength, Va Device);
