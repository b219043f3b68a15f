using Ringdown.Kernel;
using Ringdown.Machine;

namespace Ringdown.Verifier;

/// <summary>Devices leave their stack before they are deleted, once; all devices of a stack take buffers in the same
/// way.</summary>
public sealed class DeviceRule(Reporter reporter) : IObserver
{
    public void DeviceUsed(NtKernel nt, DeviceUse use, DeviceObject device)
    {
        switch (use)
        {
            case DeviceUse.Delete:
                if (device.IsDeletePending) Report(nt, device, "is deleted a second time", 0x240);
                else if (!device.DeviceObjectExtension.AttachedTo.IsNull)
                    Report(nt, device, "is deleted while it is attached to another: IoDetachDevice comes first", 0x201);
                break;
            case DeviceUse.Detach:
                if (device.AttachedDevice.IsNull)
                    Report(nt, device, "has nothing attached that IoDetachDevice could take off", 0x202);
                break;
            case DeviceUse.InitializeTimer:
                if (!device.Timer.IsNull)
                    Report(nt, device, "has a timer already: IoInitializeTimer is called once", 0x0A);
                break;
        }
    }

    public void Dispatching(NtKernel nt, Irp irp, IrpMajor major, Va routine)
    {
        if (major is not (IrpMajor.IRP_MJ_READ or IrpMajor.IRP_MJ_WRITE)) return;
        DeviceObject device = irp.CurrentStackLocation.DeviceObject, lower = device.DeviceObjectExtension.AttachedTo;
        if (device.HasTwoWays) Report(nt, device, "has both DO_BUFFERED_IO and DO_DIRECT_IO set", 0x245);
        else if (!lower.IsNull && device.BufferFlags != lower.BufferFlags && TakesOver(nt, device, lower))
            Report(nt, device, "does not have DO_BUFFERED_IO and DO_DIRECT_IO as the device below it", 0x244);
    }

    // Of a plug and play device the function driver decides, and the filters above it do as it does.
    static bool TakesOver(NtKernel nt, DeviceObject device, DeviceObject lower)
    {
        if (nt.User.Devices.NodeOf(device) is not { Service: { } service }) return true;
        for (int i = 0; i < 256 && !lower.IsNull; i++, lower = lower.DeviceObjectExtension.AttachedTo)
            if (service.Equals(nt.DriverOfDevice(lower.Address), StringComparison.OrdinalIgnoreCase)) return true;
        return false;
    }

    void Report(NtKernel nt, DeviceObject device, string what, uint code) => reporter.Report(
        nt, "Device", Severity.Error,
        $"The device ({nt.DescribeDevice(device.Address)}) {what}. (Driver Verifier: 0xC9/0x{code:X})");
}
