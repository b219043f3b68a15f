using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.ObjectRequest;

namespace Ringdown.Kernel;

/// <summary>Directories, links and names. A name alone keeps no object alive, but each keeps its directory.</summary>
/// <remarks>Names compare without regard to case, as on every system whose registry says <c>ObCaseInsensitive</c>:
/// OBJ_CASE_INSENSITIVE changes nothing.</remarks>
sealed partial class Ob
{
    const int MaximumReparses = 32;
    const uint DIRECTORY_CREATE_OBJECT = 4, DIRECTORY_CREATE_SUBDIRECTORY = 8;

    /// <summary>Puts an object into a directory under a name, where it stays until it is removed or deleted.</summary>
    public void Insert(NtObject directory, string name, NtObject target) =>
        Insert(directory, name, target, isPermanent: true);

    void Insert(NtObject directory, string name, NtObject target, bool isPermanent)
    {
        directory.Entries!.Add(name, target);
        (target.Name, target.Parent) = (name, directory);
        Reference(directory);
        SetPermanent(target, isPermanent);
    }

    static void SetPermanent(NtObject target, bool isPermanent)
    {
        target.IsPermanent = isPermanent;
        ObjectHeader header = target.Header;
        header.Flags = (byte)(header.Flags & ~ObjectHeader.OB_FLAG_PERMANENT_OBJECT
            | (isPermanent ? ObjectHeader.OB_FLAG_PERMANENT_OBJECT : 0));
    }

    /// <summary>Takes the name away; the object lives on for who has handles and references.</summary>
    public void Remove(NtObject target)
    {
        NtObject directory = target.Parent!;
        directory.Entries!.Remove(target.Name);
        (target.Parent, target.Name) = (null, "");
        Dereference(directory);
    }

    /// <summary>Puts an object at a full path, whose directory must exist and whose last part must not.</summary>
    public NtStatus Insert(string path, NtObject target)
    {
        var request = new ObjectRequest(null, path, OBJ_PERMANENT, null, ProcessorMode.KernelMode);
        NtStatus status = FindPlace(request, target.Type, out NtObject? directory, out string name, out var existing);
        if (!status.IsSuccess) return status;
        if (existing is not null) return STATUS_OBJECT_NAME_COLLISION;
        Insert(directory!, name, target);
        return STATUS_SUCCESS;
    }

    /// <summary>Where a new object is to go: the directory and the name there, and what has that name
    /// already.</summary>
    NtStatus FindPlace(
        ObjectRequest request, ObjectType type, out NtObject? directory, out string name, out NtObject? existing)
    {
        (directory, name, existing) = (null, "", null);
        string path = request.Name!;
        NtObject? root = request.Root;
        for (int i = 0; i < MaximumReparses; i++)
        {
            int slash = path.LastIndexOf('\\');
            name = path[(slash + 1)..];
            if (name.Length == 0) return STATUS_OBJECT_NAME_INVALID;
            if (slash < 0 && root is null) return STATUS_OBJECT_PATH_SYNTAX_BAD;
            NtStatus status = Lookup(root, slash < 0 ? "" : path[..slash], request.Attributes, true, out directory,
                out string rest);
            if (!status.IsSuccess)
                return status == STATUS_OBJECT_NAME_NOT_FOUND ? STATUS_OBJECT_PATH_NOT_FOUND : status;
            if (directory!.Entries is null || rest.Length > 0) return STATUS_OBJECT_TYPE_MISMATCH;
            existing = directory.Entries.GetValueOrDefault(name);
            // A link stands for what it leads to, also for who makes something under its name.
            if (existing?.Target is not { } target || type == LinkType) return STATUS_SUCCESS;
            if (request.Has(OBJ_DONT_REPARSE)) return STATUS_REPARSE_POINT_ENCOUNTERED;
            (path, root) = (target, null);
        }
        return STATUS_REPARSE_POINT_NOT_RESOLVED;
    }

