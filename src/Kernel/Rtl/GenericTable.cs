using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>RTL_GENERIC_TABLE: a splay tree over elements that the driver compares, allocates and frees.</summary>
[Layout("_RTL_GENERIC_TABLE", Size = 0x48)]
public readonly partial struct RtlGenericTable
{
    [Field(0x00)] public partial SplayLinks TableRoot { get; set; }
    [Embedded(0x08)] public partial ListEntry InsertOrderList { get; }
    [Field(0x18)] public partial ListEntry OrderedPointer { get; set; }
    [Field(0x20)] public partial uint WhichOrderedElement { get; set; }
    [Field(0x24)] public partial uint NumberGenericTableElements { get; set; }
    [Field(0x28)] public partial Va CompareRoutine { get; set; }
    [Field(0x30)] public partial Va AllocateRoutine { get; set; }
    [Field(0x38)] public partial Va FreeRoutine { get; set; }
    [Field(0x40)] public partial Va TableContext { get; set; }
}

/// <summary>TABLE_SEARCH_RESULT: where a key is, or would be.</summary>
enum TableSearchResult : uint { EmptyTree, FoundNode, InsertAsLeft, InsertAsRight }

/// <summary>A generic table at work. In front of an element lie its links and its place in the order of
/// insertion.</summary>
sealed class GenericTable(NtKernel nt, RtlGenericTable table)
{
    const int ListOffset = 0x18, DataOffset = 0x28;
    const uint GenericLessThan = 0, GenericGreaterThan = 1;

    readonly SplayTree _tree = new(nt);

    static Va DataOf(SplayLinks node) => node.IsNull ? Va.Null : node.Address + DataOffset;

    ListEntry ListOf(SplayLinks node) => ListEntry.At(nt.Memory, node.Address + ListOffset);

    /// <summary>Looks for an element that the driver's routine calls equal; else for the node below which it would
    /// hang.</summary>
    public TableSearchResult Find(Va buffer, out SplayLinks nodeOrParent)
    {
        nodeOrParent = table.TableRoot;
        if (nodeOrParent.IsNull) return TableSearchResult.EmptyTree;
        while (true)
        {
            nt.Ke.Clock.Spend();
            uint order = (uint)nt.Routines.Call(
                table.CompareRoutine, table.Address.Value, buffer.Value, DataOf(nodeOrParent).Value);
            if (order is not (GenericLessThan or GenericGreaterThan)) return TableSearchResult.FoundNode;
            SplayLinks next = order == GenericLessThan ? nodeOrParent.LeftChild : nodeOrParent.RightChild;
            if (next.IsNull)
                return order == GenericLessThan ? TableSearchResult.InsertAsLeft : TableSearchResult.InsertAsRight;
            nodeOrParent = next;
        }
    }

    /// <summary>Puts an element where <see cref="Find"/> said; one that is there already is brought to the
    /// root.</summary>
    /// <returns>The element in the table; null if the driver had no memory for it.</returns>
    public Va Insert(Va buffer, uint bytes, Va newElement, SplayLinks nodeOrParent, TableSearchResult found)
    {
        SplayLinks node = nodeOrParent;
        if (found != TableSearchResult.FoundNode)
        {
            Va made = new(nt.Routines.Call(table.AllocateRoutine, table.Address.Value, bytes + DataOffset));
            if (made.IsNull)
            {
                if (!newElement.IsNull) nt.Memory.Write<byte>(newElement, 0);
                return Va.Null;
            }
            node = SplayLinks.At(nt.Memory, made);
            node.Initialize();
            nt.Crt.memmove(DataOf(node), buffer, bytes);
            Link(node, nodeOrParent, found);
        }
        table.TableRoot = _tree.Splay(node);
        if (!newElement.IsNull)
            nt.Memory.Write<byte>(newElement, (byte)(found == TableSearchResult.FoundNode ? 0 : 1));
        return DataOf(node);
    }

    void Link(SplayLinks node, SplayLinks parent, TableSearchResult found)
    {
        table.InsertOrderList.InsertTail(ListOf(node));
        table.NumberGenericTableElements++;
        if (found == TableSearchResult.EmptyTree) return;
        if (found == TableSearchResult.InsertAsLeft) parent.LeftChild = node;
        else parent.RightChild = node;
        node.Parent = parent;
    }

    public bool Delete(Va buffer)
    {
        if (Find(buffer, out SplayLinks node) != TableSearchResult.FoundNode) return false;
        table.TableRoot = _tree.Delete(node);
        ListOf(node).Remove();
        table.NumberGenericTableElements--;
        ResetOrder();
        nt.Routines.Call(table.FreeRoutine, table.Address.Value, node.Address.Value);
        return true;
    }

    /// <summary>The position of <see cref="ElementAt"/> is forgotten.</summary>
    public void ResetOrder() => (table.WhichOrderedElement, table.OrderedPointer) = (0, table.InsertOrderList);

    public Va Lookup(Va buffer, out SplayLinks nodeOrParent, out TableSearchResult found)
    {
        found = Find(buffer, out nodeOrParent);
        if (found != TableSearchResult.EmptyTree) table.TableRoot = _tree.Splay(nodeOrParent);
        return found == TableSearchResult.FoundNode ? DataOf(nodeOrParent) : Va.Null;
    }

    /// <summary>The next element in order, and it becomes the root, which is the position.</summary>
    public Va Enumerate(bool restart)
    {
        SplayLinks root = table.TableRoot;
        if (root.IsNull) return Va.Null;
        SplayLinks node = restart ? _tree.Leftmost(root) : _tree.Successor(root);
        if (!node.IsNull) table.TableRoot = _tree.Splay(node);
        return DataOf(node);
    }

    /// <summary>The next element in order behind a position that the caller keeps.</summary>
    public Va EnumerateFrom(Va restartKey)
    {
        SplayLinks root = table.TableRoot;
        if (root.IsNull) return Va.Null;
        var last = SplayLinks.At(nt.Memory, nt.Memory.Read<Va>(restartKey));
        SplayLinks node = last.IsNull ? _tree.Leftmost(root) : _tree.Successor(last);
        if (!node.IsNull) nt.Memory.Write(restartKey, node.Address);
        return DataOf(node);
    }

    /// <summary>The n-th element in the order of insertion, from the nearest of the ends and the last
    /// position.</summary>
    public Va ElementAt(uint index)
    {
        uint count = table.NumberGenericTableElements, at = table.WhichOrderedElement, wanted = unchecked(index + 1);
        if (index == uint.MaxValue || wanted > count) return Va.Null;
        ListEntry entry = table.OrderedPointer;
        if (at == 0 || wanted < at) (at, entry) = (0, table.InsertOrderList);
        for (; at < wanted; at++)
        {
            nt.Ke.Clock.Spend();
            entry = entry.Flink;
        }
        (table.OrderedPointer, table.WhichOrderedElement) = (entry, wanted);
        return entry.Address + (DataOffset - ListOffset);
    }
}
