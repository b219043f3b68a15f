using Ringdown.Machine;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>The cached pages of one file: read when somebody wants them, written when they are dirty.</summary>
/// <remarks>Pages lie in views of 256 KiB. A page that is not here is not mapped. While a thread waits for a page
/// others that want anything read or written here wait for it.</remarks>
sealed class SharedCacheMap(NtKernel nt, FileObject file, SectionObjectPointers section)
{
    public const int PageSize = Va.PageSize, ViewSize = 0x4_0000;

    readonly SortedDictionary<long, Va> _views = [];
    readonly SortedSet<long> _pages = [], _dirty = [], _reading = [];
    readonly KEvent _idle = NewEvent(nt);

    public FileObject File { get; } = file;
    public SectionObjectPointers Section { get; } = section;
    public long FileSize { get; private set; }
    public long ValidDataLength { get; private set; }

    /// <summary>Up to where data was written into the cache.</summary>
    public long ValidDataGoal { get; private set; }

    /// <summary>File objects that have called CcInitializeCacheMap, and their private maps.</summary>
    public SortedDictionary<Va, Va> Private { get; } = [];
    public List<Bcb> Bcbs { get; } = [];
    public List<KEvent> Closed { get; } = [];
    public Va Callbacks { get; init; }
    public Va LazyWriteContext { get; init; }
    public bool WriteBehindDisabled { get; set; }
    public bool ReadAheadDisabled { get; set; }

    public int DirtyPages => _dirty.Count;
    public bool IsUsed => Private.Count > 0 || Bcbs.Count > 0;

    static KEvent NewEvent(NtKernel nt)
    {
        KEvent made = KEvent.At(nt.Memory, nt.Mm.Pool.Allocate(KEvent.Size, Cc.CacheTag));
        made.Header.Initialize(DispatcherType.NotificationEvent, KEvent.Size, 1);
        return made;
    }

    public void SetSizes(long fileSize, long? validDataLength)
    {
        (long old, FileSize) = (FileSize, Math.Max(0, fileSize));
        if (validDataLength is { } valid) ValidDataLength = valid;
        if (FileSize >= old) return;
        ValidDataLength = Math.Min(ValidDataLength, FileSize);
        ValidDataGoal = Math.Min(ValidDataGoal, FileSize);
        long first = (FileSize + PageSize - 1) / PageSize;
        Discard(first, long.MaxValue);
        // What was behind the new end must not come back when the file grows.
        if (FileSize % PageSize != 0 && _pages.Contains(FileSize / PageSize))
            nt.Memory.Fill(AddressOf(FileSize), (ulong)(PageSize - FileSize % PageSize), 0);
    }

    /// <summary>Where a byte of the file is, or will be, in the kernel's addresses; good to the end of its
    /// view.</summary>
    public Va AddressOf(long offset)
    {
        long view = offset / ViewSize;
        if (!_views.TryGetValue(view, out Va start)) _views.Add(view, start = nt.Mm.ReservePtes(ViewSize / PageSize));
        return start + (ulong)(offset % ViewSize);
    }

    public bool IsResident(long offset, long length)
    {
        for (long page = offset / PageSize; page * PageSize < offset + length; page++)
        {
            nt.Ke.Clock.Spend();
            if (!_pages.Contains(page) || _reading.Contains(page)) return false;
        }
        return true;
    }

    /// <summary>Has the pages of a range here.</summary>
    /// <param name="overwrite">The whole range will be written: pages that it covers need not be read.</param>
    /// <returns>What reading failed with.</returns>
    public NtStatus Load(long offset, long length, bool overwrite = false)
    {
        long end = offset + length;
        for (long page = offset / PageSize; page * PageSize < end; page++)
        {
            nt.Ke.Clock.Spend();
            while (_reading.Contains(page)) WaitIdle();
            if (_pages.Contains(page)) continue;
            long at = page * PageSize;
            bool covered = overwrite && at >= offset && at + PageSize <= end;
            if (covered || at >= ValidDataLength)
            {
                nt.Memory.Map(AddressOf(at), PageSize, Protection.ReadWrite);
                _pages.Add(page);
                continue;
            }
            long last = page + 1;
            while (last * PageSize < Math.Min(end, ValidDataLength) && last * PageSize % ViewSize != 0
                && !_pages.Contains(last) && !(overwrite && (last + 1) * PageSize <= end))
                last++;
            NtStatus status = Read(page, (int)(last - page));
            if (!status.IsSuccess) return status;
        }
        return STATUS_SUCCESS;
    }

