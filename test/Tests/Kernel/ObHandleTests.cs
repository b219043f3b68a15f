using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

public sealed class ObHandleTests
{
    const uint All = 0x1F_0003, Kernel = ObjectRequest.OBJ_KERNEL_HANDLE;

    [Fact]
    public void A_kernel_handle_is_good_in_every_process_and_not_for_user_mode()
    {
        using var m = new TestMachine();
        Handle handle = m.Event();
        Assert.True(m.Nt.ObIsKernelHandle(handle));
        Va place = m.Block(8);
        Assert.Equal(STATUS_SUCCESS, m.Nt.ObReferenceObjectByHandle(handle, 2, Va.Null, 0, place, Va.Null));
        m.Nt.ObfDereferenceObject(m.Read<Va>(place));
        Assert.Equal(STATUS_INVALID_HANDLE, m.Nt.ObReferenceObjectByHandle(handle, 2, Va.Null, 1, place, Va.Null));
        Assert.Equal(Va.Null, m.Read<Va>(place));
        Assert.Equal(STATUS_INVALID_HANDLE, m.Nt.ObCloseHandle(handle, 1));
        Assert.Equal(STATUS_SUCCESS, m.Nt.ObCloseHandle(handle, 0));
    }

    [Fact]
    public void A_user_handle_is_good_in_its_process_only()
    {
        using var m = new TestMachine();
        Handle handle = m.Event(attributes: 0);
        Assert.False(m.Nt.ObIsKernelHandle(handle));
        Assert.Equal(STATUS_SUCCESS, m.Nt.Ps.CreateUserProcess(@"\other.exe", out NtProcess? other));
        Va place = m.Block(8);
        NtStatus Look() =>
            m.Nt.ObReferenceObjectByHandleWithTag(handle, 0, m.Nt.Ob.EventType.Address, 0, 1, place, Va.Null);
        Assert.Equal(STATUS_INVALID_HANDLE, m.Nt.Ps.InProcess(other!, Look));
        Assert.Equal(STATUS_SUCCESS, Look());
    }

    [Fact]
    public void The_rights_of_a_handle_count_for_user_mode()
    {
        using var m = new TestMachine();
        Handle handle = m.Event(access: 0x10_0000, attributes: 0);
        Va place = m.Block(8), information = m.Block(8);
        Assert.Equal(STATUS_ACCESS_DENIED, m.Nt.ObReferenceObjectByHandle(handle, 2, Va.Null, 1, place, Va.Null));
        Assert.Equal(STATUS_SUCCESS, m.Nt.ObReferenceObjectByHandle(handle, 2, Va.Null, 0, place, information));
        Assert.Equal(0x10_0000UL << 32, m.Read<ulong>(information));
        Assert.Equal(STATUS_OBJECT_TYPE_MISMATCH,
            m.Nt.ObReferenceObjectByHandle(handle, 0, m.Nt.Ob.FileType.Address, 0, place, Va.Null));
    }

    [Fact]
    public void Generic_rights_become_those_of_the_type()
    {
        using var m = new TestMachine();
        Handle handle = m.Event(access: 0x8000_0000);
        Va information = m.Block(8), place = m.Block(8);
        m.Nt.ObReferenceObjectByHandle(handle, 0, Va.Null, 0, place, information);
        Assert.Equal(0x2_0001u, m.Read<uint>(information + 4));
    }

    [Fact]
    public void Pseudo_handles_are_the_process_and_the_thread()
    {
        using var m = new TestMachine();
        Va place = m.Block(8);
        m.Nt.ObReferenceObjectByHandle(new Handle(ulong.MaxValue), 0, m.Nt.Ob.ProcessType.Address, 1, place, Va.Null);
        Assert.Equal(m.Nt.Ps.UserProcess.Address, m.Read<Va>(place));
        m.Nt.ObReferenceObjectByHandle(new Handle(ulong.MaxValue - 1), 0, Va.Null, 1, place, Va.Null);
        Assert.Equal(m.Nt.PsGetCurrentThread().Address, m.Read<Va>(place));
        Assert.False(m.Nt.ObIsKernelHandle(new Handle(ulong.MaxValue)));
    }

