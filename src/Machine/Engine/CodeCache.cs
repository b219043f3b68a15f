using System.Numerics;
using System.Runtime.InteropServices;

namespace Ringdown.Machine;

/// <summary>Decoded code, shared by any number of processors of any machines, also on several host threads.</summary>
/// <remarks>A page of it is known by its address and its content, so machines that load the same image decode it
/// once.</remarks>
public sealed class CodeCache : IDisposable
{
    // Pages that nobody uses at the moment are kept up to this number: code that was changed often changes back.
    const int MostUnused = 1024;

    readonly Lock _lock = new();
    readonly Dictionary<(ulong Page, ulong Hash), List<CodePage>> _pages = [];
    readonly LinkedList<CodePage> _unused = [];
    readonly Dictionary<ulong, List<(byte[] Bytes, nint Block)>> _straddlers = [];
    readonly NativeArena _straddlerMemory = new();
    readonly BlockBuilder _builder = new();

    /// <summary>Blocks decoded so far.</summary>
    public long BlocksDecoded { get; private set; }

    /// <summary>Pages known at present, used or not.</summary>
    public int Pages { get; private set; }

    /// <summary>The decoded page with this content; the caller gives it back with <see cref="Release"/>.</summary>
    internal CodePage Acquire(ulong page, ReadOnlySpan<byte> content, bool host)
    {
        ulong hash = Hash(content);
        lock (_lock)
        {
            // Different contents with the same hash are hardly ever met.
            if (!_pages.TryGetValue((page, hash), out List<CodePage>? versions)) _pages[(page, hash)] = versions = [];
            CodePage? found = versions.Find(host, content);
            if (found is null)
            {
                found = new CodePage(page, hash, content.ToArray(), host);
                versions.Add(found);
                Pages++;
            }
            else if (found.Users == 0)
            {
                _unused.Remove(found.Unused!);
            }
            found.Users++;
            return found;
        }
    }

    static ulong Hash(ReadOnlySpan<byte> content)
    {
        ulong hash = 0;
        foreach (ulong word in MemoryMarshal.Cast<byte, ulong>(content))
            hash = (BitOperations.RotateLeft(hash, 27) ^ word) * 0x9E37_79B9_7F4A_7C15;
        return hash;
    }

    internal void Release(CodePage page)
    {
        lock (_lock)
        {
            if (--page.Users > 0) return;
            page.Unused = _unused.AddLast(page);
            if (_unused.Count > MostUnused) Forget(_unused.First!.Value);
        }
    }

    void Forget(CodePage page)
    {
        _unused.Remove(page.Unused!);
        List<CodePage> versions = _pages[(page.Page, page.Hash)];
        versions.Remove(page);
        if (versions.Count == 0) _pages.Remove((page.Page, page.Hash));
        Pages--;
        page.Dispose();
    }

    /// <summary>The block at an offset of a page; null if its first instruction goes on in the next page.</summary>
    internal unsafe Block* Find(CodePage page, int offset)
    {
        Block* block = page.Known(offset);
        if (block != null) return block;
        lock (_lock)
        {
            block = page.Known(offset);
            if (block != null) return block;
            BlocksDecoded++;
            return page.Decode(_builder, offset);
        }
    }

    /// <summary>The block of exactly the instruction at an offset of a page.</summary>
    internal unsafe Block* FindSingle(CodePage page, int offset)
    {
        lock (_lock) return page.Single(_builder, offset);
    }

    /// <summary>The block of an instruction that lies in two pages, known by its address and its bytes.</summary>
    internal unsafe Block* FindStraddler(ulong rip, byte[] bytes)
    {
        lock (_lock)
        {
            if (!_straddlers.TryGetValue(rip, out List<(byte[] Bytes, nint Block)>? versions))
                _straddlers[rip] = versions = [];
            foreach ((byte[] known, nint block) in versions)
                if (known.AsSpan().SequenceEqual(bytes)) return (Block*)block;
            Block* built = _builder.Build(_straddlerMemory, bytes, rip, 0, 1, linksCanSet: false);
            versions.Add((bytes, (nint)built));
            return built;
        }
    }

    public void Dispose()
    {
        lock (_lock)
        {
            foreach (List<CodePage> versions in _pages.Values)
                foreach (CodePage page in versions) page.Dispose();
            _pages.Clear();
            _unused.Clear();
            _straddlers.Clear();
            _straddlerMemory.Dispose();
        }
    }
}

/// <summary>The decoded blocks of one page with one content.</summary>
sealed unsafe class CodePage(ulong page, ulong hash, byte[] content, bool host) : IDisposable
{
    readonly ushort[] _index = new ushort[Va.PageSize];
    readonly NativeArena _memory = new();
    nint[] _blocks = new nint[16];
    int _count;
    Dictionary<int, nint>? _singles;

    public ulong Page => page;
    public ulong Hash => hash;
    public int Users { get; set; }

    /// <summary>Its place among the unused pages, while it is one.</summary>
    public LinkedListNode<CodePage>? Unused { get; set; }

    public bool Has(bool isHost, ReadOnlySpan<byte> bytes) => isHost == host && bytes.SequenceEqual(content);

    public Block* Known(int offset)
    {
        int index = Volatile.Read(ref _index[offset]);
        return index == 0 ? null : (Block*)Volatile.Read(ref _blocks)[index - 1];
    }

    public Block* Decode(BlockBuilder builder, int offset)
    {
        Block* block = host
            ? BlockBuilder.BuildHostCall(_memory, (page << 12) + (ulong)offset)
            : builder.Build(_memory, content, page << 12, offset, Block.MaxInstructions, linksCanSet: true);
        if (block == null) return null;
        if (_count == _blocks.Length)
        {
            // Others may be reading the old array: it stays as it is.
            nint[] larger = new nint[_count * 2];
            _blocks.CopyTo(larger, 0);
            Volatile.Write(ref _blocks, larger);
        }
        _blocks[_count++] = (nint)block;
        Volatile.Write(ref _index[offset], (ushort)_count);
        return block;
    }

    public Block* Single(BlockBuilder builder, int offset)
    {
        if (host) return Known(offset) is var known && known != null ? known : Decode(builder, offset);
        _singles ??= [];
        if (_singles.TryGetValue(offset, out nint block)) return (Block*)block;
        Block* built = builder.Build(_memory, content, page << 12, offset, 1, linksCanSet: false);
        _singles[offset] = (nint)built;
        return built;
    }

    public void Dispose() => _memory.Dispose();
}

static class CodePageList
{
    public static CodePage? Find(this List<CodePage> versions, bool host, ReadOnlySpan<byte> content)
    {
        foreach (CodePage page in versions)
            if (page.Has(host, content)) return page;
        return null;
    }
}
