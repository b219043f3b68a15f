using System.Text;
using Ringdown.Kernel;
using Ringdown.Machine;
using static Ringdown.Kernel.BusQueryIdType;
using static Ringdown.Kernel.DeviceTextType;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Samples;

// The devices on the bus: their physical device objects.
public sealed partial class VirtualBus
{
    const uint InterfaceTypeUndefined = uint.MaxValue;
    static readonly Guid s_busType = new("6f0c3a52-8c55-4c39-9f3d-52494e474642");

    // An answer in a block of its own, which the asker frees.
    NtStatus Answer(Irp irp, ReadOnlySpan<byte> data)
    {
        Va block = Nt.ExAllocatePoolWithTag(PagedPool, (ulong)data.Length, Tag("Samp"));
        if (block.IsNull) return Complete(irp, STATUS_INSUFFICIENT_RESOURCES);
        Memory.Write(block, data);
        return Complete(irp, STATUS_SUCCESS, block.Value);
    }

    NtStatus Answer(Irp irp, string text) => Answer(irp, Encoding.Unicode.GetBytes(text + "\0"));

    // A question that the bus has no answer to keeps the status that it came with.
    NtStatus Unanswered(Irp irp) => Complete(irp, irp.IoStatus.Status, irp.IoStatus.Information);

    NtStatus QueryId(Child child, Irp irp, BusQueryIdType type) => type switch
    {
        BusQueryDeviceID => Answer(irp, @"VirtualBus\Child"),
        BusQueryHardwareIDs => Answer(irp, "VirtualBus\\Child\0"),
        BusQueryCompatibleIDs => Answer(irp, "VirtualBus\\Generic\0"),
        BusQueryInstanceID => Answer(irp, $"{child.Number:D2}"),
        _ => Unanswered(irp),
    };

    NtStatus QueryText(Child child, Irp irp, DeviceTextType type) => type switch
    {
        DeviceTextDescription => Answer(irp, "Device on a virtual bus"),
        DeviceTextLocationInformation => Answer(irp, $"Socket {child.Number:D2}"),
        _ => Unanswered(irp),
    };

    NtStatus QueryCapabilities(Child child, Irp irp, DeviceCapabilities c)
    {
        const uint d0 = 1, d3 = 4;
        const int working = 1, shutdown = 6;
        if (c.Version != 1 || c.ObjectSize < DeviceCapabilities.Size) return Complete(irp, STATUS_UNSUCCESSFUL);
        c.Flags = (c.Flags | CapabilityFlags.Removable | CapabilityFlags.EjectSupported) & ~CapabilityFlags.UniqueId;
        c.BusAddress = c.UINumber = child.Number;
        c.SetDeviceState(working, d0);
        for (int state = working + 1; state <= shutdown; state++) c.SetDeviceState(state, d3);
        return Complete(irp, STATUS_SUCCESS);
    }

    NtStatus QueryRelations(Child child, Irp irp, DeviceRelationType type)
    {
        // Nothing else leaves with a device that is ejected: there are no such relations.
        if (type != DeviceRelationType.TargetDeviceRelation) return Unanswered(irp);
        Nt.ObfReferenceObject(child.Self.Address);
        NtStatus status = Answer(
            irp, [.. BitConverter.GetBytes(1UL), .. BitConverter.GetBytes(child.Self.Address.Value)]);
        if (!status.IsSuccess) Nt.ObfDereferenceObject(child.Self.Address);
        return status;
    }

    // One that is still there keeps its object: it may be started again.
    NtStatus RemoveChild(Child child, Irp irp)
    {
        Bus bus = child.Bus;
        Nt.ExAcquireFastMutex(bus.Mutex);
        bool goes = child.Missing;
        if (goes)
        {
            bus.Children.Remove(child);
            _children.Remove(child.Self.Address);
        }
        Nt.ExReleaseFastMutex(bus.Mutex);
        Complete(irp, STATUS_SUCCESS);
        if (goes) Nt.IoDeleteDevice(child.Self);
        return STATUS_SUCCESS;
    }

    void Ejected(Child child)
    {
        Nt.ExAcquireFastMutex(child.Bus.Mutex);
        child.Present = false;
        Nt.ExReleaseFastMutex(child.Bus.Mutex);
    }

    NtStatus ChildPnp(Child child, Irp irp)
    {
        const uint d0 = 1;
        IoStackLocation location = irp.CurrentStackLocation;
        switch (location.MinorFunction)
        {
            case IRP_MN_START_DEVICE:
                Nt.PoSetPowerState(child.Self, DevicePowerState, d0);
                return Complete(irp, STATUS_SUCCESS);
            case IRP_MN_QUERY_REMOVE_DEVICE or IRP_MN_CANCEL_REMOVE_DEVICE or IRP_MN_QUERY_STOP_DEVICE
                or IRP_MN_CANCEL_STOP_DEVICE or IRP_MN_STOP_DEVICE or IRP_MN_SURPRISE_REMOVAL:
                return Complete(irp, STATUS_SUCCESS);
            case IRP_MN_REMOVE_DEVICE:
                return RemoveChild(child, irp);
            case IRP_MN_EJECT:
                Ejected(child);
                return Complete(irp, STATUS_SUCCESS);
            case IRP_MN_QUERY_ID:
                return QueryId(child, irp, location.IdType);
            case IRP_MN_QUERY_DEVICE_TEXT:
                return QueryText(child, irp, location.DeviceTextType);
            case IRP_MN_QUERY_CAPABILITIES:
                return QueryCapabilities(child, irp, location.Capabilities);
            case IRP_MN_QUERY_DEVICE_RELATIONS:
                return QueryRelations(child, irp, location.RelationType);
            case IRP_MN_QUERY_BUS_INFORMATION:
                return Answer(irp, [
                    .. s_busType.ToByteArray(), .. BitConverter.GetBytes(InterfaceTypeUndefined), 0, 0, 0, 0]);
            default:
                // It needs no resources, and has no interfaces and no configuration space.
                return Unanswered(irp);
        }
    }

    NtStatus ChildPower(DeviceObject device, Irp irp)
    {
        IoStackLocation location = irp.CurrentStackLocation;
        bool isSet = location.MinorFunction == IRP_MN_SET_POWER;
        if (isSet && location.PowerStateType == DevicePowerState)
            Nt.PoSetPowerState(device, DevicePowerState, location.PowerState);
        Nt.PoStartNextPowerIrp(irp);
        // It cannot wake anybody.
        return isSet || location.MinorFunction == IRP_MN_QUERY_POWER ? Complete(irp, STATUS_SUCCESS) : Unanswered(irp);
    }
}
