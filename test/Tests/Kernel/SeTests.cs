using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

public sealed class SeTests
{
    static SubjectContext Capture(TestMachine m)
    {
        var subject = SubjectContext.At(m.Nt.Memory, m.Block(SubjectContext.Size));
        m.Nt.SeCaptureSubjectContext(subject);
        return subject;
    }

    static Va Mapping(TestMachine m)
    {
        Va at = m.Block(16);
        m.Nt.Memory.Write(at, GenericMapping.OfFile);
        return at;
    }

    static Va Qos(TestMachine m, uint level, bool dynamic)
    {
        Va at = m.Block(16);
        m.Nt.Memory.Write(at, 12u);
        m.Nt.Memory.Write(at + 4, level);
        m.Nt.Memory.Write(at + 8, (byte)(dynamic ? 1 : 0));
        return at;
    }

    [Fact]
    public void A_device_that_is_for_administrators_is_closed_to_an_ordinary_user()
    {
        using var m = new TestMachine();
        DriverObject driver = m.Driver();
        driver.SetMajorFunction(IrpMajor.IRP_MJ_CREATE, m.Routine(call =>
        {
            m.Nt.IofCompleteRequest(Irp.At(m.Nt.Memory, new Va(call.Argument(1))), 0);
            return 0;
        }));
        DeviceObject device = m.Device(driver, @"\Device\Guarded");
        Assert.Equal(STATUS_SUCCESS, m.Nt.User.CreateFile(@"\Device\Guarded", out _));
        Va descriptor = m.Descriptor("O:BAG:SYD:P(A;;GA;;;SY)(A;;GA;;;BA)", GenericMapping.OfFile);
        Assert.Equal(STATUS_SUCCESS, m.Nt.ObSetSecurityObjectByPointer(device.Address, 4, descriptor));
        Assert.Equal(STATUS_ACCESS_DENIED, m.Nt.User.CreateFile(@"\Device\Guarded", out _));
        Assert.Equal(STATUS_SUCCESS, m.Nt.User.CreateFile(@"\Device\Guarded\below", out _));
        device.Characteristics |= 0x100;        // FILE_DEVICE_SECURE_OPEN
        Assert.Equal(STATUS_ACCESS_DENIED, m.Nt.User.CreateFile(@"\Device\Guarded\below", out _));
    }

    [Fact]
    public void The_kernels_objects_are_closed_to_user_mode()
    {
        using var m = new TestMachine();
        m.Event(@"\KernelObjects\Mine");
        Va place = m.Block(8);
        var request = new ObjectRequest(null, @"\KernelObjects\New", 0, null, ProcessorMode.UserMode);
        Assert.Equal(STATUS_ACCESS_DENIED, m.Nt.Ob.CreateNamed(request, m.Nt.Ob.EventType, 1,
            () => m.Nt.Ob.Create(m.Nt.Ob.EventType, 0x18), out _, out _));
        Assert.Equal(STATUS_ACCESS_VIOLATION,
            m.AsUser(() => m.Nt.NtCreateEvent(place, 1, m.Attributes(null, 0), 0, false)));
    }

    [Fact]
    public void Privileges_count_for_user_mode_only()
    {
        using var m = new TestMachine();
        Assert.True(m.Nt.SeSinglePrivilegeCheck(Privilege.SeLoadDriver, 0));
        Assert.False(m.Nt.SeSinglePrivilegeCheck(Privilege.SeLoadDriver, 1));
        Assert.True(m.Nt.SeSinglePrivilegeCheck(Privilege.SeChangeNotify, 1));
        SubjectContext subject = Capture(m);
        Va set = m.Block(0x40);
        m.Nt.Memory.Write(set, 2u | 1UL << 32);
        m.Nt.Memory.Write(set + 8, Privilege.SeChangeNotify);
        m.Nt.Memory.Write(set + 20, Privilege.SeDebug);
        Assert.True(m.Nt.SePrivilegeCheck(set, subject, 0));
        Assert.False(m.Nt.SePrivilegeCheck(set, subject, 1));
        m.Nt.Memory.Write(set + 4, 0u);
        Assert.True(m.Nt.SePrivilegeCheck(set, subject, 1));
        Assert.Equal(0x8000_0000, m.Read<uint>(set + 16));
        m.Nt.SeReleaseSubjectContext(subject);
    }

