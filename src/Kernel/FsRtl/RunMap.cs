namespace Ringdown.Kernel;

/// <summary>Where the parts of a file lie: runs and holes, one behind the other from 0 on, the last a run.</summary>
sealed class RunMap
{
    /// <summary>The place of what lies nowhere.</summary>
    public const long Hole = -1;

    /// <summary>A part of the file up to <paramref name="End"/>, from where the one before it ends.</summary>
    readonly record struct Part(long End, long Lbn);

    readonly List<Part> _parts = [];

    public int Count => _parts.Count;

    long StartOf(int index) => index == 0 ? 0 : _parts[index - 1].End;

    public (long Vbn, long Lbn, long Count) this[int index]
    {
        get
        {
            long start = StartOf(index);
            return (start, _parts[index].Lbn, _parts[index].End - start);
        }
    }

    /// <summary>The part that holds a block, or -1 behind the last.</summary>
    public int IndexOf(long vbn)
    {
        int low = 0, high = _parts.Count;
        while (low < high)
        {
            int middle = (low + high) / 2;
            if (_parts[middle].End <= vbn) low = middle + 1;
            else high = middle;
        }
        return low < _parts.Count ? low : -1;
    }

    /// <summary>False, and nothing changed, if part of the range lies elsewhere already.</summary>
    public bool TryAdd(long vbn, long lbn, long count)
    {
        if (!IsRange(vbn, count) || lbn < 0 || lbn > long.MaxValue - count) return false;
        for (int i = IndexOf(vbn); i >= 0 && i < _parts.Count && StartOf(i) < vbn + count; i++)
        {
            Part part = _parts[i];
            if (part.Lbn != Hole && part.Lbn - StartOf(i) != lbn - vbn) return false;
        }
        Set(vbn, count, lbn);
        return true;
    }

    public void Remove(long vbn, long count)
    {
        if (count == 0 || vbn < 0 || count < 0 || _parts.Count == 0) return;
        long end = Math.Min(vbn > long.MaxValue - count ? long.MaxValue : vbn + count, _parts[^1].End);
        if (vbn < end) Set(vbn, end - vbn, Hole);
    }

    public void Truncate(long vbn) => Remove(Math.Max(0, vbn), long.MaxValue - Math.Max(0, vbn));

    public void Clear() => _parts.Clear();

    /// <summary>Puts a hole before a block: what lies there and behind moves up.</summary>
    public bool TrySplit(long vbn, long amount)
    {
        if (!IsRange(vbn, amount) || _parts.Count > 0 && _parts[^1].End > long.MaxValue - amount) return false;
        int index = IndexOf(vbn);
        if (index < 0) return true;
        (long start, long lbn, _) = this[index];
        for (int i = index; i < _parts.Count; i++) _parts[i] = _parts[i] with { End = _parts[i].End + amount };
        if (lbn == Hole) return true;
        if (index > 0 && start == vbn && _parts[index - 1].Lbn == Hole)
        {
            _parts[index - 1] = new Part(vbn + amount, Hole);
            return true;
        }
        _parts.Insert(index, new Part(vbn + amount, Hole));
        if (start < vbn) _parts.Insert(index, new Part(vbn, lbn));
        else return true;
        Part rest = _parts[index + 2];
        _parts[index + 2] = rest with { Lbn = lbn + (vbn - start) };
        return true;
    }

    static bool IsRange(long vbn, long count) => vbn >= 0 && count > 0 && vbn <= long.MaxValue - count;

    void Set(long vbn, long count, long lbn)
    {
        long end = vbn + count;
        var made = new List<Part>();
        int first = IndexOf(vbn), last;
        if (first < 0)
        {
            first = last = _parts.Count;
            if (StartOf(first) < vbn) made.Add(new Part(vbn, Hole));
        }
        else
        {
            if (StartOf(first) < vbn) made.Add(new Part(vbn, _parts[first].Lbn));
            last = IndexOf(end - 1);
            last = last < 0 ? _parts.Count : last + 1;
        }
        made.Add(new Part(end, lbn));
        if (last > first && _parts[last - 1].End > end)
        {
            Part tail = _parts[last - 1];
            made.Add(new Part(tail.End, tail.Lbn == Hole ? Hole : tail.Lbn + (end - StartOf(last - 1))));
        }
        // With its neighbours, so that they can become one.
        if (first > 0) made.Insert(0, _parts[--first]);
        if (last < _parts.Count)
        {
            Part next = _parts[last++];
            made.Add(next);
        }
        _parts.RemoveRange(first, last - first);
        _parts.InsertRange(first, made);
        Join(first, made.Count);
        while (_parts.Count > 0 && _parts[^1].Lbn == Hole) _parts.RemoveAt(_parts.Count - 1);
    }

    void Join(int first, int count)
    {
        for (int i = first + count - 1; i > first && i < _parts.Count; i--)
        {
            (long start, long lbn, long length) = this[i - 1];
            long next = _parts[i].Lbn;
            if (lbn == Hole ? next == Hole : next == lbn + length && next != Hole) RemoveBetween(i - 1, lbn);
        }
    }

    void RemoveBetween(int index, long lbn)
    {
        _parts[index + 1] = _parts[index + 1] with { Lbn = lbn };
        _parts.RemoveAt(index);
    }
}
