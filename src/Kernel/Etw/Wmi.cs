using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Windows Management Instrumentation: devices that provide data, and events that they send.</summary>
[NtModule("ntoskrnl.exe")]
sealed class Wmi(NtKernel nt)
{
    const uint WMIREG_ACTION_REGISTER = 1, WMIREG_ACTION_DEREGISTER = 2, WMIREG_ACTION_BLOCK_IRPS = 5;
    const uint WNODE_FLAG_EVENT_ITEM = 8, WNODE_FLAG_EVENT_REFERENCE = 0x2000, WNODE_FLAG_TRACED_GUID = 0x2_0000;
    const uint NodeHeaderSize = 0x30, MaximumNode = 0x1_0000;

    readonly SortedDictionary<Va, uint> _providers = [];
    uint _nextProvider;

    /// <summary>A flag above the action says that an entry and not a device is meant.</summary>
    [Export(Support.Partial, "Registered; no requests for data are sent."), IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoWMIRegistrationControl(DeviceObject deviceObject, uint action)
    {
        action &= 0xFFFF;
        if (action is < WMIREG_ACTION_REGISTER or > WMIREG_ACTION_BLOCK_IRPS) return STATUS_INVALID_PARAMETER;
        if (action == WMIREG_ACTION_REGISTER) return Register(deviceObject);
        if (!_providers.ContainsKey(deviceObject.Address)) return STATUS_INVALID_PARAMETER;
        if (action == WMIREG_ACTION_DEREGISTER) _providers.Remove(deviceObject.Address);
        return STATUS_SUCCESS;
    }

    NtStatus Register(DeviceObject device)
    {
        if (nt.Ob.Find(device.Address) is null) return STATUS_INVALID_PARAMETER;
        return _providers.TryAdd(device.Address, ++_nextProvider) ? STATUS_SUCCESS : STATUS_OBJECT_NAME_EXISTS;
    }

    /// <summary>The number by which the system knows a device that is registered; zero for others.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public uint IoWMIDeviceObjectToProviderId(DeviceObject deviceObject) =>
        _providers.GetValueOrDefault(deviceObject.Address);

    /// <summary>WNODE_HEADER and data. The system frees an event that it takes, but not one to be traced.</summary>
    [Export(Support.Partial, "The event is kept as one of a trace; there are no other consumers.")]
    public NtStatus IoWMIWriteEvent([AliasesMem] Va wnodeEventItem)
    {
        uint size = nt.Memory.Read<uint>(wnodeEventItem), flags = nt.Memory.Read<uint>(wnodeEventItem + 0x2C);
        bool isTraced = (flags & WNODE_FLAG_TRACED_GUID) != 0;
        if (!isTraced && (flags & (WNODE_FLAG_EVENT_ITEM | WNODE_FLAG_EVENT_REFERENCE)) == 0)
            return STATUS_INVALID_PARAMETER;
        if (isTraced) size &= 0xFFFF;
        if (size is < NodeHeaderSize or > MaximumNode) return STATUS_BUFFER_OVERFLOW;
        Va data = wnodeEventItem + (ulong)NodeHeaderSize;
        nt.Etw.Keep(new TraceEvent(nt.Memory.Read<Guid>(wnodeEventItem + 0x18), "WMI", 0, 0, 0,
            nt.Memory.ReadBytes(data, (int)(size - NodeHeaderSize)), null));
        if (!isTraced) nt.Mm.Pool.Free(wnodeEventItem);
        return STATUS_SUCCESS;
    }

    /// <summary>Numbers for instances of a GUID, counted for each GUID.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoWMIAllocateInstanceIds(Va guid, uint instanceCount, Va firstInstanceId)
    {
        Guid id = nt.Memory.Read<Guid>(guid);
        uint first = _guids.GetValueOrDefault(id);
        if (first + (ulong)instanceCount > uint.MaxValue) return STATUS_UNSUCCESSFUL;
        nt.Memory.Write(firstInstanceId, first);
        _guids[id] = first + instanceCount;
        return STATUS_SUCCESS;
    }

    readonly SortedDictionary<Guid, uint> _guids = [];

    [Export(Support.Partial, "No provider is asked for its GUIDs, so none is found."), IrqlRequiresMax(APC_LEVEL)]
    public NtStatus IoWMIOpenBlock(Va guid, uint desiredAccess, Va dataBlockObject)
    {
        nt.Memory.Read<Guid>(guid);
        nt.Memory.Write(dataBlockObject, Va.Null);
        return STATUS_WMI_GUID_NOT_FOUND;
    }

    /// <summary>A block comes from <c>IoWMIOpenBlock</c>; nothing else is one.</summary>
    [Export(Support.Partial, "No block can be opened."), IrqlRequiresMax(APC_LEVEL)]
    public NtStatus IoWMIQueryAllData(Va dataBlockObject, Va inOutBufferSize, Va outBuffer) =>
        throw new BugCheck(BugCheckCode.REFERENCE_BY_POINTER, 0, dataBlockObject.Value);
}
