namespace Ringdown.Machine;

/// <summary>The state of a <see cref="Memory"/> at one moment: what has changed since, as it was before.</summary>
/// <remarks>Taking one costs nothing; each page first written or remapped afterwards is saved once; going back copies
/// those.</remarks>
public sealed class MemorySnapshot
{
    internal MemorySnapshot(int layer, AddressSpace current, FrameMark frames)
    {
        Layer = layer;
        Current = current;
        Frames = frames;
    }

    internal int Layer { get; }
    internal AddressSpace Current { get; }
    internal FrameMark Frames { get; }
    internal Dictionary<int, byte[]> Pages { get; } = [];
    internal Dictionary<int, Frame> FrameStates { get; } = [];
    internal Dictionary<(AddressSpace Space, ulong Page), PageEntry> Entries { get; } = [];

    /// <summary>Pages whose content has been written since the snapshot was taken (or last restored).</summary>
    public int DirtyPages => Pages.Count;
}
