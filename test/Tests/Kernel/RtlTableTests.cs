using FsCheck;
using FsCheck.Fluent;
using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;

namespace Ringdown.Tests;

/// <summary>Tables of numbers, with routines as a driver has them, against sorted sets.</summary>
public sealed class RtlTableTests
{
    /// <summary>A machine with the routines of a table whose elements are 32-bit numbers.</summary>
    sealed class Numbers : IDisposable
    {
        public TestMachine M { get; } = new();
        public NtKernel Nt => M.Nt;
        public Va Compare { get; }
        public Va Allocate { get; }
        public Va Free { get; }
        public int Live { get; private set; }

        public Numbers()
        {
            Compare = Nt.Routines.Add("compare", (nt, call) =>
            {
                uint a = nt.Memory.Read<uint>(new Va(call.Argument(1))),
                    b = nt.Memory.Read<uint>(new Va(call.Argument(2)));
                call.Return(a < b ? 0u : a > b ? 1u : 2u);
            });
            Allocate = Nt.Routines.Add("allocate", (nt, call) =>
            {
                Live++;
                call.Return(M.Block((int)call.Argument(1)).Value);
            });
            Free = Nt.Routines.Add("free", (nt, call) =>
            {
                Live--;
                nt.Mm.Pool.Free(new Va(call.Argument(1)));
            });
        }

        public Va Key(int value) => M.Bytes(BitConverter.GetBytes(value));

        public int? At(Va element) => element.IsNull ? null : (int)M.U32(element);

        public void Dispose() => M.Dispose();
    }

    static Gen<List<int>> Commands => Gen.ListOf(Gen.Choose(-40, 40)).Select(l => l.ToList());

    // A number is inserted, its negative deletes it.
    [Fact]
    public void Splay_tables_hold_what_a_sorted_set_holds()
    {
        using var n = new Numbers();
        NtKernel nt = n.Nt;
        Va isNew = n.M.Block(8), key = n.M.Block(8);
        Prop.ForAll(Commands.ToArbitrary(), commands =>
        {
            var table = RtlGenericTable.At(nt.Memory, n.M.Block(RtlGenericTable.Size));
            nt.RtlInitializeGenericTable(table, n.Compare, n.Allocate, n.Free, Va.Null);
            SortedSet<int> model = [];
            List<int> order = [];
            foreach (int command in commands)
            {
                int value = Math.Abs(command);
                if (command >= 0)
                {
                    Assert.Equal(value, n.At(nt.RtlInsertElementGenericTable(table, n.Key(value), 4, isNew)));
                    Assert.Equal(model.Add(value), nt.Memory.Read<bool>(isNew));
                    if (!order.Contains(value)) order.Add(value);
                }
                else
                {
                    Assert.Equal(model.Remove(value), nt.RtlDeleteElementGenericTable(table, n.Key(value)));
                    order.Remove(value);
                }
            }
            Assert.Equal((uint)model.Count, nt.RtlNumberGenericTableElements(table));
            Assert.Equal(model.Count == 0, nt.RtlIsGenericTableEmpty(table));
            List<int> seen = [];
            for (Va e = nt.RtlEnumerateGenericTable(table, true); !e.IsNull; e = nt.RtlEnumerateGenericTable(table,
                false))
                seen.Add((int)n.M.U32(e));
            Assert.Equal(model, seen);
            seen.Clear();
            nt.Memory.Write(key, Va.Null);
            while (nt.RtlEnumerateGenericTableWithoutSplaying(table,
                key) is { IsNull: false } e) seen.Add((int)n.M.U32(e));
            Assert.Equal(model, seen);
            Assert.Equal(order, Enumerable.Range(0, order.Count).Select(
                i => n.At(nt.RtlGetElementGenericTable(table, (uint)i))!.Value));
            Assert.True(nt.RtlGetElementGenericTable(table, (uint)order.Count).IsNull);
            for (int i = 0; i <= 41; i++)
                Assert.Equal(model.Contains(i) ? i : null, n.At(nt.RtlLookupElementGenericTable(table, n.Key(i))));
            foreach (int value in model.ToArray()) Assert.True(nt.RtlDeleteElementGenericTable(table, n.Key(value)));
            Assert.Equal(0, n.Live);
        }).Check(GuestText.Properties(60));
    }

