using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>What a section object keeps: pages that several views show.</summary>
/// <param name="size">Bytes, a multiple of the page's size.</param>
sealed class Section(ulong size, uint protect, uint attributes)
{
    public const uint SEC_FILE = 0x80_0000, SEC_IMAGE = 0x100_0000, SEC_RESERVE = 0x400_0000,
        SEC_COMMIT = 0x800_0000, SEC_NOCACHE = 0x1000_0000, SEC_WRITECOMBINE = 0x4000_0000,
        SEC_LARGE_PAGES = 0x8000_0000;

    readonly Dictionary<ulong, int> _frames = [];

    public ulong Size { get; } = size;
    public uint Protect { get; } = protect;
    public uint Attributes { get; } = attributes;

    /// <summary>Its pages are those of the machine, by their physical addresses.</summary>
    public bool IsPhysical => this == Physical;

    /// <summary>\Device\PhysicalMemory.</summary>
    public static Section Physical { get; } =
        new(1UL << 48, PageProtection.PAGE_EXECUTE_READWRITE, SEC_COMMIT);

    /// <summary>Frames that it has: what a section that only reserves has been promised.</summary>
    public ulong Frames => (ulong)_frames.Count;

    /// <summary>The frame of a page, made with its first view; the section holds a reference.</summary>
    public int Frame(Memory memory, ulong page)
    {
        if (!_frames.TryGetValue(page, out int pfn)) _frames.Add(page, pfn = memory.Physical.Allocate());
        return pfn;
    }

    /// <summary>Gives all frames back.</summary>
    public void Delete(Memory memory)
    {
        foreach (ulong page in _frames.Keys.Order()) memory.Release(_frames[page]);
        _frames.Clear();
    }
}
