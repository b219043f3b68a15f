using Ringdown.Kernel;
using Ringdown.Machine;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Verifier;

/// <summary>Drivers of a stack pass IRP_MJ_PNP on, and go when they are told to.</summary>
public sealed class PnpRule(Reporter reporter) : IObserver
{
    sealed class Visit(Va device, byte minor, bool isPhysical)
    {
        public Va Device { get; } = device;
        public byte Minor { get; } = minor;
        public bool IsPhysical { get; } = isPhysical;
        public bool HasPassedDown { get; set; }
    }

    const byte LastMinor = IRP_MN_DEVICE_ENUMERATED;

    /// <summary>Who has each IRP on its way down.</summary>
    readonly Dictionary<Va, List<Visit>> _visits = [];

    public void Dispatching(NtKernel nt, Irp irp, IrpMajor major, Va routine)
    {
        if (major != IrpMajor.IRP_MJ_PNP) return;
        IoStackLocation location = irp.CurrentStackLocation;
        if (!_visits.TryGetValue(irp.Address, out List<Visit>? visits)) _visits.Add(irp.Address, visits = []);
        if (visits is [.., { } above])
        {
            NtStatus status = irp.IoStatus.Status;
            if (!above.HasPassedDown && !status.IsSuccess && status != STATUS_NOT_SUPPORTED)
                Report(nt, nt.DriverOfDevice(above.Device), $"{NameOf(above.Minor)} is passed down with the failure "
                    + $"{status}: a driver that fails it completes it", 0x215);
            above.HasPassedDown = true;
        }
        DeviceObject device = location.DeviceObject;
        visits.Add(new Visit(
            device.Address, location.MinorFunction, device.DeviceObjectExtension.AttachedTo.IsNull));
    }

    public void Dispatched(NtKernel nt, Dispatched d)
    {
        if (d.Major != IrpMajor.IRP_MJ_PNP || !_visits.TryGetValue(d.Irp, out List<Visit>? visits)) return;
        int at = visits.FindLastIndex(v => v.Device == d.Device.Address);
        if (at < 0) return;
        Visit visit = visits[at];
        visits.RemoveAt(at);
        if (visits.Count == 0) _visits.Remove(d.Irp);
        if (visit.HasPassedDown || d.Completed is not { } status) return;
        if (!status.IsSuccess && MayNotFail(visit.Minor))
            Report(nt, visit, $"{NameOf(visit.Minor)} is failed with {status}, which it may not be", 0x247);
        else if (!visit.IsPhysical) CheckKept(nt, visit, status);
    }

    // Only the bus driver completes what succeeds, and what nobody knows.
    void CheckKept(NtKernel nt, Visit visit, NtStatus status)
    {
        if (visit.Minor > LastMinor)
            Report(nt, visit, $"The unknown minor {visit.Minor:X2} is completed, not passed down", 0x22D);
        else if (status == STATUS_NOT_SUPPORTED)
            Report(nt, visit, $"{NameOf(visit.Minor)} is completed as it came, not passed down", 0x22F);
        else if (status.IsSuccess && visit.Minor != IRP_MN_QUERY_INTERFACE)
            Report(nt, visit, $"{NameOf(visit.Minor)} is completed with success before the drivers below have "
                + "seen it", 0x22E);
    }

    static bool MayNotFail(byte minor) => minor is IRP_MN_REMOVE_DEVICE or IRP_MN_SURPRISE_REMOVAL or IRP_MN_STOP_DEVICE
        or IRP_MN_CANCEL_STOP_DEVICE or IRP_MN_CANCEL_REMOVE_DEVICE;

    public void DeviceAdded(NtKernel nt, DeviceAdded added)
    {
        const int mostDevices = 64;
        if (!added.Status.IsSuccess) return;
        DeviceObject device = added.Before.AttachedDevice;
        for (int i = 0; i < mostDevices && !device.IsNull; i++, device = device.AttachedDevice)
            if ((device.Flags & DO_DEVICE_INITIALIZING) != 0)
                Report(nt, added.Driver.Name, "AddDevice has left DO_DEVICE_INITIALIZING set: nobody can open the "
                    + "device, or attach to it", 0x243);
    }

    public void DeviceRemoved(NtKernel nt, DeviceRemoved removed)
    {
        if (!removed.IsSurprise && !removed.Status.IsSuccess)
            Report(nt, removed.Stack[^1].Driver, $"IRP_MN_REMOVE_DEVICE is completed with {removed.Status}", 0x306);
        if (!removed.IsSurprise)
            foreach (Va owner in removed.BusReferences)
                Report(nt, nt.Loader.ImageAt(owner)?.ModuleName, "The bus interface that was got at "
                    + $"{nt.Loader.Describe(owner)} is not given back by its InterfaceDereference: the device stays",
                    null);
        foreach ((DeviceObject device, string? driver) in removed.Stack.Skip(1))
        {
            bool exists = nt.IsDevice(device), isAttached = exists && !device.DeviceObjectExtension.AttachedTo.IsNull,
                isDeleted = !exists || device.IsDeletePending;
            if (removed.IsSurprise)
            {
                if (!isAttached)
                    Report(nt, driver, "The device is detached at IRP_MN_SURPRISE_REMOVAL; its time is "
                        + "IRP_MN_REMOVE_DEVICE", 0x241);
                if (isDeleted)
                    Report(nt, driver, "The device is deleted at IRP_MN_SURPRISE_REMOVAL; its time is "
                        + "IRP_MN_REMOVE_DEVICE", 0x242);
            }
            else if (isAttached)
                Report(nt, driver, "The device is still attached after IRP_MN_REMOVE_DEVICE", 0x21D);
            else if (!isDeleted)
                Report(nt, driver, "The device is not deleted at IRP_MN_REMOVE_DEVICE", 0x21E);
        }
    }

    static string NameOf(byte minor) => MinorNames.Find(IrpMajor.IRP_MJ_PNP, minor) ?? $"IRP_MJ_PNP {minor:X2}";

    void Report(NtKernel nt, Visit visit, string what, uint code) =>
        Report(nt, nt.DriverOfDevice(visit.Device), what, code);

    void Report(NtKernel nt, string? driver, string what, uint? code) => reporter.Report(nt, "Pnp", Severity.Error,
        what + (code is { } number ? $". (Driver Verifier: 0xC9/0x{number:X})" : "."), driver: driver);
}
