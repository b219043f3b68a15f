using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>A driver's AddDevice routine has returned.</summary>
/// <param name="Before">The top of the stack before it was called.</param>
public readonly record struct DeviceAdded(DeviceNode Node, Driver Driver, NtStatus Status, DeviceObject Before);

/// <summary>A stack has seen IRP_MN_REMOVE_DEVICE, or IRP_MN_SURPRISE_REMOVAL.</summary>
/// <param name="Stack">The devices of the stack before, the physical one first.</param>
/// <param name="Status">How the IRP was completed.</param>
/// <param name="BusReferences">Where drivers got the bus interface that is not given back.</param>
public readonly record struct DeviceRemoved(DeviceNode Node, IReadOnlyList<StackedDevice> Stack, NtStatus Status,
    bool IsSurprise, IReadOnlyList<Va> BusReferences);

/// <summary>A device in a stack, and whose it is.</summary>
public readonly record struct StackedDevice(DeviceObject Device, string? Driver);
