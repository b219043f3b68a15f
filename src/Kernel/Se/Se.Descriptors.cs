using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>SECURITY_DESCRIPTOR in its absolute form: pointers to its parts.</summary>
[Layout("_SECURITY_DESCRIPTOR", Size = 0x28)]
public readonly partial struct SecurityDescriptor
{
    [Field(0x00)] public partial byte Revision { get; set; }
    [Field(0x02)] public partial ushort Control { get; set; }
    [Field(0x08)] public partial Va Owner { get; set; }
    [Field(0x10)] public partial Va Group { get; set; }
    [Field(0x18)] public partial Va Sacl { get; set; }
    [Field(0x20)] public partial Va Dacl { get; set; }

    public const ushort SE_DACL_PRESENT = 4, SE_DACL_DEFAULTED = 8, SE_SACL_PRESENT = 0x10, SE_SELF_RELATIVE = 0x8000;

    public bool IsRelative => (Control & SE_SELF_RELATIVE) != 0;

    /// <summary>Owner, group, SACL or DACL (0 to 3), wherever the form keeps it; null if there is none.</summary>
    public Va Part(int n)
    {
        if (!IsRelative) return _memory.Read<Va>(Address + 8 + n * 8);
        uint offset = _memory.Read<uint>(Address + 4 + n * 4);
        return offset == 0 ? Va.Null : Address + offset;
    }
}

/// <summary>Security descriptors, lists and identifiers.</summary>
sealed partial class Se
{
    const uint DescriptorTag = 0x6453_6553;
    const int RelativeSize = 20;

    int SidLength(Va sid) => 8 + nt.Memory.Read<byte>(sid + 1) * 4;

    int AclLength(Va acl) => nt.Memory.Read<ushort>(acl + 2);

