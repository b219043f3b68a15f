using Ringdown.Kernel;
using Ringdown.Machine;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Samples;

/// <summary>A filter below the function driver of a PCI device: it asks the bus for its interface, reads configuration
/// space with it, and gives the device its interrupt line where it could also have messages.</summary>
public sealed partial class PciFilter : Sample
{
    [Layout("FILTER", Size = 0x70)]
    public readonly partial struct Extension
    {
        [Field(0x00)] public partial DeviceObject Below { get; set; }
        [Embedded(0x08)] public partial RemoveLock RemoveLock { get; }
        [Embedded(0x28)] public partial BusInterfaceStandard Bus { get; }
        [Field(0x68)] public partial uint Reads { get; set; }
    }

    const uint ConfigurationSpace = 0;
    static readonly Guid s_busInterface = new("496b8280-6f25-11d0-beaf-08002be2092f");

    public override NtStatus DriverEntry(DriverObject driverObject, UnicodeString registryPath)
    {
        for (IrpMajor major = IRP_MJ_CREATE; major <= IRP_MJ_PNP; major++)
            driverObject.SetMajorFunction(major, Routine(PassOn));
        driverObject.SetMajorFunction(IRP_MJ_PNP, Routine(Plug));
        DriverExtension extension = driverObject.DriverExtension;
        extension.AddDevice = Routine(AddDevice);
        driverObject.DriverUnload = Routine(Unload);
        return STATUS_SUCCESS;
    }

    void Unload(DriverObject driverObject)
    {
    }

    NtStatus AddDevice(DriverObject driverObject, DeviceObject physical)
    {
        const uint inherited = DO_BUFFERED_IO | DO_DIRECT_IO | DO_POWER_PAGABLE | DO_POWER_INRUSH;
        DeviceObject top = Nt.IoGetAttachedDeviceReference(physical);
        NtStatus status = IoCreateDevice(
            driverObject, Extension.Size, "", top.DeviceType, top.Characteristics, false, out DeviceObject device);
        Nt.ObfDereferenceObject(top.Address);
        if (!status.IsSuccess) return status;
        var x = At<Extension>(device.DeviceExtension);
        IoInitializeRemoveLock(x.RemoveLock, Tag("Samp"), 0, 0);
        x.Below = Nt.IoAttachDeviceToDeviceStack(device, physical);
        if (x.Below.IsNull)
        {
            Nt.IoDeleteDevice(device);
            return STATUS_NO_SUCH_DEVICE;
        }
        device.Flags = (device.Flags | x.Below.Flags & inherited) & ~DO_DEVICE_INITIALIZING;
        return STATUS_SUCCESS;
    }

    // The remove lock is held until the request is complete: a device that is on a request's way stays.
    NtStatus PassOn(DeviceObject device, Irp irp)
    {
        var x = At<Extension>(device.DeviceExtension);
        NtStatus status = IoAcquireRemoveLock(x.RemoveLock, irp.Address);
        bool isPower = irp.CurrentStackLocation.MajorFunction == IRP_MJ_POWER;
        if (isPower) Nt.PoStartNextPowerIrp(irp);
        if (!status.IsSuccess) return Complete(irp, status);
        irp.CopyCurrentStackLocationToNext();
        irp.SetCompletionRoutine(Routine(Done), x.Address);
        return isPower ? Nt.PoCallDriver(x.Below, irp) : Nt.IofCallDriver(x.Below, irp);
    }

    NtStatus Done(DeviceObject device, Irp irp, Extension x)
    {
        if (irp.PendingReturned) irp.MarkPending();
        IoReleaseRemoveLock(x.RemoveLock, irp.Address);
        return STATUS_SUCCESS;
    }

    NtStatus Plug(DeviceObject device, Irp irp)
    {
        var x = At<Extension>(device.DeviceExtension);
        byte minor = irp.CurrentStackLocation.MinorFunction;
        if (minor == IRP_MN_READ_CONFIG) x.Reads++;
        if (minor is not (IRP_MN_START_DEVICE or IRP_MN_REMOVE_DEVICE or IRP_MN_FILTER_RESOURCE_REQUIREMENTS))
            return PassOn(device, irp);
        NtStatus status = IoAcquireRemoveLock(x.RemoveLock, irp.Address);
        if (!status.IsSuccess) return Complete(irp, status);
        return minor switch
        {
            IRP_MN_START_DEVICE => Start(device, x, irp),
            IRP_MN_REMOVE_DEVICE => Remove(device, x, irp),
            _ => Filter(x, irp),
        };
    }

