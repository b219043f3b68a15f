using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Share access: file systems keep a SHARE_ACCESS a file, and ask here whether one more may open it.</summary>
/// <remarks>The file system's own lock guards the structure, as on NT.</remarks>
sealed partial class Io
{
    const uint FILE_APPEND_DATA = 4, FILE_EXECUTE = 0x20;
    const uint FILE_SHARE_READ = 1, FILE_SHARE_WRITE = 2, FILE_SHARE_DELETE = 4;
    const uint UpdateShares = 1, LeaveFileObject = 2, SkipRead = 4, SkipWrite = 8, SkipDelete = 0x10,
        ForceCheck = 0x20;
    const string NoWritePermission = "WritePermission is not looked at: who may not write shares as everybody does.";

    /// <summary>Notes in the file object what it was opened for, and what others may do meanwhile.</summary>
    static bool NoteAccess(FileObject file, uint access, uint share)
    {
        file.ReadAccess = (access & (FILE_READ_DATA | FILE_EXECUTE)) != 0;
        file.WriteAccess = (access & (FILE_WRITE_DATA | FILE_APPEND_DATA)) != 0;
        file.DeleteAccess = (access & DELETE) != 0;
        if (!UsesData(file)) return false;
        file.SharedRead = (share & FILE_SHARE_READ) != 0;
        file.SharedWrite = (share & FILE_SHARE_WRITE) != 0;
        file.SharedDelete = (share & FILE_SHARE_DELETE) != 0;
        return true;
    }

    // Who only asks for attributes neither counts nor is refused.
    static bool UsesData(FileObject file) => file.ReadAccess || file.WriteAccess || file.DeleteAccess;

    static void Count(FileObject file, ShareAccess shares, int by)
    {
        shares.OpenCount += (uint)by;
        if (file.ReadAccess) shares.Readers += (uint)by;
        if (file.WriteAccess) shares.Writers += (uint)by;
        if (file.DeleteAccess) shares.Deleters += (uint)by;
        if (file.SharedRead) shares.SharedRead += (uint)by;
        if (file.SharedWrite) shares.SharedWrite += (uint)by;
        if (file.SharedDelete) shares.SharedDelete += (uint)by;
    }

