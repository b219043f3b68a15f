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

    /// <summary>SL_* of its stack location.</summary>
    internal byte LocationFlags { get; init; }

    /// <summary>SecurityInformation, a lock's length: what stands first, where that is no buffer's length.</summary>
    internal ulong Parameter1 { get; init; }

    /// <summary>Parameters.*.Key, FileInformationClass and what else stands second.</summary>
    internal ulong Parameter2 { get; init; }
    internal ulong Parameter3 { get; init; }
    internal ulong Parameter4 { get; init; }

    /// <summary>Goes with the IRP, in the system's memory, and is freed with it.</summary>
    internal Va AuxiliaryBuffer { get; init; }

    /// <summary>What the system buffer of a query begins with.</summary>
    internal byte[]? Prefilled { get; init; }

    /// <summary>Where it goes; null: to the top of the file's stack.</summary>
    internal DeviceObject? Target { get; init; }

    /// <summary>Where results are to be told: a status block, an event, an APC of the requestor's thread.</summary>
    internal Va Iosb { get; set; }
    internal NtObject? Event { get; set; }
    internal Va ApcRoutine { get; set; }
    internal Va ApcContext { get; set; }

    /// <summary>Of an open: where its driver sends it on.</summary>
    internal Reparse? Reparse { get; init; }

    internal IrpRecord? Record { get; set; }

    /// <summary>The thread that has sent it; null if that has ended.</summary>
    internal NtThread? Thread { get; set; }

    /// <summary>The user half that its buffers are in.</summary>
    internal AddressSpace? Space { get; set; }

    /// <summary>The file object that it keeps a reference to.</summary>
    internal NtObject? HeldFile { get; set; }

    /// <summary>Its neighbours among the requests that are under way on its file.</summary>
    internal IoRequest? Next { get; set; }
    internal IoRequest? Previous { get; set; }

    /// <summary>The key of its completion port, once its packet is there.</summary>
    internal Va Key { get; set; }

    /// <summary>Its file is synchronous.</summary>
    internal bool IsSynchronous { get; set; }

    /// <summary>The service waits though the file is asynchronous: IRP_SYNCHRONOUS_API.</summary>
    internal bool IsSynchronousApi { get; set; }
    internal bool IsWaitedFor => IsSynchronous || IsSynchronousApi;

    /// <summary>Its dispatch routine has not returned.</summary>
    internal bool IsDispatching { get; set; }

    /// <summary>Its IRP is complete, and the service itself does the rest.</summary>
    internal bool IsDeferred { get; set; }

    /// <summary>Signalled with its end, for the thread that waits for it in a service.</summary>
    internal KEvent? Done { get; set; }

    /// <summary>Called once, when it is complete and all is told.</summary>
    internal Action<IoRequest>? OnComplete { get; set; }

    internal void Complete(NtStatus status, ulong information) =>
        (IsComplete, Status, Information) = (true, status, information);
}

/// <summary>An IRP that the system made for a request is complete, and its results are about to reach the
/// requestor.</summary>
public readonly record struct Completed(
    IrpMajor Major, uint ControlCode, NtStatus Status, ulong Information, uint OutputLength, Va Device);
