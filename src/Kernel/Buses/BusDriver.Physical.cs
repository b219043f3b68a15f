using System.Text;
using Ringdown.Machine;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Kernel;

/// <summary>The devices on the bus: their physical device objects. A question that a bus has no answer to is completed
/// with the status that it came with.</summary>
public abstract partial class BusDriver
{

    NtStatus ChildPnp(BusChild child, Irp irp)
    {
        IoStackLocation location = irp.CurrentStackLocation;
        NtStatus unchanged = irp.IoStatus.Status;
        switch (location.MinorFunction)
        {
            case IRP_MN_START_DEVICE:
                return Complete(irp, StartChild(child, location));
            case IRP_MN_QUERY_REMOVE_DEVICE or IRP_MN_QUERY_STOP_DEVICE:
                return Complete(irp, child.SpecialFiles > 0 ? STATUS_DEVICE_BUSY : STATUS_SUCCESS);
            case IRP_MN_CANCEL_REMOVE_DEVICE or IRP_MN_CANCEL_STOP_DEVICE or IRP_MN_DEVICE_ENUMERATED:
                return Complete(irp, STATUS_SUCCESS);
            case IRP_MN_STOP_DEVICE:
                StopChild(child);
                return Complete(irp, STATUS_SUCCESS);
            case IRP_MN_SURPRISE_REMOVAL:
                CompleteWaitWake(child, STATUS_NO_SUCH_DEVICE);
                StopChild(child);
                return Complete(irp, STATUS_SUCCESS);
            case IRP_MN_REMOVE_DEVICE:
                return RemoveChild(child, irp);
            case IRP_MN_QUERY_DEVICE_RELATIONS when location.RelationType == DeviceRelationType.TargetDeviceRelation:
                return Answer(irp, TargetRelation(child));
            case IRP_MN_QUERY_CAPABILITIES:
                return Complete(irp, FillCapabilities(child, location.Capabilities), irp.IoStatus.Information);
            case IRP_MN_QUERY_RESOURCES:
                return Answer(irp, ResourceLists.Make(
                    Nt, child.BootResources, child.Bus.Legacy, child.BusNumber, translated: false).Address,
                    mayBeNothing: true);
            case IRP_MN_QUERY_RESOURCE_REQUIREMENTS:
                return Answer(irp, MakeRequirements(child), mayBeNothing: true);
            case IRP_MN_QUERY_DEVICE_TEXT:
                return AnswerText(irp, location.DeviceTextType switch
                {
                    DeviceTextType.DeviceTextDescription => child.Description,
                    DeviceTextType.DeviceTextLocationInformation => child.Location,
                    _ => null,
                });
            case IRP_MN_QUERY_ID:
                return QueryId(child, irp, location.IdType);
            case IRP_MN_QUERY_BUS_INFORMATION:
                return Answer(irp, BusInformation(child));
            case IRP_MN_READ_CONFIG when child.Configuration is not null && location.WhichSpace == 0:
            case IRP_MN_WRITE_CONFIG when child.Configuration is not null && location.WhichSpace == 0:
                return AccessConfiguration(child.Configuration, irp, location);
            case IRP_MN_EJECT:
                return Complete(irp, child.Eject() ? STATUS_SUCCESS : unchanged);
            case IRP_MN_QUERY_INTERFACE:
                return Complete(irp, QueryInterface(child, irp) ?? unchanged, irp.IoStatus.Information);
            case IRP_MN_DEVICE_USAGE_NOTIFICATION:
                child.SpecialFiles = Math.Max(0, child.SpecialFiles + (location.InPath ? 1 : -1));
                return Complete(irp, STATUS_SUCCESS);
            default:
                return Complete(irp, unchanged, irp.IoStatus.Information);
        }
    }

    NtStatus StartChild(BusChild child, IoStackLocation location)
    {
        if (child.IsGone) return STATUS_NO_SUCH_DEVICE;
        NtStatus status = child.Start(ResourceLists.Read(location.AllocatedResources));
        child.IsStarted = status.IsSuccess;
        return status;
    }

    static void StopChild(BusChild child)
    {
        child.IsStarted = false;
        if (!child.IsGone) child.Stop();
    }

    NtStatus RemoveChild(BusChild child, Irp irp)
    {
        CompleteWaitWake(child, STATUS_NO_SUCH_DEVICE);
        StopChild(child);
        child.SpecialFiles = 0;
        // One that is still there keeps its device object: it may be started again.
        if (!child.IsReportedGone) return Complete(irp, STATUS_SUCCESS);
        _children.Remove(child.PhysicalDevice.Address);
        Complete(irp, STATUS_SUCCESS);
        Nt.IoDeleteDevice(child.PhysicalDevice);
        return STATUS_SUCCESS;
    }

    // A pointer to pool that the asker frees.
    NtStatus Answer(Irp irp, Va block, bool mayBeNothing = false) => block.IsNull && !mayBeNothing
        ? Complete(irp, STATUS_INSUFFICIENT_RESOURCES) : Complete(irp, STATUS_SUCCESS, block.Value);

