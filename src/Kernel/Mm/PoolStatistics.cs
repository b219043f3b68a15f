using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>What one tag has of one pool, as poolmon shows it.</summary>
public readonly record struct PoolUsage(long Allocations, long Frees, ulong Bytes, ulong PeakBytes)
{
    public long Live => Allocations - Frees;
}

/// <summary>What blocks of one tag use.</summary>
/// <param name="ByDriver">Asked for by drivers; else by the kernel for itself.</param>
public sealed record PoolTagUsage(string Tag, bool ByDriver, PoolUsage NonPaged, PoolUsage Paged);

/// <summary>Counts of one tag, as they change.</summary>
sealed class PoolTag(uint tag, bool byDriver)
{
    PoolUsage _nonPaged, _paged;

    public uint Tag { get; } = tag;
    public bool ByDriver { get; } = byDriver;

    public PoolTagUsage Now => new(Pool.TagText(Tag), ByDriver, _nonPaged, _paged);

    public void Allocated(PoolKind kind, ulong bytes)
    {
        ref PoolUsage usage = ref kind == PoolKind.Paged ? ref _paged : ref _nonPaged;
        ulong now = usage.Bytes + bytes;
        usage = new PoolUsage(usage.Allocations + 1, usage.Frees, now, Math.Max(now, usage.PeakBytes));
    }

    public void Freed(PoolKind kind, ulong bytes)
    {
        ref PoolUsage usage = ref kind == PoolKind.Paged ? ref _paged : ref _nonPaged;
        usage = usage with { Frees = usage.Frees + 1, Bytes = usage.Bytes - bytes };
    }
}

/// <summary>Counts of all tags.</summary>
sealed class PoolStatistics
{
    readonly Dictionary<(uint Tag, bool ByDriver), PoolTag> _tags = [];
    PoolTag? _last;

    public PoolTag Of(uint tag, bool byDriver)
    {
        if (_last is not null && _last.Tag == tag && _last.ByDriver == byDriver) return _last;
        if (!_tags.TryGetValue((tag, byDriver), out PoolTag? found))
            _tags.Add((tag, byDriver), found = new PoolTag(tag, byDriver));
        return _last = found;
    }

    /// <summary>All tags there were, by name.</summary>
    public IReadOnlyList<PoolTagUsage> All =>
        [.. _tags.Values.OrderBy(t => Pool.TagText(t.Tag), StringComparer.Ordinal).ThenBy(t => t.Tag)
            .ThenBy(t => t.ByDriver).Select(t => t.Now)];
}

/// <summary>Pool that processes pay for out of their quota.</summary>
sealed class PoolQuota
{
    readonly Dictionary<(Va Process, bool Paged), ulong> _used = [];

    /// <summary>Bytes of one pool that a process may be charged for.</summary>
    public ulong Limit { get; set; } = Pool.LimitPages << 11;

    public ulong Used(Va process, PoolKind kind) =>
        _used.GetValueOrDefault((process, kind == PoolKind.Paged));

    public bool TryCharge(Va process, PoolKind kind, ulong bytes)
    {
        ulong used = Used(process, kind);
        if (used + bytes > Limit) return false;
        _used[(process, kind == PoolKind.Paged)] = used + bytes;
        return true;
    }

    public void Return(Va process, PoolKind kind, ulong bytes) =>
        _used[(process, kind == PoolKind.Paged)] = Used(process, kind) - bytes;
}
