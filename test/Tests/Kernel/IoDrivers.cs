using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>Drivers in C# for tests of the I/O manager.</summary>
static class IoDrivers
{
    /// <summary>A device whose dispatch routine is C#.</summary>
    public static DeviceObject Dispatching(this TestMachine m, string name,
        Func<DeviceObject, Irp, NtStatus> dispatch, uint type = 0x22, uint flags = 0)
    {
        DriverObject driver = m.Driver(name);
        Va routine = m.Routine(call => dispatch(DeviceObject.At(m.Nt.Memory, new Va(call.Argument(0))),
            Irp.At(m.Nt.Memory, new Va(call.Argument(1)))).Value);
        for (IrpMajor major = IRP_MJ_CREATE; major <= IRP_MJ_PNP; major++) driver.SetMajorFunction(major, routine);
        DeviceObject device = m.Device(driver, @"\Device\" + name, type);
        device.Flags |= flags;
        return device;
    }

    /// <summary>A device that completes everything with success, and notes what it saw.</summary>
    public static DeviceObject Noting(this TestMachine m, string name, List<IrpMajor> seen, uint type = 0x22) =>
        m.Dispatching(name, (_, irp) =>
        {
            seen.Add(irp.CurrentStackLocation.MajorFunction);
            return m.Complete(irp, STATUS_SUCCESS);
        }, type);

    public static NtStatus Complete(this TestMachine m, Irp irp, NtStatus status, ulong information = 0)
    {
        irp.IoStatus = new IoStatusBlock(status, information);
        m.Nt.IofCompleteRequest(irp, 0);
        return status;
    }

    /// <summary>IoMarkIrpPending.</summary>
    public static void MarkPending(this Irp irp)
    {
        IoStackLocation location = irp.CurrentStackLocation;
        location.Control |= StackControl.SL_PENDING_RETURNED;
    }

    /// <summary>A kernel handle to a file.</summary>
    public static Handle OpenFile(this TestMachine m, string path, uint options = 0x20, uint access = 0xC010_0000)
    {
        Va handle = m.Block(8);
        NtStatus status = m.Nt.ZwOpenFile(handle, access, m.Named(path, 0x240), m.Block(16), 7, options);
        Xunit.Assert.Equal(STATUS_SUCCESS, status);
        return m.Read<Handle>(handle);
    }

    public static FileObject FileOf(this TestMachine m, Handle handle) =>
        FileObject.At(m.Nt.Memory, m.Nt.Ob.Lookup(handle)!.Body);

    public static NtStatus StatusAt(this TestMachine m, Va iosb) => m.Read<IoStatusBlock>(iosb).Status;

    public static DeviceObject NoDevice(this TestMachine m) => DeviceObject.At(m.Nt.Memory, Va.Null);
    public static FileObject NoFile(this TestMachine m) => FileObject.At(m.Nt.Memory, Va.Null);
    public static KEvent NewEvent(this TestMachine m)
    {
        KEvent made = KEvent.At(m.Nt.Memory, m.Block(KEvent.Size));
        m.Nt.KeInitializeEvent(made, 0, false);
        return made;
    }
}
