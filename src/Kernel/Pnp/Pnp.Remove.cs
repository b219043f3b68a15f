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

    /// <summary>A device with all below it and all that must go with it, in the order in which they go.</summary>
    /// <param name="asks">Its drivers can be asked what else must go.</param>
    List<DeviceNode> Going(DeviceNode node, bool asks = true)
    {
        List<DeviceNode> all = [];
        Collect(node, all, asks);
        return all;
    }

    void Collect(DeviceNode node, List<DeviceNode> all, bool asks)
    {
        if (all.Contains(node)) return;
        foreach (DeviceNode child in node.ChildList.ToArray()) Collect(child, all, asks);
        if (asks && node.IsStarted && Relations(node, DeviceRelationType.RemovalRelations) is { } related)
        {
            foreach (DeviceObject device in related)
            {
                if (Find(device) is { } other && other != node) Collect(other, all, asks);
                nt.Ob.Dereference(nt.Ob.At(device.Address));
            }
        }
        if (!all.Contains(node)) all.Add(node);
    }

    /// <summary>Asks everybody whether a device may go. If somebody says no, all who were asked are told.</summary>
    NtStatus QueryRemove(DeviceNode node)
    {
        List<DeviceNode> going = Going(node), asked = [];
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

    /// <summary>Takes a device and all below it out of the system, after everybody has agreed.</summary>
    void Remove(DeviceNode node, DeviceProblem problem)
    {
        foreach (DeviceNode next in Going(node))
        {
            NotifyTarget(next, s_removeComplete);
            RemoveStack(next);
            if (next == node) next.Problem = problem;
            // Below a bus without a driver nobody speaks for the devices.
            if (next != node && next.IsBelow(node)) Gone(next);
        }
    }

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
    }

    void Gone(DeviceNode node)
    {
        if (node.State == Deleted) return;
        Forget(node);
        if (nt.Ob.Find(node.PhysicalDevice.Address) is { IsDeleting: false } device) nt.Ob.Dereference(device);
    }

    /// <summary>A device is not there any more. Its drivers are told at once; they go when nobody has them
    /// open.</summary>
    void SurpriseRemove(DeviceNode node)
    {
        foreach (DeviceNode next in Going(node, asks: false))
        {
            next.IsPresent = false;
            if (next.State is DeviceNodeState.Started or QueryStopped or Stopped or QueryRemoved or DriversAdded)
                SendSurprise(next);
            EndIfClosed(next);
        }
    }

    /// <summary>A device failed, or its drivers say so: the same, but it is still there.</summary>
    void SurpriseStack(DeviceNode node)
    {
        foreach (DeviceNode next in Going(node, asks: false))
        {
            if (next != node) next.IsPresent = false;
            if (next.State is DeviceNodeState.Started or QueryStopped or Stopped or QueryRemoved or DriversAdded)
                SendSurprise(next);
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
        NtStatus status = node.State is DeviceNodeState.Started or DriversAdded ? QueryRemove(node) : STATUS_SUCCESS;
        if (!status.IsSuccess) return status;
        KeyOf(node).Set("ConfigFlags", RegistryValue.Dword(CONFIGFLAG_DISABLED));
        Remove(node, DeviceProblem.Disabled);
        return STATUS_SUCCESS;
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
        NtStatus status = node.State is DeviceNodeState.Started or DriversAdded ? QueryRemove(node) : STATUS_SUCCESS;
        if (!status.IsSuccess) return status;
        Remove(node, DeviceProblem.None);
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

    /// <summary>Takes a device out and has its bus eject it.</summary>
    public NtStatus Eject(DeviceNode node)
    {
        const CapabilityFlags ejectable = CapabilityFlags.EjectSupported | CapabilityFlags.Removable;
        if ((node.Capabilities & ejectable) == 0) return STATUS_INVALID_DEVICE_REQUEST;
        NtStatus status = node.State is DeviceNodeState.Started or DriversAdded ? QueryRemove(node) : STATUS_SUCCESS;
        if (!status.IsSuccess) return status;
        Remove(node, DeviceProblem.HeldForEject);
        status = Send(node, IRP_MN_EJECT);
        if (node.Parent is { } bus) Enumerate(bus);
        return status;
    }
}
