using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Security descriptors: their parts set, checked, and taken from one form to the other.</summary>
sealed partial class Rtl
{
    const int OwnerPart = 0, GroupPart = 1, SaclPart = 2, DaclPart = 3, RelativeHeaderBytes = 20;
    const ushort SE_OWNER_DEFAULTED = 1, SE_GROUP_DEFAULTED = 2, SE_SACL_DEFAULTED = 0x20;
    const uint OWNER_SECURITY_INFORMATION = 1, GROUP_SECURITY_INFORMATION = 2, DACL_SECURITY_INFORMATION = 4;
    const uint SACL_SECURITY_INFORMATION = 8;

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus RtlSetOwnerSecurityDescriptor(SecurityDescriptor securityDescriptor, Va owner,
        bool ownerDefaulted) =>
        SetPart(securityDescriptor, OwnerPart, owner, 0, ownerDefaulted, SE_OWNER_DEFAULTED);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus RtlSetGroupSecurityDescriptor(SecurityDescriptor securityDescriptor, Va group,
        bool groupDefaulted) =>
        SetPart(securityDescriptor, GroupPart, group, 0, groupDefaulted, SE_GROUP_DEFAULTED);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus RtlSetSaclSecurityDescriptor(
        SecurityDescriptor securityDescriptor, bool saclPresent, Va sacl, bool saclDefaulted)
    {
        NtStatus status = SetPart(securityDescriptor, SaclPart, saclPresent ? sacl : Va.Null,
            saclPresent ? SecurityDescriptor.SE_SACL_PRESENT : 0, saclPresent && saclDefaulted, SE_SACL_DEFAULTED);
        if (status.IsSuccess && !saclPresent)
            securityDescriptor.Control &= unchecked((ushort)~SecurityDescriptor.SE_SACL_PRESENT);
        return status;
    }

    NtStatus SetPart(SecurityDescriptor descriptor, int part, Va value, int present, bool defaulted, int defaultedBit)
    {
        if (descriptor.Revision != 1) return STATUS_UNKNOWN_REVISION;
        if (descriptor.IsRelative) return STATUS_INVALID_SECURITY_DESCR;
        int control = descriptor.Control & ~defaultedBit | present | (defaulted ? defaultedBit : 0);
        descriptor.Control = (ushort)control;
        nt.Memory.Write(descriptor.Address + 8 + part * 8, value);
        return STATUS_SUCCESS;
    }

    /// <summary>Whether a descriptor's parts are what they say, of either form.</summary>
    public bool IsValid(SecurityDescriptor descriptor)
    {
        if (descriptor.IsNull || descriptor.Revision != 1) return false;
        for (int part = OwnerPart; part <= GroupPart; part++)
            if (descriptor.Part(part) is { IsNull: false } sid && !SidView.At(nt.Memory, sid).IsValid) return false;
        return IsAclValid(descriptor, SaclPart, SecurityDescriptor.SE_SACL_PRESENT)
            && IsAclValid(descriptor, DaclPart, SecurityDescriptor.SE_DACL_PRESENT);
    }

    bool IsAclValid(SecurityDescriptor descriptor, int part, int presentBit) =>
        (descriptor.Control & presentBit) == 0 || descriptor.Part(part).IsNull
            || AclView.At(nt.Memory, descriptor.Part(part)).IsValid;