    /// <summary>Follows a path through directories and links, up to an object that is neither: a device parses what is
    /// left.</summary>
    public NtStatus Lookup(string path, out NtObject? found, out string rest, bool followLast = true) =>
        Lookup(null, path, 0, followLast, out found, out rest);

    /// <summary>The same from a directory that a handle stood for.</summary>
    public NtStatus Lookup(NtObject? root, string path, uint attributes, bool followLast, out NtObject? found,
        out string rest)
    {
        (found, rest) = (null, "");
        if (root is not null && path.StartsWith('\\')) return STATUS_OBJECT_PATH_SYNTAX_BAD;
        if (root is null && path.Length > 0 && path[0] != '\\') return STATUS_OBJECT_PATH_SYNTAX_BAD;
        if (root is null && path.Length > 0) path = path[1..];
        for (int i = 0; i < MaximumReparses; i++)
        {
            NtStatus status = Walk(root ?? Root, path, followLast, out found, out rest, out string? reparse);
            if (reparse is null) return status;
            if ((attributes & OBJ_DONT_REPARSE) != 0) return STATUS_REPARSE_POINT_ENCOUNTERED;
            if (reparse.Length == 0 || reparse[0] != '\\') return STATUS_OBJECT_PATH_SYNTAX_BAD;
            (path, root) = (reparse[1..], null);
        }
        found = null;
        return STATUS_REPARSE_POINT_NOT_RESOLVED;
    }

    NtStatus Walk(NtObject at, string path, bool followLast, out NtObject? found, out string rest, out string? reparse)
    {
        (found, rest, reparse) = (null, "", null);
        int position = 0;
        while (position < path.Length)
        {
            if (at.Entries is null)
            {
                rest = '\\' + path;
                break;
            }
            int end = path.IndexOf('\\', position);
            if (end < 0) end = path.Length;
            bool last = end == path.Length;
            if (end == position) return STATUS_OBJECT_NAME_INVALID;
            if (!at.Entries.TryGetValue(path[position..end], out NtObject? next))
                return last ? STATUS_OBJECT_NAME_NOT_FOUND : STATUS_OBJECT_PATH_NOT_FOUND;
            if (next.Target is { } target && (!last || followLast))
            {
                reparse = target + path[end..];
                return STATUS_REPARSE;
            }
            at = next;
            position = end + 1;
            if (at.Entries is not null)
            {
                if (!last && position == path.Length) return STATUS_OBJECT_NAME_INVALID;
                continue;
            }
            rest = path[end..];
            break;
        }
        found = at;
        return STATUS_SUCCESS;
    }

    /// <summary>Makes an object under the name that was asked for, or opens the one that is there if it may be
    /// (OBJ_OPENIF), and gives a handle to it.</summary>
    public NtStatus CreateNamed(ObjectRequest request, ObjectType type, uint access, Func<NtObject> make,
        out Handle handle, out NtObject? target)
    {
        (handle, target) = (default, null);
        NtObject? directory = null;
        string name = "";
        if (request.Name is not null)
        {
            NtStatus placed = FindPlace(request, type, out directory, out name, out NtObject? existing);
            if (!placed.IsSuccess) return placed;
            if (existing is not null) return OpenExisting(request, type, access, existing, out handle, out target);
            uint right = type == DirectoryType ? DIRECTORY_CREATE_SUBDIRECTORY : DIRECTORY_CREATE_OBJECT;
            NtStatus allowed = CheckAccess(directory!, right, request.IsChecked, out _);
            if (!allowed.IsSuccess) return allowed;
        }
        target = make();
        NtStatus status = InsertNew(target, request, directory, name, access, wantsHandle: true, out handle);
        Dereference(target);
        if (!status.IsSuccess) target = null;
        return status;
    }

