using System.Text;
using Ringdown.Kernel;
using Ringdown.Machine;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Tests;

/// <summary>A bus driver that answers plug and play with anything: some of it right, so that the system goes on to ask,
/// most of it not.</summary>
/// <param name="chance">What it answers.</param>
/// <param name="badness">One answer in so many is wrong.</param>
sealed class HostileBus(Chance chance, int badness) : NtDriver
{
    const int MostChildren = 6;

    static readonly uint[] s_counts =
        [0, 1, 2, 3, 8, 63, 64, 255, 1024, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFE, uint.MaxValue];

    static readonly NtStatus[] s_statuses =
        [STATUS_SUCCESS, STATUS_SUCCESS, STATUS_SUCCESS, STATUS_NOT_SUPPORTED, STATUS_UNSUCCESSFUL, STATUS_PENDING,
            STATUS_RESOURCE_REQUIREMENTS_CHANGED, STATUS_DELETE_PENDING, new(0x4000_0000), new(0xDEAD_BEEF)];

    readonly List<DeviceObject> _made = [];
    readonly List<Irp> _kept = [];
    DeviceObject _bus, _below;
    DriverObject _driver;

    public override NtStatus DriverEntry(DriverObject driverObject, UnicodeString registryPath)
    {
        _driver = driverObject;
        DriverExtension extension = driverObject.DriverExtension;
        extension.AddDevice = Routine(AddDevice);
        for (IrpMajor major = IRP_MJ_CREATE; major <= IRP_MJ_PNP; major++)
            driverObject.SetMajorFunction(major, Routine(Dispatch));
        driverObject.DriverUnload = Routine(Unload);
        return STATUS_SUCCESS;
    }

    void Unload(DriverObject driverObject)
    {
    }

    NtStatus AddDevice(DriverObject driverObject, DeviceObject physical)
    {
        if (!_bus.IsNull) return chance.OneIn(2) ? STATUS_SUCCESS : STATUS_NO_SUCH_DEVICE;
        IoCreateDevice(driverObject, 0, "", FILE_DEVICE_BUS_EXTENDER, 0, false, out _bus);
        _below = Nt.IoAttachDeviceToDeviceStack(_bus, physical);
        _bus.Flags &= ~DO_DEVICE_INITIALIZING;
        return STATUS_SUCCESS;
    }

    NtStatus Dispatch(DeviceObject device, Irp irp)
    {
        IoStackLocation location = irp.CurrentStackLocation;
        if (location.MajorFunction == IRP_MJ_POWER) return Power(device, irp);
        if (location.MajorFunction != IRP_MJ_PNP) return Finish(irp, STATUS_SUCCESS, Wild());
        bool isWrong = chance.OneIn(badness);
        if (device != _bus) return isWrong ? Finish(irp, AnyStatus(), Answer(irp, location)) : Child(irp, location);
        if (location.MinorFunction == IRP_MN_QUERY_DEVICE_RELATIONS
            && (isWrong || location.RelationType == DeviceRelationType.BusRelations))
            return Finish(irp, STATUS_SUCCESS, Relations(isWrong));
        if (isWrong && location.MinorFunction > IRP_MN_CANCEL_STOP_DEVICE)
            return Finish(irp, AnyStatus(), Answer(irp, location));
        irp.IoStatus = new IoStatusBlock(STATUS_SUCCESS, irp.IoStatus.Information);
        irp.SkipCurrentStackLocation();
        return Nt.IofCallDriver(_below, irp);
    }

    NtStatus Power(DeviceObject device, Irp irp)
    {
        Nt.PoStartNextPowerIrp(irp);
        if (device != _bus || chance.OneIn(8)) return Finish(irp, chance.OneIn(6) ? AnyStatus() : STATUS_SUCCESS, 0);
        irp.SkipCurrentStackLocation();
        return Nt.PoCallDriver(_below, irp);
    }

    // Some are never completed, or later from nowhere.
    NtStatus Finish(Irp irp, NtStatus status, ulong information)
    {
        if (status == STATUS_PENDING)
        {
            irp.MarkPending();
            _kept.Add(irp);
            return STATUS_PENDING;
        }
        irp.IoStatus = new IoStatusBlock(status, information);
        Nt.IofCompleteRequest(irp, 0);
        if (_kept.Count > 0 && chance.OneIn(2))
        {
            Irp late = _kept[^1];
            _kept.RemoveAt(_kept.Count - 1);
            Finish(late, STATUS_SUCCESS, chance.OneIn(3) ? Wild() : 0);
        }
        return status;
    }

