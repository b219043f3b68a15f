using System.Buffers.Binary;
using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Security of new objects, and changes of it.</summary>
sealed partial class Se
{
    /// <summary>What a new object gets from its maker, its directory and the maker's token, in this order.</summary>
    public SecurityInfo Assign(
        SecurityInfo? parent, SecurityInfo? wanted, bool isDirectory, GenericMapping mapping) =>
        Assign(parent, wanted, isDirectory, mapping, EffectiveToken);

    static SecurityInfo Assign(
        SecurityInfo? parent, SecurityInfo? wanted, bool isDirectory, GenericMapping mapping, Token token)
    {
        Sid owner = wanted?.Owner ?? token.Owner, group = wanted?.Group ?? token.PrimaryGroup;
        int control = SecurityInfo.SE_DACL_PRESENT | (wanted?.Control ?? 0) & 0x3000;
        Acl? dacl, sacl = wanted?.HasSacl == true ? wanted.Sacl : Inherit(parent?.Sacl, owner, group, isDirectory);
        if (wanted?.HasDacl == true) dacl = wanted.Dacl;
        else dacl = Inherit(parent?.Dacl, owner, group, isDirectory) ?? token.DefaultDacl;
        if (sacl is not null) control |= SecurityInfo.SE_SACL_PRESENT;
        return new SecurityInfo((ushort)control, owner, group, sacl, MapAll(dacl, mapping));
    }

    static Acl? MapAll(Acl? acl, GenericMapping mapping) =>
        acl is null ? null
            : acl with { Entries = [.. acl.Entries.Select(e => e.IsEffective ? Mapped(e, mapping) : e)] };

