using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Tests;

/// <summary>A WDM driver that owns its device's power policy, and notes each power IRP: <c>name query S3</c>, <c>name
/// set D3</c>, <c>name done D0</c> when one has come back from below.</summary>
class PowerDriver : WdmDriver
{
    /// <summary>It asks for the device's state when the system's changes.</summary>
    public bool IsOwner { get; init; } = true;

    /// <summary>What it does instead with an IRP, by its text; null: as always.</summary>
    public Func<DeviceObject, Irp, string, NtStatus?>? Instead { get; set; }

    public static string Text(IoStackLocation location) => location.MinorFunction switch
    {
        IRP_MN_WAIT_WAKE => "wake",
        IRP_MN_SET_POWER or IRP_MN_QUERY_POWER => (location.MinorFunction == IRP_MN_SET_POWER ? "set " : "query ")
            + (location.PowerStateType == DevicePowerState ? "D" : "S") + (location.PowerState - 1),
        _ => $"minor {location.MinorFunction}",
    };

    protected override NtStatus Dispatch(DeviceObject device, Irp irp)
    {
        IoStackLocation location = irp.CurrentStackLocation;
        if (location.MajorFunction != IrpMajor.IRP_MJ_POWER) return base.Dispatch(device, irp);
        string text = Text(location);
        Seen.Add($"{Name} {text}");
        if (Instead?.Invoke(device, irp, text) is { } done) return done;
        bool isSystem = IsOwner && location.PowerStateType == SystemPowerState
            && location.MinorFunction is IRP_MN_SET_POWER or IRP_MN_QUERY_POWER;
        if (isSystem || text == "set D0") return Forward(device, irp, isSystem);
        if (text is "set D1" or "set D2" or "set D3")
            Nt.PoSetPowerState(device, DevicePowerState, location.PowerState);
        irp.SkipCurrentStackLocation();
        return Nt.PoCallDriver(Below(device), irp);
    }

    public NtStatus Pass(DeviceObject device, Irp irp)
    {
        irp.SkipCurrentStackLocation();
        return Nt.PoCallDriver(Below(device), irp);
    }

    /// <summary>Passes on what it has marked pending and kept.</summary>
    public NtStatus Resume(Irp irp)
    {
        irp.CopyCurrentStackLocationToNext();
        return Nt.PoCallDriver(Below(Devices[0]), irp);
    }

    /// <summary>What it saw of power.</summary>
    public static string[] PowerOf(IEnumerable<string> seen) => [.. seen.Where(s => !s.EndsWith(" 07"))];

    NtStatus Forward(DeviceObject device, Irp irp, bool isSystem)
    {
        irp.MarkPending();
        irp.CopyCurrentStackLocationToNext();
        irp.SetCompletionRoutine(isSystem ? Routine(SystemDone) : Routine(DeviceDone), Va.Null);
        Nt.PoCallDriver(Below(device), irp);
        return STATUS_PENDING;
    }

    NtStatus DeviceDone(DeviceObject device, Irp irp, Va context)
    {
        IoStackLocation location = irp.CurrentStackLocation;
        Seen.Add($"{Name} done {Text(location)[4..]}");
        Nt.PoSetPowerState(device, DevicePowerState, location.PowerState);
        return STATUS_SUCCESS;
    }

    // S0 without children needs no waiting for D0; down, the system's IRP waits for the device's.
    NtStatus SystemDone(DeviceObject device, Irp irp, Va context)
    {
        IoStackLocation location = irp.CurrentStackLocation;
        if (!irp.IoStatus.Status.IsSuccess) return STATUS_SUCCESS;
        bool isUp = location.PowerState == (uint)SystemState.Working;
        Nt.PoRequestPowerIrp(device, location.MinorFunction, isUp ? 1U : 4, Routine(Requested), isUp ? Va.Null
            : irp.Address, Va.Null);
        return isUp ? STATUS_SUCCESS : STATUS_MORE_PROCESSING_REQUIRED;
    }

    void Requested(DeviceObject device, byte minor, uint state, Va context, Va status)
    {
        if (context.IsNull) return;
        Complete(At<Irp>(context), Memory.Read<IoStatusBlock>(status).Status);
    }

    /// <summary>A root-enumerated device with this driver.</summary>
    public static (DeviceNode Node, PowerDriver Driver) Device(TestMachine m, PowerDriver? driver = null)
    {
        driver ??= new PowerDriver();
        m.Nt.Loader.Load(driver.Name, driver);
        DeviceNode node = m.Nt.User.Devices.AddRootDevice($@"Root\{driver.Name}", driver.Name);
        driver.Seen.Clear();
        return (node, driver);
    }
}

/// <summary>A bus with one device, which needs no driver.</summary>
sealed class PowerBus : PowerDriver
{
    DeviceObject _child;

    protected override NtStatus Dispatch(DeviceObject device, Irp irp)
    {
        IoStackLocation location = irp.CurrentStackLocation;
        if (!_child.IsNull && device == _child) return ForChild(irp, location);
        if (location.MajorFunction != IrpMajor.IRP_MJ_PNP || location.MinorFunction != IRP_MN_QUERY_DEVICE_RELATIONS
            || location.RelationType != DeviceRelationType.BusRelations) return base.Dispatch(device, irp);
        if (_child.IsNull)
        {
            IoCreateDevice(device.DriverObject, 0, "", FILE_DEVICE_UNKNOWN, 0x80, false, out _child);
            _child.Flags &= ~DO_DEVICE_INITIALIZING;
        }
        Va block = Nt.ExAllocatePoolWithTag(PagedPool, (ulong)DeviceRelations.SizeOf(1), Tag("Bus "));
        var relations = At<DeviceRelations>(block);
        relations.Count = 1;
        Nt.ObfReferenceObject(_child.Address);
        relations.SetObject(0, _child);
        irp.IoStatus = new IoStatusBlock(STATUS_SUCCESS, block.Value);
        return Skip(device, irp);
    }

    NtStatus ForChild(Irp irp, IoStackLocation location)
    {
        if (location.MajorFunction == IrpMajor.IRP_MJ_POWER)
        {
            Seen.Add($"child {Text(location)}");
            return Complete(irp, STATUS_SUCCESS);
        }
        switch (location.MinorFunction)
        {
            case IRP_MN_QUERY_ID when location.IdType is BusQueryIdType.BusQueryDeviceID
                or BusQueryIdType.BusQueryInstanceID:
                string id = location.IdType == BusQueryIdType.BusQueryDeviceID ? @"BUS\CHILD" : "0";
                byte[] text = System.Text.Encoding.Unicode.GetBytes(id + '\0');
                Va block = Nt.ExAllocatePoolWithTag(PagedPool, (ulong)text.Length, Tag("Bus "));
                Memory.Write(block, text);
                return Complete(irp, STATUS_SUCCESS, block.Value);
            case IRP_MN_QUERY_CAPABILITIES:
                DeviceCapabilities capabilities = location.Capabilities;
                capabilities.Flags |= CapabilityFlags.RawDeviceOK | CapabilityFlags.UniqueId;
                return Complete(irp, STATUS_SUCCESS);
            case IRP_MN_START_DEVICE:
                return Complete(irp, STATUS_SUCCESS);
            default:
                return Complete(irp, irp.IoStatus.Status, irp.IoStatus.Information);
        }
    }
}
