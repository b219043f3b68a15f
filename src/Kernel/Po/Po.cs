using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>The power manager: power IRPs and states.</summary>
[NtModule("ntoskrnl.exe")]
sealed partial class Po(NtKernel nt)
{
    readonly Dictionary<(Va Device, uint Type), uint> _states = [];

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public NtStatus PoCallDriver(DeviceObject deviceObject, [AliasesMem] Irp irp) =>
        nt.Io.IofCallDriver(deviceObject, irp);

    /// <summary>Since Windows Vista power IRPs need no such call; it does nothing.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void PoStartNextPowerIrp(Irp irp)
    {
    }

    /// <summary>Notes a device's state (type 0 system, 1 device). Returns the one before: 0 (unspecified) at
    /// first.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public uint PoSetPowerState(DeviceObject deviceObject, uint type, uint state)
    {
        uint old = _states.GetValueOrDefault((deviceObject.Address, type));
        _states[(deviceObject.Address, type)] = state;
        return old;
    }

    /// <summary>Sends IRP_MJ_POWER to the top of a device's stack; the callback runs when it is complete.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public NtStatus PoRequestPowerIrp(
        DeviceObject deviceObject, byte minorFunction, uint powerState, Va completionFunction, Va context, Va irp)
    {
        const byte waitWake = 0, setPower = 2, queryPower = 3;
        if (minorFunction is not (waitWake or setPower or queryPower)) return STATUS_INVALID_PARAMETER_2;
        DeviceObject top = nt.Io.TopOf(deviceObject);
        Irp made = nt.Io.NewPowerIrp(top, minorFunction, powerState, completed =>
        {
            if (completionFunction.IsNull) return;
            Va status = nt.Mm.Pool.Allocate(16, 0x7277_6F50);
            nt.Memory.Write(status, completed);
            nt.Routines.Call(completionFunction, deviceObject.Address.Value, minorFunction, powerState, context.Value,
                status.Value);
            nt.Mm.Pool.Free(status);
        });
        if (!irp.IsNull) nt.Memory.Write(irp, made.Address);
        nt.Io.IofCallDriver(top, made);
        return STATUS_PENDING;
    }
}
