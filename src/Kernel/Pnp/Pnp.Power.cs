namespace Ringdown.Kernel;

/// <summary>In which order devices lose power and get it back.</summary>
sealed partial class Pnp
{
    /// <summary>Devices that run, by levels: each one's parent is in a level before its own, and so is a device that it
    /// needs power with (power relations).</summary>
    public IReadOnlyList<IReadOnlyList<DeviceNode>> PowerLevels()
    {
        if (Root is null) return [];
        DeviceNode[] all = [.. Root.Tree().Where(n => n.IsStarted)];
        var needed = new Dictionary<DeviceNode, List<DeviceNode>>();
        foreach (DeviceNode node in all)
            foreach (DeviceNode other in PowerRelationsOf(node))
            {
                if (!needed.TryGetValue(other, out List<DeviceNode>? before)) needed.Add(other, before = []);
                before.Add(node);
            }
        var levels = new Dictionary<DeviceNode, int>();
        foreach (DeviceNode node in all) LevelOf(node, needed, levels);
        return [.. all.GroupBy(n => levels[n]).OrderBy(g => g.Key).Select(g => g.ToArray())];
    }

    // Drivers may say that two devices need each other: then the parents decide.
    static int LevelOf(
        DeviceNode node, Dictionary<DeviceNode, List<DeviceNode>> needed, Dictionary<DeviceNode, int> levels)
    {
        if (levels.TryGetValue(node, out int known)) return known;
        levels[node] = node.Level;
        int level = node.Parent is { } parent ? LevelOf(parent, needed, levels) + 1 : 0;
        foreach (DeviceNode before in needed.GetValueOrDefault(node) ?? [])
            level = Math.Max(level, LevelOf(before, needed, levels) + 1);
        return levels[node] = level;
    }

    List<DeviceNode> PowerRelationsOf(DeviceNode node)
    {
        List<DeviceNode> others = [];
        foreach (DeviceObject device in Relations(node, DeviceRelationType.PowerRelations) ?? [])
        {
            if (Find(device) is { } other && other != node) others.Add(other);
            nt.Ob.Dereference(nt.Ob.At(device.Address));
        }
        return others;
    }
}