    [Fact]
    public void SeAccessCheck_answers_for_the_captured_caller()
    {
        using var m = new TestMachine();
        SubjectContext subject = Capture(m);
        Va descriptor = m.Descriptor("O:BAG:SYD:(A;;GR;;;BU)", GenericMapping.OfFile);
        Va granted = m.Block(8), status = m.Block(8), privileges = m.Block(8), mapping = Mapping(m);
        bool Check(uint desired, byte mode, SubjectContext who) => m.Nt.SeAccessCheck(
            descriptor, who, false, desired, 0, privileges, mapping, mode, granted, status);
        m.Nt.SeLockSubjectContext(subject);
        Assert.True(Check(0x8000_0000, 1, subject));
        Assert.Equal(0x12_0089u, m.Read<uint>(granted));
        Assert.False(Check(2, 1, subject));
        Assert.Equal(STATUS_ACCESS_DENIED, m.Read<NtStatus>(status));
        Assert.True(Check(2, 0, subject));
        m.Nt.SeUnlockSubjectContext(subject);
        m.Nt.SeReleaseSubjectContext(subject);
        m.Nt.SeCaptureSubjectContextEx(
            KThread.At(m.Nt.Memory, Va.Null), m.Nt.Ps.SystemProcess, subject);
        Assert.True(Check(0x8_0000, 1, subject) || m.Read<NtStatus>(status) == STATUS_ACCESS_DENIED);
        m.Nt.SeFreePrivileges(m.Read<Va>(privileges));
    }

    [Fact]
    public void Tokens_say_who_they_are()
    {
        using var m = new TestMachine();
        Va system = m.Nt.PsReferencePrimaryToken(m.Nt.Ps.SystemProcess);
        Va user = m.Nt.PsReferencePrimaryToken(m.Nt.Ps.UserProcess), place = m.Block(0x20);
        Assert.Equal((1u, 1u), (m.Nt.SeTokenType(system), m.Nt.SeTokenType(user)));
        Assert.True(m.Nt.SeTokenIsAdmin(system));
        Assert.False(m.Nt.SeTokenIsAdmin(user));
        Assert.False(m.Nt.SeTokenIsRestricted(user));
        Assert.False(m.Nt.SeTokenIsWriteRestricted(user));
        Assert.Equal(2u, m.Nt.SeTokenImpersonationLevel(user));
        m.Nt.SeQueryAuthenticationIdToken(system, place);
        Assert.Equal(0x3E7UL, m.Read<ulong>(place));
        m.Nt.SeQuerySessionIdToken(user, place);
        Assert.Equal(1u, m.Read<uint>(place));
        m.Nt.PsDereferencePrimaryToken(system);
        m.Nt.PsDereferencePrimaryToken(user);
    }

    [Fact]
    public void Information_of_a_token_lies_in_pool()
    {
        using var m = new TestMachine();
        Va user = m.Nt.PsReferencePrimaryToken(m.Nt.Ps.UserProcess), place = m.Block(8);
        Assert.Equal(STATUS_SUCCESS, m.Nt.SeQueryInformationToken(user, 1, place));
        Va answer = m.Read<Va>(place);
        Assert.Equal(Se.OrdinaryUser, Sid.Read(m.Nt.Memory, m.Read<Va>(answer)));
        m.Nt.ExFreePool(answer);
        for (uint cls = 2; cls <= 11; cls++)
        {
            NtStatus status = m.Nt.SeQueryInformationToken(user, cls, place);
            Assert.Equal(cls == 9 ? STATUS_INVALID_INFO_CLASS : STATUS_SUCCESS, status);
            if (status.IsSuccess) m.Nt.ExFreePool(m.Read<Va>(place));
        }
        m.Nt.SeQueryInformationToken(user, 25, place);
        Assert.Equal(Token.MediumLevel, m.Read<uint>(place));
        Assert.Equal(STATUS_INVALID_INFO_CLASS, m.Nt.SeQueryInformationToken(user, 77, place));
    }

    [Fact]
    public void A_filtered_token_can_do_less()
    {
        using var m = new TestMachine();
        Va system = m.Nt.PsReferencePrimaryToken(m.Nt.Ps.SystemProcess), place = m.Block(8), groups = m.Block(0x20);
        m.Nt.Memory.Write(groups, 1UL);
        m.Nt.Memory.Write(groups + 8, m.Bytes(Sid.Administrators.Bytes));
        Assert.Equal(STATUS_SUCCESS, m.Nt.SeFilterToken(system, 1, groups, Va.Null, groups, place));
        Va made = m.Read<Va>(place);
        Assert.False(m.Nt.SeTokenIsAdmin(made));
        Assert.True(m.Nt.SeTokenIsRestricted(made));
        Assert.Equal([Privilege.SeChangeNotify], m.Nt.Se.TokenAt(made).Privileges.Keys);
        Assert.Equal(STATUS_INVALID_PARAMETER, m.Nt.SeFilterToken(system, 0x10, Va.Null, Va.Null, Va.Null, place));
    }