    NtStatus AnyStatus() => s_statuses[chance.Next(s_statuses.Length)];

    // What a careful driver answers.
    NtStatus Child(Irp irp, IoStackLocation location)
    {
        ulong unchanged = irp.IoStatus.Information;
        switch (location.MinorFunction)
        {
            case IRP_MN_QUERY_ID:
                return Finish(irp, STATUS_SUCCESS, Wide(location.IdType switch
                {
                    BusQueryIdType.BusQueryInstanceID => $"{chance.Next(3)}\0",
                    BusQueryIdType.BusQueryDeviceID => @"HOSTILE\Thing" + '\0',
                    _ => "HOSTILE\\Thing\0HOSTILE\\Any\0\0",
                }));
            case IRP_MN_QUERY_CAPABILITIES:
                DeviceCapabilities filled = location.Capabilities;
                filled.Flags |= chance.OneIn(2) ? CapabilityFlags.RawDeviceOK : CapabilityFlags.UniqueId;
                return Finish(irp, STATUS_SUCCESS, 0);
            case IRP_MN_QUERY_RESOURCE_REQUIREMENTS:
                return Finish(irp, STATUS_SUCCESS, Requirements(isWrong: false));
            case IRP_MN_QUERY_DEVICE_RELATIONS or IRP_MN_QUERY_DEVICE_TEXT or IRP_MN_QUERY_RESOURCES
                or IRP_MN_QUERY_BUS_INFORMATION or IRP_MN_QUERY_INTERFACE or IRP_MN_QUERY_PNP_DEVICE_STATE:
                return Finish(irp, irp.IoStatus.Status, unchanged);
            default:
                return Finish(irp, STATUS_SUCCESS, unchanged);
        }
    }

    ulong Answer(Irp irp, IoStackLocation location)
    {
        if (chance.OneIn(5)) return Wild();
        switch (location.MinorFunction)
        {
            case IRP_MN_QUERY_DEVICE_RELATIONS:
                return Relations(isWrong: true);
            case IRP_MN_QUERY_ID or IRP_MN_QUERY_DEVICE_TEXT:
                return Wide(WildText());
            case IRP_MN_QUERY_CAPABILITIES:
                Va wild = location.Capabilities.Address;
                for (int i = 0; i < 8; i++)
                    Memory.Write(wild + chance.Next(DeviceCapabilities.Size / 4) * 4, (uint)chance.Next());
                return 0;
            case IRP_MN_QUERY_RESOURCES:
                return Resources();
            case IRP_MN_QUERY_RESOURCE_REQUIREMENTS or IRP_MN_FILTER_RESOURCE_REQUIREMENTS:
                return Requirements(isWrong: true);
            case IRP_MN_QUERY_INTERFACE:
                byte[] garbage = new byte[location.InterfaceSize];
                chance.Fill(garbage);
                Memory.Write(location.Interface, garbage);
                return 0;
            case IRP_MN_QUERY_BUS_INFORMATION:
                return Block(Bytes(PnpBusInformation.Size - chance.Next(2) * 8));
            default:
                return chance.Next() >> chance.Next(64);
        }
    }

    ulong Wild() => chance.Next(6) switch
    {
        0 => 0,
        1 => chance.Next(),
        2 => _driver.Address.Value + (ulong)chance.Next(0x100),
        3 => 0xFFFF_F780_0000_0000,
        4 => ulong.MaxValue - (ulong)chance.Next(64),
        _ => _made.Count > 0 ? _made[chance.Next(_made.Count)].Address.Value : _bus.Address.Value,
    };

    uint Count() => s_counts[chance.Next(s_counts.Length)];

    byte[] Bytes(int count)
    {
        byte[] bytes = new byte[count];
        chance.Fill(bytes);
        return bytes;
    }

    ulong Block(ReadOnlySpan<byte> data)
    {
        Va block = Nt.ExAllocatePoolWithTag(PagedPool, (ulong)data.Length, Tag("Host"));
        Memory.Write(block, data);
        return block.Value;
    }

    ulong Wide(string text) => Block(Encoding.Unicode.GetBytes(text));

    string WildText() => chance.Next(9) switch
    {
        0 => "no end",
        1 => "\0",
        2 => "\0\0",
        3 => new string('x', 0x5000) + "\0\0",
        4 => @"A\B\C\D" + "\0\0",
        5 => @"\..\\" + "\0\0",
        6 => "a,b \u0001\uD800\0\0",
        7 => string.Concat(Enumerable.Repeat(@"H\x" + '\0', 3000)) + '\0',
        _ => @"HTREE\ROOT" + "\0\0",
    };

