using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>Map registers that a transfer has: how many, and the buffer behind them if the device cannot reach the
/// memory itself.</summary>
sealed record MapRegisters(Va Base, int Count, Va Bounce, ulong BounceAddress)
{
    public bool Bounces => !Bounce.IsNull;
}

/// <summary>What a DEVICE_DESCRIPTION says of how a device does DMA.</summary>
/// <param name="Highest">The highest physical address that it can put out.</param>
/// <param name="Registers">How many map registers it may have at once.</param>
sealed record DmaReach(
    uint Version, bool ScattersGathers, ulong Highest, int AddressBits, int Registers, bool OnDemand = false,
    bool AutoInitializes = false, bool IgnoresCount = false);

/// <summary>A device's way to memory: what it can reach, its map registers, and the channel of the system's controller
/// if it is no bus master.</summary>
/// <remarks>
/// A device that takes scatter/gather lists and reaches all of the machine's memory needs no map registers: it is told
/// the addresses themselves. Another one gets a buffer that it can reach, in one piece, and the data is copied.
/// </remarks>
sealed class DmaAdapter(NtKernel nt, Va address, DmaReach reach, DmaMemory memory, SystemDmaChannel? channel)
{
    const uint RegisterTag = 0x4D61_6D44;      // 'DmaM'

    readonly Dictionary<Va, MapRegisters> _sets = [];

    public Va Address { get; } = address;
    public DmaReach Reach { get; } = reach;
    public DmaQueue Queue { get; } = channel?.Queue ?? new DmaQueue(nt, memory);

    public required DmaGrants Grants { get; init; }

    /// <summary>Null for a bus master.</summary>
    public SystemDmaChannel? Channel { get; } = channel;

    /// <summary>How many map registers are not given out.</summary>
    public int Free { get; private set; } = reach.Registers;

    /// <summary>All of memory is within its reach, piece by piece.</summary>
    public bool ReachesAll => Channel is null && Reach.ScattersGathers
        && Reach.Highest >= ((ulong)PhysicalMemory.EndFrame << 12) - 1;

    /// <summary>Where the driver called that got it; null: the system's own.</summary>
    public Va Owner { get; init; }

    /// <summary>Common buffers, by their address.</summary>
    public Dictionary<Va, CommonBuffer> Buffers { get; } = [];

    /// <summary>The domain that it is in; null: nobody has asked for it.</summary>
    public DmaDomain? Domain { get; set; }

    /// <summary>Something is mapped for its device, or shared with it.</summary>
    public bool IsInUse => _sets.Count > 0 || Grants.AreUsed;

    /// <summary>It has the channel now.</summary>
    public bool HasChannel => Queue.Holder is { } holder && ReferenceEquals(holder.Request.Adapter, this);

    public MapRegisters? Find(Va registerBase) => _sets.GetValueOrDefault(registerBase);

    /// <summary>Takes map registers; null if there is no memory for them within reach.</summary>
    public MapRegisters? Take(int count)
    {
        Va bounce = Va.Null;
        ulong physical = 0;
        bool bounces = !ReachesAll && count > 0;
        if (bounces)
        {
            bounce = nt.Mm.MmAllocateContiguousMemorySpecifyCache(
                (ulong)count << 12, 0, Reach.Highest, Channel?.Boundary ?? 0, CacheTypes.MmCached);
            if (bounce.IsNull) return null;
            physical = nt.Mm.MmGetPhysicalAddress(bounce);
        }
        Va registerBase = nt.Mm.Pool.Allocate(16, RegisterTag);
        if (registerBase.IsNull)
        {
            if (bounces) nt.Mm.FreeContiguous(bounce);
            return null;
        }
        var set = new MapRegisters(registerBase, count, bounce, physical);
        _sets.Add(set.Base, set);
        Free -= count;
        if (bounces) memory.Taken();
        return set;
    }

    /// <summary>Gives map registers back; those that are back already are left.</summary>
    public void Give(MapRegisters set)
    {
        if (!_sets.Remove(set.Base)) return;
        Grants.Give(set.Base);
        nt.Mm.Pool.Free(set.Base);
        Free += set.Count;
        if (set.Bounces)
        {
            nt.Mm.FreeContiguous(set.Bounce);
            memory.GivenBack();
        }
        Queue.Serve();
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

    // A channel that moves words begins at a word.
    ulong OffsetOf(Mdl mdl, Va current) =>
        (mdl.ByteOffset + (current - mdl.VirtualAddress)) & 0xFFF & ~((Channel?.Width ?? 1UL) - 1);

    /// <summary>The address for the device, and how much of a transfer it can do from there. The system's controller
    /// is set up and waits for the device.</summary>
    /// <param name="told">Told when a slave's channel has done all; null: nobody.</param>
    /// <returns>A length of 0 if the channel cannot do it: it is not the adapter's, or it would be less than a
    /// word.</returns>
    public (ulong Address, uint Length) Map(MapRegisters? set, Mdl mdl, Va current, uint wanted, bool toDevice,
        Action<DmaCompletion>? told = null)
    {
        if (set is not { Bounces: true })
            return Channel is null ? Granted(set, mdl, current, PieceAt(mdl, current, wanted)) : default;
        ulong offset = OffsetOf(mdl, current);
        uint width = Channel?.Width ?? 1, given = (uint)Math.Min(wanted, ((ulong)set.Count << 12) - offset);
        given -= given % width;
        if (Channel is not null && (given == 0 || !HasChannel)) return default;
        if (toDevice) Copy(set, mdl, current, given, toDevice: true);
        if (Channel is not null) Channel.Told = told;
        Channel?.Program(set.BounceAddress + offset, given, toDevice, Reach.OnDemand, Reach.AutoInitializes);
        return Granted(set, mdl, current, (set.BounceAddress + offset, given));
    }

    (ulong Address, uint Length) Granted(MapRegisters? set, Mdl mdl, Va current, (ulong Address, uint Length) piece)
    {
        Grants.Map(set?.Base ?? Va.Null, mdl.Address, current, piece.Address, piece.Length);
        return piece;
    }

    /// <summary>The transfer is over: the channel stops, and what the device has written goes where it was
    /// wanted.</summary>
    public void Flush(MapRegisters? set, Mdl mdl, Va current, uint length, bool toDevice)
    {
        Grants.Flush(set?.Base ?? Va.Null, mdl.Address, current, length);
        if (Channel is not null && HasChannel)
        {
            Channel.Mask();
            // What did not come must not overwrite what is there.
            if (!Reach.IgnoresCount && !Reach.AutoInitializes) length -= Math.Min(length, Channel.BytesLeft());
        }
        if (set is not { Bounces: true } || toDevice) return;
        Copy(set, mdl, current, (uint)Math.Min(length, ((ulong)set.Count << 12) - OffsetOf(mdl, current)), false);
    }

    /// <summary>Copies between an MDL's memory and the buffer behind map registers, which begins at the page of the
    /// transfer's start.</summary>
    public void Copy(MapRegisters set, Mdl mdl, Va current, uint length, bool toDevice)
    {
        ulong offset = OffsetOf(mdl, current);
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
