using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

public sealed class ObNameTests
{
    const uint Kernel = ObjectRequest.OBJ_KERNEL_HANDLE;

    static NtStatus Directory(TestMachine m, string name, out Handle handle, Handle root = default, uint more = 0)
    {
        Va place = m.Block(8);
        NtStatus status = m.Nt.ZwCreateDirectoryObject(place, 0xF000F, m.Attributes(name, Kernel | more, root));
        handle = m.Read<Handle>(place);
        return status;
    }

    [Fact]
    public void A_name_goes_with_the_last_handle()
    {
        using var m = new TestMachine();
        Handle first = m.Event(@"\BaseNamedObjects\E");
        Va place = m.Block(8);
        NtStatus Open() => m.Nt.ZwOpenEvent(place, 1, m.Attributes(@"\basenamedobjects\e", Kernel));
        Assert.Equal(STATUS_SUCCESS, Open());
        m.Nt.ZwClose(first);
        Handle second = m.Read<Handle>(place);
        Assert.Equal(STATUS_SUCCESS, Open());
        m.Nt.ZwClose(second);
        m.Nt.ZwClose(m.Read<Handle>(place));
        Assert.Equal(STATUS_OBJECT_NAME_NOT_FOUND, Open());
    }

    [Fact]
    public void A_permanent_object_stays_until_it_is_made_temporary()
    {
        using var m = new TestMachine();
        Va place = m.Block(8);
        m.Nt.ZwClose(m.Event(@"\BaseNamedObjects\P", attributes: Kernel | ObjectRequest.OBJ_PERMANENT));
        NtStatus Open() => m.Nt.ZwOpenEvent(place, 1, m.Attributes(@"\BaseNamedObjects\P", Kernel));
        Assert.Equal(STATUS_SUCCESS, Open());
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwMakeTemporaryObject(m.Read<Handle>(place)));
        Assert.Equal(STATUS_SUCCESS, m.Nt.NtMakePermanentObject(m.Read<Handle>(place)));
        m.Nt.ZwClose(m.Read<Handle>(place));
        Assert.Equal(STATUS_SUCCESS, Open());
        m.Nt.ObMakeTemporaryObject(m.Nt.Ob.Lookup(m.Read<Handle>(place))!.Body);
        m.Nt.ZwClose(m.Read<Handle>(place));
        Assert.Equal(STATUS_OBJECT_NAME_NOT_FOUND, Open());
    }

    [Fact]
    public void Creating_twice_collides_or_opens_what_is_there()
    {
        using var m = new TestMachine();
        m.Event(@"\BaseNamedObjects\Twice");
        Va place = m.Block(8);
        Assert.Equal(STATUS_OBJECT_NAME_COLLISION,
            m.Nt.ZwCreateEvent(place, 1, m.Attributes(@"\BaseNamedObjects\Twice", Kernel), 0, false));
        uint openIf = Kernel | ObjectRequest.OBJ_OPENIF;
        Assert.Equal(STATUS_OBJECT_NAME_EXISTS,
            m.Nt.ZwCreateEvent(place, 1, m.Attributes(@"\BaseNamedObjects\Twice", openIf), 0, false));
        Assert.Equal(STATUS_OBJECT_TYPE_MISMATCH,
            m.Nt.ZwCreateTimer(place, 1, m.Attributes(@"\BaseNamedObjects\Twice", openIf), 0));
    }

    [Fact]
    public void Names_that_are_none_are_refused()
    {
        using var m = new TestMachine();
        Va place = m.Block(8);
        NtStatus Open(string? name, uint attributes = 0) =>
            m.Nt.ZwOpenDirectoryObject(place, 1, m.Attributes(name, attributes));
        Assert.Equal(STATUS_OBJECT_PATH_SYNTAX_BAD, Open("Device"));
        Assert.Equal(STATUS_OBJECT_PATH_SYNTAX_BAD, Open(null));
        Assert.Equal(STATUS_OBJECT_NAME_INVALID, Open(@"\\Device"));
        Assert.Equal(STATUS_OBJECT_NAME_INVALID, Open(@"\Device\"));
        Assert.Equal(STATUS_OBJECT_PATH_NOT_FOUND, Open(@"\Nowhere\X"));
        Assert.Equal(STATUS_INVALID_PARAMETER, Open(@"\Device", 1));
        Assert.Equal(STATUS_SUCCESS, Open(@"\"));
        Assert.Equal(STATUS_REPARSE_POINT_ENCOUNTERED, Open(@"\DosDevices", ObjectRequest.OBJ_DONT_REPARSE));
    }

    [Fact]
    public void A_name_may_start_from_a_directory()
    {
        using var m = new TestMachine();
        Assert.Equal(STATUS_SUCCESS, Directory(m, @"\Mine", out Handle mine));
        Assert.Equal(STATUS_SUCCESS, Directory(m, "Below", out Handle below, mine));
        Va place = m.Block(8), buffer = m.Block(0x100), length = m.Block(8);
        Assert.Equal(STATUS_SUCCESS,
            m.Nt.ZwCreateEvent(place, 1, m.Attributes("Bell", Kernel, below), 0, true));
        Va bell = m.Nt.Ob.Lookup(m.Read<Handle>(place))!.Body;
        Assert.Equal(STATUS_SUCCESS, m.Nt.ObQueryNameString(bell, buffer, 0x100, length));
        Assert.Equal(@"\Mine\Below\Bell", UnicodeString.At(m.Nt.Memory, buffer).Text);
        Assert.Equal(STATUS_OBJECT_PATH_SYNTAX_BAD, m.Nt.ZwOpenEvent(place, 1, m.Attributes(@"\X", Kernel, below)));
    }

    [Fact]
    public void A_directory_lists_its_entries()
    {
        using var m = new TestMachine();
        Directory(m, @"\List", out Handle list);
        m.Event(@"\List\B");
        Directory(m, @"\List\A", out _);
        Va buffer = m.Block(0x200), context = m.Block(8), length = m.Block(8);
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwQueryDirectoryObject(list, buffer, 0x200, true, true, context, length));
        Assert.Equal("A", UnicodeString.At(m.Nt.Memory, buffer).Text);
        Assert.Equal("Directory", UnicodeString.At(m.Nt.Memory, buffer + 0x10).Text);
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwQueryDirectoryObject(list, buffer, 0x200, true, false, context, length));
        Assert.Equal("B", UnicodeString.At(m.Nt.Memory, buffer).Text);
        Assert.Equal(STATUS_NO_MORE_ENTRIES,
            m.Nt.ZwQueryDirectoryObject(list, buffer, 0x200, false, false, context, length));
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwQueryDirectoryObject(list, buffer, 0x200, false, true, context, length));
        Assert.Equal("B", UnicodeString.At(m.Nt.Memory, buffer + 0x20).Text);
        Assert.Equal(STATUS_BUFFER_TOO_SMALL,
            m.Nt.ZwQueryDirectoryObject(list, buffer, 0x20, true, true, context, length));
    }

    [Fact]
    public void A_link_leads_on_and_can_be_asked_where()
    {
        using var m = new TestMachine();
        Va place = m.Block(8), length = m.Block(8);
        Handle target = m.Event(@"\BaseNamedObjects\Goal");
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwCreateSymbolicLinkObject(
            place, 0xF0001, m.Attributes(@"\Way", Kernel), m.Text(@"\BaseNamedObjects")));
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwOpenEvent(place, 1, m.Attributes(@"\Way\Goal", Kernel)));
        Assert.Equal(m.Nt.Ob.Lookup(target)!.Body, m.Nt.Ob.Lookup(m.Read<Handle>(place))!.Body);
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwOpenSymbolicLinkObject(place, 1, m.Attributes(@"\Way", Kernel)));
        UnicodeString answer = m.Text(new string('?', 40));
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwQuerySymbolicLinkObject(m.Read<Handle>(place), answer, length));
        Assert.Equal(@"\BaseNamedObjects", answer.Text);
        Assert.Equal(36u, m.Read<uint>(length));
        answer.MaximumLength = 34;
        Assert.Equal(STATUS_BUFFER_TOO_SMALL,
            m.Nt.ZwQuerySymbolicLinkObject(m.Read<Handle>(place), answer, length));
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwQuerySymbolicLinkObject(m.Read<Handle>(place), answer, Va.Null));
    }

    [Fact]
    public void Links_in_a_ring_end()
    {
        using var m = new TestMachine();
        Va place = m.Block(8);
        m.Nt.ZwCreateSymbolicLinkObject(place, 1, m.Attributes(@"\Ring1", Kernel), m.Text(@"\Ring2"));
        m.Nt.ZwCreateSymbolicLinkObject(place, 1, m.Attributes(@"\Ring2", Kernel), m.Text(@"\Ring1"));
        Assert.Equal(STATUS_REPARSE_POINT_NOT_RESOLVED,
            m.Nt.ZwOpenEvent(place, 1, m.Attributes(@"\Ring1", Kernel)));
        Assert.Equal(STATUS_REPARSE_POINT_NOT_RESOLVED,
            m.Nt.ZwCreateEvent(place, 1, m.Attributes(@"\Ring1", Kernel), 0, false));
    }

    [Fact]
    public void The_lengths_of_a_name_are_told_exactly()
    {
        using var m = new TestMachine();
        Va named = m.Nt.Ob.Lookup(m.Event(@"\BaseNamedObjects\N"))!.Body;
        Va bare = m.Nt.Ob.Lookup(m.Event())!.Body, buffer = m.Block(0x100), length = m.Block(8);
        Assert.Equal(STATUS_INFO_LENGTH_MISMATCH, m.Nt.ObQueryNameString(named, Va.Null, 0, length));
        Assert.Equal(0x10u + 20 * 2, m.Read<uint>(length));
        Assert.Equal(STATUS_INFO_LENGTH_MISMATCH, m.Nt.ObQueryNameString(named, buffer, 0x37, length));
        Assert.Equal(STATUS_SUCCESS, m.Nt.ObQueryNameString(named, buffer, 0x38, length));
        Assert.Equal(STATUS_INFO_LENGTH_MISMATCH, m.Nt.ObQueryNameString(bare, Va.Null, 0, length));
        Assert.Equal(0x10u, m.Read<uint>(length));
        Assert.Equal(STATUS_SUCCESS, m.Nt.ObQueryNameString(bare, buffer, 0x10, length));
        Assert.Equal(0, UnicodeString.At(m.Nt.Memory, buffer).Length);
        Assert.Equal(STATUS_SUCCESS, m.Nt.ObQueryNameString(m.Nt.Ob.Root.Body, buffer, 0x100, length));
        Assert.Equal(@"\", UnicodeString.At(m.Nt.Memory, buffer).Text);
    }

    [Fact]
    public void A_driver_is_found_by_name_and_a_device_opens_as_a_file()
    {
        using var m = new TestMachine();
        DriverObject driver = m.Driver();
        DeviceObject device = m.Device(driver, @"\Device\Named");
        Va place = m.Block(8);
        Assert.Equal(STATUS_SUCCESS, m.Nt.ObReferenceObjectByName(
            m.Text(@"\Driver\objects"), 0, Va.Null, 0, m.Nt.Ob.DriverType.Address, 0, Va.Null, place));
        Assert.Equal(driver.Address, m.Read<Va>(place));
        Assert.Equal(STATUS_OBJECT_TYPE_MISMATCH, m.Nt.ObReferenceObjectByName(
            m.Text(@"\Device\Named"), 0, Va.Null, 0, m.Nt.Ob.DeviceType.Address, 0, Va.Null, place));
        driver.SetMajorFunction(IrpMajor.IRP_MJ_CREATE, m.Routine(call =>
        {
            m.Nt.IofCompleteRequest(Irp.At(m.Nt.Memory, new Va(call.Argument(1))), 0);
            return 0;
        }));
        Assert.Equal(STATUS_SUCCESS, m.Nt.ObOpenObjectByName(
            m.Attributes(@"\Device\Named\part", Kernel), Va.Null, 0, Va.Null, 1, Va.Null, place));
        NtObject file = m.Nt.Ob.Lookup(m.Read<Handle>(place))!;
        Assert.Equal(m.Nt.Ob.FileType, file.Type);
        Va buffer = m.Block(0x100), length = m.Block(8);
        Assert.Equal(STATUS_BUFFER_OVERFLOW, m.Nt.ObQueryNameString(file.Body, buffer, 0x10, length));
        m.Nt.ObQueryNameString(file.Body, buffer, 0x100, length);
        Assert.Equal(@"\Device\Named\part", UnicodeString.At(m.Nt.Memory, buffer).Text);
        Assert.False(device.IsNull);
    }

    [Fact]
    public void A_driver_makes_an_object_and_inserts_it()
    {
        using var m = new TestMachine();
        Va place = m.Block(8), handle = m.Block(8), type = m.Nt.Ob.EventType.Address;
        Assert.Equal(STATUS_SUCCESS, m.Nt.ObCreateObject(
            0, type, m.Attributes(@"\BaseNamedObjects\Own", Kernel), 0, Va.Null, 0x40, 0, 0, place));
        Va body = m.Read<Va>(place);
        Assert.Equal(STATUS_OBJECT_NAME_NOT_FOUND,
            m.Nt.ZwOpenEvent(handle, 1, m.Attributes(@"\BaseNamedObjects\Own", Kernel)));
        Assert.Equal(STATUS_SUCCESS, m.Nt.ObInsertObject(body, Va.Null, 1, 1, place, handle));
        Assert.Equal(body, m.Nt.Ob.Lookup(m.Read<Handle>(handle))!.Body);
        Assert.Equal(STATUS_INVALID_PARAMETER, m.Nt.ObInsertObject(body, Va.Null, 1, 0, place, handle));
        m.Nt.ZwClose(m.Read<Handle>(handle));
        Assert.Equal(0, m.Nt.ObfDereferenceObject(body));
        Assert.Equal(STATUS_INVALID_PARAMETER, m.Nt.ObCreateObject(
            0, m.Nt.Ob.TokenType.Address, m.Attributes(null), 0, Va.Null, 0x40, 0, 0, place));
        Assert.Equal(STATUS_INSUFFICIENT_RESOURCES, m.Nt.ObCreateObject(
            0, type, m.Attributes(null), 0, Va.Null, 0x7FFF_FFFF, 0, 0, place));
    }
}
