using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>The power manager: power IRPs and states.</summary>
[NtModule("ntoskrnl.exe")]
sealed partial class Po(NtKernel nt)
{
    const uint PowerTag = 0x7277_6F50;
    const long TicksPerSecond = 10_000_000;

    readonly Dictionary<(Va Device, uint Type), uint> _states = [];

    public PowerIrps Irps { get; } = new(nt);

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
        const uint device = 1;
        uint old = StateOf(deviceObject, type);
        _states[(deviceObject.Address, type)] = state;
        if (type == device) Idle.OnPowerState(deviceObject, state);
        return old;
    }

    /// <summary>The state that PoSetPowerState was last told of; 0: of none.</summary>
    public uint StateOf(DeviceObject device, uint type) => _states.GetValueOrDefault((device.Address, type));

    /// <summary>A device object is gone.</summary>
    /// <exception cref="BugCheck">A power IRP is still under way in its stack.</exception>
    public void OnDeleted(DeviceObject device)
    {
        const ulong freed = 1;
        if (Irps.IsUnderWay(device))
            throw new BugCheck(BugCheckCode.DRIVER_POWER_STATE_FAILURE, freed, device.Address.Value);
        _states.Remove((device.Address, 0));
        _states.Remove((device.Address, 1));
        Idle.OnDeleted(device);
    }

    /// <summary>Sends IRP_MJ_POWER to the top of a device's stack, now or after those before it; the callback runs when
    /// it is complete.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public NtStatus PoRequestPowerIrp(
        DeviceObject deviceObject, byte minorFunction, uint powerState, Va completionFunction, Va context, Va irp)
    {
        if (minorFunction is not (PowerRequest.WaitWake or PowerRequest.SetPower or PowerRequest.QueryPower))
            return STATUS_INVALID_PARAMETER_2;
        PowerIrp made = Irps.Make(deviceObject, new PowerRequest(minorFunction, IsDevice: true, powerState,
            System.Context, System.Action, (_, status) =>
            {
                if (!completionFunction.IsNull)
                    nt.Routines.Call(completionFunction, deviceObject.Address.Value, minorFunction, powerState,
                        context.Value, status.Value);
            }));
        if (!irp.IsNull) nt.Memory.Write(irp, made.Irp.Address);
        Irps.Submit(made);
        return STATUS_PENDING;
    }

    /// <summary>Whether a watchdog runs for a power IRP of the device, and how many seconds it still has.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public bool PoQueryWatchdogTime(DeviceObject pdo, Va secondsRemaining)
    {
        if (Irps.TicksLeft(pdo) is not { } ticks) return false;
        nt.Memory.Write(secondsRemaining, (uint)(ticks / TicksPerSecond));
        return true;
    }

    const uint SystemWake = 0x4000_0000;

    /// <summary>Marks an IRP as the one that woke the system.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void PoSetSystemWake(Irp irp) => irp.Flags |= SystemWake;

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public bool PoGetSystemWake(Irp irp) => (irp.Flags & SystemWake) != 0;

    /// <summary>The item runs when the system ends, before devices are told.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus PoQueueShutdownWorkItem(Va workItem)
    {
        _shutdownItems.Enqueue(workItem);
        return STATUS_SUCCESS;
    }

    readonly Queue<Va> _shutdownItems = new();

    public void RunShutdownItems()
    {
        while (_shutdownItems.TryDequeue(out Va item))
        {
            WorkQueueItem work = WorkQueueItem.At(nt.Memory, item);
            nt.Routines.Call(work.WorkerRoutine, work.Parameter.Value);
        }
    }
}
