using Ringdown.Kernel;
using Ringdown.Machine;
using Xunit;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>The registry by relative paths and by tables.</summary>
public sealed class RtlRegistryTests
{
    const uint Services = 1, Subkey = 1, TopKey = 2, Required = 4, NoValue = 8, NoExpand = 0x10, Direct = 0x20;
    const uint Delete = 0x40, TypeCheck = 0x100;

    // Entries of a table, and the empty one that ends it.
    static Va Table(Keys k, params (Va Routine, uint Flags, string? Name, Va Context, uint Type, Va Data)[] entries)
    {
        Va table = k.M.Block((entries.Length + 1) * QueryRegistryTable.Size);
        for (int i = 0; i < entries.Length; i++)
        {
            var entry = QueryRegistryTable.At(k.Nt.Memory, table + i * QueryRegistryTable.Size);
            (entry.QueryRoutine, entry.Flags, entry.EntryContext) = (entries[i].Routine, entries[i].Flags,
                entries[i].Context);
            entry.Name = entries[i].Name is { } name ? k.M.Wide(name) : Va.Null;
            (entry.DefaultType, entry.DefaultData) = (entries[i].Type, entries[i].Data);
        }
        return table;
    }

    static NtStatus Query(Keys k, params (Va, uint, string?, Va, uint, Va)[] entries) =>
        k.Nt.RtlQueryRegistryValues(Services, k.M.Wide("T"), Table(k, entries), Va.Null, Va.Null);

    static Keys Prepared()
    {
        var k = new Keys();
        Handle key = k.Made(Keys.Services + @"\T"), sub = k.Made("S", root: key);
        k.Set(key, "d", RegistryValue.Dword(7));
        k.Set(key, "s", RegistryValue.String("text"));
        k.Set(key, "e", RegistryValue.ExpandString(@"%SystemRoot%\x%no%"));
        k.Set(key, "m", RegistryValue.MultiString("one", "two"));
        k.Set(key, "q", RegistryValue.Qword(0x1122334455667788));
        k.Set(sub, "d", RegistryValue.Dword(8));
        return k;
    }

    [Fact]
    public void Keys_and_values_are_checked_made_written_and_deleted()
    {
        using var k = new Keys();
        NtKernel nt = k.Nt;
        Va path = k.M.Wide("Fresh"), name = k.M.Wide("v");
        Assert.Equal(STATUS_OBJECT_NAME_NOT_FOUND, nt.RtlCheckRegistryKey(Services, path));
        Assert.Equal(STATUS_SUCCESS, nt.RtlCreateRegistryKey(Services, path));
        Assert.Equal(STATUS_SUCCESS, nt.RtlCheckRegistryKey(Services, path));
        Assert.Equal(STATUS_OBJECT_NAME_NOT_FOUND, nt.RtlCreateRegistryKey(Services, k.M.Wide(@"A\B")));
        Assert.Equal(STATUS_SUCCESS, nt.RtlWriteRegistryValue(Services, path, name, 4, k.M.Bytes(9, 0, 0, 0), 4));
        k.Open(Keys.Services + @"\Fresh", out Handle key);
        Assert.Equal([9, 0, 0, 0], k.Get(key, "v")!.Data);
        Assert.Equal(STATUS_SUCCESS, nt.RtlDeleteRegistryValue(0x4000_0000, new Va(key.Value), name));
        Assert.Equal(STATUS_OBJECT_NAME_NOT_FOUND, nt.RtlDeleteRegistryValue(Services, path, name));
        Assert.Equal(STATUS_INVALID_PARAMETER, nt.RtlCheckRegistryKey(9, path));
        UnicodeString user = k.M.Room(0);
        Assert.Equal(STATUS_SUCCESS, nt.RtlFormatCurrentUserKeyPath(user));
        Assert.Equal(STATUS_SUCCESS, nt.RtlCheckRegistryKey(0, k.M.Wide(user.Text)));
    }

