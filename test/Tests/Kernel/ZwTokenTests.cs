using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

public sealed class ZwTokenTests
{
    static readonly Handle s_process = new(ulong.MaxValue), s_thread = new(ulong.MaxValue - 1);

    static Handle Open(TestMachine m, uint access = 0xF01FF)
    {
        Va place = m.Block(8);
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwOpenProcessTokenEx(s_process, access, 0x200, place));
        return m.Read<Handle>(place);
    }

    [Fact]
    public void A_process_has_a_token_and_a_thread_has_one_when_it_acts_as_another()
    {
        using var m = new TestMachine();
        Va place = m.Block(8);
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwOpenProcessToken(s_process, 8, place));
        Assert.Equal(STATUS_SUCCESS, m.Nt.NtOpenProcessToken(s_process, 8, place));
        Assert.Equal(STATUS_SUCCESS, m.Nt.NtOpenProcessTokenEx(s_process, 8, 0, place));
        Assert.Equal(STATUS_NO_TOKEN, m.Nt.ZwOpenThreadToken(s_thread, 8, true, place));
        Va token = m.Nt.PsReferencePrimaryToken(m.Nt.Ps.UserProcess);
        m.Nt.PsImpersonateClient(m.Nt.PsGetCurrentThread(), token, true, false, 2);
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwOpenThreadTokenEx(s_thread, 8, true, 0, place));
        Assert.Equal(STATUS_SUCCESS, m.Nt.NtOpenThreadToken(s_thread, 8, true, place));
        Assert.Equal(STATUS_SUCCESS, m.Nt.NtOpenThreadTokenEx(s_thread, 8, true, 0, place));
        Assert.Equal(token, m.Nt.Ob.Lookup(m.Read<Handle>(place))!.Body);
    }

    [Fact]
    public void Information_tells_its_length_first()
    {
        using var m = new TestMachine();
        Handle token = Open(m);
        Va buffer = m.Block(0x400), length = m.Block(8);
        Assert.Equal(STATUS_BUFFER_TOO_SMALL, m.Nt.ZwQueryInformationToken(token, 1, Va.Null, 0, length));
        Assert.Equal(16u + 28, m.Read<uint>(length));
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwQueryInformationToken(token, 1, buffer, 44, length));
        Assert.Equal(Se.OrdinaryUser, Sid.Read(m.Nt.Memory, m.Read<Va>(buffer)));
        Assert.Equal(STATUS_SUCCESS, m.Nt.NtQueryInformationToken(token, 10, buffer, 0x400, length));
        Assert.Equal(0x38u, m.Read<uint>(length));
        Assert.Equal(STATUS_INVALID_INFO_CLASS, m.Nt.ZwQueryInformationToken(token, 99, buffer, 0x400, length));
    }

    [Fact]
    public void Privileges_are_switched_on_off_and_away()
    {
        using var m = new TestMachine();
        Handle token = Open(m);
        Va state = m.Block(0x20), before = m.Block(0x40), length = m.Block(8);
        void Want(ulong luid, uint attributes)
        {
            m.Nt.Memory.Write(state, 1u);
            m.Nt.Memory.Write(state + 4, luid);
            m.Nt.Memory.Write(state + 12, attributes);
        }
        Want(Privilege.SeShutdown, 2);
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwAdjustPrivilegesToken(token, false, state, 0x40, before, length));
        Assert.Equal((1u, 0u), (m.Read<uint>(before), m.Read<uint>(before + 12)));
        Assert.True(m.Nt.SeSinglePrivilegeCheck(Privilege.SeShutdown, 1));
        Want(Privilege.SeTcb, 2);
        Assert.Equal(STATUS_NOT_ALL_ASSIGNED,
            m.Nt.NtAdjustPrivilegesToken(token, false, state, 0, Va.Null, Va.Null));
        Want(Privilege.SeShutdown, 4);
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwAdjustPrivilegesToken(token, false, state, 0, Va.Null, Va.Null));
        Assert.False(m.Nt.SeSinglePrivilegeCheck(Privilege.SeShutdown, 1));
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwAdjustPrivilegesToken(token, true, Va.Null, 0, Va.Null, Va.Null));
        Assert.False(m.Nt.SeSinglePrivilegeCheck(Privilege.SeChangeNotify, 1));
    }

    [Fact]
    public void A_duplicate_is_a_token_of_its_own()
    {
        using var m = new TestMachine();
        Handle token = Open(m);
        Va place = m.Block(8), qos = m.Block(16);
        ObjectAttributes attributes = m.Attributes(null, 0x200);
        m.Nt.Memory.Write(qos + 4, 2u);
        m.Nt.Memory.Write(attributes.Address + 0x28, qos);
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwDuplicateToken(token, 0, attributes, true, 2, place));
        var copy = (Token)m.Nt.Ob.Lookup(m.Read<Handle>(place))!.State!;
        Assert.Equal((false, ImpersonationLevel.Impersonation), (copy.IsPrimary, copy.Level));
        Assert.Single(copy.Privileges);
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwSetInformationThread(s_thread, 5, place, 8));
        Assert.True(m.Nt.PsIsThreadImpersonating(m.Nt.PsGetCurrentThread()));
        Assert.Equal(STATUS_SUCCESS, m.Nt.NtDuplicateToken(token, 0, attributes, false, 1, place));
        Assert.Equal(STATUS_INVALID_PARAMETER, m.Nt.ZwDuplicateToken(token, 0, attributes, false, 3, place));
    }

    [Fact]
    public void Owner_default_list_and_level_can_be_set()
    {
        using var m = new TestMachine();
        Handle handle = Open(m);
        var token = (Token)m.Nt.Ob.Lookup(handle)!.State!;
        Va buffer = m.Block(0x20);
        NtStatus Set(uint cls, ReadOnlySpan<byte> bytes)
        {
            m.Nt.Memory.Write(buffer, m.Bytes(bytes));
            return m.Nt.ZwSetInformationToken(handle, cls, buffer, 16);
        }
        Assert.Equal(STATUS_INVALID_OWNER, Set(4, Sid.LocalSystem.Bytes));
        Assert.Equal(STATUS_SUCCESS, Set(4, Se.OrdinaryUser.Bytes));
        Assert.Equal(STATUS_SUCCESS, Set(5, Sid.Users.Bytes));
        Assert.Equal(STATUS_SUCCESS, Set(6, Acl.Of().ToBytes()));
        Assert.Empty(token.DefaultDacl!.Entries);
        Assert.Equal(STATUS_SUCCESS, Set(25, Sid.Label(0x1000).Bytes));
        Assert.Equal(0x1000u, token.Integrity);
        m.Nt.Memory.Write(buffer, 5u);
        Assert.Equal(STATUS_SUCCESS, m.Nt.NtSetInformationToken(handle, 12, buffer, 4));
        Assert.Equal(5u, m.Nt.PsGetCurrentProcessSessionId());
        Assert.Equal(STATUS_INVALID_INFO_CLASS, m.Nt.ZwSetInformationToken(handle, 1, buffer, 16));
    }
}
