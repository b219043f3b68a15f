using Ringdown.Kernel;
using Ringdown.Machine;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Tests;

/// <summary>A WDM driver whose answers a test decides, and which notes what it is asked: of each of its
/// devices.</summary>
class WdmDriver : NtDriver
{
    public const byte NoMinor = 0xFF;

    /// <summary>What it saw: <c>name minor</c>.</summary>
    public List<string> Seen { get; init; } = [];
    public string Name { get; init; } = "wdm";
    public bool IsFilter { get; init; }
    public uint Characteristics { get; init; }
    public Guid? Interface { get; init; }

    /// <summary>The minor that it fails, and how.</summary>
    public (byte Minor, NtStatus Status) Fails { get; set; } = (NoMinor, default);
    public NtStatus AddDeviceStatus { get; set; }
    public uint PnpState { get; set; }

    /// <summary>Done when a minor comes.</summary>
    public Action<byte>? Told { get; set; }
    protected DriverObject Object { get; private set; }
    public List<DeviceObject> Devices { get; } = [];
    public IReadOnlyList<Resource> Raw { get; private set; } = [];
    public List<(uint Level, uint Vector)> Translated { get; } = [];
    Va _link;

    public override NtStatus DriverEntry(DriverObject driverObject, UnicodeString registryPath)
    {
        Object = driverObject;
        DriverExtension extension = driverObject.DriverExtension;
        extension.AddDevice = Routine(AddDevice);
        for (IrpMajor major = IRP_MJ_CREATE; major <= IRP_MJ_PNP; major++)
            driverObject.SetMajorFunction(major, Routine(Dispatch));
        driverObject.DriverUnload = Routine(Unload);
        return STATUS_SUCCESS;
    }

    void Unload(DriverObject driverObject) => Seen.Add(Name + " unload");

    NtStatus AddDevice(DriverObject driverObject, DeviceObject physical)
    {
        Seen.Add(Name + " add");
        if (!AddDeviceStatus.IsSuccess) return AddDeviceStatus;
        IoCreateDevice(
            driverObject, 16, "", FILE_DEVICE_UNKNOWN, Characteristics, false, out DeviceObject made);
        DeviceObject below = Nt.IoAttachDeviceToDeviceStack(made, physical);
        Memory.Write(made.DeviceExtension, below.Address);
        Memory.Write(made.DeviceExtension + 8, physical.Address);
        made.Flags = made.Flags & ~DO_DEVICE_INITIALIZING
            | below.Flags & (DO_BUFFERED_IO | DO_DIRECT_IO | DO_POWER_PAGABLE);
        Devices.Add(made);
        if (Interface is { } guid)
        {
            _link = Nt.ExAllocatePoolWithTag(NonPagedPool, 16, Tag("Link"));
            Va id = Local(16);
            Memory.Write(id, guid);
            Nt.IoRegisterDeviceInterface(physical, id, At<UnicodeString>(Va.Null), At<UnicodeString>(_link));
        }
        return STATUS_SUCCESS;
    }

    protected DeviceObject Below(DeviceObject device) => At<DeviceObject>(Memory.Read<Va>(device.DeviceExtension));

    protected virtual NtStatus Dispatch(DeviceObject device, Irp irp)
    {
        IoStackLocation location = irp.CurrentStackLocation;
        if (location.MajorFunction == IRP_MJ_PNP) return Plug(device, irp, location);
        if (location.MajorFunction == IRP_MJ_POWER)
        {
            Nt.PoStartNextPowerIrp(irp);
            irp.SkipCurrentStackLocation();
            return Nt.PoCallDriver(Below(device), irp);
        }
        if (IsFilter || location.MajorFunction == IRP_MJ_SYSTEM_CONTROL) return Skip(device, irp);
        return Complete(irp, STATUS_SUCCESS);
    }

    protected NtStatus Skip(DeviceObject device, Irp irp)
    {
        irp.SkipCurrentStackLocation();
        return Nt.IofCallDriver(Below(device), irp);
    }

    NtStatus Plug(DeviceObject device, Irp irp, IoStackLocation location)
    {
        byte minor = location.MinorFunction;
        Seen.Add($"{Name} {minor:X2}");
        Told?.Invoke(minor);
        if (Fails.Minor == minor) return Complete(irp, Fails.Status);
        switch (minor)
        {
            case IRP_MN_START_DEVICE:
                CmResourceList translated = location.AllocatedResourcesTranslated;
                Raw = Resources(location.AllocatedResources);
                Translated.Clear();
                for (int i = 0; !translated.IsNull && i < (int)translated.DescriptorCount; i++)
                    if (translated.Descriptor(i) is { Type: ResourceType.Interrupt } d)
                        Translated.Add((d.Level, d.Vector));
                Nt.IoForwardIrpSynchronously(Below(device), irp);
                if (irp.IoStatus.Status.IsSuccess && !_link.IsNull)
                    Nt.IoSetDeviceInterfaceState(At<UnicodeString>(_link), true);
                return Complete(irp, irp.IoStatus.Status);
            case IRP_MN_REMOVE_DEVICE:
                return Remove(device, irp);
            case IRP_MN_QUERY_PNP_DEVICE_STATE:
                irp.IoStatus = new IoStatusBlock(STATUS_SUCCESS, irp.IoStatus.Information | PnpState);
                return Skip(device, irp);
            case IRP_MN_QUERY_REMOVE_DEVICE or IRP_MN_QUERY_STOP_DEVICE or IRP_MN_CANCEL_REMOVE_DEVICE
                or IRP_MN_CANCEL_STOP_DEVICE or IRP_MN_STOP_DEVICE or IRP_MN_SURPRISE_REMOVAL:
                irp.IoStatus = new IoStatusBlock(STATUS_SUCCESS, 0);
                return Skip(device, irp);
            default:
                return Skip(device, irp);
        }
    }

