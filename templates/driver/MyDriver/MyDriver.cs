using Ringdown.Kernel;
using Ringdown.Machine;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace MyDriver;

/// <summary>A driver with one device, \\.\MyDriver: what is written to it can be read again.</summary>
public sealed partial class MyDriver : NtDriver
{
    const int Capacity = 256;

    /// <summary>The device extension.</summary>
    [Layout("EXTENSION", Size = 0x118)]
    public readonly partial struct Extension
    {
        /// <summary>A KSPIN_LOCK: it guards the rest.</summary>
        [Field(0x00)] public partial ulong Lock { get; set; }
        [Field(0x08)] public partial uint Length { get; set; }

        public Va LockAddress => Address;
        public Va Data => Address + 0x10;
    }

    public override NtStatus DriverEntry(DriverObject driverObject, UnicodeString registryPath)
    {
        driverObject.SetMajorFunction(IRP_MJ_CREATE, Routine(Succeed));
        driverObject.SetMajorFunction(IRP_MJ_CLEANUP, Routine(Succeed));
        driverObject.SetMajorFunction(IRP_MJ_CLOSE, Routine(Succeed));
        driverObject.SetMajorFunction(IRP_MJ_READ, Routine(Read));
        driverObject.SetMajorFunction(IRP_MJ_WRITE, Routine(Write));
        driverObject.DriverUnload = Routine(Unload);

        NtStatus status = IoCreateDevice(driverObject, Extension.Size, @"\Device\MyDriver", FILE_DEVICE_UNKNOWN,
            FILE_DEVICE_SECURE_OPEN, false, out DeviceObject device);
        if (!status.IsSuccess) return status;
        Nt.KeInitializeSpinLock(At<Extension>(device.DeviceExtension).LockAddress);
        device.Flags |= DO_BUFFERED_IO;
        status = IoCreateSymbolicLink(@"\DosDevices\MyDriver", @"\Device\MyDriver");
        if (!status.IsSuccess) Nt.IoDeleteDevice(device);
        return status;
    }

    void Unload(DriverObject driverObject)
    {
        IoDeleteSymbolicLink(@"\DosDevices\MyDriver");
        Nt.IoDeleteDevice(driverObject.DeviceObject);
    }

    NtStatus Succeed(DeviceObject device, Irp irp) => Complete(irp, STATUS_SUCCESS);

    NtStatus Read(DeviceObject device, Irp irp)
    {
        var extension = At<Extension>(device.DeviceExtension);
        Irql old = Nt.KeAcquireSpinLockRaiseToDpc(extension.LockAddress);
        uint count = Math.Min(irp.CurrentStackLocation.Length, extension.Length);
        if (count > 0) Memory.Write(irp.SystemBuffer, Memory.ReadBytes(extension.Data, (int)count));
        Nt.KeReleaseSpinLock(extension.LockAddress, old);
        return Complete(irp, STATUS_SUCCESS, count);
    }

    NtStatus Write(DeviceObject device, Irp irp)
    {
        uint count = irp.CurrentStackLocation.Length;
        if (count > Capacity) return Complete(irp, STATUS_INVALID_BUFFER_SIZE);
        var extension = At<Extension>(device.DeviceExtension);
        Irql old = Nt.KeAcquireSpinLockRaiseToDpc(extension.LockAddress);
        if (count > 0) Memory.Write(extension.Data, Memory.ReadBytes(irp.SystemBuffer, (int)count));
        extension.Length = count;
        Nt.KeReleaseSpinLock(extension.LockAddress, old);
        return Complete(irp, STATUS_SUCCESS, count);
    }
}
