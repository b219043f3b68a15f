using Ringdown.Machine;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Power IRPs, as the power manager alone makes them.</summary>
sealed partial class Io
{
    /// <summary>A power IRP for a stack, with a location more than the stack has: a routine there sees completion after
    /// all drivers have. Who makes it frees it.</summary>
    /// <param name="fill">Sets the minor function and the parameters of the topmost driver's location.</param>
    public Irp NewPowerIrp(DeviceObject top, Va completion, Action<IoStackLocation> fill)
    {
        Irp irp = AllocateIrp(top.StackSize + 1, Va.Null);
        irp.IoStatus = new(STATUS_NOT_SUPPORTED, 0);
        irp.CurrentLocation--;
        irp.CurrentStackLocation = irp.CurrentStackLocation.Below;
        IoStackLocation own = irp.CurrentStackLocation, location = own.Below;
        own.DeviceObject = top;
        location.MajorFunction = IrpMajor.IRP_MJ_POWER;
        fill(location);
        location.Control = StackControl.SL_INVOKE_ALWAYS;
        location.CompletionRoutine = completion;
        return irp;
    }

    /// <summary>The device at the bottom of the stack that a device is in: the physical one.</summary>
    public static DeviceObject BottomOf(DeviceObject device)
    {
        for (int i = 0; i < 256 && device.DeviceObjectExtension.AttachedTo is { IsNull: false } below; i++)
            device = below;
        return device;
    }
}
