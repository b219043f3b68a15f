using System.Collections.Immutable;
using System.Runtime.InteropServices;

namespace Ringdown.Machine;

/// <summary>The page frames of one machine: 4 KiB each, made when first asked for, zeroed, counted by their
/// mappings.</summary>
/// <remarks>Frames below 16 MiB are kept for who asks for low ones (old DMA); all others come from above.</remarks>
public sealed unsafe class PhysicalMemory : IDisposable
{
    const int ChunkFrames = 64;

    readonly List<Chunk?> _chunks = [];
    FrameMark _state = new(FirstFrame, LowEnd, ImmutableStack<int>.Empty, ImmutableStack<int>.Empty, 0);

    sealed class Chunk(nint memory)
    {
        public readonly nint Memory = memory;
        public readonly Frame[] Frames = new Frame[ChunkFrames];
    }

    /// <summary>Frames 0 to 255 are never given out: a physical address below 1 MiB is always a mistake.</summary>
    public const int FirstFrame = 256;

    /// <summary>The first frame at or above 16 MiB.</summary>
    public const int LowEnd = 0x1000;

    /// <summary>One more than the last frame: the machine has 2 GiB, from 1 MiB on.</summary>
    public const int EndFrame = FirstFrame + 0x8_0000;

    // What the system has for itself beside what it promises.
    const int Reserve = 0x1000;

    /// <summary>More frames are held than the machine has, but for a few.</summary>
    internal bool IsExhausted => InUse >= EndFrame - FirstFrame + Reserve;

    /// <summary>Frames that hold memory now.</summary>
    public int InUse => _state.InUse;

    internal ref Frame this[int pfn] =>
        ref _chunks[(pfn - FirstFrame) / ChunkFrames]!.Frames[(pfn - FirstFrame) % ChunkFrames];

    public bool Contains(int pfn) =>
        pfn >= FirstFrame && (pfn < _state.NextLow || pfn >= LowEnd && pfn < _state.Next) && this[pfn].References > 0;

    public byte* Host(int pfn) => (byte*)_chunks[(pfn - FirstFrame) / ChunkFrames]!.Memory
        + (pfn - FirstFrame) % ChunkFrames * (long)Va.PageSize;

    /// <summary>How many mappings and locks hold a frame.</summary>
    public int References(int pfn) => Contains(pfn) ? this[pfn].References : 0;

    /// <summary>A zeroed frame with one reference.</summary>
    public int Allocate()
    {
        if (!_state.Free.IsEmpty)
        {
            _state.Free = _state.Free.Pop(out int reused);
            return Take(reused);
        }
        // The low ones go last.
        if (_state.Next < EndFrame) return Take(_state.Next++);
        if (_state.NextLow < LowEnd) return Take(_state.NextLow++);
        if (_state.FreeLow.IsEmpty) return Take(_state.Next++);
        _state.FreeLow = _state.FreeLow.Pop(out int low);
        return Take(low);
    }

    /// <summary>The same, with a number within limits; 0 if there is none.</summary>
    public int Allocate(int lowest, int highest)
    {
        if (highest >= LowEnd && lowest <= highest)
        {
            int pfn = !_state.Free.IsEmpty ? _state.Free.Peek() : _state.Next;
            if (pfn >= lowest && pfn <= highest && pfn < EndFrame) return Allocate();
        }
        else if (!_state.FreeLow.IsEmpty && _state.FreeLow.Peek() is var low && low >= lowest && low <= highest)
        {
            _state.FreeLow = _state.FreeLow.Pop(out low);
            return Take(low);
        }
        return AllocateContiguous(1, lowest, highest, 0);
    }

    /// <summary>Frames with consecutive numbers, for memory that a device sees as one piece.</summary>
    public int AllocateContiguous(int count) => AllocateContiguous(count, 0, int.MaxValue, 0);

    /// <summary>The same, with numbers within limits.</summary>
    /// <param name="boundary">A power of two: the frames lie between two multiples of it; 0 for none.</param>
    /// <returns>The first frame, or 0.</returns>
    public int AllocateContiguous(int count, int lowest, int highest, int boundary)
    {
        Invariant.Holds(count > 0);
        if (boundary != 0 && count > boundary) return 0;
        int first = Fit(_state.Next, count, lowest, boundary);
        bool high = first + (long)count - 1 <= highest && first + (long)count <= EndFrame;
        if (!high)
        {
            first = Fit(_state.NextLow, count, lowest, boundary);
            if (first + (long)count - 1 > highest || first + (long)count > LowEnd) return 0;
        }
        for (int skipped = high ? _state.Next : _state.NextLow; skipped < first; skipped++) Skip(skipped);
        if (high) _state.Next = first + count;
        else _state.NextLow = first + count;
        for (int i = 0; i < count; i++) Take(first + i);
        return first;
    }

    static int Fit(int next, int count, int lowest, int boundary)
    {
        int first = Math.Max(next, lowest);
        if (boundary == 0 || first / boundary == (first + count - 1) / boundary) return first;
        return (int)Math.Min(int.MaxValue - count, (first / boundary + 1L) * boundary);
    }

    // Left out by limits: it is free for who has none.
    void Skip(int pfn)
    {
        ChunkOf(pfn);
        if (pfn < LowEnd) _state.FreeLow = _state.FreeLow.Push(pfn);
        else _state.Free = _state.Free.Push(pfn);
    }

    int Take(int pfn)
    {
        _state.InUse++;
        ChunkOf(pfn);
        // It may have been used before: freed, or given out before a restore.
        new Span<byte>(Host(pfn), Va.PageSize).Clear();
        this[pfn] = new Frame { References = 1 };
        return pfn;
    }

    internal void Free(int pfn)
    {
        _state.InUse--;
        this[pfn] = default;
        if (pfn < LowEnd) _state.FreeLow = _state.FreeLow.Push(pfn);
        else _state.Free = _state.Free.Push(pfn);
    }

    void ChunkOf(int pfn)
    {
        int index = (pfn - FirstFrame) / ChunkFrames;
        while (_chunks.Count <= index) _chunks.Add(null);
        _chunks[index] ??= new Chunk(
            (nint)NativeMemory.AlignedAlloc(ChunkFrames * Va.PageSize, Va.PageSize));
    }

    internal FrameMark Mark() => _state;

    internal void Return(FrameMark mark) => _state = mark;

    /// <summary>Whether a frame had been given out once when the mark was made.</summary>
    internal static bool WasThere(FrameMark mark, int pfn) => pfn < LowEnd ? pfn < mark.NextLow : pfn < mark.Next;

    public void Dispose()
    {
        foreach (Chunk? chunk in _chunks)
            if (chunk is not null) NativeMemory.AlignedFree((void*)chunk.Memory);
        _chunks.Clear();
        _state = new FrameMark(FirstFrame, LowEnd, ImmutableStack<int>.Empty, ImmutableStack<int>.Empty, 0);
    }
}

/// <summary>Which frames are given out: where new ones begin, below 16 MiB and above, and which came back.</summary>
record struct FrameMark(int NextLow, int Next, ImmutableStack<int> Free, ImmutableStack<int> FreeLow, int InUse);

/// <summary>What is known of one page frame.</summary>
struct Frame
{
    /// <summary>Mappings, and locks by MDLs.</summary>
    public int References;

    /// <summary>The snapshot layer in which it was last written: below the current one, the next write saves it
    /// first.</summary>
    public int Layer;

    /// <summary>Instructions of it are decoded somewhere, so a write must be noticed.</summary>
    public bool HasCode;
}
