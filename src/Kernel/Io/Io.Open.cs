using Ringdown.Machine;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>All that an open asks for beside its name.</summary>
sealed record FileOpen(ObjectRequest Request, OpenOptions Options)
{
    /// <summary>FILE_FULL_EA_INFORMATION, for a new file.</summary>
    public byte[] ExtendedAttributes { get; init; } = [];
    public long AllocationSize { get; init; }

    /// <summary>IRP_MJ_CREATE, or that of a pipe or a mailslot, with where its parameters are.</summary>
    public IrpMajor Major { get; init; } = IRP_MJ_CREATE;
    public Va Parameters { get; init; }

    /// <summary>The device of the file's stack that the IRP goes to; null: the topmost.</summary>
    public DeviceObject? Hint { get; init; }

    /// <summary>SL_OPEN_TARGET_DIRECTORY.</summary>
    public byte LocationFlags { get; init; }

    /// <summary>The rights that the handle is to have.</summary>
    public uint Granted { get; set; }

    /// <summary>Where the driver sends the open on, if it does.</summary>
    public Reparse Reparse { get; init; } = new();

    /// <summary>Nothing was left of the name behind that of the device.</summary>
    public bool IsWithoutName { get; init; }
}

/// <summary>Opening: the name leads to a device, or starts from an open file; the device's stack is asked.</summary>
sealed partial class Io
{
    const uint IRP_CREATE_OPERATION = 0x80, IRP_DEFER_IO_COMPLETION = 0x800;
    const byte SL_FORCE_ACCESS_CHECK = 0x01, SL_CASE_SENSITIVE = 0x80;

    // SYNCHRONIZE, READ_CONTROL, WRITE_DAC, WRITE_OWNER, ACCESS_SYSTEM_SECURITY, FILE_READ_ATTRIBUTES: with no more a
    // disk's device is opened beside its volume.
    const uint DirectAccess = 0x11E_0080;

    /// <summary>Opens a device by its path in the namespace. The file object has one reference, the caller's.</summary>
    public NtStatus Open(
        string path, ProcessorMode mode, OpenOptions options, out NtObject? file, out ulong information) =>
        Open(new FileOpen(new ObjectRequest(null, path, ObjectRequest.OBJ_CASE_INSENSITIVE, null, mode), options),
            out file, out information);

    NtStatus OpenOnce(FileOpen open, out NtObject? file, out ulong information)
    {
        (file, information) = (null, 0);
        ObjectRequest request = open.Request;
        if (request.Name is null) return STATUS_OBJECT_PATH_SYNTAX_BAD;
        NtStatus status = FindDevice(request, out NtObject? target, out FileObject related, out string name);
        if (!status.IsSuccess) return status;
        DeviceObject device = DeviceObject.At(nt.Memory, target!.Body);
        if ((device.Flags & DO_DEVICE_INITIALIZING) != 0 || IsDeletePending(device)) return STATUS_NO_SUCH_DEVICE;
        if ((device.Flags & DO_EXCLUSIVE) != 0 && device.ReferenceCount > 0 && related.IsNull)
            return STATUS_ACCESS_DENIED;
        OpenOptions options = open.Options;
        status = nt.Se.CheckDeviceOpen(target, device, name,
            request.IsChecked ? ProcessorMode.UserMode : ProcessorMode.KernelMode, options.DesiredAccess,
            out uint granted);
        if (!status.IsSuccess) return status;
        bool isMaximum = (options.DesiredAccess & AccessCheck.MAXIMUM_ALLOWED) != 0;
        if (isMaximum) options = options with { DesiredAccess = granted };
        open.Granted = options.DesiredAccess;
        bool isDirect = name.Length == 0 && related.IsNull && (options.DesiredAccess & ~DirectAccess) == 0;
        Vpb vpb = related.IsNull ? Vpb.At(nt.Memory, Va.Null) : related.Vpb;
        if (related.IsNull && !device.Vpb.IsNull && !isDirect)
        {
            status = Mounted(device, allowRaw: name.Length == 0, out vpb);
            if (!status.IsSuccess) return status;
        }
        file = NewFile(device, vpb, related, name, options);
        FileObject made = FileObject.At(nt.Memory, file.Body);
        if (isDirect && !device.Vpb.IsNull) made.Flags |= FO_DIRECT_DEVICE_OPEN;
        return Finish(open with { Options = options, IsWithoutName = name.Length == 0 }, ref file, out information);
    }

    NtStatus Finish(FileOpen open, ref NtObject? file, out ulong information)
    {
        NtStatus status = SendCreate(file!, open, out information);
        if (status.IsSuccess && status != STATUS_REPARSE) return status;
        // A file whose create failed gets neither cleanup nor close.
        FileObject failed = FileObject.At(nt.Memory, file!.Body);
        if (status == STATUS_REPARSE) KeepReparse(open, failed);
        failed.FsContext2 = Va.Null;
        _neverOpened.Add(file.Body);
        nt.Ob.Dereference(file);
        file = null;
        return status;
    }

    /// <summary>A name from a file's handle goes to that file's device, as it was written.</summary>
    NtStatus FindDevice(ObjectRequest request, out NtObject? device, out FileObject related, out string name)
    {
        related = FileObject.At(nt.Memory, Va.Null);
        (device, name) = (null, request.Name!);
        NtObject? found = request.Root;
        if (found?.Type != nt.Ob.FileType)
        {
            NtStatus status = nt.Ob.Lookup(found, request.Name!, request.Attributes, true, out found, out name);
            if (!status.IsSuccess) return status;
        }
        else related = FileObject.At(nt.Memory, found.Body);
        device = related.IsNull ? found : nt.Ob.Find(related.DeviceObject.Address);
        return device?.Type == nt.Ob.DeviceType ? STATUS_SUCCESS : STATUS_OBJECT_TYPE_MISMATCH;
    }

