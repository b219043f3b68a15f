using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Names of DOS for devices and files, and ways down a stack.</summary>
sealed partial class Io
{
    public const string NoMountManager = "There is no mount manager: drive letters are the links in \\GLOBAL??.";

    /// <summary>The drive letter whose link leads to a device; null if none does.</summary>
    string? DriveOf(DeviceObject device)
    {
        if (nt.Ob.Find(device.Address) is not { Parent: not null } named) return null;
        if (nt.Ob.Lookup(@"\GLOBAL??", out NtObject? links, out _) is { IsSuccess: false }) return null;
        foreach (NtObject link in links!.Entries!.Values)
            if (link.Name.Length == 2 && link.Name[1] == ':' && link.Target is { } target
                && target.Equals(named.Path, StringComparison.OrdinalIgnoreCase)) return link.Name;
        return null;
    }

    /// <summary>OBJECT_NAME_INFORMATION from the pool, with a path such as C:\x, that the caller frees.</summary>
    [Export(Support.Partial, NoMountManager), IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoQueryFileDosDeviceName(FileObject fileObject, Va objectNameInformation)
    {
        if (DriveOf(fileObject.DeviceObject) is not { } drive) return STATUS_OBJECT_PATH_NOT_FOUND;
        UnicodeString file = fileObject.FileName;
        string path = drive + (file.Buffer.IsNull ? "" : file.Text);
        if (path.Length > 0x7FFE) return STATUS_NAME_TOO_LONG;
        Va made = nt.Mm.Pool.Allocate(
            (ulong)(UnicodeString.Size + path.Length * 2 + 2), PoolKind.Paged, NameTag, nt.Caller, zero: true);
        if (made.IsNull) return STATUS_INSUFFICIENT_RESOURCES;
        nt.Memory.Write(made + UnicodeString.Size, System.Text.Encoding.Unicode.GetBytes(path));
        UnicodeString.At(nt.Memory, made).Set(made + UnicodeString.Size, path.Length * 2, path.Length * 2 + 2);
        nt.Memory.Write(objectNameInformation, made);
        return STATUS_SUCCESS;
    }

    /// <summary>The buffer is from the pool, and the caller's to free.</summary>
    [Export(Support.Partial, NoMountManager), IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoVolumeDeviceToDosName(DeviceObject volumeDeviceObject, UnicodeString dosName)
    {
        if (DriveOf(volumeDeviceObject) is not { } drive) return STATUS_OBJECT_NAME_NOT_FOUND;
        Va made = nt.Mm.Pool.Allocate(
            (ulong)(drive.Length * 2 + 2), PoolKind.Paged, NameTag, nt.Caller, zero: true);
        if (made.IsNull) return STATUS_INSUFFICIENT_RESOURCES;
        nt.Memory.Write(made, System.Text.Encoding.Unicode.GetBytes(drive));
        dosName.Set(made, drive.Length * 2, drive.Length * 2 + 2);
        return STATUS_SUCCESS;
    }

    /// <summary>The lowest device of a stack, referenced.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public DeviceObject IoGetDeviceAttachmentBaseRef(DeviceObject deviceObject)
    {
        DeviceObject lowest = deviceObject, next = deviceObject.DeviceObjectExtension.AttachedTo;
        while (!next.IsNull)
        {
            nt.Ke.Clock.Spend();
            (lowest, next) = (next, next.DeviceObjectExtension.AttachedTo);
        }
        nt.Ob.Reference(nt.Ob.At(lowest.Address));
        return lowest;
    }

    /// <summary>The disk below a file system's volume device, referenced.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public NtStatus IoGetDiskDeviceObject(DeviceObject fileSystemDeviceObject, Va diskDeviceObject)
    {
        if (!fileSystemDeviceObject.Vpb.IsNull) return STATUS_INVALID_PARAMETER;
        Vpb vpb = fileSystemDeviceObject.DeviceObjectExtension.Vpb;
        if (vpb.IsNull || !vpb.Has(Vpb.Mounted)) return STATUS_VOLUME_DISMOUNTED;
        DeviceObject disk = vpb.RealDevice;
        nt.Ob.Reference(nt.Ob.At(disk.Address));
        nt.Memory.Write(diskDeviceObject, disk.Address);
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public Irp IoAllocateIrpEx(DeviceObject deviceObject, sbyte stackSize, bool chargeQuota) =>
        IoAllocateIrp(stackSize, chargeQuota);
}
