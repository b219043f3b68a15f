using Ringdown.Kernel;
using Ringdown.Machine;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;

namespace Ringdown.Verifier;

/// <summary>Power IRPs travel to the bus driver: who is above it neither completes nor fails what is to be told to all,
/// and asks the power manager for IRPs instead of making them.</summary>
public sealed class PowerRule(Reporter reporter) : IObserver
{
    const byte LastMinor = 3, SetPower = 2;

    // By IRP and location: passed down from there, with which status.
    readonly Dictionary<(Va Irp, int Location), NtStatus> _passed = [];

    public void Dispatching(NtKernel nt, Irp irp, IrpMajor major, Va routine)
    {
        if (major != IRP_MJ_POWER) return;
        int above = irp.CurrentLocation + 1;
        bool isFirst = irp.CurrentLocation == irp.StackCount && !_passed.ContainsKey((irp.Address, above));
        if (isFirst && nt.IrpRecordOf(irp.Address) is { Origin: IrpOrigin.Allocated }
            && nt.Stack().Any(f => nt.Loader.IsDriver(f.Module)))
            Report(nt, irp, "A driver has made a power IRP by itself: PoRequestPowerIrp is for that", 0x237);
        NtStatus status = irp.IoStatus.Status;
        bool isPassed = above <= irp.StackCount && !IsFromManager(irp, above);
        if (isPassed && !status.IsSuccess && status != STATUS_NOT_SUPPORTED)
            Report(nt, irp, $"A power IRP that has failed with {status} is passed down instead of completed", 0x219);
        if (isPassed && status == STATUS_NOT_SUPPORTED
            && _passed.GetValueOrDefault((irp.Address, above + 1), STATUS_NOT_SUPPORTED) != STATUS_NOT_SUPPORTED)
            Report(nt, irp, "The status of a power IRP became STATUS_NOT_SUPPORTED, which is the system's", 0x21A);
        _passed[(irp.Address, above)] = status;
    }

    // The location above all drivers is the power manager's, and names the device that the IRP is first sent to. A
    // driver that skips its location hands it on from there too.
    static bool IsFromManager(Irp irp, int location) => location == irp.StackCount
        && irp.Location(location).MajorFunction != IRP_MJ_POWER
        && irp.Location(location).DeviceObject == irp.CurrentStackLocation.DeviceObject;

    // Who reads ones in a service routine takes an interrupt that is another device's.
    public void RegisterTouchedAsleep(NtKernel nt, TouchedAsleep touched)
    {
        PciFunction function = touched.Bar.Function;
        IReadOnlyList<StackFrame> stack = nt.Stack();
        if (!stack.Any(f => nt.Loader.IsDriver(f.Module))) return;
        reporter.Report(nt, "Power", Severity.Error, $"A register (base address {touched.Bar.Index}, offset "
            + $"{touched.Offset:X}) of PCI {function.Identity.Vendor:X4}:{function.Identity.Device:X4} is "
            + $"{(touched.IsWrite ? "written" : "read")} while the device is in D{function.PowerState}: it does not "
            + "answer. Touch it before the power goes, and after IRP_MN_SET_POWER to D0 has come back from below.");
    }

    public void IrpUsed(NtKernel nt, IrpUse use, Irp irp)
    {
        if (use is IrpUse.Free or IrpUse.CompleteToTop) Forget(irp);
        if (use != IrpUse.Complete || irp.CurrentLocation > irp.StackCount) return;
        IoStackLocation at = irp.CurrentStackLocation;
        if (at.MajorFunction != IRP_MJ_POWER || at.DeviceObject.IsNull) return;
        NtStatus status = irp.IoStatus.Status;
        bool isPhysical = at.DeviceObject.DeviceObjectExtension.AttachedTo.IsNull;
        if (isPhysical)
        {
            if (status == STATUS_NOT_SUPPORTED && at.MinorFunction is SetPower or SetPower + 1)
                Report(nt, irp, "The bus driver has not answered a power IRP", 0x22A);
            return;
        }
        // It came back from below, and is completed again from where it was kept.
        if (_passed.ContainsKey((irp.Address, irp.CurrentLocation))) return;
        if (at.MinorFunction > LastMinor)
            Report(nt, irp, "A power IRP that the driver does not know is completed instead of passed down", 0x230);
        else if (status == STATUS_NOT_SUPPORTED)
            Report(nt, irp, "A power IRP is completed as it came instead of passed down", 0x232);
        else if (status.IsSuccess)
            Report(nt, irp, "A power IRP is completed with success instead of passed down", 0x231);
        else if (at.MinorFunction == SetPower)
            Report(nt, irp, $"IRP_MN_SET_POWER is failed with {status}, and may not be failed", 0x247);
    }

    void Forget(Irp irp)
    {
        if (_passed.Count == 0) return;
        for (int i = 0; i <= irp.StackCount + 1; i++) _passed.Remove((irp.Address, i));
    }

    public void DeviceAdded(NtKernel nt, DeviceAdded added)
    {
        if (!added.Status.IsSuccess || added.Before.IsNull) return;
        DeviceObject made = added.Before.AttachedDevice;
        if (made.IsNull || (added.Before.Flags & Wdm.DO_POWER_PAGABLE) != 0
            || (made.Flags & Wdm.DO_POWER_PAGABLE) == 0) return;
        reporter.Report(nt, "Power", Severity.Error,
            "DO_POWER_PAGABLE is set above a device without it: power IRPs come at DISPATCH_LEVEL there. "
            + "(Driver Verifier: 0xC9/0x23F)");
    }

    void Report(NtKernel nt, Irp irp, string message, uint code) => reporter.Report(nt, "Power", Severity.Error,
        $"{message}. (Driver Verifier: 0xC9/0x{code:X})", irp.Address);
}