    [Fact]
    public void A_server_acts_as_its_client_and_as_itself_again()
    {
        using var m = new TestMachine();
        KThread thread = m.Nt.PsGetCurrentThread();
        var client = ClientContext.At(m.Nt.Memory, m.Block(ClientContext.Size));
        Va copy = m.Block(8), only = m.Block(8), level = m.Block(8), state = m.Block(16);
        Assert.Equal(STATUS_SUCCESS, m.Nt.SeCreateClientSecurity(thread, Qos(m, 2, false), false, client));
        Assert.Equal(2u, m.Nt.SeTokenType(client.ClientToken));
        Assert.Equal(STATUS_SUCCESS, m.Nt.SeImpersonateClientEx(client, KThread.At(m.Nt.Memory, Va.Null)));
        Assert.True(m.Nt.PsIsThreadImpersonating(thread));
        Va token = m.Nt.PsReferenceImpersonationToken(thread, copy, only, level);
        Assert.Equal((client.ClientToken, 2u), (token, m.Read<uint>(level)));
        m.Nt.PsDereferenceImpersonationToken(token);
        SubjectContext subject = Capture(m);
        Assert.Equal(token, subject.ClientToken);
        var second = ClientContext.At(m.Nt.Memory, m.Block(ClientContext.Size));
        Assert.Equal(STATUS_BAD_IMPERSONATION_LEVEL,
            m.Nt.SeCreateClientSecurityFromSubjectContext(subject, Qos(m, 3, true), false, second));
        Assert.Equal(STATUS_SUCCESS,
            m.Nt.SeCreateClientSecurityFromSubjectContext(subject, Qos(m, 1, true), false, second));
        Assert.Equal(token, second.ClientToken);
        m.Nt.SeReleaseSubjectContext(subject);
        Assert.True(m.Nt.PsDisableImpersonation(thread, state));
        Assert.False(m.Nt.PsIsThreadImpersonating(thread));
        m.Nt.PsRestoreImpersonation(thread, state);
        Assert.True(m.Nt.PsIsThreadImpersonating(thread));
        m.Nt.PsRevertToSelf();
        Assert.Equal(Va.Null, m.Nt.PsReferenceImpersonationToken(thread, copy, only, level));
        m.Nt.SeImpersonateClient(client, thread);
        m.Nt.PsRevertThreadToSelf(thread);
        Assert.False(m.Nt.PsIsThreadImpersonating(thread));
    }

    [Fact]
    public void Who_may_not_impersonate_may_only_look()
    {
        using var m = new TestMachine();
        Va system = m.Nt.PsReferencePrimaryToken(m.Nt.Ps.SystemProcess), level = m.Block(8);
        KThread thread = m.Nt.PsGetCurrentThread();
        Assert.Equal(STATUS_SUCCESS, m.Nt.PsImpersonateClient(thread, system, true, false, 2));
        m.Nt.PsReferenceImpersonationToken(thread, m.Block(8), m.Block(8), level);
        Assert.Equal(1u, m.Read<uint>(level));
        Assert.Equal(STATUS_BAD_IMPERSONATION_LEVEL,
            m.Nt.Se.CheckObject(Sddl.Parse("D:(A;;GA;;;WD)", GenericMapping.OfFile), 1, GenericMapping.OfFile, out _));
        Assert.Equal(STATUS_SUCCESS, m.Nt.PsAssignImpersonationToken(thread, default));
    }

