using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Executive resources: held by one, or shared by many.</summary>
sealed partial class Ex
{
    const uint ResourceTag = 0x7352_7845;     // 'ExRs'

    const uint ResourceInPool = 0xD2;

    ListEntry _resourceList;

    ResourceLock Lock(EResource resource) => new(nt, resource);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public NtStatus ExInitializeResourceLite(EResource resource)
    {
        nt.Memory.Fill(resource.Address, EResource.Size, 0);
        _resourceList.InsertTail(resource.SystemResourcesList);
        nt.Mm.Pool.Mark(resource.Address, ResourceInPool);
        return STATUS_SUCCESS;
    }

    /// <summary>Makes a resource free again, whoever held it.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public NtStatus ExReinitializeResourceLite(EResource resource)
    {
        Lock(resource).Delete();
        nt.Memory.Fill(resource.Address + ListEntry.Size, EResource.Size - ListEntry.Size, 0);
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus ExDeleteResourceLite(EResource resource)
    {
        // One that was never initialized has no links, or ones that nobody answers.
        resource.SystemResourcesList.Remove();
        nt.Mm.Pool.Unmark(resource.Address);
        Lock(resource).Delete();
        nt.Memory.Fill(resource.Address, EResource.Size, 0);
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool ExAcquireResourceExclusiveLite([AcquiresLock] EResource resource, bool wait) =>
        Lock(resource).TryAcquireExclusive(wait);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool ExTryToAcquireResourceExclusiveLite([AcquiresLock] EResource resource) =>
        Lock(resource).TryAcquireExclusive(wait: false);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool ExAcquireResourceSharedLite([AcquiresLock] EResource resource, bool wait) =>
        Lock(resource).TryAcquireShared(wait, ResourceLock.Courtesy.UnlessOwner);

    /// <summary>Shared, ahead of those that wait to have it alone.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool ExAcquireSharedStarveExclusive([AcquiresLock] EResource resource, bool wait) =>
        Lock(resource).TryAcquireShared(wait, ResourceLock.Courtesy.Never);

    /// <summary>Shared, behind those that wait to have it alone, even for a thread that shares it already.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool ExAcquireSharedWaitForExclusive([AcquiresLock] EResource resource, bool wait) =>
        Lock(resource).TryAcquireShared(wait, ResourceLock.Courtesy.Always);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void ExConvertExclusiveToSharedLite(EResource resource) => Lock(resource).ConvertToShared();

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void ExReleaseResourceLite([ReleasesLock] EResource resource) =>
        Lock(resource).Release(nt.Ke.CurrentThread.Address);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void ExReleaseResourceForThreadLite([ReleasesLock] EResource resource, Va resourceThreadId) =>
        Lock(resource).Release(resourceThreadId);

    /// <summary>Returns the thread, as the caller may want to pass it on.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public KThread ExEnterCriticalRegionAndAcquireResourceExclusive([AcquiresLock] EResource resource)
    {
        nt.Ke.KeEnterCriticalRegion();
        Lock(resource).TryAcquireExclusive(wait: true);
        return nt.Ke.CurrentThread;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public KThread ExEnterCriticalRegionAndAcquireResourceShared([AcquiresLock] EResource resource)
    {
        nt.Ke.KeEnterCriticalRegion();
        Lock(resource).TryAcquireShared(wait: true, ResourceLock.Courtesy.UnlessOwner);
        return nt.Ke.CurrentThread;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public KThread ExEnterCriticalRegionAndAcquireSharedWaitForExclusive([AcquiresLock] EResource resource)
    {
        nt.Ke.KeEnterCriticalRegion();
        Lock(resource).TryAcquireShared(wait: true, ResourceLock.Courtesy.Always);
        return nt.Ke.CurrentThread;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void ExReleaseResourceAndLeaveCriticalRegion([ReleasesLock] EResource resource)
    {
        ExReleaseResourceLite(resource);
        nt.Ke.KeLeaveCriticalRegion();
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void ExSetResourceOwnerPointer(EResource resource, Va ownerPointer) => Lock(resource).SetOwner(ownerPointer);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void ExSetResourceOwnerPointerEx(EResource resource, Va ownerPointer, uint flags) =>
        Lock(resource).SetOwner(ownerPointer);

    /// <summary>No owner's priority is ever raised here, so the flag is all there is to it.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void ExDisableResourceBoostLite(EResource resource) => resource.Flag |= EResource.ResourceDisableBoost;

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public uint ExGetExclusiveWaiterCount(EResource resource) => resource.NumberOfExclusiveWaiters;

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public uint ExGetSharedWaiterCount(EResource resource) => resource.NumberOfSharedWaiters;

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public bool ExIsResourceAcquiredExclusiveLite(EResource resource) =>
        resource.IsExclusive && resource.OwnerEntry.OwnerThread == nt.Ke.CurrentThread.Address;

    /// <summary>How often the calling thread holds it, shared or alone.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public uint ExIsResourceAcquiredSharedLite(EResource resource) =>
        Lock(resource).CountOf(nt.Ke.CurrentThread.Address);
}
