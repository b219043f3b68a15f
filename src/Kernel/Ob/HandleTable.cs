using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>One open handle: the object, and what may be done with it.</summary>
sealed record HandleEntry(NtObject Object, uint GrantedAccess, Va Owner)
{
    public const uint OBJ_PROTECT_CLOSE = 1, OBJ_INHERIT = 2;

    public bool IsInherited { get; set; }
    public bool IsProtected { get; set; }

    /// <summary>HandleAttributes of OBJECT_HANDLE_INFORMATION.</summary>
    public uint Attributes => (IsInherited ? OBJ_INHERIT : 0) | (IsProtected ? OBJ_PROTECT_CLOSE : 0);
}

/// <summary>The open handles of one process. Values are multiples of four, and none is given twice: one that is used
/// after it was closed never means another object.</summary>
sealed class HandleTable
{
    readonly SortedDictionary<uint, HandleEntry> _entries = [];
    uint _next = 4;

    public int Count => _entries.Count;

    /// <summary>The process is ending: nothing can be opened any more.</summary>
    public bool IsClosed { get; set; }

    public IEnumerable<(uint Index, HandleEntry Entry)> Entries => _entries.Select(e => (e.Key, e.Value));

    public uint Add(HandleEntry entry)
    {
        uint index = _next;
        _next += 4;
        _entries.Add(index, entry);
        return index;
    }

    // The two low bits are the owner's to use.
    public HandleEntry? Find(uint index) => _entries.GetValueOrDefault(index & ~3u);

    public HandleEntry? Remove(uint index) => _entries.Remove(index & ~3u, out HandleEntry? entry) ? entry : null;
}
