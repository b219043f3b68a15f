using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Kernel;

/// <summary>wmilib.sys: takes a driver's WMI requests apart, calls its routines, and puts the answers
/// together.</summary>
[NtModule("wmilib.sys")]
sealed partial class WmiLib(NtKernel nt)
{
    const uint MaximumGuids = 0x1000;

    /// <summary>Handles an IRP of IRP_MJ_SYSTEM_CONTROL. <paramref name="irpDisposition"/> says what the caller has
    /// still to do: nothing, complete it, or pass it down.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus WmiSystemControl(
        WmiLibContext wmiLibInfo, DeviceObject deviceObject, Irp irp, Va irpDisposition)
    {
        IoStackLocation location = irp.CurrentStackLocation;
        byte minor = location.MinorFunction;
        bool isInfo = minor is IRP_MN_REGINFO or IRP_MN_REGINFO_EX;
        uint disposition = location.MajorFunction != IrpMajor.IRP_MJ_SYSTEM_CONTROL ? IrpNotWmi
            : location.ProviderId != deviceObject.Address || !isInfo && minor > IRP_MN_EXECUTE_METHOD ? IrpForward
            : isInfo ? IrpNotCompleted : IrpProcessed;
        nt.Memory.Write(irpDisposition, disposition);
        if (disposition is IrpNotWmi or IrpForward) return irp.IoStatus.Status;
        if (isInfo) return SetStatus(irp, Describe(wmiLibInfo, deviceObject, location, out uint used), used);
        if (Refusal(wmiLibInfo, location, out uint guid) is not { } refused)
            return Dispatch(wmiLibInfo, deviceObject, irp, guid);
        nt.Memory.Write(irpDisposition, IrpNotCompleted);
        return SetStatus(irp, refused, 0);
    }

    static NtStatus SetStatus(Irp irp, NtStatus status, uint information)
    {
        irp.IoStatus = new IoStatusBlock(status, information);
        return status;
    }

    /// <summary>Why a request is not one for the driver's routines; null if it is.</summary>
    NtStatus? Refusal(WmiLibContext context, IoStackLocation location, out uint guid)
    {
        byte minor = location.MinorFunction;
        if (!TryFindGuid(context, location.DataPath, out guid)) return STATUS_WMI_GUID_NOT_FOUND;
        Va routine = RoutineFor(context, minor);
        if (routine.IsNull)
            return minor switch
            {
                IRP_MN_CHANGE_SINGLE_INSTANCE or IRP_MN_CHANGE_SINGLE_ITEM => STATUS_WMI_READ_ONLY,
                // Who does not want to know of them need not be told.
                >= IRP_MN_ENABLE_EVENTS and <= IRP_MN_DISABLE_COLLECTION => STATUS_SUCCESS,
                _ => STATUS_INVALID_DEVICE_REQUEST,
            };
        if (HeaderOf(minor) is not { } header) return null;
        if (location.WmiBufferSize < header) return STATUS_BUFFER_TOO_SMALL;
        if (minor == IRP_MN_QUERY_ALL_DATA) return null;
        var node = WnodeSingleInstance.At(nt.Memory, location.WmiBuffer);
        bool isStatic = (Header(location).Flags & WnodeFlags.StaticInstanceNames) != 0;
        return isStatic && node.InstanceIndex < context.Entry(guid).InstanceCount ? Outside(location)
            : STATUS_WMI_INSTANCE_NOT_FOUND;
    }

    /// <summary>The data that a request brings ends within its buffer; who only asks may have none.</summary>
    NtStatus? Outside(IoStackLocation location)
    {
        (uint offset, uint size) = location.MinorFunction switch
        {
            IRP_MN_CHANGE_SINGLE_INSTANCE => Single(location),
            IRP_MN_CHANGE_SINGLE_ITEM or IRP_MN_EXECUTE_METHOD => Item(location),
            _ => (0u, 0u),
        };
        return (ulong)offset + size <= location.WmiBufferSize ? null : STATUS_INVALID_PARAMETER;
    }

    (uint Offset, uint Size) Single(IoStackLocation location)
    {
        var node = WnodeSingleInstance.At(nt.Memory, location.WmiBuffer);
        return (node.DataBlockOffset, node.SizeDataBlock);
    }

    (uint Offset, uint Size) Item(IoStackLocation location)
    {
        var node = WnodeMethodItem.At(nt.Memory, location.WmiBuffer);
        return (node.DataBlockOffset, node.SizeDataBlock);
    }

    /// <summary>What the buffer has at least; null for requests without one.</summary>
    static uint? HeaderOf(byte minor) => minor switch
    {
        IRP_MN_QUERY_ALL_DATA => (uint)WnodeAllData.Size,
        IRP_MN_QUERY_SINGLE_INSTANCE or IRP_MN_CHANGE_SINGLE_INSTANCE => (uint)WnodeSingleInstance.Size,
        IRP_MN_CHANGE_SINGLE_ITEM or IRP_MN_EXECUTE_METHOD => WnodeMethodItem.VariableData,
        _ => null,
    };

    static Va RoutineFor(WmiLibContext context, byte minor) => minor switch
    {
        IRP_MN_QUERY_ALL_DATA or IRP_MN_QUERY_SINGLE_INSTANCE => context.QueryWmiDataBlock,
        IRP_MN_CHANGE_SINGLE_INSTANCE => context.SetWmiDataBlock,
        IRP_MN_CHANGE_SINGLE_ITEM => context.SetWmiDataItem,
        IRP_MN_EXECUTE_METHOD => context.ExecuteWmiMethod,
        _ => context.WmiFunctionControl,
    };

    bool TryFindGuid(WmiLibContext context, Va dataPath, out uint index)
    {
        Guid wanted = nt.Memory.Read<Guid>(dataPath);
        uint count = context.GuidList.IsNull ? 0 : Math.Min(context.GuidCount, MaximumGuids);
        for (index = 0; index < count; index++)
            if (nt.Memory.Read<Guid>(context.Entry(index).Guid) == wanted) return true;
        return false;
    }

    WnodeHeader Header(IoStackLocation location) => WnodeHeader.At(nt.Memory, location.WmiBuffer);

    /// <summary>Calls the driver's routine. It completes the IRP, now or later.</summary>
    NtStatus Dispatch(WmiLibContext context, DeviceObject device, Irp irp, uint guid)
    {
        IoStackLocation location = irp.CurrentStackLocation;
        byte minor = location.MinorFunction;
        ulong routine = RoutineFor(context, minor).Value, to = device.Address.Value, with = irp.Address.Value;
        Va buffer = location.WmiBuffer;
        NtStatus Call(params ReadOnlySpan<ulong> arguments) =>
            new((uint)nt.Routines.Call(new Va(routine), arguments));
        switch (minor)
        {
            case IRP_MN_QUERY_ALL_DATA:
                return QueryAll(context, device, irp, guid);
            case IRP_MN_QUERY_SINGLE_INSTANCE:
                return QuerySingle(context, device, irp, guid);
            case IRP_MN_CHANGE_SINGLE_INSTANCE:
                (uint offset, uint size) = Single(location);
                return Call(to, with, guid, Instance(buffer), size, (buffer + offset).Value);
            case IRP_MN_CHANGE_SINGLE_ITEM:
                (offset, size) = Item(location);
                return Call(to, with, guid, Instance(buffer), MethodOf(buffer), size, (buffer + offset).Value);
            case IRP_MN_EXECUTE_METHOD:
                (offset, size) = Item(location);
                return Call(to, with, guid, Instance(buffer), MethodOf(buffer), size,
                    location.WmiBufferSize - offset, (buffer + offset).Value);
            default:
                bool isEvents = minor is IRP_MN_ENABLE_EVENTS or IRP_MN_DISABLE_EVENTS;
                bool isOn = minor is IRP_MN_ENABLE_EVENTS or IRP_MN_ENABLE_COLLECTION;
                return Call(to, with, guid, isEvents ? WmiEventControl : WmiDataBlockControl, isOn ? 1UL : 0);
        }
    }

    uint Instance(Va buffer) => WnodeSingleInstance.At(nt.Memory, buffer).InstanceIndex;

    uint MethodOf(Va buffer) => WnodeMethodItem.At(nt.Memory, buffer).MethodId;

    NtStatus QueryAll(WmiLibContext context, DeviceObject device, Irp irp, uint guid)
    {
        IoStackLocation location = irp.CurrentStackLocation;
        var node = WnodeAllData.At(nt.Memory, location.WmiBuffer);
        uint instances = context.Entry(guid).InstanceCount, size = location.WmiBufferSize;
        // The lengths become pairs of offset and length when the request is complete.
        ulong start = (WnodeAllData.Instances + (ulong)instances * 8 + 7) & ~7UL;
        bool hasRoom = start <= size;
        WnodeHeader header = Header(location);
        header.Flags &= ~WnodeFlags.FixedInstanceSize;
        (node.InstanceCount, node.DataBlockOffset) = (instances, (uint)Math.Min(start, uint.MaxValue));
        Va lengths = hasRoom ? node.Address + WnodeAllData.Instances : Va.Null;
        Va data = hasRoom ? node.Address + start : Va.Null;
        return new NtStatus((uint)nt.Routines.Call(context.QueryWmiDataBlock, device.Address.Value, irp.Address.Value,
            guid, 0, instances, lengths.Value, hasRoom ? size - start : 0, data.Value));
    }

    NtStatus QuerySingle(WmiLibContext context, DeviceObject device, Irp irp, uint guid)
    {
        IoStackLocation location = irp.CurrentStackLocation;
        var node = WnodeSingleInstance.At(nt.Memory, location.WmiBuffer);
        uint start = node.DataBlockOffset, size = location.WmiBufferSize;
        bool hasRoom = start >= WnodeSingleInstance.Size && start <= size;
        Va data = hasRoom ? node.Address + start : Va.Null;
        // The one length stands where the completed node has the size of its data.
        Va length = node.Address + 0x3C;
        return new NtStatus((uint)nt.Routines.Call(context.QueryWmiDataBlock, device.Address.Value, irp.Address.Value,
            guid, node.InstanceIndex, 1, length.Value, hasRoom ? size - start : 0, data.Value));
    }
}
