using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Files are opened, deleted and asked about by name.</summary>
sealed partial class Zw
{
    const uint FILE_OPEN = 1, FILE_OPEN_IF = 3, FILE_OVERWRITE_IF = 5, FILE_DIRECTORY_FILE = 1,
        FILE_NO_INTERMEDIATE_BUFFERING = 8, FILE_SYNCHRONOUS_IO = 0x30, FILE_NON_DIRECTORY_FILE = 0x40,
        FILE_DELETE_ON_CLOSE = 0x1000;
    const uint MostExtendedAttributes = 0x1_0000;

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwCreateFile(
        Va fileHandle, uint desiredAccess, ObjectAttributes objectAttributes, Va ioStatusBlock, Va allocationSize,
        uint fileAttributes, uint shareAccess, uint createDisposition, uint createOptions, Va eaBuffer,
        uint eaLength) =>
        CreateFile(fileHandle, objectAttributes, ioStatusBlock, allocationSize,
            new OpenOptions(desiredAccess, shareAccess, createDisposition, createOptions, fileAttributes),
            (eaBuffer, eaLength), ProcessorMode.KernelMode);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus NtCreateFile(
        Va fileHandle, uint desiredAccess, ObjectAttributes objectAttributes, Va ioStatusBlock, Va allocationSize,
        uint fileAttributes, uint shareAccess, uint createDisposition, uint createOptions, Va eaBuffer,
        uint eaLength) =>
        Service(mode => CreateFile(fileHandle, objectAttributes, ioStatusBlock, allocationSize,
            new OpenOptions(desiredAccess, shareAccess, createDisposition, createOptions, fileAttributes),
            (eaBuffer, eaLength), mode));

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwOpenFile(
        Va fileHandle, uint desiredAccess, ObjectAttributes objectAttributes, Va ioStatusBlock, uint shareAccess,
            uint openOptions) =>
        CreateFile(fileHandle, objectAttributes, ioStatusBlock, Va.Null,
            new OpenOptions(desiredAccess, shareAccess, FILE_OPEN, openOptions, 0), default, ProcessorMode.KernelMode);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus NtOpenFile(
        Va fileHandle, uint desiredAccess, ObjectAttributes objectAttributes, Va ioStatusBlock, uint shareAccess,
            uint openOptions) =>
        Service(mode => CreateFile(fileHandle, objectAttributes, ioStatusBlock, Va.Null,
            new OpenOptions(desiredAccess, shareAccess, FILE_OPEN, openOptions, 0), default, mode));

    /// <summary>IopCreateFile.</summary>
    /// <param name="special">What only a driver can ask for is set in it.</param>
    public NtStatus CreateFile(
        Va fileHandle, ObjectAttributes attributes, Va ioStatusBlock, Va allocationSize, OpenOptions options,
        (Va Buffer, uint Length) ea, ProcessorMode mode, Func<FileOpen, FileOpen>? special = null)
    {
        nt.Ob.Probe(fileHandle, 8, mode);
        nt.Ob.Probe(ioStatusBlock, 16, mode);
        if (attributes.IsNull || !IsValid(options)) return STATUS_INVALID_PARAMETER;
        NtStatus status = ObjectRequest.Capture(nt, attributes, mode, out ObjectRequest request);
        if (!status.IsSuccess) return status;
        status = CaptureEa(ea, mode, ioStatusBlock, out byte[] extended);
        if (!status.IsSuccess) return status;
        nt.Ob.Probe(allocationSize, allocationSize.IsNull ? 0 : 8, mode);
        var open = new FileOpen(request, options)
        {
            ExtendedAttributes = extended,
            AllocationSize = allocationSize.IsNull ? 0 : nt.Memory.Read<long>(allocationSize),
        };
        if (special is not null) open = special(open);
        status = nt.Io.Open(open, out NtObject? file, out ulong information);
        if (!status.IsSuccess || file is null) return status;
        NtStatus given = nt.Ob.OpenHandle(
            file, open.Granted, ObjectRequest.None(attributes: request.Attributes), out Handle handle);
        FileObject opened = FileObject.At(nt.Memory, file.Body);
        opened.Flags |= Io.FO_HANDLE_CREATED;
        nt.Ob.Dereference(file);
        if (!given.IsSuccess) return given;
        nt.Memory.Write(fileHandle, handle);
        nt.Memory.Write(ioStatusBlock, new IoStatusBlock(status, information));
        return status;
    }