    static bool MayShare(FileObject file, ShareAccess shares, uint flags)
    {
        uint count = shares.OpenCount;
        if ((flags & SkipRead) == 0
            && (file.ReadAccess && shares.SharedRead < count || shares.Readers != 0 && !file.SharedRead)) return false;
        if ((flags & SkipWrite) == 0
            && (file.WriteAccess && shares.SharedWrite < count || shares.Writers != 0 && !file.SharedWrite))
            return false;
        return (flags & SkipDelete) != 0
            || !(file.DeleteAccess && shares.SharedDelete < count || shares.Deleters != 0 && !file.SharedDelete);
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoCheckShareAccess(
        uint desiredAccess, uint desiredShareAccess, FileObject fileObject, ShareAccess shareAccess, bool update)
    {
        bool usesData = NoteAccess(fileObject, desiredAccess, desiredShareAccess);
        if (!usesData || IoIsFileObjectIgnoringSharing(fileObject)) return STATUS_SUCCESS;
        if (!MayShare(fileObject, shareAccess, 0)) return STATUS_SHARING_VIOLATION;
        if (update) Count(fileObject, shareAccess, 1);
        return STATUS_SUCCESS;
    }

    [Export(Support.Partial, NoWritePermission), IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoCheckShareAccessEx(
        uint desiredAccess, uint desiredShareAccess, FileObject fileObject, ShareAccess shareAccess, bool update,
        Va writePermission) =>
        IoCheckShareAccess(desiredAccess, desiredShareAccess, fileObject, shareAccess, update);

    /// <summary>The first open: the structure is set as if nobody had the file.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public void IoSetShareAccess(
        uint desiredAccess, uint desiredShareAccess, FileObject fileObject, ShareAccess shareAccess)
    {
        NoteAccess(fileObject, desiredAccess, desiredShareAccess);
        nt.Memory.Fill(shareAccess.Address, ShareAccess.Size, 0);
        if (UsesData(fileObject) && !IoIsFileObjectIgnoringSharing(fileObject)) Count(fileObject, shareAccess, 1);
    }

    [Export(Support.Partial, NoWritePermission), IrqlRequiresMax(PASSIVE_LEVEL)]
    public void IoSetShareAccessEx(
        uint desiredAccess, uint desiredShareAccess, FileObject fileObject, ShareAccess shareAccess,
        Va writePermission) =>
        IoSetShareAccess(desiredAccess, desiredShareAccess, fileObject, shareAccess);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public void IoUpdateShareAccess(FileObject fileObject, ShareAccess shareAccess)
    {
        if (UsesData(fileObject) && !IoIsFileObjectIgnoringSharing(fileObject)) Count(fileObject, shareAccess, 1);
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public void IoRemoveShareAccess(FileObject fileObject, ShareAccess shareAccess)
    {
        if (UsesData(fileObject) && !IoIsFileObjectIgnoringSharing(fileObject)) Count(fileObject, shareAccess, -1);
    }

    /// <summary>As IoCheckShareAccess, for a file with several links: deleting is shared a link, not a file.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoCheckLinkShareAccess(
        uint desiredAccess, uint desiredShareAccess, FileObject fileObject, ShareAccess shareAccess,
        LinkShareAccess linkShareAccess, uint ioShareAccessFlags)
    {
        if ((ioShareAccessFlags & LeaveFileObject) == 0) NoteAccess(fileObject, desiredAccess, desiredShareAccess);
        bool isIgnoring = IoIsFileObjectIgnoringSharing(fileObject) && (ioShareAccessFlags & ForceCheck) == 0;
        if (!UsesData(fileObject) || isIgnoring) return STATUS_SUCCESS;
        uint flags = ioShareAccessFlags | (linkShareAccess.IsNull ? 0 : SkipDelete);
        if (!shareAccess.IsNull && !MayShare(fileObject, shareAccess, flags)) return STATUS_SHARING_VIOLATION;
        if (!linkShareAccess.IsNull && (ioShareAccessFlags & SkipDelete) == 0
            && !MayDelete(fileObject, linkShareAccess)) return STATUS_SHARING_VIOLATION;
        if ((ioShareAccessFlags & UpdateShares) != 0) CountLink(fileObject, shareAccess, linkShareAccess, 1);
        return STATUS_SUCCESS;
    }

    static bool MayDelete(FileObject file, LinkShareAccess shares) =>
        !(file.DeleteAccess && shares.SharedDelete < shares.OpenCount || shares.Deleters != 0 && !file.SharedDelete);

    static void CountLink(FileObject file, ShareAccess shares, LinkShareAccess links, int by)
    {
        if (!UsesData(file)) return;
        if (!shares.IsNull) Count(file, shares, by);
        if (links.IsNull) return;
        links.OpenCount += (uint)by;
        if (file.DeleteAccess) links.Deleters += (uint)by;
        if (file.SharedDelete) links.SharedDelete += (uint)by;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public void IoUpdateLinkShareAccess(
        FileObject fileObject, ShareAccess shareAccess, LinkShareAccess linkShareAccess) =>
        IoUpdateLinkShareAccessEx(fileObject, shareAccess, linkShareAccess, 0);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public void IoUpdateLinkShareAccessEx(
        FileObject fileObject, ShareAccess shareAccess, LinkShareAccess linkShareAccess, uint ioShareAccessFlags)
    {
        if (!IoIsFileObjectIgnoringSharing(fileObject)) CountLink(fileObject, shareAccess, linkShareAccess, 1);
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public void IoRemoveLinkShareAccess(
        FileObject fileObject, ShareAccess shareAccess, LinkShareAccess linkShareAccess) =>
        IoRemoveLinkShareAccessEx(fileObject, shareAccess, linkShareAccess, 0);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public void IoRemoveLinkShareAccessEx(
        FileObject fileObject, ShareAccess shareAccess, LinkShareAccess linkShareAccess, uint ioShareAccessFlags)
    {
        if (!IoIsFileObjectIgnoringSharing(fileObject)) CountLink(fileObject, shareAccess, linkShareAccess, -1);
    }

    readonly HashSet<Va> _ignoringSharing = [];

    [Export]
    public bool IoIsFileObjectIgnoringSharing(FileObject fileObject) => _ignoringSharing.Contains(fileObject.Address);

    /// <summary>From now on the file neither counts as open nor is refused.</summary>
    [Export]
    public NtStatus IoSetFileObjectIgnoreSharing(FileObject fileObject)
    {
        if (nt.Ob.Find(fileObject.Address)?.Type != nt.Ob.FileType) return STATUS_INVALID_PARAMETER;
        _ignoringSharing.Add(fileObject.Address);
        return STATUS_SUCCESS;
    }
}
