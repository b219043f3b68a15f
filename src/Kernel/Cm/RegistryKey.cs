namespace Ringdown.Kernel;

/// <summary>A key that somebody has opened or looked up (NT's key control block): it stays the same key when it is
/// renamed, and knows when it was deleted.</summary>
sealed class RegistryKey
{
    readonly Cm _cm;
    readonly Dictionary<string, RegistryKey> _children = new(StringComparer.Ordinal);

    public RegistryKey(Cm cm, RegistryKey? parent, string name, ulong id)
    {
        (_cm, Parent, Name, Id) = (cm, parent, name, id);
        Depth = parent is null ? 0 : parent.Depth + 1;
    }

    public RegistryKey? Parent { get; }
    public string Name { get; private set; }
    public int Depth { get; }

    /// <summary>A number of its own.</summary>
    public ulong Id { get; }
    public bool IsDeleted { get; private set; }

    /// <summary>What ZwSetInformationKey keeps beside the key: control, virtualization and debug flags.</summary>
    public uint WowFlags { get; set; }
    public uint ControlFlags { get; set; }
    public uint VirtualizationFlags { get; set; }

    public string Path => Parent is null ? @"\REGISTRY" : $@"{Parent.Path}\{Name}";

    /// <summary>What the key is now. A deleted one is empty.</summary>
    public RegistryNode Node => Parent is null ? _cm.RootNode
        : IsDeleted ? new RegistryNode(Name) : Parent.Node.Find(Name) ?? new RegistryNode(Name);

    /// <summary>A subkey, if it is there.</summary>
    public RegistryKey? Child(string name)
    {
        if (IsDeleted) return null;
        string upper = Casing.ToUpper(name);
        if (_children.TryGetValue(upper, out RegistryKey? known)) return known;
        if (Node.Find(name) is not { } node) return null;
        var made = new RegistryKey(_cm, this, node.Name, _cm.NextKeyId());
        _children.Add(upper, made);
        return made;
    }

    /// <summary>Makes a subkey that is not there yet.</summary>
    public RegistryKey Add(RegistryNode node)
    {
        Change(n => n.With(node with { LastWriteTime = _cm.Now }), RegistryChange.Name);
        return Child(node.Name)!;
    }

    /// <summary>Makes the key another one, tells who watches it, and notes the time.</summary>
    public void Change(Func<RegistryNode, RegistryNode> change, RegistryChange kind)
    {
        Replace(change(Node) with { LastWriteTime = _cm.Now });
        _cm.OnChanged(this, kind);
    }

    /// <summary>Puts another node in its place, as it is.</summary>
    public void Replace(RegistryNode node)
    {
        if (IsDeleted) return;
        if (Parent is null) _cm.RootNode = node;
        else Parent.Replace(Parent.Node.With(node));
    }

    public void Set(string value, RegistryValue data) => Change(n => n.WithValue(value, data), RegistryChange.LastSet);

    public bool RemoveValue(string value)
    {
        if (Node.FindValue(value) is null) return false;
        Change(n => n.WithoutValue(value), RegistryChange.LastSet);
        return true;
    }

    /// <summary>Deletes the key and all below it.</summary>
    public void Delete()
    {
        RegistryKey parent = Parent!;
        MarkDeleted();
        parent._children.Remove(Casing.ToUpper(Name));
        parent.Change(n => n.WithoutSubkey(Name), RegistryChange.Name);
    }

    void MarkDeleted()
    {
        foreach (RegistryKey child in _children.Values) child.MarkDeleted();
        IsDeleted = true;
    }

    public void Rename(string name)
    {
        RegistryKey parent = Parent!;
        string old = Name;
        RegistryNode node = Node;
        parent._children.Remove(Casing.ToUpper(old));
        parent._children[Casing.ToUpper(name)] = this;
        Name = name;
        parent.Change(n => n.WithoutSubkey(old).With(node with { Name = name, LastWriteTime = _cm.Now }),
            RegistryChange.Name);
    }

    /// <summary>Whether it is another key or lies below it.</summary>
    public bool IsWithin(RegistryKey other)
    {
        for (RegistryKey? key = this; key is not null; key = key.Parent)
            if (key == other) return true;
        return false;
    }
}

/// <summary>REG_NOTIFY_CHANGE_: what about a key has changed.</summary>
[Flags]
enum RegistryChange : uint { Name = 1, Attributes = 2, LastSet = 4, Security = 8, All = 15 }
