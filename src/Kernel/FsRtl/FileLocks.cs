using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>Who locks: the same only if all three are.</summary>
readonly record struct LockOwner(Va File, Va Process, uint Key);

/// <summary>A range of bytes; one of no length lies between two bytes.</summary>
sealed record FileLockRange(ulong Start, ulong Length, bool Exclusive, LockOwner Owner)
{
    public ulong Last => unchecked(Start + Length - 1);

    public bool Overlaps(ulong start, ulong length)
    {
        if (Length == 0 && length == 0) return false;
        if (Length == 0) return start < Start && Start <= start + length - 1;
        if (length == 0) return Start < start && start <= Last;
        return Start <= start + length - 1 && start <= Last;
    }
}

/// <summary>The byte-range locks of a file, in the order of their starts, and requests that wait for one.</summary>
sealed class FileLocks
{
    readonly List<FileLockRange> _held = [];

    public List<(FileLockRange Range, Irp Irp, Va Context)> Waiting { get; } = [];
    public IReadOnlyList<FileLockRange> Held => _held;

    public static bool IsRange(ulong start, ulong length) => length == 0 || start <= ulong.MaxValue - (length - 1);

    /// <summary>Alone only where nobody has locked anything, shared also where one has locked alone oneself.</summary>
    public bool TryLock(FileLockRange wanted)
    {
        foreach (FileLockRange held in _held)
        {
            if (!held.Overlaps(wanted.Start, wanted.Length)) continue;
            if (wanted.Exclusive || held.Exclusive && held.Owner != wanted.Owner) return false;
        }
        int at = _held.FindIndex(h => h.Start > wanted.Start);
        _held.Insert(at < 0 ? _held.Count : at, wanted);
        return true;
    }

    /// <summary>Not where another has locked alone.</summary>
    public bool MayRead(ulong start, ulong length, LockOwner reader) => length == 0
        || !_held.Exists(h => h.Exclusive && h.Owner != reader && h.Overlaps(start, length));

    /// <summary>Not where anybody shares, the writer included, or another has locked alone.</summary>
    public bool MayWrite(ulong start, ulong length, LockOwner writer) => length == 0
        || !_held.Exists(h => (!h.Exclusive || h.Owner != writer) && h.Overlaps(start, length));

    /// <summary>Takes off one lock of exactly this range, an exclusive one first.</summary>
    public FileLockRange? Unlock(ulong start, ulong length, LockOwner owner)
    {
        FileLockRange? found = _held.Find(h => h.Exclusive && Is(h)) ?? _held.Find(Is);
        if (found is not null) Remove(found);
        return found;

        bool Is(FileLockRange h) => h.Start == start && h.Length == length && h.Owner == owner;
    }

    public void Remove(FileLockRange range) => _held.RemoveAll(h => ReferenceEquals(h, range));

    /// <summary>The lock after another; null for the first. Also right when that one has gone.</summary>
    public FileLockRange? After(FileLockRange? last)
    {
        if (last is null) return _held.Count > 0 ? _held[0] : null;
        int at = _held.FindIndex(h => ReferenceEquals(h, last));
        if (at >= 0) return at + 1 < _held.Count ? _held[at + 1] : null;
        return _held.Find(h => h.Start > last.Start);
    }
}