    static Ace Mapped(Ace entry, GenericMapping mapping)
    {
        if ((entry.Mask & 0xF000_0000) == 0) return entry;
        uint mask = mapping.Map(entry.Mask);
        byte[] bytes = [.. entry.Bytes];
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(4), mask);
        return entry with { Mask = mask, Bytes = bytes };
    }

    static Ace WithFlags(Ace entry, int flags)
    {
        byte[] bytes = [.. entry.Bytes];
        bytes[1] = (byte)flags;
        return entry with { Flags = (byte)flags, Bytes = bytes };
    }

    /// <summary>The entries of a directory that go to what is made in it; null if there are none.</summary>
    static Acl? Inherit(Acl? parent, Sid owner, Sid group, bool isDirectory)
    {
        if (parent is null) return null;
        var entries = new List<Ace>();
        foreach (Ace entry in parent.Entries)
        {
            bool toObjects = (entry.Flags & Ace.OBJECT_INHERIT_ACE) != 0;
            bool toDirectories = (entry.Flags & Ace.CONTAINER_INHERIT_ACE) != 0;
            bool goesOn = isDirectory && (entry.Flags & Ace.NO_PROPAGATE_INHERIT_ACE) == 0;
            if (isDirectory ? toDirectories : toObjects)
            {
                Ace effective = ForCreator(WithFlags(entry, 0), owner, group);
                bool isSame = effective.Sid?.Equals(entry.Sid) ?? true;
                int flags = goesOn && isSame ? entry.Flags & 3 : 0;
                entries.Add(flags == 0 ? effective : WithFlags(effective, flags));
                if (goesOn && !isSame) entries.Add(WithFlags(entry, entry.Flags & 3 | Ace.INHERIT_ONLY_ACE));
            }
            else if (goesOn && toObjects) entries.Add(WithFlags(entry, entry.Flags & 3 | Ace.INHERIT_ONLY_ACE));
        }
        return entries.Count == 0 ? null : new Acl(parent.Revision, entries);
    }

    // CREATOR OWNER and CREATOR GROUP stand for who makes the object.
    static Ace ForCreator(Ace entry, Sid owner, Sid group)
    {
        if (entry.Type is not (AceType.Allow or AceType.Deny)) return entry;
        if (Sid.CreatorOwner.Equals(entry.Sid)) return Ace.Make(entry.Type, entry.Flags, entry.Mask, owner);
        return Sid.CreatorGroup.Equals(entry.Sid) ? Ace.Make(entry.Type, entry.Flags, entry.Mask, group) : entry;
    }

    [Export(Support.Partial, "Any owner may be given; no entries are inherited beside an explicit DACL.")]
    [IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus SeAssignSecurity(
        Va parentDescriptor, Va explicitDescriptor, Va newDescriptor, bool isDirectoryObject,
        SubjectContext subjectContext, Va genericMapping, uint poolType)
    {
        SecurityInfo? parent = null, wanted = null;
        if (!parentDescriptor.IsNull && (parent = SecurityInfo.Read(nt.Memory, parentDescriptor)) is null
            || !explicitDescriptor.IsNull && (wanted = SecurityInfo.Read(nt.Memory, explicitDescriptor)) is null)
            return STATUS_INVALID_SECURITY_DESCR;
        SecurityInfo made = Assign(parent, wanted, isDirectoryObject, nt.Memory.Read<GenericMapping>(genericMapping),
            TokenAt(subjectContext.Token));
        return GiveDescriptor(made, newDescriptor, poolType);
    }

    [Export(Support.Partial, "Any owner may be given; auto-inherit flags and object types do nothing.")]
    [IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus SeAssignSecurityEx(
        Va parentDescriptor, Va explicitDescriptor, Va newDescriptor, Va objectType, bool isDirectoryObject,
        uint autoInheritFlags, SubjectContext subjectContext, Va genericMapping, uint poolType) =>
        SeAssignSecurity(parentDescriptor, explicitDescriptor, newDescriptor, isDirectoryObject, subjectContext,
            genericMapping, poolType);

    NtStatus GiveDescriptor(SecurityInfo descriptor, Va place, uint poolType)
    {
        byte[] bytes = descriptor.ToBytes();
        PoolKind kind = (poolType & 1) != 0 ? PoolKind.Paged : PoolKind.NonPaged;
        Va copy = nt.Mm.Pool.Allocate((ulong)bytes.Length, kind, DescriptorTag, nt.Caller, zero: true);
        if (copy.IsNull) return STATUS_INSUFFICIENT_RESOURCES;
        nt.Memory.Write(copy, bytes);
        nt.Memory.Write(place, copy);
        return STATUS_SUCCESS;
    }

    /// <summary>Frees what <c>SeAssignSecurity</c> gave.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus SeDeassignSecurity(Va securityDescriptor)
    {
        Va descriptor = nt.Memory.Read<Va>(securityDescriptor);
        if (!descriptor.IsNull) nt.Mm.Pool.Free(descriptor);
        nt.Memory.Write(securityDescriptor, Va.Null);
        return STATUS_SUCCESS;
    }

    /// <summary>Frees a captured descriptor, unless it is the caller's own.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus SeReleaseSecurityDescriptor(
        Va capturedSecurityDescriptor, byte currentMode, bool captureIfKernelMode)
    {
        bool isCopy = (currentMode & 1) != 0 || captureIfKernelMode;
        if (isCopy && !capturedSecurityDescriptor.IsNull) nt.Mm.Pool.Free(capturedSecurityDescriptor);
        return STATUS_SUCCESS;
    }

    /// <summary>Copies the parts that are asked for, in self-relative form.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus SeQuerySecurityDescriptorInfo(
        Va securityInformation, Va securityDescriptor, Va length, Va objectsSecurityDescriptor)
    {
        Va descriptor = nt.Memory.Read<Va>(objectsSecurityDescriptor);
        SecurityInfo? all = descriptor.IsNull ? SecurityInfo.Empty : SecurityInfo.Read(nt.Memory, descriptor);
        if (all is null) return STATUS_INVALID_SECURITY_DESCR;
        byte[] bytes = all.Only(nt.Memory.Read<uint>(securityInformation)).ToBytes();
        uint room = nt.Memory.Read<uint>(length);
        nt.Memory.Write(length, (uint)bytes.Length);
        if (room < bytes.Length) return STATUS_BUFFER_TOO_SMALL;
        nt.Memory.Write(securityDescriptor, bytes);
        return STATUS_SUCCESS;
    }

    /// <summary>Makes a new descriptor with the named parts replaced; the caller frees the old one.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus SeSetSecurityDescriptorInfo(
        Va @object, Va securityInformation, Va modificationDescriptor, Va objectsSecurityDescriptor, uint poolType,
        Va genericMapping)
    {
        Va descriptor = nt.Memory.Read<Va>(objectsSecurityDescriptor);
        if (descriptor.IsNull) return STATUS_NO_SECURITY_ON_OBJECT;
        if (SecurityInfo.Read(nt.Memory, descriptor) is not { } before
            || SecurityInfo.Read(nt.Memory, modificationDescriptor) is not { } changes)
            return STATUS_INVALID_SECURITY_DESCR;
        SecurityInfo after = before.With(nt.Memory.Read<uint>(securityInformation), changes);
        if (after.Owner is null) return STATUS_INVALID_OWNER;
        var mapping = nt.Memory.Read<GenericMapping>(genericMapping);
        return GiveDescriptor(after with { Dacl = MapAll(after.Dacl, mapping) }, objectsSecurityDescriptor, poolType);
    }

    [Export(Support.Partial, "Auto-inherit flags do nothing."), IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus SeSetSecurityDescriptorInfoEx(
        Va @object, Va securityInformation, Va modificationDescriptor, Va objectsSecurityDescriptor,
        uint autoInheritFlags, uint poolType, Va genericMapping) =>
        SeSetSecurityDescriptorInfo(
            @object, securityInformation, modificationDescriptor, objectsSecurityDescriptor, poolType, genericMapping);

    /// <summary>Whether these bytes are a self-relative descriptor, all of it inside.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public bool SeValidSecurityDescriptor(uint length, Va securityDescriptor)
    {
        // Two identifiers and two lists: no descriptor is longer than this.
        const uint longest = 20 + 2 * 68 + 2 * 0xFFFC;
        return SecurityInfo.Parse(nt.Memory.ReadBytes(securityDescriptor, (int)Math.Min(length, longest))) is not null;
    }

    [Export(Support.Partial, "There is no audit policy: no access is audited."), IrqlRequiresMax(PASSIVE_LEVEL)]
    public bool SeAuditingFileEvents(bool accessGranted, Va securityDescriptor) => false;

    [Export(Support.Partial, "There is no audit policy: no access is audited."), IrqlRequiresMax(PASSIVE_LEVEL)]
    public bool SeAuditingFileOrGlobalEvents(
        bool accessGranted, Va securityDescriptor, SubjectContext subjectSecurityContext) => false;
}
