using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>A range of ports, memory or vectors that a driver has claimed by IoReportResourceForDetection.</summary>
readonly record struct ResourceClaim(Va Owner, byte Type, ulong Start, ulong Length, bool IsShared)
{
    const byte CmResourceTypePort = 1, CmResourceTypeInterrupt = 2, CmResourceTypeMemory = 3, CmResourceTypeDma = 4;
    const byte CmResourceShareShared = 3;
    const uint MostLists = 64, MostDescriptors = 256;

    public bool Conflicts(ResourceClaim other) =>
        Owner != other.Owner && Type == other.Type && !(IsShared && other.IsShared)
        && Start <= other.Start + (other.Length - 1) && other.Start <= Start + (Length - 1);

    /// <summary>CM_RESOURCE_LIST: full descriptors, each with partial ones of 20 bytes. Null if it is none.</summary>
    public static List<ResourceClaim>? Read(Memory memory, Va owner, Va list, uint bytes)
    {
        List<ResourceClaim> claims = [];
        uint count = memory.Read<uint>(list);
        if (count > MostLists) return null;
        Va at = list + 4;
        for (uint i = 0; i < count; i++)
        {
            // INTERFACE_TYPE, BusNumber, Version and Revision, Count.
            uint partials = memory.Read<uint>(at + 12);
            at += 16;
            if (partials > MostDescriptors || at - list + partials * 20UL > bytes) return null;
            for (uint j = 0; j < partials; j++, at += 20)
                if (ReadOne(memory, owner, at) is { } claim) claims.Add(claim);
        }
        return claims;
    }

    static ResourceClaim? ReadOne(Memory memory, Va owner, Va at)
    {
        byte type = memory.Read<byte>(at);
        bool isShared = memory.Read<byte>(at + 1) == CmResourceShareShared;
        (ulong start, ulong length) = type switch
        {
            CmResourceTypePort or CmResourceTypeMemory => (memory.Read<ulong>(at + 4), memory.Read<uint>(at + 12)),
            CmResourceTypeInterrupt => (memory.Read<uint>(at + 8), 1UL),
            CmResourceTypeDma => (memory.Read<uint>(at + 4), 1UL),
            _ => (0UL, 0UL),
        };
        return length == 0 ? null : new ResourceClaim(owner, type, start, length, isShared);
    }
}

sealed partial class Io
{
    readonly List<ResourceClaim> _claims = [];

    /// <summary>Claims what a driver looks for its device with; tells whether another driver has it. An empty list
    /// gives the claims back.</summary>
    [Export, IrqlRequiresMax(Irql.PASSIVE_LEVEL)]
    public NtStatus IoReportResourceForDetection(
        DriverObject driverObject, Va driverList, uint driverListSize, DeviceObject deviceObject, Va deviceList,
        uint deviceListSize, Va conflictDetected)
    {
        bool isDevice = !deviceList.IsNull;
        Va owner = driverObject.Address, list = isDevice ? deviceList : driverList;
        uint bytes = isDevice ? deviceListSize : driverListSize;
        List<ResourceClaim>? wanted = list.IsNull || bytes < 4 ? [] : ResourceClaim.Read(nt.Memory, owner, list, bytes);
        if (wanted is null) return Status.STATUS_INVALID_PARAMETER;
        bool conflicts = wanted.Exists(w => _claims.Exists(w.Conflicts));
        nt.Memory.Write(conflictDetected, (byte)(conflicts ? 1 : 0));
        if (conflicts) return Status.STATUS_CONFLICTING_ADDRESSES;
        _claims.RemoveAll(c => c.Owner == owner);
        if (_claims.Count + wanted.Count > 0x1_0000) return Status.STATUS_INSUFFICIENT_RESOURCES;
        _claims.AddRange(wanted);
        return Status.STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(Irql.PASSIVE_LEVEL)]
    public NtStatus IoReportResourceUsage(
        UnicodeString driverClassName, DriverObject driverObject, Va driverList, uint driverListSize,
        DeviceObject deviceObject, Va deviceList, uint deviceListSize, bool overrideConflict, Va conflictDetected) =>
        IoReportResourceForDetection(driverObject, driverList, driverListSize, deviceObject, deviceList,
            deviceListSize, conflictDetected);
}
