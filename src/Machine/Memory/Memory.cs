using System.Runtime.InteropServices;

namespace Ringdown.Machine;

/// <summary>The guest's virtual memory: a kernel half for the machine and a user half for each process.</summary>
/// <remarks>
/// Every access, by guest code and by the kernel in C#, is translated through a <see cref="Tlb"/>; what the TLB does
/// not
/// hold is decided here. Not safe for two host threads at once: one machine runs on one thread at a time.
/// </remarks>
public sealed unsafe partial class Memory : IDeviceMemory, IDisposable
{
    readonly AddressSpace _kernel = new();
    readonly List<Tlb> _tlbs = [];
    readonly Tlb _host;
    bool _pagedInTlb, _userInTlb, _disposed;

    public Memory()
    {
        _host = new Tlb((TlbEntry*)NativeMemory.AlignedAlloc(Tlb.Bytes, 64));
        Attach(_host);
    }

    public PhysicalMemory Physical { get; } = new();

    /// <summary>Told of each frame whose decoded code is about to change; set by the engine.</summary>
    internal Action<int>? CodeChanged { get; set; }

    /// <summary>Told when many mappings may have changed at once: after a restore.</summary>
    internal Action? MappingsChanged { get; set; }

    /// <summary>Told when another user half is seen.</summary>
    internal Action? UserHalfChanged { get; set; }

    /// <summary>Told when <see cref="PagedIsOut"/> becomes true.</summary>
    internal Action? PagedOut { get; set; }

    /// <summary>Whether pages with <see cref="Protection.Paged"/> count as not there now; set by the system.</summary>
    internal Func<bool>? PagedIsOut { get; set; }

    /// <summary>From now on <see cref="PagedIsOut"/> is true: translations of such pages are forgotten.</summary>
    internal void PageOut()
    {
        PagedOut?.Invoke();
        if (!_pagedInTlb) return;
        _pagedInTlb = false;
        foreach (Tlb tlb in _tlbs) tlb.Flush();
    }

    /// <summary>The process whose user half is seen now. Setting it is the load of CR3.</summary>
    public AddressSpace Current
    {
        get;
        set
        {
            if (ReferenceEquals(field, value)) return;
            field = value;
            UserHalfChanged?.Invoke();
            // Drivers hardly ever touch the user half: most switches find nothing of it.
            if (!_userInTlb) return;
            _userInTlb = false;
            foreach (Tlb tlb in _tlbs) tlb.FlushUserHalf();
        }
    } = new();

    /// <summary>Makes a processor's TLB one that this memory keeps true.</summary>
    internal void Attach(Tlb tlb)
    {
        tlb.Flush();
        _tlbs.Add(tlb);
    }

    /// <summary>Before a processor's TLB goes away.</summary>
    internal void Detach(Tlb tlb) => _tlbs.RemoveAll(t => t.Entries == tlb.Entries);

    /// <summary>Maps zeroed memory. Pages get their frames when first touched.</summary>
    public void Map(Va address, ulong bytes, Protection protection)
    {
        for (ulong page = address.Page, end = EndPage(address, bytes); page < end; page++)
            SetEntry(page, new PageEntry(PageEntry.DemandZero, protection, null, 0));
    }

    /// <summary>Maps frames that exist already: an MDL, a section, memory that a device shares.</summary>
    public void MapFrame(Va address, int pfn, Protection protection)
    {
        Invariant.Holds(Physical.Contains(pfn));
        Retain(pfn);
        SetEntry(address.Page, new PageEntry(pfn, protection, null, 0));
    }

    /// <summary>Maps the registers of a device. Each access calls it; offsets count from <paramref
    /// name="address"/>.</summary>
    public void MapDevice(Va address, ulong bytes, IMmioDevice device, ulong firstOffset = 0)
    {
        ulong first = address.Page;
        for (ulong page = first, end = EndPage(address, bytes); page < end; page++)
            SetEntry(page, new PageEntry(0, Protection.ReadWrite, device, firstOffset + ((page - first) << 12)));
    }

    public void Unmap(Va address, ulong bytes)
    {
        for (ulong page = address.Page, end = EndPage(address, bytes); page < end; page++) SetEntry(page, default);
    }