    NtObject NewFile(DeviceObject device, Vpb vpb, FileObject related, string name, OpenOptions options)
    {
        NtObject made = nt.Ob.Create(nt.Ob.FileType, FileObject.Size, new OpenFile());
        FileObject file = FileObject.At(nt.Memory, made.Body);
        (file.Type, file.ObjectSize, file.DeviceObject) = (IO_TYPE_FILE, (short)FileObject.Size, device);
        uint access = options.DesiredAccess;
        file.ReadAccess = (access & (GENERIC_READ | GENERIC_ALL | FILE_READ_DATA)) != 0;
        file.WriteAccess = (access & (GENERIC_WRITE | GENERIC_ALL | FILE_WRITE_DATA)) != 0;
        file.DeleteAccess = (access & (DELETE | GENERIC_ALL)) != 0;
        file.Flags = FlagsOf(options);
        if (name.Length > 0) nt.Rtl.Allocate(file.FileName, name);
        file.Lock.Header.Initialize(DispatcherType.SynchronizationEvent, KEvent.Size, 0);
        file.Event.Header.Initialize(DispatcherType.NotificationEvent, KEvent.Size, 0);
        device.ReferenceCount++;
        if (!vpb.IsNull)
        {
            (file.Vpb, vpb.ReferenceCount) = (vpb, vpb.ReferenceCount + 1);
            if (name.Length == 0 && related.IsNull) file.Flags |= FO_VOLUME_OPEN;
        }
        if (!related.IsNull)
        {
            file.RelatedFileObject = related;
            nt.Ob.Reference(nt.Ob.At(related.Address));
        }
        return made;
    }

    /// <summary>What create options mean for the file object: FILE_* on the left, FO_* on the right.</summary>
    static uint FlagsOf(OpenOptions options)
    {
        ReadOnlySpan<(uint Option, uint Flag)> meanings =
            [(0x10, 0x06), (0x20, 0x02), (0x08, 0x08), (0x02, 0x10), (0x04, 0x20), (0x800, 0x10_0000)];
        uint flags = (options.FileAttributes & 0x100) != 0 ? 0x8000u : 0;    // FILE_ATTRIBUTE_TEMPORARY
        foreach ((uint option, uint flag) in meanings)
            if ((options.CreateOptions & option) != 0) flags |= flag;
        return flags;
    }

    NtStatus SendCreate(NtObject file, FileOpen open, out ulong information)
    {
        OpenOptions options = open.Options;
        var request = new IoRequest(open.Major, FileObject.At(nt.Memory, file.Body))
        {
            IsSynchronousApi = true,
            Mode = open.Request.Mode,
            Reparse = open.Reparse,
            LocationFlags = (byte)(open.LocationFlags
                | (open.Request.Has(ObjectRequest.OBJ_CASE_INSENSITIVE) ? 0 : SL_CASE_SENSITIVE)
                | (open.Request.Has(ObjectRequest.OBJ_FORCE_ACCESS_CHECK) ? SL_FORCE_ACCESS_CHECK : 0)),
            Parameter2 = options.CreateOptions & 0xFF_FFFF | options.Disposition << 24,
            Parameter3 = options.FileAttributes & 0xFFFF | (options.ShareAccess & 0xFFFF) << 16,
            Parameter4 = open.Major == IRP_MJ_CREATE ? (ulong)open.ExtendedAttributes.Length : open.Parameters.Value,
        };
        DeviceObject top = open.Hint ?? RelatedDevice(request.File);
        Irp irp = NewIrp(request, top);
        irp.Flags = IRP_CREATE_OPERATION | IRP_SYNCHRONOUS_API | IRP_DEFER_IO_COMPLETION;
        irp.AllocationSize = open.AllocationSize;
        if (open.ExtendedAttributes.Length > 0)
        {
            irp.SystemBuffer = nt.Mm.Pool.Allocate(open.ExtendedAttributes.Length, BufferTag);
            nt.Memory.Write(irp.SystemBuffer, open.ExtendedAttributes);
            irp.Flags |= IRP_BUFFERED_IO | IRP_DEALLOCATE_BUFFER;
        }
        Va context = nt.Se.NewSecurityContext(options.DesiredAccess);
        IoStackLocation location = irp.CurrentStackLocation.Below;
        location.Parameter1 = context.Value;
        Dispatch(request, irp, top);
        // NtCreateFile is synchronous, whatever the driver does.
        NtStatus status = Await(request);
        if (request.IsComplete) nt.Se.FreeSecurityContext(context);
        information = request.Information;
        return status == STATUS_PENDING ? STATUS_UNSUCCESSFUL : status;
    }

    /// <summary>IoGetRelatedDeviceObject: the top of the stack that a file's requests go to. A volume's is its file
    /// system's.</summary>
    public DeviceObject RelatedDevice(FileObject file)
    {
        DeviceObject device = file.DeviceObject;
        Vpb vpb = file.Vpb;
        if (vpb.IsNull && (file.Flags & FO_DIRECT_DEVICE_OPEN) == 0) vpb = device.Vpb;
        return TopOf(vpb.IsNull || vpb.DeviceObject.IsNull ? device : vpb.DeviceObject);
    }
}
