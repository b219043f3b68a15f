using Ringdown.Kernel;
using Ringdown.Machine;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Samples;

/// <summary>A driver that needs another one's device, which may not be there yet: it looks for it again when the
/// drivers that are loaded with it are there, at most three times.</summary>
public sealed class Reinit : Sample
{
    const uint IOCTL_REINIT_QUERY = 0x222000, Rounds = 3;

    DeviceObject _device;
    FileObject _file;
    uint _count;
    NtStatus _status = STATUS_NO_SUCH_DEVICE;

    public override NtStatus DriverEntry(DriverObject driverObject, UnicodeString registryPath)
    {
        SetOpenClose(driverObject);
        driverObject.SetMajorFunction(IRP_MJ_DEVICE_CONTROL, Routine(DeviceControl));
        driverObject.DriverUnload = Routine(Unload);
        NtStatus status = CreateNamed(driverObject, "Reinit", 0, 0, out _device);
        if (!status.IsSuccess) return status;
        _device.Flags &= ~DO_DEVICE_INITIALIZING;
        Nt.IoRegisterDriverReinitialization(driverObject, Routine(Reinitialize), Va.Null);
        return STATUS_SUCCESS;
    }

    void Unload(DriverObject driverObject)
    {
        if (_status.IsSuccess) Nt.ObfDereferenceObject(_file.Address);
        DeleteNamed(_device, "Reinit");
    }

    void Reinitialize(DriverObject driverObject, Va context, uint count)
    {
        _count = count;
        _status = IoGetDeviceObjectPointer(@"\Device\Echo", FILE_READ_DATA, out _file, out _);
        // Registered for one call: who wants another one registers again.
        if (!_status.IsSuccess && count < Rounds)
            Nt.IoRegisterDriverReinitialization(driverObject, Routine(Reinitialize), Va.Null);
    }

    NtStatus DeviceControl(DeviceObject device, Irp irp)
    {
        IoStackLocation stack = irp.CurrentStackLocation;
        if (stack.IoControlCode != IOCTL_REINIT_QUERY) return Complete(irp, STATUS_INVALID_DEVICE_REQUEST);
        if (stack.OutputBufferLength < 8) return Complete(irp, STATUS_BUFFER_TOO_SMALL);
        Memory.Write(irp.SystemBuffer, _count);
        Memory.Write(irp.SystemBuffer + 4, _status.Value);
        return Complete(irp, STATUS_SUCCESS, 8);
    }
}
