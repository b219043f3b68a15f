using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>RTL_BALANCED_LINKS: a node of an AVL tree; Balance is the height of the right subtree less the
/// left's.</summary>
[Layout("_RTL_BALANCED_LINKS", Size = 0x20)]
public readonly partial struct BalancedLinks
{
    [Field(0x00)] public partial BalancedLinks Parent { get; set; }
    [Field(0x08)] public partial BalancedLinks LeftChild { get; set; }
    [Field(0x10)] public partial BalancedLinks RightChild { get; set; }
    [Field(0x18)] public partial sbyte Balance { get; set; }

    /// <summary>The child on a side: -1 is left, 1 is right.</summary>
    internal BalancedLinks Child(int side) => side < 0 ? LeftChild : RightChild;

    internal void SetChild(int side, BalancedLinks child)
    {
        if (side < 0) LeftChild = child;
        else RightChild = child;
        if (!child.IsNull) child.Parent = this;
    }

    /// <summary>On which side of its parent it hangs.</summary>
    internal int Side => Parent.LeftChild == this ? -1 : 1;
}

/// <summary>The tree of an RTL_AVL_TABLE: its root is the right child of the table's own node.</summary>
sealed class AvlTree(NtKernel nt, BalancedLinks head)
{
    BalancedLinks Null => BalancedLinks.At(nt.Memory, Va.Null);

    public BalancedLinks Root => head.RightChild;

    void Step() => nt.Ke.Clock.Spend();

    public BalancedLinks Outermost(BalancedLinks node, int side)
    {
        for (; !node.Child(side).IsNull; node = node.Child(side)) Step();
        return node;
    }

    /// <summary>The next node in order on a side (1: the successor); null behind the last.</summary>
    public BalancedLinks Next(BalancedLinks node, int side)
    {
        if (node.Child(side) is { IsNull: false } below) return Outermost(below, -side);
        for (; node.Parent != head && node.Parent != node; node = node.Parent)
        {
            Step();
            if (node.Side != side) return node.Parent;
        }
        return Null;
    }

    /// <summary>Hangs a node below another, or below the head, and balances.</summary>
    /// <returns>Whether the tree became higher.</returns>
    public bool Insert(BalancedLinks node, BalancedLinks parent, int side)
    {
        (node.LeftChild, node.RightChild, node.Balance) = (Null, Null, 0);
        parent.SetChild(side, node);
        for (BalancedLinks child = node; parent != head; child = parent, parent = parent.Parent)
        {
            Step();
            side = child.Side;
            int balance = parent.Balance;
            if (balance == side)
            {
                Rebalance(parent, side);
                return false;
            }
            parent.Balance = (sbyte)(balance + side);
            if (parent.Balance == 0) return false;
        }
        return true;
    }

    /// <summary>Takes a node out and balances.</summary>
    /// <returns>Whether the tree became lower.</returns>
    public bool Delete(BalancedLinks node)
    {
        BalancedLinks gone = node;
        if (!node.LeftChild.IsNull && !node.RightChild.IsNull)
            gone = node.Balance >= 0 ? Outermost(node.RightChild, -1) : Outermost(node.LeftChild, 1);
        BalancedLinks parent = gone.Parent;
        int side = gone.Side;
        parent.SetChild(side, gone.LeftChild.IsNull ? gone.RightChild : gone.LeftChild);
        bool lower = Shrunk(parent, side);
        if (gone != node) TakePlace(gone, node);
        return lower;
    }

    // A subtree on a side of the parent has become lower.
    bool Shrunk(BalancedLinks parent, int side)
    {
        while (parent != head)
        {
            Step();
            if (parent.Balance == 0)
            {
                parent.Balance = (sbyte)-side;
                return false;
            }
            if (parent.Balance == side) parent.Balance = 0;
            else
            {
                if (!Rebalance(parent, -side)) return false;
                parent = parent.Parent;
            }
            side = parent.Side;
            parent = parent.Parent;
        }
        return true;
    }

    // The side is two levels higher: the child there, or its inner child, takes the node's place.
    bool Rebalance(BalancedLinks node, int side)
    {
        BalancedLinks child = node.Child(side);
        if (child.Balance == -side)
        {
            BalancedLinks inner = child.Child(-side);
            Promote(inner);
            Promote(inner);
            node.Balance = (sbyte)(inner.Balance == side ? -side : 0);
            child.Balance = (sbyte)(inner.Balance == -side ? side : 0);
            inner.Balance = 0;
            return true;
        }
        Promote(child);
        bool wasLevel = child.Balance == 0;
        node.Balance = (sbyte)(wasLevel ? side : 0);
        child.Balance = (sbyte)(wasLevel ? -side : 0);
        return !wasLevel;
    }

    void Promote(BalancedLinks node)
    {
        BalancedLinks parent = node.Parent, above = parent.Parent;
        int side = node.Side, parentSide = parent.Side;
        parent.SetChild(side, node.Child(-side));
        node.SetChild(-side, parent);
        above.SetChild(parentSide, node);
    }

    void TakePlace(BalancedLinks heir, BalancedLinks old)
    {
        old.Parent.SetChild(old.Side, heir);
        heir.SetChild(-1, old.LeftChild);
        heir.SetChild(1, old.RightChild);
        heir.Balance = old.Balance;
    }
}
