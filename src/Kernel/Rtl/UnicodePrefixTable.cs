using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>UNICODE_PREFIX_TABLE: the head of a list of trees, one for each number of path components.</summary>
[Layout("_UNICODE_PREFIX_TABLE", Size = 0x18)]
public readonly partial struct UnicodePrefixTable
{
    [Field(0x00)] public partial short NodeTypeCode { get; set; }
    [Field(0x02)] public partial short NameLength { get; set; }
    [Field(0x08)] public partial UnicodePrefixTableEntry NextPrefixTree { get; set; }
    [Field(0x10)] public partial UnicodePrefixTableEntry LastNextEntry { get; set; }
}

/// <summary>UNICODE_PREFIX_TABLE_ENTRY: a prefix of paths; those that differ in case alone hang in a ring.</summary>
[Layout("_UNICODE_PREFIX_TABLE_ENTRY", Size = 0x38)]
public readonly partial struct UnicodePrefixTableEntry
{
    public const int LinksOffset = 0x18;

    [Field(0x00)] public partial short NodeTypeCode { get; set; }
    [Field(0x02)] public partial short NameLength { get; set; }
    [Field(0x08)] public partial UnicodePrefixTableEntry NextPrefixTree { get; set; }
    [Field(0x10)] public partial UnicodePrefixTableEntry CaseMatch { get; set; }
    [Embedded(0x18)] public partial SplayLinks Links { get; }
    [Field(0x30)] public partial UnicodeString Prefix { get; set; }
}

/// <summary>A prefix table at work: the longest entry that is a prefix of a path by whole components.</summary>
sealed class PrefixTable(NtKernel nt, UnicodePrefixTable table)
{
    const short NodeOfTree = 0x801, NodeInTree = 0x802, NodeInRing = 0x803;

    readonly SplayTree _tree = new(nt);

    UnicodePrefixTableEntry Null => UnicodePrefixTableEntry.At(nt.Memory, Va.Null);

    UnicodePrefixTableEntry EntryOf(SplayLinks links) =>
        UnicodePrefixTableEntry.At(nt.Memory, links.Address - UnicodePrefixTableEntry.LinksOffset);

    static short ComponentsOf(string name)
    {
        int count = name.Length == 0 ? 0 : 1;
        for (int i = 0; i + 1 < name.Length; i++)
            if (name[i] == '\\') count++;
        return (short)Math.Min(count, short.MaxValue);
    }

    // A separator comes before all characters: so a path lies in order with its prefixes.
    static int Order(char c) => c == '\\' ? -1 : Casing.ToUpper(c);

    // Zero: equal, or a prefix by whole components if that is asked for.
    static int Compare(string prefix, string name, bool asPrefix)
    {
        for (int i = 0; i < Math.Min(prefix.Length, name.Length); i++)
        {
            int difference = Order(prefix[i]) - Order(name[i]);
            if (difference != 0) return difference;
        }
        if (prefix.Length == name.Length) return 0;
        if (asPrefix && prefix.Length < name.Length
            && (prefix.Length == 0 || prefix[^1] == '\\' || name[prefix.Length] == '\\')) return 0;
        return prefix.Length - name.Length;
    }

    IEnumerable<UnicodePrefixTableEntry> Trees()
    {
        for (UnicodePrefixTableEntry tree = table.NextPrefixTree; !tree.IsNull; tree = tree.NextPrefixTree)
        {
            nt.Ke.Clock.Spend();
            yield return tree;
        }
    }

    UnicodePrefixTableEntry Search(UnicodePrefixTableEntry tree, string name, bool asPrefix, out int order)
    {
        SplayLinks links = tree.Links;
        while (true)
        {
            nt.Ke.Clock.Spend();
            UnicodePrefixTableEntry entry = EntryOf(links);
            order = Compare(entry.Prefix.Text, name, asPrefix);
            if (order == 0) return entry;
            SplayLinks next = order > 0 ? links.LeftChild : links.RightChild;
            if (next.IsNull) return entry;
            links = next;
        }
    }

    IEnumerable<UnicodePrefixTableEntry> Ring(UnicodePrefixTableEntry entry)
    {
        UnicodePrefixTableEntry each = entry;
        do
        {
            nt.Ke.Clock.Spend();
            yield return each;
            each = each.CaseMatch;
        }
        while (each != entry && !each.IsNull);
    }

    /// <summary>False if the same prefix, in the same case, is there already.</summary>
    public bool Insert(UnicodeString prefix, UnicodePrefixTableEntry entry)
    {
        string name = prefix.Text;
        short components = ComponentsOf(name);
        entry.Links.Initialize();
        (entry.Prefix, entry.CaseMatch, entry.NameLength, entry.NextPrefixTree) = (prefix, entry, components, Null);
        table.LastNextEntry = Null;
        UnicodePrefixTableEntry before = Null, tree = table.NextPrefixTree;
        for (; !tree.IsNull && tree.NameLength > components; (before, tree) = (tree, tree.NextPrefixTree))
            nt.Ke.Clock.Spend();
        if (tree.IsNull || tree.NameLength != components)
        {
            (entry.NodeTypeCode, entry.NextPrefixTree) = (NodeOfTree, tree);
            SetNext(before, entry);
            return true;
        }
        UnicodePrefixTableEntry found = Search(tree, name, asPrefix: false, out int order);
        if (order == 0) return InsertInRing(found, entry, name);
        SplayLinks parent = found.Links, links = entry.Links;
        entry.NodeTypeCode = NodeInTree;
        if (order > 0) parent.LeftChild = links;
        else parent.RightChild = links;
        links.Parent = parent;
        Reroot(tree, before, _tree.Splay(links));
        return true;
    }

