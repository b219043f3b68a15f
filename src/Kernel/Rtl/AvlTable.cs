using Ringdown.Machine;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>RTL_AVL_TABLE: a balanced tree over elements that the driver compares, allocates and frees.</summary>
[Layout("_RTL_AVL_TABLE", Size = 0x68)]
public readonly partial struct RtlAvlTable
{
    [Embedded(0x00)] public partial BalancedLinks BalancedRoot { get; }
    [Field(0x20)] public partial BalancedLinks OrderedPointer { get; set; }
    [Field(0x28)] public partial uint WhichOrderedElement { get; set; }
    [Field(0x2C)] public partial uint NumberGenericTableElements { get; set; }
    [Field(0x30)] public partial uint DepthOfTree { get; set; }
    [Field(0x38)] public partial BalancedLinks RestartKey { get; set; }
    [Field(0x40)] public partial uint DeleteCount { get; set; }
    [Field(0x48)] public partial Va CompareRoutine { get; set; }
    [Field(0x50)] public partial Va AllocateRoutine { get; set; }
    [Field(0x58)] public partial Va FreeRoutine { get; set; }
    [Field(0x60)] public partial Va TableContext { get; set; }
}

/// <summary>An AVL table at work. In front of an element lie its links.</summary>
sealed class AvlTable(NtKernel nt, RtlAvlTable table)
{
    const int DataOffset = 0x20, Right = 1;
    const uint GenericLessThan = 0, GenericGreaterThan = 1;

    readonly AvlTree _tree = new(nt, table.BalancedRoot);

    static Va DataOf(BalancedLinks node) => node.IsNull ? Va.Null : node.Address + DataOffset;

    uint Compare(Va buffer, BalancedLinks node) =>
        (uint)nt.Routines.Call(table.CompareRoutine, table.Address.Value, buffer.Value, DataOf(node).Value);

    /// <summary>Looks for an element that the driver's routine calls equal; else for the node below which it would
    /// hang.</summary>
    public TableSearchResult Find(Va buffer, out BalancedLinks nodeOrParent)
    {
        nodeOrParent = _tree.Root;
        if (nodeOrParent.IsNull) return TableSearchResult.EmptyTree;
        while (true)
        {
            nt.Ke.Clock.Spend();
            uint order = Compare(buffer, nodeOrParent);
            if (order is not (GenericLessThan or GenericGreaterThan)) return TableSearchResult.FoundNode;
            BalancedLinks next = order == GenericLessThan ? nodeOrParent.LeftChild : nodeOrParent.RightChild;
            if (next.IsNull)
                return order == GenericLessThan ? TableSearchResult.InsertAsLeft : TableSearchResult.InsertAsRight;
            nodeOrParent = next;
        }
    }

    public Va Insert(Va buffer, uint bytes, Va newElement, BalancedLinks nodeOrParent, TableSearchResult found)
    {
        BalancedLinks node = nodeOrParent;
        bool isNew = found != TableSearchResult.FoundNode;
        if (isNew)
        {
            Va made = new(nt.Routines.Call(table.AllocateRoutine, table.Address.Value, bytes + DataOffset));
            node = BalancedLinks.At(nt.Memory, made);
            if (!made.IsNull)
            {
                nt.Crt.memmove(DataOf(node), buffer, bytes);
                BalancedLinks parent = found == TableSearchResult.EmptyTree ? table.BalancedRoot : nodeOrParent;
                if (_tree.Insert(node, parent, found == TableSearchResult.InsertAsLeft ? -Right : Right))
                    table.DepthOfTree++;
                table.NumberGenericTableElements++;
                ResetOrder();
            }
        }
        if (!newElement.IsNull) nt.Memory.Write(newElement, (byte)(isNew && !node.IsNull ? 1 : 0));
        return DataOf(node);
    }

    public bool Delete(Va buffer)
    {
        if (Find(buffer, out BalancedLinks node) != TableSearchResult.FoundNode) return false;
        // An enumeration that stands here goes on behind the one before.
        if (table.RestartKey == node) table.RestartKey = _tree.Next(node, -Right);
        table.DeleteCount++;
        if (_tree.Delete(node)) table.DepthOfTree--;
        table.NumberGenericTableElements--;
        ResetOrder();
        nt.Routines.Call(table.FreeRoutine, table.Address.Value, node.Address.Value);
        return true;
    }

