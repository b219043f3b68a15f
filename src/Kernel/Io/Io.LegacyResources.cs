using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Resources of drivers that find their devices themselves. They are in the same hands as those of plug and
/// play.</summary>
sealed partial class Io
{
    /// <summary>Claims what a driver looks for its device with; tells whether another driver or a device that runs has
    /// it. An empty list gives the claims back.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoReportResourceForDetection(
        DriverObject driverObject, Va driverList, uint driverListSize, DeviceObject deviceObject, Va deviceList,
        uint deviceListSize, Va conflictDetected) =>
        Report(OwnerOf(driverObject, DeviceObject.At(nt.Memory, Va.Null)), (driverList, driverListSize),
            OwnerOf(driverObject, deviceObject), (deviceList, deviceListSize), false, conflictDetected);

    /// <summary>Claims what a driver, and one of its devices, uses.</summary>
    /// <param name="overrideConflict">They are claimed even if somebody has them.</param>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoReportResourceUsage(
        UnicodeString driverClassName, DriverObject driverObject, Va driverList, uint driverListSize,
        DeviceObject deviceObject, Va deviceList, uint deviceListSize, bool overrideConflict, Va conflictDetected) =>
        Report(OwnerOf(driverObject, DeviceObject.At(nt.Memory, Va.Null)), (driverList, driverListSize),
            OwnerOf(driverObject, deviceObject), (deviceList, deviceListSize), overrideConflict, conflictDetected);

    LegacyOwner OwnerOf(DriverObject driver, DeviceObject device) => new(driver.Address, device.Address,
        nt.Loader.Drivers.FirstOrDefault(d => d.Object == driver)?.Name ?? "");

    NtStatus Report(LegacyOwner driver, (Va List, uint Bytes) shared, LegacyOwner device, (Va List, uint Bytes) own,
        bool overrides, Va conflictDetected)
    {
        const int most = 0x1_0000;
        // Without a device there is one list.
        bool isOne = device == driver;
        IReadOnlyList<Resource>? common = Claimed(isOne && !own.List.IsNull ? own : shared),
            particular = isOne ? [] : Claimed(own);
        if (common is null || particular is null) return STATUS_INVALID_PARAMETER;
        Arbiter arbiter = nt.Pnp.Arbiter;
        bool conflicts = arbiter.Conflicts(driver, [.. common, .. particular]);
        nt.Memory.Write(conflictDetected, (byte)(conflicts ? 1 : 0));
        if (conflicts && !overrides) return STATUS_CONFLICTING_ADDRESSES;
        if (arbiter.Claims + common.Count + particular.Count > most) return STATUS_INSUFFICIENT_RESOURCES;
        arbiter.Claim(driver, common);
        if (!isOne) arbiter.Claim(device, particular);
        return STATUS_SUCCESS;
    }

    IReadOnlyList<Resource>? Claimed((Va List, uint Bytes) list) =>
        list.List.IsNull || list.Bytes < 4 ? [] : ResourceLists.ReadAll(nt.Memory, list.List, list.Bytes);

    /// <summary>Gives a driver resources that it can do with, instead of what the device had; without a list it gives
    /// them back. The list of what it got, raw, is the caller's to free.</summary>
    /// <returns>STATUS_CONFLICTING_ADDRESSES if there are none; STATUS_INVALID_DEVICE_REQUEST for a device that plug
    /// and play knows.</returns>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoAssignResources(
        UnicodeString registryPath, UnicodeString driverClassName, DriverObject driverObject,
        DeviceObject deviceObject, Va requestedResources, Va allocatedResources)
    {
        if (!deviceObject.IsNull && nt.Pnp.Find(deviceObject) is not null) return STATUS_INVALID_DEVICE_REQUEST;
        LegacyOwner owner = OwnerOf(driverObject, deviceObject);
        if (!allocatedResources.IsNull) nt.Memory.Write(allocatedResources, Va.Null);
        if (!requestedResources.IsNull) return Assign(owner, requestedResources, allocatedResources);
        nt.Pnp.Arbiter.Claim(owner, []);
        return STATUS_SUCCESS;
    }

    NtStatus Assign(LegacyOwner owner, Va requested, Va allocated)
    {
        var wanted = IoResourceRequirementsList.At(nt.Memory, requested);
        var lists = RequirementLists.Read(nt.Pnp.ReadRequirements(requested));
        if (lists.Count == 0 || allocated.IsNull) return STATUS_INVALID_PARAMETER;
        if (nt.Pnp.Arbiter.Find(owner, lists) is not { } found) return STATUS_CONFLICTING_ADDRESSES;
        nt.Pnp.Arbiter.Claim(owner, found);
        nt.Memory.Write(allocated, ResourceLists.Make(
            nt, found, wanted.InterfaceType, wanted.BusNumber, translated: false).Address);
        return STATUS_SUCCESS;
    }
}
