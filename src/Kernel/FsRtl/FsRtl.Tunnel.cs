using System.Runtime.InteropServices;
using Ringdown.Machine;
using static Ringdown.Kernel.Irql;

namespace Ringdown.Kernel;

[Layout("_TUNNEL", Size = 0x58)]
public readonly partial struct Tunnel
{
    [Embedded(0x00)] public partial FastMutex Mutex { get; }
    [Field(0x38)] public partial Va Cache { get; set; }
    [Embedded(0x40)] public partial ListEntry TimerQueue { get; }
    [Field(0x50)] public partial ushort NumEntries { get; set; }
}

/// <summary>Tunnel caches. Cache points to a block that stands for the entries.</summary>
sealed partial class FsRtl
{
    const uint TunnelTag = 0x6E75_5446;      // 'FTun'
    const int MaximumTunnelData = 0x1_0000;

    readonly OpaqueStore<TunnelCache> _tunnels = new(nt, 0x40, TunnelTag);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void FsRtlInitializeTunnelCache(Tunnel cache)
    {
        nt.Ex.KeInitializeGuardedMutex(cache.Mutex);
        cache.TimerQueue.Initialize();
        cache.NumEntries = 0;
        cache.Cache = _tunnels.Add(new TunnelCache(nt));
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void FsRtlAddToTunnelCache(Tunnel cache, ulong directoryKey, UnicodeString shortName, UnicodeString longName,
        bool keyByShortName, uint dataLength, Va data)
    {
        TunnelCache tunnel = _tunnels[cache.Cache];
        // As where there is no memory: nothing is remembered.
        if (dataLength > MaximumTunnelData) return;
        tunnel.Add(directoryKey, shortName.Text, longName.Text, keyByShortName,
            nt.Memory.ReadBytes(data, (int)dataLength));
        cache.NumEntries = (ushort)tunnel.Count;
    }

    /// <summary>A long name that does not fit gets a buffer of paged pool, which the caller frees.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool FsRtlFindInTunnelCache(Tunnel cache, ulong directoryKey, UnicodeString name, UnicodeString shortName,
        UnicodeString longName, Va dataLength, Va data)
    {
        TunnelCache tunnel = _tunnels[cache.Cache];
        TunnelEntry? found = tunnel.Find(directoryKey, name.Text);
        cache.NumEntries = (ushort)tunnel.Count;
        if (found is null || nt.Memory.Read<uint>(dataLength) < found.Data.Length) return false;
        if (!TryGive(longName, found.LongName, mayAllocate: true)) return false;
        if (!TryGive(shortName, found.ShortName, mayAllocate: false)) return false;
        nt.Memory.Write(data, found.Data);
        nt.Memory.Write(dataLength, found.Data.Length);
        return true;
    }

    bool TryGive(UnicodeString to, string text, bool mayAllocate)
    {
        if (text.Length * 2 > to.MaximumLength)
        {
            if (!mayAllocate) return false;
            Va buffer = nt.Mm.Pool.Allocate((ulong)text.Length * 2, PoolKind.Paged, TunnelTag, nt.Caller, zero: false);
            if (buffer.IsNull) return false;
            to.Set(buffer, 0, text.Length * 2);
        }
        nt.Memory.Write(to.Buffer, MemoryMarshal.AsBytes(text.AsSpan()));
        to.Length = (ushort)(text.Length * 2);
        return true;
    }

    /// <summary>A directory goes away: nothing is remembered of it.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void FsRtlDeleteKeyFromTunnelCache(Tunnel cache, ulong directoryKey)
    {
        TunnelCache tunnel = _tunnels[cache.Cache];
        tunnel.RemoveDirectory(directoryKey);
        cache.NumEntries = (ushort)tunnel.Count;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void FsRtlDeleteTunnelCache(Tunnel cache)
    {
        _ = _tunnels[cache.Cache];
        _tunnels.Remove(cache.Cache);
        (cache.Cache, cache.NumEntries) = (Va.Null, 0);
    }
}
