using static Ringdown.Kernel.Irql;

namespace Ringdown.Kernel;

/// <summary>Tables of path prefixes.</summary>
sealed partial class Rtl
{
    const short UnicodePrefixTableNode = 0x800;

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void RtlInitializeUnicodePrefix(UnicodePrefixTable prefixTable)
    {
        nt.Memory.Fill(prefixTable.Address, UnicodePrefixTable.Size, 0);
        prefixTable.NodeTypeCode = UnicodePrefixTableNode;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool RtlInsertUnicodePrefix(
        UnicodePrefixTable prefixTable, UnicodeString prefix, UnicodePrefixTableEntry prefixTableEntry) =>
        new PrefixTable(nt, prefixTable).Insert(prefix, prefixTableEntry);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void RtlRemoveUnicodePrefix(UnicodePrefixTable prefixTable, UnicodePrefixTableEntry prefixTableEntry) =>
        new PrefixTable(nt, prefixTable).Remove(prefixTableEntry);

    /// <summary>The entry that is the longest prefix of a path; characters before the index must agree in
    /// case.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public UnicodePrefixTableEntry RtlFindUnicodePrefix(
        UnicodePrefixTable prefixTable, UnicodeString fullName, uint caseInsensitiveIndex) =>
        new PrefixTable(nt, prefixTable).Find(fullName.Text, caseInsensitiveIndex);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public UnicodePrefixTableEntry RtlNextUnicodePrefix(UnicodePrefixTable prefixTable, bool restart) =>
        new PrefixTable(nt, prefixTable).Next(restart);
}
