using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Access control lists, entry by entry.</summary>
sealed partial class Rtl
{
    const byte ACCESS_ALLOWED_ACE_TYPE = 0;
    const int AceSidOffset = 8;

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus RtlAddAccessAllowedAceEx(AclView acl, uint aceRevision, uint aceFlags, uint accessMask, SidView sid)
    {
        if (!sid.IsValid) return STATUS_INVALID_SID;
        if (!acl.IsValid) return STATUS_INVALID_ACL;
        if (Math.Max(acl.AclRevision, aceRevision) > AclView.HighestRevision) return STATUS_REVISION_MISMATCH;
        if ((aceFlags & ~0x1Fu) != 0) return STATUS_INVALID_PARAMETER;
        int size = AceSidOffset + sid.Length, at = acl.FreeAt()!.Value;
        if (at + size > acl.AclSize) return STATUS_ALLOTTED_SPACE_EXCEEDED;
        var ace = AceHeader.At(nt.Memory, acl.Address + at);
        (ace.AceType, ace.AceFlags, ace.AceSize) = (ACCESS_ALLOWED_ACE_TYPE, (byte)aceFlags, (ushort)size);
        nt.Memory.Write(ace.Address + 4, accessMask);
        nt.Memory.Write(ace.Address + AceSidOffset, sid.Bytes);
        acl.AceCount++;
        return STATUS_SUCCESS;
    }

    /// <summary>Puts a row of entries before another one, or at the end.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus RtlAddAce(AclView acl, uint aceRevision, uint startingAceIndex, Va aceList, uint aceListLength)
    {
        if (!acl.IsValid) return STATUS_INVALID_PARAMETER;
        int end = acl.FreeAt()!.Value;
        if ((long)end + aceListLength > acl.AclSize) return STATUS_BUFFER_TOO_SMALL;
        byte[] added = nt.Memory.ReadBytes(aceList, (int)aceListLength);
        int? count = CountAces(added);
        if (count is null || acl.AceCount + count > ushort.MaxValue) return STATUS_INVALID_PARAMETER;
        Va entry = acl.EntryAt(startingAceIndex);
        int at = entry.IsNull ? end : (int)(entry - acl.Address);
        byte[] behind = nt.Memory.ReadBytes(acl.Address + at, end - at);
        nt.Memory.Write(acl.Address + at, added);
        nt.Memory.Write(acl.Address + at + added.Length, behind);
        acl.AceCount += (ushort)count;
        acl.AclRevision = (byte)Math.Max(acl.AclRevision, Math.Min(aceRevision, AclView.HighestRevision));
        return STATUS_SUCCESS;
    }

    // Null if the last one is cut.
    static int? CountAces(ReadOnlySpan<byte> list)
    {
        int count = 0;
        while (list.Length > 0)
        {
            int size = list.Length < AceHeader.Size ? 0 : list[2] | list[3] << 8;
            if (size < AceHeader.Size || size > list.Length) return null;
            list = list[size..];
            count++;
        }
        return count;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus RtlGetAce(AclView acl, uint aceIndex, Va ace)
    {
        Va found = acl.AceCount <= aceIndex ? Va.Null : acl.EntryAt(aceIndex);
        if (found.IsNull) return STATUS_INVALID_PARAMETER;
        nt.Memory.Write(ace, found);
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus RtlDeleteAce(AclView acl, uint aceIndex)
    {
        Va gone = acl.IsValid ? acl.EntryAt(aceIndex) : Va.Null;
        if (gone.IsNull) return STATUS_INVALID_PARAMETER;
        int size = AceHeader.At(nt.Memory, gone).AceSize, end = acl.FreeAt()!.Value;
        byte[] behind = nt.Memory.ReadBytes(gone + size, end - size - (int)(gone - acl.Address));
        nt.Memory.Write(gone, behind);
        nt.Memory.Fill(gone + behind.Length, (ulong)size, 0);
        acl.AceCount--;
        return STATUS_SUCCESS;
    }

    /// <summary>The first entry of a type from an index on, which moves to it.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public Va RtlFindAceByType(AclView acl, byte aceType, Va index)
    {
        uint start = index.IsNull ? 0 : nt.Memory.Read<uint>(index);
        for (uint i = start; i < acl.AceCount; i++)
        {
            nt.Ke.Clock.Spend();
            Va ace = acl.EntryAt(i);
            if (ace.IsNull) break;
            if (AceHeader.At(nt.Memory, ace).AceType != aceType) continue;
            if (!index.IsNull) nt.Memory.Write(index, i);
            return ace;
        }
        return Va.Null;
    }

    /// <summary>Turns the generic rights of a mask into those that a GENERIC_MAPPING gives for them.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void RtlMapGenericMask(Va accessMask, Va genericMapping)
    {
        uint mask = nt.Memory.Read<uint>(accessMask), mapped = mask & 0x0FFF_FFFF;
        // GENERIC_READ is the highest bit and the first of the mapping, then write, execute, all.
        for (int i = 0; i < 4; i++)
            if ((mask & 0x8000_0000 >> i) != 0) mapped |= nt.Memory.Read<uint>(genericMapping + i * 4);
        nt.Memory.Write(accessMask, mapped);
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool RtlAreAllAccessesGranted(uint grantedAccess, uint desiredAccess) =>
        (~grantedAccess & desiredAccess) == 0;

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool RtlAreAnyAccessesGranted(uint grantedAccess, uint desiredAccess) =>
        (grantedAccess & desiredAccess) != 0;
}