    /// <summary>Changes what may be done with pages that are mapped; others are left alone.</summary>
    public void Protect(Va address, ulong bytes, Protection protection)
    {
        for (ulong page = address.Page, end = EndPage(address, bytes); page < end; page++)
        {
            if (!TryEntry(page, out PageEntry entry)) continue;
            if (entry.Pfn != 0) Retain(entry.Pfn);
            SetEntry(page, entry with { Protection = protection });
        }
    }

    /// <summary>The lowest kernel address at which a frame is mapped, or null.</summary>
    public Va? KernelMappingOf(int pfn) => _kernel.Pages.FindFrame(pfn) is { } page ? new Va(page << 12) : null;

    public bool IsMapped(Va address) => TryEntry(address.Page, out _);

    public Protection ProtectionOf(Va address) =>
        TryEntry(address.Page, out PageEntry entry) ? entry.Protection : Protection.None;

    /// <summary>The device whose registers are at this address, if any.</summary>
    public IMmioDevice? DeviceAt(Va address, out ulong offset)
    {
        TryEntry(address.Page, out PageEntry entry);
        offset = entry.DeviceOffset + address.PageOffset;
        return entry.Device;
    }

    /// <summary>The frame behind an address, made now if the page was not touched yet; 0 where there is none.</summary>
    public int FrameOf(Va address) =>
        TryEntry(address.Page, out PageEntry entry) ? Populate(address.Page, ref entry) : 0;

    /// <summary>Adds a reference to a frame, so that it outlives its mapping (a locked page).</summary>
    public void Retain(int pfn)
    {
        SaveFrameState(pfn);
        Physical[pfn].References++;
    }

    public void Release(int pfn)
    {
        SaveFrameState(pfn);
        Invariant.Holds(Physical[pfn].References > 0);
        if (--Physical[pfn].References > 0) return;
        SavePage(pfn);
        Physical.Free(pfn);
    }

    /// <summary>Fills a frame with zeros, whoever maps it.</summary>
    public void ClearFrame(int pfn)
    {
        if (Physical[pfn].HasCode)
        {
            CodeChanged?.Invoke(pfn);
            SaveFrameState(pfn);
            Physical[pfn].HasCode = false;
        }
        SavePage(pfn);
        new Span<byte>(Physical.Host(pfn), Va.PageSize).Clear();
    }

    /// <summary>Marks the frame of a page as one with decoded code: writes to it come to <see
    /// cref="CodeChanged"/>.</summary>
    internal void MarkCode(int pfn)
    {
        if (Physical[pfn].HasCode) return;
        SaveFrameState(pfn);
        Physical[pfn].HasCode = true;
        foreach (Tlb tlb in _tlbs) tlb.FlushWrites();
    }

    static ulong EndPage(Va address, ulong bytes) =>
        bytes == 0 ? address.Page : ((address.Value + bytes - 1) >> 12) + 1;

    AddressSpace SpaceOf(ulong page) => (page & (1UL << 51)) != 0 ? _kernel : Current;

    bool TryEntry(ulong page, out PageEntry entry) => SpaceOf(page).Pages.TryGetValue(page, out entry);

    void SetEntry(ulong page, PageEntry entry)
    {
        AddressSpace space = SpaceOf(page);
        bool was = space.Pages.TryGetValue(page, out PageEntry old);
        SaveEntry(space, page, old);
        space.Pages.Set(page, entry);
        if (was && old.Pfn != 0)
        {
            if (Physical[old.Pfn].HasCode) CodeChanged?.Invoke(old.Pfn);
            Release(old.Pfn);
        }
        foreach (Tlb tlb in _tlbs) tlb.FlushPage(page);
    }

    int Populate(ulong page, ref PageEntry entry)
    {
        if (entry.Pfn != 0 || entry.Device is not null) return entry.Pfn;
        int pfn = Physical.Allocate();
        Top?.FrameStates.TryAdd(pfn, default);
        Physical[pfn].Layer = _layer;
        AddressSpace space = SpaceOf(page);
        SaveEntry(space, page, entry);
        entry = entry with { Pfn = pfn };
        space.Pages.Set(page, entry);
        return pfn;
    }

    public void Dispose()
    {
        if (_disposed) return;
        _disposed = true;
        Physical.Dispose();
        NativeMemory.AlignedFree(_host.Entries);
    }
}
