using Ringdown.Machine;
using static Ringdown.Kernel.ResourceType;

namespace Ringdown.Kernel;

/// <summary>Gives devices the ports, memory, interrupts and channels that they can do with, each to one of them, or to
/// several that share.</summary>
/// <remarks>
/// One arbiter serves the whole machine. It looks for the first place from the lowest: of memory that is not fixed from
/// 2 GiB and 1 MiB, behind what is memory; of ports from 0x1000. Messages get vectors of one processor from the highest
/// IRQL, in the upper half of its vectors, which no line below 72 has.
/// </remarks>
sealed class Arbiter(Machine.Computer computer)
{
    const ulong FirstFreePort = 0x1000;

    /// <summary>A list may have so many combinations that nobody waits for the last one. Of one list, and of
    /// all.</summary>
    const int MostTries = 10_000, MostTriesOfAll = 4 * MostTries;

    static readonly Resource[] s_reserved =
    [
        new(ResourceType.Memory, MemoryStart, MemoryEnd - MemoryStart),
        new(ResourceType.Memory, 0xFEE0_0000, 0x10_0000),
        new(Port, 0xCF8, 8), new(Dma, 4, 1),
    ];

    static readonly Resource s_ecam = new(ResourceType.Memory, Machine.PciBus.EcamBase, Machine.PciBus.EcamBytes);

    const ulong MemoryStart = (ulong)Machine.PhysicalMemory.FirstFrame << 12,
        MemoryEnd = (ulong)Machine.PhysicalMemory.EndFrame << 12;

    readonly Dictionary<DeviceNode, IReadOnlyList<Resource>> _taken = [];
    readonly Dictionary<LegacyOwner, IReadOnlyList<Resource>> _claims = [];

    public void Take(DeviceNode node, IReadOnlyList<Resource> resources) => _taken[node] = resources;

    public void Release(DeviceNode node) => _taken.Remove(node);

    /// <summary>What a driver of old says that it uses, or gets; nothing: it gives it back.</summary>
    public void Claim(LegacyOwner owner, IReadOnlyList<Resource> resources)
    {
        if (resources.Count == 0) _claims.Remove(owner);
        else _claims[owner] = resources;
    }

    /// <summary>How many resources such drivers have.</summary>
    public int Claims => _claims.Values.Sum(c => c.Count);

    /// <summary>What a driver of old gets in the way of: another such driver, or a device that runs. Where nobody but
    /// firmware has put a device, it may look for it.</summary>
    public bool Conflicts(LegacyOwner owner, IReadOnlyList<Resource> resources) =>
        TakenFrom(owner).Any(t => resources.Any(r => r.Conflicts(t)));

    List<Resource> TakenFrom(LegacyOwner owner) =>
    [
        .. _claims.Where(c => c.Key.Driver != owner.Driver).SelectMany(c => c.Value),
        .. _taken.Where(t => t.Key.IsStarted && !owner.Drives(t.Key)).SelectMany(t => t.Value)
            .Where(r => !r.IsWindow),
    ];

    /// <summary>A set of resources for a driver that has found its device itself; null if there is none.</summary>
    public IReadOnlyList<Resource>? Find(
        LegacyOwner owner, IReadOnlyList<IReadOnlyList<IReadOnlyList<Requirement>>> lists)
    {
        // What else it has is as much in the way as what others have.
        List<Resource> others = [.. TakenFrom(owner),
            .. _claims.Where(c => c.Key.Driver == owner.Driver && c.Key != owner).SelectMany(c => c.Value)];
        return Find(lists, others);
    }

    /// <summary>A set of resources for a device.</summary>
    /// <param name="without">Devices whose resources count as free.</param>
    /// <returns>Null if there is none.</returns>
    public IReadOnlyList<Resource>? Find(DeviceNode node, IReadOnlySet<DeviceNode> without)
    {
        // What is behind a bridge lies in its windows, and moves with them.
        IEnumerable<Resource> others = _taken
            .Where(t => t.Key != node && !without.Contains(t.Key) && !t.Key.IsBelow(node))
            .SelectMany(t => node.IsBelow(t.Key) ? t.Value.Where(r => !r.IsWindow) : t.Value);
        IEnumerable<Resource> claimed = _claims.Where(c => !c.Key.Drives(node)).SelectMany(c => c.Value);
        return Find(Wanted(node), [.. others, .. claimed]);
    }

    IReadOnlyList<Resource>? Find(
        IReadOnlyList<IReadOnlyList<IReadOnlyList<Requirement>>> lists, List<Resource> others)
    {
        int left = MostTriesOfAll;
        foreach (IReadOnlyList<IReadOnlyList<Requirement>> list in lists)
        {
            var found = new List<Resource>();
            int most = Math.Min(left, MostTries), tries = most;
            if (Find(list, 0, others, found, ref tries)) return found;
            left -= most - Math.Max(tries, 0);
        }
        return null;
    }

