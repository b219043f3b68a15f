using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

sealed partial class Ob
{
    const int MaximumReparses = 32;

    /// <summary>Puts an object into a directory under a name; the directory holds a reference.</summary>
    public void Insert(NtObject directory, string name, NtObject target)
    {
        directory.Entries!.Add(name, target);
        (target.Name, target.Parent) = (name, directory);
    }

    public void Remove(NtObject target)
    {
        target.Parent!.Entries!.Remove(target.Name);
        target.Parent = null;
    }

    /// <summary>Puts an object at a full path, whose directory must exist and whose last part must not.</summary>
    public NtStatus Insert(string path, NtObject target)
    {
        int slash = path.LastIndexOf('\\');
        if (slash < 0 || slash == path.Length - 1) return STATUS_OBJECT_NAME_INVALID;
        NtStatus status = Lookup(path[..slash], out NtObject? directory, out string rest);
        if (!status.IsSuccess) return STATUS_OBJECT_PATH_NOT_FOUND;
        if (directory!.Entries is null || rest.Length > 0) return STATUS_OBJECT_TYPE_MISMATCH;
        if (directory.Entries.ContainsKey(path[(slash + 1)..])) return STATUS_OBJECT_NAME_COLLISION;
        Insert(directory, path[(slash + 1)..], target);
        return STATUS_SUCCESS;
    }

    /// <summary>Follows a path through directories and links, up to an object that is neither: a device parses what is
    /// left.</summary>
    public NtStatus Lookup(string path, out NtObject? found, out string rest, bool followLast = true)
    {
        (found, rest) = (null, "");
        for (int i = 0; i < MaximumReparses; i++)
        {
            NtStatus status = Walk(path, followLast, out found, out rest, out string? reparse);
            if (reparse is null) return status;
            path = reparse;
        }
        found = null;
        return STATUS_REPARSE_POINT_NOT_RESOLVED;
    }

    NtStatus Walk(string path, bool followLast, out NtObject? found, out string rest, out string? reparse)
    {
        (found, rest, reparse) = (null, "", null);
        if (path.Length > 0 && path[0] != '\\') return STATUS_OBJECT_PATH_SYNTAX_BAD;
        NtObject at = Root;
        int position = 1;
        while (position < path.Length)
        {
            int end = path.IndexOf('\\', position);
            if (end < 0) end = path.Length;
            bool last = end == path.Length;
            if (!at.Entries!.TryGetValue(path[position..end], out NtObject? next))
                return last ? STATUS_OBJECT_NAME_NOT_FOUND : STATUS_OBJECT_PATH_NOT_FOUND;
            if (next.Target is { } target && (!last || followLast))
            {
                reparse = target + path[end..];
                return STATUS_REPARSE;
            }
            at = next;
            position = end + 1;
            if (at.Entries is not null) continue;
            rest = path[end..];
            break;
        }
        found = at;
        return STATUS_SUCCESS;
    }
}