    ulong Relations(bool isWrong)
    {
        List<ulong> all = [];
        while (_made.Count < MostChildren && (_made.Count == 0 || chance.OneIn(2)))
        {
            IoCreateDevice(_driver, 0, "", FILE_DEVICE_UNKNOWN, FILE_AUTOGENERATED_DEVICE_NAME, false,
                out DeviceObject made);
            made.Flags &= ~DO_DEVICE_INITIALIZING;
            _made.Add(made);
        }
        foreach (DeviceObject child in _made)
        {
            if (chance.OneIn(6)) continue;
            Nt.ObfReferenceObject(child.Address);
            all.Add(child.Address.Value);
        }
        if (!isWrong) return List((uint)all.Count, all);
        for (int n = chance.Next(3); n >= 0; n--) all.Insert(chance.Next(all.Count + 1), NoChild());
        return List(chance.OneIn(3) ? Count() : (uint)all.Count, all);
    }

    const uint FILE_AUTOGENERATED_DEVICE_NAME = 0x80;

    ulong List(uint count, List<ulong> all) =>
        Block([.. BitConverter.GetBytes((ulong)count), .. all.SelectMany(BitConverter.GetBytes)]);

    // Duplicates, rings, devices that are no physical ones, deleted ones, and what is no device.
    ulong NoChild()
    {
        ulong one = chance.Next(5) switch
        {
            0 => _bus.Address.Value,
            1 => _below.Address.Value,
            2 => _made[chance.Next(_made.Count)].Address.Value,
            3 => Deleted(),
            _ => Wild(),
        };
        if (chance.OneIn(2) && Nt.IsDevice(At<DeviceObject>(new Va(one)))) Nt.ObfReferenceObject(new Va(one));
        return one;
    }

    ulong Deleted()
    {
        int index = chance.Next(_made.Count);
        DeviceObject gone = _made[index];
        if (_made.Count > 1) _made.RemoveAt(index);
        if (chance.OneIn(2)) Nt.ObfReferenceObject(gone.Address);
        if (_made.Count > 1) Nt.IoDeleteDevice(gone);
        return gone.Address.Value;
    }

    ulong Resources()
    {
        int count = chance.Next(4);
        byte[] list = Bytes(0x14 + count * CmPartialResourceDescriptor.Size);
        BitConverter.TryWriteBytes(list, chance.OneIn(3) ? Count() : 1);
        BitConverter.TryWriteBytes(list.AsSpan(0x10), chance.OneIn(3) ? Count() : (uint)count);
        for (int i = 0; i < count; i++) list[0x14 + i * CmPartialResourceDescriptor.Size] = AnyType();
        return Block(list);
    }

    // Port, interrupt, memory, DMA, private, bus numbers, large memory, and what nobody knows.
    byte AnyType() => chance.OneIn(8) ? (byte)chance.Next() : (byte)(1 + chance.Next(7));

    ulong Requirements(bool isWrong)
    {
        int lists = 1 + chance.Next(3);
        List<byte> all = [.. new byte[IoResourceRequirementsList.FirstList]];
        for (int i = 0; i < lists; i++)
        {
            int count = chance.OneIn(20) ? 200 : chance.Next(5);
            all.AddRange([1, 0, 1, 0]);
            all.AddRange(BitConverter.GetBytes(isWrong && chance.OneIn(4) ? Count() : (uint)count));
            for (int j = 0; j < count; j++) all.AddRange(Requirement(isWrong));
        }
        byte[] bytes = [.. all];
        BitConverter.TryWriteBytes(bytes, isWrong && chance.OneIn(3) ? Count() : (uint)bytes.Length);
        BitConverter.TryWriteBytes(bytes.AsSpan(0x1C), isWrong && chance.OneIn(4) ? Count() : (uint)lists);
        return Block(bytes);
    }

    byte[] Requirement(bool isWrong)
    {
        const int size = IoResourceDescriptor.Size;
        byte[] one = isWrong && chance.OneIn(2) ? Bytes(size) : new byte[size];
        one[0] = (byte)(chance.OneIn(3) ? 8 : 0);
        one[1] = AnyType();
        one[2] = (byte)(1 + chance.Next(3));
        for (int at = 8; at < one.Length; at += 4)
            BitConverter.TryWriteBytes(one.AsSpan(at), chance.OneIn(2) ? Count() : (uint)chance.Next(0x1000));
        return one;
    }
}