    static IReadOnlyList<Resource> Resources(CmResourceList list)
    {
        List<Resource> all = [];
        if (list.IsNull) return all;
        for (int i = 0; i < (int)list.DescriptorCount; i++)
        {
            CmPartialResourceDescriptor d = list.Descriptor(i);
            bool isRange = d.Type is ResourceType.Port or ResourceType.Memory;
            all.Add(new Resource(d.Type, isRange ? d.Start : d.Type == ResourceType.Dma ? d.Channel : d.Vector,
                isRange ? d.Length : 1));
        }
        return all;
    }

    NtStatus Remove(DeviceObject device, Irp irp)
    {
        DeviceObject below = Below(device);
        irp.IoStatus = new IoStatusBlock(STATUS_SUCCESS, 0);
        irp.SkipCurrentStackLocation();
        NtStatus status = Nt.IofCallDriver(below, irp);
        if (!_link.IsNull)
        {
            Nt.RtlFreeUnicodeString(At<UnicodeString>(_link));
            Nt.ExFreePool(_link);
            _link = Va.Null;
        }
        Nt.IoDetachDevice(below);
        Nt.IoDeleteDevice(device);
        Devices.Remove(device);
        return status;
    }
}

/// <summary>IO_RESOURCE_REQUIREMENTS_LIST, as text describes it.</summary>
static class RequirementText
{
    /// <summary>Each resource: <c>ports 3F8-3FF</c>, <c>ports 8/8 100-3FF</c>, <c>memory 1000/1000 0-FFFFFFFF</c>,
    /// <c>line 4-4</c>, <c>messages 2</c>; behind a <c>|</c> an alternative.</summary>
    public static byte[] Parse(params string[] resources)
    {
        string[][] all = [.. resources.Select(r => r.Split('|', StringSplitOptions.TrimEntries))];
        int count = all.Sum(a => a.Length);
        byte[] bytes = new byte[IoResourceRequirementsList.SizeOf(count)];
        Put(bytes, 0, bytes.Length);
        Put(bytes, 0x1C, 1);
        Put(bytes, 0x20, 0x10001);
        Put(bytes, 0x24, count);
        int at = IoResourceRequirementsList.SizeOf(0);
        foreach (string[] alternatives in all)
            for (int i = 0; i < alternatives.Length; i++, at += IoResourceDescriptor.Size)
                Put(bytes.AsSpan(at, IoResourceDescriptor.Size), alternatives[i], i > 0);
        return bytes;
    }

    static void Put(Span<byte> to, string text, bool isAlternative)
    {
        string[] words = text.Split(' ');
        (to[0], to[2]) = (isAlternative ? (byte)8 : (byte)0, words.Contains("shared") ? (byte)3 : (byte)1);
        words = [.. words.Where(w => w != "shared")];
        if (words[0] == "messages")
        {
            (to[1], to[4]) = (2, 2);
            Put(to, 8, unchecked((int)(0xFFFF_FFFE - uint.Parse(words[1]) + 1)));
            Put(to, 12, unchecked((int)0xFFFF_FFFE));
            return;
        }
        ulong[] range = [.. words[^1].Split('-').Select(w => Convert.ToUInt64(w, words[0] == "line" ? 10 : 16))];
        if (words[0] == "line")
        {
            to[1] = 2;
            Put(to, 8, (int)range[0]);
            Put(to, 12, (int)range[1]);
            return;
        }
        to[1] = words[0] == "ports" ? (byte)1 : (byte)3;
        ulong[] size = words.Length == 3 ? [.. words[1].Split('/').Select(w => Convert.ToUInt64(w, 16))]
            : [range[1] - range[0] + 1, 1];
        Put(to, 8, (int)size[0]);
        Put(to, 12, (int)size[1]);
        BitConverter.TryWriteBytes(to[16..], range[0]);
        BitConverter.TryWriteBytes(to[24..], range[1]);
    }

    static void Put(Span<byte> to, int at, int value) => BitConverter.TryWriteBytes(to[at..], value);
}