    [Fact]
    public void Descriptors_are_assigned_queried_changed_and_freed()
    {
        using var m = new TestMachine();
        SubjectContext subject = Capture(m);
        Va place = m.Block(8), mapping = Mapping(m), parts = m.Bytes([4, 0, 0, 0]), length = m.Block(8);
        Va parent = m.Descriptor("O:BAG:SYD:(A;OICI;FR;;;BU)(A;CIIO;FA;;;CO)", GenericMapping.OfFile);
        Assert.Equal(STATUS_SUCCESS, m.Nt.SeAssignSecurity(parent, Va.Null, place, true, subject, mapping, 1));
        SecurityInfo made = SecurityInfo.Read(m.Nt.Memory, m.Read<Va>(place))!;
        Assert.Equal(Se.OrdinaryUser, made.Owner);
        Assert.Contains(made.Dacl!.Entries, e => e.Sid!.Equals(Se.OrdinaryUser) && e.Mask == 0x1F_01FF);
        Va buffer = m.Block(0x200);
        Assert.Equal(STATUS_BUFFER_TOO_SMALL, m.Nt.SeQuerySecurityDescriptorInfo(parts, buffer, length, place));
        m.Nt.Memory.Write(length, 0x200u);
        Assert.Equal(STATUS_SUCCESS, m.Nt.SeQuerySecurityDescriptorInfo(parts, buffer, length, place));
        Assert.True(m.Nt.SeValidSecurityDescriptor(m.Read<uint>(length), buffer));
        Assert.False(m.Nt.SeValidSecurityDescriptor(10, buffer));
        Va old = m.Read<Va>(place), change = m.Descriptor("D:(A;;GA;;;SY)", GenericMapping.OfFile);
        Assert.Equal(STATUS_SUCCESS, m.Nt.SeSetSecurityDescriptorInfo(Va.Null, parts, change, place, 1, mapping));
        m.Nt.ExFreePool(old);
        old = m.Read<Va>(place);
        Assert.Equal(STATUS_SUCCESS,
            m.Nt.SeSetSecurityDescriptorInfoEx(Va.Null, parts, change, place, 0, 1, mapping));
        m.Nt.ExFreePool(old);
        Assert.Single(SecurityInfo.Read(m.Nt.Memory, m.Read<Va>(place))!.Dacl!.Entries);
        Assert.Equal(STATUS_SUCCESS, m.Nt.SeDeassignSecurity(place));
        Assert.Equal(Va.Null, m.Read<Va>(place));
        Assert.Equal(STATUS_NO_SECURITY_ON_OBJECT,
            m.Nt.SeSetSecurityDescriptorInfo(Va.Null, parts, change, place, 1, mapping));
        Assert.Equal(STATUS_SUCCESS,
            m.Nt.SeAssignSecurityEx(Va.Null, change, place, Va.Null, false, 0, subject, mapping, 1));
        Assert.Equal(STATUS_SUCCESS, m.Nt.SeReleaseSecurityDescriptor(m.Read<Va>(place), 0, true));
        Assert.False(m.Nt.SeAuditingFileEvents(true, change));
        Assert.False(m.Nt.SeAuditingFileOrGlobalEvents(true, change, subject));
    }

    [Fact]
    public void A_descriptor_is_captured_unless_it_is_the_kernels_own()
    {
        using var m = new TestMachine();
        Va place = m.Block(8);
        var descriptor = SecurityDescriptor.At(
            m.Nt.Memory, m.Descriptor("O:BAD:(A;;GA;;;SY)", GenericMapping.OfFile));
        Assert.Equal(STATUS_SUCCESS, m.Nt.SeCaptureSecurityDescriptor(descriptor, 0, 1, false, place));
        Assert.Equal(descriptor.Address, m.Read<Va>(place));
        Assert.Equal(STATUS_SUCCESS, m.Nt.SeCaptureSecurityDescriptor(descriptor, 0, 1, true, place));
        Assert.Equal(Sid.Administrators, SecurityInfo.Read(m.Nt.Memory, m.Read<Va>(place))!.Owner);
        m.Nt.SeReleaseSecurityDescriptor(m.Read<Va>(place), 0, true);
    }

    [Fact]
    public void Nt_services_answer_bad_pointers_of_user_mode_with_a_status()
    {
        using var m = new TestMachine();
        Va kernel = m.Block(16), missing = new(0x1234_5000);
        KThread thread = m.Nt.PsGetCurrentThread();
        thread.PreviousMode = 1;
        Assert.Equal(STATUS_ACCESS_VIOLATION, m.Nt.NtOpenProcess(
            kernel, 1, ObjectAttributes.At(m.Nt.Memory, Va.Null), kernel));
        Assert.Equal(STATUS_ACCESS_VIOLATION, m.Nt.NtAllocateLocallyUniqueId(missing));
        thread.PreviousMode = 0;
        Assert.Equal(STATUS_SUCCESS, m.Nt.NtAllocateLocallyUniqueId(kernel));
    }