    [Fact]
    public void Values_go_straight_where_entries_point()
    {
        using Keys k = Prepared();
        Va number = k.M.Block(4), quad = k.M.Block(16), plain = k.M.Block(8);
        UnicodeString text = k.M.Room(0), expanded = k.M.Room(0), whole = k.M.Room(0);
        text.Set(Va.Null, 0, 0);
        expanded.Set(Va.Null, 0, 0);
        whole.Set(Va.Null, 0, 0);
        k.Nt.Memory.Write(quad, 16);
        k.Nt.Memory.Write(plain, -8);
        Assert.Equal(STATUS_SUCCESS, Query(k,
            (Va.Null, Direct, "d", number, 0, Va.Null), (Va.Null, Direct, "s", text.Address, 0, Va.Null),
            (Va.Null, Direct, "e", expanded.Address, 0, Va.Null),
            (Va.Null, Direct | NoExpand, "m", whole.Address, 0, Va.Null),
            (Va.Null, Direct, "q", quad, 0, Va.Null), (Va.Null, Direct, "q", plain, 0, Va.Null)));
        Assert.Equal((7u, "text", @"C:\Windows\x%no%"), (k.M.U32(number), text.Text, expanded.Text));
        Assert.Equal("one\0two\0\0", whole.Text);
        Assert.Equal((8u, 11u, 0x1122334455667788UL), (k.M.U32(quad), k.M.U32(quad + 4), k.M.U64(quad + 8)));
        Assert.Equal(0x1122334455667788UL, k.M.U64(plain));
        Va both = k.M.Block(32);
        Assert.Equal(STATUS_SUCCESS, Query(k, (Va.Null, Direct, "m", both, 0, Va.Null)));
        Assert.Equal(("one", "two"), (UnicodeString.At(k.Nt.Memory, both).Text,
            UnicodeString.At(k.Nt.Memory, both + 16).Text));
        UnicodeString small = k.M.Room(4);
        Assert.Equal(STATUS_BUFFER_TOO_SMALL, Query(k, (Va.Null, Direct, "s", small.Address, 0, Va.Null)));
    }

    [Fact]
    public void Entries_require_check_default_and_delete()
    {
        using Keys k = Prepared();
        Va number = k.M.Block(4), fallback = k.M.Bytes(5, 0, 0, 0);
        Assert.Equal(STATUS_OBJECT_NAME_NOT_FOUND, Query(k, (Va.Null, Direct | Required, "x", number, 0, Va.Null)));
        Assert.Equal(STATUS_SUCCESS, Query(k, (Va.Null, Direct, "x", number, 4, fallback)));
        Assert.Equal(5u, k.M.U32(number));
        Assert.Equal(STATUS_OBJECT_TYPE_MISMATCH,
            Query(k, (Va.Null, Direct | TypeCheck, "s", number, 4u << 24, Va.Null)));
        Assert.Equal(STATUS_SUCCESS, Query(k, (Va.Null, Direct | TypeCheck, "d", number, 4u << 24, Va.Null)));
        Assert.Equal(STATUS_SUCCESS, Query(k, (Va.Null, Subkey, "S", Va.Null, 0, Va.Null),
            (Va.Null, Direct, "d", number, 0, Va.Null)));
        Assert.Equal(8u, k.M.U32(number));
        Assert.Equal(STATUS_SUCCESS, Query(k, (Va.Null, Subkey, "S", Va.Null, 0, Va.Null),
            (Va.Null, Direct | TopKey | Delete, "d", number, 0, Va.Null)));
        Assert.Equal(7u, k.M.U32(number));
        Assert.Equal(STATUS_OBJECT_NAME_NOT_FOUND, Query(k, (Va.Null, Direct | Required, "d", number, 0, Va.Null)));
        Assert.Equal(STATUS_INVALID_PARAMETER, Query(k, (Va.Null, Direct, null, number, 0, Va.Null)));
    }

    [Fact]
    public void A_routine_is_called_for_each_value_and_for_each_string()
    {
        using Keys k = Prepared();
        List<string> seen = [];
        Va routine = k.Nt.Routines.Add("query", (nt, call) =>
        {
            Va name = new(call.Argument(0));
            seen.Add($"{(name.IsNull ? "-" : k.M.WideAt(name))}:{call.Argument(1)}:{call.Argument(3)}");
            call.Return(0);
        });
        Assert.Equal(STATUS_SUCCESS, Query(k, (routine, 0, null, Va.Null, 0, Va.Null)));
        Assert.Equal(["d:4:4", "s:1:10", "e:1:34", "m:1:8", "m:1:8", "q:11:8"], seen);
        seen.Clear();
        Assert.Equal(STATUS_SUCCESS, Query(k, (routine, NoValue, "x", Va.Null, 0, Va.Null),
            (routine, NoExpand, "m", Va.Null, 0, Va.Null), (routine, Subkey, "S", Va.Null, 0, Va.Null)));
        Assert.Equal(["-:0:0", "m:7:18", "d:4:4"], seen);
        Va block = k.M.Wide("no=yes\0");
        seen.Clear();
        k.Nt.RtlQueryRegistryValues(Services, k.M.Wide("T"), Table(k, (routine, 0, "e", Va.Null, 0, Va.Null)),
            Va.Null, block);
        Assert.Equal(["e:1:36"], seen);
    }
}
