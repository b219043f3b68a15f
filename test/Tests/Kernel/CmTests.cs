using System.Text;
using FsCheck;
using FsCheck.Fluent;
using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using UnicodeString = Ringdown.Kernel.UnicodeString;
using Xunit;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>Calls the registry's services as a driver does.</summary>
sealed class Keys(TestMachine m) : IDisposable
{
    public const string Services = @"\Registry\Machine\System\CurrentControlSet\Services";

    public Keys() : this(new TestMachine())
    {
    }

    public TestMachine M { get; } = m;
    public NtKernel Nt => M.Nt;
    public Va Buffer { get; } = m.Block(0x1000);
    public Va Length { get; } = m.Block(4);

    public ObjectAttributes Attributes(string path, Handle root = default, uint flags = 0x240)
    {
        var made = ObjectAttributes.At(Nt.Memory, M.Block(ObjectAttributes.Size));
        (made.Length, made.RootDirectory, made.ObjectName, made.Attributes) = (0x30, root, M.Unicode(path), flags);
        return made;
    }

    public NtStatus Create(string path, out Handle handle, uint options = 0, Handle root = default)
    {
        NtStatus status = Nt.ZwCreateKey(Buffer, 0xF003F, Attributes(path, root), 0,
            UnicodeString.At(Nt.Memory, Va.Null), options, Length);
        handle = new Handle(M.U64(Buffer));
        return status;
    }

    public Handle Made(string path, uint options = 0, Handle root = default)
    {
        Assert.Equal(STATUS_SUCCESS, Create(path, out Handle handle, options, root));
        return handle;
    }

    public NtStatus Open(string path, out Handle handle, Handle root = default, uint flags = 0x240)
    {
        NtStatus status = Nt.ZwOpenKey(Buffer, 0x20019, Attributes(path, root, flags));
        handle = new Handle(M.U64(Buffer));
        return status;
    }

    public NtStatus Set(Handle key, string name, RegistryValue value) =>
        Nt.ZwSetValueKey(key, M.Unicode(name), 0, value.Type, M.Bytes(value.Data), (uint)value.Data.Length);

    public RegistryValue? Get(Handle key, string name)
    {
        NtStatus status = Nt.ZwQueryValueKey(key, M.Unicode(name), 2, Buffer, 0x1000, Length);
        return status.IsSuccess ? new RegistryValue(M.U32(Buffer + 4),
            Nt.Memory.ReadBytes(Buffer + 12, (int)M.U32(Buffer + 8)))
            : null;
    }

    public List<string> Subkeys(Handle key)
    {
        List<string> names = [];
        for (uint i = 0; Nt.ZwEnumerateKey(key, i, 0, Buffer, 0x1000, Length) == STATUS_SUCCESS; i++)
            names.Add(Encoding.Unicode.GetString(Nt.Memory.ReadBytes(Buffer + 16, (int)M.U32(Buffer + 12))));
        return names;
    }

    public List<string> Values(Handle key)
    {
        List<string> names = [];
        for (uint i = 0; Nt.ZwEnumerateValueKey(key, i, 0, Buffer, 0x1000, Length) == STATUS_SUCCESS; i++)
            names.Add(Encoding.Unicode.GetString(Nt.Memory.ReadBytes(Buffer + 12, (int)M.U32(Buffer + 8))));
        return names;
    }

    public void Dispose() => M.Dispose();
}

public sealed class CmTests
{
    [Fact]
    public void A_key_is_made_once_and_opened_by_any_case_and_from_another_key()
    {
        using var k = new Keys();
        Handle services = k.Made(Keys.Services), key = k.Made("Mine", root: services);
        Assert.Equal(1u, k.M.U32(k.Length));
        Assert.Equal(STATUS_SUCCESS, k.Create(Keys.Services + @"\MINE", out _));
        Assert.Equal(2u, k.M.U32(k.Length));
        Assert.Equal(STATUS_SUCCESS, k.Open("mine", out _, services));
        Assert.Equal(STATUS_SUCCESS, k.Nt.ZwOpenKeyEx(k.Buffer, 0x20019, k.Attributes("", key), 0));
        Assert.Equal(STATUS_OBJECT_NAME_NOT_FOUND, k.Create(@"a\b", out _, root: services));
        Assert.Equal(STATUS_OBJECT_PATH_SYNTAX_BAD, k.Open("mine", out _));
        Assert.Equal(STATUS_OBJECT_NAME_NOT_FOUND, k.Open(@"\Device\x", out _));
        Assert.Equal(STATUS_INVALID_PARAMETER, k.Create(new string('x', 256), out _, root: services));
    }

