using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

[Layout("_FAST_MUTEX", Size = 0x38)]
public readonly partial struct FastMutex
{
    [Field(0x00)] public partial int Count { get; set; }
    [Field(0x08)] public partial Va Owner { get; set; }
    [Field(0x10)] public partial uint Contention { get; set; }
    [Embedded(0x18)] public partial KEvent Event { get; }
    [Field(0x30)] public partial uint OldIrql { get; set; }
}

[Layout("_ERESOURCE", Size = 0x68)]
public readonly partial struct EResource
{
    [Embedded(0x00)] public partial ListEntry SystemResourcesList { get; }
    [Field(0x18)] public partial short ActiveCount { get; set; }
    [Field(0x1A)] public partial ushort Flag { get; set; }
    [Field(0x30, Name = "OwnerEntry.OwnerThread")] public partial Va OwnerThread { get; set; }
}

/// <summary>Fast mutexes and executive resources.</summary>
sealed partial class Ex
{
    const ushort ResourceOwnedExclusive = 0x80;

    readonly Dictionary<Va, ResourceState> _resources = [];

    /// <summary>Who holds a resource; how often each.</summary>
    sealed class ResourceState
    {
        public Va Exclusive;
        public int ExclusiveCount;
        public readonly SortedDictionary<Va, int> Shared = [];
        public KEvent Released;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void ExAcquireFastMutex([AcquiresLock] FastMutex fastMutex)
    {
        Irql old = nt.Ke.Raise(APC_LEVEL);
        ExAcquireFastMutexUnsafe(fastMutex);
        fastMutex.OldIrql = (uint)old;
    }

    [Export, IrqlRequiresMin(APC_LEVEL), IrqlRequiresMax(APC_LEVEL)]
    public void ExReleaseFastMutex([ReleasesLock] FastMutex fastMutex)
    {
        var old = (Irql)(byte)fastMutex.OldIrql;
        ExReleaseFastMutexUnsafe(fastMutex);
        nt.Ke.Lower(old);
    }

    [Export, IrqlRequiresMin(APC_LEVEL), IrqlRequiresMax(APC_LEVEL)]
    public void ExAcquireFastMutexUnsafe([AcquiresLock] FastMutex fastMutex)
    {
        int count = fastMutex.Count;
        fastMutex.Count = count - 1;
        if (count != 1)
        {
            fastMutex.Contention++;
            nt.Ke.WaitFor([fastMutex.Event.Header], all: false, deadline: null);
        }
        fastMutex.Owner = nt.Ke.CurrentThread.Address;
    }

    [Export, IrqlRequiresMin(APC_LEVEL), IrqlRequiresMax(APC_LEVEL)]
    public void ExReleaseFastMutexUnsafe([ReleasesLock] FastMutex fastMutex)
    {
        if (fastMutex.Owner != nt.Ke.CurrentThread.Address)
            throw new BugCheck(BugCheckCode.THREAD_NOT_MUTEX_OWNER, nt.Ke.CurrentThread.Address.Value,
                fastMutex.Address.Value);
        fastMutex.Owner = Va.Null;
        if (++fastMutex.Count <= 0) nt.Ke.KeSetEvent(fastMutex.Event, 0, false);
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool ExTryToAcquireFastMutex([AcquiresLock] FastMutex fastMutex)
    {
        if (fastMutex.Count != 1) return false;
        ExAcquireFastMutex(fastMutex);
        return true;
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public NtStatus ExInitializeResourceLite(EResource resource)
    {
        nt.Memory.Fill(resource.Address, EResource.Size, 0);
        resource.SystemResourcesList.Initialize();
        KEvent released = KEvent.At(nt.Memory, nt.Mm.Pool.Allocate(KEvent.Size, 0x6165_5265));
        released.Header.Initialize(DispatcherType.SynchronizationEvent, KEvent.Size, 0);
        _resources[resource.Address] = new ResourceState { Released = released };
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus ExDeleteResourceLite(EResource resource)
    {
        ResourceState state = StateOf(resource);
        _resources.Remove(resource.Address);
        nt.Mm.Pool.Free(state.Released.Address);
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool ExAcquireResourceExclusiveLite([AcquiresLock] EResource resource, bool wait)
    {
        ResourceState state = StateOf(resource);
        Va thread = nt.Ke.CurrentThread.Address;
        while (state.ExclusiveCount > 0 && state.Exclusive != thread || state.ExclusiveCount == 0
            && state.Shared.Count > 0)
        {
            if (!wait) return false;
            nt.Ke.WaitFor([state.Released.Header], all: false, deadline: null);
        }
        (state.Exclusive, state.ExclusiveCount) = (thread, state.ExclusiveCount + 1);
        Publish(resource, state);
        return true;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool ExAcquireResourceSharedLite([AcquiresLock] EResource resource, bool wait)
    {
        ResourceState state = StateOf(resource);
        Va thread = nt.Ke.CurrentThread.Address;
        if (state.ExclusiveCount > 0 && state.Exclusive == thread)
            return ExAcquireResourceExclusiveLite(resource, wait);
        while (state.ExclusiveCount > 0)
        {
            if (!wait) return false;
            nt.Ke.WaitFor([state.Released.Header], all: false, deadline: null);
        }
        state.Shared[thread] = state.Shared.GetValueOrDefault(thread) + 1;
        Publish(resource, state);
        return true;
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void ExReleaseResourceLite([ReleasesLock] EResource resource) =>
        ExReleaseResourceForThreadLite(resource, nt.Ke.CurrentThread.Address);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void ExReleaseResourceForThreadLite([ReleasesLock] EResource resource, Va resourceThreadId)
    {
        ResourceState state = StateOf(resource);
        if (state.ExclusiveCount > 0 && state.Exclusive == resourceThreadId) state.ExclusiveCount--;
        else if (state.Shared.TryGetValue(resourceThreadId, out int count))
        {
            if (count == 1) state.Shared.Remove(resourceThreadId);
            else state.Shared[resourceThreadId] = count - 1;
        }
        else throw new BugCheck(BugCheckCode.RESOURCE_NOT_OWNED, resource.Address.Value, resourceThreadId.Value);
        Publish(resource, state);
        nt.Ke.KeSetEvent(state.Released, 0, false);
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public bool ExIsResourceAcquiredExclusiveLite(EResource resource) =>
        StateOf(resource) is { ExclusiveCount: > 0 } state && state.Exclusive == nt.Ke.CurrentThread.Address;

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public uint ExIsResourceAcquiredSharedLite(EResource resource)
    {
        ResourceState state = StateOf(resource);
        Va thread = nt.Ke.CurrentThread.Address;
        return state.ExclusiveCount > 0 && state.Exclusive == thread ? (uint)state.ExclusiveCount
            : (uint)state.Shared.GetValueOrDefault(thread);
    }

    ResourceState StateOf(EResource resource) => _resources.GetValueOrDefault(resource.Address)
        ?? throw new BugCheck(BugCheckCode.RESOURCE_NOT_OWNED, resource.Address.Value);

    static void Publish(EResource resource, ResourceState state)
    {
        resource.ActiveCount = (short)(state.ExclusiveCount > 0 ? 1 : state.Shared.Count);
        resource.Flag = state.ExclusiveCount > 0 ? ResourceOwnedExclusive : (ushort)0;
        resource.OwnerThread = state.ExclusiveCount > 0 ? state.Exclusive : Va.Null;
    }
}