    // A request of this driver's own, to the devices below: who does not know the interface leaves the status alone.
    NtStatus AskForBus(Extension x)
    {
        using LocalFrame frame = Frame();
        var done = Local<KEvent>();
        Va result = Local(16), guid = Local(16);
        Nt.KeInitializeEvent(done, NotificationEvent, false);
        Irp irp = Nt.IoBuildSynchronousFsdRequest((uint)IRP_MJ_PNP, x.Below, Va.Null, 0, Va.Null, done, result);
        if (irp.IsNull) return STATUS_INSUFFICIENT_RESOURCES;
        Memory.Write(guid, s_busInterface);
        irp.IoStatus = new IoStatusBlock(STATUS_NOT_SUPPORTED, 0);
        IoStackLocation next = irp.NextStackLocation;
        next.MinorFunction = IRP_MN_QUERY_INTERFACE;
        (next.InterfaceType, next.Interface) = (guid, x.Bus.Address);
        (next.InterfaceSize, next.InterfaceVersion) = ((ushort)BusInterfaceStandard.Size, 1);
        NtStatus status = Nt.IofCallDriver(x.Below, irp);
        if (status == STATUS_PENDING)
        {
            Nt.KeWaitForSingleObject(done.Header, Executive, KernelMode, false, Va.Null);
            status = Memory.Read<IoStatusBlock>(result).Status;
        }
        return status;
    }

    // A device that starts again after a stop has the interface already.
    void Identify(Extension x)
    {
        using LocalFrame frame = Frame();
        Va ids = Local(4);
        if (x.Bus.GetBusData.IsNull && !AskForBus(x).IsSuccess) return;
        if ((uint)Call(x.Bus.GetBusData, x.Bus.Context.Value, ConfigurationSpace, ids.Value, 0, 4) == 4)
            DbgPrint($"pcifilter: {Memory.Read<ushort>(ids):X4}:{Memory.Read<ushort>(ids + 2):X4}\n");
    }

    NtStatus Start(DeviceObject device, Extension x, Irp irp)
    {
        if (!Nt.IoForwardIrpSynchronously(x.Below, irp)) irp.IoStatus = new IoStatusBlock(STATUS_UNSUCCESSFUL, 0);
        NtStatus status = irp.IoStatus.Status;
        if (status.IsSuccess)
        {
            device.Characteristics |= x.Below.Characteristics & FILE_REMOVABLE_MEDIA;
            Identify(x);
        }
        Nt.IofCompleteRequest(irp, IO_NO_INCREMENT);
        IoReleaseRemoveLock(x.RemoveLock, irp.Address);
        return status;
    }

    // The drivers below may have put another list there.
    NtStatus Filter(Extension x, Irp irp)
    {
        IoResourceRequirementsList list = irp.CurrentStackLocation.ResourceRequirements;
        if (!Nt.IoForwardIrpSynchronously(x.Below, irp)) irp.IoStatus = new IoStatusBlock(STATUS_UNSUCCESSFUL, 0);
        NtStatus status = irp.IoStatus.Status;
        if (status.IsSuccess) list = At<IoResourceRequirementsList>(new Va(irp.IoStatus.Information));
        if (!list.IsNull && (status.IsSuccess || status == STATUS_NOT_SUPPORTED))
        {
            TakeMessagesOut(list);
            status = STATUS_SUCCESS;
            irp.IoStatus = new IoStatusBlock(status, list.Address.Value);
        }
        Nt.IofCompleteRequest(irp, IO_NO_INCREMENT);
        IoReleaseRemoveLock(x.RemoveLock, irp.Address);
        return status;
    }

    bool HasMessages(Va list)
    {
        uint count = Memory.Read<uint>(list + 4);
        for (int i = 0; i < (int)count; i++)
        {
            var d = At<IoResourceDescriptor>(
                list + IoResourceRequirementsList.ListHeader + i * IoResourceDescriptor.Size);
            if (d.Type == ResourceType.Interrupt && (d.Flags & CM_RESOURCE_INTERRUPT_MESSAGE) != 0) return true;
        }
        return false;
    }

    // Takes the alternatives with messages out, in place, if one without is there.
    void TakeMessagesOut(IoResourceRequirementsList all)
    {
        List<byte[]> kept = [];
        Va at = all.Address + IoResourceRequirementsList.FirstList, to = at;
        for (uint i = 0; i < all.AlternativeLists; i++)
        {
            int bytes = IoResourceRequirementsList.ListHeader
                + (int)Memory.Read<uint>(at + 4) * IoResourceDescriptor.Size;
            if (!HasMessages(at)) kept.Add(Memory.ReadBytes(at, bytes));
            at += bytes;
        }
        if (kept.Count == 0) return;
        foreach (byte[] list in kept)
        {
            Memory.Write(to, list);
            to += list.Length;
        }
        all.AlternativeLists = (uint)kept.Count;
        all.ListSize = (uint)(to - all.Address);
    }

    // The interface goes back while the devices below are still there.
    NtStatus Remove(DeviceObject device, Extension x, Irp irp)
    {
        DbgPrint($"pcifilter: {x.Reads} reads of configuration space\n");
        if (!x.Bus.GetBusData.IsNull) Call(x.Bus.InterfaceDereference, x.Bus.Context.Value);
        irp.IoStatus = new IoStatusBlock(STATUS_SUCCESS, irp.IoStatus.Information);
        irp.SkipCurrentStackLocation();
        NtStatus status = Nt.IofCallDriver(x.Below, irp);
        IoReleaseRemoveLockAndWait(x.RemoveLock, irp.Address);
        Nt.IoDetachDevice(x.Below);
        Nt.IoDeleteDevice(device);
        return status;
    }
}
