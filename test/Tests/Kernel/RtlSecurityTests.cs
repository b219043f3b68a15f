using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

public sealed class RtlSecurityTests
{
    static SidView Make(TestMachine m, byte authority, params uint[] parts)
    {
        var sid = SidView.At(m.Nt.Memory, m.Block(68));
        Assert.Equal(STATUS_SUCCESS,
            m.Nt.RtlInitializeSid(sid, m.Bytes(0, 0, 0, 0, 0, authority), (byte)parts.Length));
        for (uint i = 0; i < parts.Length; i++) m.Nt.Memory.Write(m.Nt.RtlSubAuthoritySid(sid, i), parts[i]);
        return sid;
    }

    [Fact]
    public void Identifiers_are_made_copied_compared_and_written()
    {
        using var m = new TestMachine();
        NtKernel nt = m.Nt;
        SidView system = Make(m, 5, 18), admins = Make(m, 5, 32, 544), users = Make(m, 5, 32, 545);
        UnicodeString text = m.Room(0);
        Assert.Equal(STATUS_SUCCESS, nt.RtlConvertSidToUnicodeString(text, admins, true));
        Assert.Equal("S-1-5-32-544", text.Text);
        Assert.Equal((16u, 16u), (nt.RtlLengthSid(admins.Address), nt.RtlLengthRequiredSid(2)));
        Assert.Equal(2, nt.Memory.Read<byte>(nt.RtlSubAuthorityCountSid(admins)));
        Assert.True(nt.RtlValidSid(system.Address));
        Assert.False(nt.RtlEqualSid(admins, users));
        Assert.True(nt.RtlEqualPrefixSid(admins, users));
        Assert.Equal(STATUS_BUFFER_TOO_SMALL, nt.RtlCopySid(15, users, admins));
        Assert.Equal(STATUS_SUCCESS, nt.RtlCopySid(16, users, admins));
        Assert.True(nt.RtlEqualSid(admins, users));
        Assert.Equal(STATUS_SUCCESS,
            nt.RtlInitializeSidEx(users, m.Bytes(0, 0, 0, 0, 0, 1), 1, m.List(0)));
        Assert.Equal("S-1-1-0", users.Text);
        Va length = m.Block(4);
        Assert.Equal(STATUS_BUFFER_TOO_SMALL, nt.RtlCreateServiceSid(m.Unicode("trustedinstaller"), system, length));
        Assert.Equal(STATUS_SUCCESS, nt.RtlCreateServiceSid(m.Unicode("trustedinstaller"), system, length));
        Assert.Equal("S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464", system.Text);
    }

    [Fact]
    public void Entries_of_a_list_are_added_found_and_deleted()
    {
        using var m = new TestMachine();
        NtKernel nt = m.Nt;
        var acl = AclView.At(nt.Memory, m.Block(100));
        Va ace = m.Block(8), index = m.Block(4);
        Assert.Equal(STATUS_SUCCESS, nt.RtlCreateAcl(acl.Address, 100, 2));
        Assert.Equal(STATUS_SUCCESS, nt.RtlAddAccessAllowedAce(acl.Address, 2, 1, Make(m, 5, 18).Address));
        Assert.Equal(STATUS_SUCCESS, nt.RtlAddAccessAllowedAceEx(acl, 2, 3, 2, Make(m, 5, 32, 544)));
        Assert.Equal(STATUS_SUCCESS, nt.RtlGetAce(acl, 1, ace));
        Va second = nt.Memory.Read<Va>(ace);
        Assert.Equal((3, 2u), (AceHeader.At(nt.Memory, second).AceFlags, m.U32(second + 4)));
        Assert.Equal(STATUS_INVALID_PARAMETER, nt.RtlGetAce(acl, 2, ace));
        byte[] copy = nt.Memory.ReadBytes(second, AceHeader.At(nt.Memory, second).AceSize);
        copy[0] = 1;    // denied
        Assert.Equal(STATUS_SUCCESS, nt.RtlAddAce(acl, 2, 0, m.Bytes(copy), (uint)copy.Length));
        Assert.Equal(3, acl.AceCount);
        Assert.Equal(acl.Address + 8, nt.RtlFindAceByType(acl, 1, index));
        nt.Memory.Write(index, 1u);
        Assert.True(nt.RtlFindAceByType(acl, 1, index).IsNull);
        Assert.Equal(STATUS_SUCCESS, nt.RtlDeleteAce(acl, 0));
        Assert.Equal(2, acl.AceCount);
        Assert.Equal(STATUS_SUCCESS, nt.RtlGetAce(acl, 1, ace));
        Assert.Equal(second, nt.Memory.Read<Va>(ace));
        Assert.Equal(STATUS_ALLOTTED_SPACE_EXCEEDED,
            nt.RtlAddAccessAllowedAceEx(acl, 2, 0, 2, Make(m, 5, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13)));
        Assert.Equal(STATUS_BUFFER_TOO_SMALL, nt.RtlAddAce(acl, 2, 0, m.Block(100), 100));
    }