    static bool IsValid(OpenOptions options)
    {
        uint create = options.CreateOptions, access = options.DesiredAccess;
        if ((options.ShareAccess & ~7u) != 0 || options.Disposition > FILE_OVERWRITE_IF) return false;
        if ((create & ~0xFF_FFFFu) != 0) return false;
        bool isSynchronous = (create & FILE_SYNCHRONOUS_IO) != 0;
        if ((create & FILE_SYNCHRONOUS_IO) == FILE_SYNCHRONOUS_IO) return false;
        if (isSynchronous && (access & (SYNCHRONIZE | AccessCheck.MAXIMUM_ALLOWED)) == 0 && access >> 28 == 0)
            return false;
        if ((create & FILE_DELETE_ON_CLOSE) != 0
            && (access & (DELETE | AccessCheck.MAXIMUM_ALLOWED | GenericMapping.GENERIC_ALL)) == 0) return false;
        if ((create & FILE_NO_INTERMEDIATE_BUFFERING) != 0 && (access & FILE_APPEND_DATA) != 0) return false;
        // A directory is opened or made, never replaced.
        if ((create & FILE_DIRECTORY_FILE) != 0 && options.Disposition is < FILE_OPEN or > FILE_OPEN_IF) return false;
        const uint bothKinds = FILE_DIRECTORY_FILE | FILE_NON_DIRECTORY_FILE;
        return (create & bothKinds) != bothKinds;
    }

    NtStatus CaptureEa((Va Buffer, uint Length) ea, ProcessorMode mode, Va iosb, out byte[] bytes)
    {
        bytes = [];
        if (ea.Buffer.IsNull || ea.Length == 0) return STATUS_SUCCESS;
        if (ea.Length > MostExtendedAttributes) return STATUS_INSUFFICIENT_RESOURCES;
        nt.Ob.Probe(ea.Buffer, ea.Length, mode);
        bytes = nt.Memory.ReadBytes(ea.Buffer, (int)ea.Length);
        NtStatus status = Io.CheckEaList(bytes, out uint offset);
        if (!status.IsSuccess) nt.Memory.Write(iosb, new IoStatusBlock(status, offset));
        return status;
    }

    /// <summary>Opens the file to be deleted when it is closed, and closes it.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwDeleteFile(ObjectAttributes objectAttributes) => WithFile(
        objectAttributes, new OpenOptions(DELETE, 7, FILE_OPEN, FILE_DELETE_ON_CLOSE, 0), _ => STATUS_SUCCESS);

    /// <summary>FILE_NETWORK_OPEN_INFORMATION of a file that is opened for it alone.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwQueryFullAttributesFile(ObjectAttributes objectAttributes, Va fileInformation) =>
        WithFile(objectAttributes, new OpenOptions(FILE_READ_ATTRIBUTES, 7, FILE_OPEN, 0, 0), file =>
        {
            var request = new IoRequest(IRP_MJ_QUERY_INFORMATION, file)
            {
                OutputBuffer = fileInformation,
                OutputLength = 0x38,
                Parameter2 = 34,    // FileNetworkOpenInformation
                IsSynchronousApi = true,
            };
            NtStatus status = nt.Io.Send(request);
            return status == STATUS_PENDING ? nt.Io.Await(request) : status;
        });

    NtStatus WithFile(ObjectAttributes attributes, OpenOptions options, Func<FileObject, NtStatus> action)
    {
        if (attributes.IsNull) return STATUS_INVALID_PARAMETER;
        NtStatus status = ObjectRequest.Capture(nt, attributes, ProcessorMode.KernelMode, out ObjectRequest request);
        if (!status.IsSuccess) return status;
        status = nt.Io.Open(new FileOpen(request, options), out NtObject? file, out _);
        if (!status.IsSuccess || file is null) return status;
        status = action(FileObject.At(nt.Memory, file.Body));
        nt.Io.OnLastHandle(file);
        nt.Ob.Dereference(file);
        return status;
    }
}
