using static Ringdown.Kernel.DeviceNodeState;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Kernel;

/// <summary>How devices go: asked before, or by surprise.</summary>
sealed partial class Pnp
{
    static readonly Guid s_queryRemove = new("cb3a4006-46f0-11d0-b08f-00609713053f"),
        s_removeCancelled = new("cb3a4007-46f0-11d0-b08f-00609713053f"),
        s_removeComplete = new("cb3a4008-46f0-11d0-b08f-00609713053f");

    /// <summary>A device with all below it and all that must go with it, in the order in which they go. Drivers of
    /// those that run are asked who else that is.</summary>
    /// <param name="isEjected">It is taken out of the machine: those that are then out as well go too.</param>
    List<DeviceNode> Going(DeviceNode node, bool isEjected = false)
    {
        HashSet<DeviceNode> seen = [];
        List<DeviceNode> all = [], ordered = [];
        Collect(node, isEjected, seen, all);
        // A relation may be to a device above: whatever is said, children go first.
        foreach (DeviceNode next in all) Order(next, seen, ordered);
        return ordered;
    }

    void Collect(DeviceNode node, bool isEjected, HashSet<DeviceNode> seen, List<DeviceNode> all)
    {
        if (node == Root || !seen.Add(node)) return;
        foreach (DeviceNode child in node.ChildList.ToArray()) Collect(child, isEjected, seen, all);
        DeviceRelationType[] kinds = isEjected
            ? [DeviceRelationType.RemovalRelations, DeviceRelationType.EjectionRelations]
            : [DeviceRelationType.RemovalRelations];
        foreach (DeviceRelationType kind in kinds)
        {
            if (!node.IsStarted || Relations(node, kind) is not { } related) continue;
            foreach (DeviceObject device in related)
            {
                if (Find(device) is { } other) Collect(other, isEjected, seen, all);
                nt.Ob.Dereference(nt.Ob.At(device.Address));
            }
        }
        all.Add(node);
    }

    static void Order(DeviceNode node, HashSet<DeviceNode> left, List<DeviceNode> ordered)
    {
        if (!left.Remove(node)) return;
        foreach (DeviceNode child in node.ChildList) Order(child, left, ordered);
        ordered.Add(node);
    }

    /// <summary>Takes a device out of the system, with all that go with it, after everybody was asked.</summary>
    /// <returns>STATUS_PLUGPLAY_QUERY_VETOED if somebody said no.</returns>
    NtStatus TakeOut(DeviceNode node, DeviceProblem problem, bool isEjected = false)
    {
        List<DeviceNode> going = Going(node, isEjected);
        NtStatus status = MayGo(node, going);
        if (status.IsSuccess) Remove(node, going, problem);
        return status;
    }

    // Nobody is asked about what is gone already; but who has it open has it until he closes it.
    NtStatus MayGo(DeviceNode node, List<DeviceNode> going) =>
        node.State is DeviceNodeState.Started or DriversAdded ? QueryRemove(going)
        : going.Exists(HasOpenFiles) ? STATUS_PLUGPLAY_QUERY_VETOED : STATUS_SUCCESS;

    /// <summary>Asks everybody whether they may go. If somebody says no, all who were asked are told.</summary>
    NtStatus QueryRemove(List<DeviceNode> going)
    {
        List<DeviceNode> asked = [];
        if (going.Exists(n => n.IsStarted && (n.DeviceState & PNP_DEVICE_NOT_DISABLEABLE) != 0))
            return STATUS_PLUGPLAY_QUERY_VETOED;
        List<DeviceNode> told = [];
        NtStatus status = STATUS_SUCCESS;
        foreach (DeviceNode next in going)
        {
            told.Add(next);
            status = NotifyTarget(next, s_queryRemove);
            if (!status.IsSuccess) break;
        }
        if (status.IsSuccess)
            foreach (DeviceNode next in going)
            {
                if (next.State is not (DeviceNodeState.Started or DriversAdded)) continue;
                asked.Add(next);
                status = Send(next, IRP_MN_QUERY_REMOVE_DEVICE);
                if (!status.IsSuccess) break;
                (next.State, next.Before) = (QueryRemoved, next.State);
                // Whoever agreed refuses new ones: what is open now stays open.
                if (!HasOpenFiles(next)) continue;
                status = STATUS_PLUGPLAY_QUERY_VETOED;
                break;
            }
        if (status.IsSuccess) return status;
        asked.Reverse();
        foreach (DeviceNode next in asked) CancelRemove(next);
        told.Reverse();
        foreach (DeviceNode next in told) NotifyTarget(next, s_removeCancelled);
        return STATUS_PLUGPLAY_QUERY_VETOED;
    }

