using Ringdown.Kernel;
using Ringdown.Machine;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Samples;

/// <summary>A filter below the function driver of a PCI device: it asks the bus for its interface, reads configuration
/// space with it, and gives the device its interrupt line where it could also have messages.</summary>
public sealed partial class PciFilter : FilterSample
{
    // What follows what all have in the extension.
    [Layout("PCIFILTER", Size = 0x70)]
    public readonly partial struct PciExtension
    {
        [Embedded(0x28)] public partial BusInterfaceStandard Bus { get; }
        [Field(0x68)] public partial uint Reads { get; set; }
    }

    const uint ConfigurationSpace = 0;
    static readonly Guid s_busInterface = new("496b8280-6f25-11d0-beaf-08002be2092f");

    PciExtension PciOf(Extension x) => At<PciExtension>(x.Address);

    public override NtStatus DriverEntry(DriverObject driverObject, UnicodeString registryPath)
    {
        FilterSet(driverObject, Routine(AddDevice), Routine(Plug));
        return STATUS_SUCCESS;
    }

    NtStatus AddDevice(DriverObject driverObject, DeviceObject physical)
    {
        NtStatus status = FilterAdd(driverObject, physical, PciExtension.Size, out DeviceObject device);
        if (status.IsSuccess) device.Flags &= ~DO_DEVICE_INITIALIZING;
        return status;
    }

    NtStatus Plug(DeviceObject device, Irp irp)
    {
        Extension x = FilterOf(device);
        PciExtension pci = PciOf(x);
        byte minor = irp.CurrentStackLocation.MinorFunction;
        if (minor == IRP_MN_READ_CONFIG) pci.Reads++;
        if (minor is not (IRP_MN_START_DEVICE or IRP_MN_REMOVE_DEVICE or IRP_MN_FILTER_RESOURCE_REQUIREMENTS))
            return FilterPass(device, irp);
        NtStatus status = IoAcquireRemoveLock(x.RemoveLock, irp.Address);
        if (!status.IsSuccess) return Complete(irp, status);
        return minor switch
        {
            IRP_MN_START_DEVICE => Start(device, x, irp),
            IRP_MN_REMOVE_DEVICE => Remove(device, pci, irp),
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
        (next.InterfaceType, next.Interface) = (guid, PciOf(x).Bus.Address);
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
        BusInterfaceStandard bus = PciOf(x).Bus;
        if (bus.GetBusData.IsNull && !AskForBus(x).IsSuccess) return;
        if ((uint)Call(bus.GetBusData, bus.Context.Value, ConfigurationSpace, ids.Value, 0, 4) == 4)
            DbgPrint($"pcifilter: {Memory.Read<ushort>(ids):X4}:{Memory.Read<ushort>(ids + 2):X4}\n");
    }

    NtStatus Start(DeviceObject device, Extension x, Irp irp)
    {
        NtStatus status = FilterBelow(x, irp);
        if (status.IsSuccess)
        {
            device.Characteristics |= x.Below.Characteristics & FILE_REMOVABLE_MEDIA;
            Identify(x);
        }
        return FilterFinish(x, irp, status);
    }

    // The drivers below may have put another list there.
    NtStatus Filter(Extension x, Irp irp)
    {
        IoResourceRequirementsList list = irp.CurrentStackLocation.ResourceRequirements;
        NtStatus status = FilterBelow(x, irp);
        if (status.IsSuccess) list = At<IoResourceRequirementsList>(new Va(irp.IoStatus.Information));
        if (!list.IsNull && (status.IsSuccess || status == STATUS_NOT_SUPPORTED))
        {
            TakeMessagesOut(list);
            status = STATUS_SUCCESS;
            irp.IoStatus = new IoStatusBlock(status, list.Address.Value);
        }
        return FilterFinish(x, irp, status);
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
    NtStatus Remove(DeviceObject device, PciExtension x, Irp irp)
    {
        DbgPrint($"pcifilter: {x.Reads} reads of configuration space\n");
        if (!x.Bus.GetBusData.IsNull) Call(x.Bus.InterfaceDereference, x.Bus.Context.Value);
        return FilterRemove(device, irp);
    }
}
