using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Security descriptors of objects: kept self-relative in pool, where the header points.</summary>
sealed partial class Ob
{
    const uint SecurityTag = 0x6353_624F;       // 'ObSc'

    /// <summary>An object's security; null where it has none, and everybody may do anything.</summary>
    public SecurityInfo? SecurityOf(NtObject target)
    {
        Va at = target.Header.SecurityDescriptor;
        return at.IsNull ? null : SecurityInfo.Read(_nt.Memory, at);
    }

    public void SetSecurity(NtObject target, SecurityInfo security)
    {
        byte[] bytes = security.ToBytes();
        Va copy = _nt.Mm.Pool.Allocate(bytes.Length, SecurityTag);
        _nt.Memory.Write(copy, bytes);
        ObjectHeader header = target.Header;
        if (!header.SecurityDescriptor.IsNull) FreeSecurity(target);
        header.SecurityDescriptor = copy;
    }

    // The pointer lies in memory that a driver can write: what is not a block of pool is left alone.
    void FreeSecurity(NtObject target)
    {
        ObjectHeader header = target.Header;
        if (_nt.Mm.Pool.TryFind(header.SecurityDescriptor, out _)) _nt.Mm.Pool.Free(header.SecurityDescriptor);
        header.SecurityDescriptor = Va.Null;
    }

    /// <summary>Whether the calling thread may have these rights to an object, and what they are without generic
    /// ones.</summary>
    public NtStatus CheckAccess(NtObject target, uint desired, bool isChecked, out uint granted)
    {
        GenericMapping mapping = target.Type.Mapping;
        granted = mapping.Map(desired);
        if (!isChecked)
        {
            if ((granted & MAXIMUM_ALLOWED) != 0) granted = granted & ~MAXIMUM_ALLOWED | mapping.All;
            return STATUS_SUCCESS;
        }
        SecurityInfo? security = SecurityOf(SecuredBy(target));
        // A thread without a descriptor of its own is as open as its process.
        if (security is null && target.Type == ThreadType
            && _nt.Ps.ProcessOf(KThread.At(_nt.Memory, target.Body)) is { } process)
            security = Se.ForProcess(process.Token, mapping);
        return _nt.Se.CheckObject(security, granted, mapping, out granted);
    }

    /// <summary>A pointer to the object's security descriptor, which stays valid until it is released.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ObGetObjectSecurity(Va @object, Va securityDescriptor, Va memoryAllocated)
    {
        NtObject target = At(@object);
        Va copy = Va.Null;
        if (SecurityOf(target) is { } security)
        {
            byte[] bytes = security.ToBytes();
            copy = _nt.Mm.Pool.Allocate((ulong)bytes.Length, PoolKind.Paged, SecurityTag, _nt.Caller, zero: true);
            if (copy.IsNull) return STATUS_INSUFFICIENT_RESOURCES;
            _nt.Memory.Write(copy, bytes);
        }
        _nt.Memory.Write(securityDescriptor, copy);
        _nt.Memory.Write(memoryAllocated, (byte)1);
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void ObReleaseObjectSecurity(Va securityDescriptor, bool memoryAllocated)
    {
        if (!securityDescriptor.IsNull && memoryAllocated) _nt.Mm.Pool.Free(securityDescriptor);
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ObSetSecurityObjectByPointer(Va @object, uint securityInformation, Va securityDescriptor) =>
        ChangeSecurity(At(@object), securityInformation, securityDescriptor);

    /// <summary>Replaces the parts that are named. A device's are those of all who open it.</summary>
    public NtStatus ChangeSecurity(NtObject target, uint parts, Va descriptor)
    {
        if (SecurityInfo.Read(_nt.Memory, descriptor) is not { } changes) return STATUS_INVALID_SECURITY_DESCR;
        target = SecuredBy(target);
        SecurityInfo before = SecurityOf(target) ?? _nt.Se.Assign(null, null, false, target.Type.Mapping);
        SecurityInfo after = before.With(parts, changes);
        if (after.Owner is null) return STATUS_INVALID_OWNER;
        SetSecurity(target, after);
        return STATUS_SUCCESS;
    }

    /// <summary>Where the security of an object is kept: a file opened as a whole device has the device's.</summary>
    public NtObject SecuredBy(NtObject target)
    {
        if (target.Type != FileType) return target;
        FileObject file = FileObject.At(_nt.Memory, target.Body);
        return file.FileName.Length == 0 && Find(file.DeviceObject.Address) is { } device ? device : target;
    }
}