    [Fact]
    public void AVL_tables_hold_what_a_sorted_set_holds_and_stay_balanced()
    {
        using var n = new Numbers();
        NtKernel nt = n.Nt;
        Va isNew = n.M.Block(8), key = n.M.Block(8);
        Prop.ForAll(Commands.ToArbitrary(), commands =>
        {
            var table = RtlAvlTable.At(nt.Memory, n.M.Block(RtlAvlTable.Size));
            nt.RtlInitializeGenericTableAvl(table, n.Compare, n.Allocate, n.Free, Va.Null);
            SortedSet<int> model = [];
            foreach (int command in commands)
            {
                int value = Math.Abs(command);
                if (command >= 0)
                {
                    Assert.Equal(value, n.At(nt.RtlInsertElementGenericTableAvl(table, n.Key(value), 4, isNew)));
                    Assert.Equal(model.Add(value), nt.Memory.Read<bool>(isNew));
                }
                else Assert.Equal(model.Remove(value), nt.RtlDeleteElementGenericTableAvl(table, n.Key(value)));
                Assert.Equal((int)table.DepthOfTree, Height(table.BalancedRoot.RightChild));
            }
            Assert.Equal((uint)model.Count, nt.RtlNumberGenericTableElementsAvl(table));
            Assert.Equal(model.Count == 0, nt.RtlIsGenericTableEmptyAvl(table));
            List<int> seen = [];
            for (Va e = nt.RtlEnumerateGenericTableAvl(table,
                true); !e.IsNull; e = nt.RtlEnumerateGenericTableAvl(table, false))
                seen.Add((int)n.M.U32(e));
            Assert.Equal(model, seen);
            seen.Clear();
            nt.Memory.Write(key, Va.Null);
            while (nt.RtlEnumerateGenericTableWithoutSplayingAvl(table, key) is { IsNull: false } e)
                seen.Add((int)n.M.U32(e));
            Assert.Equal(model, seen);
            Assert.Equal(model, Enumerable.Range(0, model.Count).Select(
                i => n.At(nt.RtlGetElementGenericTableAvl(table, (uint)i))!.Value));
            for (int i = 0; i <= 41; i++)
                Assert.Equal(model.Contains(i) ? i : null, n.At(nt.RtlLookupElementGenericTableAvl(table, n.Key(i))));
            foreach (int value in model.ToArray()) Assert.True(nt.RtlDeleteElementGenericTableAvl(table, n.Key(value)));
            Assert.Equal(0, n.Live);
        }).Check(GuestText.Properties(60));
    }

    static int Height(BalancedLinks node)
    {
        if (node.IsNull) return 0;
        int left = Height(node.LeftChild), right = Height(node.RightChild);
        Assert.Equal(right - left, node.Balance);
        Assert.InRange(node.Balance, -1, 1);
        return Math.Max(left, right) + 1;
    }

    [Fact]
    public void A_search_can_be_kept_for_the_insertion()
    {
        using var n = new Numbers();
        NtKernel nt = n.Nt;
        Va node = n.M.Block(8), result = n.M.Block(4), restart = n.M.Block(8);
        var avl = RtlAvlTable.At(nt.Memory, n.M.Block(RtlAvlTable.Size));
        var splay = RtlGenericTable.At(nt.Memory, n.M.Block(RtlGenericTable.Size));
        nt.RtlInitializeGenericTableAvl(avl, n.Compare, n.Allocate, n.Free, Va.Null);
        nt.RtlInitializeGenericTable(splay, n.Compare, n.Allocate, n.Free, Va.Null);
        foreach (int i in (int[])[5, 3, 8, 5])
        {
            nt.RtlLookupElementGenericTableFullAvl(avl, n.Key(i), node, result);
            nt.RtlInsertElementGenericTableFullAvl(
                avl, n.Key(i), 4, Va.Null, BalancedLinks.At(nt.Memory, nt.Memory.Read<Va>(node)), n.M.U32(result));
            nt.RtlLookupElementGenericTableFull(splay, n.Key(i), node, result);
            nt.RtlInsertElementGenericTableFull(
                splay, n.Key(i), 4, Va.Null, SplayLinks.At(nt.Memory, nt.Memory.Read<Va>(node)), n.M.U32(result));
        }
        Assert.Equal((3u, 3u), (avl.NumberGenericTableElements, splay.NumberGenericTableElements));
        Assert.Equal(5, n.At(nt.RtlLookupFirstMatchingElementGenericTableAvl(avl, n.Key(5), restart)));
    }

