using Ringdown.Machine;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Where a rename or a link leads: the directory of the new name is opened before the driver is
/// asked.</summary>
sealed partial class Zw
{
    const uint FILE_ADD_FILE = 2, FILE_ADD_SUBDIRECTORY = 4, FILE_OPEN_FOR_BACKUP_INTENT = 0x4000;

    /// <summary>IopOpenLinkOrRenameTarget: opens the new name with SL_OPEN_TARGET_DIRECTORY, on the same volume. A name
    /// alone stays in the file's directory, which needs no opening.</summary>
    NtStatus OpenTarget(
        FileObject file, uint kind, Va buffer, uint length, ProcessorMode mode, out NtObject? target)
    {
        const int rootOffset = 0x08, lengthOffset = 0x10, nameOffset = 0x14;
        target = null;
        uint bytes = nt.Memory.Read<uint>(buffer + lengthOffset);
        if (bytes == 0 || (bytes & 1) != 0 || bytes > length - nameOffset) return STATUS_INVALID_PARAMETER;
        string name = System.Text.Encoding.Unicode.GetString(nt.Memory.ReadBytes(buffer + nameOffset, (int)bytes));
        Handle root = nt.Memory.Read<Handle>(buffer + rootOffset);
        if (name[0] != '\\' && root.IsNull) return STATUS_SUCCESS;
        HandleEntry? from = null;
        if (!root.IsNull && nt.Ob.Resolve(root, 0, null, mode, out from) is { IsSuccess: false } bad) return bad;
        uint checks = mode == ProcessorMode.UserMode ? ObjectRequest.OBJ_FORCE_ACCESS_CHECK : 0;
        uint right = kind == FileRenameInformation && IsDirectory(file) ? FILE_ADD_SUBDIRECTORY : FILE_ADD_FILE;
        var open = new FileOpen(
            new ObjectRequest(from?.Object, name, ObjectRequest.OBJ_CASE_INSENSITIVE | checks, null,
                ProcessorMode.KernelMode),
            new OpenOptions(right | SYNCHRONIZE, 3, FILE_OPEN, FILE_OPEN_FOR_BACKUP_INTENT, 0))
        {
            LocationFlags = Io.SL_OPEN_TARGET_DIRECTORY,
        };
        NtStatus status = nt.Io.Open(open, out target, out _);
        if (!status.IsSuccess || target is null) return status;
        if (nt.Io.RelatedDevice(FileObject.At(nt.Memory, target.Body)) == nt.Io.RelatedDevice(file))
            return STATUS_SUCCESS;
        CloseTarget(target);
        target = null;
        return STATUS_NOT_SAME_DEVICE;
    }

    void CloseTarget(NtObject target)
    {
        nt.Io.OnLastHandle(target);
        nt.Ob.Dereference(target);
    }

    /// <summary>Asks the driver: FILE_BASIC_INFORMATION.</summary>
    bool IsDirectory(FileObject file)
    {
        const int attributesOffset = 0x20;
        const uint FILE_ATTRIBUTE_DIRECTORY = 0x10;
        Va basic = nt.Mm.Pool.Allocate(0x28, AuxiliaryTag);
        var request = new IoRequest(IRP_MJ_QUERY_INFORMATION, file)
        {
            OutputBuffer = basic,
            OutputLength = 0x28,
            Parameter2 = 4,     // FileBasicInformation
            IsSynchronousApi = true,
        };
        NtStatus status = nt.Io.Send(request);
        if (status == STATUS_PENDING) status = nt.Io.Await(request);
        bool isDirectory = status.IsSuccess
            && (nt.Memory.Read<uint>(basic + attributesOffset) & FILE_ATTRIBUTE_DIRECTORY) != 0;
        // One that never ends keeps the place where it will write.
        if (request.IsComplete) nt.Mm.Pool.Free(basic);
        return isDirectory && status != STATUS_PENDING;
    }
}
