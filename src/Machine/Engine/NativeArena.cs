using System.Runtime.InteropServices;

namespace Ringdown.Machine;

/// <summary>Unmanaged memory that is given back as a whole.</summary>
sealed unsafe class NativeArena : IDisposable
{
    const int FirstChunk = 4 << 10, LargestChunk = 64 << 10;

    readonly List<nint> _chunks = [];
    byte* _next;
    int _left, _chunk = FirstChunk;

    /// <summary>Bytes taken from the system.</summary>
    public long Bytes { get; private set; }

    /// <summary>Uninitialised memory, aligned to 32 bytes.</summary>
    public byte* Allocate(int bytes)
    {
        bytes = (bytes + 31) & ~31;
        if (bytes > _left) AddChunk(bytes);
        byte* result = _next;
        _next += bytes;
        _left -= bytes;
        return result;
    }

    void AddChunk(int atLeast)
    {
        _left = Math.Max(atLeast, _chunk);
        _chunk = Math.Min(_chunk * 2, LargestChunk);
        _next = (byte*)NativeMemory.AlignedAlloc((nuint)_left, 64);
        _chunks.Add((nint)_next);
        Bytes += _left;
    }

    public void Dispose()
    {
        foreach (nint chunk in _chunks) NativeMemory.AlignedFree((void*)chunk);
        _chunks.Clear();
        _next = null;
        _left = 0;
    }
}
