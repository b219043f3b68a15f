using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>A device, or a routine of a driver's, that is registered as a provider, and what it has told of its
/// blocks.</summary>
sealed class WmiProvider(DeviceObject device, uint number)
{
    /// <summary>What it is registered by: a device, or what comes with the routine.</summary>
    public DeviceObject Device { get; } = device;
    public uint Number { get; } = number;

    /// <summary>The routine that is called instead of sending IRPs; null for a device.</summary>
    public Va Routine { get; init; }

    /// <summary>WMIREG_ACTION_BLOCK_IRPS: it gets no more requests.</summary>
    public bool IsBlocked { get; set; }

    /// <summary>It is no longer registered.</summary>
    public bool IsGone { get; set; }

    /// <summary>Requests that are on their way.</summary>
    public int InUse { get; set; }

    /// <summary>Who waits for the last of them; null: nobody.</summary>
    public KEvent? Idle { get; set; }
    public List<WmiBlock> Blocks { get; } = [];

    public WmiBlock? Find(Guid guid) => Blocks.Find(b => b.Guid == guid);
}

/// <summary>A block of a provider: instances of one GUID.</summary>
/// <param name="Names">The names; one text without <paramref name="IsList"/>, behind which the number comes.</param>
sealed record WmiBlock(
    Guid Guid, WmiRegFlags Flags, uint InstanceCount, bool IsList, IReadOnlyList<string> Names)
{
    const WmiRegFlags StaticNames = WmiRegFlags.InstancePdo | WmiRegFlags.InstanceBasename | WmiRegFlags.InstanceList;

    public bool IsExpensive => (Flags & WmiRegFlags.Expensive) != 0;

    /// <summary>It is there for tracing, and has no data.</summary>
    public bool IsTraced => (Flags & (WmiRegFlags.TracedGuid | WmiRegFlags.TraceControlGuid)) != 0;

    /// <summary>Only the provider knows the names of its instances.</summary>
    public bool IsDynamic => (Flags & StaticNames) == 0;

    public WnodeFlags NameFlags => IsDynamic ? WnodeFlags.None : WnodeFlags.StaticInstanceNames
        | ((Flags & WmiRegFlags.InstancePdo) != 0 ? WnodeFlags.PdoInstanceNames : 0);

    public string NameOf(uint index) => !IsList ? $"{Names[0]}{index}"
        : index < Names.Count ? Names[(int)index] : $"{index}";

    /// <summary>The number of an instance; null if the provider has none of the name.</summary>
    public uint? IndexOf(string name)
    {
        // Whether it has one, its answer tells.
        if (IsDynamic) return 0;
        if (IsList)
        {
            int found = Names.ToList().FindIndex(n => n.Equals(name, StringComparison.OrdinalIgnoreCase));
            return found < 0 ? null : (uint)found;
        }
        return name.StartsWith(Names[0], StringComparison.OrdinalIgnoreCase)
            && uint.TryParse(name.AsSpan(Names[0].Length), out uint index) && index < InstanceCount
            && name.Length == NameOf(index).Length ? index : null;
    }
}