    NtStatus AnswerText(Irp irp, string? text) => text is null
        ? Complete(irp, irp.IoStatus.Status, irp.IoStatus.Information) : Answer(irp, MakeText(text + "\0"));

    Va MakeText(string text)
    {
        byte[] bytes = Encoding.Unicode.GetBytes(text);
        Va block = Allocate(bytes.Length);
        if (!block.IsNull) Memory.Write(block, bytes);
        return block;
    }

    NtStatus QueryId(BusChild child, Irp irp, BusQueryIdType type) => type switch
    {
        BusQueryIdType.BusQueryDeviceID => AnswerText(irp, child.DeviceId),
        BusQueryIdType.BusQueryInstanceID => AnswerText(irp, child.InstanceId),
        BusQueryIdType.BusQueryHardwareIDs => AnswerText(irp, MultiText(child.HardwareIds)),
        BusQueryIdType.BusQueryCompatibleIDs when child.CompatibleIds.Count > 0 =>
            AnswerText(irp, MultiText(child.CompatibleIds)),
        _ => AnswerText(irp, null),
    };

    static string MultiText(IReadOnlyList<string> texts) => string.Concat(texts.Select(t => t + "\0"));

    Va TargetRelation(BusChild child)
    {
        Va block = Allocate(DeviceRelations.SizeOf(1));
        if (block.IsNull) return block;
        var list = At<DeviceRelations>(block);
        list.Count = 1;
        Nt.ObfReferenceObject(child.PhysicalDevice.Address);
        list.SetObject(0, child.PhysicalDevice);
        return block;
    }

    static NtStatus FillCapabilities(BusChild child, DeviceCapabilities capabilities)
    {
        const uint s0 = 1, s5 = 6, d0 = 1, d3 = 4;
        if (capabilities.Version != 1 || capabilities.ObjectSize < DeviceCapabilities.Size)
            return STATUS_UNSUCCESSFUL;
        capabilities.SetDeviceState((int)s0, d0);
        for (uint state = s0 + 1; state <= s5; state++) capabilities.SetDeviceState((int)state, d3);
        child.Fill(capabilities);
        return STATUS_SUCCESS;
    }

    Va BusInformation(BusChild child)
    {
        Va block = Allocate(PnpBusInformation.Size);
        if (block.IsNull) return block;
        var information = At<PnpBusInformation>(block);
        (information.BusTypeGuid, information.LegacyBusType) = child.Bus;
        information.BusNumber = child.BusNumber;
        return block;
    }

    Va MakeRequirements(BusChild child)
    {
        IReadOnlyList<IReadOnlyList<WantedResource>> lists = child.Requirements;
        if (lists.All(l => l.Count == 0)) return Va.Null;
        int bytes = IoResourceRequirementsList.FirstList + lists.Sum(
            l => IoResourceRequirementsList.ListHeader + l.Count * IoResourceDescriptor.Size);
        Va block = Allocate(bytes), at = block + IoResourceRequirementsList.FirstList;
        if (block.IsNull) return block;
        Memory.Fill(block, (ulong)bytes, 0);
        var all = At<IoResourceRequirementsList>(block);
        (all.ListSize, all.InterfaceType, all.SlotNumber) = ((uint)bytes, child.Bus.Legacy, child.Slot);
        all.BusNumber = child.BusNumber;
        all.AlternativeLists = (uint)lists.Count;
        foreach (IReadOnlyList<WantedResource> list in lists)
        {
            // IO_RESOURCE_LIST: version and revision 1, the count.
            Memory.Write(at, 0x0001_0001u);
            Memory.Write(at + 4, list.Count);
            at += IoResourceRequirementsList.ListHeader;
            foreach (WantedResource wanted in list)
            {
                wanted.Write(At<IoResourceDescriptor>(at));
                at += IoResourceDescriptor.Size;
            }
        }
        return block;
    }

    NtStatus AccessConfiguration(PciFunction function, Irp irp, IoStackLocation location)
    {
        uint offset = location.ConfigOffset, room = PciFunction.ConfigurationBytes;
        uint length = offset < room ? Math.Min(location.ConfigLength, room - offset) : 0;
        if (location.MinorFunction == IRP_MN_READ_CONFIG)
            Nt.Hal.ReadConfiguration(function, location.ConfigBuffer, offset, length);
        else Nt.Hal.WriteConfiguration(function, location.ConfigBuffer, offset, length);
        return Complete(irp, length == 0 ? STATUS_INVALID_PARAMETER : STATUS_SUCCESS, length);
    }

    /// <summary>Fills an interface that the bus has; null: it has no such one.</summary>
    private protected virtual NtStatus? QueryInterface(BusChild child, Irp irp) => null;

    /// <summary>The device behind a physical device object; null: it is gone.</summary>
    private protected BusChild? ChildOf(Va physicalDevice) => _children.GetValueOrDefault(physicalDevice);
}