    // The one that refused is told too: a driver below it may have agreed already.
    void CancelRemove(DeviceNode node)
    {
        Send(node, IRP_MN_CANCEL_REMOVE_DEVICE);
        if (node.State == QueryRemoved) node.State = node.Before;
    }

    bool HasOpenFiles(DeviceNode node) => StackOf(node).Any(d => d.ReferenceCount > 0);

    IEnumerable<DeviceObject> StackOf(DeviceNode node)
    {
        DeviceObject device = node.PhysicalDevice;
        for (int i = 0; i < 256 && !device.IsNull; i++, device = device.AttachedDevice) yield return device;
    }

    IReadOnlyList<StackedDevice> Stacked(DeviceNode node) =>
        [.. StackOf(node).Select(d => new StackedDevice(d, nt.DriverOfDevice(d.Address)))];

    void Remove(DeviceNode node, List<DeviceNode> going, DeviceProblem problem)
    {
        foreach (DeviceNode next in going)
        {
            NotifyTarget(next, s_removeComplete);
            RemoveStack(next);
            if (next == node) next.Problem = problem;
            // Below a bus without a driver nobody speaks for the devices.
            if (IsBusIn(next, going)) Gone(next);
        }
    }

    static bool IsBusIn(DeviceNode node, List<DeviceNode> going) => node.Parent is { } bus && going.Contains(bus);

    /// <summary>The last word to a device's drivers: they detach and delete their devices. The bus driver keeps its own
    /// while the device is there.</summary>
    void RemoveStack(DeviceNode node)
    {
        if (node.State is Deleted or Removed or Initialized or Uninitialized) return;
        DisableInterfaces(node);
        SendRemove(node);
        Arbiter.Release(node);
        if (node.BootResources.Count > 0 && node.IsPresent) Arbiter.Take(node, node.BootResources);
        (node.State, node.Resources, node.Service) = (Removed, [], null);
    }

    void SendRemove(DeviceNode node)
    {
        IReadOnlyList<StackedDevice> stack = Stacked(node);
        NtStatus status = Send(node, IRP_MN_REMOVE_DEVICE);
        nt.OnDeviceRemoved(node, stack, status);
        node.BusReferences.Clear();
    }

    void Gone(DeviceNode node)
    {
        if (node.State == Deleted) return;
        Forget(node);
        if (nt.Ob.Find(node.PhysicalDevice.Address) is { IsDeleting: false } device) nt.Ob.Dereference(device);
    }

    /// <summary>A device is not there any more. Its drivers are told at once; they go when nobody has them
    /// open.</summary>
    void SurpriseRemove(DeviceNode node) => Surprise(node, isThere: false);

    /// <summary>A device failed, or its drivers say so: the same, but it is still there.</summary>
    void SurpriseStack(DeviceNode node) => Surprise(node, isThere: true);

    void Surprise(DeviceNode node, bool isThere)
    {
        List<DeviceNode> going = Going(node);
        foreach (DeviceNode next in going)
        {
            if (next == node ? !isThere : IsBusIn(next, going)) next.IsPresent = false;
            if (next.State is DeviceNodeState.Started or QueryStopped or Stopped or QueryRemoved or DriversAdded)
                SendSurprise(next);
            // It is there, but cannot be used without the one that is gone.
            if (next != node && next.IsPresent) next.Problem = DeviceProblem.DeviceNotThere;
            EndIfClosed(next);
        }
    }

