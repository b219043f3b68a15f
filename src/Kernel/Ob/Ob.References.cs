using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>References: the last one deletes the object, at PASSIVE_LEVEL.</summary>
sealed partial class Ob
{
    readonly Queue<NtObject> _unreferenced = new();
    WorkQueueItem _removeObjects;
    bool _removalIsQueued;

    public void Reference(NtObject target)
    {
        ObjectHeader header = target.Header;
        // Whoever takes a reference now has none, or the object would not be going away.
        if (target.IsDeleting)
            throw new BugCheck(BugCheckCode.REFERENCE_BY_POINTER, target.Type.Address.Value, target.Body.Value, 1,
                (ulong)header.PointerCount);
        header.PointerCount++;
    }

    /// <summary>Drops a reference; the last one deletes the object, in a system thread where the type's work must be
    /// done at a lower IRQL.</summary>
    public void Dereference(NtObject target) => Dereference(target, isDeferred: false);

    void Dereference(NtObject target, bool isDeferred)
    {
        ObjectHeader header = target.Header;
        long count = header.PointerCount - 1;
        header.PointerCount = count;
        if (count < 0 || target.IsDeleting)
            throw new BugCheck(BugCheckCode.REFERENCE_BY_POINTER, 0, target.Body.Value, 2, (ulong)count);
        if (count > 0) return;
        target.IsDeleting = true;
        if (isDeferred || target.Type.OnDelete is not null && _nt.Ke.Irql > PASSIVE_LEVEL) Defer(target);
        else Delete(target);
    }

    void Defer(NtObject target)
    {
        _unreferenced.Enqueue(target);
        if (_removalIsQueued) return;
        _removalIsQueued = true;
        if (_removeObjects.IsNull)
        {
            _removeObjects = WorkQueueItem.At(_nt.Memory, _nt.Mm.Pool.Allocate(WorkQueueItem.Size, ObjectTag));
            _removeObjects.WorkerRoutine = _nt.Routines.Add("ObpRemoveObjectRoutine", (_, _) => DeleteDeferred());
        }
        _nt.Ex.ExQueueWorkItem(_removeObjects, 1);
    }

    void DeleteDeferred()
    {
        _removalIsQueued = false;
        while (_unreferenced.TryDequeue(out NtObject? target)) Delete(target);
    }

    void Delete(NtObject target)
    {
        if (target.Parent is not null) Remove(target);
        target.Type.OnDelete?.Invoke(target);
        if (!target.Header.SecurityDescriptor.IsNull) FreeSecurity(target);
        _objects.Remove(target.Body);
        target.Type.Objects.Remove(target.Body);
        target.Type.Count(0);
        _nt.Mm.Pool.Free(target.Header.Address);
    }

    long ReferenceAt(Va body)
    {
        NtObject target = At(body);
        Reference(target);
        return target.Header.PointerCount;
    }

    long DereferenceAt(Va body)
    {
        NtObject target = At(body);
        long left = target.Header.PointerCount - 1;
        Dereference(target);
        return left;
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public long ObfReferenceObject(Va @object) => ReferenceAt(@object);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public long ObfReferenceObjectWithTag(Va @object, uint tag) => ReferenceAt(@object);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public long ObfDereferenceObject(Va @object) => DereferenceAt(@object);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public long ObDereferenceObject(Va @object) => DereferenceAt(@object);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public long ObfDereferenceObjectWithTag(Va @object, uint tag) => DereferenceAt(@object);

    /// <summary>Even the last reference only queues the deletion: for who holds a lock that the deletion
    /// takes.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void ObDereferenceObjectDeferDelete(Va @object) => Dereference(At(@object), isDeferred: true);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void ObDereferenceObjectDeferDeleteWithTag(Va @object, uint tag) =>
        Dereference(At(@object), isDeferred: true);

    /// <summary>Takes a reference unless the object is being deleted.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public bool ObReferenceObjectSafe(Va @object) => ReferenceSafe(@object);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public bool ObReferenceObjectSafeWithTag(Va @object, uint tag) => ReferenceSafe(@object);

    bool ReferenceSafe(Va @object)
    {
        NtObject target = At(@object);
        if (target.IsDeleting) return false;
        Reference(target);
        return true;
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public NtStatus ObReferenceObjectByPointer(Va @object, uint desiredAccess, Va objectType, byte accessMode)
    {
        NtObject target = At(@object);
        if (!IsOfType(target, objectType, (ProcessorMode)(accessMode & 1))) return STATUS_OBJECT_TYPE_MISMATCH;
        Reference(target);
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public NtStatus ObReferenceObjectByPointerWithTag(
        Va @object, uint desiredAccess, Va objectType, byte accessMode, uint tag) =>
        ObReferenceObjectByPointer(@object, desiredAccess, objectType, accessMode);

    // Kernel mode may leave the type open; symbolic links have no exported type, so they pass too.
    bool IsOfType(NtObject target, Va type, ProcessorMode mode) =>
        type == target.Type.Address || type.IsNull && (mode == ProcessorMode.KernelMode || target.Type == LinkType);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ObReferenceObjectByHandle(
        Handle handle, uint desiredAccess, Va objectType, byte accessMode, Va @object, Va handleInformation)
    {
        _nt.Memory.Write(@object, Va.Null);
        NtStatus status = Resolve(handle, desiredAccess, null, (ProcessorMode)(accessMode & 1), out var entry);
        if (entry is not null && !objectType.IsNull && objectType != entry.Object.Type.Address)
            return STATUS_OBJECT_TYPE_MISMATCH;
        if (!status.IsSuccess) return status;
        if (!handleInformation.IsNull)
            _nt.Memory.Write(handleInformation, entry!.Attributes | (ulong)entry.GrantedAccess << 32);
        Reference(entry!.Object);
        _nt.Memory.Write(@object, entry.Object.Body);
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ObReferenceObjectByHandleWithTag(
        Handle handle, uint desiredAccess, Va objectType, byte accessMode, uint tag, Va @object,
        Va handleInformation) =>
        ObReferenceObjectByHandle(handle, desiredAccess, objectType, accessMode, @object, handleInformation);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public Va ObGetObjectType(Va @object) => At(@object).Type.Address;
}
