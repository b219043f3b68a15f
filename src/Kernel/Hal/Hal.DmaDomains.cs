using Ringdown.Machine;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Adapters to whose devices an address means the same. An address is physical here, so it means the same to
/// all: a domain says for whom its common buffers must be within reach.</summary>
sealed class DmaDomain(Va handle)
{
    public Va Handle { get; } = handle;
    public List<DmaAdapter> Members { get; } = [];

    /// <summary>The highest address that all of its devices reach.</summary>
    public ulong Highest => Members.Min(m => m.Reach.Highest);
}

/// <summary>DMA that goes on by itself: domains, completion routines, and memory that others give back.</summary>
sealed partial class Hal
{
    const uint DomainTag = 0x4461_6D44;         // 'DmaD'

    readonly Dictionary<Va, DmaDomain> _domains = [];
    readonly Queue<Action> _later = new();
    KDpc _laterDpc;

    /// <summary>Does something soon, at DISPATCH_LEVEL. From any IRQL, and from chips.</summary>
    void Later(Action action)
    {
        if (_laterDpc.IsNull)
        {
            _laterDpc = KDpc.At(nt.Memory, nt.Mm.Pool.Allocate(KDpc.Size, AdapterTag));
            nt.Ke.KeInitializeDpc(_laterDpc, nt.Routines.Add("HalpDmaDpc", (_, _) =>
            {
                while (_later.TryDequeue(out Action? next)) next();
            }), Va.Null);
        }
        _later.Enqueue(action);
        nt.Ke.Scheduler.Active.Dpcs.Insert(_laterDpc, Va.Null, Va.Null);
    }

    /// <summary>Memory in one piece was given back: who waits for map registers may find some now.</summary>
    public void MemoryIsBack()
    {
        if (_dmaMemory.HasStalled) Later(_dmaMemory.Retry);
    }

    /// <summary>Calls a DMA_COMPLETION_ROUTINE with adapter, device, context and status; null: there is none.</summary>
    Action<DmaCompletion>? Telling(DmaAdapter adapter, Va routine, ulong context)
    {
        if (routine.IsNull) return null;
        Va device = adapter.Queue.Holder?.Request.Device.Address ?? Va.Null;
        return status => Later(() =>
        {
            // Whose adapter is gone may be gone himself.
            if (_adapters.GetValueOrDefault(adapter.Address) == adapter)
                nt.Routines.Call(routine, adapter.Address.Value, device.Value, context, (ulong)status);
        });
    }

    DmaDomain? DomainOf(DmaAdapter adapter)
    {
        if (adapter.Channel is not null || adapter.Domain is not null) return adapter.Domain;
        Va handle = nt.Mm.Pool.Allocate(16, DomainTag);
        if (handle.IsNull) return null;
        var made = new DmaDomain(handle);
        _domains.Add(handle, made);
        Enter(adapter, made);
        return made;
    }

    void Enter(DmaAdapter adapter, DmaDomain domain)
    {
        if (domain.Members is [var first, ..] && (adapter.Grants.Chip, first.Grants.Chip) is ({ } chip, { } other))
            nt.Computer.Iommu.Join(chip, other);
        domain.Members.Add(adapter);
        adapter.Domain = domain;
    }

    void Leave(DmaAdapter adapter)
    {
        DmaDomain domain = adapter.Domain!;
        domain.Members.Remove(adapter);
        adapter.Domain = null;
        if (adapter.Grants.Chip is { } chip && !IsInUse(adapter)) nt.Computer.Iommu.Leave(chip);
        if (domain.Members.Count > 0) return;
        _domains.Remove(domain.Handle);
        nt.Mm.Pool.Free(domain.Handle);
    }

    /// <summary>The device has something by this adapter, or by another one.</summary>
    bool IsInUse(DmaAdapter adapter) => adapter.IsInUse || adapter.Grants.Chip is { } chip
        && _adapters.Values.Any(a => a.Grants.Chip == chip && a.IsInUse);

    // Who is alone is in a domain of its own; a slave of an 8237 is in none.
    void GetDmaDomain(GuestCall call) =>
        call.Return((DomainOf(AdapterAt(call.Argument(0)))?.Handle ?? Va.Null).Value);

    void JoinDmaDomain(GuestCall call)
    {
        DmaAdapter adapter = AdapterAt(call.Argument(0));
        DmaDomain? domain = _domains.GetValueOrDefault(new Va(call.Argument(1)));
        NtStatus status = adapter.Channel is not null ? STATUS_NOT_SUPPORTED
            : domain is null ? STATUS_INVALID_PARAMETER
            : adapter.Domain == domain ? STATUS_SUCCESS
            : IsInUse(adapter) ? STATUS_INVALID_DEVICE_STATE
            // What the domain has already must be within its reach.
            : domain.Members.Any(m => m.Grants.HighestShared > adapter.Reach.Highest) ? STATUS_UNSUCCESSFUL
            : STATUS_SUCCESS;
        if (status == STATUS_SUCCESS && adapter.Domain != domain)
        {
            if (adapter.Domain is not null) Leave(adapter);
            Enter(adapter, domain!);
        }
        call.Return(status.Value);
    }

    void LeaveDmaDomain(GuestCall call)
    {
        DmaAdapter adapter = AdapterAt(call.Argument(0));
        NtStatus status = adapter.Channel is not null ? STATUS_NOT_SUPPORTED
            : adapter.Domain is null || IsInUse(adapter) ? STATUS_INVALID_DEVICE_STATE : STATUS_SUCCESS;
        if (status == STATUS_SUCCESS) Leave(adapter);
        call.Return(status.Value);
    }

    // Adapter, domain, highest address or null, length, flags, cache type, node, address (out), buffer (out).
    void AllocateDomainCommonBuffer(GuestCall call)
    {
        DmaAdapter adapter = AdapterAt(call.Argument(0));
        (Va address, Va result) = (new Va(call.Argument(7)), new Va(call.Argument(8)));
        nt.Memory.Write(result, Va.Null);
        NtStatus status = adapter.Channel is not null ? STATUS_NOT_SUPPORTED
            : adapter.Domain is null || adapter.Domain.Handle != new Va(call.Argument(1))
                || (uint)call.Argument(4) != 0 ? STATUS_INVALID_PARAMETER : STATUS_SUCCESS;
        if (status == STATUS_SUCCESS)
        {
            ulong highest = Math.Min(LimitAt(new Va(call.Argument(2)), ulong.MaxValue), adapter.Domain!.Highest);
            Va made = AddBuffer(adapter, (uint)call.Argument(3), 0, highest, address);
            nt.Memory.Write(result, made);
            if (made.IsNull) status = STATUS_INSUFFICIENT_RESOURCES;
        }
        call.Return(status.Value);
    }
}
