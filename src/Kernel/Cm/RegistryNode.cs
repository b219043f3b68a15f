using System.Collections.Immutable;

namespace Ringdown.Kernel;

/// <summary>A key and all below it. It never changes: a change makes a new node and new ones above it, so that machines
/// and snapshots share what is the same.</summary>
sealed record RegistryNode(string Name)
{
    public const string LinkValue = "SymbolicLinkValue";

    static readonly IComparer<RegistryNode> s_byName = Comparer<RegistryNode>.Create(
        static (a, b) => Rtl.Compare(a.Name, b.Name, ignoreCase: true));

    public string Class { get; init; } = "";

    /// <summary>100 ns units since 1601.</summary>
    public long LastWriteTime { get; init; }

    /// <summary>Made to last until the machine stops, and not to be saved.</summary>
    public bool IsVolatile { get; init; }

    /// <summary>Made to stand for another key, which its value names.</summary>
    public bool IsLink { get; init; }

    /// <summary>A self-relative descriptor; empty for none of its own.</summary>
    public ImmutableArray<byte> Security { get; init; } = [];

    /// <summary>Subkeys in the order of their names in upper case.</summary>
    public ImmutableList<RegistryNode> Subkeys { get; init; } = [];

    /// <summary>Values in the order in which they were made.</summary>
    public ImmutableList<NamedValue> Values { get; init; } = [];

    int IndexOf(string name) => Subkeys.BinarySearch(new RegistryNode(name), s_byName);

    public RegistryNode? Find(string name) => IndexOf(name) is >= 0 and var at ? Subkeys[at] : null;

    public RegistryValue? FindValue(string name) =>
        IndexOfValue(name) is >= 0 and var at ? Values[at].Value : null;

    int IndexOfValue(string name) => Values.FindIndex(v => Rtl.Compare(v.Name, name, ignoreCase: true) == 0);

    /// <summary>With a subkey added, or one of its name replaced.</summary>
    public RegistryNode With(RegistryNode subkey)
    {
        int at = IndexOf(subkey.Name);
        return this with { Subkeys = at >= 0 ? Subkeys.SetItem(at, subkey) : Subkeys.Insert(~at, subkey) };
    }

    public RegistryNode WithoutSubkey(string name) =>
        IndexOf(name) is >= 0 and var at ? this with { Subkeys = Subkeys.RemoveAt(at) } : this;

    /// <summary>With a value; one of its name keeps its place and the name as it was first written.</summary>
    public RegistryNode WithValue(string name, RegistryValue value)
    {
        int at = IndexOfValue(name);
        return this with
        {
            Values = at < 0 ? Values.Add(new NamedValue(name, value))
                : Values.SetItem(at, Values[at] with { Value = value }),
        };
    }

    public RegistryNode WithoutValue(string name) =>
        IndexOfValue(name) is >= 0 and var at ? this with { Values = Values.RemoveAt(at) } : this;

    /// <summary>The path for which a link stands; null for what is none.</summary>
    public string? Target => IsLink && FindValue(LinkValue) is { } value ? value.RawText : null;
}

sealed record NamedValue(string Name, RegistryValue Value);