    /// <summary>Whether a self-relative descriptor lies inside its buffer, is sound, and has the parts that are
    /// asked for.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool RtlValidRelativeSecurityDescriptor(
        SecurityDescriptor securityDescriptorInput, uint securityDescriptorLength, uint requiredInformation)
    {
        SecurityDescriptor descriptor = securityDescriptorInput;
        if (securityDescriptorLength < RelativeHeaderBytes || descriptor.Revision != 1 || !descriptor.IsRelative)
            return false;
        for (int part = OwnerPart; part <= DaclPart; part++)
            if (!IsInside(descriptor, part, securityDescriptorLength)) return false;
        return IsValid(descriptor)
            && Has(OWNER_SECURITY_INFORMATION, !descriptor.Part(OwnerPart).IsNull)
            && Has(GROUP_SECURITY_INFORMATION, !descriptor.Part(GroupPart).IsNull)
            && Has(DACL_SECURITY_INFORMATION, (descriptor.Control & SecurityDescriptor.SE_DACL_PRESENT) != 0)
            && Has(SACL_SECURITY_INFORMATION, (descriptor.Control & SecurityDescriptor.SE_SACL_PRESENT) != 0);

        bool Has(uint information, bool isThere) => (requiredInformation & information) == 0 || isThere;
    }

    bool IsInside(SecurityDescriptor descriptor, int part, uint length)
    {
        Va at = descriptor.Part(part);
        if (at.IsNull) return true;
        ulong offset = at - descriptor.Address, header = 8;
        if (offset < RelativeHeaderBytes || offset + header > length || (offset & 3) != 0) return false;
        int size = part <= GroupPart ? SidView.At(nt.Memory, at).Length : AclView.At(nt.Memory, at).AclSize;
        return offset + (ulong)size <= length;
    }

    /// <summary>Spreads a self-relative descriptor over buffers; sizes that do not suffice are all set to what
    /// does.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus RtlSelfRelativeToAbsoluteSD(
        SecurityDescriptor selfRelativeSecurityDescriptor, SecurityDescriptor absoluteSecurityDescriptor,
        Va absoluteSecurityDescriptorSize, Va dacl, Va daclSize, Va sacl, Va saclSize, Va owner, Va ownerSize,
        Va primaryGroup, Va primaryGroupSize)
    {
        SecurityDescriptor source = selfRelativeSecurityDescriptor, target = absoluteSecurityDescriptor;
        if (!source.IsRelative) return STATUS_BAD_DESCRIPTOR_FORMAT;
        (Va Buffer, Va Size)[] parts = [(owner, ownerSize), (primaryGroup, primaryGroupSize), (sacl, saclSize),
            (dacl, daclSize)];
        bool fits = Reserve(absoluteSecurityDescriptorSize, SecurityDescriptor.Size);
        for (int part = 0; part < parts.Length; part++) fits &= Reserve(parts[part].Size, PartBytes(source, part));
        if (!fits) return STATUS_BUFFER_TOO_SMALL;
        nt.Memory.Fill(target.Address, SecurityDescriptor.Size, 0);
        target.Revision = source.Revision;
        target.Control = (ushort)(source.Control & ~SecurityDescriptor.SE_SELF_RELATIVE);
        for (int part = 0; part < parts.Length; part++)
        {
            int bytes = PartBytes(source, part);
            if (bytes == 0) continue;
            nt.Memory.Write(parts[part].Buffer, nt.Memory.ReadBytes(source.Part(part), bytes));
            nt.Memory.Write(target.Address + 8 + part * 8, parts[part].Buffer);
        }
        return STATUS_SUCCESS;
    }

    int PartBytes(SecurityDescriptor descriptor, int part)
    {
        Va at = descriptor.Part(part);
        return at.IsNull ? 0 : part <= GroupPart ? SidView.At(nt.Memory, at).Length : AclView.At(nt.Memory, at).AclSize;
    }

    bool Reserve(Va size, int needed)
    {
        uint room = nt.Memory.Read<uint>(size);
        if (room < needed) nt.Memory.Write(size, (uint)needed);
        return room >= needed;
    }

    /// <summary>An empty descriptor in self-relative form.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus RtlCreateSecurityDescriptorRelative(SecurityDescriptor securityDescriptor, uint revision)
    {
        if (revision != 1) return STATUS_UNKNOWN_REVISION;
        nt.Memory.Fill(securityDescriptor.Address, RelativeHeaderBytes, 0);
        (securityDescriptor.Revision, securityDescriptor.Control) = (1, SecurityDescriptor.SE_SELF_RELATIVE);
        return STATUS_SUCCESS;
    }

    /// <summary>Puts one SID in place of another of the same length: owner, group and the entries of both lists that
    /// hold nothing but a mask and a SID.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus RtlReplaceSidInSd(
        SecurityDescriptor securityDescriptor, SidView oldSid, SidView newSid, Va numChanges)
    {
        if (!oldSid.IsValid || !newSid.IsValid || oldSid.Length != newSid.Length) return STATUS_INVALID_PARAMETER;
        uint changes = 0;
        for (int part = OwnerPart; part <= GroupPart; part++)
            if (securityDescriptor.Part(part) is { IsNull: false } sid) changes += Replace(sid, oldSid, newSid);
        for (int part = SaclPart; part <= DaclPart; part++)
            if (securityDescriptor.Part(part) is { IsNull: false } acl)
                changes += ReplaceIn(AclView.At(nt.Memory, acl), oldSid, newSid);
        nt.Memory.Write(numChanges, changes);
        return STATUS_SUCCESS;
    }

    uint Replace(Va at, SidView oldSid, SidView newSid)
    {
        if (!RtlEqualSid(SidView.At(nt.Memory, at), oldSid)) return 0;
        nt.Memory.Write(at, newSid.Bytes);
        return 1;
    }

    // Allowed, denied, audit and alarm entries.
    uint ReplaceIn(AclView acl, SidView oldSid, SidView newSid)
    {
        uint changes = 0;
        for (uint i = 0, count = acl.AceCount; i < count; i++)
        {
            nt.Ke.Clock.Spend();
            Va ace = acl.EntryAt(i);
            if (ace.IsNull) break;
            if (AceHeader.At(nt.Memory, ace).AceType <= 3) changes += Replace(ace + AceSidOffset, oldSid, newSid);
        }
        return changes;
    }
}
