using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>What an oplock lets its holder keep: OPLOCK_LEVEL_CACHE_*.</summary>
[Flags]
enum OplockLevel { None = 0, Read = 1, Handle = 2, Write = 4 }

/// <summary>How an oplock was asked for: by a code of its own, or by FSCTL_REQUEST_OPLOCK.</summary>
enum OplockKind { LevelOne, LevelTwo, Batch, Filter, Cache }

/// <summary>One who has an oplock. While <see cref="Irp"/> waits it is held; then it is being broken.</summary>
sealed class OplockHolder(OplockKind kind, OplockLevel level, FileObject file, Irp irp)
{
    public OplockKind Kind { get; } = kind;
    public OplockLevel Level { get; set; } = level;
    public FileObject File { get; } = file;
    public Irp Irp { get; set; } = irp;

    /// <summary>It has been told to give up its level, and must say that it has.</summary>
    public OplockLevel? BreakTo { get; set; }

    /// <summary>It will close its handle rather than say so.</summary>
    public bool ClosePending { get; set; }

    public bool IsExclusive => (Level & OplockLevel.Write) != 0 || Kind == OplockKind.Filter;
    public bool HasHandle => (Level & OplockLevel.Handle) != 0;
}

/// <summary>The oplocks on one stream, and who waits until one is broken.</summary>
sealed class OplockState
{
    public List<OplockHolder> Holders { get; } = [];
    public List<(Irp Irp, Action<NtStatus> Resume)> Waiting { get; } = [];

    public bool IsBreaking => Holders.Exists(h => h.BreakTo is not null);

    public OplockHolder? HolderOf(FileObject file) => Holders.Find(h => h.File == file);

    /// <summary>A shared level beside others that share; an exclusive one alone.</summary>
    public bool MayGrant(OplockKind kind, OplockLevel level, FileObject file, uint openCount)
    {
        if (IsBreaking) return false;
        bool exclusive = kind == OplockKind.Filter || (level & OplockLevel.Write) != 0;
        // One who has a level may ask for another in its place.
        return exclusive ? openCount <= 1 && Holders.TrueForAll(h => h.File == file)
            : Holders.TrueForAll(h => h.File == file || !h.IsExclusive);
    }
}
