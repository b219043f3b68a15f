using Ringdown.Machine;
using static Ringdown.Kernel.Irql;

namespace Ringdown.Kernel;

/// <summary>Splay links: trees that drivers build themselves.</summary>
sealed partial class Rtl
{
    SplayTree Splays => field ??= new SplayTree(nt);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public SplayLinks RtlSplay(SplayLinks links) => Splays.Splay(links);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public SplayLinks RtlDelete(SplayLinks links) => Splays.Delete(links);

    /// <summary>Takes a node out of the tree whose root a pointer holds; nothing else moves.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void RtlDeleteNoSplay(SplayLinks links, Va root)
    {
        bool wasRoot = links.IsRoot;
        // With two children another node takes its place, at the root too.
        SplayLinks heir = wasRoot && !links.LeftChild.IsNull && !links.RightChild.IsNull
            ? Splays.SubtreePredecessor(links) : links;
        Splays.Unlink(links, out SplayLinks newRoot);
        if (wasRoot) nt.Memory.Write(root, heir == links ? newRoot.Address : heir.Address);
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public SplayLinks RtlSubtreeSuccessor(SplayLinks links) => Splays.SubtreeSuccessor(links);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public SplayLinks RtlSubtreePredecessor(SplayLinks links) => Splays.SubtreePredecessor(links);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public SplayLinks RtlRealSuccessor(SplayLinks links) => Splays.Successor(links);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public SplayLinks RtlRealPredecessor(SplayLinks links) => Splays.Predecessor(links);
}
