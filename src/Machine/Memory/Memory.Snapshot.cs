namespace Ringdown.Machine;

public sealed unsafe partial class Memory
{
    readonly List<MemorySnapshot> _snapshots = [];
    int _layer;

    MemorySnapshot? Top => _snapshots.Count == 0 ? null : _snapshots[^1];

    /// <summary>Remembers the present state. Snapshots nest: restoring one drops those taken after it.</summary>
    public MemorySnapshot Snapshot()
    {
        _layer++;
        var snapshot = new MemorySnapshot(_layer, Current, Physical.Mark());
        _snapshots.Add(snapshot);
        foreach (Tlb tlb in _tlbs) tlb.FlushWrites();
        return snapshot;
    }

    /// <summary>Goes back to a snapshot, which stays usable. The cost grows with the pages touched since.</summary>
    public void Restore(MemorySnapshot snapshot)
    {
        Invariant.Holds(_snapshots.Contains(snapshot));
        while (Top != snapshot)
        {
            Undo(_snapshots[^1]);
            _snapshots.RemoveAt(_snapshots.Count - 1);
        }
        Undo(snapshot);
        _layer = snapshot.Layer;
        Current = snapshot.Current;
        foreach (Tlb tlb in _tlbs) tlb.Flush();
        MappingsChanged?.Invoke();
    }

    void Undo(MemorySnapshot snapshot)
    {
        foreach ((int pfn, byte[] bytes) in snapshot.Pages)
        {
            DropCode(pfn);
            bytes.CopyTo(new Span<byte>(Physical.Host(pfn), Va.PageSize));
        }
        foreach ((int pfn, Frame state) in snapshot.FrameStates)
        {
            if (state.References == 0) DropCode(pfn);
            // Code that was decoded meanwhile, from bytes that have not changed, stays decoded.
            Physical[pfn] = state with { HasCode = Physical[pfn].HasCode };
        }
        foreach (((AddressSpace space, ulong page), PageEntry entry) in snapshot.Entries)
        {
            space.Pages.Set(page, entry);
        }
        Physical.Return(snapshot.Frames);
        snapshot.Pages.Clear();
        snapshot.FrameStates.Clear();
        snapshot.Entries.Clear();
    }

    void DropCode(int pfn)
    {
        if (!Physical[pfn].HasCode) return;
        CodeChanged?.Invoke(pfn);
        Physical[pfn].HasCode = false;
    }

    /// <summary>Before the first write to a frame after a snapshot: keeps its content.</summary>
    void SavePage(int pfn)
    {
        if (Physical[pfn].Layer == _layer) return;
        SaveFrameState(pfn);
        if (Top is { } top && PhysicalMemory.WasThere(top.Frames, pfn))
            top.Pages.TryAdd(pfn, new ReadOnlySpan<byte>(Physical.Host(pfn), Va.PageSize).ToArray());
        Physical[pfn].Layer = _layer;
    }

    void SaveFrameState(int pfn)
    {
        if (Top is { } top && PhysicalMemory.WasThere(top.Frames, pfn))
            top.FrameStates.TryAdd(pfn, Physical[pfn]);
    }

    void SaveEntry(AddressSpace space, ulong page, PageEntry old) => Top?.Entries.TryAdd((space, page), old);
}