    bool InsertInRing(UnicodePrefixTableEntry found, UnicodePrefixTableEntry entry, string name)
    {
        foreach (UnicodePrefixTableEntry each in Ring(found))
            if (each.Prefix.Text == name) return false;
        (entry.NodeTypeCode, entry.CaseMatch) = (NodeInRing, found.CaseMatch);
        found.CaseMatch = entry;
        return true;
    }

    void SetNext(UnicodePrefixTableEntry before, UnicodePrefixTableEntry next)
    {
        if (before.IsNull) table.NextPrefixTree = next;
        else before.NextPrefixTree = next;
    }

    // The list of trees goes through their roots: a new root takes the old one's place in it.
    void Reroot(UnicodePrefixTableEntry old, UnicodePrefixTableEntry before, SplayLinks newRoot)
    {
        UnicodePrefixTableEntry root = EntryOf(newRoot), next = old.NextPrefixTree;
        if (root == old) return;
        (old.NodeTypeCode, old.NextPrefixTree) = (NodeInTree, Null);
        (root.NodeTypeCode, root.NextPrefixTree) = (NodeOfTree, next);
        SetNext(before, root);
    }

    public UnicodePrefixTableEntry Find(string name, uint caseInsensitiveIndex)
    {
        short components = ComponentsOf(name);
        foreach (UnicodePrefixTableEntry tree in Trees())
        {
            if (tree.NameLength > components) continue;
            UnicodePrefixTableEntry found = Search(tree, name, asPrefix: true, out int order);
            if (order != 0) continue;
            foreach (UnicodePrefixTableEntry each in Ring(found))
                if (HasCase(each.Prefix.Text, name, caseInsensitiveIndex)) return each;
        }
        return Null;
    }

    // Up to the index the case counts.
    static bool HasCase(string prefix, string name, uint index)
    {
        int count = (int)Math.Min(index, (uint)Math.Min(prefix.Length, name.Length));
        return string.CompareOrdinal(prefix, 0, name, 0, count) == 0;
    }

    public void Remove(UnicodePrefixTableEntry entry)
    {
        table.LastNextEntry = Null;
        if (entry.NodeTypeCode == NodeInRing || entry.CaseMatch != entry) LeaveRing(entry);
        else if (entry.NodeTypeCode is NodeOfTree or NodeInTree) LeaveTree(entry);
    }

    void LeaveRing(UnicodePrefixTableEntry entry)
    {
        UnicodePrefixTableEntry last = entry;
        foreach (UnicodePrefixTableEntry each in Ring(entry)) last = each;
        UnicodePrefixTableEntry heir = entry.CaseMatch;
        last.CaseMatch = heir;
        if (entry.NodeTypeCode == NodeInRing) return;
        // The ring's node in the tree goes: the next one takes over its links.
        SplayLinks from = entry.Links, to = heir.Links;
        (to.LeftChild, to.RightChild) = (from.LeftChild, from.RightChild);
        if (!to.LeftChild.IsNull) to.LeftChild.Adopt(to);
        if (!to.RightChild.IsNull) to.RightChild.Adopt(to);
        to.Parent = from.IsRoot ? to : from.Parent;
        if (!to.IsRoot) to.Parent.Replace(from, to);
        (heir.NodeTypeCode, heir.NextPrefixTree) = (entry.NodeTypeCode, entry.NextPrefixTree);
        if (entry.NodeTypeCode == NodeOfTree) SetNext(TreeBefore(entry), heir);
    }

    UnicodePrefixTableEntry TreeBefore(UnicodePrefixTableEntry tree)
    {
        UnicodePrefixTableEntry before = Null;
        foreach (UnicodePrefixTableEntry each in Trees())
        {
            if (each == tree) break;
            before = each;
        }
        return before;
    }

    void LeaveTree(UnicodePrefixTableEntry entry)
    {
        SplayLinks root = entry.Links;
        for (; !root.IsRoot; root = root.Parent) nt.Ke.Clock.Spend();
        UnicodePrefixTableEntry tree = EntryOf(root), before = TreeBefore(tree), next = tree.NextPrefixTree;
        SplayLinks newRoot = _tree.Delete(entry.Links);
        if (newRoot.IsNull)
        {
            SetNext(before, next);
            return;
        }
        UnicodePrefixTableEntry heir = EntryOf(newRoot);
        if (tree != heir) (tree.NodeTypeCode, tree.NextPrefixTree) = (NodeInTree, Null);
        (heir.NodeTypeCode, heir.NextPrefixTree) = (NodeOfTree, next);
        SetNext(before, heir);
    }

    /// <summary>The entries one after another: the longest paths first, in a tree by name, then the ring.</summary>
    public UnicodePrefixTableEntry Next(bool restart)
    {
        UnicodePrefixTableEntry last = restart ? Null : table.LastNextEntry;
        UnicodePrefixTableEntry next = last.IsNull ? FirstOf(table.NextPrefixTree) : Following(last);
        table.LastNextEntry = next;
        return next;
    }

    UnicodePrefixTableEntry FirstOf(UnicodePrefixTableEntry tree) =>
        tree.IsNull ? Null : EntryOf(_tree.Leftmost(tree.Links));

    UnicodePrefixTableEntry Following(UnicodePrefixTableEntry last)
    {
        UnicodePrefixTableEntry inTree = last.CaseMatch;
        if (inTree.NodeTypeCode == NodeInRing) return inTree;
        SplayLinks next = _tree.Successor(inTree.Links);
        if (!next.IsNull) return EntryOf(next);
        SplayLinks root = inTree.Links;
        for (; !root.IsRoot; root = root.Parent) nt.Ke.Clock.Spend();
        return FirstOf(EntryOf(root).NextPrefixTree);
    }
}