    NtStatus OpenExisting(ObjectRequest request, ObjectType type, uint access, NtObject existing, out Handle handle,
        out NtObject? target)
    {
        (handle, target) = (default, null);
        if (!request.Has(OBJ_OPENIF)) return STATUS_OBJECT_NAME_COLLISION;
        if (existing.Type != type) return STATUS_OBJECT_TYPE_MISMATCH;
        NtStatus status = OpenHandle(existing, access, request, out handle);
        if (!status.IsSuccess) return status;
        target = existing;
        return STATUS_OBJECT_NAME_EXISTS;
    }

    /// <summary>A new object gets its name, its security and its first handle. Who makes it may have all rights that he
    /// asks for.</summary>
    NtStatus InsertNew(NtObject target, ObjectRequest request, NtObject? directory, string name, uint access,
        bool wantsHandle, out Handle handle)
    {
        handle = default;
        if (directory is not null || request.Security is not null || target.Type.IsSecured)
            SetSecurity(target, _nt.Se.Assign(directory is null ? null : SecurityOf(directory), request.Security,
                target.Type == DirectoryType, target.Type.Mapping));
        if (directory is not null) Insert(directory, name, target, request.Has(OBJ_PERMANENT));
        if (directory is not null && request.Has(OBJ_PERMANENT))
        {
            Reference(target);
            target.HasPermanentReference = true;
        }
        if (!wantsHandle) return STATUS_SUCCESS;
        NtStatus status = CheckAccess(target, access, isChecked: false, out uint granted);
        if (status.IsSuccess) status = OpenGranted(target, access, granted, request, out handle);
        if (!status.IsSuccess && directory is not null && target.Parent is not null) MakeTemporary(target);
        return status;
    }

    /// <summary>The name goes as soon as there is no handle.</summary>
    public void MakeTemporary(NtObject target)
    {
        if (!target.IsPermanent) return;
        SetPermanent(target, false);
        bool hadReference = target.HasPermanentReference;
        target.HasPermanentReference = false;
        if (target.Parent is not null && target.Header.HandleCount == 0) Remove(target);
        if (hadReference) Dereference(target);
    }

    /// <summary>Only a named object can be made permanent.</summary>
    public void MakePermanent(NtObject target)
    {
        if (target.IsPermanent || target.Parent is null) return;
        SetPermanent(target, true);
        Reference(target);
        target.HasPermanentReference = true;
    }

    /// <summary>Opens an object by name; one of a device's makes a file.</summary>
    public NtStatus OpenNamed(ObjectRequest request, ObjectType? type, uint access, out Handle handle)
    {
        handle = default;
        NtStatus status = FindNamed(request, type, access, out NtObject? found, out bool isNew);
        if (!status.IsSuccess) return status;
        if (!isNew) return OpenHandle(found!, access, request, out handle);
        status = CheckAccess(found!, access, request.IsChecked, out uint granted);
        if (status.IsSuccess) status = OpenGranted(found!, access, granted, request, out handle);
        Dereference(found!);
        return status;
    }

    /// <param name="isNew">The object is a file that was opened for this, with a reference for the caller.</param>
    NtStatus FindNamed(ObjectRequest request, ObjectType? type, uint access, out NtObject? found, out bool isNew)
    {
        (found, isNew) = (null, false);
        if (request.Name is null) return STATUS_OBJECT_PATH_SYNTAX_BAD;
        bool followLast = type != LinkType && !request.Has(OBJ_OPENLINK);
        NtStatus status = Lookup(
            request.Root, request.Name, request.Attributes, followLast, out found, out string rest);
        if (!status.IsSuccess) return status;
        if (found!.Type == DeviceType && (type is null || type == FileType))
        {
            isNew = true;
            string path = found.Path + rest;
            return _nt.Io.Open(path, request.Mode, new OpenOptions(access, 7), out found, out _);
        }
        if (found.Type == KeyType || rest.Length > 0)
            return rest.Length > 0 ? STATUS_OBJECT_PATH_NOT_FOUND : STATUS_OBJECT_TYPE_MISMATCH;
        return type is not null && found.Type != type || found.Type == DeviceType ? STATUS_OBJECT_TYPE_MISMATCH
            : STATUS_SUCCESS;
    }
}
