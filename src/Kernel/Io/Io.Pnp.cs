using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>DMA adapters, power IRPs, and what drivers keep with their driver objects.</summary>
sealed partial class Io
{
    const uint NotifyTag = 0x794E_6F49;

    /// <summary>An adapter for a device as it describes itself, or null.</summary>
    [Export(Support.Partial, "Bus masters with descriptions of version 0 to 2.")]
    [IrqlRequiresMax(PASSIVE_LEVEL)]
    public Va IoGetDmaAdapter(DeviceObject physicalDeviceObject, Va deviceDescription, Va numberOfMapRegisters) =>
        nt.Hal.GetAdapter(deviceDescription, numberOfMapRegisters);

    /// <summary>A power IRP whose completion is told to the one who asked for it.</summary>
    public Irp NewPowerIrp(DeviceObject top, byte minor, uint state, Action<IoStatusBlock> completed)
    {
        // One location more than the stack has: completion of the topmost driver's is seen there.
        Irp irp = AllocateIrp(top.StackSize + 1, Va.Null);
        irp.IoStatus = new(STATUS_NOT_SUPPORTED, 0);
        irp.CurrentLocation--;
        irp.CurrentStackLocation = irp.CurrentStackLocation.Below;
        IoStackLocation own = irp.CurrentStackLocation, location = own.Below;
        own.DeviceObject = top;
        (location.MajorFunction, location.MinorFunction) = (IrpMajor.IRP_MJ_POWER, minor);
        (location.Parameter2, location.Parameter3) = (1, state);     // DevicePowerState
        location.Control = StackControl.SL_INVOKE_ALWAYS;
        location.CompletionRoutine = PowerCompletion;
        _powerCompletions.Add(irp.Address, completed);
        return irp;
    }

    readonly Dictionary<Va, Action<IoStatusBlock>> _powerCompletions = [];

    Va PowerCompletion
    {
        get
        {
            if (field.IsNull) field = nt.Routines.Add("PopRequestCompletion", static (kernel, call) =>
            {
                Irp done = Irp.At(kernel.Memory, new Va(call.Argument(1)));
                if (kernel.Io._powerCompletions.Remove(done.Address, out Action<IoStatusBlock>? completed))
                    completed(done.IoStatus);
                kernel.Io.FreeIrp(done);
                call.Return(STATUS_MORE_PROCESSING_REQUIRED.Value);
            });
            return field;
        }
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public NtStatus IoAllocateDriverObjectExtension(
        DriverObject driverObject, Va clientIdentificationAddress, uint driverObjectExtensionSize,
            Va driverObjectExtension)
    {
        nt.Memory.Write(driverObjectExtension, Va.Null);
        if (_extensions.ContainsKey((driverObject.Address, clientIdentificationAddress)))
            return STATUS_OBJECT_NAME_COLLISION;
        Va made = nt.Mm.Pool.Allocate((int)Math.Min(driverObjectExtensionSize, 1 << 20), 0x7845_7244);
        _extensions.Add((driverObject.Address, clientIdentificationAddress), made);
        nt.Memory.Write(driverObjectExtension, made);
        return STATUS_SUCCESS;
    }

    readonly Dictionary<(Va Driver, Va Id), Va> _extensions = [];

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public Va IoGetDriverObjectExtension(DriverObject driverObject, Va clientIdentificationAddress) =>
        _extensions.GetValueOrDefault((driverObject.Address, clientIdentificationAddress));
}
