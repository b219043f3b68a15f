namespace Ringdown.Kernel;

/// <summary>A value for each page of a range, kept as runs of equal ones; 0 is no value.</summary>
sealed class PageRuns
{
    readonly List<(ulong Start, ulong End, uint Value)> _runs = [];

    /// <summary>Pages that have a value.</summary>
    public ulong Count { get; private set; }

    /// <summary>Gives pages from start up to end, which is not one of them, a value; 0 takes it away.</summary>
    public void Set(ulong start, ulong end, uint value)
    {
        if (start >= end) return;
        int first = FirstEndingAfter(start), last = first;
        List<(ulong, ulong, uint)> kept = [];
        for (; last < _runs.Count && _runs[last].Start < end; last++)
        {
            (ulong runStart, ulong runEnd, uint old) = _runs[last];
            Count -= Math.Min(runEnd, end) - Math.Max(runStart, start);
            if (runStart < start) kept.Add((runStart, start, old));
            if (runEnd > end) kept.Add((end, runEnd, old));
        }
        if (value != 0)
        {
            int at = kept.Count > 0 && kept[0] is var (s, _, _) && s < start ? 1 : 0;
            kept.Insert(at, (start, end, value));
            Count += end - start;
        }
        _runs.RemoveRange(first, last - first);
        _runs.InsertRange(first, kept);
        Join(Math.Max(0, first - 1), Math.Min(_runs.Count - 1, first + kept.Count));
    }

    /// <summary>The value of a page and the run it lies in, cut to limits; a gap is a run of 0.</summary>
    public (ulong Start, ulong End, uint Value) At(ulong page, ulong low, ulong high)
    {
        int next = FirstEndingAfter(page);
        if (next < _runs.Count && _runs[next].Start <= page)
            return (Math.Max(low, _runs[next].Start), Math.Min(high, _runs[next].End), _runs[next].Value);
        ulong start = next > 0 ? _runs[next - 1].End : low, end = next < _runs.Count ? _runs[next].Start : high;
        return (Math.Max(low, start), Math.Min(high, end), 0);
    }

    /// <summary>Whether all pages of a range have a value.</summary>
    public bool Covers(ulong start, ulong end)
    {
        for (ulong page = start; page < end;)
        {
            (_, ulong runEnd, uint value) = At(page, start, end);
            if (value == 0) return false;
            page = runEnd;
        }
        return true;
    }

    /// <summary>The runs with a value between limits, cut to them, by page.</summary>
    public IEnumerable<(ulong Start, ulong End, uint Value)> Between(ulong start, ulong end)
    {
        for (int i = FirstEndingAfter(start); i < _runs.Count && _runs[i].Start < end; i++)
            yield return (Math.Max(start, _runs[i].Start), Math.Min(end, _runs[i].End), _runs[i].Value);
    }

    int FirstEndingAfter(ulong page)
    {
        int low = 0, high = _runs.Count;
        while (low < high)
        {
            int middle = (low + high) / 2;
            if (_runs[middle].End <= page) low = middle + 1;
            else high = middle;
        }
        return low;
    }

    // Neighbours that have become equal are one.
    void Join(int first, int last)
    {
        for (int i = last; i > first; i--)
        {
            if (_runs[i - 1].End != _runs[i].Start || _runs[i - 1].Value != _runs[i].Value) continue;
            _runs[i - 1] = (_runs[i - 1].Start, _runs[i].End, _runs[i].Value);
            _runs.RemoveAt(i);
        }
    }
}
