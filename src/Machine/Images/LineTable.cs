using System.Runtime.InteropServices;

namespace Ringdown.Machine;

/// <summary>Which code comes from which line: ranges in the order of their RVAs.</summary>
sealed class LineTable
{
    /// <summary>Code from one line, up to but without <paramref name="End"/>.</summary>
    public readonly record struct Range(uint Start, uint End, int File, int Line);

    readonly Range[] _ranges;
    readonly string[] _files;

    LineTable(Range[] ranges, string[] files) => (_ranges, _files) = (ranges, files);

    public SourceLine? Find(uint rva)
    {
        int low = 0, high = _ranges.Length;
        while (low < high)
        {
            int middle = (low + high) / 2;
            if (_ranges[middle].Start <= rva) low = middle + 1;
            else high = middle;
        }
        if (low == 0 || rva >= _ranges[low - 1].End) return null;
        Range range = _ranges[low - 1];
        return new SourceLine(_files[range.File], range.Line);
    }

    /// <summary>Collects rows, sequence by sequence, from a source that may be broken.</summary>
    public sealed class Builder(PeImage image)
    {
        readonly List<Range> _rows = [], _all = [];
        readonly Dictionary<string, int> _fileIndices = new(StringComparer.Ordinal);
        readonly List<string> _files = [];

        /// <summary>The number of a file, of whose path only the name is kept.</summary>
        public int File(string path)
        {
            string name = path[(path.AsSpan().LastIndexOfAny('/', '\\') + 1)..];
            if (_fileIndices.TryGetValue(name, out int index)) return index;
            _fileIndices.Add(name, _files.Count);
            _files.Add(name);
            return _files.Count - 1;
        }

        /// <summary>From here on the code is of this line; line zero or less is code of no line.</summary>
        public void Add(uint rva, int file, int line) => _rows.Add(new Range(rva, 0, file, line));

        /// <summary>Takes the rows since the last sequence, which end here; a sequence that is not code is
        /// dropped.</summary>
        public void EndSequence(uint end)
        {
            // Functions that the linker threw away keep their lines, at address zero.
            if (_rows.Count > 0 && image.SectionAt(_rows[0].Start) is { IsExecutable: true } section
                && end > _rows[0].Start && end - section.Rva <= section.VirtualSize)
                Take(end);
            _rows.Clear();
        }

        public void DropSequence() => _rows.Clear();

        public LineTable Build()
        {
            Range[] ranges = [.. _all];
            Array.Sort(ranges, static (a, b) =>
                a.Start != b.Start ? a.Start.CompareTo(b.Start) : a.End.CompareTo(b.End));
            return new LineTable(ranges, [.. _files]);
        }

        void Take(uint end)
        {
            SortRows();
            for (int i = 0; i < _rows.Count; i++)
            {
                Range row = _rows[i];
                uint next = i + 1 < _rows.Count ? Math.Min(_rows[i + 1].Start, end) : end;
                // Of rows for one address the last counts.
                if (next <= row.Start || row.Line <= 0) continue;
                Range last = _all.Count > 0 ? _all[^1] : default;
                if (last.End == row.Start && last.File == row.File && last.Line == row.Line)
                    _all[^1] = last with { End = next };
                else _all.Add(row with { End = next });
            }
        }

        void SortRows()
        {
            Span<Range> rows = CollectionsMarshal.AsSpan(_rows);
            bool sorted = true;
            for (int i = 0; i < rows.Length; i++)
            {
                sorted &= i == 0 || rows[i].Start >= rows[i - 1].Start;
                rows[i] = rows[i] with { End = (uint)i };
            }
            // Their own order, kept in End, decides where addresses are equal.
            if (!sorted)
                rows.Sort(static (a, b) => a.Start != b.Start ? a.Start.CompareTo(b.Start) : a.End.CompareTo(b.End));
        }
    }
}
