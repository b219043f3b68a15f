using Ringdown.Machine;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>File objects: opened by IRP_MJ_CREATE, IRP_MJ_CLEANUP with the last handle, IRP_MJ_CLOSE with the last
/// reference.</summary>
sealed partial class Io
{
    const uint GENERIC_READ = 0x8000_0000, GENERIC_WRITE = 0x4000_0000, GENERIC_ALL = 0x1000_0000;
    const uint FILE_READ_DATA = 1, FILE_WRITE_DATA = 2, DELETE = 0x1_0000;
    const uint FO_SYNCHRONOUS_IO = 0x02, FO_HANDLE_CREATED = 0x4_0000;

    /// <summary>Opens a device by its path in the namespace. The file object has one reference, the caller's.</summary>
    public NtStatus Open(
        string path, ProcessorMode mode, OpenOptions options, out NtObject? file, out ulong information)
    {
        (file, information) = (null, 0);
        NtStatus status = nt.Ob.Lookup(path, out NtObject? found, out string rest);
        if (!status.IsSuccess) return status;
        if (found!.Type != nt.Ob.DeviceType) return STATUS_OBJECT_TYPE_MISMATCH;
        DeviceObject device = DeviceObject.At(nt.Memory, found.Body);
        if ((device.Flags & DO_DEVICE_INITIALIZING) != 0 || IsDeletePending(device)) return STATUS_NO_SUCH_DEVICE;
        if ((device.Flags & DO_EXCLUSIVE) != 0 && device.ReferenceCount > 0) return STATUS_ACCESS_DENIED;
        status = nt.Se.CheckDeviceOpen(found, device, rest, mode, options.DesiredAccess, out uint granted);
        if (!status.IsSuccess) return status;
        bool isMaximum = (options.DesiredAccess & AccessCheck.MAXIMUM_ALLOWED) != 0;
        if (isMaximum) options = options with { DesiredAccess = granted };
        file = NewFile(device, rest, options);
        device.ReferenceCount++;
        status = SendCreate(file, mode, options, out information);
        if (status.IsSuccess) return status;
        // A file whose create failed gets neither cleanup nor close.
        FileObject failed = FileObject.At(nt.Memory, file.Body);
        failed.FsContext2 = Va.Null;
        _neverOpened.Add(file.Body);
        nt.Ob.Dereference(file);
        file = null;
        return status;
    }

    readonly HashSet<Va> _neverOpened = [];

    NtObject NewFile(DeviceObject device, string name, OpenOptions options)
    {
        NtObject made = nt.Ob.Create(nt.Ob.FileType, FileObject.Size);
        FileObject file = FileObject.At(nt.Memory, made.Body);
        (file.Type, file.ObjectSize, file.DeviceObject) = (IO_TYPE_FILE, (short)FileObject.Size, device);
        uint access = options.DesiredAccess;
        file.ReadAccess = (access & (GENERIC_READ | GENERIC_ALL | FILE_READ_DATA)) != 0;
        file.WriteAccess = (access & (GENERIC_WRITE | GENERIC_ALL | FILE_WRITE_DATA)) != 0;
        file.DeleteAccess = (access & (DELETE | GENERIC_ALL)) != 0;
        if ((options.CreateOptions & 0x30) != 0) file.Flags |= FO_SYNCHRONOUS_IO;
        if (name.Length > 0) nt.Rtl.Allocate(file.FileName, name);
        file.Lock.Header.Initialize(DispatcherType.SynchronizationEvent, KEvent.Size, 1);
        file.Event.Header.Initialize(DispatcherType.NotificationEvent, KEvent.Size, 0);
        return made;
    }

    NtStatus SendCreate(NtObject file, ProcessorMode mode, OpenOptions options, out ulong information)
    {
        var request = new IoRequest(IRP_MJ_CREATE, FileObject.At(nt.Memory, file.Body)) { Mode = mode };
        DeviceObject top = TopOf(request.File.DeviceObject);
        Irp irp = AllocateIrp(top.StackSize, Va.Null);
        irp.RequestorMode = mode;
        irp.Thread = nt.Ke.CurrentThread;
        irp.OriginalFileObject = request.File;
        irp.Flags = 0x884;    // IRP_CREATE_OPERATION | IRP_SYNCHRONOUS_API | IRP_DEFER_IO_COMPLETION
        request.Irp = irp.Address;
        Record(irp).Request = request;
        IoStackLocation location = irp.CurrentStackLocation.Below;
        (location.MajorFunction, location.FileObject) = (IRP_MJ_CREATE, request.File);
        Va context = nt.Se.NewSecurityContext(options.DesiredAccess);
        location.Parameter1 = context.Value;
        location.Parameter2 = options.CreateOptions & 0xFF_FFFF | options.Disposition << 24;
        location.Parameter3 = options.FileAttributes & 0xFFFF | (options.ShareAccess & 0xFFFF) << 16;
        IofCallDriver(top, irp);
        // NtCreateFile is synchronous, whatever the driver does.
        NtStatus status = Await(request);
        if (request.IsComplete) nt.Se.FreeSecurityContext(context);
        information = request.Information;
        return status == STATUS_PENDING ? STATUS_UNSUCCESSFUL : status;
    }

    public NtStatus SendSimple(FileObject file, IrpMajor major)
    {
        var request = new IoRequest(major, file);
        Send(request);
        return Await(request);
    }

    /// <summary>The last handle is closed: nobody will send anything more, though IRPs may still be under
    /// way.</summary>
    public void OnLastHandle(NtObject file)
    {
        FileObject closed = FileObject.At(nt.Memory, file.Body);
        CancelAll(closed);
        SendSimple(closed, IRP_MJ_CLEANUP);
    }

    public void OnDeleteFile(NtObject file)
    {
        FileObject gone = FileObject.At(nt.Memory, file.Body);
        if (!_neverOpened.Remove(file.Body)) SendSimple(gone, IRP_MJ_CLOSE);
        if (!gone.FileName.Buffer.IsNull) nt.Mm.Pool.Free(gone.FileName.Buffer);
        DeviceObject device = gone.DeviceObject;
        if (--device.ReferenceCount == 0 && IsDeletePending(device)) nt.Ob.Dereference(nt.Ob.At(device.Address));
    }

    /// <summary>CancelIoEx without a request: all that is pending on a file. Returns how many there were.</summary>
    public int CancelAll(FileObject file)
    {
        IrpRecord[] pending = [.. LiveIrps.Where(
            r => r.Request is { IsComplete: false } request && request.File == file)];
        foreach (IrpRecord record in pending)
            if (FindRecord(record.Address) is not null) IoCancelIrp(Irp.At(nt.Memory, record.Address));
        return pending.Length;
    }

    /// <summary>Whether a handle's access allows a control code: its bits 14 and 15 ask for reading and
    /// writing.</summary>
    public static bool MayControl(FileObject file, uint controlCode) =>
        ((controlCode & 0x4000) == 0 || file.ReadAccess) && ((controlCode & 0x8000) == 0 || file.WriteAccess);
}
