using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>What drivers do with file objects beside sending requests on them.</summary>
sealed partial class Io
{
    const uint FO_ALERTABLE_IO = 0x04, FO_NO_INTERMEDIATE_BUFFERING = 0x08, FO_WRITE_THROUGH = 0x10,
        FO_SEQUENTIAL_ONLY = 0x20, FO_RANDOM_ACCESS = 0x10_0000, NameTag = 0x6D4E_6F49;

    /// <summary>FILE_MODE_INFORMATION: the create options that a file object remembers.</summary>
    public static uint ModeOf(FileObject file)
    {
        uint flags = file.Flags, mode = 0;
        if ((flags & FO_WRITE_THROUGH) != 0) mode |= 0x02;
        if ((flags & FO_SEQUENTIAL_ONLY) != 0) mode |= 0x04;
        if ((flags & FO_NO_INTERMEDIATE_BUFFERING) != 0) mode |= 0x08;
        if ((flags & FO_SYNCHRONOUS_IO) != 0) mode |= (flags & FO_ALERTABLE_IO) != 0 ? 0x10u : 0x20;
        return mode;
    }

    /// <summary>Write-through, sequential, and how a synchronous file waits may be changed; nothing else.</summary>
    public static bool TrySetMode(FileObject file, uint mode)
    {
        const uint changeable = 0x36;
        bool isSynchronous = (file.Flags & FO_SYNCHRONOUS_IO) != 0;
        uint waiting = mode & 0x30;
        if ((mode & ~changeable) != 0 || waiting == 0x30 || isSynchronous != (waiting != 0)) return false;
        uint flags = file.Flags & ~(FO_WRITE_THROUGH | FO_SEQUENTIAL_ONLY | FO_ALERTABLE_IO);
        if ((mode & 0x02) != 0) flags |= FO_WRITE_THROUGH;
        if ((mode & 0x04) != 0) flags |= FO_SEQUENTIAL_ONLY;
        if (waiting == 0x10) flags |= FO_ALERTABLE_IO;
        file.Flags = flags;
        return true;
    }

    /// <summary>FILE_FS_DEVICE_INFORMATION.</summary>
    public (uint Type, uint Characteristics) DeviceInformation(FileObject file)
    {
        DeviceObject device = file.DeviceObject;
        Vpb vpb = device.Vpb;
        bool isMounted = !vpb.IsNull && vpb.Has(Vpb.Mounted);
        return (device.DeviceType, device.Characteristics | (isMounted ? FILE_DEVICE_IS_MOUNTED : 0));
    }

    /// <summary>A file object of a file system's own, for its caching. It gets no IRP_MJ_CREATE; IRP_MJ_CLEANUP is sent
    /// at once, IRP_MJ_CLOSE with the last reference.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public FileObject IoCreateStreamFileObject(FileObject fileObject, DeviceObject deviceObject) =>
        IoCreateStreamFileObjectEx(fileObject, deviceObject, Va.Null);

