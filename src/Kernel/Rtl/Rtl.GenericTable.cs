using Ringdown.Machine;
using static Ringdown.Kernel.Irql;

namespace Ringdown.Kernel;

/// <summary>Generic tables: splay trees with the driver's own routines.</summary>
sealed partial class Rtl
{
    GenericTable Open(RtlGenericTable table) => new(nt, table);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void RtlInitializeGenericTable(
        RtlGenericTable table, Va compareRoutine, Va allocateRoutine, Va freeRoutine, Va tableContext)
    {
        nt.Memory.Fill(table.Address, RtlGenericTable.Size, 0);
        table.InsertOrderList.Initialize();
        table.OrderedPointer = table.InsertOrderList;
        (table.CompareRoutine, table.AllocateRoutine) = (compareRoutine, allocateRoutine);
        (table.FreeRoutine, table.TableContext) = (freeRoutine, tableContext);
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public Va RtlInsertElementGenericTable(RtlGenericTable table, Va buffer, uint bufferSize, Va newElement)
    {
        GenericTable open = Open(table);
        TableSearchResult found = open.Find(buffer, out SplayLinks nodeOrParent);
        return open.Insert(buffer, bufferSize, newElement, nodeOrParent, found);
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public Va RtlInsertElementGenericTableFull(
        RtlGenericTable table, Va buffer, uint bufferSize, Va newElement, SplayLinks nodeOrParent, uint searchResult) =>
        Open(table).Insert(buffer, bufferSize, newElement, nodeOrParent, (TableSearchResult)searchResult);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public bool RtlDeleteElementGenericTable(RtlGenericTable table, Va buffer) => Open(table).Delete(buffer);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public Va RtlLookupElementGenericTable(RtlGenericTable table, Va buffer) =>
        Open(table).Lookup(buffer, out _, out _);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public Va RtlLookupElementGenericTableFull(RtlGenericTable table, Va buffer, Va nodeOrParent, Va searchResult)
    {
        Va element = Open(table).Lookup(buffer, out SplayLinks node, out TableSearchResult found);
        nt.Memory.Write(nodeOrParent, node.Address);
        nt.Memory.Write(searchResult, (uint)found);
        return element;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public Va RtlEnumerateGenericTable(RtlGenericTable table, bool restart) => Open(table).Enumerate(restart);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public Va RtlEnumerateGenericTableWithoutSplaying(RtlGenericTable table, Va restartKey) =>
        Open(table).EnumerateFrom(restartKey);

    [Export]
    public Va RtlGetElementGenericTable(RtlGenericTable table, uint i) => Open(table).ElementAt(i);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public uint RtlNumberGenericTableElements(RtlGenericTable table) => table.NumberGenericTableElements;

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool RtlIsGenericTableEmpty(RtlGenericTable table) => table.TableRoot.IsNull;
}
