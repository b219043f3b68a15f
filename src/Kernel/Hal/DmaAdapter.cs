using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>Map registers that a transfer has: how many, and the buffer behind them if the device cannot reach the
/// memory itself.</summary>
sealed record MapRegisters(Va Base, int Count, Va Bounce, ulong BounceAddress)
{
    public bool Bounces => !Bounce.IsNull;
}

/// <summary>A bus-master device's way to memory: what it can reach, its map registers, and who waits for
/// them.</summary>
/// <remarks>
/// A device that takes scatter/gather lists and reaches all of the machine's memory needs no map registers: it is told
/// the addresses themselves. Another one gets a buffer that it can reach, in one piece, and the data is copied.
/// </remarks>
sealed class DmaAdapter(NtKernel nt, Va address, bool isScatterGather, ulong highest, int registers)
{
    const uint RegisterTag = 0x4D61_6D44;      // 'DmaM'

    readonly Queue<(int Count, bool NeedsChannel, Func<MapRegisters, bool> Start)> _waiting = new();
    readonly Dictionary<Va, MapRegisters> _sets = [];
    bool _isBusy;
    int _free = registers;

    public Va Address { get; } = address;

    /// <summary>The highest physical address that the device can put out.</summary>
    public ulong Highest { get; } = highest;

    /// <summary>How many map registers it may have at once.</summary>
    public int Registers { get; } = registers;

    /// <summary>All of memory is within its reach, piece by piece.</summary>
    public bool ReachesAll => isScatterGather && Highest >= ((ulong)PhysicalMemory.EndFrame << 12) - 1;

    public MapRegisters? Find(Va registerBase) => _sets.GetValueOrDefault(registerBase);

    /// <summary>Gives map registers, and the channel if it is asked for: now, or when others have given theirs
    /// back.</summary>
    /// <param name="start">Called with them; says whether the channel is kept.</param>
    public void Request(int count, bool needsChannel, Func<MapRegisters, bool> start)
    {
        _waiting.Enqueue((count, needsChannel, start));
        Serve();
    }

    /// <summary>IoFreeAdapterChannel.</summary>
    public void FreeChannel()
    {
        _isBusy = false;
        Serve();
    }

    public void Free(MapRegisters set)
    {
        if (!_sets.Remove(set.Base)) return;
        nt.Mm.Pool.Free(set.Base);
        if (set.Bounces) nt.Mm.MmFreeContiguousMemory(set.Bounce);
        _free += set.Count;
        Serve();
    }

    // In the order in which they came: who needs little does not overtake who needs much.
    void Serve()
    {
        while (_waiting.TryPeek(out var next) && !(next.NeedsChannel && _isBusy) && next.Count <= _free)
        {
            nt.Ke.Clock.Spend();
            if (Take(next.Count) is not { } set) return;
            _waiting.Dequeue();
            if (next.NeedsChannel) _isBusy = true;
            if (!next.Start(set) && next.NeedsChannel) _isBusy = false;
        }
    }

    MapRegisters? Take(int count)
    {
        Va bounce = Va.Null;
        ulong physical = 0;
        if (!ReachesAll && count > 0)
        {
            bounce = nt.Mm.MmAllocateContiguousMemory((ulong)count << 12, Highest);
            if (bounce.IsNull) return null;
            physical = nt.Mm.MmGetPhysicalAddress(bounce);
        }
        var set = new MapRegisters(nt.Mm.Pool.Allocate(16, RegisterTag), count, bounce, physical);
        _sets.Add(set.Base, set);
        _free -= count;
        return set;
    }

    /// <summary>Where an MDL's memory is, from an address of it on: the longest piece that is one piece for the device
    /// too.</summary>
    public static (ulong Address, uint Length) PieceAt(Mdl mdl, Va current, uint length)
    {
        ulong at = mdl.ByteOffset + (current - mdl.VirtualAddress);
        int page = (int)(at >> 12);
        ulong offset = at & 0xFFF, bytes = Va.PageSize - offset, first = mdl.Frame(page);
        for (ulong pfn = first; bytes < length && mdl.Frame(++page) == ++pfn;) bytes += Va.PageSize;
        return (first << 12 | offset, (uint)Math.Min(bytes, length));
    }

    /// <summary>Copies between an MDL's memory and the buffer behind map registers, which begins at the page of the
    /// transfer's start.</summary>
    public void Copy(MapRegisters set, Mdl mdl, Va current, uint length, bool toDevice)
    {
        ulong offset = (mdl.ByteOffset + (current - mdl.VirtualAddress)) & 0xFFF;
        Span<byte> page = stackalloc byte[Va.PageSize];
        for (uint done = 0; done < length;)
        {
            nt.Ke.Clock.Spend();
            (ulong physical, uint piece) = PieceAt(mdl, current + done, length - done);
            Span<byte> bytes = page[..(int)Math.Min(piece, (uint)Va.PageSize)];
            Va bounce = set.Bounce + offset + done;
            if (toDevice)
            {
                nt.Memory.TryReadPhysical(physical, bytes);
                nt.Memory.Write(bounce, bytes);
            }
            else
            {
                nt.Memory.Read(bounce, bytes);
                nt.Memory.TryWritePhysical(physical, bytes);
            }
            done += (uint)bytes.Length;
        }
    }
}