    void ResetOrder() =>
        (table.WhichOrderedElement, table.OrderedPointer) = (0, BalancedLinks.At(nt.Memory, Va.Null));

    public Va Lookup(Va buffer, out BalancedLinks nodeOrParent, out TableSearchResult found)
    {
        found = Find(buffer, out nodeOrParent);
        return found == TableSearchResult.FoundNode ? DataOf(nodeOrParent) : Va.Null;
    }

    /// <summary>The first in order of the elements that are equal to a key.</summary>
    public Va LookupFirst(Va buffer, Va restartKey)
    {
        if (Find(buffer, out BalancedLinks node) != TableSearchResult.FoundNode) return Va.Null;
        for (BalancedLinks before = _tree.Next(node, -Right);
            !before.IsNull && Compare(buffer, before) is not (GenericLessThan or GenericGreaterThan);
            before = _tree.Next(node, -Right))
        {
            nt.Ke.Clock.Spend();
            node = before;
        }
        nt.Memory.Write(restartKey, node.Address);
        return DataOf(node);
    }

    /// <summary>The next element in order behind a position, null before the first; the position moves to
    /// it.</summary>
    public Va EnumerateFrom(Va restartKey)
    {
        BalancedLinks root = _tree.Root;
        if (root.IsNull) return Va.Null;
        var last = BalancedLinks.At(nt.Memory, nt.Memory.Read<Va>(restartKey));
        BalancedLinks node = last.IsNull ? _tree.Outermost(root, -Right) : _tree.Next(last, Right);
        if (!node.IsNull) nt.Memory.Write(restartKey, node.Address);
        return DataOf(node);
    }

    public Va Enumerate(bool restart)
    {
        if (restart) table.RestartKey = BalancedLinks.At(nt.Memory, Va.Null);
        return EnumerateFrom(table.Address + 0x38);
    }

    /// <summary>The next element that the driver's match routine takes, as a directory is listed: a position survives
    /// the deletion of its element, as the key stands for it then.</summary>
    public Va EnumerateLikeADirectory(
        Va matchFunction, Va matchData, bool next, Va restartKey, Va deleteCount, Va buffer)
    {
        var node = BalancedLinks.At(nt.Memory, nt.Memory.Read<Va>(restartKey));
        if (_tree.Root.IsNull) node = _tree.Root;
        else if (node.IsNull || nt.Memory.Read<uint>(deleteCount) != table.DeleteCount)
        {
            TableSearchResult found = Find(buffer, out node);
            if (found == TableSearchResult.InsertAsRight || found == TableSearchResult.FoundNode && next)
                node = _tree.Next(node, Right);
        }
        else if (next) node = _tree.Next(node, Right);
        for (; !node.IsNull; node = _tree.Next(node, Right))
        {
            nt.Ke.Clock.Spend();
            if (matchFunction.IsNull) break;
            var match = new NtStatus((uint)nt.Routines.Call(
                matchFunction, table.Address.Value, DataOf(node).Value, matchData.Value));
            if (match == STATUS_SUCCESS) break;
            if (match == STATUS_NO_MATCH) continue;
            node = BalancedLinks.At(nt.Memory, Va.Null);
            break;
        }
        nt.Memory.Write(restartKey, node.Address);
        nt.Memory.Write(deleteCount, table.DeleteCount);
        return DataOf(node);
    }

    /// <summary>The n-th element in order, from the last position if that lies before it.</summary>
    public Va ElementAt(uint index)
    {
        uint at = table.WhichOrderedElement, wanted = unchecked(index + 1);
        if (index == uint.MaxValue || wanted > table.NumberGenericTableElements) return Va.Null;
        BalancedLinks node = table.OrderedPointer;
        if (at == 0 || wanted < at || node.IsNull) (at, node) = (1, _tree.Outermost(_tree.Root, -Right));
        for (; at < wanted && !node.IsNull; at++)
        {
            nt.Ke.Clock.Spend();
            node = _tree.Next(node, Right);
        }
        (table.OrderedPointer, table.WhichOrderedElement) = (node, wanted);
        return DataOf(node);
    }
}
