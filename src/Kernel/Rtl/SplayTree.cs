using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>RTL_SPLAY_LINKS: a node of a binary tree. The root is its own parent.</summary>
[Layout("_RTL_SPLAY_LINKS", Size = 0x18)]
public readonly partial struct SplayLinks
{
    [Field(0x00)] public partial SplayLinks Parent { get; set; }
    [Field(0x08)] public partial SplayLinks LeftChild { get; set; }
    [Field(0x10)] public partial SplayLinks RightChild { get; set; }

    public bool IsRoot => Parent == this;

    internal void Adopt(SplayLinks parent) => Parent = parent;

    /// <summary>Puts another child where one was.</summary>
    internal void Replace(SplayLinks child, SplayLinks other)
    {
        if (LeftChild == child) LeftChild = other;
        else RightChild = other;
    }

    /// <summary>RtlInitializeSplayLinks: a tree of this node alone.</summary>
    public void Initialize() => (Parent, LeftChild, RightChild) = (this, At(_memory, Va.Null), At(_memory, Va.Null));
}

/// <summary>The walks over splay trees in guest memory. Links can be anything: each step is charged.</summary>
sealed class SplayTree(NtKernel nt)
{
    SplayLinks Null => SplayLinks.At(nt.Memory, Va.Null);

    void Step() => nt.Ke.Clock.Spend();

    public SplayLinks Leftmost(SplayLinks node)
    {
        for (; !node.LeftChild.IsNull; node = node.LeftChild) Step();
        return node;
    }

    public SplayLinks Rightmost(SplayLinks node)
    {
        for (; !node.RightChild.IsNull; node = node.RightChild) Step();
        return node;
    }

    /// <summary>The least node of the right subtree; null where there is none.</summary>
    public SplayLinks SubtreeSuccessor(SplayLinks node) =>
        node.RightChild is { IsNull: false } right ? Leftmost(right) : Null;

    public SplayLinks SubtreePredecessor(SplayLinks node) =>
        node.LeftChild is { IsNull: false } left ? Rightmost(left) : Null;

    /// <summary>The next node in order; null behind the last.</summary>
    public SplayLinks Successor(SplayLinks node)
    {
        if (SubtreeSuccessor(node) is { IsNull: false } below) return below;
        for (; !node.IsRoot; node = node.Parent)
        {
            Step();
            if (node.Parent.LeftChild == node) return node.Parent;
        }
        return Null;
    }

    public SplayLinks Predecessor(SplayLinks node)
    {
        if (SubtreePredecessor(node) is { IsNull: false } below) return below;
        for (; !node.IsRoot; node = node.Parent)
        {
            Step();
            if (node.Parent.RightChild == node) return node.Parent;
        }
        return Null;
    }

    /// <summary>Brings a node to the root, two levels at a time.</summary>
    public SplayLinks Splay(SplayLinks node)
    {
        while (!node.IsRoot)
        {
            Step();
            SplayLinks parent = node.Parent;
            if (!parent.IsRoot)
            {
                bool straight = parent.LeftChild == node == (parent.Parent.LeftChild == parent);
                Rotate(straight ? parent : node);
            }
            Rotate(node);
        }
        return node;
    }

    // The node takes its parent's place, and the parent becomes its child.
    void Rotate(SplayLinks node)
    {
        SplayLinks parent = node.Parent, above = parent.Parent;
        bool wasRoot = parent.IsRoot;
        if (parent.LeftChild == node)
        {
            SplayLinks inner = node.RightChild;
            parent.LeftChild = inner;
            if (!inner.IsNull) inner.Parent = parent;
            node.RightChild = parent;
        }
        else
        {
            SplayLinks inner = node.LeftChild;
            parent.RightChild = inner;
            if (!inner.IsNull) inner.Parent = parent;
            node.LeftChild = parent;
        }
        parent.Parent = node;
        node.Parent = wasRoot ? node : above;
        if (wasRoot) return;
        if (above.LeftChild == parent) above.LeftChild = node;
        else above.RightChild = node;
    }

    /// <summary>Takes a node out.</summary>
    /// <returns>The node above the place from which a node went: null if it was the root.</returns>
    public SplayLinks Unlink(SplayLinks node, out SplayLinks newRoot)
    {
        if (!node.LeftChild.IsNull && !node.RightChild.IsNull) Swap(SubtreePredecessor(node), node);
        SplayLinks child = node.LeftChild.IsNull ? node.RightChild : node.LeftChild, parent = node.Parent;
        newRoot = Null;
        if (parent == node)
        {
            newRoot = child;
            if (!child.IsNull) child.Parent = child;
            return Null;
        }
        if (parent.LeftChild == node) parent.LeftChild = child;
        else parent.RightChild = child;
        if (!child.IsNull) child.Parent = parent;
        return parent;
    }

    // Two nodes change places: the lower one is in the left subtree of the upper one and has no right child.
    void Swap(SplayLinks lower, SplayLinks upper)
    {
        SplayLinks parent = lower.Parent, left = lower.LeftChild;
        bool isDirect = parent == upper;
        (SplayLinks upperParent, SplayLinks upperLeft, SplayLinks upperRight) =
            (upper.Parent, upper.LeftChild, upper.RightChild);
        bool wasRoot = upperParent == upper, wasLeft = !wasRoot && upperParent.LeftChild == upper;
        lower.Parent = wasRoot ? lower : upperParent;
        if (!wasRoot && wasLeft) upperParent.LeftChild = lower;
        if (!wasRoot && !wasLeft) upperParent.RightChild = lower;
        lower.RightChild = upperRight;
        upperRight.Parent = lower;
        lower.LeftChild = isDirect ? upper : upperLeft;
        if (!isDirect)
        {
            upperLeft.Parent = lower;
            parent.RightChild = upper;
        }
        upper.Parent = isDirect ? lower : parent;
        (upper.LeftChild, upper.RightChild) = (left, Null);
        if (!left.IsNull) left.Parent = upper;
    }

    /// <summary>Takes a node out and splays the one above it; returns the new root, null of an empty tree.</summary>
    public SplayLinks Delete(SplayLinks node)
    {
        SplayLinks parent = Unlink(node, out SplayLinks root);
        return parent.IsNull ? root : Splay(parent);
    }
}
