using Ringdown.Kernel;
using Ringdown.Machine;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Samples;

/// <summary>A driver that imports from library.sys, in C or C#: what its device is given is added to the sum of all who
/// import.</summary>
public abstract class LibraryUser(string name) : Sample
{
    const uint IOCTL_USER_ADD = 0x222000;

    DeviceObject _device;
    Va _libraryAdd;

    public override NtStatus DriverEntry(DriverObject driverObject, UnicodeString registryPath)
    {
        // In C the loader does this, and a driver whose import is not there is not loaded.
        _libraryAdd = Import("library.sys", "LibraryAdd");
        if (_libraryAdd.IsNull) return STATUS_ENTRYPOINT_NOT_FOUND;
        SetOpenClose(driverObject);
        driverObject.SetMajorFunction(IRP_MJ_DEVICE_CONTROL, Routine(DeviceControl));
        driverObject.DriverUnload = Routine(Unload);
        NtStatus status = CreateNamed(driverObject, name, 0, 0, out _device);
        if (status.IsSuccess) _device.Flags &= ~DO_DEVICE_INITIALIZING;
        return status;
    }

    void Unload(DriverObject driverObject) => DeleteNamed(_device, name);

    NtStatus DeviceControl(DeviceObject device, Irp irp)
    {
        IoStackLocation stack = irp.CurrentStackLocation;
        if (stack.IoControlCode != IOCTL_USER_ADD) return Complete(irp, STATUS_INVALID_DEVICE_REQUEST);
        if (stack.InputBufferLength < sizeof(int) || stack.OutputBufferLength < sizeof(int))
            return Complete(irp, STATUS_BUFFER_TOO_SMALL);
        ulong sum = Call(_libraryAdd, Memory.Read<uint>(irp.SystemBuffer));
        Memory.Write(irp.SystemBuffer, (uint)sum);
        return Complete(irp, STATUS_SUCCESS, sizeof(int));
    }
}

public sealed class UserOne() : LibraryUser("UserOne");

public sealed class UserTwo() : LibraryUser("UserTwo");
