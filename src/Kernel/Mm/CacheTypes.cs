namespace Ringdown.Kernel;

/// <summary>A page was mapped with one way of caching while another mapping of it has another.</summary>
public sealed record CacheConflict(ulong Pfn, string Had, string Asked);

/// <summary>MEMORY_CACHING_TYPE of frames that are mapped in another way than cached.</summary>
/// <remarks>The processor here has no cache that shows; on a real one two ways at once corrupt memory, so the first
/// stays and the second is noted.</remarks>
sealed class CacheTypes
{
    public const uint MmNonCached = 0, MmCached = 1, MmWriteCombined = 2, Count = 6;
    const int NotesKept = 256;

    static readonly string[] s_names = ["non-cached", "cached", "write-combined", "hardware-coherent cached",
        "non-cached unordered", "write-combined (USWC)"];

    readonly Dictionary<int, uint> _types = [];
    readonly List<CacheConflict> _conflicts = [];

    public IReadOnlyList<CacheConflict> Conflicts => _conflicts;

    /// <summary>The type that PAGE_NOCACHE and PAGE_WRITECOMBINE ask for.</summary>
    public static uint Of(uint protect) => (protect & PageProtection.PAGE_NOCACHE) != 0 ? MmNonCached
        : (protect & PageProtection.PAGE_WRITECOMBINE) != 0 ? MmWriteCombined : MmCached;

    /// <summary>A frame is mapped once more.</summary>
    public void Note(int pfn, uint type)
    {
        uint had = _types.GetValueOrDefault(pfn, MmCached);
        if (had == type) return;
        if (_conflicts.Count < NotesKept)
            _conflicts.Add(new CacheConflict((ulong)pfn, s_names[had], s_names[Math.Min(type, Count - 1)]));
    }

    /// <summary>A frame's first mapping decides.</summary>
    public void Set(int pfn, uint type)
    {
        if (type == MmCached) _types.Remove(pfn);
        else _types[pfn] = type;
    }
}
