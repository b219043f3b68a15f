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
    const uint FO_SYNCHRONOUS_IO = 0x02, FO_STREAM_FILE = 0x100, FO_DIRECT_DEVICE_OPEN = 0x800,
        FO_FILE_OPEN_CANCELLED = 0x20_0000, FO_VOLUME_OPEN = 0x40_0000,
        FO_REMOTE_ORIGIN = 0x100_0000;

    public const uint FO_HANDLE_CREATED = 0x4_0000;

    /// <summary>File objects whose drivers hear neither of cleanup nor of close.</summary>
    readonly HashSet<Va> _neverOpened = [];

    public NtStatus SendSimple(FileObject file, IrpMajor major)
    {
        var request = new IoRequest(major, file) { IsSynchronousApi = true };
        Send(request);
        return Await(request);
    }

    /// <summary>The last handle is closed: nobody will send anything more, though IRPs may still be under way. Those
    /// are for the driver to complete.</summary>
    public void OnLastHandle(NtObject file)
    {
        FileObject closed = FileObject.At(nt.Memory, file.Body);
        if (!_neverOpened.Contains(file.Body)) SendSimple(closed, IRP_MJ_CLEANUP);
    }

    /// <summary>A process has closed its last handle to a file that others still have open: its locks go.</summary>
    public void OnProcessClosed(NtObject file)
    {
        FileObject closed = FileObject.At(nt.Memory, file.Body);
        if (!closed.LockOperation || _neverOpened.Contains(file.Body)) return;
        var request = new IoRequest(IRP_MJ_LOCK_CONTROL, closed)
        {
            Minor = IRP_MN_UNLOCK_ALL,
            IsSynchronousApi = true,
        };
        if (Send(request) == STATUS_PENDING) Await(request);
    }

    public void OnDeleteFile(NtObject file)
    {
        FileObject gone = FileObject.At(nt.Memory, file.Body);
        if (!_neverOpened.Remove(file.Body)) SendSimple(gone, IRP_MJ_CLOSE);
        _ignoringSharing.Remove(file.Body);
        LeavePort(gone);
        if (!gone.FileName.Buffer.IsNull) nt.Mm.Pool.Free(gone.FileName.Buffer);
        Vpb vpb = gone.Vpb;
        if (!vpb.IsNull) vpb.ReferenceCount--;
        FileObject related = gone.RelatedFileObject;
        ReleaseDevice(gone.DeviceObject);
        if (!related.IsNull && nt.Ob.Find(related.Address) is { } parent) nt.Ob.Dereference(parent);
    }

    /// <summary>A file or another holder lets a device go.</summary>
    void ReleaseDevice(DeviceObject device)
    {
        if (--device.ReferenceCount != 0) return;
        DriverObject driver = device.DriverObject;
        if (IsDeletePending(device)) CompleteDelete(device);
        else if (IsUnloadPending(device)) nt.Loader.UnloadPending(driver);
        nt.Pnp.OnClosed(device);
    }

    /// <summary>Whether a handle's access allows a control code: its bits 14 and 15 ask for reading and
    /// writing.</summary>
    public static bool MayControl(FileObject file, uint controlCode) =>
        ((controlCode & 0x4000) == 0 || file.ReadAccess) && ((controlCode & 0x8000) == 0 || file.WriteAccess);
}