    [Fact]
    public void A_descriptor_goes_from_one_form_to_the_other_and_back()
    {
        using var m = new TestMachine();
        NtKernel nt = m.Nt;
        var descriptor = SecurityDescriptor.At(nt.Memory, m.Block(SecurityDescriptor.Size));
        Va acl = m.Block(64), size = m.Block(4), relative = m.Block(256);
        nt.RtlCreateAcl(acl, 64, 2);
        nt.RtlAddAccessAllowedAce(acl, 2, 1, Make(m, 5, 18).Address);
        nt.RtlCreateSecurityDescriptor(descriptor, 1);
        Assert.Equal(STATUS_SUCCESS, nt.RtlSetOwnerSecurityDescriptor(descriptor, Make(m, 5, 18).Address, true));
        Assert.Equal(STATUS_SUCCESS, nt.RtlSetGroupSecurityDescriptor(descriptor, Make(m, 5, 32, 544).Address, false));
        Assert.Equal(STATUS_SUCCESS, nt.RtlSetDaclSecurityDescriptor(descriptor, true, acl, false));
        Assert.Equal(STATUS_SUCCESS, nt.RtlSetSaclSecurityDescriptor(descriptor, false, Va.Null, false));
        Assert.True(nt.RtlValidSecurityDescriptor(descriptor));
        nt.Memory.Write(size, 256u);
        Assert.Equal(STATUS_SUCCESS, nt.RtlAbsoluteToSelfRelativeSD(descriptor, relative, size));
        var self = SecurityDescriptor.At(nt.Memory, relative);
        Assert.Equal(nt.RtlLengthSecurityDescriptor(self), m.U32(size));
        Assert.True(nt.RtlValidRelativeSecurityDescriptor(self, m.U32(size), 7));
        Assert.False(nt.RtlValidRelativeSecurityDescriptor(self, m.U32(size), 8));
        Assert.False(nt.RtlValidRelativeSecurityDescriptor(self, m.U32(size) - 4, 0));
        Va sizes = m.Block(20), parts = m.Block(256);
        var back = SecurityDescriptor.At(nt.Memory, m.Block(SecurityDescriptor.Size));
        NtStatus Spread() => nt.RtlSelfRelativeToAbsoluteSD(self, back, sizes, parts, sizes + 4, parts + 64, sizes + 8,
            parts + 128, sizes + 12, parts + 192, sizes + 16);
        Assert.Equal(STATUS_BUFFER_TOO_SMALL, Spread());
        Assert.Equal([0x28u, 64, 0, 12, 16], Enumerable.Range(0, 5).Select(i => m.U32(sizes + i * 4)));
        Assert.Equal(STATUS_SUCCESS, Spread());
        Assert.True(nt.RtlEqualSid(SidView.At(nt.Memory, back.Owner), Make(m, 5, 18)));
        Assert.Equal(nt.Memory.ReadBytes(acl, 64), nt.Memory.ReadBytes(back.Dacl, 64));
        Assert.Equal(STATUS_BAD_DESCRIPTOR_FORMAT, nt.RtlSelfRelativeToAbsoluteSD(back, self, sizes, parts, sizes,
            parts,
            sizes, parts, sizes, parts, sizes));
        AclView.At(nt.Memory, acl).AceCountBroken();
        Assert.False(nt.RtlValidSecurityDescriptor(descriptor));
    }

