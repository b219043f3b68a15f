using System.Collections.Immutable;
using System.Runtime.InteropServices;

namespace Ringdown.Machine;

/// <summary>The page frames of one machine: 4 KiB each, made when first asked for, zeroed, counted by their
/// mappings.</summary>
public sealed unsafe class PhysicalMemory : IDisposable
{
    const int ChunkFrames = 64;

    readonly List<nint> _chunks = [];
    Frame[] _frames = new Frame[ChunkFrames];
    ImmutableStack<int> _free = ImmutableStack<int>.Empty;
    int _count;

    /// <summary>Frames 0 to 255 are never given out: a physical address below 1 MiB is always a mistake.</summary>
    public const int FirstFrame = 256;

    /// <summary>Frames that hold memory now.</summary>
    public int InUse { get; private set; }

    internal ref Frame this[int pfn] => ref _frames[pfn - FirstFrame];

    public bool Contains(int pfn) => pfn >= FirstFrame && pfn < FirstFrame + _count && this[pfn].References > 0;

    public byte* Host(int pfn) =>
        (byte*)_chunks[(pfn - FirstFrame) / ChunkFrames] + (pfn - FirstFrame) % ChunkFrames * (long)Va.PageSize;

    /// <summary>A zeroed frame with one reference.</summary>
    public int Allocate()
    {
        InUse++;
        if (!_free.IsEmpty)
        {
            _free = _free.Pop(out int reused);
            new Span<byte>(Host(reused), Va.PageSize).Clear();
            this[reused] = new Frame { References = 1 };
            return reused;
        }
        return Append();
    }

    /// <summary>Frames with consecutive numbers, for memory that a device sees as one piece.</summary>
    public int AllocateContiguous(int count)
    {
        Invariant.Holds(count > 0);
        InUse += count;
        int first = Append();
        for (int i = 1; i < count; i++) Append();
        return first;
    }

    internal void Free(int pfn)
    {
        InUse--;
        this[pfn] = default;
        _free = _free.Push(pfn);
    }

    int Append()
    {
        if (_count == _chunks.Count * ChunkFrames) AddChunk();
        int pfn = FirstFrame + _count++;
        // After a restore the frame may have been used before.
        new Span<byte>(Host(pfn), Va.PageSize).Clear();
        this[pfn] = new Frame { References = 1 };
        return pfn;
    }

    void AddChunk()
    {
        byte* memory = (byte*)NativeMemory.AlignedAlloc(ChunkFrames * Va.PageSize, Va.PageSize);
        _chunks.Add((nint)memory);
        if (_frames.Length < _chunks.Count * ChunkFrames) Array.Resize(ref _frames, _frames.Length * 2);
    }

    internal (int Count, ImmutableStack<int> Free, int InUse) Mark() => (_count, _free, InUse);

    internal void Return((int Count, ImmutableStack<int> Free, int InUse) mark) => (_count, _free, InUse) = mark;

    public void Dispose()
    {
        foreach (nint chunk in _chunks) NativeMemory.AlignedFree((void*)chunk);
        _chunks.Clear();
        _count = 0;
    }
}

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