    /// <summary>With a handle, if the caller wants it: then IRP_MJ_CLEANUP comes when it is closed.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public FileObject IoCreateStreamFileObjectEx(
        FileObject fileObject, DeviceObject deviceObject, Va fileObjectHandle)
    {
        NtObject made = NewStream(fileObject, deviceObject);
        FileObject stream = FileObject.At(nt.Memory, made.Body);
        stream.Flags |= FO_HANDLE_CREATED;
        Handle handle = nt.Ob.Open(made, FILE_READ_DATA, kernelHandle: true);
        if (fileObjectHandle.IsNull) nt.Ob.Close(handle);
        else nt.Memory.Write(fileObjectHandle, handle);
        return stream;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoCreateStreamFileObjectEx2(
        Va createOptions, FileObject fileObject, DeviceObject deviceObject, Va streamFileObject, Va fileHandle)
    {
        nt.Memory.Write(streamFileObject, IoCreateStreamFileObjectEx(fileObject, deviceObject, fileHandle).Address);
        return STATUS_SUCCESS;
    }

    /// <summary>Without any handle, so that no IRP_MJ_CLEANUP is sent.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public FileObject IoCreateStreamFileObjectLite(FileObject fileObject, DeviceObject deviceObject) =>
        FileObject.At(nt.Memory, NewStream(fileObject, deviceObject).Body);

    NtObject NewStream(FileObject file, DeviceObject device)
    {
        if (!file.IsNull) device = file.DeviceObject;
        nt.Ob.At(device.Address);
        var nothing = FileObject.At(nt.Memory, Va.Null);
        NtObject made = NewFile(device, Vpb.At(nt.Memory, Va.Null), nothing, "", new OpenOptions(0));
        FileObject stream = FileObject.At(nt.Memory, made.Body);
        stream.Flags |= FO_STREAM_FILE;
        if (!file.IsNull && !file.Vpb.IsNull)
        {
            Vpb vpb = file.Vpb;
            (stream.Vpb, vpb.ReferenceCount) = (vpb, vpb.ReferenceCount + 1);
        }
        return made;
    }

    /// <summary>A driver above has refused an open that the one below had granted: the lower one is told that it is
    /// over.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public void IoCancelFileOpen(DeviceObject deviceObject, FileObject fileObject)
    {
        if ((fileObject.Flags & FO_HANDLE_CREATED) != 0)
            throw new BugCheck(BugCheckCode.INVALID_CANCEL_OF_FILE_OPEN, fileObject.Address.Value,
                deviceObject.Address.Value);
        if (nt.Ob.At(fileObject.Address).Type != nt.Ob.FileType)
            throw new BugCheck(BugCheckCode.REFERENCE_BY_POINTER, 0, fileObject.Address.Value);
        foreach (IrpMajor major in (ReadOnlySpan<IrpMajor>)[IRP_MJ_CLEANUP, IRP_MJ_CLOSE])
        {
            var request = new IoRequest(major, fileObject) { Target = deviceObject, IsSynchronousApi = true };
            Send(request);
            Await(request);
        }
        fileObject.Flags |= FO_FILE_OPEN_CANCELLED;
        _neverOpened.Add(fileObject.Address);
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public Va IoGetFileObjectGenericMapping()
    {
        if (!_genericMapping.IsNull) return _genericMapping;
        _genericMapping = nt.Mm.Pool.Allocate(16, NameTag);
        nt.Memory.Write(_genericMapping, GenericMapping.OfFile);
        return _genericMapping;
    }

    Va _genericMapping;

    /// <summary>Gives a file object another name: for a filter that sends an open elsewhere.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoReplaceFileObjectName(FileObject fileObject, Va newFileName, ushort fileNameLength)
    {
        byte[] name = nt.Memory.ReadBytes(newFileName, fileNameLength);
        UnicodeString old = fileObject.FileName;
        if (old.MaximumLength >= fileNameLength && !old.Buffer.IsNull)
        {
            nt.Memory.Write(old.Buffer, name);
            old.Length = fileNameLength;
            return STATUS_SUCCESS;
        }
        Va made = nt.Mm.Pool.Allocate(name.Length + 2, NameTag);
        nt.Memory.Write(made, name);
        if (!old.Buffer.IsNull) nt.Mm.Pool.Free(old.Buffer);
        old.Set(made, name.Length, Math.Min(name.Length + 2, 0xFFFE));
        return STATUS_SUCCESS;
    }

    [Export]
    public bool IoIsFileOriginRemote(FileObject fileObject) => (fileObject.Flags & FO_REMOTE_ORIGIN) != 0;

    /// <summary>Fails if the file was so already.</summary>
    [Export]
    public NtStatus IoSetFileOrigin(FileObject fileObject, bool remote)
    {
        if (IoIsFileOriginRemote(fileObject) == remote) return STATUS_INVALID_PARAMETER;
        fileObject.Flags ^= FO_REMOTE_ORIGIN;
        return STATUS_SUCCESS;
    }

    /// <summary>Whether the file was opened with the rights that a driver wants for a control code.</summary>
    [Export]
    public NtStatus IoValidateDeviceIoControlAccess(Irp irp, uint requiredAccess)
    {
        const uint read = 1, write = 2;
        if ((requiredAccess & ~(read | write)) != 0) return STATUS_INVALID_PARAMETER;
        if (irp.RequestorMode == ProcessorMode.KernelMode) return STATUS_SUCCESS;
        FileObject file = irp.CurrentStackLocation.FileObject;
        bool may = !file.IsNull && ((requiredAccess & read) == 0 || file.ReadAccess)
            && ((requiredAccess & write) == 0 || file.WriteAccess);
        return may ? STATUS_SUCCESS : STATUS_ACCESS_DENIED;
    }
}
