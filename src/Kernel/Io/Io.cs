using Ringdown.Machine;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>The I/O manager: drivers, devices, files, IRPs.</summary>
[NtModule("ntoskrnl.exe")]
sealed partial class Io(NtKernel nt)
{
    const uint IrpTag = 0x2070_7249;    // 'Irp '
    const short IO_TYPE_DEVICE = 3, IO_TYPE_DRIVER = 4, IO_TYPE_FILE = 5, IO_TYPE_IRP = 6,
        IO_TYPE_DEVICE_OBJECT_EXTENSION = 13;
    public const uint DO_BUFFERED_IO = 0x04, DO_EXCLUSIVE = 0x08, DO_DIRECT_IO = 0x10, DO_DEVICE_INITIALIZING = 0x80;

    /// <summary>What a major function does that the driver did not set: the request fails.</summary>
    Va _invalidRequest;

    public void Boot()
    {
        nt.Memory.Repair = TryRevive;
        _invalidRequest = nt.Routines.Add("IopInvalidDeviceRequest", static (nt, call) =>
        {
            Irp irp = Irp.At(nt.Memory, new Va(call.Argument(1)));
            irp.IoStatus = new(STATUS_INVALID_DEVICE_REQUEST, 0);
            nt.Io.IofCompleteRequest(irp, 0);
            call.Return(STATUS_INVALID_DEVICE_REQUEST.Value);
        });
    }

    /// <summary>Makes the driver object of an image, with its name and the path of its service key.</summary>
    public DriverObject CreateDriver(string name, Va start, uint size, Va entry, Va section)
    {
        NtObject made = nt.Ob.Create(nt.Ob.DriverType, DriverObject.Size + DriverExtension.Size);
        DriverObject driver = DriverObject.At(nt.Memory, made.Body);
        driver.Type = IO_TYPE_DRIVER;
        driver.ObjectSize = (short)DriverObject.Size;
        (driver.DriverStart, driver.DriverSize, driver.DriverInit, driver.DriverSection) =
            (start, size, entry, section);
        DriverExtension extension = DriverExtension.At(nt.Memory, made.Body + DriverObject.Size);
        (driver.DriverExtension, extension.DriverObject) = (extension, driver);
        nt.Rtl.Allocate(driver.DriverExtension.ServiceKeyName, name);
        nt.Rtl.Allocate(driver.DriverName, $@"\Driver\{name}");
        driver.HardwareDatabase = nt.Rtl.AllocateString(@"\REGISTRY\MACHINE\HARDWARE\DESCRIPTION\SYSTEM");
        for (IrpMajor major = IRP_MJ_CREATE; major <= IRP_MJ_PNP; major++)
            driver.SetMajorFunction(major, _invalidRequest);
        nt.Ob.Insert($@"\Driver\{name}", made);
        return driver;
    }

    /// <summary>The majors for which the driver has a routine of its own.</summary>
    public IEnumerable<IrpMajor> Handled(DriverObject driver)
    {
        for (IrpMajor major = IRP_MJ_CREATE; major <= IRP_MJ_PNP; major++)
            if (driver.MajorFunction(major) != _invalidRequest) yield return major;
    }

    public void DeleteDriver(DriverObject driver)
    {
        nt.Mm.Pool.Free(driver.DriverName.Buffer);
        nt.Mm.Pool.Free(driver.DriverExtension.ServiceKeyName.Buffer);
        nt.Mm.Pool.Free(UnicodeString.At(nt.Memory, driver.HardwareDatabase).Buffer);
        nt.Mm.Pool.Free(driver.HardwareDatabase);
        nt.Ob.Dereference(nt.Ob.At(driver.Address));
    }

    public static IEnumerable<DeviceObject> Devices(DriverObject driver)
    {
        var seen = new HashSet<Va>();
        for (DeviceObject device = driver.DeviceObject; !device.IsNull
            && seen.Add(device.Address); device = device.NextDevice)
            yield return device;
    }
}