    [Fact]
    public void Security_of_objects_goes_out_and_in()
    {
        using var m = new TestMachine();
        Handle handle = m.Event(@"\BaseNamedObjects\Sec");
        Va body = m.Nt.Ob.Lookup(handle)!.Body, place = m.Block(8), allocated = m.Block(8), needed = m.Block(8);
        Va change = m.Descriptor("D:(A;;GA;;;SY)", m.Nt.Ob.EventType.Mapping), buffer = m.Block(0x200);
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwSetSecurityObject(handle, 4, change));
        Assert.Equal(STATUS_SUCCESS, m.Nt.NtSetSecurityObject(handle, 4, change));
        Assert.Equal(STATUS_SUCCESS, m.Nt.ObGetObjectSecurity(body, place, allocated));
        Assert.Single(SecurityInfo.Read(m.Nt.Memory, m.Read<Va>(place))!.Dacl!.Entries);
        m.Nt.ObReleaseObjectSecurity(m.Read<Va>(place), m.Read<byte>(allocated) != 0);
        Assert.Equal(STATUS_BUFFER_TOO_SMALL, m.Nt.ZwQuerySecurityObject(handle, 4, buffer, 4, needed));
        Assert.Equal(STATUS_SUCCESS, m.Nt.NtQuerySecurityObject(handle, 4, buffer, 0x200, needed));
        Assert.Null(SecurityInfo.Read(m.Nt.Memory, buffer)!.Owner);
    }

    [Fact]
    public void Exported_constants_have_their_true_places()
    {
        using var m = new TestMachine();
        Va exports = m.Nt.Se.SeExports;
        Assert.Equal(Privilege.SeRemoteShutdown, m.Read<ulong>(exports + 0xB0));
        Assert.Equal(Sid.World, Sid.Read(m.Nt.Memory, m.Read<Va>(exports + 0xC0)));
        Assert.Equal(Sid.LocalSystem, Sid.Read(m.Nt.Memory, m.Read<Va>(exports + 0x108)));
        Assert.Equal(Sid.Administrators, Sid.Read(m.Nt.Memory, m.Read<Va>(exports + 0x110)));
        Assert.Equal(3, SecurityInfo.ReadAcl(m.Nt.Memory, m.Nt.Se.SePublicDefaultDacl)!.Entries.Count);
        Assert.Equal(2, SecurityInfo.ReadAcl(m.Nt.Memory, m.Nt.Se.SeSystemDefaultDacl)!.Entries.Count);
    }

    [Fact]
    public void An_access_state_holds_its_subject_until_it_is_deleted()
    {
        using var m = new TestMachine();
        var state = AccessState.At(m.Nt.Memory, m.Block(AccessState.Size));
        Va auxiliary = m.Block(0xE0), mapping = Mapping(m), place = m.Block(8);
        Assert.Equal(STATUS_SUCCESS, m.Nt.SeCreateAccessState(state, auxiliary, 0x8000_0000, mapping));
        Assert.Equal((0x12_0089u, 0x8000_0000u), (state.RemainingDesiredAccess, state.OriginalDesiredAccess));
        Assert.Equal(m.Nt.Ps.UserProcess.Token, state.SubjectSecurityContext.PrimaryToken);
        m.Nt.SeSetAccessStateGenericMapping(state, mapping);
        m.Nt.SeDeleteAccessState(state);
        Assert.Equal(Va.Null, state.SubjectSecurityContext.PrimaryToken);
        Assert.Equal(STATUS_SUCCESS, m.Nt.SeLocateProcessImageName(m.Nt.Ps.SystemProcess, place));
        Assert.Equal("System", UnicodeString.At(m.Nt.Memory, m.Read<Va>(place)).Text);
        m.Nt.ExFreePool(m.Read<Va>(place));
    }

    [Fact]
    public void Logon_sessions_are_known_by_their_luid()
    {
        using var m = new TestMachine();
        Va luid = m.Block(8), routine = m.Routine(_ => 0);
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwAllocateLocallyUniqueId(luid));
        Assert.Equal(STATUS_NOT_FOUND, m.Nt.SeMarkLogonSessionForTerminationNotification(luid));
        Assert.Equal(STATUS_SUCCESS, m.Nt.NtAllocateLocallyUniqueId(luid));
        m.Nt.Memory.Write(luid, 0x3E7UL);
        Assert.Equal(STATUS_SUCCESS, m.Nt.SeMarkLogonSessionForTerminationNotification(luid));
        Assert.Equal(STATUS_SUCCESS, m.Nt.SeRegisterLogonSessionTerminatedRoutine(routine));
        Assert.Equal(STATUS_SUCCESS, m.Nt.SeUnregisterLogonSessionTerminatedRoutine(routine));
        Assert.Equal(STATUS_NOT_FOUND, m.Nt.SeUnregisterLogonSessionTerminatedRoutine(routine));
    }
}
