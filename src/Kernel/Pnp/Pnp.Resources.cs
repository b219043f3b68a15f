using static Ringdown.Kernel.DeviceNodeState;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Kernel;

/// <summary>Who gets which resources, and who moves when there are not enough.</summary>
sealed partial class Pnp
{
    static readonly HashSet<DeviceNode> s_nobody = [];

    /// <summary>Gives a device its resources; if there are none, others that run are asked to move.</summary>
    bool AssignResources(DeviceNode node)
    {
        if (Arbiter.Find(node, s_nobody) is not { } found) return MakeRoom(node);
        Give(node, found);
        return true;
    }

    void Give(DeviceNode node, IReadOnlyList<Resource> resources)
    {
        node.Resources = resources;
        Arbiter.Take(node, resources);
    }

    /// <summary>Looks for one device, or for all, with which others' resources would do for both.</summary>
    bool MakeRoom(DeviceNode node)
    {
        DeviceNode[] movable = [.. Root!.Tree().Where(n => n != node && n.IsStarted && n.Resources.Count > 0
            && !node.IsBelow(n))];
        foreach (DeviceNode one in movable)
            if (TryMove(node, [one])) return true;
        if (movable.Length > 1 && TryMove(node, movable)) return true;
        return Widen(node);
    }

    static bool HasWindow(DeviceNode node) =>
        node.Resources.Any(r => r.IsWindow && r.Type != ResourceType.BusNumber);

    /// <summary>A bridge above the device may get larger windows, if it wants others now.</summary>
    bool Widen(DeviceNode node)
    {
        List<DeviceNode> above = [];
        for (DeviceNode? next = node.Parent; next is not null; next = next.Parent)
            if (next.IsStarted && next.Resources.Any(r => r.IsWindow)) above.Insert(0, next);
        foreach (DeviceNode bridge in above)
        {
            QueryRequirements(bridge);
            if (Arbiter.Find(bridge, s_nobody)?.SequenceEqual(bridge.Resources) != false) continue;
            Rebalance(bridge);
            // A bridge that does not start again loses what is behind it.
            if (node.State != DriversAdded) return false;
            FilterRequirements(node);
            if (Arbiter.Find(node, s_nobody) is not { } found) return false;
            Give(node, found);
            return true;
        }
        return false;
    }

    bool TryMove(DeviceNode node, DeviceNode[] moving)
    {
        // What is behind a bridge goes with it.
        HashSet<DeviceNode> free = [.. moving.SelectMany(m => HasWindow(m) ? m.Tree() : [m])];
        // First on paper: the new one, then each that moves.
        if (Arbiter.Find(node, free) is not { } found) return false;
        IReadOnlyList<Resource>[] before = [.. moving.Select(m => m.Resources)];
        Give(node, found);
        var plan = new List<IReadOnlyList<Resource>>();
        foreach (DeviceNode next in moving)
        {
            free.Remove(next);
            if (Arbiter.Find(next, free) is not { } place) break;
            Arbiter.Take(next, place);
            plan.Add(place);
        }
        for (int i = 0; i < moving.Length; i++) Arbiter.Take(moving[i], before[i]);
        Arbiter.Release(node);
        node.Resources = [];
        if (plan.Count < moving.Length) return false;
        DeviceNode[] changed = [.. moving.Where((m, i) => !plan[i].SequenceEqual(before[i]))];
        Resource[] planned = [.. found.Concat(plan.SelectMany(p => p)).Where(r => !r.IsWindow)];
        if (moving.Except(changed).Where(HasWindow).SelectMany(m => m.Tree()).Except(moving)
            .SelectMany(m => m.Resources).Any(r => planned.Any(p => p.Conflicts(r)))) return false;
        if (!StopAll(changed)) return false;
        Give(node, found);
        for (int i = 0; i < moving.Length; i++) Give(moving[i], plan[i]);
        RestartAll(changed);
        return true;
    }

    /// <summary>Asks devices, and all below them, whether they can stop, and stops them if all can.</summary>
    bool StopAll(IReadOnlyList<DeviceNode> nodes)
    {
        DeviceNode[] all = [.. nodes.SelectMany(n => n.Tree()).Distinct().Where(n => n.IsStarted)
            .OrderByDescending(n => n.Level)];
        List<DeviceNode> asked = [];
        foreach (DeviceNode next in all)
        {
            asked.Add(next);
            NtStatus status = Send(next, IRP_MN_QUERY_STOP_DEVICE);
            if (status.IsSuccess && status != STATUS_RESOURCE_REQUIREMENTS_CHANGED)
            {
                next.State = QueryStopped;
                continue;
            }
            asked.Reverse();
            foreach (DeviceNode back in asked)
            {
                Send(back, IRP_MN_CANCEL_STOP_DEVICE);
                back.State = DeviceNodeState.Started;
            }
            return false;
        }
        foreach (DeviceNode next in all)
        {
            Send(next, IRP_MN_STOP_DEVICE);
            next.State = Stopped;
        }
        return true;
    }

    void RestartAll(IReadOnlyList<DeviceNode> nodes)
    {
        DeviceNode[] all = [.. nodes.SelectMany(n => n.Tree()).Distinct().Where(n => n.State == Stopped)
            .OrderBy(n => n.Level)];
        foreach (DeviceNode next in all)
            if (next.State == Stopped && (nodes.Contains(next) || MoveAlong(next)) && SendStart(next)) Started(next);
    }

    /// <summary>A device below one that has moved looks for its place there.</summary>
    bool MoveAlong(DeviceNode node)
    {
        if (!node.Resources.Any(r => r.Type is ResourceType.Port or ResourceType.Memory or ResourceType.BusNumber))
            return true;
        QueryBus(node);
        FilterRequirements(node);
        Arbiter.Release(node);
        if (Arbiter.Find(node, s_nobody) is { } found)
        {
            Give(node, found);
            return true;
        }
        Lose(node, DeviceProblem.NormalConflict, STATUS_CONFLICTING_ADDRESSES);
        return false;
    }

    /// <summary>Stops a device, gives it resources by what it needs now, and starts it.</summary>
    public void Rebalance(DeviceNode node)
    {
        if (!node.IsStarted || !StopAll([node])) return;
        FilterRequirements(node);
        IReadOnlyList<Resource> before = node.Resources;
        Arbiter.Release(node);
        if (Arbiter.Find(node, s_nobody) is { } found) Give(node, found);
        else Give(node, before);
        RestartAll([node]);
    }
}