    void SendSurprise(DeviceNode node)
    {
        IReadOnlyList<StackedDevice> stack = Stacked(node);
        NtStatus status = Send(node, IRP_MN_SURPRISE_REMOVAL);
        nt.OnDeviceRemoved(node, stack, status, isSurprise: true);
        node.State = SurpriseRemoved;
        DisableInterfaces(node);
        NotifyTarget(node, s_removeComplete);
    }

    /// <summary>A device was closed by the last one who had it open.</summary>
    public void OnClosed(DeviceObject device)
    {
        if (_nodes.Count == 0) return;
        foreach (DeviceNode node in _nodes.Values)
        {
            if (node.State != SurpriseRemoved || !StackOf(node).Any(d => d == device)) continue;
            Queue(() => EndIfClosed(node));
            return;
        }
    }

    void EndIfClosed(DeviceNode node)
    {
        if (node.State == Deleted || node.State == SurpriseRemoved && HasOpenFiles(node)) return;
        // A device with children that wait for their last handle waits with them.
        if (node.ChildList.Exists(c => c.State == SurpriseRemoved)) return;
        bool hasDrivers = node.State is not (Removed or Initialized or Uninitialized);
        if (hasDrivers) RemoveStack(node);
        if (node.IsPresent) return;
        // The bus driver alone is left: now it deletes its device.
        if (!hasDrivers) SendRemove(node);
        DeviceNode? parent = node.Parent;
        Gone(node);
        if (parent is { State: SurpriseRemoved }) EndIfClosed(parent);
    }

    /// <summary>Takes a device out of the system for as long as it is disabled.</summary>
    public NtStatus Disable(DeviceNode node)
    {
        NtStatus status = TakeOut(node, DeviceProblem.Disabled);
        if (status.IsSuccess) KeyOf(node).Set("ConfigFlags", RegistryValue.Dword(CONFIGFLAG_DISABLED));
        return status;
    }

    public NtStatus Enable(DeviceNode node)
    {
        KeyOf(node).RemoveValue("ConfigFlags");
        if (node.State is not (Initialized or Removed)) return STATUS_SUCCESS;
        Configure(node);
        return node.IsStarted ? STATUS_SUCCESS : Failure(node);
    }

    public static NtStatus Failure(DeviceNode node) =>
        node.ProblemStatus.IsSuccess ? STATUS_NO_SUCH_DEVICE : node.ProblemStatus;

    /// <summary>Takes a device out, and forgets what drivers it had.</summary>
    public NtStatus Uninstall(DeviceNode node)
    {
        NtStatus status = TakeOut(node, DeviceProblem.None);
        if (!status.IsSuccess) return status;
        if (nt.Cm.Find($@"{EnumPath}\{node.InstancePath}") is { } key) DeleteTree(key);
        if (_rootBus!.Remove(node.PhysicalDevice)) Enumerate(Root!);
        else node.Problem = DeviceProblem.FailedInstall;
        return STATUS_SUCCESS;
    }

    static void DeleteTree(RegistryKey key)
    {
        foreach (RegistryNode child in key.Node.Subkeys) DeleteTree(key.Child(child.Name)!);
        key.Delete();
    }

    /// <summary>Takes a device out, with those that are ejected with it, and has its bus eject it. One of those that is
    /// still there afterwards begins again.</summary>
    public NtStatus Eject(DeviceNode node)
    {
        const CapabilityFlags ejectable = CapabilityFlags.EjectSupported | CapabilityFlags.Removable;
        if ((node.Capabilities & ejectable) == 0) return STATUS_INVALID_DEVICE_REQUEST;
        List<DeviceNode> going = Going(node, isEjected: true);
        NtStatus status = MayGo(node, going);
        if (!status.IsSuccess) return status;
        DeviceNode[] buses = [.. going.Where(n => n == node || !IsBusIn(n, going)).Select(n => n.Parent!).Distinct()];
        Remove(node, going, DeviceProblem.HeldForEject);
        status = Send(node, IRP_MN_EJECT);
        foreach (DeviceNode bus in buses) Enumerate(bus);
        return status;
    }
}
