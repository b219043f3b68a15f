using Ringdown.Machine;
using static Ringdown.Kernel.Irql;

namespace Ringdown.Kernel;

/// <summary>AVL tables: balanced trees with the driver's own routines.</summary>
sealed partial class Rtl
{
    AvlTable Open(RtlAvlTable table) => new(nt, table);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void RtlInitializeGenericTableAvl(
        RtlAvlTable table, Va compareRoutine, Va allocateRoutine, Va freeRoutine, Va tableContext)
    {
        nt.Memory.Fill(table.Address, RtlAvlTable.Size, 0);
        BalancedLinks head = table.BalancedRoot;
        head.Parent = head;
        (table.CompareRoutine, table.AllocateRoutine) = (compareRoutine, allocateRoutine);
        (table.FreeRoutine, table.TableContext) = (freeRoutine, tableContext);
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public Va RtlInsertElementGenericTableAvl(RtlAvlTable table, Va buffer, uint bufferSize, Va newElement)
    {
        AvlTable open = Open(table);
        TableSearchResult found = open.Find(buffer, out BalancedLinks nodeOrParent);
        return open.Insert(buffer, bufferSize, newElement, nodeOrParent, found);
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public Va RtlInsertElementGenericTableFullAvl(
        RtlAvlTable table, Va buffer, uint bufferSize, Va newElement, BalancedLinks nodeOrParent, uint searchResult) =>
        Open(table).Insert(buffer, bufferSize, newElement, nodeOrParent, (TableSearchResult)searchResult);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public bool RtlDeleteElementGenericTableAvl(RtlAvlTable table, Va buffer) => Open(table).Delete(buffer);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public Va RtlLookupElementGenericTableAvl(RtlAvlTable table, Va buffer) =>
        Open(table).Lookup(buffer, out _, out _);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public Va RtlLookupElementGenericTableFullAvl(RtlAvlTable table, Va buffer, Va nodeOrParent, Va searchResult)
    {
        Va element = Open(table).Lookup(buffer, out BalancedLinks node, out TableSearchResult found);
        nt.Memory.Write(nodeOrParent, node.Address);
        nt.Memory.Write(searchResult, (uint)found);
        return element;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public Va RtlLookupFirstMatchingElementGenericTableAvl(RtlAvlTable table, Va buffer, Va restartKey) =>
        Open(table).LookupFirst(buffer, restartKey);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public Va RtlEnumerateGenericTableAvl(RtlAvlTable table, bool restart) => Open(table).Enumerate(restart);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public Va RtlEnumerateGenericTableWithoutSplayingAvl(RtlAvlTable table, Va restartKey) =>
        Open(table).EnumerateFrom(restartKey);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public Va RtlEnumerateGenericTableLikeADirectory(
        RtlAvlTable table, Va matchFunction, Va matchData, uint nextFlag, Va restartKey, Va deleteCount, Va buffer) =>
        Open(table).EnumerateLikeADirectory(
            matchFunction, matchData, nextFlag != 0, restartKey, deleteCount, buffer);

    [Export]
    public Va RtlGetElementGenericTableAvl(RtlAvlTable table, uint i) => Open(table).ElementAt(i);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public uint RtlNumberGenericTableElementsAvl(RtlAvlTable table) => table.NumberGenericTableElements;

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool RtlIsGenericTableEmptyAvl(RtlAvlTable table) => table.NumberGenericTableElements == 0;
}
