using System.Text;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Where a driver sends an open on: STATUS_REPARSE.</summary>
sealed class Reparse
{
    /// <summary>The name that the driver has left in the file object.</summary>
    public string Name { get; set; } = "";

    /// <summary>REPARSE_DATA_BUFFER, from the IRP's auxiliary buffer.</summary>
    public byte[] Data { get; set; } = [];

    /// <summary>The device of the file, by its path.</summary>
    public string Device { get; set; } = "";
}

/// <summary>Reparse: an open goes on elsewhere, as often as 32 times.</summary>
sealed partial class Io
{
    const int MaximumReparses = 32, MaximumReparseData = 16 * 1024;
    const ulong IO_REPARSE = 0, IO_REMOUNT = 1, IO_REPARSE_TAG_MOUNT_POINT = 0xA000_0003,
        IO_REPARSE_TAG_SYMLINK = 0xA000_000C;

    public NtStatus Open(FileOpen open, out NtObject? file, out ulong information)
    {
        for (int i = 0; i <= MaximumReparses; i++)
        {
            nt.Ke.Clock.Spend();
            NtStatus status = OpenOnce(open, out file, out information);
            if (status != STATUS_REPARSE) return status;
            status = Redirect(ref open, information);
            if (!status.IsSuccess) return status;
        }
        (file, information) = (null, 0);
        return STATUS_REPARSE_POINT_NOT_RESOLVED;
    }

    /// <summary>The file object that was made for an open that goes on elsewhere: its driver hears no more of
    /// it.</summary>
    void KeepReparse(FileOpen open, FileObject file)
    {
        if (open.Request.Root is null && open.IsWithoutName)
            throw new BugCheck(BugCheckCode.DRIVER_RETURNED_STATUS_REPARSE_FOR_VOLUME_OPEN,
                file.DeviceObject.Address.Value, file.Address.Value);
        open.Reparse.Name = file.FileName.Buffer.IsNull ? "" : file.FileName.Text;
        open.Reparse.Device = nt.Ob.Find(file.DeviceObject.Address) is { Parent: not null } device ? device.Path : "";
    }

    void KeepReparseData(Irp irp, IrpRecord record)
    {
        if (record.Request?.Reparse is not { } reparse || irp.IoStatus.Status != STATUS_REPARSE
            || irp.AuxiliaryBuffer.IsNull) return;
        const int headerBytes = 8, lengthOffset = 4;
        int length = headerBytes + nt.Memory.Read<ushort>(irp.AuxiliaryBuffer + lengthOffset);
        reparse.Data = nt.Memory.ReadBytes(irp.AuxiliaryBuffer, Math.Min(length, MaximumReparseData));
    }

    static NtStatus Redirect(ref FileOpen open, ulong tag)
    {
        if (tag == IO_REMOUNT) return STATUS_SUCCESS;
        string? name = tag == IO_REPARSE ? open.Reparse.Name : null;
        if (tag is IO_REPARSE_TAG_MOUNT_POINT or IO_REPARSE_TAG_SYMLINK)
        {
            name = TargetOf(open.Reparse, tag == IO_REPARSE_TAG_SYMLINK);
            if (name is null) return STATUS_IO_REPARSE_DATA_INVALID;
        }
        if (name is null) return STATUS_IO_REPARSE_TAG_NOT_HANDLED;
        open = open with { Request = open.Request with { Root = null, Name = name }, Reparse = new Reparse() };
        return STATUS_SUCCESS;
    }

    /// <summary>The substitute name, and what of the file's name the driver had not come to: the last Reserved bytes of
    /// it.</summary>
    static string? TargetOf(Reparse reparse, bool isSymlink)
    {
        byte[] data = reparse.Data;
        int paths = isSymlink ? 20 : 16;
        if (data.Length < paths) return null;
        int unparsed = BitConverter.ToUInt16(data, 6) / 2, start = paths + BitConverter.ToUInt16(data, 8),
            length = BitConverter.ToUInt16(data, 10);
        if (start + length > data.Length || unparsed > reparse.Name.Length) return null;
        string target = Encoding.Unicode.GetString(data, start, length), rest = reparse.Name[^unparsed..];
        bool isRelative = isSymlink && (BitConverter.ToUInt32(data, 16) & 1) != 0;
        if (!isRelative) return target + rest;
        string parsed = reparse.Name[..^unparsed];
        return reparse.Device + Resolve(parsed[..(parsed.LastIndexOf('\\') + 1)] + target) + rest;
    }

    static string Resolve(string path)
    {
        var parts = new List<string>();
        foreach (string part in path.Split('\\', StringSplitOptions.RemoveEmptyEntries))
        {
            if (part == "..") parts.RemoveRange(Math.Max(0, parts.Count - 1), Math.Min(1, parts.Count));
            else if (part != ".") parts.Add(part);
        }
        return "\\" + string.Join('\\', parts);
    }
}