    [Fact]
    public void A_bad_kernel_handle_that_kernel_mode_closes_stops_the_machine()
    {
        using var m = new TestMachine();
        Handle handle = m.Event();
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwClose(handle));
        var stop = Assert.Throws<BugCheck>(() => m.Nt.ZwClose(handle));
        Assert.Equal(BugCheckCode.INVALID_KERNEL_HANDLE, stop.Code);
        Assert.Equal(STATUS_INVALID_HANDLE, m.Nt.ZwClose(new Handle(0x1234)));
    }

    [Fact]
    public void NtClose_believes_the_previous_mode()
    {
        using var m = new TestMachine();
        Handle kernel = m.Event(), user = m.Event(attributes: 0);
        Assert.Equal(STATUS_INVALID_HANDLE, m.AsUser(() => m.Nt.NtClose(kernel)));
        Assert.Equal(STATUS_SUCCESS, m.AsUser(() => m.Nt.NtClose(user)));
        Assert.Equal(STATUS_SUCCESS, m.Nt.NtClose(kernel));
    }

    [Fact]
    public void A_protected_handle_cannot_be_closed()
    {
        using var m = new TestMachine();
        Handle handle = m.Event(attributes: 0);
        Va flags = m.Bytes([1, 1]), answer = m.Block(8);
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwSetInformationObject(handle, 4, flags, 2));
        Assert.Equal(STATUS_HANDLE_NOT_CLOSABLE, m.Nt.ZwClose(handle));
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwQueryObject(handle, 4, answer, 2, Va.Null));
        Assert.Equal(0x101, m.Read<ushort>(answer));
        Assert.Equal(STATUS_SUCCESS, m.Nt.ObSetHandleAttributes(handle, m.Bytes([0, 0]), 0));
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwClose(handle));
        Assert.Equal(STATUS_INFO_LENGTH_MISMATCH, m.Nt.ZwSetInformationObject(handle, 4, flags, 1));
    }

    [Fact]
    public void A_duplicate_goes_to_another_process_with_fewer_rights()
    {
        using var m = new TestMachine();
        m.Nt.Ps.CreateUserProcess(@"\other.exe", out NtProcess? other);
        Handle handle = m.Event(attributes: 0), self = new(ulong.MaxValue);
        Va place = m.Block(8), information = m.Block(8), body = m.Block(8);
        Handle target = m.Nt.Ob.Open(m.Nt.Ob.At(other!.Object.Address), 0x1F_FFFF, kernelHandle: true);
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwDuplicateObject(self, handle, target, place, 0x10_0000, 0, 0));
        Handle copy = m.Read<Handle>(place);
        m.Nt.Ps.InProcess(other, () => m.Nt.ObReferenceObjectByHandle(copy, 0, Va.Null, 0, body, information));
        Assert.Equal(0x10_0000u, m.Read<uint>(information + 4));
        // DUPLICATE_CLOSE_SOURCE | DUPLICATE_SAME_ACCESS
        Assert.Equal(STATUS_SUCCESS, m.Nt.NtDuplicateObject(self, handle, self, place, 0, 0, 3));
        Assert.Equal(STATUS_INVALID_HANDLE, m.Nt.ZwClose(handle));
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwClose(m.Read<Handle>(place)));
    }

    [Fact]
    public void The_last_reference_deletes_and_none_is_taken_too_many()
    {
        using var m = new TestMachine();
        Handle handle = m.Event();
        Va place = m.Block(8);
        m.Nt.ObReferenceObjectByHandle(handle, 0, Va.Null, 0, place, Va.Null);
        Va body = m.Read<Va>(place);
        Assert.Equal(3, m.Nt.ObfReferenceObject(body));
        Assert.Equal(4, m.Nt.ObfReferenceObjectWithTag(body, 1));
        Assert.Equal(3, m.Nt.ObfDereferenceObjectWithTag(body, 1));
        Assert.True(m.Nt.ObReferenceObjectSafe(body));
        Assert.True(m.Nt.ObReferenceObjectSafeWithTag(body, 1));
        Assert.Equal(STATUS_SUCCESS, m.Nt.ObReferenceObjectByPointer(body, 0, m.Nt.Ob.EventType.Address, 1));
        Assert.Equal(STATUS_SUCCESS, m.Nt.ObReferenceObjectByPointerWithTag(body, 0, Va.Null, 0, 1));
        Assert.Equal(STATUS_OBJECT_TYPE_MISMATCH, m.Nt.ObReferenceObjectByPointer(body, 0, Va.Null, 1));
        Assert.Equal(m.Nt.Ob.EventType.Address, m.Nt.ObGetObjectType(body));
        m.Nt.ZwClose(handle);
        for (int i = 0; i < 4; i++) m.Nt.ObfDereferenceObject(body);
        m.Nt.ObDereferenceObject(body);
        m.Nt.ObDereferenceObjectDeferDelete(body);
        Assert.False(m.Nt.ObReferenceObjectSafe(body));
        Assert.Equal(BugCheckCode.REFERENCE_BY_POINTER,
            Assert.Throws<BugCheck>(() => m.Nt.ObfReferenceObject(body)).Code);
        m.Nt.User.RunUntilIdle();
        Assert.Null(m.Nt.Ob.Find(body));
        Assert.Equal(BugCheckCode.REFERENCE_BY_POINTER,
            Assert.Throws<BugCheck>(() => m.Nt.ObfDereferenceObject(body)).Code);
    }

    [Fact]
    public void A_deferred_deletion_with_a_tag_is_one_too()
    {
        using var m = new TestMachine();
        Va body = m.Nt.Ob.Create(m.Nt.Ob.EventType, 0x18).Body;
        m.Nt.ObDereferenceObjectDeferDeleteWithTag(body, 1);
        Assert.NotNull(m.Nt.Ob.Find(body));
        m.Nt.User.RunUntilIdle();
        Assert.Null(m.Nt.Ob.Find(body));
    }

    [Fact]
    public void A_pointer_opens_a_handle()
    {
        using var m = new TestMachine();
        Handle first = m.Event();
        Va body = m.Nt.Ob.Lookup(first)!.Body, place = m.Block(8), audit = m.Bytes([9]);
        Assert.Equal(STATUS_SUCCESS, m.Nt.ObOpenObjectByPointer(body, Kernel, Va.Null, All, Va.Null, 0, place));
        Handle second = m.Read<Handle>(place);
        Assert.Equal(body, m.Nt.Ob.Lookup(second)!.Body);
        Assert.Equal(STATUS_SUCCESS,
            m.Nt.ObOpenObjectByPointerWithTag(body, 0, Va.Null, 1, m.Nt.Ob.EventType.Address, 1, 7, place));
        Assert.False(m.Nt.ObIsKernelHandle(m.Read<Handle>(place)));
        Assert.Equal(STATUS_OBJECT_TYPE_MISMATCH, m.Nt.ObOpenObjectByPointer(
            body, Kernel, Va.Null, All, m.Nt.Ob.FileType.Address, 0, place));
        Assert.Equal(STATUS_SUCCESS, m.Nt.ObQueryObjectAuditingByHandle(second, audit));
        Assert.Equal(0, m.Read<byte>(audit));
    }

    [Fact]
    public void An_exclusive_object_has_handles_of_one_process()
    {
        using var m = new TestMachine();
        m.Nt.Ps.CreateUserProcess(@"\other.exe", out NtProcess? other);
        Handle handle = m.Event(@"\BaseNamedObjects\One", attributes: ObjectRequest.OBJ_EXCLUSIVE);
        Va place = m.Block(8);
        NtStatus Open() => m.Nt.ZwOpenEvent(place, 1,
            m.Attributes(@"\BaseNamedObjects\One", ObjectRequest.OBJ_EXCLUSIVE));
        Assert.Equal(STATUS_ACCESS_DENIED, m.Nt.Ps.InProcess(other!, Open));
        Assert.Equal(STATUS_SUCCESS, Open());
        m.Nt.ZwClose(m.Read<Handle>(place));
        m.Nt.ZwClose(handle);
        Assert.Equal(STATUS_OBJECT_NAME_NOT_FOUND, Open());
    }

    [Fact]
    public void Basic_and_type_information_of_an_object()
    {
        using var m = new TestMachine();
        Handle handle = m.Event(@"\BaseNamedObjects\Info");
        Va buffer = m.Block(0x200), length = m.Block(8);
        Assert.Equal(STATUS_INFO_LENGTH_MISMATCH, m.Nt.ZwQueryObject(handle, 0, buffer, 8, length));
        Assert.Equal(0x38u, m.Read<uint>(length));
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwQueryObject(handle, 0, buffer, 0x38, length));
        Assert.Equal((All, 1u), (m.Read<uint>(buffer + 4), m.Read<uint>(buffer + 8)));
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwQueryObject(handle, 2, buffer, 0x200, length));
        Assert.Equal("Event", UnicodeString.At(m.Nt.Memory, buffer).Text);
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwQueryObject(handle, 1, buffer, 0x200, Va.Null));
        Assert.Equal(@"\BaseNamedObjects\Info", UnicodeString.At(m.Nt.Memory, buffer).Text);
        Assert.Equal(STATUS_INVALID_INFO_CLASS, m.Nt.ZwQueryObject(handle, 99, buffer, 0x200, length));
    }
}