    [Fact]
    public void A_directory_is_listed_on_after_the_entry_where_it_stood_was_deleted()
    {
        using var n = new Numbers();
        NtKernel nt = n.Nt;
        var table = RtlAvlTable.At(nt.Memory, n.M.Block(RtlAvlTable.Size));
        nt.RtlInitializeGenericTableAvl(table, n.Compare, n.Allocate, n.Free, Va.Null);
        for (int i = 0; i < 10; i++) nt.RtlInsertElementGenericTableAvl(table, n.Key(i), 4, Va.Null);
        Va even = nt.Routines.Add("even", (k, call) => call.Return(
            k.Memory.Read<uint>(new Va(call.Argument(1))) % 2 == 0 ? 0u : Status.STATUS_NO_MATCH.Value));
        Va restart = n.M.Block(8), deletes = n.M.Block(4);
        int? Next(uint flag, int key) => n.At(nt.RtlEnumerateGenericTableLikeADirectory(
            table, even, Va.Null, flag, restart, deletes, n.Key(key)));
        Assert.Equal(0, Next(0, 0));
        Assert.Equal(2, Next(1, 0));
        nt.RtlDeleteElementGenericTableAvl(table, n.Key(2));
        Assert.Equal(4, Next(1, 2));
        Assert.Equal(6, Next(1, 4));
    }

    [Fact]
    public void Splay_links_stay_in_order_however_they_are_turned_and_taken_out()
    {
        using var m = new TestMachine();
        NtKernel nt = m.Nt;
        Va rootAt = m.Block(8);
        Prop.ForAll(Gen.ListOf(Gen.Choose(0, 15)).ToArbitrary(), picks =>
        {
            // A tree of 16 nodes, the address after the links is the key.
            SplayLinks[] nodes = [.. Enumerable.Range(0, 16).Select(_ => SplayLinks.At(nt.Memory, m.Block(24)))];
            foreach (SplayLinks node in nodes) node.Initialize();
            for (int i = 1; i < 16; i++)
            {
                SplayLinks parent = nodes[i - 1], node = nodes[i];
                parent.RightChild = node;
                node.Parent = parent;
            }
            SplayLinks root = nodes[0];
            List<SplayLinks> left = [.. nodes];
            foreach ((int pick, int step) in picks.Select((p, i) => (p, i)))
            {
                SplayLinks node = nodes[pick];
                if (!left.Contains(node)) continue;
                if (step % 3 == 0) root = nt.RtlSplay(node);
                else if (step % 3 == 1)
                {
                    root = nt.RtlDelete(node);
                    left.Remove(node);
                }
                else
                {
                    nt.Memory.Write(rootAt, root.Address);
                    nt.RtlDeleteNoSplay(node, rootAt);
                    root = SplayLinks.At(nt.Memory, nt.Memory.Read<Va>(rootAt));
                    left.Remove(node);
                }
                CheckOrder(nt, root, left);
            }
        }).Check(GuestText.Properties(100));
    }

    static void CheckOrder(NtKernel nt, SplayLinks root, List<SplayLinks> expected)
    {
        if (expected.Count == 0)
        {
            Assert.True(root.IsNull);
            return;
        }
        Assert.True(root.IsRoot);
        SplayLinks first = root;
        while (!first.LeftChild.IsNull) first = first.LeftChild;
        List<SplayLinks> seen = [];
        for (SplayLinks at = first; !at.IsNull; at = nt.RtlRealSuccessor(at)) seen.Add(at);
        Assert.Equal(expected, seen);
        seen.Clear();
        for (SplayLinks at = expected[^1]; !at.IsNull; at = nt.RtlRealPredecessor(at)) seen.Insert(0, at);
        Assert.Equal(expected, seen);
        int index = expected.IndexOf(root);
        if (!root.LeftChild.IsNull) Assert.Equal(expected[index - 1], nt.RtlSubtreePredecessor(root));
        if (!root.RightChild.IsNull) Assert.Equal(expected[index + 1], nt.RtlSubtreeSuccessor(root));
    }

    [Fact]
    public void Links_in_a_circle_end_the_machine_and_not_the_process()
    {
        using var m = new TestMachine();
        var a = SplayLinks.At(m.Nt.Memory, m.Block(24));
        var b = SplayLinks.At(m.Nt.Memory, m.Block(24));
        (a.Parent, a.RightChild, b.Parent, b.LeftChild) = (a, b, a, b);
        Assert.Throws<Hang>(() => { m.Nt.BeginRequest(); m.Nt.RtlRealSuccessor(a); });
    }
}