    [Fact]
    public void The_machine_boots_with_the_keys_that_drivers_look_for()
    {
        using var k = new Keys();
        foreach (string path in (string[])[@"System\CurrentControlSet\Control\Class", @"System\CurrentControlSet\Enum",
            @"System\CurrentControlSet\Control\SafeBoot", @"Hardware\Description\System\CentralProcessor\0"])
            Assert.Equal(STATUS_SUCCESS, k.Open(@"\Registry\Machine\" + path, out _));
        k.Open(@"\Registry\Machine\Software\Microsoft\Windows NT\CurrentVersion", out Handle version);
        Assert.Equal("19041", k.Get(version, "CurrentBuild")!.Text);
        k.Open(@"\REGISTRY\MACHINE\SYSTEM\CurrentControlSet\Control\Windows", out Handle windows);
        Assert.Equal("%SystemRoot%", k.Get(windows, "Directory")!.Text);
        k.Open(@"\Registry\Machine\System\CurrentControlSet", out Handle set);
        k.Nt.ZwQueryKey(set, 3, k.Buffer, 0x1000, k.Length);
        Assert.EndsWith(@"\ControlSet001", Encoding.Unicode.GetString(
            k.Nt.Memory.ReadBytes(k.Buffer + 4, (int)k.M.U32(k.Buffer))));
    }

    [Fact]
    public void Links_are_followed_opened_themselves_and_end_in_a_circle()
    {
        using var k = new Keys();
        Handle target = k.Made(Keys.Services + @"\Target"), link = k.Made(Keys.Services + @"\Link", options: 2 | 1);
        Assert.Equal(STATUS_ACCESS_DENIED, k.Set(link, "x", RegistryValue.Dword(1)));
        Assert.Equal(STATUS_SUCCESS, k.Set(link, "SymbolicLinkValue", RegistryValue.Link(Keys.Services + @"\Target")));
        k.Set(target, "v", RegistryValue.Dword(7));
        Assert.Equal(STATUS_SUCCESS, k.Open(Keys.Services + @"\Link", out Handle through));
        Assert.Equal(7u, BitConverter.ToUInt32(k.Get(through, "v")!.Data));
        Assert.Equal(STATUS_SUCCESS, k.Open(Keys.Services + @"\Link", out Handle itself, flags: 0x340));
        Assert.Null(k.Get(itself, "v"));
        Assert.Equal(STATUS_OBJECT_NAME_COLLISION, k.Create(Keys.Services + @"\Link", out _, options: 2));
        k.Set(link, "SymbolicLinkValue", RegistryValue.Link(Keys.Services + @"\Link"));
        Assert.Equal(STATUS_OBJECT_NAME_NOT_FOUND, k.Open(Keys.Services + @"\Link", out _));
    }

    [Fact]
    public void Answers_are_cut_where_the_buffer_ends()
    {
        using var k = new Keys();
        Handle key = k.Made(Keys.Services + @"\Cut");
        k.Set(key, "abc", RegistryValue.Binary(1, 2, 3, 4, 5));
        UnicodeString name = k.M.Unicode("ABC");
        (uint Class, uint Fixed, uint Whole)[] sizes = [(0, 12, 18), (1, 20, 33), (2, 12, 17), (3, 20, 37), (4, 8, 13)];
        foreach ((uint @class, uint @fixed, uint whole) in sizes)
        {
            Assert.Equal(STATUS_BUFFER_TOO_SMALL, k.Nt.ZwQueryValueKey(key, name, @class, k.Buffer, @fixed - 1,
                k.Length));
            Assert.Equal(STATUS_BUFFER_OVERFLOW, k.Nt.ZwQueryValueKey(key, name, @class, k.Buffer, @fixed, k.Length));
            Assert.Equal(whole, k.M.U32(k.Length));
            Assert.Equal(STATUS_SUCCESS, k.Nt.ZwQueryValueKey(key, name, @class, k.Buffer, whole, k.Length));
        }
        Assert.Equal(STATUS_DATATYPE_MISALIGNMENT, k.Nt.ZwQueryValueKey(key, name, 4, k.Buffer + 4, 100, k.Length));
        Assert.Equal(STATUS_INVALID_PARAMETER, k.Nt.ZwQueryValueKey(key, name, 9, k.Buffer, 100, k.Length));
        Assert.Equal(STATUS_OBJECT_NAME_NOT_FOUND, k.Nt.ZwQueryValueKey(key, k.M.Unicode("x"), 2, k.Buffer, 100,
            k.Length));
        foreach ((uint @class, uint whole) in ((uint, uint)[])[(0, 22), (1, 30), (2, 44), (4, 40), (5, 12), (6, 4),
            (7, 4)])
        {
            Assert.Equal(STATUS_SUCCESS, k.Nt.ZwQueryKey(key, @class, k.Buffer, 100, k.Length));
            Assert.Equal(whole, k.M.U32(k.Length));
        }
        k.Nt.ZwQueryKey(key, 2, k.Buffer, 100, k.Length);
        Assert.Equal((1u, 6u, 5u), (k.M.U32(k.Buffer + 32), k.M.U32(k.Buffer + 36), k.M.U32(k.Buffer + 40)));
    }

    [Fact]
    public void Keys_are_renamed_and_deleted_under_those_who_have_them_open()
    {
        using var k = new Keys();
        Handle parent = k.Made(Keys.Services + @"\P"), child = k.Made("C", root: parent), second = k.Made("D",
            root: parent);
        Assert.Equal(STATUS_CANNOT_DELETE, k.Nt.ZwDeleteKey(parent));
        Assert.Equal(STATUS_OBJECT_NAME_COLLISION, k.Nt.ZwRenameKey(child, k.M.Unicode("d")));
        Assert.Equal(STATUS_SUCCESS, k.Nt.ZwRenameKey(child, k.M.Unicode("E")));
        Assert.Equal(["D", "E"], k.Subkeys(parent));
        k.Set(child, "v", RegistryValue.Dword(1));
        Assert.Equal(STATUS_SUCCESS, k.Open("e", out Handle again, parent));
        Assert.NotNull(k.Get(again, "v"));
        Assert.Equal(STATUS_SUCCESS, k.Nt.ZwDeleteKey(child));
        Assert.Equal(STATUS_KEY_DELETED, k.Set(again, "v", RegistryValue.Dword(1)));
        Assert.Equal(STATUS_OBJECT_NAME_NOT_FOUND, k.Open("e", out _, parent));
        Assert.Equal(STATUS_SUCCESS, k.Nt.ZwFlushKey(second));
        Handle temporary = k.Made(Keys.Services + @"\V", options: 1);
        Assert.Equal(STATUS_CHILD_MUST_BE_VOLATILE, k.Create("x", out _, root: temporary));
    }

    [Fact]
    public void Several_values_are_read_at_once_and_information_is_set()
    {
        using var k = new Keys();
        Handle key = k.Made(Keys.Services + @"\M");
        k.Set(key, "a", RegistryValue.Binary(1));
        k.Set(key, "b", RegistryValue.Dword(2));
        Va entries = k.M.ListAt(k.M.Unicode("a").Address.Value, 0, 0, k.M.Unicode("b").Address.Value, 0, 0);
        Va needed = k.M.Block(4);
        k.Nt.Memory.Write(k.Length, 8u);
        Assert.Equal(STATUS_SUCCESS, k.Nt.ZwQueryMultipleValueKey(key, entries, 2, k.Buffer, k.Length, needed));
        Assert.Equal((4u, 4u, 2u), (k.M.U32(entries + 36), k.M.U32(entries + 40), k.M.U32(k.Buffer + 4)));
        k.Nt.Memory.Write(k.Length, 7u);
        Assert.Equal(STATUS_BUFFER_OVERFLOW, k.Nt.ZwQueryMultipleValueKey(key, entries, 2, k.Buffer, k.Length, needed));
        Assert.Equal(8u, k.M.U32(needed));
        Assert.Equal(STATUS_SUCCESS, k.Nt.ZwSetInformationKey(key, 0, k.M.ListAt(1234), 8));
        k.Nt.ZwQueryKey(key, 0, k.Buffer, 100, k.Length);
        Assert.Equal(1234UL, k.M.U64(k.Buffer));
        Assert.Equal(STATUS_INFO_LENGTH_MISMATCH, k.Nt.ZwSetInformationKey(key, 0, k.Buffer, 4));
        Assert.Equal(STATUS_SUCCESS, k.Nt.ZwDeleteValueKey(key, k.M.Unicode("A")));
        Assert.Equal(STATUS_OBJECT_NAME_NOT_FOUND, k.Nt.ZwDeleteValueKey(key, k.M.Unicode("A")));
        Assert.Equal(["b"], k.Values(key));
    }

    // Commands against dictionaries: keys a to d below one key, values x to z in them.
    [Fact]
    public void Any_row_of_commands_leaves_what_a_model_leaves()
    {
        var commands = Gen.ListOf(from what in Gen.Choose(0, 5)
                                  from key in Gen.Elements("a", "B", "c", "D", "A", "b")
                                  from value in Gen.Elements("x", "Y", "z", "X")
                                  from data in Gen.Choose(0, 1000)
                                  select (what, key, value, data));
        Prop.ForAll(commands.ToArbitrary(), list =>
        {
            using var k = new Keys();
            Handle root = k.Made(Keys.Services + @"\Model");
            SortedDictionary<string, Dictionary<string, int>> model = new(StringComparer.OrdinalIgnoreCase);
            foreach ((int what, string key, string value, int data) in list)
            {
                NtStatus opened = k.Open(key, out Handle handle, root);
                Assert.Equal(model.ContainsKey(key), opened.IsSuccess);
                if (what == 0)
                {
                    k.Made(key, root: root);
                    model.TryAdd(key, new(StringComparer.OrdinalIgnoreCase));
                }
                else if (!opened.IsSuccess) continue;
                else if (what < 4)
                {
                    Assert.Equal(STATUS_SUCCESS, k.Set(handle, value, RegistryValue.Dword((uint)data)));
                    model[key][value] = data;
                }
                else if (what == 4)
                    Assert.Equal(model[key].Remove(value),
                        k.Nt.ZwDeleteValueKey(handle, k.M.Unicode(value)) == STATUS_SUCCESS);
                else
                {
                    Assert.Equal(STATUS_SUCCESS, k.Nt.ZwDeleteKey(handle));
                    model.Remove(key);
                }
            }
            Assert.Equal(model.Keys, k.Subkeys(root));
            foreach ((string key, Dictionary<string, int> values) in model)
            {
                k.Open(key, out Handle handle, root);
                Assert.Equal(values.Keys.ToHashSet(), k.Values(handle).ToHashSet());
                foreach ((string name, int data) in values)
                    Assert.Equal((uint)data, BitConverter.ToUInt32(k.Get(handle, name)!.Data));
            }
        }).Check(GuestText.Properties(40));
    }

    [Fact]
    public void A_descriptor_of_a_key_is_there_when_it_is_opened_again()
    {
        using var k = new Keys();
        Handle key = k.Made(Keys.Services + @"\S");
        var descriptor = SecurityDescriptor.At(k.Nt.Memory, k.M.Block(SecurityDescriptor.Size));
        k.Nt.RtlCreateSecurityDescriptor(descriptor, 1);
        Assert.Equal(STATUS_SUCCESS, k.Nt.ZwSetSecurityObject(key, 4, descriptor.Address));
        k.Nt.ZwClose(key);
        k.Open(Keys.Services + @"\S", out key);
        Va kept = k.Nt.Ob.Lookup(key)!.Header.SecurityDescriptor;
        Assert.Equal(1, SecurityDescriptor.At(k.Nt.Memory, kept).Revision);
    }
}
