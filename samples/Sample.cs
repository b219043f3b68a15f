using Ringdown.Kernel;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Samples;

/// <summary>What the drivers here share: a device with a name and a link, and dispatch routines that only say
/// yes.</summary>
public abstract class Sample : NtDriver
{
    /// <summary>Nothing is to be done for a file that is opened, and nothing when it goes.</summary>
    protected NtStatus OpenClose(DeviceObject device, Irp irp) => Complete(irp, STATUS_SUCCESS);

    protected void SetOpenClose(DriverObject driverObject)
    {
        driverObject.SetMajorFunction(IRP_MJ_CREATE, Routine(OpenClose));
        driverObject.SetMajorFunction(IRP_MJ_CLEANUP, Routine(OpenClose));
        driverObject.SetMajorFunction(IRP_MJ_CLOSE, Routine(OpenClose));
    }

    /// <summary>\Device\NAME, which programs open as \\.\NAME. Its extension is zeroed by the system.</summary>
    protected NtStatus CreateNamed(
        DriverObject driverObject, string name, int extensionSize, uint flags, out DeviceObject made)
    {
        NtStatus status = IoCreateDevice(
            driverObject, extensionSize, @"\Device\" + name, FILE_DEVICE_UNKNOWN, 0, false, out made);
        if (!status.IsSuccess) return status;
        status = IoCreateSymbolicLink(@"\DosDevices\" + name, @"\Device\" + name);
        if (!status.IsSuccess)
        {
            Nt.IoDeleteDevice(made);
            made = default;
            return status;
        }
        made.Flags |= flags;
        return STATUS_SUCCESS;
    }

    protected void DeleteNamed(DeviceObject device, string name)
    {
        IoDeleteSymbolicLink(@"\DosDevices\" + name);
        Nt.IoDeleteDevice(device);
    }
}