    int PartLength(SecurityDescriptor descriptor, int n)
    {
        Va part = descriptor.Part(n);
        return part.IsNull ? 0 : n < 2 ? SidLength(part) : AclLength(part);
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus RtlCreateSecurityDescriptor(SecurityDescriptor securityDescriptor, uint revision)
    {
        if (revision != 1) return STATUS_UNKNOWN_REVISION;
        nt.Memory.Fill(securityDescriptor.Address, SecurityDescriptor.Size, 0);
        securityDescriptor.Revision = 1;
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus RtlSetDaclSecurityDescriptor(
        SecurityDescriptor securityDescriptor, bool daclPresent, Va dacl, bool daclDefaulted)
    {
        if (securityDescriptor.Revision != 1) return STATUS_UNKNOWN_REVISION;
        if (securityDescriptor.IsRelative) return STATUS_INVALID_SECURITY_DESCR;
        int control = securityDescriptor.Control & ~(
            SecurityDescriptor.SE_DACL_PRESENT | SecurityDescriptor.SE_DACL_DEFAULTED);
        if (daclPresent)
            control |= SecurityDescriptor.SE_DACL_PRESENT | (daclDefaulted ? SecurityDescriptor.SE_DACL_DEFAULTED : 0);
        securityDescriptor.Control = (ushort)control;
        securityDescriptor.Dacl = daclPresent ? dacl : Va.Null;
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public uint RtlLengthSid(Va sid) => (uint)SidLength(sid);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool RtlValidSid(Va sid) =>
        !sid.IsNull && nt.Memory.Read<byte>(sid) == 1 && nt.Memory.Read<byte>(sid + 1) <= 15;

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public uint RtlLengthSecurityDescriptor(SecurityDescriptor securityDescriptor)
    {
        int length = securityDescriptor.IsRelative ? RelativeSize : SecurityDescriptor.Size;
        for (int i = 0; i < 4; i++) length += (PartLength(securityDescriptor, i) + 3) & ~3;
        return (uint)length;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public bool RtlValidSecurityDescriptor(SecurityDescriptor securityDescriptor) =>
        nt.Rtl.IsValid(securityDescriptor);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus RtlCreateAcl(Va acl, uint aclLength, uint aclRevision)
    {
        if (aclLength < 8) return STATUS_BUFFER_TOO_SMALL;
        if (aclLength > 0xFFFC || aclRevision is < 2 or > 4) return STATUS_INVALID_PARAMETER;
        nt.Memory.Write(acl, aclRevision | aclLength << 16);
        nt.Memory.Write(acl + 4, 0u);
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus RtlAddAccessAllowedAce(Va acl, uint aceRevision, uint accessMask, Va sid)
    {
        int count = nt.Memory.Read<ushort>(acl + 4), at = 8, size = 8 + SidLength(sid);
        for (int i = 0; i < count; i++) at += nt.Memory.Read<ushort>(acl + at + 2);
        if (at + size > AclLength(acl)) return STATUS_ALLOTTED_SPACE_EXCEEDED;
        nt.Memory.Write(acl + at, (uint)size << 16);      // ACCESS_ALLOWED_ACE_TYPE, no flags
        nt.Memory.Write(acl + at + 4, accessMask);
        nt.Memory.Write(acl + at + 8, nt.Memory.ReadBytes(sid, SidLength(sid)));
        nt.Memory.Write(acl + 4, (ushort)(count + 1));
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus RtlAbsoluteToSelfRelativeSD(SecurityDescriptor absolute, Va selfRelative, Va bufferLength)
    {
        if (absolute.IsRelative) return STATUS_BAD_DESCRIPTOR_FORMAT;
        uint needed = RelativeSize;
        for (int i = 0; i < 4; i++) needed += (uint)(PartLength(absolute, i) + 3) & ~3u;
        uint room = nt.Memory.Read<uint>(bufferLength);
        nt.Memory.Write(bufferLength, needed);
        if (room < needed) return STATUS_BUFFER_TOO_SMALL;
        WriteRelative(absolute, selfRelative);
        return STATUS_SUCCESS;
    }

    void WriteRelative(SecurityDescriptor source, Va target)
    {
        nt.Memory.Fill(target, RelativeSize, 0);
        nt.Memory.Write(target, source.Revision);
        nt.Memory.Write(target + 2, (ushort)(source.Control | SecurityDescriptor.SE_SELF_RELATIVE));
        uint at = RelativeSize;
        for (int i = 0; i < 4; i++)
        {
            int length = PartLength(source, i);
            if (length == 0) continue;
            nt.Memory.Write(target + 4 + i * 4, at);
            nt.Memory.Write(target + at, nt.Memory.ReadBytes(source.Part(i), length));
            at += (uint)(length + 3) & ~3u;
        }
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus RtlGetOwnerSecurityDescriptor(SecurityDescriptor securityDescriptor, Va owner, Va ownerDefaulted) =>
        GetSid(securityDescriptor, 0, owner, ownerDefaulted, 1);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus RtlGetGroupSecurityDescriptor(SecurityDescriptor securityDescriptor, Va group, Va groupDefaulted) =>
        GetSid(securityDescriptor, 1, group, groupDefaulted, 2);

    NtStatus GetSid(SecurityDescriptor descriptor, int part, Va result, Va defaulted, int defaultedBit)
    {
        if (descriptor.Revision != 1) return STATUS_UNKNOWN_REVISION;
        nt.Memory.Write(result, descriptor.Part(part));
        nt.Memory.Write(defaulted, (byte)((descriptor.Control & defaultedBit) != 0 ? 1 : 0));
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus RtlGetDaclSecurityDescriptor(
        SecurityDescriptor securityDescriptor, Va daclPresent, Va dacl, Va daclDefaulted) =>
        GetAcl(securityDescriptor, 3, SecurityDescriptor.SE_DACL_PRESENT, daclPresent, dacl, daclDefaulted);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus RtlGetSaclSecurityDescriptor(
        SecurityDescriptor securityDescriptor, Va saclPresent, Va sacl, Va saclDefaulted) =>
        GetAcl(securityDescriptor, 2, SecurityDescriptor.SE_SACL_PRESENT, saclPresent, sacl, saclDefaulted);

    NtStatus GetAcl(SecurityDescriptor descriptor, int part, int presentBit, Va present, Va acl, Va defaulted)
    {
        if (descriptor.Revision != 1) return STATUS_UNKNOWN_REVISION;
        bool has = (descriptor.Control & presentBit) != 0;
        nt.Memory.Write(present, (byte)(has ? 1 : 0));
        if (!has) return STATUS_SUCCESS;
        nt.Memory.Write(acl, descriptor.Part(part));
        nt.Memory.Write(defaulted, (byte)((descriptor.Control & presentBit << 1) != 0 ? 1 : 0));
        return STATUS_SUCCESS;
    }

    /// <summary>A self-relative copy in pool; kernel mode may keep its own.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus SeCaptureSecurityDescriptor(
        SecurityDescriptor originalSecurityDescriptor, byte currentMode, uint poolType, bool captureIfKernel,
            Va capturedSecurityDescriptor)
    {
        bool isOriginal = originalSecurityDescriptor.IsNull || (currentMode & 1) == 0 && !captureIfKernel;
        if (isOriginal)
        {
            nt.Memory.Write(capturedSecurityDescriptor, originalSecurityDescriptor.Address);
            return STATUS_SUCCESS;
        }
        int length = RelativeSize;
        for (int i = 0; i < 4; i++) length += (PartLength(originalSecurityDescriptor, i) + 3) & ~3;
        Va copy = nt.Mm.Pool.Allocate(
            (ulong)length, (poolType & 1) != 0 ? PoolKind.Paged
                : PoolKind.NonPaged, DescriptorTag, nt.Caller, zero: true);
        if (copy.IsNull) return STATUS_INSUFFICIENT_RESOURCES;
        WriteRelative(originalSecurityDescriptor, copy);
        nt.Memory.Write(capturedSecurityDescriptor, copy);
        return STATUS_SUCCESS;
    }
}
