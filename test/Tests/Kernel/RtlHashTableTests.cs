using FsCheck;
using FsCheck.Fluent;
using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;

namespace Ringdown.Tests;

public sealed class RtlHashTableTests
{
    // 0 to 3 insert, 4 and 5 remove, 6 expands, 7 contracts.
    [Fact]
    public void A_hash_table_holds_what_a_list_holds_while_it_grows_and_shrinks()
    {
        using var m = new TestMachine();
        NtKernel nt = m.Nt;
        var none = HashTableContext.At(nt.Memory, Va.Null);
        var context = HashTableContext.At(nt.Memory, m.Block(HashTableContext.Size));
        Va pointer = m.Block(8);
        var commands = Gen.ListOf(from kind in Gen.Choose(0, 7)
                                  from signature in Gen.OneOf(Gen.Choose(0, 600), Gen.Choose(124, 131))
                                  select (kind, (ulong)signature));
        Prop.ForAll(commands.ToArbitrary(), list =>
        {
            nt.Memory.Write(pointer, Va.Null);
            Assert.True(nt.RtlCreateHashTable(pointer, 0, 0));
            var table = RtlDynamicHashTable.At(nt.Memory, nt.Memory.Read<Va>(pointer));
            List<(ulong Signature, HashTableEntry Entry)> model = [];
            foreach ((int kind, ulong signature) in list)
            {
                if (kind < 4)
                {
                    var entry = HashTableEntry.At(nt.Memory, m.Block(HashTableEntry.Size));
                    Assert.True(nt.RtlInsertEntryHashTable(table, entry, signature, none));
                    model.Add((Math.Max(1, signature), entry));
                }
                else if (kind < 6 && model.Count > 0)
                {
                    int at = (int)signature % model.Count;
                    Assert.True(nt.RtlRemoveEntryHashTable(table, model[at].Entry, none));
                    model.RemoveAt(at);
                }
                else if (kind == 6) Assert.True(nt.RtlExpandHashTable(table));
                else if (kind == 7) Assert.Equal(table.TableSize > 128, nt.RtlContractHashTable(table));
            }
            Assert.Equal((uint)model.Count, table.NumEntries);
            foreach (ulong signature in model.Select(e => e.Signature).Distinct().ToArray())
            {
                HashSet<HashTableEntry> found = [];
                for (HashTableEntry e = nt.RtlLookupEntryHashTable(table, signature, context); !e.IsNull;
                    e = nt.RtlGetNextEntryHashTable(table, context)) found.Add(e);
                Assert.Equal(model.Where(e => e.Signature == signature).Select(e => e.Entry).ToHashSet(), found);
            }
            Assert.True(nt.RtlLookupEntryHashTable(table, 100_000, none).IsNull);
            Assert.Equal(model.Select(e => e.Entry).ToHashSet(), Enumerated(m, table, weak: false));
            Assert.Equal(model.Select(e => e.Entry).ToHashSet(), Enumerated(m, table, weak: true));
            nt.RtlDeleteHashTable(table);
        }).Check(GuestText.Properties(40));
    }

    static HashSet<HashTableEntry> Enumerated(TestMachine m, RtlDynamicHashTable table, bool weak)
    {
        NtKernel nt = m.Nt;
        var enumerator = HashTableEnumerator.At(nt.Memory, m.Block(HashTableEnumerator.Size));
        HashSet<HashTableEntry> seen = [];
        if (weak)
        {
            Assert.True(nt.RtlInitWeakEnumerationHashTable(table, enumerator));
            while (nt.RtlWeaklyEnumerateEntryHashTable(table,
                enumerator) is { IsNull: false } e) Assert.True(seen.Add(e));
            nt.RtlEndWeakEnumerationHashTable(table, enumerator);
            return seen;
        }
        Assert.True(nt.RtlInitEnumerationHashTable(table, enumerator));
        Assert.False(nt.RtlExpandHashTable(table));
        while (nt.RtlEnumerateEntryHashTable(table, enumerator) is { IsNull: false } e) Assert.True(seen.Add(e));
        nt.RtlEndEnumerationHashTable(table, enumerator);
        return seen;
    }
}

public sealed class RtlPrefixTests
{
    [Fact]
    public void The_longest_prefix_by_whole_components_is_found()
    {
        using var m = new TestMachine();
        NtKernel nt = m.Nt;
        string[] names = [@"\", @"\a", @"\A", @"\a\b", @"\ab", @"\a\b\c", @"\x\y"];
        Prop.ForAll(Gen.Shuffle(names).ToArbitrary(), Gen.Choose(0, 6).ToArbitrary(), (order, gone) =>
        {
            var table = UnicodePrefixTable.At(nt.Memory, m.Block(UnicodePrefixTable.Size));
            nt.RtlInitializeUnicodePrefix(table);
            Dictionary<string, UnicodePrefixTableEntry> entries = [];
            foreach (string name in order)
            {
                var entry = UnicodePrefixTableEntry.At(nt.Memory, m.Block(UnicodePrefixTableEntry.Size));
                Assert.True(nt.RtlInsertUnicodePrefix(table, m.Unicode(name), entry));
                entries.Add(name, entry);
            }
            var again = UnicodePrefixTableEntry.At(nt.Memory, m.Block(UnicodePrefixTableEntry.Size));
            Assert.False(nt.RtlInsertUnicodePrefix(table, m.Unicode(@"\a\b"), again));
            nt.RtlRemoveUnicodePrefix(table, entries[names[gone]]);
            entries.Remove(names[gone]);
            foreach (string path in (string[])[@"\a\b\c\d", @"\a\b", @"\ab\c", @"\abc", @"\A\x", @"\x", @"\x\y\z",
                @"\"])
            {
                string? expected = entries.Keys.Where(p => path.Equals(p, StringComparison.OrdinalIgnoreCase)
                    || path.StartsWith(p.TrimEnd('\\') + '\\', StringComparison.OrdinalIgnoreCase))
                    .OrderByDescending(p => p.Length).FirstOrDefault();
                UnicodePrefixTableEntry found = nt.RtlFindUnicodePrefix(table, m.Unicode(path), 0);
                Assert.Equal(expected, found.IsNull ? null : found.Prefix.Text, StringComparer.OrdinalIgnoreCase);
            }
            if (entries.ContainsKey(@"\A") && entries.ContainsKey(@"\a"))
                Assert.Equal(@"\A", nt.RtlFindUnicodePrefix(table, m.Unicode(@"\A\q"), 2).Prefix.Text);
            HashSet<string> seen = [];
            for (UnicodePrefixTableEntry e = nt.RtlNextUnicodePrefix(table, true); !e.IsNull;
                e = nt.RtlNextUnicodePrefix(table, false)) Assert.True(seen.Add(e.Prefix.Text));
            Assert.Equal(entries.Keys.ToHashSet(), seen);
        }).Check(GuestText.Properties(60));
    }
}
