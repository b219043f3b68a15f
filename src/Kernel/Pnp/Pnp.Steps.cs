using Ringdown.Machine;
using static Ringdown.Kernel.DeviceNodeState;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Kernel;

/// <summary>One request of plug and play by itself, for who takes a driver through its states in an order of his
/// own.</summary>
sealed partial class Pnp
{
    /// <summary>Sends a minor to a device's stack, if the device is in a state for it; the state follows.</summary>
    /// <param name="detail">Of a question: which one. The type of relations, of a text, of a use.</param>
    /// <returns>STATUS_INVALID_DEVICE_STATE if NT would not send it now.</returns>
    public NtStatus Step(DeviceNode node, byte minor, uint detail = 0) => (node.State, minor) switch
    {
        (DeviceNodeState.Started, IRP_MN_QUERY_STOP_DEVICE) => Step(node, minor, QueryStopped),
        (QueryStopped, IRP_MN_CANCEL_STOP_DEVICE) => Always(node, minor, DeviceNodeState.Started),
        (QueryStopped, IRP_MN_STOP_DEVICE) => Always(node, minor, Stopped),
        (Stopped, IRP_MN_START_DEVICE) => Restart(node),
        (DeviceNodeState.Started or DriversAdded, IRP_MN_QUERY_REMOVE_DEVICE) => StepToRemoval(node),
        (QueryRemoved, IRP_MN_CANCEL_REMOVE_DEVICE) => Always(node, minor, node.Before),
        (QueryRemoved, IRP_MN_REMOVE_DEVICE) when !HasOpenFiles(node) => StepOut(node),
        (DeviceNodeState.Started or QueryStopped or Stopped or QueryRemoved or DriversAdded, IRP_MN_SURPRISE_REMOVAL) =>
            StepSurprise(node),
        (SurpriseRemoved, IRP_MN_REMOVE_DEVICE) when !HasOpenFiles(node) => StepOut(node),
        (DeviceNodeState.Started or QueryStopped or QueryRemoved, _) => Question(node, minor, detail),
        _ => STATUS_INVALID_DEVICE_STATE,
    };

    NtStatus Step(DeviceNode node, byte minor, DeviceNodeState next)
    {
        NtStatus status = Send(node, minor);
        // Who says no is told that it was called off, and so are the drivers that had agreed.
        if (status.IsSuccess) node.State = next;
        else Send(node, IRP_MN_CANCEL_STOP_DEVICE);
        return status;
    }

    NtStatus Always(DeviceNode node, byte minor, DeviceNodeState next)
    {
        NtStatus status = Send(node, minor);
        node.State = next;
        return status;
    }

    NtStatus Restart(DeviceNode node)
    {
        if (!SendStart(node)) return Failure(node);
        Started(node);
        return STATUS_SUCCESS;
    }

    NtStatus StepToRemoval(DeviceNode node)
    {
        NtStatus status = Send(node, IRP_MN_QUERY_REMOVE_DEVICE);
        if (status.IsSuccess) (node.Before, node.State) = (node.State, QueryRemoved);
        else Send(node, IRP_MN_CANCEL_REMOVE_DEVICE);
        return status;
    }

    NtStatus StepOut(DeviceNode node)
    {
        RemoveStack(node);
        return STATUS_SUCCESS;
    }

    NtStatus StepSurprise(DeviceNode node)
    {
        SendSurprise(node);
        return STATUS_SUCCESS;
    }

    /// <summary>What may be asked at any time, with parameters that mean something, and answers that are
    /// freed.</summary>
    NtStatus Question(DeviceNode node, byte minor, uint detail)
    {
        switch (minor)
        {
            case IRP_MN_QUERY_DEVICE_RELATIONS:
                foreach (DeviceObject device in Relations(node, (DeviceRelationType)(detail % 5)) ?? [])
                    nt.Ob.Dereference(nt.Ob.At(device.Address));
                return STATUS_SUCCESS;
            case IRP_MN_QUERY_CAPABILITIES:
                QueryCapabilities(node);
                return STATUS_SUCCESS;
            case IRP_MN_QUERY_DEVICE_TEXT:
                DeviceText(node, (DeviceTextType)(detail % 2));
                return STATUS_SUCCESS;
            case IRP_MN_QUERY_ID:
                Text(node, (BusQueryIdType)(detail % 4));
                return STATUS_SUCCESS;
            case IRP_MN_QUERY_RESOURCES or IRP_MN_QUERY_RESOURCE_REQUIREMENTS or IRP_MN_QUERY_BUS_INFORMATION:
                return Ask(node, minor, null, block => block.ToString()) is null ? STATUS_NOT_SUPPORTED
                    : STATUS_SUCCESS;
            case IRP_MN_FILTER_RESOURCE_REQUIREMENTS:
                FilterRequirements(node);
                return STATUS_SUCCESS;
            case IRP_MN_QUERY_INTERFACE:
                return AskForInterface(node);
            case IRP_MN_READ_CONFIG or IRP_MN_WRITE_CONFIG:
                return Configuration(node, minor);
            case IRP_MN_DEVICE_USAGE_NOTIFICATION:
                return Use(node, detail);
            case IRP_MN_SET_LOCK:
                return Send(node, minor, location => location.Lock = detail % 2 == 1);
            case IRP_MN_QUERY_PNP_DEVICE_STATE or IRP_MN_DEVICE_ENUMERATED or IRP_MN_QUERY_LEGACY_BUS_INFORMATION:
                return Send(node, minor);
            default:
                return minor > IRP_MN_DEVICE_ENUMERATED ? Send(node, minor) : STATUS_INVALID_DEVICE_STATE;
        }
    }

    // One that nobody knows: it comes back as it was.
    NtStatus AskForInterface(DeviceNode node)
    {
        const int size = 0x40;
        Va block = nt.Mm.Pool.Allocate(size * 2, PnpTag);
        nt.Memory.Write(block, new Guid("00000000-0000-0000-0000-52494e474631"));
        NtStatus status = Send(node, IRP_MN_QUERY_INTERFACE, location =>
        {
            (location.InterfaceType, location.Interface) = (block, block + size);
            (location.InterfaceSize, location.InterfaceVersion) = (size, 1);
        });
        nt.Mm.Pool.Free(block);
        return status;
    }

    NtStatus Configuration(DeviceNode node, byte minor)
    {
        const uint length = 4;
        Va block = nt.Mm.Pool.Allocate((int)length, PnpTag);
        NtStatus status = Send(node, minor, location => (location.WhichSpace, location.ConfigBuffer,
            location.ConfigOffset, location.ConfigLength) = (0, block, 0, length));
        nt.Mm.Pool.Free(block);
        return status;
    }

    // A file for paging, for hibernation or for a dump comes onto the device, and goes again.
    NtStatus Use(DeviceNode node, uint detail)
    {
        const uint paging = 1, types = 3;
        uint type = paging + detail % types;
        NtStatus Tell(bool inPath) => Send(node, IRP_MN_DEVICE_USAGE_NOTIFICATION,
            location => (location.InPath, location.UsageType) = (inPath, type));
        NtStatus status = Tell(true);
        if (status.IsSuccess) Tell(false);
        return status;
    }
}
