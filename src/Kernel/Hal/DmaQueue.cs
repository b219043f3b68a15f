using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>Somebody wants map registers, and perhaps the channel.</summary>
/// <param name="Context">His transfer context, by which he may cancel; null: he cannot.</param>
/// <param name="Start">Called with the registers; says whether the channel is kept.</param>
/// <param name="Dropped">Called if it comes to nothing.</param>
sealed record DmaRequest(
    DmaAdapter Adapter, int Count, bool NeedsChannel, Va Context, Func<MapRegisters, bool> Start, Action? Dropped)
{
    public bool IsStarted { get; set; }

    /// <summary>Whose request it is.</summary>
    public DeviceObject Device { get; init; }
}

/// <summary>The memory behind map registers, of all adapters: what is given back to one may be what another waits
/// for.</summary>
sealed class DmaMemory
{
    readonly List<DmaQueue> _stalled = [];

    /// <summary>How many sets of map registers have memory now.</summary>
    public int Outstanding { get; private set; }

    public void Taken() => Outstanding++;

    public void GivenBack()
    {
        Outstanding--;
        Retry();
    }

    /// <summary>There may be memory again.</summary>
    public void Retry()
    {
        DmaQueue[] stalled = [.. _stalled];
        _stalled.Clear();
        foreach (DmaQueue queue in stalled) queue.Serve();
    }

    /// <summary>Somebody waits for memory.</summary>
    public bool HasStalled => _stalled.Count > 0;

    public void Stall(DmaQueue queue)
    {
        if (!_stalled.Contains(queue)) _stalled.Add(queue);
    }
}

/// <summary>Who waits for a channel and for map registers: of one bus master, or of all that share a channel of the
/// system's controller.</summary>
sealed class DmaQueue(NtKernel nt, DmaMemory memory)
{
    readonly List<DmaRequest> _waiting = [];

    /// <summary>Who has the channel, and the registers with which it was given.</summary>
    public (DmaRequest Request, MapRegisters Set)? Holder { get; private set; }

    /// <summary>Gives what is wanted: now, or when others have given theirs back.</summary>
    /// <param name="mayWait">False: now or not at all.</param>
    /// <returns>False if it comes to nothing: it would have to wait and may not, or there is nobody to wait
    /// for.</returns>
    public bool Request(DmaRequest request, bool mayWait)
    {
        if (!mayWait && (_waiting.Count > 0 || !IsFree(request))) return false;
        _waiting.Add(request);
        Serve();
        if (request.IsStarted) return true;
        bool isNext = _waiting.Count > 0 && ReferenceEquals(_waiting[0], request);
        if (mayWait && !(isNext && IsFree(request) && memory.Outstanding == 0)) return true;
        _waiting.RemoveAll(r => ReferenceEquals(r, request));
        return false;
    }

    bool IsFree(DmaRequest request) =>
        !(request.NeedsChannel && Holder is not null) && request.Count <= request.Adapter.Free;

    /// <summary>IoFreeAdapterChannel: the channel, and registers that were kept with it.</summary>
    public void FreeChannel(bool keepsRegisters = false)
    {
        if (Holder is not { } holder) return;
        Holder = null;
        if (!keepsRegisters) holder.Request.Adapter.Give(holder.Set);
        Serve();
    }

    /// <summary>Takes back the requests of a transfer context.</summary>
    public bool Cancel(DmaAdapter adapter, Va context) =>
        !context.IsNull && Drop(r => ReferenceEquals(r.Adapter, adapter) && r.Context == context);

    /// <summary>The adapter is gone: so is what it waits for.</summary>
    public void Drop(DmaAdapter adapter) => Drop(r => ReferenceEquals(r.Adapter, adapter));

    bool Drop(Predicate<DmaRequest> which)
    {
        List<DmaRequest> dropped = _waiting.FindAll(which);
        _waiting.RemoveAll(which);
        foreach (DmaRequest request in dropped) request.Dropped?.Invoke();
        if (dropped.Count > 0) Serve();
        return dropped.Count > 0;
    }

    // Where the routines of drivers are called, whoever has given back what they wait for.
    bool AtDispatch(Func<bool> action)
    {
        Irql old = nt.Ke.Irql;
        if (old >= Irql.DISPATCH_LEVEL) return action();
        nt.Ke.KeRaiseIrqlToDpcLevel();
        bool result = action();
        nt.Ke.KeLowerIrql(old);
        return result;
    }

    /// <summary>How many requests of an adapter wait.</summary>
    public int Waiting(DmaAdapter adapter) => _waiting.Count(r => ReferenceEquals(r.Adapter, adapter));

    /// <summary>In the order in which they came: who needs little does not overtake who needs much.</summary>
    public void Serve()
    {
        while (_waiting.Count > 0 && IsFree(_waiting[0]))
        {
            nt.Ke.Clock.Spend();
            DmaRequest next = _waiting[0];
            if (next.Adapter.Take(next.Count) is not { } set)
            {
                memory.Stall(this);
                return;
            }
            _waiting.RemoveAt(0);
            next.IsStarted = true;
            if (next.NeedsChannel) Holder = (next, set);
            // Its routine may have freed the channel, and another may have it by now.
            bool keeps = AtDispatch(() => next.Start(set));
            if (!keeps && Holder is { } holder && ReferenceEquals(holder.Request, next)) Holder = null;
        }
    }
}