    [Fact]
    public void One_identifier_takes_the_place_of_another()
    {
        using var m = new TestMachine();
        NtKernel nt = m.Nt;
        SidView old = Make(m, 5, 18), other = Make(m, 5, 19);
        Va acl = m.Block(64), changes = m.Block(4);
        nt.RtlCreateAcl(acl, 64, 2);
        nt.RtlAddAccessAllowedAce(acl, 2, 1, old.Address);
        nt.RtlAddAccessAllowedAce(acl, 2, 1, other.Address);
        var descriptor = SecurityDescriptor.At(nt.Memory, m.Block(SecurityDescriptor.Size));
        nt.RtlCreateSecurityDescriptor(descriptor, 1);
        nt.RtlSetOwnerSecurityDescriptor(descriptor, Make(m, 5, 18).Address, false);
        nt.RtlSetDaclSecurityDescriptor(descriptor, true, acl, false);
        Assert.Equal(STATUS_SUCCESS, nt.RtlReplaceSidInSd(descriptor, old, other, changes));
        Assert.Equal((2u, "S-1-5-19"), (m.U32(changes), SidView.At(nt.Memory, descriptor.Owner).Text));
        Assert.Equal(STATUS_INVALID_PARAMETER, nt.RtlReplaceSidInSd(descriptor, old, Make(m, 5, 1, 2), changes));
        Assert.Equal(STATUS_SUCCESS, nt.RtlCreateSecurityDescriptorRelative(descriptor, 1));
        Assert.True(nt.RtlValidRelativeSecurityDescriptor(descriptor, 20, 0));
        Assert.Equal(STATUS_UNKNOWN_REVISION, nt.RtlCreateSecurityDescriptorRelative(descriptor, 2));
    }

    [Fact]
    public void Parts_of_a_descriptor_are_given_back()
    {
        using var m = new TestMachine();
        NtKernel nt = m.Nt;
        var descriptor = SecurityDescriptor.At(nt.Memory, m.Block(SecurityDescriptor.Size));
        nt.RtlCreateSecurityDescriptor(descriptor, 1);
        SidView owner = Make(m, 5, 18);
        nt.RtlSetOwnerSecurityDescriptor(descriptor, owner.Address, true);
        Va part = m.Block(8), flag = m.Block(1), present = m.Block(1);
        nt.RtlGetOwnerSecurityDescriptor(descriptor, part, flag);
        Assert.Equal((owner.Address.Value, 1), (m.U64(part), nt.Memory.Read<byte>(flag)));
        nt.RtlGetGroupSecurityDescriptor(descriptor, part, flag);
        Assert.Equal(0UL, m.U64(part));
        nt.RtlGetDaclSecurityDescriptor(descriptor, present, part, flag);
        nt.RtlGetSaclSecurityDescriptor(descriptor, present, part, flag);
        Assert.Equal(0, nt.Memory.Read<byte>(present));
    }

    [Fact]
    public void Generic_rights_become_the_types_own()
    {
        using var m = new TestMachine();
        Va mask = m.Bytes(BitConverter.GetBytes(0x9000_0001u)), mapping = m.ListAt(0x20_0000_0010, 0x80_0000_0040);
        m.Nt.RtlMapGenericMask(mask, mapping);
        Assert.Equal(0x91u, m.U32(mask));
        Assert.True(m.Nt.RtlAreAllAccessesGranted(7, 5));
        Assert.False(m.Nt.RtlAreAllAccessesGranted(1, 5));
        Assert.True(m.Nt.RtlAreAnyAccessesGranted(1, 5));
    }

    [Fact]
    public void Luids_are_copied_and_compared()
    {
        using var m = new TestMachine();
        Va a = m.Block(8), b = m.ListAt(7);
        Assert.False(m.Nt.RtlEqualLuid(a, b));
        m.Nt.RtlCopyLuid(a, b);
        Assert.True(m.Nt.RtlEqualLuid(a, b));
    }
}

static class BrokenAcl
{
    /// <summary>More entries than there is room for.</summary>
    public static void AceCountBroken(this AclView acl) => acl.AceCount = 200;
}