    /// <summary>What a device wants; one without requirements wants what it has been set to.</summary>
    static IReadOnlyList<IReadOnlyList<IReadOnlyList<Requirement>>> Wanted(DeviceNode node)
    {
        var lists = RequirementLists.Read(node.Requirements);
        if (lists.Count > 0) return lists;
        return [[.. node.BootResources.Select(r => (IReadOnlyList<Requirement>)[Requirement.Of(r)])]];
    }

    // One after the other, and back if the next one finds no place.
    bool Find(
        IReadOnlyList<IReadOnlyList<Requirement>> list, int at, List<Resource> others, List<Resource> found,
        ref int tries)
    {
        if (at == list.Count) return true;
        foreach (Requirement requirement in list[at])
        {
            if (--tries < 0) return false;
            if (Place(requirement, found.Count(f => f.IsMessage), r => Conflict(r, others) ?? Conflict(r, found),
                ref tries) is not { } place) continue;
            found.Add(place);
            if (Find(list, at + 1, others, found, ref tries)) return true;
            found.RemoveAt(found.Count - 1);
        }
        return false;
    }

    static Resource? Conflict(Resource wanted, List<Resource> taken)
    {
        foreach (Resource other in taken)
            if (wanted.Conflicts(other)) return other;
        return null;
    }

    /// <param name="message">How many messages the device has already.</param>
    /// <param name="tries">Each place that is looked at takes one of them.</param>
    Resource? Place(Requirement wanted, int message, Func<Resource, Resource?> conflict, ref int tries)
    {
        if (wanted.Type == DevicePrivate)
            return new Resource(DevicePrivate, 0, 1, wanted.Share, wanted.Flags) { Private = wanted.Private };
        if (wanted.IsMessage) return PlaceMessages(wanted, message, conflict);
        // No line lies beyond the last one, whatever is wanted.
        ulong maximum = wanted.Type == Interrupt ? Math.Min(wanted.Maximum, InterruptTable.Lines - 1) : wanted.Maximum;
        if (wanted.Length == 0 || maximum < wanted.Minimum) return null;
        ulong start = wanted.IsFixed ? wanted.Minimum : wanted.Type switch
        {
            ResourceType.Memory or MemoryLarge => Math.Max(wanted.Minimum, MemoryEnd),
            Port when wanted.Maximum > FirstFreePort => Math.Max(wanted.Minimum, FirstFreePort),
            _ => wanted.Minimum,
        };
        while (--tries >= 0)
        {
            start = Align(start, wanted.Alignment);
            ulong last = start + (wanted.Length - 1);
            if (last < start || last > maximum) return null;
            var place = new Resource(wanted.Type, start, wanted.Length, wanted.Share, wanted.Flags)
            {
                Processors = wanted.Type == Interrupt ? wanted.Policy.Lines(computer.Processors.Count) : 0,
            };
            if ((conflict(place) ?? Reserved(place)) is not { } other) return place;
            if (wanted.IsFixed) return null;
            // Of what lies in its way the next place is behind it; lines are tried one by one.
            ulong next = wanted.Type == Interrupt ? start + 1 : other.Start + other.Length;
            if (next <= start) return null;
            start = next;
        }
        return null;
    }

    Resource? Reserved(Resource place)
    {
        foreach (Resource reserved in s_reserved)
            if (place.Conflicts(reserved)) return reserved;
        return computer.Pci.Known.Count > 0 && place.Conflicts(s_ecam) ? s_ecam : null;
    }

    static ulong Align(ulong value, ulong alignment)
    {
        if (alignment <= 1 || (alignment & (alignment - 1)) != 0) return value;
        ulong aligned = (value + (alignment - 1)) & ~(alignment - 1);
        return aligned < value ? ulong.MaxValue : aligned;
    }

    Resource? PlaceMessages(Requirement wanted, int message, Func<Resource, Resource?> conflict)
    {
        const int highestLevel = 11, lowestLevel = 3, perLevel = 16, firstOwn = 8;
        int step = (int)System.Numerics.BitOperations.RoundUpToPowerOf2((uint)wanted.Length);
        bool isLow = wanted.Policy.Priority == IrqPriority.IrqPriorityLow;
        foreach (int processor in wanted.Policy.Messages(message, computer.Processors.Count))
            for (int i = 0; i <= highestLevel - lowestLevel; i++)
                // Sixteen take a whole IRQL, as long as no line is there.
                for (int index = perLevel - step; index >= (step > firstOwn ? 0 : firstOwn); index -= step)
                {
                    int level = isLow ? lowestLevel + i : highestLevel - i;
                    var place = new Resource(
                        Interrupt, (ulong)(level * perLevel + index), wanted.Length, wanted.Share, wanted.Flags)
                    {
                        Processors = 1UL << processor,
                    };
                    if (conflict(place) is null) return place;
                }
        return null;
    }
}

/// <summary>A driver that finds its devices itself, and one of its devices; without a device, what is for all of
/// them.</summary>
/// <param name="Name">The driver's service; empty: it has none.</param>
readonly record struct LegacyOwner(Va Driver, Va Device, string Name)
{
    /// <summary>Plug and play has the device too, with this driver.</summary>
    public bool Drives(DeviceNode node) =>
        Name.Length > 0 && Name.Equals(node.Service, StringComparison.OrdinalIgnoreCase);
}