    NtStatus Read(long page, int count)
    {
        Va start = AddressOf(page * PageSize);
        var bytes = (uint)(count * PageSize);
        nt.Memory.Map(start, bytes, Protection.ReadWrite);
        for (int i = 0; i < count; i++)
        {
            _pages.Add(page + i);
            _reading.Add(page + i);
        }
        _idle.SignalState = 0;
        IoStatusBlock read = nt.Io.PageIo(File, write: false, start, page * PageSize, bytes);
        for (int i = 0; i < count; i++) _reading.Remove(page + i);
        bool good = read.Status.IsSuccess || read.Status == STATUS_END_OF_FILE;
        for (int i = 0; !good && i < count; i++) Remove(page + i);
        ulong got = read.Status.IsSuccess ? Math.Min(read.Information, bytes) : 0;
        if (good && got < bytes) nt.Memory.Fill(start + got, bytes - got, 0);
        if (_reading.Count == 0) nt.Ke.KeSetEvent(_idle, 0, false);
        return good ? STATUS_SUCCESS : read.Status;
    }

    void WaitIdle() => nt.Ke.WaitFor([_idle.Header], all: false, deadline: null);

    public void MarkDirty(long offset, long length)
    {
        for (long page = offset / PageSize; page * PageSize < offset + length; page++)
        {
            nt.Ke.Clock.Spend();
            if (_pages.Contains(page)) _dirty.Add(page);
        }
        ValidDataGoal = Math.Max(ValidDataGoal, Math.Min(offset + length, FileSize));
    }

    /// <summary>Writes what is dirty in a range. Pages that could not be written are dirty still.</summary>
    public NtStatus Flush(long offset, long end)
    {
        NtStatus result = STATUS_SUCCESS;
        for (long from = offset / PageSize; ;)
        {
            // Others make pages dirty while this waits: so each run is looked up anew.
            if (NextDirty(from, end) is not { } page) return result;
            long last = page + 1;
            while (_dirty.Contains(last) && last * PageSize < end && last * PageSize % ViewSize != 0) last++;
            for (long p = page; p < last; p++) _dirty.Remove(p);
            var bytes = (uint)((last - page) * PageSize);
            NtStatus status = nt.Io.PageIo(
                File, write: true, AddressOf(page * PageSize), page * PageSize, bytes).Status;
            if (status.IsSuccess)
                ValidDataLength = Math.Max(ValidDataLength, Math.Min(last * PageSize, ValidDataGoal));
            else
            {
                result = status;
                for (long p = page; p < last; p++) if (_pages.Contains(p)) _dirty.Add(p);
            }
            from = last;
        }
    }

    long? NextDirty(long from, long end)
    {
        long last = end == long.MaxValue ? long.MaxValue : (end - 1) / PageSize;
        if (end <= 0 || from > last) return null;
        SortedSet<long> left = _dirty.GetViewBetween(from, last);
        return left.Count > 0 ? left.Min : null;
    }

    /// <summary>Whether nobody has pages of a range mapped or pinned.</summary>
    public bool MayPurge(long offset, long end) => !Bcbs.Exists(b => b.Offset < end && offset < b.End);

    /// <summary>Forgets pages, dirty or not.</summary>
    public void Discard(long firstPage, long endPage)
    {
        if (firstPage >= endPage) return;
        foreach (long page in _pages.GetViewBetween(firstPage, endPage - 1).ToArray())
            if (!_reading.Contains(page)) Remove(page);
    }

    void Remove(long page)
    {
        _pages.Remove(page);
        _dirty.Remove(page);
        nt.Memory.Unmap(AddressOf(page * PageSize), PageSize);
    }

    public void Delete()
    {
        Discard(0, long.MaxValue);
        _views.Clear();
        nt.Mm.Pool.Free(_idle.Address);
    }
}

/// <summary>A range of a cached file that somebody has mapped or pinned.</summary>
sealed class Bcb(SharedCacheMap map, long offset, long length, Va buffer)
{
    public SharedCacheMap Map { get; } = map;
    public long Offset { get; } = offset;
    public long End { get; } = offset + length;

    /// <summary>Where the range's first byte lies.</summary>
    public Va Buffer { get; } = buffer;
    public Va Address { get; set; }
    public int Count { get; set; } = 1;
    public bool IsPinned { get; set; }
    public bool IsDirty { get; set; }
    public Va Owner { get; set; }

    /// <summary>Pages that are mapped here beside their view, as the range lies in two of them.</summary>
    public int OwnPages { get; init; }
}
